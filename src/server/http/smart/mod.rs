//! Git's smart HTTP, outside of `/v1`: clone, fetch and push with any Git client.
//!
//! ```text
//! GET  /{org}/{repo}.git/info/refs?service=git-upload-pack|git-receive-pack
//! POST /{org}/{repo}.git/git-upload-pack       a fetch: the git program answers
//! POST /{org}/{repo}.git/git-receive-pack      a push: git checks the pack, we move the references
//! ```
//!
//! The credential is the password of HTTP Basic, whoever the user; Bearer works too. Failures are
//! plain text, which Git shows. Bodies are streams both ways, so a pack of gigabytes takes no memory;
//! how many programs run at once, how long, and how large a pack may be is bounded.

mod incoming;
mod running;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Service, Shared, access, blocking, git, news, writing};
use crate::server::events::EventKind;
use crate::server::keys::{Principal, Refusal, Scope};
use crate::server::repositories::Hosted;
use incoming::Incoming;

/// Most `git` programs at once; more wait.
pub(super) const PROGRAMS_MAX: usize = 16;
/// Largest pack: what the hosted service takes.
const PACK_BYTES_MAX: u64 = 5 << 30;
/// Largest list of commands, and largest request of a fetch: some 100,000 references.
const REQUEST_BYTES_MAX: u64 = 16 << 20;
/// Magic, version and number of objects.
const PACK_HEADER_BYTES: usize = 12;

/// What a client is about to do.
#[derive(Clone, Copy)]
enum Verb {
    Fetch,
    Push,
}

impl Verb {
    fn of(service: Option<&str>) -> Option<Verb> {
        match service {
            Some("git-upload-pack") => Some(Verb::Fetch),
            Some("git-receive-pack") => Some(Verb::Push),
            _ => None,
        }
    }

    fn scope(self) -> Scope {
        match self {
            Verb::Fetch => Scope::Read,
            Verb::Push => Scope::Write,
        }
    }
}

/// The routes.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/{org}/{repo}/info/refs", get(info_refs))
        .route("/{org}/{repo}/git-upload-pack", post(upload_pack))
        .route("/{org}/{repo}/git-receive-pack", post(receive_pack))
        .layer(middleware::from_fn(access::check_segments))
}

type Named = Segments<(String, String)>;

async fn info_refs(
    State(service): State<Shared>,
    Segments(names): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let query = Query::of(&uri);
        let verb = Verb::of(query.text("service")?);
        let hosted = find(&service, &names, &headers, verb.unwrap_or(Verb::Fetch))?;
        match verb {
            Some(Verb::Fetch) => advertise_fetch(&service, &hosted, &headers).await,
            Some(Verb::Push) => advertise_push(&service, hosted).await,
            None => Err(Failure::invalid(
                "this server speaks smart HTTP only: use a newer git",
            )),
        }
    };
    answered(answer.await)
}

async fn advertise_fetch(
    service: &Shared,
    hosted: &Hosted,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let protocol = protocol(headers);
    let permit = service.programs.clone().acquire_owned().await?;
    let program = hosted.git.advertise(protocol)?;
    let preface: &[u8] = match protocol {
        git::Protocol::V2 => b"",
        git::Protocol::V0 | git::Protocol::V1 => b"001e# service=git-upload-pack\n0000",
    };
    let body = running::answer(program, preface, None, permit).await?;
    Ok(typed("application/x-git-upload-pack-advertisement", body))
}

async fn advertise_push(service: &Shared, hosted: Arc<Hosted>) -> Result<Response, Failure> {
    let branches = blocking(service, move |_| Ok(hosted.git.branches()?)).await?;
    let mut body = b"001f# service=git-receive-pack\n0000".to_vec();
    body.extend_from_slice(&git::advertisement(&branches));
    Ok(typed(
        "application/x-git-receive-pack-advertisement",
        body.into(),
    ))
}

