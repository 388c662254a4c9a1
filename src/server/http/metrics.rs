//! What Prometheus is told, and whether the server is well.

use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde_json::json;

use super::failure::Failure;
use super::{Shared, blocking, ok, require};
use crate::server::keys::{Principal, Scope};

/// What requests have come to.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// From 0.5 ms to 16 s, each twice the one before.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
        }
    }
}

/// Counts a request by its route, which has no names in it, and times it until its head is
/// answered.
pub(super) async fn count(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let response = next.run(request).await;
    service.metrics.observe(
        method.as_str(),
        route,
        response.status().as_u16(),
        begun.elapsed(),
    );
    response
}

impl Metrics {
    fn observe(&self, method: &str, route: String, status: u16, elapsed: Duration) {
        // Anybody can make up methods, and each would be a line for ever.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method);
        let labels = Route {
            route: route.clone(),
        };
        self.seconds
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
        let labels = Answered {
            method: method.unwrap_or("other").to_owned(),
            route,
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }
}

/// `GET /metrics`: the text format of OpenMetrics, for keys with the scope `admin`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Failure> {
    require(&principal, Scope::Admin)?;
    let mut registry = Registry::with_prefix("mesa_serve");
    let metrics = &service.metrics;
    let help = "Requests, by route and status";
    registry.register("requests", help, metrics.requests.clone());
    let help = "Seconds until a request was answered";
    registry.register("request_seconds", help, metrics.seconds.clone());
    let running = service.limits.running();
    for (name, help, value) in [
        ("running_requests", "Requests that run now", running),
        (
            "repositories",
            "Repositories that are served",
            service.repositories.all().len(),
        ),
        (
            "idle_git_workers",
            "Threads that are free to read and write repositories",
            service.workers.available_permits(),
        ),
    ] {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        registry.register(name, help, ConstGauge::new(value));
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Failure::internal(&error))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// `GET /healthz`: 200 when repositories can be read and written, without a credential, and with
/// nothing that is worth one.
pub(super) async fn health(State(service): State<Shared>) -> Result<Response, Failure> {
    blocking(&service, |service| {
        let folder = service.data.temporary_folder();
        match tempfile::tempfile_in(&folder) {
            Ok(_) => Ok(ok(json!({"status": "ok"}))),
            Err(error) => Err(Failure::unavailable(&error)),
        }
    })
    .await
}
