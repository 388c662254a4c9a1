//! Answers that are no success: one status, one code, one JSON body; and nothing of our insides.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use crate::remote::api::{ErrorBody, ErrorDetail, code};
use crate::server::error::Error;
use crate::server::git;
use crate::server::keys::Refusal;
use crate::server::webhooks::Refusal as Refused;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
    trace_id: Option<String>,
    /// Seconds after which it may be tried again.
    retry_after: Option<u64>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            status,
            code,
            message: message.into(),
            details: None,
            trace_id: None,
            retry_after: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code::INVALID_REQUEST, message)
    }

    pub(super) fn unauthorized(refusal: Refusal) -> Failure {
        let (code, message) = match refusal {
            Refusal::Unknown => (code::UNAUTHORIZED, "no valid credential".to_owned()),
            Refusal::PrivateKey => (
                code::UNAUTHORIZED,
                "a private key signs access tokens and is never sent; revoke this one, and \
                 register another"
                    .to_owned(),
            ),
            Refusal::Token(error) => (code::UNAUTHORIZED, error.to_string()),
            Refusal::Expired => (code::TOKEN_EXPIRED, "the credential has expired".to_owned()),
            Refusal::Revoked => (code::KEY_REVOKED, "the API key was revoked".to_owned()),
        };
        Failure::new(StatusCode::UNAUTHORIZED, code, message)
    }

    pub(super) fn forbidden() -> Failure {
        let message = "the credential's scopes do not allow this";
        Failure::new(StatusCode::FORBIDDEN, code::FORBIDDEN, message)
    }

    /// Forbidden for another reason than the scopes.
    pub(super) fn refused(message: &'static str) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, code::FORBIDDEN, message)
    }

    pub(super) fn read_only() -> Failure {
        let message = "the repository is served read-only";
        Failure::new(StatusCode::FORBIDDEN, code::FORBIDDEN, message)
    }

    pub(super) fn not_found(message: &'static str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, code::NOT_FOUND, message)
    }

    pub(super) fn not_acceptable(message: &'static str) -> Failure {
        Failure::new(StatusCode::NOT_ACCEPTABLE, code::NOT_ACCEPTABLE, message)
    }

    pub(super) fn conflict(message: &'static str) -> Failure {
        Failure::new(StatusCode::CONFLICT, code::CONFLICT, message)
    }

    pub(super) fn not_configured(message: &'static str) -> Failure {
        Failure::new(StatusCode::CONFLICT, code::NOT_CONFIGURED, message)
    }

    pub(super) fn too_large(message: &'static str) -> Failure {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::PAYLOAD_TOO_LARGE,
            message,
        )
    }

    /// A range that begins beyond the end.
    pub(super) fn not_satisfiable(size: u64) -> Failure {
        let message = format!("the range is beyond the {size} bytes that there are");
        Failure::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            code::INVALID_REQUEST,
            message,
        )
    }

    /// More than may be asked at once.
    pub(super) fn too_many(wait: Duration) -> Failure {
        let message = "too many requests; try again later";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut failure = Failure::new(status, code::RATE_LIMITED, message);
        let is_part = wait.subsec_nanos() > 0;
        failure.retry_after = Some(wait.as_secs() + u64::from(is_part));
        failure
    }

    /// The disk does not take what it must.
    pub(super) fn unavailable(error: &dyn std::error::Error) -> Failure {
        let mut failure = Failure::internal(error);
        failure.status = StatusCode::SERVICE_UNAVAILABLE;
        failure
    }

    pub(super) fn timed_out() -> Failure {
        let message = "the body stopped arriving";
        Failure::new(StatusCode::REQUEST_TIMEOUT, code::INVALID_REQUEST, message)
    }

    /// A fault of ours: logged in full under an id, of which the client sees only the id.
    pub(super) fn internal(error: &dyn std::error::Error) -> Failure {
        let trace_id = uuid::Uuid::new_v4().simple().to_string();
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        tracing::error!(trace_id, %error, ?causes, "request failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let mut failure = Failure::new(status, code::INTERNAL_ERROR, "internal error");
        failure.trace_id = Some(trace_id);
        failure
    }
}

