//! Traces: what a collector gets, that nobody else gets anything, and that nothing waits for one.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::world::World;
use crate::until;

/// One request that a collector got: its path, its key, and its body.
type Delivery = (String, Option<String>, Value);

/// A collector, which ends when it is dropped.
struct Collector {
    address: SocketAddr,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    _runtime: Runtime,
}

impl Collector {
    /// One that takes everything.
    fn start() -> Collector {
        Collector::answering(|| StatusCode::OK.into_response())
    }

    fn answering(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Collector {
        let runtime = Runtime::new().unwrap();
        let deliveries: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let taken = Arc::clone(&deliveries);
        let router = Router::new().fallback(move |request: Request| {
            let (taken, answer) = (Arc::clone(&taken), answer.clone());
            async move {
                let path = request.uri().path().to_owned();
                let key = request.headers().get("x-collector-key").cloned();
                let body = axum::body::to_bytes(request.into_body(), 64 << 20).await;
                let body = serde_json::from_slice(&body.unwrap()).unwrap_or(Value::Null);
                let key = key.map(|key| key.to_str().unwrap().to_owned());
                taken.lock().push((path, key, body));
                answer()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Collector {
            address,
            deliveries,
            _runtime: runtime,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Value> {
        let deliveries = self.deliveries.lock();
        let resources = deliveries
            .iter()
            .flat_map(|(_, _, body)| items(body, "resourceSpans"));
        let scopes = resources.flat_map(|resource| items(resource, "scopeSpans"));
        scopes
            .flat_map(|scope| items(scope, "spans"))
            .cloned()
            .collect()
    }
}

fn items<'value>(value: &'value Value, key: &str) -> &'value [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// An attribute's value, as text.
fn attribute(of: &Value, key: &str) -> Option<String> {
    let found = items(of, "attributes")
        .iter()
        .find(|one| one["key"] == key)?;
    let value = found["value"].as_object()?.values().next()?;
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn world(settings: &[(&str, &str)]) -> World {
    let source = tempfile::tempdir().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    for (name, value) in settings {
        world.set(name, value);
    }
    world
}

/// Reads, edits and pushes, and ends the mount.
fn work(world: &mut World) {
    world.mount();
    let app = world.repo("app");
    fs::read(app.join("README.md")).unwrap();
    fs::write(app.join("traced"), "traced\n").unwrap();
    world.flush();
    world.unmount("30s").success();
}

#[test]
fn a_collector_gets_what_waited_and_what_went_to_the_server_and_no_credential() {
    let collector = Collector::start();
    let mut world = world(&[
        ("MESA_TELEMETRY_COLLECTOR_URL", &collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=open-sesame"),
        ("OTEL_RESOURCE_ATTRIBUTES", "sandbox=seven"),
    ]);
    work(&mut world);
    let spans = collector.spans();
    let named =
        |name: &str| -> Vec<&Value> { spans.iter().filter(|span| span["name"] == name).collect() };
    let id = |span: &Value, key: &str| span[key].as_str().unwrap_or_default().to_owned();
    for name in ["open", "push"] {
        let repository = attribute(named(name)[0], "mesa.repository");
        assert_eq!(repository.as_deref(), Some("local/app"), "{name}");
    }
    assert!(!named("lookup").is_empty(), "{spans:?}");
    // The push, and what it asked of the server, are one trace.
    let push = named("push");
    let patches = named("PATCH");
    let patch = patches.first().expect("the push is a request");
    let parent = push
        .iter()
        .find(|push| id(push, "spanId") == id(patch, "parentSpanId"))
        .expect("a push is the parent of its request");
    assert_eq!(id(parent, "traceId"), id(patch, "traceId"));
    let path = attribute(patch, "url.path").unwrap();
    assert!(path.starts_with("/local/app/changes/"), "{path}");
    assert_eq!(patch["kind"], 3, "a client's");
    let read = named("GET");
    assert!(
        read.iter().any(|get| attribute(get, "url.query")
            .is_some_and(|query| query.contains("README.md"))),
        "{read:?}"
    );
    let deliveries = collector.deliveries.lock();
    for (path, key, body) in deliveries.iter() {
        assert_eq!(path, "/v1/traces");
        assert_eq!(key.as_deref(), Some("open-sesame"));
        let text = body.to_string();
        assert!(!text.contains(&world.token), "a credential is in a trace");
        let resource = &items(body, "resourceSpans")[0]["resource"];
        let of_resource = |key| attribute(resource, key);
        assert_eq!(of_resource("service.name").as_deref(), Some("mesa"));
        assert_eq!(of_resource("sandbox").as_deref(), Some("seven"));
    }
}

#[test]
fn nothing_goes_to_a_collector_that_only_the_environment_or_an_answer_names() {
    let other = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", other.url()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", other.url()),
    ];
    let mut settings: Vec<(&str, &str)> = Vec::new();
    settings.extend(variables.iter().map(|(name, url)| (*name, url.as_str())));
    work(&mut world(&settings));
    assert!(
        other.deliveries.lock().is_empty(),
        "nobody asked for traces"
    );

    let location = format!("{}/v1/traces", other.url());
    let moved = Collector::answering(move || {
        (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, location.clone())],
        )
            .into_response()
    });
    let url = moved.url();
    settings.push(("MESA_TELEMETRY_COLLECTOR_URL", &url));
    let mut world = world(&settings);
    work(&mut world);
    assert!(!moved.deliveries.lock().is_empty(), "traces were asked for");
    assert!(
        other.deliveries.lock().is_empty(),
        "it was followed elsewhere"
    );
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    assert_eq!(log.matches("does not take traces").count(), 1, "{log}");
}

#[test]
fn nothing_waits_for_a_collector_that_is_silent_or_gone() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for address in [silent.local_addr().unwrap(), gone] {
        let url = format!("http://{address}");
        let mut world = world(&[
            ("MESA_TELEMETRY_COLLECTOR_URL", &url),
            // A delivery is under way while the work is done.
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        world.mount();
        let app = world.repo("app");
        fs::read(app.join("README.md")).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        fs::write(app.join("traced"), "traced\n").unwrap();
        world.flush();
        let log = || fs::read_to_string(world.data().join("daemon.log")).unwrap();
        until("it is said once that traces are lost", || {
            log().matches("does not take traces").count() == 1
        });
        let begun = Instant::now();
        world.unmount("30s").success();
        // A second for the last spans, and the end of a mount on a busy machine.
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}