async fn upload_pack(
    State(service): State<Shared>,
    Segments(names): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let hosted = find(&service, &names, &headers, Verb::Fetch)?;
        let incoming = Incoming::new(&headers, body, REQUEST_BYTES_MAX)?;
        let permit = service.programs.clone().acquire_owned().await?;
        let program = hosted.git.upload_pack(protocol(&headers))?;
        let body = running::answer(program, b"", Some(incoming), permit).await?;
        Ok(typed("application/x-git-upload-pack-result", body))
    };
    answered(answer.await)
}

async fn receive_pack(
    State(service): State<Shared>,
    Segments(names): Named,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let hosted = find(&service, &names, &headers, Verb::Push)?;
        let mut incoming = Incoming::new(&headers, body, REQUEST_BYTES_MAX + PACK_BYTES_MAX)?;
        let (commands, manner) = commands(&mut incoming).await?;
        let report = match commands.is_empty() {
            // Git asks whether its credential is good before it sends what it cannot send twice.
            true => Vec::new(),
            false => push(&service, hosted, commands, manner, incoming).await?,
        };
        Ok(typed(
            "application/x-git-receive-pack-result",
            report.into(),
        ))
    };
    answered(answer.await)
}

/// Reads what a push begins with.
async fn commands(incoming: &mut Incoming) -> Result<(Vec<git::Command>, git::Manner), Failure> {
    let mut commands = Vec::new();
    let mut manner = None;
    while let Some(packet) = incoming.packet().await? {
        match git::line(&packet).map_err(incoming::malformed)? {
            git::Line::Shallow => {}
            git::Line::Command(command, how) => {
                commands.push(command);
                manner = manner.or(how);
            }
        }
        if commands.len() > git::COMMANDS_MAX {
            return Err(Failure::too_large("too many references in one push"));
        }
    }
    Ok((commands, manner.unwrap_or_default()))
}

async fn push(
    service: &Shared,
    hosted: Arc<Hosted>,
    commands: Vec<git::Command>,
    manner: git::Manner,
    mut incoming: Incoming,
) -> Result<Vec<u8>, Failure> {
    let mut quarantine = None;
    if commands.iter().any(|command| command.to.is_some()) {
        let permit = service.programs.clone().acquire_owned().await?;
        let place = hosted.clone();
        let made = blocking(service, move |_| Ok(place.git.quarantine()?)).await?;
        let taken = take_pack(&hosted, &commands, &made, &mut incoming, permit);
        match timeout(running::DEADLINE, taken)
            .await
            .map_err(|_| Failure::timed_out())??
        {
            Ok(()) => quarantine = Some(made),
            Err((unpacked, talk)) => return Ok(refused(manner, commands, unpacked, &talk)),
        }
    }
    let together = match manner.atomic {
        true => git::Together::All,
        false => git::Together::Each,
    };
    writing(service, &hosted.turn.clone(), move |service| {
        let hosted = service.current(&hosted)?;
        let pushed = hosted.git.push(&commands, quarantine, together)?;
        service.upkeep.look_at(&hosted);
        tell(service, &hosted, &commands, &pushed)?;
        Ok(git::report(manner, Ok(()), &pushed.verdicts, ""))
    })
    .await
}

/// Tells what a push has done: to bookmarks, to changes, and all in all.
fn tell(
    service: &Service,
    hosted: &Hosted,
    commands: &[git::Command],
    pushed: &git::Pushed,
) -> Result<(), Failure> {
    let mut updates = Vec::new();
    for (command, verdict) in commands.iter().zip(&pushed.verdicts) {
        if verdict.refusal.is_some() {
            continue;
        }
        updates.push(command.clone());
        let name = String::from_utf8_lossy(&command.name);
        let name = name.strip_prefix("refs/heads/").unwrap_or(&name);
        let former = || hosted.git.former(name, command.from);
        match (command.from, command.to) {
            (None, Some(_)) => {
                let now = hosted.git.bookmark(name)?;
                news::bookmark(service, EventKind::BookmarkCreated, hosted, &now)?;
            }
            (_, Some(_)) => {
                let now = hosted.git.bookmark(name)?;
                news::moved(service, hosted, &former()?, &now)?;
            }
            (_, None) => {
                news::bookmark(service, EventKind::BookmarkDeleted, hosted, &former()?)?;
            }
        }
    }
    for evolution in &pushed.evolved {
        news::evolved(service, hosted, evolution)?;
    }
    if !updates.is_empty() {
        news::push(service, hosted, &updates, pushed.evolved.len());
    }
    Ok(())
}

