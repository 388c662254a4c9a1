//! The REST contract over axum: routes, and what their handlers share.
//!
//! Every request passes, in this order: the access log, the count, the bound on what runs at once,
//! authentication (401 before anything else is said), the key's rate, the check of path segments (an empty, `.` or `..` segment is 404, so that a folded
//! URL never reaches another route), and the route. Paths are matched as they came, so an encoded
//! slash stays inside its segment, and no trailing slash is ignored. Git work runs on blocking
//! threads, a bounded number at once.

mod access;
mod api_keys;
mod blobs;
mod bookmarks;
mod bytes;
mod changes;
mod content;
mod diff;
mod document;
mod failure;
mod feed;
mod limits;
mod merge;
mod metrics;
mod news;
mod objects;
mod organization;
mod page;
mod receive;
mod repos;
mod routes;
mod smart;
mod snapshot;
mod tags;
mod uploads;
mod upstream;
mod webhooks;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::data::DataFolder;
use super::error::Error;
use super::events::Events;
use super::git::SizeCache;
use super::keys::{Principal, Scope};
use super::repositories::{Hosted, Repositories};
use super::upkeep::Upkeep;
use super::webhooks::Webhooks;
use super::{Options, git, in_place};
use failure::Failure;

/// Most requests whose Git work runs at once; more wait. Each may hold a decoded object, and
/// eight are enough to keep both the disk and a few processors busy.
const GIT_WORKERS_MAX: usize = 8;

/// What all handlers share.
#[derive(Debug)]
pub(super) struct Service {
    data: DataFolder,
    repositories: Repositories,
    events: Events,
    webhooks: Webhooks,
    sizes: SizeCache,
    large: git::LargeBlobs,
    workers: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    limits: limits::Limits,
    metrics: metrics::Metrics,
    /// Ends what would not end by itself.
    stopping: CancellationToken,
    /// Turns of the `git` program.
    programs: Arc<Semaphore>,
    upkeep: Upkeep,
}

type Shared = Arc<Service>;

impl Service {
    /// Opens the data directory and imports; blocks.
    pub(super) fn open(
        options: Options,
        now: u64,
        stopping: CancellationToken,
    ) -> Result<Service, Error> {
        let data = DataFolder::open(&options.data, &options.organization, now)?;
        let repositories = Repositories::open(&data)?;
        for (name, source) in &options.imports {
            repositories.import(&data, name, source, now)?;
        }
        if let Some((folder, access)) = &options.in_place {
            let created_at = data.organization.created_at;
            repositories.add(in_place::open(folder, *access, created_at)?);
        }
        let events = Events::new();
        let webhooks = Webhooks::open(
            &data.path,
            &options.webhook_hosts,
            &data.organization,
            events.listen(),
        )?;
        let programs = Arc::new(Semaphore::new(smart::PROGRAMS_MAX));
        Ok(Service {
            data,
            repositories,
            events,
            webhooks,
            sizes: SizeCache::default(),
            large: git::LargeBlobs::default(),
            workers: Arc::new(Semaphore::new(GIT_WORKERS_MAX)),
            bodies: Arc::new(Semaphore::new(receive::BODIES_MIB_MAX)),
            limits: limits::Limits::new(options.rate_limit),
            metrics: metrics::Metrics::default(),
            stopping,
            upkeep: Upkeep::start(programs.clone()),
            programs,
        })
    }

    /// A repository that the credential sees, if its scopes include `scope`.
    fn repository(
        &self,
        principal: &Principal,
        organization: &str,
        name: &str,
        scope: Scope,
    ) -> Result<Arc<Hosted>, Failure> {
        self.organization(organization)?;
        let hosted = self
            .repositories
            .find(name)
            .filter(|hosted| self.sees(principal, hosted))
            .ok_or_else(|| Failure::not_found("no such repository"))?;
        self.require_in(principal, &hosted, scope)?;
        if scope > Scope::Read && hosted.git.access() == git::Access::ReadOnly {
            return Err(Failure::read_only());
        }
        Ok(hosted)
    }

    /// Lets those pass who may do that in a repository that they see.
    fn require_in(
        &self,
        principal: &Principal,
        hosted: &Hosted,
        scope: Scope,
    ) -> Result<(), Failure> {
        match principal.may_in(&self.full_name(hosted), scope) {
            true => Ok(()),
            false => Err(Failure::forbidden()),
        }
    }

    fn organization(&self, slug: &str) -> Result<(), Failure> {
        match slug == self.data.organization.slug {
            true => Ok(()),
            false => Err(Failure::not_found("no such organization")),
        }
    }

    /// A repository as it is now, for whoever has both turns and found it before.
    fn current(&self, hosted: &Hosted) -> Result<Arc<Hosted>, Failure> {
        let found = self.repositories.find_id(&hosted.id);
        found.ok_or_else(|| Failure::not_found("no such repository"))
    }

    fn sees(&self, principal: &Principal, hosted: &Hosted) -> bool {
        principal.sees(&hosted.id, &self.full_name(hosted))
    }

    fn full_name(&self, hosted: &Hosted) -> String {
        format!("{}/{}", self.data.organization.slug, hosted.name)
    }
}

fn require(principal: &Principal, scope: Scope) -> Result<(), Failure> {
    match principal.may(scope) {
        true => Ok(()),
        false => Err(Failure::forbidden()),
    }
}

/// Runs Git work on a blocking thread.
async fn blocking<T, F>(service: &Shared, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service) -> Result<T, Failure> + Send + 'static,
{
    let worker = service.workers.clone().acquire_owned().await?;
    let service = service.clone();
    let result = tokio::task::spawn_blocking(move || {
        let _worker = worker;
        work(&service)
    });
    result.await?
}

/// Waits for a turn and then runs work that writes; the turn ends with the work, even when the
/// client has gone away in between.
async fn writing<T, F>(service: &Shared, turn: &Arc<Semaphore>, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service) -> Result<T, Failure> + Send + 'static,
{
    let turn: OwnedSemaphorePermit = turn.clone().acquire_owned().await?;
    blocking(service, move |service| {
        let _turn = turn;
        work(service)
    })
    .await
}

fn ok(value: impl Serialize) -> Response {
    Json(value).into_response()
}

fn created(value: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(value)).into_response()
}

/// All routes.
pub(super) fn router(service: Service) -> Router {
    let service = Arc::new(service);
    let nothing = || async { Failure::not_found("no such route") };
    routes::table()
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handler)
        })
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .layer(middleware::from_fn(access::check_segments))
        .layer(middleware::from_fn_with_state(
            service.clone(),
            limits::bound_rate,
        ))
        .layer(middleware::from_fn_with_state(
            service.clone(),
            access::authenticate,
        ))
        .merge(smart::router())
        .route("/healthz", get(metrics::health))
        .layer(middleware::from_fn_with_state(
            service.clone(),
            limits::bound_running,
        ))
        .layer(middleware::from_fn_with_state(
            service.clone(),
            metrics::count,
        ))
        .layer(middleware::from_fn(access::log))
        .with_state(service)
}
