//! Traces by OTLP over HTTP, to the collector that the configuration names and to nobody else.
//!
//! What takes time or goes to the server is a span: a request of the kernel that has to wait, an
//! attempt to push, the opening of a repository, and each request to the server as a child of what
//! asked for it. Requests that are answered at once make none, so a mount that is not traced pays
//! nothing, and one that is pays nothing where it is fast.
//!
//! The SDK batches on a thread of its own, whose queue is bounded: spans that a slow or dead collector
//! does not take in time are lost, and nothing else notices. The usual variables of OpenTelemetry
//! (headers, resource attributes, sampling) hold, but for its endpoints: they alone make no mount
//! send anything.

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Error;
use crate::config::CollectorUrl;
use crate::remote::Collector;
use crate::traced::TRACED;

/// Where collectors take spans.
const PATH: &str = "/v1/traces";
/// How long the last spans of a process may take.
const LAST_SPANS: Duration = Duration::from_secs(1);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What turns spans of ours into traces, if there is a collector for them.
///
/// # Errors
///
/// The address, or there can be no thread.
pub(super) fn layer<S>(url: Option<&CollectorUrl>) -> Result<Option<impl Layer<S>>, Error>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let Some(url) = url else { return Ok(None) };
    let endpoint = endpoint(url.as_str());
    let courier = Courier {
        collector: Collector::new(&endpoint)?,
        is_failing: AtomicBool::new(false),
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(courier)
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| Error::Setup(std::io::Error::other(error)))?;
    let resource = Resource::builder()
        .with_service_name("mesa")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("mesa");
    let _only_once = PROVIDER.set(provider);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(filter_fn(is_traced).with_max_level_hint(Level::INFO));
    Ok(Some(layer))
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TRACED
}

/// The collector's address is that of all its signals, unless it is already that of traces.
fn endpoint(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.ends_with(PATH) {
        true => url.to_owned(),
        false => format!("{url}{PATH}"),
    }
}

/// Sends what is left, before the process ends.
pub(super) fn finish() {
    if let Some(provider) = PROVIDER.get() {
        // What it could not deliver is lost, like all that a collector does not take.
        let _lost = provider.shutdown_with_timeout(LAST_SPANS);
    }
}

/// Carries the exporter's requests, and says in the log when that begins to fail and when it ends.
#[derive(Debug)]
struct Courier {
    collector: Collector,
    is_failing: AtomicBool,
}

impl Courier {
    fn deliver(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let delivered = self.collector.post(&head.uri.to_string(), headers, body);
        let failure = match &delivered {
            Ok((200..300, _)) => None,
            Ok((status, _)) => Some(format!("it answers {status}")),
            Err(failure) => Some(failure.to_string()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => {
                tracing::warn!(error, "the collector does not take traces, which are lost");
            }
            None if was_failing => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        let (status, body) = delivered?;
        Ok(Response::builder().status(status).body(body.into())?)
    }
}

impl HttpClient for Courier {
    fn send_bytes<'this, 'future>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        // The exporter has a thread of its own, which may block.
        Box::pin(async move { self.deliver(request) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_the_collector_or_that_of_its_traces() {
        for url in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            assert_eq!(endpoint(url), "http://c:4318/v1/traces");
        }
        assert_eq!(endpoint("http://c/otlp"), "http://c/otlp/v1/traces");
    }
}
