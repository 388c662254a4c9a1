//! Bookmarks: listing, making, showing, moving and removing them.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments};
use super::{Shared, blocking, created, git, news, ok, writing};
use crate::remote::api::{
    Bookmark, BookmarkMove, BookmarkPage, Expected, MovedBookmark, NewBookmark, Success,
};
use crate::server::events::EventKind;
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;

fn describe(hosted: &Hosted, bookmark: git::Bookmark) -> Result<Bookmark, Failure> {
    Ok(Bookmark {
        is_default: hosted.git.default_bookmark()? == bookmark.name,
        change_id: bookmark.target.change,
        name: bookmark.name,
    })
}

/// The bookmark of that name; without one, the default one.
pub(super) fn named(hosted: &Hosted, name: Option<&str>) -> Result<git::Bookmark, Failure> {
    Ok(match name {
        Some(name) => hosted.git.bookmark(name)?,
        None => hosted.git.bookmark(&hosted.git.default_bookmark()?)?,
    })
}

/// `GET /v1/{org}/{repo}/bookmarks`.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let query = Query::of(&uri);
    let page = Page::of(&query)?;
    let glob = query.text("glob")?.map(str::to_owned);
    blocking(&service, move |_| {
        let mut found = hosted.git.bookmarks()?;
        if let Some(glob) = &glob {
            found.retain(|bookmark| matches(glob, &bookmark.name));
        }
        let (found, next_cursor) = page.cut(found, |bookmark| &bookmark.name);
        let bookmarks = found
            .into_iter()
            .map(|bookmark| describe(&hosted, bookmark))
            .collect::<Result<_, _>>()?;
        Ok(ok(BookmarkPage {
            has_more: next_cursor.is_some(),
            next_cursor,
            bookmarks,
        }))
    })
    .await
}

/// `POST /v1/{org}/{repo}/bookmarks`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let new: NewBookmark = receive::json(&service, &headers, body).await?.value;
    writing(&service, &hosted.turn.clone(), move |service| {
        let made = hosted.git.create_bookmark(&new.name, new.change_id)?;
        news::bookmark(service, EventKind::BookmarkCreated, &hosted, &made)?;
        Ok(created(describe(&hosted, made)?))
    })
    .await
}

/// `GET /v1/{org}/{repo}/bookmarks/{bookmark}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, bookmark)): Segments<(String, String, String)>,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    blocking(&service, move |_| {
        let found = hosted.git.bookmark(&bookmark)?;
        Ok(ok(describe(&hosted, found)?))
    })
    .await
}

/// `PATCH /v1/{org}/{repo}/bookmarks/{bookmark}`: a move.
pub(super) async fn patch(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, bookmark)): Segments<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let to: BookmarkMove = receive::json(&service, &headers, body).await?.value;
    let direction = match to.allow_backwards {
        true => git::Direction::Any,
        false => git::Direction::Forward,
    };
    writing(&service, &hosted.turn.clone(), move |service| {
        let before = hosted.git.bookmark(&bookmark)?;
        let from = hosted
            .git
            .move_bookmark(&bookmark, to.change_id, direction, &to.expected)?;
        let moved = hosted.git.bookmark(&bookmark)?;
        if moved.target.change != from {
            news::moved(service, &hosted, &before, &moved)?;
        }
        Ok(ok(MovedBookmark {
            bookmark: describe(&hosted, moved)?,
            from_change_id: Some(from),
        }))
    })
    .await
}

/// `DELETE /v1/{org}/{repo}/bookmarks/{bookmark}`.
pub(super) async fn delete(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, bookmark)): Segments<(String, String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let query = Query::of(&uri);
    let expected = Expected {
        change_id: query.parsed("expected_change_id")?,
        commit_oid: query.parsed("expected_commit_oid")?,
    };
    writing(&service, &hosted.turn.clone(), move |service| {
        let doomed = hosted.git.bookmark(&bookmark)?;
        hosted.git.delete_bookmark(&bookmark, &expected)?;
        news::bookmark(service, EventKind::BookmarkDeleted, &hosted, &doomed)?;
        Ok(ok(Success { success: true }))
    })
    .await
}

/// Whether a name matches a glob of `*` (any characters) and `?` (one): one position to return to
/// is enough, since a later star takes over from an earlier one.
fn matches(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at_glob, mut at_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match glob.get(at_glob) {
            Some('*') => {
                star = Some((at_glob, at_name));
                at_glob += 1;
            }
            Some(one) if *one == '?' || name.get(at_name) == Some(one) => {
                at_glob += 1;
                at_name += 1;
            }
            _ => match &mut star {
                Some((star_glob, star_name)) => {
                    *star_name += 1;
                    at_glob = *star_glob + 1;
                    at_name = *star_name;
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(at_glob).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs_match_whole_names() {
        for (glob, name) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("?*", "x"),
            ("*b*d", "abcbd"),
            ("", ""),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in [("a", "ab"), ("?", ""), ("a*c", "abcd"), ("b*", "ab")] {
            assert!(!matches(glob, name), "{glob} {name}");
        }
    }
}
