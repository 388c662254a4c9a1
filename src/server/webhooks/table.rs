//! The targets as they are stored: `webhooks.json`, 0600, since it has what deliveries are signed with.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::server::data;
use crate::server::error::Error;

/// What a target's deliveries are signed with; no log shows it.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn random() -> Secret {
        let mut random = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(random.as_mut());
        let text = URL_SAFE_NO_PAD.encode(random.as_slice());
        Secret(format!("whsec_{text}"))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// One target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) url: String,
    pub(super) secret: Secret,
    pub(super) events: Vec<String>,
    /// Ids of repositories; `None` is all.
    pub(super) repository_ids: Option<Vec<String>>,
    /// Seconds since 1970.
    pub(super) created_at: u64,
    pub(super) updated_at: u64,
}

impl Row {
    /// Whether the target is to hear of an event in a repository.
    pub(super) fn wants(&self, event: &str, repository_id: &str) -> bool {
        let is_of = |ids: &Vec<String>| ids.iter().any(|id| id == repository_id);
        self.events.iter().any(|wanted| wanted == event)
            && self.repository_ids.as_ref().is_none_or(is_of)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    version: u64,
    targets: Vec<Row>,
}

/// Reads all targets.
pub(super) fn read(file: &Path) -> Result<Vec<Row>, Error> {
    let Some(table) = data::read_json::<Table>(file)? else {
        return Ok(Vec::new());
    };
    data::check_version(file, table.version)?;
    Ok(table.targets)
}

/// Writes all targets; on return they survive a power cut.
pub(super) fn write(file: &Path, targets: Vec<Row>) -> Result<(), Error> {
    let version = data::version();
    data::publish_json(file, &Table { version, targets })
}
