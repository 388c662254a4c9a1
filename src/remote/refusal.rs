//! Reading an answer that is no success: status, `Retry-After`, and what the body says of the error.

use std::time::Duration;

use super::api::ErrorBody;
use super::failure::Refusal;

/// Longest wait that a server can ask for: a longer one is a mistake or malice, and one of centuries
/// is beyond what instants reach.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What we want to know of an error's details.
#[derive(Default, serde::Deserialize)]
struct ConflictPaths {
    #[serde(default)]
    conflict_paths: Vec<String>,
}

impl Refusal {
    /// Reads one. The status alone decides when there is no body, or none that makes sense.
    pub(super) fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Refusal {
        let seconds = retry_after.and_then(|seconds| seconds.trim().parse().ok());
        let mut refusal = Refusal {
            status,
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
            ..Refusal::default()
        };
        if let Ok(body) = serde_json::from_slice::<ErrorBody>(body) {
            refusal.code = body.error.code;
            refusal.message = body.error.message;
            // Details of another shape are details of another error.
            if let Some(details) = body.error.details {
                let details = serde_json::from_value::<ConflictPaths>(details);
                refusal.conflict_paths = details.unwrap_or_default().conflict_paths;
            }
        }
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_server_asks_for_is_bounded() {
        let asked = |text| Refusal::read(429, Some(text), b"").retry_after;
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(asked("18446744073709551615"), Some(RETRY_AFTER_MAX));
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