/// Takes the pack into the quarantine and checks it. What is wrong with it is said in a word for
/// the report, and in full for people.
async fn take_pack(
    hosted: &Hosted,
    commands: &[git::Command],
    quarantine: &git::Quarantine,
    incoming: &mut Incoming,
    _permit: OwnedSemaphorePermit,
) -> Result<Result<(), (&'static str, String)>, Failure> {
    let header = incoming.exact(PACK_HEADER_BYTES).await?;
    let Some((b"PACK", [_, _, _, _, count @ ..])) = header.split_first_chunk() else {
        return Err(Failure::invalid("the body has no pack"));
    };
    let count = count.try_into().map_or(u32::MAX, u32::from_be_bytes);
    let program = hosted.git.take_pack(quarantine, count, PACK_BYTES_MAX)?;
    if let Err(talk) = running::feed(program, header, incoming).await? {
        return Ok(Err((
            "the pack is damaged, or an object in it is not sound",
            talk,
        )));
    }
    let tips: String = commands
        .iter()
        .filter_map(|command| command.to)
        .map(|oid| format!("{oid}\n"))
        .collect();
    let program = hosted.git.check_connected(quarantine)?;
    if let Err(talk) = running::tell(program, &tips).await? {
        return Ok(Err((
            "objects are missing that the pushed commits need",
            talk,
        )));
    }
    Ok(Ok(()))
}

fn refused(
    manner: git::Manner,
    commands: Vec<git::Command>,
    unpacked: &'static str,
    talk: &str,
) -> Vec<u8> {
    tracing::info!(unpacked, talk, "a push was refused");
    let verdict = |command: git::Command| git::Verdict {
        name: command.name,
        refusal: Some("unpacker error".to_owned()),
    };
    let verdicts: Vec<git::Verdict> = commands.into_iter().map(verdict).collect();
    git::report(manner, Err(unpacked), &verdicts, talk)
}

/// The repository, if the credential allows what the client is about to do with it.
fn find(
    service: &Shared,
    (organization, name): &(String, String),
    headers: &HeaderMap,
    verb: Verb,
) -> Result<Arc<Hosted>, Failure> {
    let principal = principal(service, headers).map_err(Failure::unauthorized)?;
    service.limits.check_rate(&principal.key_id)?;
    let name = name
        .strip_suffix(".git")
        .ok_or_else(|| Failure::not_found("no such repository"))?;
    service.repository(&principal, organization, name, verb.scope())
}

fn principal(service: &Shared, headers: &HeaderMap) -> Result<Principal, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unknown);
    };
    let (scheme, value) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Refusal::Unknown)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return access::identify(service, value.trim());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Unknown);
    }
    let pair = STANDARD.decode(value.trim()).map(Zeroizing::new);
    let pair = pair.map_err(|_| Refusal::Unknown)?;
    let password = std::str::from_utf8(&pair)
        .ok()
        .and_then(|pair| pair.split_once(':'))
        .map(|(_, password)| password)
        .ok_or(Refusal::Unknown)?;
    access::identify(service, password)
}

fn protocol(headers: &HeaderMap) -> git::Protocol {
    let wanted = headers.get("git-protocol");
    let wanted = wanted.and_then(|wanted| wanted.to_str().ok());
    git::Protocol::of_header(wanted.unwrap_or_default())
}

fn typed(kind: &'static str, body: Body) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache, no-store")];
    (headers, body).into_response()
}

/// An answer, or why there is none; a client that is not known is asked for its credential.
fn answered(answer: Result<Response, Failure>) -> Response {
    let mut response = answer.unwrap_or_else(Failure::into_text);
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"mesa\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
