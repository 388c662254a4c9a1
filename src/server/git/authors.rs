//! Whose work a commit is, beyond the one author that Git knows.

use super::commit::Person;
use super::error::Error;
use crate::remote::api::Author;

/// The header of a commit that is the work of several, or of somebody without an address: pairs of
/// name and address or null, as JSON. Git's own author is the first of them.
pub(super) const HEADER: &str = "mesa:authors";

/// Everybody whose work a commit is: those of its header, or the one that Git knows.
pub(super) fn of(commit: &gix::objs::CommitRef<'_>, author: &Person) -> Vec<Author> {
    let text = commit.extra_headers().find(HEADER);
    let listed = text.and_then(|text| serde_json::from_slice(text).ok());
    let listed: Vec<(String, Option<String>)> = listed.unwrap_or_default();
    if listed.is_empty() {
        return vec![Author {
            name: author.name.clone(),
            email: Some(author.email.clone()),
        }];
    }
    let author = |(name, email)| Author { name, email };
    listed.into_iter().map(author).collect()
}

/// The header of authors, if Git's own does not say it all.
pub(super) fn header(authors: &[Author], author: &Person) -> Result<Option<Header>, Error> {
    let is_plain = |one: &Author| {
        one.name == author.name && one.email.as_deref() == Some(author.email.as_str())
    };
    if authors.is_empty() || matches!(authors, [one] if is_plain(one)) {
        return Ok(None);
    }
    let pairs: Vec<_> = authors.iter().map(|one| (&one.name, &one.email)).collect();
    let text = serde_json::to_string(&pairs).map_err(|_| Error::Identity)?;
    Ok(Some((HEADER.into(), text.into())))
}

/// An extra header of a commit.
type Header = (gix::bstr::BString, gix::bstr::BString);
