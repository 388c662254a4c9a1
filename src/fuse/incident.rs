//! Failures of requests that a program cannot understand from the errno alone: what was asked for,
//! where, why it failed, and what to do about it.
//!
//! They are events under a target of their own, so that a listener can keep them all while the log
//! keeps what is worth a line: with the network gone, every read of what is not cached fails.

use std::error::Error as _;

use fuser::Errno;
use nix::errno::Errno as Number;

use super::adapter::Place;
use super::current::Current;
use super::inode::NodeId;
use super::{OpenError, errno};
use crate::overlay::Error;
use crate::tree::Name;
use crate::{lower, overlay};

/// The target of the events. Their fields are `what`, `path`, `errno`, `hint`, `error`, `cause`, and
/// `slot` or `repository`, each where it is known.
pub const TARGET: &str = "mesa::incident";

/// How much a failure matters to whoever reads the log.
enum Weight {
    /// Local state or content is not what it should be.
    Grave,
    /// The network, the server or the credential: the status says so as well.
    Passing,
    /// The errno says it all.
    None,
}

/// Tells of a request of a repository that failed.
pub(super) fn note(place: &Place, error: &Error) {
    let weight = weigh(error);
    if matches!(weight, Weight::None) {
        return;
    }
    let current = Current::what();
    let path = current.and_then(|(_, node)| match NodeId::of_kernel(fuser::INodeNo(node)) {
        Some(NodeId::Repository(slot, ino)) if slot == place.slot => place.overlay.path_of(ino),
        _ => None,
    });
    let path = path.map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned());
    let number = errno::of(error);
    let what = current.map(|(kind, _)| kind.name());
    let (path, slot) = (path.as_deref(), place.slot.number());
    let (name, hint) = (name(number), hint(number));
    let cause = error.source().map(tracing::field::display);
    match weight {
        Weight::Grave => tracing::warn!(
            target: TARGET, what, slot, path, errno = name, hint, %error, cause, "a request failed"
        ),
        Weight::Passing => tracing::debug!(
            target: TARGET, what, slot, path, errno = name, hint, %error, cause, "a request failed"
        ),
        Weight::None => {}
    }
}

/// Tells of a repository that could not be opened or listed.
pub(super) fn note_open(organization: &Name, repository: Option<&Name>, error: &OpenError) {
    let weight = match error {
        OpenError::NotFound => Weight::None,
        OpenError::Overlay(error) => weigh(error),
        OpenError::Source(_) => Weight::Passing,
        OpenError::Locked | OpenError::TooMany | OpenError::State(_) => Weight::Grave,
    };
    let mut place = organization.to_string();
    if let Some(repository) = repository {
        place = format!("{place}/{repository}");
    }
    let what = Current::what().map(|(kind, _)| kind.name());
    let number = errno::of_open(error);
    let (name, hint) = (name(number), hint(number));
    let cause = error.source().map(tracing::field::display);
    match weight {
        Weight::Grave => tracing::warn!(
            target: TARGET, what, repository = place, errno = name, hint, %error, cause,
            "a repository did not open"
        ),
        Weight::Passing => tracing::debug!(
            target: TARGET, what, repository = place, errno = name, hint, %error, cause,
            "a repository did not open"
        ),
        Weight::None => {}
    }
}

fn weigh(error: &Error) -> Weight {
    match error {
        overlay::Error::Missing(_)
        | overlay::Error::Lower(
            lower::Error::Corrupt { .. } | lower::Error::DuplicateName | lower::Error::Store(_),
        )
        | overlay::Error::Journal(_)
        | overlay::Error::Upper(_)
        | overlay::Error::Body(_) => Weight::Grave,
        overlay::Error::Lower(lower::Error::Source(_)) | overlay::Error::ReadOnly => {
            Weight::Passing
        }
        overlay::Error::NotFound
        | overlay::Error::Exists
        | overlay::Error::NotDirectory
        | overlay::Error::IsDirectory
        | overlay::Error::NotEmpty
        | overlay::Error::TooLong
        | overlay::Error::Loop
        | overlay::Error::Invalid
        | overlay::Error::Stale
        | overlay::Error::NoAttribute
        | overlay::Error::ValueTooLarge
        | overlay::Error::TooManyAttributes
        | overlay::Error::TooManyLinks
        | overlay::Error::FileTooLarge
        | overlay::Error::NoSuchRange
        | overlay::Error::NoEdits
        | overlay::Error::Unsupported => Weight::None,
    }
}

/// The errno's name, as in manuals.
fn name(errno: Errno) -> String {
    format!("{:?}", Number::from_raw(errno.code()))
}

/// What can be done about it, for whoever reads the file system and not this program.
fn hint(errno: Errno) -> Option<&'static str> {
    Some(match Number::from_raw(errno.code()) {
        Number::ENETUNREACH | Number::ETIMEDOUT => {
            "the server cannot be reached: what was read before and all writing goes on; try again later"
        }
        Number::EKEYEXPIRED | Number::EKEYREVOKED | Number::ENOKEY => {
            "a new credential is needed: what was read before and all writing goes on; \
             `mesa status` tells more"
        }
        Number::EACCES => "the server does not allow this credential to read it",
        Number::ENOSPC | Number::EDQUOT => "free some space on the disk of the data directory",
        Number::EROFS => "unmount and mount again: `mesa status` says which sync failed",
        Number::ESTALE => {
            "the server has this content no more: mount again to see what is there now"
        }
        Number::EREMOTEIO => "the server answers what it should not: try again later",
        Number::EBUSY => "another process uses the repository's local state",
        Number::EIO => "`mesa journal verify` tells whether the local state is sound",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::SourceError;

    #[test]
    fn whatever_needs_an_explanation_has_a_name_and_a_hint() {
        let full = || std::io::Error::from_raw_os_error(libc::ENOSPC);
        for (error, expected) in [
            (Error::Lower(SourceError::Offline.into()), "ENETUNREACH"),
            (
                Error::Lower(SourceError::CredentialExpired.into()),
                "EKEYEXPIRED",
            ),
            (Error::Lower(SourceError::Forbidden.into()), "EACCES"),
            (Error::Body(full()), "ENOSPC"),
            (Error::ReadOnly, "EROFS"),
        ] {
            assert!(!matches!(weigh(&error), Weight::None), "{error:?}");
            let number = errno::of(&error);
            assert_eq!(name(number), expected);
            assert!(hint(number).is_some(), "{expected}");
        }
        assert!(matches!(weigh(&Error::NotFound), Weight::None));
    }
}
