//! Commits as changes: reading one, deriving its change id, and writing one.

use super::authors;
use super::error::{Doing, Error};
use super::staging::Staging;
use super::{ours, theirs};
use crate::remote::api::Author;
use crate::tree::{ChangeId, GitOid};

/// The commit header that carries the change id, as Jujutsu writes it.
const CHANGE_ID: &str = "change-id";
/// The commit header that names the change's version before this one. The chain of them tells an
/// earlier version, which somebody may still have, from a next one.
const PREDECESSOR: &str = "mesa-predecessor";
/// Most versions of a change that are looked through: years of pushes every few minutes.
const VERSIONS_MAX: usize = 1 << 17;
/// The trees that a commit records the conflict of, as Jujutsu writes it: the target's, the base's
/// and the source's.
const TREES: &str = "jj:trees";
/// The headers of a commit that records a conflict.
const CONFLICT: [&str; 2] = [TREES, "jj:conflict-labels"];

/// Who wrote or committed something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Person {
    pub(in crate::server) name: String,
    pub(in crate::server) email: String,
    /// Seconds since 1970.
    pub(in crate::server) seconds: i64,
}

impl Person {
    /// Refuses what would break a commit's header line.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_safe = |text: &str| !text.contains(['<', '>', '\r', '\n', '\0']);
        if self.name.trim().is_empty() || !is_safe(&self.name) || !is_safe(&self.email) {
            return Err(Error::Identity);
        }
        if self.seconds < 0 {
            return Err(Error::Date);
        }
        Ok(())
    }

    fn signature(&self) -> gix::actor::Signature {
        gix::actor::Signature {
            name: self.name.trim().into(),
            email: self.email.trim().into(),
            time: gix::date::Time {
                seconds: self.seconds,
                offset: 0,
            },
        }
    }

    fn of(signature: gix::actor::SignatureRef<'_>) -> Person {
        Person {
            name: signature.name.to_string(),
            email: signature.email.to_string(),
            seconds: signature.time().map_or(0, |time| time.seconds),
        }
    }
}

/// A commit, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Commit {
    pub(in crate::server) oid: GitOid,
    pub(in crate::server) change: ChangeId,
    pub(in crate::server) tree: GitOid,
    /// The parents' change ids; the virtual root for a first commit.
    pub(in crate::server) parents: Vec<ChangeId>,
    pub(in crate::server) message: String,
    pub(in crate::server) author: Person,
    /// Everybody whose work it is, the author first.
    pub(in crate::server) authors: Vec<Author>,
    pub(in crate::server) committer: Person,
    pub(in crate::server) is_conflicted: bool,
}

/// The id of a change whose commit does not say one: the oid's last 16 bytes, in reverse order
/// and each with its bits reversed.
pub(super) fn derived(oid: &gix::oid) -> ChangeId {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(oid.as_bytes().iter().rev()) {
        *to = from.reverse_bits();
    }
    ChangeId(id)
}

/// The change id of a decoded commit. A header that is no change id, or is the virtual root's,
/// does not count.
pub(super) fn change_id(oid: &gix::oid, commit: &gix::objs::CommitRef<'_>) -> ChangeId {
    commit
        .extra_headers()
        .find(CHANGE_ID)
        .and_then(|text| std::str::from_utf8(text).ok()?.trim_end().parse().ok())
        .filter(|id| *id != ChangeId::ROOT)
        .unwrap_or_else(|| derived(oid))
}

/// The change id of any commit; one behind the boundary of a shallow clone is derived.
pub(super) fn change_of(repo: &gix::Repository, oid: gix::ObjectId) -> Result<ChangeId, Error> {
    let Some(object) = repo.try_find_object(oid).doing("reading a commit")? else {
        return Ok(derived(&oid));
    };
    let commit = object.try_into_commit().doing("reading a commit")?;
    let decoded = commit.decode().doing("reading a commit")?;
    Ok(change_id(&oid, &decoded))
}

