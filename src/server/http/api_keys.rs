//! API keys: listing, making, naming and revoking them.
//!
//! Who manages keys is a key itself, with the scope `admin` and for all repositories: otherwise it
//! could make one that reaches further than it does. A token may look, and change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;

use super::failure::Failure;
use super::page::Page;
use super::receive::{self, Query, Segments, now};
use super::{Service, Shared, created, ok, require};
use crate::remote::api::token::PublicKey;
use crate::remote::api::{
    ApiKey, ApiKeyPage, ApiKeyPatch, CreatedApiKey, KeyText, NewApiKey, PatchedApiKey, Success,
    format_date,
};
use crate::server::keys::{
    Form, Key, Principal, Refusal, Row, Scope, Standing, Template, new_api_key,
    new_organization_key,
};

const SCOPES_DEFAULT: [Scope; 2] = [Scope::Read, Scope::Write];
const NAME_CHARACTERS_MAX: usize = 100;
const REPOSITORIES_MAX: usize = 250;
const LIFE_SECONDS: std::ops::RangeInclusive<u64> = 100..=31_536_000;
const TAGS_MAX: usize = 64;
const TAG_NAME_CHARACTERS_MAX: usize = 64;
const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// Lets those pass who may look at keys.
fn may_look(service: &Service, principal: &Principal, organization: &str) -> Result<(), Failure> {
    service.organization(organization)?;
    require(principal, Scope::Admin)?;
    match principal.is_restricted() {
        false => Ok(()),
        true => Err(Failure::refused(
            "a credential for some repositories does not manage keys",
        )),
    }
}

/// Lets those pass who may change keys.
fn may_change(service: &Service, principal: &Principal, organization: &str) -> Result<(), Failure> {
    may_look(service, principal, organization)?;
    match principal.form {
        Form::Key => Ok(()),
        Form::Token => Err(Failure::refused(
            "an access token does not manage keys: use an API key",
        )),
    }
}

/// Waits for the turn, and changes the table on a thread that may block; not behind Git's work, as
/// a revocation must not wait.
pub(super) async fn changing<T, F>(service: &Shared, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service) -> Result<T, Failure> + Send + 'static,
{
    let turn = service.data.keys.turn.clone().acquire_owned().await?;
    let service = service.clone();
    let changed = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&service)
    });
    changed.await?
}

/// The same for whoever asked to change keys, unless their own was revoked while they waited.
async fn managing<T, F>(service: &Shared, principal: Principal, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service, &Principal) -> Result<T, Failure> + Send + 'static,
{
    changing(service, move |service| {
        let own = service.data.keys.find(&principal.key_id);
        let standing = own.map(|own| own.row.standing(now()));
        match standing {
            Some(Standing::Active) => work(service, &principal),
            Some(Standing::Expired) => Err(Failure::unauthorized(Refusal::Expired)),
            Some(Standing::Revoked) | None => Err(Failure::unauthorized(Refusal::Revoked)),
        }
    })
    .await
}

fn date(seconds: u64) -> String {
    format_date(seconds.cast_signed())
}

fn scope_names(row: &Row) -> Vec<String> {
    let names = row.scopes.iter().map(|scope| scope.name().to_owned());
    names.collect()
}

fn repository_ids(row: &Row) -> Option<Vec<String>> {
    let ids = row.repository_ids.as_ref()?;
    Some(ids.iter().cloned().collect())
}

fn describe(key: &Key) -> ApiKey {
    let row = &key.row;
    ApiKey {
        id: row.id.clone(),
        name: row.name.clone(),
        scopes: scope_names(row),
        repo_ids: repository_ids(row),
        metadata: None,
        tags: row.tags.clone(),
        last_used_at: key.last_used_at().map(date),
        expires_at: row.expires_at.map(date),
        revoked_at: row.revoked_at.map(date),
        created_at: date(row.created_at),
        public_key: row.public_key().map(|key| key.to_string()),
    }
}

/// What a listing leaves out.
struct Filter {
    /// A part of the name, or an id, in lower case.
    query: Option<String>,
    standing: Option<Standing>,
    scope: Option<Scope>,
    repository_id: Option<String>,
}

