//! Pages: `limit` and the opaque `cursor`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::failure::Failure;
use super::receive::Query;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 100;

/// Which page is wanted.
pub(super) struct Page {
    pub(super) limit: usize,
    /// What the last page's cursor says.
    pub(super) after: Option<String>,
}

impl Page {
    pub(super) fn of(query: &Query) -> Result<Page, Failure> {
        let limit = query.parsed("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Failure::invalid("limit: want 1 to 100"));
        }
        let after = match query.text("cursor")? {
            None | Some("") => None,
            Some(cursor) => Some(decode(cursor).ok_or_else(bad_cursor)?),
        };
        Ok(Page { limit, after })
    }

    /// Cuts one page out of items in the order of their names; also the cursor of the next.
    pub(super) fn cut<T>(
        &self,
        items: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let mut items: Vec<T> = items
            .into_iter()
            .filter(|item| self.after.as_deref().is_none_or(|after| name(item) > after))
            .take(self.limit + 1)
            .collect();
        if items.len() <= self.limit {
            return (items, None);
        }
        items.truncate(self.limit);
        let next = items.last().map(|item| encode(name(item)));
        (items, next)
    }
}

pub(super) fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn decode(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

pub(super) fn bad_cursor() -> Failure {
    Failure::invalid("cursor: not one of ours")
}
