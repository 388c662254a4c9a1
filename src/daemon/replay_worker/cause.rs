//! What a push that failed waits for: whom to call, rather than what to do next.

use super::attempt::Error;
use crate::daemon::status::Cause;
use crate::lower::{self, SourceError};
use crate::overlay;
use crate::remote::{Failure, PushError};

/// What has to change before the next attempt gets further.
pub(super) fn of(error: &Error) -> Cause {
    match error {
        Error::Remote(failure) | Error::Push(PushError::Remote(failure)) => of_failure(failure),
        Error::Push(PushError::Lower(lower::Error::Source(source)))
        | Error::Overlay(overlay::Error::Lower(lower::Error::Source(source))) => of_source(source),
        Error::Overlay(_) | Error::Push(_) | Error::NoTransaction => Cause::Local,
        // The next attempt is another one.
        Error::Foreign { .. } | Error::Unsettled => Cause::Network,
    }
}

fn of_failure(failure: &Failure) -> Cause {
    match failure {
        Failure::Forbidden => Cause::Forbidden,
        failure if failure.needs_credential() => Cause::Auth,
        Failure::Setup(_) | Failure::Sink(_) | Failure::Body(_) => Cause::Local,
        _ => Cause::Network,
    }
}

fn of_source(source: &SourceError) -> Cause {
    match source {
        SourceError::Forbidden => Cause::Forbidden,
        SourceError::CredentialMissing
        | SourceError::CredentialExpired
        | SourceError::CredentialRevoked
        | SourceError::CredentialUnknown => Cause::Auth,
        SourceError::Sink(_) => Cause::Local,
        SourceError::Offline
        | SourceError::TimedOut
        | SourceError::NotFound
        | SourceError::Moved
        | SourceError::Protocol
        | SourceError::Server => Cause::Network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_help_is_told_apart() {
        let full = || std::io::Error::from_raw_os_error(libc::ENOSPC);
        let cases: [(Error, Cause); 7] = [
            (Failure::Forbidden.into(), Cause::Forbidden),
            (Failure::CredentialExpired.into(), Cause::Auth),
            (
                Failure::CredentialMissing(
                    crate::secrets::Secrets::default()
                        .find(crate::secrets::Scope::Global)
                        .unwrap_err(),
                )
                .into(),
                Cause::Auth,
            ),
            (Failure::OfflineLately.into(), Cause::Network),
            (Failure::TimedOut.into(), Cause::Network),
            (overlay::Error::Body(full()).into(), Cause::Local),
            (
                overlay::Error::Lower(SourceError::Forbidden.into()).into(),
                Cause::Forbidden,
            ),
        ];
        for (error, cause) in cases {
            assert_eq!(of(&error), cause, "{error:?}");
        }
    }
}