impl Filter {
    fn of(query: &Query) -> Result<Filter, Failure> {
        let standing = match query.text("status")? {
            None | Some("all") => None,
            Some("active") => Some(Standing::Active),
            Some("expired") => Some(Standing::Expired),
            Some("revoked") => Some(Standing::Revoked),
            Some(_) => {
                return Err(Failure::invalid(
                    "status: want active, revoked, expired or all",
                ));
            }
        };
        let scope = query.text("scope")?.map(scope).transpose()?;
        Ok(Filter {
            query: query.text("query")?.map(str::to_lowercase),
            standing,
            scope,
            repository_id: query.text("repo_id")?.map(str::to_owned),
        })
    }

    /// A key that may do more than is asked for, or reaches all repositories, passes as well: the
    /// question is who can.
    fn passes(&self, row: &Row, now: u64) -> bool {
        let is_named = |part: &String| {
            let name = row.name.as_deref().unwrap_or_default();
            name.to_lowercase().contains(part) || row.id == *part
        };
        let reaches = |id: &String| {
            let ids = row.repository_ids.as_ref();
            ids.is_none_or(|ids| ids.contains(id))
        };
        self.query.as_ref().is_none_or(is_named)
            && self.standing.is_none_or(|want| row.standing(now) == want)
            && self
                .scope
                .is_none_or(|want| row.scopes.last() >= Some(&want))
            && self.repository_id.as_ref().is_none_or(reaches)
    }
}

/// `GET /v1/{org}/api-keys`, newest first.
pub(super) async fn list(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    may_look(&service, &principal, &organization)?;
    let query = Query::of(&uri);
    let page = Page::of(&query)?;
    let filter = Filter::of(&query)?;
    let now = now();
    // Pages are cut in the order of a text, so it counts down as time goes on.
    let order = |key: Arc<Key>| {
        let left = u64::MAX - key.row.created_at;
        (format!("{left:020} {}", key.row.id), key)
    };
    let keys = service.data.keys.keys().into_iter();
    let found = keys.filter(|key| filter.passes(&key.row, now));
    let mut found: Vec<(String, Arc<Key>)> = found.map(order).collect();
    found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let (found, next_cursor) = page.cut(found, |(order, _)| order);
    Ok(ok(ApiKeyPage {
        has_more: next_cursor.is_some(),
        next_cursor,
        api_keys: found.iter().map(|(_, key)| describe(key)).collect(),
    }))
}

