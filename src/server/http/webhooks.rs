//! Webhook targets: listing, making, showing, changing and removing them.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments};
use super::{Service, Shared, created, ok, require, writing};
use crate::remote::api::{Success, TargetInput, TargetPatch, WEBHOOK_EVENTS, WebhookTargetPage};
use crate::server::keys::{Principal, Scope};
use crate::server::webhooks::Settings;

const NAME_BYTES_MAX: usize = 100;
const REPOSITORIES_MAX: usize = 250;

/// Targets hear of every repository, so a credential that does not see them all has no say.
fn enter(service: &Service, principal: &Principal, organization: &str) -> Result<(), Failure> {
    service.organization(organization)?;
    require(principal, Scope::Admin)?;
    match principal.is_restricted() {
        true => Err(Failure::forbidden()),
        false => Ok(()),
    }
}

fn check_name(name: &Option<String>) -> Result<(), Failure> {
    let is_good = |name: &String| (1..=NAME_BYTES_MAX).contains(&name.len());
    match name.as_ref().is_none_or(is_good) {
        true => Ok(()),
        false => Err(Failure::invalid("name: want 1 to 100 bytes")),
    }
}

fn check_events(mut events: Vec<String>) -> Result<Vec<String>, Failure> {
    for event in &events {
        if !WEBHOOK_EVENTS.contains(&event.as_str()) {
            return Err(Failure::invalid(format!(
                "events: {event:?} is none of {}",
                WEBHOOK_EVENTS.join(", ")
            )));
        }
    }
    events.sort_unstable();
    events.dedup();
    match events.is_empty() {
        true => Err(Failure::invalid("events: want at least one")),
        false => Ok(events),
    }
}

fn check_repositories(service: &Service, ids: &Option<Vec<String>>) -> Result<(), Failure> {
    let Some(ids) = ids else { return Ok(()) };
    if !(1..=REPOSITORIES_MAX).contains(&ids.len()) {
        return Err(Failure::invalid("repo_ids: want 1 to 250, or null for all"));
    }
    match ids
        .iter()
        .find(|id| service.repositories.find_id(id).is_none())
    {
        Some(id) => Err(Failure::invalid(format!("repo_ids: no repository {id:?}"))),
        None => Ok(()),
    }
}

/// `GET /v1/{org}/webhook-targets`.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    enter(&service, &principal, &organization)?;
    let page = Page::of(&Query::of(&uri))?;
    let (webhook_targets, next_cursor) = page.cut(service.webhooks.all(), |target| &target.id);
    Ok(ok(WebhookTargetPage {
        has_more: next_cursor.is_some(),
        next_cursor,
        webhook_targets,
    }))
}

/// `POST /v1/{org}/webhook-targets`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    enter(&service, &principal, &organization)?;
    let new: TargetInput = receive::json(&service, &headers, body).await?.value;
    check_name(&new.name)?;
    check_repositories(&service, &new.repo_ids)?;
    let settings = Settings {
        name: new.name,
        url: new.url,
        events: check_events(new.events.unwrap_or_else(|| vec!["push".to_owned()]))?,
        repository_ids: new.repo_ids,
    };
    writing(&service, &service.webhooks.turn, move |service| {
        Ok(created(service.webhooks.create(settings)?))
    })
    .await
}

/// `GET /v1/{org}/webhook-targets/{target}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, target)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    enter(&service, &principal, &organization)?;
    Ok(ok(service.webhooks.find(&target)?))
}

/// `PATCH /v1/{org}/webhook-targets/{target}`.
pub(super) async fn patch(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, target)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    enter(&service, &principal, &organization)?;
    let patch: TargetPatch = receive::json(&service, &headers, body).await?.value;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    if let Some(ids) = &patch.repo_ids {
        check_repositories(&service, ids)?;
    }
    let events = patch.events.map(check_events).transpose()?;
    writing(&service, &service.webhooks.turn, move |service| {
        let changed = service.webhooks.change(&target, |settings| {
            if let Some(name) = patch.name {
                settings.name = name;
            }
            if let Some(url) = patch.url {
                settings.url = url;
            }
            if let Some(events) = events {
                settings.events = events;
            }
            if let Some(ids) = patch.repo_ids {
                settings.repository_ids = ids;
            }
        });
        Ok(ok(changed?))
    })
    .await
}

/// `DELETE /v1/{org}/webhook-targets/{target}`.
pub(super) async fn delete(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, target)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    enter(&service, &principal, &organization)?;
    writing(&service, &service.webhooks.turn, move |service| {
        service.webhooks.remove(&target)?;
        Ok(ok(Success { success: true }))
    })
    .await
}
