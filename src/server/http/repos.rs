//! Repositories: listing, making, patching and removing them.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments, now};
use super::{Service, Shared, blocking, created, git, ok, require, writing};
use crate::remote::api::{NewRepo, Repo, RepoPage, RepoPatch, Success, format_date};
use crate::server::keys::{Principal, Scope};
use crate::server::repositories::{Hosted, check_name};

const DEFAULT_BOOKMARK: &str = "main";
/// Most labels of one repository, and the bytes of a name and of a value.
const TAGS_MAX: usize = 64;
const TAG_NAME_BYTES_MAX: usize = 64;
const TAG_VALUE_BYTES_MAX: usize = 256;

fn describe(service: &Service, hosted: &Hosted) -> Result<Repo, Failure> {
    let default_bookmark = hosted.git.default_bookmark()?;
    let head = hosted.git.bookmark(&default_bookmark)?;
    Ok(Repo {
        id: hosted.id.clone(),
        org: service.data.organization.slug.clone(),
        name: hosted.name.clone(),
        head_change_id: head.target.change,
        default_bookmark,
        upstream: None,
        created_at: format_date(hosted.created_at.cast_signed()),
        tags: hosted.tags.lock().clone(),
    })
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    let is_good = tags.len() <= TAGS_MAX
        && tags.iter().all(|(name, value)| {
            (1..=TAG_NAME_BYTES_MAX).contains(&name.len())
                && !name.starts_with('$')
                && value.len() <= TAG_VALUE_BYTES_MAX
        });
    match is_good {
        true => Ok(()),
        false => Err(Failure::invalid(
            "tags: at most 64, names of 1 to 64 bytes without a leading $, values up to 256",
        )),
    }
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
    if query.bytes("tags").is_some() {
        return Err(Failure::invalid("tags: filters are not supported"));
    }
    let page = Page::of(&query)?;
    blocking(&service, move |service| {
        let mut seen = service.repositories.all();
        seen.retain(|hosted| service.sees(&principal, hosted));
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
    if new.upstream.is_some() {
        return Err(Failure::invalid("upstream: not supported"));
    }
    check_tags(&new.tags)?;
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
        let hosted = service
            .repositories
            .publish(&made, &name, new.tags, now())?;
        Ok(created(describe(service, &hosted)?))
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
    let patch: RepoPatch = receive::json(&service, &headers, body).await?.value;
    if patch.upstream.is_some() {
        return Err(Failure::invalid("upstream: not supported"));
    }
    let mut tags = hosted.tags.lock().clone();
    for (name, value) in patch.tags {
        match value {
            Some(value) => tags.insert(name, value),
            None => tags.remove(&name),
        };
    }
    check_tags(&tags)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    // A rename must not pull the folder away from under a writer: both turns, in this order.
    let turn = service.repositories.turn.clone().acquire_owned().await?;
    writing(&service, &hosted.turn.clone(), move |service| {
        let _turn = turn;
        let mut hosted = hosted;
        let new_name = patch.name.filter(|name| *name != hosted.name);
        if let Some(name) = &new_name
            && service.repositories.find(name).is_some()
        {
            return Err(Failure::conflict("the repository exists"));
        }
        if let Some(bookmark) = &patch.default_bookmark {
            hosted.git.set_default_bookmark(bookmark)?;
        }
        hosted.set_tags(tags)?;
        if let Some(name) = &new_name {
            hosted = service.repositories.rename(&hosted, name)?;
        }
        Ok(ok(describe(service, &hosted)?))
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
    let turn = service.repositories.turn.clone().acquire_owned().await?;
    writing(&service, &hosted.turn.clone(), move |service| {
        let _turn = turn;
        service.repositories.remove(&hosted, &service.data)?;
        Ok(ok(Success { success: true }))
    })
    .await
}