/// `POST /v1/{org}/api-keys`.
pub(super) async fn create(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    may_change(&service, &principal, &organization)?;
    let new: NewApiKey = receive::json(&service, &headers, body).await?.value;
    let now = now();
    let public_key = new.public_key.as_deref().map(public_key).transpose()?;
    let template = template(&service, new, now)?;
    let (value, row) = match public_key {
        Some(key) => (None, new_organization_key(template, key, now)),
        None => {
            let (value, row) = new_api_key(template, now);
            (Some(value), row)
        }
    };
    managing(&service, principal, move |service, principal| {
        let key = service.data.keys.add(row, now)?;
        let row = &key.row;
        tracing::info!(key = row.id, by = principal.key_id, "an API key was made");
        let mut response = created(CreatedApiKey {
            id: row.id.clone(),
            key: value.map(KeyText::new),
            name: row.name.clone(),
            scopes: scope_names(row),
            repo_ids: repository_ids(row),
            tags: row.tags.clone(),
            expires_at: row.expires_at.map(date),
            created_at: date(row.created_at),
            public_key: row.public_key().map(|key| key.to_string()),
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}

fn template(service: &Service, new: NewApiKey, now: u64) -> Result<Template, Failure> {
    let scopes = match new.scopes {
        None => SCOPES_DEFAULT.into(),
        Some(names) if names.is_empty() => {
            return Err(Failure::invalid("scopes: want at least one"));
        }
        Some(names) => names
            .iter()
            .map(|name| scope(name))
            .collect::<Result<_, _>>()?,
    };
    let repository_ids = new
        .repo_ids
        .map(|ids| check_repositories(service, ids))
        .transpose()?;
    let expires_at = match new.expires_in_seconds {
        None => None,
        Some(seconds) if LIFE_SECONDS.contains(&seconds) => Some(now.saturating_add(seconds)),
        Some(_) => {
            return Err(Failure::invalid(
                "expires_in_seconds: want 100 to 31536000, a year",
            ));
        }
    };
    let mut tags = BTreeMap::new();
    for (name, value) in new.tags.unwrap_or_default() {
        if tags.insert(name.to_lowercase(), value).is_some() {
            return Err(Failure::invalid("tags: the same name twice"));
        }
    }
    check_tags(&tags)?;
    Ok(Template {
        name: new.name.map(check_name).transpose()?,
        scopes,
        repository_ids,
        tags,
        expires_at,
    })
}

fn public_key(text: &str) -> Result<PublicKey, Failure> {
    PublicKey::try_from(text).map_err(|error| Failure::invalid(format!("public_key: {error}")))
}

fn scope(name: &str) -> Result<Scope, Failure> {
    Scope::of_name(name).ok_or_else(|| Failure::invalid("scope: want read, write or admin"))
}

fn check_name(name: String) -> Result<String, Failure> {
    let is_good = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count())
        && !name.trim().is_empty()
        && !name.contains(char::is_control);
    match is_good {
        true => Ok(name),
        false => Err(Failure::invalid(
            "name: want 1 to 100 characters, no control characters",
        )),
    }
}

fn check_repositories(service: &Service, ids: Vec<String>) -> Result<BTreeSet<String>, Failure> {
    if !(1..=REPOSITORIES_MAX).contains(&ids.len()) {
        return Err(Failure::invalid(
            "repo_ids: want 1 to 250, or none of the field for all",
        ));
    }
    let known = service.repositories.all();
    let known: BTreeSet<&str> = known.iter().map(|hosted| hosted.id.as_str()).collect();
    match ids.iter().all(|id| known.contains(id.as_str())) {
        true => Ok(ids.into_iter().collect()),
        false => Err(Failure::invalid(
            "repo_ids: no such repository; want ids as `GET repos` tells them, not names",
        )),
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    let is_good = tags.len() <= TAGS_MAX
        && tags.iter().all(|(name, value)| {
            (1..=TAG_NAME_CHARACTERS_MAX).contains(&name.chars().count())
                && value.chars().count() <= TAG_VALUE_CHARACTERS_MAX
        });
    match is_good {
        true => Ok(()),
        false => Err(Failure::invalid(
            "tags: at most 64, names of 1 to 64 characters, values up to 256",
        )),
    }
}

fn find(service: &Service, id: &str) -> Result<Arc<Key>, Failure> {
    let found = service.data.keys.find(id);
    found.ok_or_else(|| Failure::not_found("no such API key"))
}

/// `PATCH /v1/{org}/api-keys/{key}`.
pub(super) async fn patch(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, id)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    may_change(&service, &principal, &organization)?;
    find(&service, &id)?;
    let patch: ApiKeyPatch = receive::json(&service, &headers, body).await?.value;
    let name = patch.name.map(check_name).transpose()?;
    managing(&service, principal, move |service, _| {
        let mut row = find(service, &id)?.row.clone();
        for (name, value) in patch.tags.unwrap_or_default() {
            let name = name.to_lowercase();
            match value {
                Some(value) => row.tags.insert(name, value),
                None => row.tags.remove(&name),
            };
        }
        check_tags(&row.tags)?;
        row.name = name.or(row.name);
        let answer = PatchedApiKey {
            tags: row.tags.clone(),
            name: row.name.clone(),
        };
        service.data.keys.replace(row)?;
        Ok(ok(answer))
    })
    .await
}

/// `DELETE /v1/{org}/api-keys/{key}`: from the answer on the key and its tokens are refused. What is
/// revoked stays so since the first time.
pub(super) async fn revoke(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments((organization, id)): Segments<(String, String)>,
) -> Result<Response, Failure> {
    may_change(&service, &principal, &organization)?;
    managing(&service, principal, move |service, principal| {
        let mut row = find(service, &id)?.row.clone();
        if row.revoked_at.is_none() {
            row.revoked_at = Some(now());
            service.data.keys.replace(row)?;
            tracing::info!(key = id, by = principal.key_id, "an API key was revoked");
        }
        Ok(ok(Success { success: true }))
    })
    .await
}
