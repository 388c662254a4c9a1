//! Calls about bookmarks: where they point, moving them, merging them, and what they reach.

use std::time::Duration;

use uuid::Uuid;

use super::api::{
    Bookmark, BookmarkMove, ChangePage, Expected, MergeAnswer, MergeRequest, MovedBookmark,
    NewBookmark, Success, header,
};
use super::call::{Call, encoded, of_repository};
use super::client::PAGE_ITEMS;
use super::exchange::Method;
use super::failure::{Conflict, Violation};
use super::{Client, Failure, RepositoryName};
use crate::tree::ChangeId;

/// How long a server may take to remove a name: it waits its turn and syncs.
const DELETE_PATIENCE: Duration = Duration::from_secs(30);
/// Longest cursor that is sent back: it goes into an address, and servers bound these at 8 KiB.
const CURSOR_BYTES_MAX: usize = 4 * 1024;

fn of_bookmark(repository: &RepositoryName, bookmark: &str) -> Result<String, Failure> {
    // Folded, such an address is that of all bookmarks, or of the repository.
    if matches!(bookmark, "" | "." | "..") {
        return Err(Failure::Unsendable);
    }
    let rest = format!("/bookmarks/{}", encoded(bookmark.as_bytes()));
    Ok(of_repository(repository, &rest))
}

impl Client {
    /// Where a bookmark points.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub async fn bookmark(
        &self,
        repository: &RepositoryName,
        bookmark: &str,
    ) -> Result<Bookmark, Failure> {
        let target = of_bookmark(repository, bookmark)?;
        let call = Call::get(repository.scope(), target);
        self.json(&self.counts.bookmarks, call).await
    }

    /// Makes a bookmark.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Conflict`] when there is one of that name, which after a
    /// lost answer may be ours: ask where it points. A server may also answer
    /// [`Failure::Refused`] to that.
    pub async fn create_bookmark(
        &self,
        repository: &RepositoryName,
        bookmark: &str,
        change: ChangeId,
    ) -> Result<Bookmark, Failure> {
        // What has no address could never be moved, merged or removed again.
        of_bookmark(repository, bookmark)?;
        let new = NewBookmark {
            name: bookmark.to_owned(),
            change_id: change,
        };
        let target = of_repository(repository, "/bookmarks");
        let call = Call::write(Method::Post, repository.scope(), target, &new)?;
        self.json(&self.counts.bookmarks_written, call).await
    }

    /// Moves a bookmark forward. Repeating it is harmless.
    ///
    /// A server of the first generation moves it anywhere; `from_change_id` of the answer tells
    /// what was displaced.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Conflict::NotForward`] when the bookmark has what the change does
    /// not build on.
    pub async fn move_bookmark(
        &self,
        repository: &RepositoryName,
        bookmark: &str,
        change: ChangeId,
    ) -> Result<MovedBookmark, Failure> {
        let target = of_bookmark(repository, bookmark)?;
        let to = BookmarkMove {
            change_id: change,
            allow_backwards: false,
            expected: Expected::default(),
        };
        let call = Call::write(Method::Patch, repository.scope(), target, &to)?;
        match self.json(&self.counts.bookmarks_written, call).await {
            // The contract knows no other reason to refuse a move, whatever word stands for it.
            Err(Failure::Conflict(Conflict::Other)) => Err(Failure::Conflict(Conflict::NotForward)),
            other => other,
        }
    }

    /// Removes a bookmark.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::NotFound`] when it is gone; [`Failure::Conflict`] when it
    /// is the default bookmark.
    pub async fn delete_bookmark(
        &self,
        repository: &RepositoryName,
        bookmark: &str,
    ) -> Result<(), Failure> {
        let call = Call {
            method: Method::Delete,
            patience: DELETE_PATIENCE,
            ..Call::get(repository.scope(), of_bookmark(repository, bookmark)?)
        };
        let Success { success } = self.json(&self.counts.bookmarks_written, call).await?;
        match success {
            true => Ok(()),
            false => Err(Violation::Elsewhere.into()),
        }
    }

    /// Merges a bookmark into another; with `key`, and on a server that knows keys, only once.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Conflict::Merge`], and nothing has happened; see
    /// [`Failure::is_unknown_outcome`]: on a server that knows no keys, look for the source's change
    /// among those of the target before merging again.
    pub async fn merge_bookmarks(
        &self,
        repository: &RepositoryName,
        merge: &MergeRequest,
        key: Uuid,
    ) -> Result<MergeAnswer, Failure> {
        let target = of_repository(repository, "/bookmarks/merge");
        let call = Call {
            header: Some((header::IDEMPOTENCY_KEY, key.to_string())),
            ..Call::write(Method::Post, repository.scope(), target, merge)?
        };
        self.json(&self.counts.bookmarks_merged, call).await
    }

    /// One page, of at most 100, of the changes that a bookmark reaches, newest first. `after` is
    /// the `next_cursor` of the page before.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation::TooLarge`] when the server sends more than a page.
    pub async fn bookmark_changes(
        &self,
        repository: &RepositoryName,
        bookmark: &str,
        after: Option<&str>,
    ) -> Result<ChangePage, Failure> {
        let mut rest = format!(
            "/changes?bookmark={}&limit={PAGE_ITEMS}",
            encoded(bookmark.as_bytes())
        );
        if let Some(cursor) = after {
            if cursor.len() > CURSOR_BYTES_MAX {
                return Err(Violation::TooLarge.into());
            }
            rest.push_str(&format!("&cursor={}", encoded(cursor.as_bytes())));
        }
        let call = Call::get(repository.scope(), of_repository(repository, &rest));
        let page: ChangePage = self.json(&self.counts.histories, call).await?;
        match page.changes.len() > PAGE_ITEMS as usize {
            true => Err(Violation::TooLarge.into()),
            false => Ok(page),
        }
    }
}
