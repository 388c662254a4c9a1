//! What went wrong lately: a bounded list of the log's warnings and errors, and of requests that
//! failed for a reason which their errno cannot tell.
//!
//! It listens where the log listens, so that nothing has to be told twice. A process has one log, and
//! one such list.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::fuse::INCIDENTS;
use crate::remote::api::format_date;
use crate::tree::Timestamp;

/// Incidents that are kept: some hours of a bad network, a second of a program that reads everything.
const KEPT_MAX: usize = 512;
/// Longest text of one field: that of the longest path.
const TEXT_BYTES_MAX: usize = 4096;

/// One thing that went wrong, as a line of `errors.ndjson` has it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(in crate::daemon) struct Incident {
    /// When, RFC 3339 in UTC.
    pub(in crate::daemon) time: String,
    /// `error`, `warning`, or `request` for a request that failed and was told so.
    pub(in crate::daemon) level: &'static str,
    /// What was tried, or what happened.
    pub(in crate::daemon) what: String,
    /// The repository, as `org/repo`.
    pub(in crate::daemon) repository: Option<String>,
    /// The path in it.
    pub(in crate::daemon) path: Option<String>,
    /// What the program was told.
    pub(in crate::daemon) errno: Option<String>,
    /// Why.
    pub(in crate::daemon) reason: Option<String>,
    /// What to do about it.
    pub(in crate::daemon) hint: Option<String>,
    /// The repository's number in this mount, until somebody knows its name.
    #[serde(skip)]
    pub(in crate::daemon) slot: Option<u16>,
}

/// The incidents with the number of each.
struct Ring {
    kept: VecDeque<Incident>,
    /// The number of the next one.
    next: u64,
}

static RING: Mutex<Ring> = Mutex::new(Ring {
    kept: VecDeque::new(),
    next: 0,
});

/// The incidents from a number on, and the number that the next one will have.
pub(in crate::daemon) fn since(number: u64) -> (Vec<Incident>, u64) {
    let ring = RING.lock();
    let first = ring.next - ring.kept.len() as u64;
    let skipped = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
    (ring.kept.iter().skip(skipped).cloned().collect(), ring.next)
}

/// What puts incidents on the list.
pub(super) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>() -> impl Layer<S> {
    Listener.with_filter(wanted::<S>())
}

/// Warnings and errors of ours, and every incident.
fn wanted<S>() -> impl Filter<S> {
    FilterFn::new(|metadata: &Metadata<'_>| {
        let target = metadata.target();
        let ours = target.starts_with("mesa") || target.starts_with("journal");
        metadata.is_event() && (target == INCIDENTS || (ours && *metadata.level() <= Level::WARN))
    })
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut found = Found::default();
        event.record(&mut found);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "request",
        };
        let incident = found.incident(level, SystemTime::now());
        let mut ring = RING.lock();
        if ring.kept.len() >= KEPT_MAX {
            ring.kept.pop_front();
        }
        ring.kept.push_back(incident);
        ring.next += 1;
    }
}

/// The fields of an event.
#[derive(Default)]
struct Found {
    incident: Incident,
    message: Option<String>,
    cause: Option<String>,
    /// What has no place of its own.
    others: String,
}

impl Found {
    fn incident(self, level: &'static str, now: SystemTime) -> Incident {
        let mut incident = self.incident;
        incident.time = format_date(Timestamp::from(now).seconds);
        incident.level = level;
        if incident.what.is_empty() {
            incident.what = self.message.unwrap_or_default();
        }
        let parts = [incident.reason.take(), self.cause, Some(self.others)];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        let reason = parts.collect::<Vec<_>>().join(": ");
        incident.reason = (!reason.is_empty()).then_some(reason);
        incident
    }

    fn take(&mut self, field: &Field, value: String) {
        let value = cut(value);
        match field.name() {
            "message" => self.message = Some(value),
            "what" => self.incident.what = value,
            "repository" => self.incident.repository = Some(value),
            "path" => self.incident.path = Some(value),
            "errno" => self.incident.errno = Some(value),
            "hint" => self.incident.hint = Some(value),
            "error" => self.incident.reason = Some(value),
            "cause" => self.cause = Some(value),
            name => {
                let comma = if self.others.is_empty() { "" } else { ", " };
                let _into_memory = write!(self.others, "{comma}{name}={value}");
                let others = std::mem::take(&mut self.others);
                self.others = cut(others);
            }
        }
    }
}

impl Visit for Found {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "slot" => self.incident.slot = u16::try_from(value).ok(),
            _ => self.take(field, value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

/// At most so much of a text, at the end of a character.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// One test, since the list is the process's.
    #[test]
    fn warnings_and_incidents_are_kept_with_their_fields_up_to_a_bound() {
        let (_, before) = since(u64::MAX);
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("not this");
            tracing::debug!("nor this");
            tracing::warn!(target: "elsewhere", "nor this");
            tracing::warn!(repository = %"local/app", error = %"offline", tries = 3, "not pushed");
            let (what, slot, path): (_, u16, _) = (Some("read"), 7, Some("a/b"));
            let cause = Some(tracing::field::display("no route"));
            tracing::debug!(
                target: INCIDENTS, what, slot, path, errno = "ENETUNREACH", error = %"gone", cause,
                hint = "wait", "a request failed"
            );
        });
        let (found, next) = since(before);
        assert_eq!(next, before + 2);
        let [pushed, read] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (pushed.level, pushed.what.as_str()),
            ("warning", "not pushed")
        );
        assert_eq!(pushed.repository.as_deref(), Some("local/app"));
        assert_eq!(pushed.reason.as_deref(), Some("offline: tries=3"));
        assert_eq!((read.level, read.what.as_str()), ("request", "read"));
        assert_eq!((read.slot, read.path.as_deref()), (Some(7), Some("a/b")));
        assert_eq!(read.reason.as_deref(), Some("gone: no route"));
        assert_eq!(read.hint.as_deref(), Some("wait"));

        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            let long = "é".repeat(TEXT_BYTES_MAX);
            for _ in 0..KEPT_MAX + 3 {
                tracing::warn!(error = %long, "again");
            }
        });
        let (kept, last) = since(before);
        assert_eq!((kept.len(), last), (KEPT_MAX, next + KEPT_MAX as u64 + 3));
        assert_eq!(
            kept[0].reason.as_ref().map(String::len),
            Some(TEXT_BYTES_MAX)
        );
        assert_eq!(since(last - 1).0.len(), 1);
        assert_eq!(since(last), (Vec::new(), last));
    }
}
