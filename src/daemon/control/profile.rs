//! The words for what is remembered of reading.

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "profile", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProfileRequest {
    /// Write down what was read so far, so that it can be looked at.
    Keep,
    /// Add what a file has, open or not.
    Import {
        /// `org/repo`.
        repo: String,
        /// The file, from the root on; read, and left where it is.
        path: String,
    },
    /// Forget all of it.
    Forget {
        /// `org/repo`.
        repo: String,
    },
}
