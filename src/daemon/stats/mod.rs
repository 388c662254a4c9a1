//! The figures of a running daemon: gathered when somebody asks, from counters that cost next to
//! nothing while nobody does.

mod gather;
mod process;

pub(super) use self::gather::{Sources, gather};

use super::control::{Bucket, Family, FamilyKind, Metrics, Sample, Value};

/// Labels with their values.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// Collects figures by family.
#[derive(Default)]
struct Collector(Metrics);

impl Collector {
    /// Begins a family; what is added next belongs to it.
    fn family(&mut self, kind: FamilyKind, name: &str, help: &str) {
        self.0.families.push(Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            samples: Vec::new(),
        });
    }

    /// A counter.
    fn counter(&mut self, name: &str, help: &str) {
        self.family(FamilyKind::Counter, name, help);
    }

    /// A gauge.
    fn gauge(&mut self, name: &str, help: &str) {
        self.family(FamilyKind::Gauge, name, help);
    }

    /// A number of the last family.
    fn add(&mut self, labels: Labels<'_>, value: u64) {
        self.sample(labels, Value::Number { value });
    }

    /// A histogram of the last family.
    fn observe(&mut self, labels: Labels<'_>, latency: &crate::fuse::Latency) {
        let bounds = crate::fuse::BOUNDS_MICROSECONDS.iter();
        let mut count = 0;
        let buckets = bounds.zip(&latency.buckets).map(|(bound, within)| {
            count += within;
            Bucket {
                le: *bound as f64 / 1e6,
                count,
            }
        });
        let value = Value::Histogram {
            buckets: buckets.collect(),
            count: latency.count(),
            sum: latency.total.as_secs_f64(),
        };
        self.sample(labels, value);
    }

    fn sample(&mut self, labels: Labels<'_>, value: Value) {
        let owned = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
        let labels = labels.iter().map(owned).collect();
        if let Some(family) = self.0.families.last_mut() {
            family.samples.push(Sample { labels, value });
        }
    }
}
