//! Figures of a running daemon, as they cross the control socket and as `--format json` prints them:
//! names, labels and keys are added, never renamed or dropped.

use serde::{Deserialize, Serialize};

/// All figures of one moment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// The families, in an order that stays.
    pub families: Vec<Family>,
}

/// What the values of a family are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyKind {
    /// They only grow, from 0 at the daemon's start.
    Counter,
    /// They go up and down.
    Gauge,
    /// How many observations were at most so large.
    Histogram,
}

impl FamilyKind {
    /// The kind's name, as Prometheus has it.
    pub fn name(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        }
    }
}

/// Figures of one name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Family {
    /// The name.
    pub name: String,
    /// What it is.
    pub help: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: FamilyKind,
    /// One figure for each combination of labels.
    pub samples: Vec<Sample>,
}

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// What tells it from the others of its family.
    pub labels: Vec<(String, String)>,
    /// Its value.
    #[serde(flatten)]
    pub value: Value,
}

/// The value of a figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Number {
        /// The number.
        value: u64,
    },
    /// A histogram.
    Histogram {
        /// Observations of at most `le`, those of smaller buckets included; in growing order.
        buckets: Vec<Bucket>,
        /// All observations.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// A bucket of a histogram.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// The largest observation in it.
    pub le: f64,
    /// Observations in it and in those before.
    pub count: u64,
}
