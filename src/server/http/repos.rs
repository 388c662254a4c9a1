//! Repositories: listing, making, patching and removing them.

use std::collections::BTreeSet;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments, now};
use super::tags::{self, Filter};
use super::{Service, Shared, blocking, created, git, news, ok, require, upstream, writing};
use crate::remote::api::{
    NewRepo, Repo, RepoPage, RepoPatch, Success, TagAction, TagPatch, TagsUpdated, format_date,
};
use crate::server::events::EventKind;
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::{Hosted, Traits, check_name};

const DEFAULT_BOOKMARK: &str = "main";
/// Most repositories of one [`TagPatch`].
const TAGGED_MAX: usize = 100;

pub(super) fn describe(service: &Service, hosted: &Hosted) -> Result<Repo, Failure> {
    let default_bookmark = hosted.git.default_bookmark()?;
    let head = hosted.git.bookmark(&default_bookmark)?;
    let traits = hosted.traits.lock().clone();
    Ok(Repo {
        id: hosted.id.clone(),
        org: service.data.organization.slug.clone(),
        name: hosted.name.clone(),
        head_change_id: head.target.change,
        default_bookmark,
        upstream: upstream::describe(traits.upstream),
        created_at: format_date(hosted.created_at.cast_signed()),
        tags: traits.tags,
    })
}

/// `GET /v1/{org}/repos`.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    service.organization(&organization)?;
    require(&principal, Scope::Read)?;
    let query = Query::of(&uri);
    let filter = query.text("tags")?.map(Filter::parse).transpose()?;
    let page = Page::of(&query)?;
    blocking(&service, move |service| {
        let mut seen = service.repositories.all();
        seen.retain(|hosted| {
            let is_wanted = |filter: &Filter| filter.matches(&hosted.traits.lock().tags);
            service.sees(&principal, hosted) && filter.as_ref().is_none_or(is_wanted)
        });
        let (seen, next_cursor) = page.cut(seen, |hosted| &hosted.name);
        let repos = seen
            .iter()
            .map(|hosted| describe(service, hosted))
            .collect::<Result<_, _>>()?;
        Ok(ok(RepoPage {
            has_more: next_cursor.is_some(),
            next_cursor,
            repos,
        }))
    })
    .await
}

/// `POST /v1/{org}/repos`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    service.organization(&organization)?;
    require(&principal, Scope::Write)?;
    if principal.is_restricted() {
        return Err(Failure::forbidden());
    }
    let new: NewRepo = receive::json(&service, &headers, body).await?.value;
    tags::check(&new.tags)?;
    let traits = Traits {
        tags: new.tags,
        upstream: new.upstream.map(upstream::kept).transpose()?,
    };
    let name = new.name.unwrap_or_else(|| {
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("repo-{}", random.get(..12).unwrap_or(&random))
    });
    check_name(&name)?;
    writing(&service, &service.repositories.turn, move |service| {
        if service.repositories.find(&name).is_some() {
            return Err(Failure::conflict("the repository exists"));
        }
        let made = service.data.temporary();
        let default = new.default_bookmark.as_deref().unwrap_or(DEFAULT_BOOKMARK);
        git::Repository::create(&made, default)?;
        let hosted = service.repositories.publish(&made, &name, traits, now())?;
        let repo = describe(service, &hosted)?;
        news::repository(service, EventKind::RepoCreated, &hosted, &repo, None);
        Ok(created(repo))
    })
    .await
}

/// `GET /v1/{org}/{repo}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Read)?;
    blocking(&service, move |service| Ok(ok(describe(service, &hosted)?))).await
}

/// `PATCH /v1/{org}/{repo}`.
pub(super) async fn patch(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    hosted.check_ours()?;
    let patch: RepoPatch = receive::json(&service, &headers, body).await?.value;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    // Two changes of one repository must not undo each other: both turns, in this order.
    let turn = service.repositories.turn.clone().acquire_owned().await?;
    writing(&service, &hosted.turn.clone(), move |service| {
        let _turn = turn;
        let hosted = service.current(&hosted)?;
        let before = describe(service, &hosted)?;
        let name = patch.name.unwrap_or_else(|| hosted.name.clone());
        if name != hosted.name && service.repositories.find(&name).is_some() {
            return Err(Failure::conflict("the repository exists"));
        }
        let mut traits = hosted.traits.lock().clone();
        for (name, value) in patch.tags {
            match value {
                Some(value) => traits.tags.insert(name, value),
                None => traits.tags.remove(&name),
            };
        }
        tags::check(&traits.tags)?;
        if let Some(wanted) = patch.upstream {
            traits.upstream = upstream::patched(traits.upstream, wanted)?;
        }
        if let Some(bookmark) = &patch.default_bookmark {
            hosted.git.set_default_bookmark(bookmark)?;
        }
        let hosted = service.repositories.change(&hosted, &name, traits)?;
        let repo = describe(service, &hosted)?;
        let kind = EventKind::RepoUpdated;
        news::repository(service, kind, &hosted, &repo, Some(&before));
        Ok(ok(repo))
    })
    .await
}

/// `PATCH /v1/{org}/repos/tags`. All of them are checked before one is changed; a repetition finds
/// everything done, and answers the same.
pub(super) async fn patch_tags(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    service.organization(&organization)?;
    require(&principal, Scope::Write)?;
    let patch: TagPatch = receive::json(&service, &headers, body).await?.value;
    if !(1..=TAGGED_MAX).contains(&patch.repo_ids.len()) {
        return Err(Failure::invalid("repo_ids: want 1 to 100"));
    }
    let value = match (patch.action, patch.value) {
        (TagAction::Set, None) => return Err(Failure::invalid("value: missing")),
        (TagAction::Set, value) => value,
        (TagAction::Remove, _) => None,
    };
    let ids: BTreeSet<String> = patch.repo_ids.into_iter().collect();
    let key = patch.key;
    writing(&service, &service.repositories.turn, move |service| {
        let mut changes = Vec::new();
        for hosted in service.repositories.all() {
            if !ids.contains(&hosted.id) || !service.sees(&principal, &hosted) {
                continue;
            }
            service.require_in(&principal, &hosted, Scope::Write)?;
            let mut traits = hosted.traits.lock().clone();
            match &value {
                Some(value) => traits.tags.insert(key.clone(), value.clone()),
                None => traits.tags.remove(&key),
            };
            tags::check(&traits.tags)?;
            changes.push((hosted, traits));
        }
        let updated = changes.len() as u64;
        for (hosted, traits) in changes {
            if *hosted.traits.lock() == traits {
                continue;
            }
            let before = describe(service, &hosted)?;
            let hosted = service.repositories.change(&hosted, &hosted.name, traits)?;
            let repo = describe(service, &hosted)?;
            let kind = EventKind::RepoUpdated;
            news::repository(service, kind, &hosted, &repo, Some(&before));
        }
        Ok(ok(TagsUpdated { updated }))
    })
    .await
}

/// `DELETE /v1/{org}/{repo}`.
pub(super) async fn delete(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, name)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    let hosted = service.repository(&principal, &organization, &name, Scope::Write)?;
    hosted.check_ours()?;
    let turn = service.repositories.turn.clone().acquire_owned().await?;
    writing(&service, &hosted.turn.clone(), move |service| {
        let _turn = turn;
        let hosted = service.current(&hosted)?;
        let repo = describe(service, &hosted)?;
        service.repositories.remove(&hosted, &service.data)?;
        news::repository(service, EventKind::RepoDeleted, &hosted, &repo, None);
        Ok(ok(Success { success: true }))
    })
    .await
}
