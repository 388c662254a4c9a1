//! Changes: listing, making, showing and amending them.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::page::{self, Page};
use super::receive::{self, Query, Segments, now};
use super::{Shared, blocking, bookmarks, created, git, merge, news, ok, writing};
use crate::remote::api::{
    Action, Change, ChangeDetail, ChangePage, ChangePatch, FileOp, Ident, NewChange, Resolution,
    format_date, header, parse_date,
};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::{Hosted, random_change_id};
use crate::tree::{ChangeId, GitOid};

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

fn ident(person: &git::Person) -> Ident {
    Ident {
        name: person.name.clone(),
        email: person.email.clone(),
        date: Some(format_date(person.seconds)),
    }
}

pub(super) fn describe(commit: git::Commit) -> Change {
    let authored_at = format_date(commit.author.seconds);
    Change {
        id: commit.change,
        current_commit_oid: commit.oid,
        is_conflicted: commit.is_conflicted,
        message: commit.message,
        author: Some(ident(&commit.author)),
        authors: commit.authors,
        authored_at: Some(authored_at.clone()),
        parents: commit.parents,
        // Amending keeps the author's date, so it says when the change began.
        created_at: authored_at,
        updated_at: format_date(commit.committer.seconds),
        committer: ident(&commit.committer),
    }
}

/// The virtual root has no commit, but answers like a change.
fn virtual_root() -> Change {
    let nobody = Ident {
        name: String::new(),
        email: String::new(),
        date: Some(format_date(0)),
    };
    Change {
        id: ChangeId::ROOT,
        current_commit_oid: GitOid([0; 20]),
        is_conflicted: false,
        message: String::new(),
        author: Some(nobody.clone()),
        authors: Vec::new(),
        authored_at: Some(format_date(0)),
        committer: nobody,
        parents: Vec::new(),
        created_at: format_date(0),
        updated_at: format_date(0),
    }
}

fn person(ident: Ident, now: u64) -> Result<git::Person, Failure> {
    let seconds = match ident.date {
        Some(date) => parse_date(&date).map_err(|_| git::Error::Date)?.seconds,
        None => now.cast_signed(),
    };
    Ok(git::Person {
        name: ident.name,
        email: ident.email,
        seconds,
    })
}

/// The person that stands for a credential when the request names nobody: the first author of a
/// token that names one, or else the key.
pub(super) fn key_person(principal: &Principal, now: u64) -> git::Person {
    let key_email = || format!("{}@mesa.invalid", principal.key_id);
    let (name, email) = match principal.authors.first() {
        Some(author) => (author.name.as_str(), author.email.clone()),
        None => {
            let name = principal.key_name.as_deref().unwrap_or(&principal.key_id);
            (name, Some(key_email()))
        }
    };
    git::Person {
        // A key may have any name, an author in Git may not.
        name: name.replace(['<', '>'], " "),
        email: email.unwrap_or_default(),
        seconds: now.cast_signed(),
    }
}

fn steps(files: Vec<FileOp>) -> Result<Vec<git::Step>, Failure> {
    files.into_iter().map(step).collect()
}

fn step(op: FileOp) -> Result<git::Step, Failure> {
    let action = op.action.unwrap_or_default();
    let path = op.path;
    // What an operation carries beside its path decides, with its action, what it is.
    Ok(
        match (action, op.content, op.blob, op.mode, op.tree, op.from) {
            (Action::Upsert, Some(text), None, mode, None, None) => git::Step::Write {
                path,
                source: git::Source::Inline(text),
                mode,
            },
            (Action::Upsert, None, Some(blob), mode, None, None) => git::Step::Write {
                path,
                source: git::Source::Blob(blob),
                mode,
            },
            (Action::Upsert, ..) => {
                return Err(Failure::invalid("files: an upsert has content or blob"));
            }
            (Action::Delete, None, None, None, None, None) => git::Step::Delete { path },
            (Action::Mkdir, None, None, None, None, None) => git::Step::MakeDirectory { path },
            (Action::Graft, None, None, None, Some(tree), None) => git::Step::Graft { path, tree },
            (Action::Rename, None, None, None, None, Some(from)) => {
                git::Step::Rename { from, path }
            }
            (Action::Chmod, None, None, Some(mode), None, None) => {
                git::Step::SetMode { path, mode }
            }
            _ => {
                return Err(Failure::invalid(
                    "files: fields that do not go with the action",
                ));
            }
        },
    )
}

/// `GET /v1/{org}/{repo}/changes`.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let query = Query::of(&uri);
    let page = Page::of(&query)?;
    let bookmark = query.text("bookmark")?.map(str::to_owned);
    blocking(&service, move |_| {
        // The cursor pins the tip, so that pages fit together while the bookmark moves.
        let (tip, skip) = match &page.after {
            Some(after) => {
                let (tip, skip) = after.split_once(' ').ok_or_else(page::bad_cursor)?;
                let tip = tip.parse().map_err(|_| page::bad_cursor())?;
                let skip = skip.parse().map_err(|_| page::bad_cursor())?;
                (hosted.git.commit_snapshot(tip)?.commit, skip)
            }
            None => (tip(&hosted, bookmark)?, 0_usize),
        };
        let (commits, has_more) = match tip {
            Some(tip) => hosted.git.log(tip, skip, page.limit)?,
            None => (Vec::new(), false),
        };
        let next_cursor = tip
            .filter(|_| has_more)
            .map(|tip| page::encode(&format!("{tip} {}", skip.saturating_add(commits.len()))));
        Ok(ok(ChangePage {
            next_cursor,
            has_more,
            changes: commits.into_iter().map(describe).collect(),
        }))
    })
    .await
}