/// Reads a commit.
pub(super) fn read(repo: &gix::Repository, oid: GitOid) -> Result<Commit, Error> {
    let id = theirs(oid);
    let commit = repo.find_commit(id).doing("reading a commit")?;
    let decoded = commit.decode().doing("reading a commit")?;
    let mut parents = decoded
        .parents()
        .map(|parent| change_of(repo, parent))
        .collect::<Result<Vec<_>, _>>()?;
    if parents.is_empty() {
        parents.push(ChangeId::ROOT);
    }
    let author = Person::of(decoded.author().doing("reading an author")?);
    Ok(Commit {
        oid,
        change: change_id(&id, &decoded),
        tree: ours(&decoded.tree()),
        parents,
        message: decoded.message.to_string(),
        authors: authors::of(&decoded, &author),
        author,
        committer: Person::of(decoded.committer().doing("reading a committer")?),
        is_conflicted: is_conflicted(&decoded),
    })
}

/// Whether a commit of a change was amended, again and again perhaps, until it was another.
pub(super) fn succeeds(
    repo: &gix::Repository,
    later: GitOid,
    earlier: GitOid,
) -> Result<bool, Error> {
    let mut at = later;
    for _ in 0..VERSIONS_MAX {
        let Some(object) = repo.try_find_object(theirs(at)).doing("reading a commit")? else {
            return Ok(false);
        };
        let commit = object.try_into_commit().doing("reading a commit")?;
        let decoded = commit.decode().doing("reading a commit")?;
        let before = decoded
            .extra_headers()
            .find(PREDECESSOR)
            .and_then(|text| std::str::from_utf8(text).ok()?.trim_end().parse().ok());
        match before {
            None => return Ok(false),
            Some(before) if before == earlier => return Ok(true),
            Some(before) => at = before,
        }
    }
    Ok(false)
}

pub(super) fn is_conflicted(commit: &gix::objs::CommitRef<'_>) -> bool {
    CONFLICT
        .iter()
        .any(|header| commit.extra_headers().find(header).is_some())
}

/// The trees of the conflict that a commit records, if it is one of two sides.
pub(super) fn conflict(
    repo: &gix::Repository,
    oid: GitOid,
) -> Result<Option<[gix::ObjectId; 3]>, Error> {
    let found = repo.find_commit(theirs(oid)).doing("reading a commit")?;
    let decoded = found.decode().doing("reading a commit")?;
    let Some(text) = decoded.extra_headers().find(TREES) else {
        return Ok(None);
    };
    let trees: Option<Vec<gix::ObjectId>> = text
        .split(|byte| *byte == b' ')
        .map(|hex| gix::ObjectId::from_hex(hex).ok())
        .collect();
    Ok(trees.and_then(|trees| trees.try_into().ok()))
}

/// What a new commit says.
pub(super) struct NewCommit<'a> {
    pub(super) change: ChangeId,
    pub(super) tree: gix::ObjectId,
    pub(super) parents: Vec<gix::ObjectId>,
    pub(super) author: &'a Person,
    /// Everybody whose work it is; empty if it is the author's alone.
    pub(super) authors: &'a [Author],
    pub(super) committer: &'a Person,
    pub(super) message: &'a str,
    /// The trees of a conflict that is recorded.
    pub(super) conflict: Option<[gix::ObjectId; 3]>,
}

/// Writes a first version of a change.
pub(super) fn write(staging: &mut Staging<'_>, new: &NewCommit<'_>) -> Result<GitOid, Error> {
    new.author.check()?;
    new.committer.check()?;
    check_message(new.message)?;
    let mut extra_headers = vec![(CHANGE_ID.into(), new.change.to_string().into())];
    if let Some(trees) = new.conflict {
        let trees = trees.map(|tree| tree.to_string());
        extra_headers.push((TREES.into(), trees.join(" ").into()));
    }
    extra_headers.extend(authors::header(new.authors, new.author)?);
    store(
        staging,
        &gix::objs::Commit {
            tree: new.tree,
            parents: new.parents.iter().copied().collect(),
            author: new.author.signature(),
            committer: new.committer.signature(),
            encoding: None,
            message: new.message.into(),
            extra_headers,
        },
    )
}

/// What differs in the next version of a change.
pub(super) struct Amendment<'a> {
    pub(super) tree: gix::ObjectId,
    pub(super) author: Option<&'a Person>,
    /// With a new author, everybody whose work it is now.
    pub(super) authors: &'a [Author],
    pub(super) committer: &'a Person,
    pub(super) message: Option<&'a str>,
    pub(super) conflict: Conflict,
}

/// What becomes of a conflict that the version before records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    Stays,
    Ends,
}