impl Failure {
    /// For programs that show people the body as it is, like git.
    pub(super) fn into_text(self) -> Response {
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        let mut text = self.message;
        if let Some(trace_id) = self.trace_id {
            text.push_str(&format!(" ({trace_id})"));
        }
        text.push('\n');
        (self.status, kind, text).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message,
                details: self.details,
                trace_id: self.trace_id,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Failure {
        use git::Error as E;
        let (status, code) = match &error {
            E::UnknownChange | E::UnknownCommit | E::UnknownPath | E::UnknownBookmark => {
                (StatusCode::NOT_FOUND, code::NOT_FOUND)
            }
            E::Stale => (StatusCode::CONFLICT, code::STALE_CHANGE),
            E::StaleBookmark => (StatusCode::CONFLICT, code::STALE_BOOKMARK),
            E::Raced => (StatusCode::CONFLICT, code::LOCK_CONFLICT),
            E::NotForward => (StatusCode::CONFLICT, code::NOT_FORWARD),
            E::MergeConflict(conflicts) | E::Conflicted(conflicts) => {
                let mut failure = Failure::new(
                    StatusCode::CONFLICT,
                    code::MERGE_CONFLICT,
                    error.to_string(),
                );
                failure.details = super::merge::details(conflicts);
                return failure;
            }
            E::UploadOffset { .. }
            | E::BookmarkExists
            | E::DefaultBookmark
            | E::FileInTheWay
            | E::DirectoryInTheWay => (StatusCode::CONFLICT, code::CONFLICT),
            E::PatchTooLarge => (StatusCode::NOT_ACCEPTABLE, code::NOT_ACCEPTABLE),
            E::UnknownBlob(_)
            | E::UnknownTree(_)
            | E::UploadDiffers(_)
            | E::RenameIntoItself
            | E::NoFile
            | E::BookmarkName
            | E::VirtualRoot
            | E::NoConflict { .. }
            | E::NotConflicted
            | E::MergeIntoItself
            | E::Path(_)
            | E::PathEmpty
            | E::PathDepth
            | E::PathReserved
            | E::Encoding(_)
            | E::LinkTarget
            | E::Identity
            | E::Date
            | E::Message
            | E::ListingTooLong => (StatusCode::BAD_REQUEST, code::INVALID_REQUEST),
            E::ProgramMissing => (StatusCode::NOT_IMPLEMENTED, code::NOT_IMPLEMENTED),
            E::Program { .. }
            | E::ProgramFailed { .. }
            | E::Task(_)
            | E::SourceChanged { .. }
            | E::SourcePartial { .. }
            | E::SourceHash { .. }
            | E::SourceKind { .. }
            | E::Git { .. }
            | E::Io { .. } => return Failure::internal(&error),
        };
        Failure::new(status, code, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::RepositoryName(_) => Failure::invalid(error.to_string()),
            Error::InPlace => {
                Failure::new(StatusCode::FORBIDDEN, code::FORBIDDEN, error.to_string())
            }
            Error::TooManyKeys { .. } | Error::KeyRegistered => {
                Failure::new(StatusCode::CONFLICT, code::CONFLICT, error.to_string())
            }
            error => Failure::internal(&error),
        }
    }
}

impl From<Refused> for Failure {
    fn from(error: Refused) -> Failure {
        let (status, code) = match error {
            Refused::Unknown => (StatusCode::NOT_FOUND, code::NOT_FOUND),
            Refused::Url | Refused::Host => (StatusCode::BAD_REQUEST, code::INVALID_REQUEST),
            Refused::TooMany => (StatusCode::CONFLICT, code::CONFLICT),
            Refused::Storage(error) => return error.into(),
        };
        Failure::new(status, code, error.to_string())
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Failure {
        Failure::internal(&error)
    }
}

impl From<tokio::sync::AcquireError> for Failure {
    fn from(error: tokio::sync::AcquireError) -> Failure {
        Failure::internal(&error)
    }
}