fn tip(hosted: &Hosted, bookmark: Option<String>) -> Result<Option<GitOid>, Failure> {
    let change = bookmarks::named(hosted, bookmark.as_deref())?.target.change;
    Ok(hosted.git.snapshot(change)?.commit)
}

/// `GET /v1/{org}/{repo}/changes/{change}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, change)): Segments<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let change = change_id(&change)?;
    let is_brief = receive::prefers(&headers, header::MINIMAL);
    blocking(&service, move |_| {
        let Some(oid) = hosted.git.snapshot(change)?.commit else {
            return Ok(ok(ChangeDetail {
                change: virtual_root(),
                files: Vec::new(),
                conflicts: Vec::new(),
            }));
        };
        Ok(ok(ChangeDetail {
            change: describe(hosted.git.commit(oid)?),
            // The first commit of a repository touches all that it has.
            files: match is_brief {
                true => Vec::new(),
                false => hosted.git.touched(oid)?,
            },
            conflicts: conflicts(&hosted, oid)?,
        }))
    })
    .await
}

fn conflicts(hosted: &Hosted, oid: GitOid) -> Result<Vec<String>, Failure> {
    let found = hosted.git.conflicts(oid)?.found;
    Ok(found.into_iter().map(|conflict| conflict.path).collect())
}

fn change_id(text: &str) -> Result<ChangeId, Failure> {
    text.parse().map_err(|_| git::Error::UnknownChange.into())
}

/// `POST /v1/{org}/{repo}/changes`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let id = new_id(&principal, &hosted, &headers, &[])?;
    let received = receive::json::<NewChange>(&service, &headers, body).await?;
    let (new, share) = (received.value, received.share);
    let now = now();
    let (author, authors) = match new.author {
        Some(author) => (person(author, now)?, Vec::new()),
        None => (key_person(&principal, now), principal.authors),
    };
    let committer = match new.committer {
        Some(committer) => person(committer, now)?,
        None => git::Person {
            seconds: now.cast_signed(),
            ..author.clone()
        },
    };
    let input = git::ChangeInput {
        id,
        base: new.base_change_id,
        message: new.message.unwrap_or_default(),
        author,
        authors,
        committer,
        steps: steps(new.files)?,
    };
    writing(&service, &hosted.turn.clone(), move |service| {
        let _share = share;
        let made = hosted.git.create_change(input)?;
        service.upkeep.look_at(&hosted);
        // A repeated request tells of its change again: better twice than never.
        news::made(service, &hosted, made.clone());
        Ok(created(describe(made)))
    })
    .await
}

/// The id of a new change. With an idempotency key it is a hash of that key, so that the same
/// request names the same change however often it is sent, and no table has to remember it. What
/// the request is about, if given, is part of the hash.
pub(super) fn new_id(
    principal: &Principal,
    hosted: &Hosted,
    headers: &HeaderMap,
    about: &[&str],
) -> Result<ChangeId, Failure> {
    let Some(key) = headers.get(header::IDEMPOTENCY_KEY) else {
        return Ok(random_change_id());
    };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(Failure::invalid("Idempotency-Key: want 1 to 255 bytes"));
    }
    let mut hash = Sha256::new();
    let parts = [
        hosted.id.as_bytes(),
        principal.key_id.as_bytes(),
        key.as_bytes(),
    ];
    for part in parts
        .into_iter()
        .chain(about.iter().map(|text| text.as_bytes()))
    {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    Ok(ChangeId(id))
}

fn wanted_resolutions(value: serde_json::Value) -> Result<git::Resolutions, Failure> {
    let wanted: Vec<Resolution> = serde_json::from_value(value)
        .map_err(|error| Failure::invalid(format!("resolutions: {error}")))?;
    if wanted.is_empty() {
        return Err(Failure::invalid("resolutions: want at least one"));
    }
    merge::resolutions(wanted)
}

/// `PATCH /v1/{org}/{repo}/changes/{change}`.
pub(super) async fn patch(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name, change)): Segments<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    let id = change_id(&change)?;
    let received = receive::json::<ChangePatch>(&service, &headers, body).await?;
    let (patch, share) = (received.value, received.share);
    let resolutions = patch.resolutions.map(wanted_resolutions).transpose()?;
    if resolutions.is_some() && patch.files.is_some() {
        return Err(Failure::invalid("resolutions and files: want one of them"));
    }
    if patch.files.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::invalid("files: want at least one"));
    }
    let now = now();
    // Whoever resolves a conflict does not take the work over.
    let (author, authors) = match patch.author {
        Some(author) => (Some(person(author, now)?), Vec::new()),
        None if principal.authors.is_empty() || resolutions.is_some() => (None, Vec::new()),
        None => (Some(key_person(&principal, now)), principal.authors.clone()),
    };
    let committer = match (patch.committer, &author) {
        (Some(committer), _) => person(committer, now)?,
        (None, Some(author)) => git::Person {
            seconds: now.cast_signed(),
            ..author.clone()
        },
        (None, None) => key_person(&principal, now),
    };
    let input = git::PatchInput {
        id,
        expected: patch.base_commit_oid,
        message: patch.message,
        author,
        authors,
        committer,
        steps: steps(patch.files.unwrap_or_default())?,
        resolutions,
    };
    writing(&service, &hosted.turn.clone(), move |service| {
        let _share = share;
        let patched = hosted.git.patch_change(input)?;
        service.upkeep.look_at(&hosted);
        for evolution in &patched.evolved {
            news::evolved(service, &hosted, evolution)?;
        }
        Ok(ok(describe(patched.commit)))
    })
    .await
}