/// Writes the next version of a change: same parents, same identity, and what is not amended as
/// it was, but for signatures, which no longer hold.
pub(super) fn amend(
    staging: &mut Staging<'_>,
    old: GitOid,
    amendment: &Amendment<'_>,
) -> Result<GitOid, Error> {
    amendment.committer.check()?;
    let mut commit = successor(staging.repo(), old)?;
    if amendment.conflict == Conflict::Ends {
        let is_kept = |name: &gix::bstr::BString| !CONFLICT.iter().any(|header| name == header);
        commit.extra_headers.retain(|(name, _)| is_kept(name));
    }
    commit.tree = amendment.tree;
    if let Some(author) = amendment.author {
        author.check()?;
        commit.author = author.signature();
        commit
            .extra_headers
            .retain(|(name, _)| name != authors::HEADER);
        commit
            .extra_headers
            .extend(authors::header(amendment.authors, author)?);
    }
    commit.committer = amendment.committer.signature();
    if let Some(message) = amendment.message {
        check_message(message)?;
        commit.message = message.into();
        commit.encoding = None;
    }
    store(staging, &commit)
}

/// Where a commit is made anew.
pub(super) struct Rebased {
    pub(super) parent: gix::ObjectId,
    pub(super) tree: gix::ObjectId,
    /// When, in seconds since 1970.
    pub(super) seconds: i64,
}

/// Writes the next version of a change on another parent, by whoever committed the last one.
pub(super) fn rebase(
    staging: &mut Staging<'_>,
    old: GitOid,
    rebased: &Rebased,
) -> Result<GitOid, Error> {
    let mut commit = successor(staging.repo(), old)?;
    commit.parents = [rebased.parent].into_iter().collect();
    commit.tree = rebased.tree;
    commit.committer.time.seconds = rebased.seconds;
    store(staging, &commit)
}

/// A commit as the next version of its change begins: the same, but for signatures, which no longer
/// hold, and with what it comes after.
fn successor(repo: &gix::Repository, old: GitOid) -> Result<gix::objs::Commit, Error> {
    let id = theirs(old);
    let found = repo.find_commit(id).doing("reading a commit")?;
    let decoded = found.decode().doing("reading a commit")?;
    let change = change_id(&id, &decoded);
    let mut commit = decoded.into_owned().doing("reading a commit")?;
    commit.extra_headers.retain(|(name, _)| {
        ![CHANGE_ID, PREDECESSOR, "mergetag"]
            .iter()
            .any(|dropped| name == dropped)
            && !name.starts_with(b"gpgsig")
    });
    for (name, value) in [
        (CHANGE_ID, change.to_string()),
        (PREDECESSOR, old.to_string()),
    ] {
        commit.extra_headers.push((name.into(), value.into()));
    }
    Ok(commit)
}

fn check_message(message: &str) -> Result<(), Error> {
    if message.contains('\0') {
        return Err(Error::Message);
    }
    Ok(())
}

fn store(staging: &mut Staging<'_>, commit: &gix::objs::Commit) -> Result<GitOid, Error> {
    use gix::objs::WriteTo as _;
    let mut bytes = Vec::new();
    commit.write_to(&mut bytes).doing("encoding a commit")?;
    let oid = staging.write(gix::objs::Kind::Commit, &bytes)?;
    Ok(ours(&oid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_the_reversed_tail_of_the_oid() {
        let oid = gix::ObjectId::from_hex(b"ffffffff000000000000000000000000000000c1").unwrap();
        let id = derived(&oid);
        assert_eq!(id.0[0], 0x83);
        assert_eq!(id.0[1..], [0; 15]);
    }

    #[test]
    fn header_lines_cannot_be_injected() {
        let person = |name: &str, email: &str| Person {
            name: name.into(),
            email: email.into(),
            seconds: 0,
        };
        assert!(person("Ünï Cödé", "").check().is_ok());
        for (name, email) in [
            ("a\nparent x", "b"),
            ("a", "b>\n"),
            ("", "b"),
            (" ", "b"),
            ("a<", "b"),
            ("a", "\0"),
        ] {
            assert!(
                matches!(person(name, email).check(), Err(Error::Identity)),
                "{name:?} {email:?}"
            );
        }
        let before = Person {
            seconds: -1,
            ..person("a", "b")
        };
        assert!(matches!(before.check(), Err(Error::Date)));
    }
}
