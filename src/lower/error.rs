//! What can go wrong between a path of the snapshot and its bytes.

use std::io;

use crate::tree::GitOid;

/// Why a source did not deliver. One fact per variant, so that one table can turn them into errno.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No connection, or it broke.
    #[error("the server cannot be reached")]
    Offline,
    /// Nothing came within the deadline.
    #[error("the server did not answer in time")]
    TimedOut,
    /// A new credential is needed.
    #[error("the credential has expired")]
    CredentialExpired,
    /// A new credential is needed.
    #[error("the credential was revoked")]
    CredentialRevoked,
    /// Another credential is needed: the server knows nothing of this one.
    #[error("the server does not know the credential")]
    CredentialUnknown,
    /// The credential is good, but not for this.
    #[error("the credential does not allow it")]
    Forbidden,
    /// There is none to send.
    #[error("no credential")]
    CredentialMissing,
    /// Neither path nor commit, as far as this credential can see.
    #[error("the server has no such thing")]
    NotFound,
    /// The change went on since the snapshot, and the server can only read its newest state.
    #[error("what the server has at this path is no longer what the snapshot shows")]
    Moved,
    /// The answer cannot be understood, or would not be safe to believe.
    #[error("the server's answer is not what the protocol promises")]
    Protocol,
    /// The server's own failure, or it wants to be left alone for a while.
    #[error("the server failed")]
    Server,
    /// The bytes came, and the sink did not take them.
    #[error("writing what arrives")]
    Sink(#[source] io::Error),
}

/// Why something of the snapshot cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source did not deliver.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Twice in a row the bytes did not have the hash or the size that the snapshot says.
    #[error("object {oid} arrived damaged")]
    Corrupt {
        /// The object.
        oid: GitOid,
    },
    /// A directory with two entries of one name is no directory.
    #[error("two entries of one directory have the same name")]
    DuplicateName,
    /// The local disk.
    #[error("the local store")]
    Store(#[source] io::Error),
}

fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::from(error.kind()),
    }
}

impl SourceError {
    fn share(&self) -> SourceError {
        match self {
            SourceError::Offline => SourceError::Offline,
            SourceError::TimedOut => SourceError::TimedOut,
            SourceError::CredentialExpired => SourceError::CredentialExpired,
            SourceError::CredentialRevoked => SourceError::CredentialRevoked,
            SourceError::CredentialUnknown => SourceError::CredentialUnknown,
            SourceError::Forbidden => SourceError::Forbidden,
            SourceError::CredentialMissing => SourceError::CredentialMissing,
            SourceError::NotFound => SourceError::NotFound,
            SourceError::Moved => SourceError::Moved,
            SourceError::Protocol => SourceError::Protocol,
            SourceError::Server => SourceError::Server,
            SourceError::Sink(error) => SourceError::Sink(same(error)),
        }
    }
}

impl Error {
    /// The same fact once more, for everyone who waited for one fetch.
    ///
    /// `io::Error` cannot be cloned; its code, which is what becomes an errno, can.
    pub(super) fn share(&self) -> Error {
        match self {
            Error::Source(error) => Error::Source(error.share()),
            Error::Corrupt { oid } => Error::Corrupt { oid: *oid },
            Error::DuplicateName => Error::DuplicateName,
            Error::Store(error) => Error::Store(same(error)),
        }
    }
}
