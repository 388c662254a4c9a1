//! Webhook targets: who is told what happens.

use serde::{Deserialize, Serialize};

use super::text;

/// Events that a target may want.
pub const WEBHOOK_EVENTS: [&str; 14] = [
    "repo.created",
    "repo.updated",
    "repo.deleted",
    "bookmark.created",
    "bookmark.deleted",
    "bookmark.moved",
    "bookmark.merged",
    "change.created",
    "change.evolved",
    "push",
    "sync.queued",
    "sync.in_progress",
    "sync.completed",
    "sync.failed",
];

/// The header that signs a delivery: `t=<seconds>,sha256=<hex>`.
pub const WEBHOOK_SIGNATURE: &str = "x-mesa-signature";

/// A webhook target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTarget {
    /// Opaque identifier.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Where deliveries go.
    pub url: String,
    /// Which events it wants.
    pub events: Vec<String>,
    /// Of which repositories; all when there are none.
    pub repo_ids: Option<Vec<String>>,
    /// When it was made, ISO 8601.
    pub created_at: String,
    /// When it was changed last, ISO 8601.
    pub updated_at: String,
    /// What became of the last event: an extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<WebhookDelivery>,
    /// Events that were never delivered, and never will be: an extension.
    #[serde(default)]
    pub lost_events: u64,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// The event.
    pub event_id: String,
    /// When it was tried last, ISO 8601.
    pub attempted_at: String,
    /// How often it was tried.
    pub attempts: u64,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// The answer to a new target: the only one that has the secret, hence without `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTarget {
    /// The target.
    #[serde(flatten)]
    pub target: WebhookTarget,
    /// What deliveries are signed with.
    pub secret: String,
}

/// `POST webhook-targets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetInput {
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// Where deliveries go.
    pub url: String,
    /// Which events it wants; pushes when absent.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// Of which repositories; all when absent.
    #[serde(default)]
    pub repo_ids: Option<Vec<String>>,
}

/// `PATCH webhook-targets/{id}`: absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetPatch {
    /// For people; null is none.
    #[serde(default, deserialize_with = "text::nullable")]
    pub name: Option<Option<String>>,
    /// Where deliveries go.
    #[serde(default)]
    pub url: Option<String>,
    /// Which events it wants.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// Of which repositories; null is all.
    #[serde(default, deserialize_with = "text::nullable")]
    pub repo_ids: Option<Option<Vec<String>>>,
}
