//! The extension `events`: what happens in a repository, as server-sent events.
//!
//! An event's name is a webhook's, its data what a webhook is told. A client that was away says in
//! `Last-Event-ID` what it heard last; what it missed comes first, or, when not all of it is known
//! any more, an event `reset`: look at the repository, and from this id on nothing is missed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event as Line, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::receive::{Query, Segments};
use super::{Shared, access};
use crate::remote::api::{format_date, header};
use crate::server::events::Event;
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::Hosted;

/// How often a client hears that we are there, and we look whether its credential still is.
const BEAT: Duration = Duration::from_secs(15);

/// One client that listens.
struct Listener {
    service: Shared,
    hosted: Arc<Hosted>,
    headers: HeaderMap,
    /// What is to be told before anything live.
    first: VecDeque<Line>,
    /// The last event that was told.
    last: u64,
    live: broadcast::Receiver<Arc<Event>>,
}

/// `GET /v1/{org}/{repo}/ext/events`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    let heard = match headers.get(header::LAST_EVENT_ID) {
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()),
        None => Query::of(&uri).parsed("after")?,
    };
    let feed = service.events.resume(&hosted.id, heard);
    let first = match feed.missed {
        Some(missed) => missed.iter().map(|event| line(event)).collect(),
        None => VecDeque::from([reset(feed.at)]),
    };
    let listener = Listener {
        service,
        hosted,
        headers,
        first,
        last: feed.at,
        live: feed.live,
    };
    let stream = stream::unfold(listener, |mut listener| async move {
        let line = listener.next().await?;
        Some((Ok::<_, Infallible>(line), listener))
    });
    Ok(Sse::new(stream).into_response())
}

impl Listener {
    /// The next line; `None` ends the stream.
    async fn next(&mut self) -> Option<Line> {
        if let Some(line) = self.first.pop_front() {
            return Some(line);
        }
        let stopping = self.service.stopping.clone();
        let beat = Instant::now() + BEAT;
        loop {
            let heard = tokio::select! {
                () = stopping.cancelled() => return None,
                heard = timeout_at(beat, self.live.recv()) => heard,
            };
            // What happens elsewhere costs nothing, and puts no beat off.
            if let Ok(Ok(event)) = &heard
                && event.repository_id != self.hosted.id
            {
                continue;
            }
            if !self.may_listen() {
                return None;
            }
            match heard {
                Err(_) => return Some(Line::default().comment("")),
                // Events that were missed may be among the first live ones as well.
                Ok(Ok(event)) if event.id <= self.last => {}
                Ok(Ok(event)) => {
                    self.last = event.id;
                    return Some(line(&event));
                }
                Ok(Err(RecvError::Lagged(_))) => {
                    let feed = self.service.events.resume(&self.hosted.id, None);
                    self.live = feed.live;
                    self.last = feed.at;
                    return Some(reset(feed.at));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }

    /// Whether the credential is still good, and the repository still there.
    fn may_listen(&self) -> bool {
        let principal = access::principal(&self.service, &self.headers);
        principal.is_ok_and(|principal| {
            let hosted = self.service.current(&self.hosted);
            principal.may(Scope::Read)
                && hosted.is_ok_and(|hosted| self.service.sees(&principal, &hosted))
        })
    }
}

fn line(event: &Event) -> Line {
    let data = json!({
        "occurred_at": format_date(event.at.cast_signed()),
        "type": event.kind,
        "data": event.data,
    });
    Line::default()
        .id(event.id.to_string())
        .event(event.kind)
        .data(data.to_string())
}

fn reset(at: u64) -> Line {
    Line::default().id(at.to_string()).event("reset").data("{}")
}
