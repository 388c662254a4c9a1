//! The one table that turns errors into errno values.
//!
//! It has no wildcard arm: a new kind of error does not compile until someone decides what a
//! program on the mount is told. The aim is that the number says why: offline, expired and corrupt
//! are three different things to do for whoever reads the message.

use std::io;

use fuser::Errno;

use super::OpenError;
use crate::{lower, overlay};

/// What the kernel is told about an error of the overlay.
pub(super) fn of(error: &overlay::Error) -> Errno {
    use overlay::Error;
    match error {
        // `workers::settle` takes these out; one that comes here is a bug of ours.
        Error::Missing(_) => Errno::EIO,
        Error::NotFound => Errno::ENOENT,
        Error::Exists => Errno::EEXIST,
        Error::NotDirectory => Errno::ENOTDIR,
        Error::IsDirectory => Errno::EISDIR,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::TooLong => Errno::ENAMETOOLONG,
        Error::Loop => Errno::EINVAL,
        Error::Invalid => Errno::EINVAL,
        Error::Stale => Errno::ESTALE,
        Error::NoAttribute => Errno::ENODATA,
        Error::ValueTooLarge => Errno::E2BIG,
        // As where the attributes of a file share a block that is full.
        Error::TooManyAttributes => Errno::ENOSPC,
        Error::TooManyLinks => Errno::EMLINK,
        Error::FileTooLarge => Errno::EFBIG,
        Error::NoSuchRange => Errno::ENXIO,
        Error::Unsupported => Errno::EOPNOTSUPP,
        // As a disk file system that remounts itself read-only; the status says why.
        Error::NoEdits | Error::ReadOnly => Errno::EROFS,
        Error::Lower(error) => of_lower(error),
        // What can be damaged in there is all the same to a program: nothing was changed.
        Error::Journal(error) => of_cause(error),
        Error::Upper(error) => of_cause(error),
        Error::Body(error) => of_io(error),
    }
}

/// What the kernel is told when a repository cannot be opened or listed.
pub(super) fn of_open(error: &OpenError) -> Errno {
    match error {
        OpenError::NotFound => Errno::ENOENT,
        OpenError::Locked => Errno::EBUSY,
        OpenError::TooMany => Errno::ENFILE,
        OpenError::Source(error) => of_source(error),
        OpenError::Overlay(error) => of(error),
        OpenError::State(error) => of_io(error),
    }
}

fn of_lower(error: &lower::Error) -> Errno {
    match error {
        lower::Error::Source(error) => of_source(error),
        lower::Error::Corrupt { .. } => Errno::EIO,
        lower::Error::DuplicateName => Errno::from_i32(libc::EREMOTEIO),
        lower::Error::Store(error) => of_io(error),
    }
}

fn of_source(error: &lower::SourceError) -> Errno {
    use lower::SourceError;
    match error {
        SourceError::Offline => Errno::ENETUNREACH,
        SourceError::TimedOut => Errno::ETIMEDOUT,
        SourceError::CredentialExpired => Errno::from_i32(libc::EKEYEXPIRED),
        SourceError::CredentialRevoked => Errno::from_i32(libc::EKEYREVOKED),
        SourceError::CredentialUnknown => Errno::from_i32(libc::EKEYREJECTED),
        // Not EKEYEXPIRED: giving a credential for the first time is another thing to do than
        // renewing one, and "Required key not available" is what the kernel calls it.
        SourceError::CredentialMissing => Errno::from_i32(libc::ENOKEY),
        SourceError::Forbidden => Errno::EACCES,
        // Not ENOENT: the name is in the snapshot that is shown, only its content is gone.
        SourceError::NotFound | SourceError::Moved => Errno::ESTALE,
        SourceError::Protocol | SourceError::Server => Errno::from_i32(libc::EREMOTEIO),
        SourceError::Sink(error) => of_io(error),
    }
}

/// The errno of the first I/O error in a chain of causes.
fn of_cause(error: &(dyn std::error::Error + 'static)) -> Errno {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        next = error.source();
    }
    Errno::EIO
}

/// An errno of the state directory, where it means the same on the mount.
///
/// The rest would lie: that a body file is missing is ENOENT in the state directory, but on the
/// mount it would say that the user's file does not exist.
fn of_io(error: &io::Error) -> Errno {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    // What names a path as well, as temporary files do, has its number deeper down.
    let by_kind = || match error.kind() {
        StorageFull => Some(libc::ENOSPC),
        QuotaExceeded => Some(libc::EDQUOT),
        ReadOnlyFilesystem => Some(libc::EROFS),
        OutOfMemory => Some(libc::ENOMEM),
        _ => None,
    };
    match error.raw_os_error().or_else(by_kind) {
        Some(
            number @ (libc::ENOSPC
            | libc::EDQUOT
            | libc::EFBIG
            | libc::EROFS
            | libc::EMFILE
            | libc::ENFILE
            | libc::ENOMEM),
        ) => Errno::from_i32(number),
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_wherever_it_happens() {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        for error in [
            overlay::Error::Body(full()),
            overlay::Error::Body(io::Error::new(full().kind(), "a temporary file")),
            overlay::Error::Journal(journal::Error::Io {
                path: "journal".into(),
                source: full(),
            }),
            overlay::Error::Lower(lower::Error::Store(full())),
            overlay::Error::Lower(lower::SourceError::Sink(full()).into()),
        ] {
            assert_eq!(of(&error), Errno::ENOSPC, "{error:?}");
        }
    }

    #[test]
    fn a_lost_body_is_not_a_missing_name() {
        let lost = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(of(&overlay::Error::Body(lost)), Errno::EIO);
    }

    #[test]
    fn each_trouble_with_the_credential_has_its_own_number() {
        use lower::SourceError;
        let numbers = [
            (SourceError::CredentialExpired, libc::EKEYEXPIRED),
            (SourceError::CredentialRevoked, libc::EKEYREVOKED),
            (SourceError::CredentialUnknown, libc::EKEYREJECTED),
            (SourceError::CredentialMissing, libc::ENOKEY),
            (SourceError::Forbidden, libc::EACCES),
            (SourceError::Offline, libc::ENETUNREACH),
        ];
        for (error, number) in numbers {
            let error = overlay::Error::Lower(error.into());
            assert_eq!(of(&error).code(), number);
        }
    }
}
