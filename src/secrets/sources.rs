//! Where credentials are looked for, and when a file has to be read again.

use std::path::{Path, PathBuf};

use super::file::{self, Signature};
use super::state::Reread;
use super::stored::Stored;
use super::table::Table;
use super::{Backend, CREDENTIAL_BYTES_MAX, Credential, Error, Passphrase, Place};

/// Variables that hold something secret: no program that we start gets them.
pub const SECRET_VARIABLES: [&str; 4] = [
    "MESA_API_KEY",
    "MESA_ACCESS_TOKEN",
    "MESA_ORGS",
    Passphrase::VARIABLE,
];

/// Where credentials come from.
#[derive(Debug, Default)]
pub struct Sources {
    /// What the environment gave, and by which variable.
    pub environment: Vec<(Place, &'static str, Credential)>,
    /// A file that holds one, for everything; somebody rewrites it.
    pub key_file: Option<PathBuf>,
    /// A program that prints one, for everything, and its arguments.
    pub command: Option<Vec<String>>,
    /// What the store is.
    pub backend: Backend,
    /// The folder that has the store; none has none.
    pub folder: Option<PathBuf>,
}

/// What was found in a file: nothing for a file that is not there.
pub(super) type KeyFileRead = (Option<Signature>, Result<Option<Credential>, Error>);
/// What was found in the store.
pub(super) type StoredRead = (Option<Signature>, Result<Table, Error>);

/// Reads the key file, if that may tell something new.
pub(super) fn key_file(
    path: &Path,
    seen: Option<Option<Signature>>,
    how: Reread,
) -> Option<KeyFileRead> {
    let now = file::signature(path);
    let known = match seen {
        Some(Some(seen)) => how == Reread::Changed && !seen.is_stale(now),
        Some(None) => now.is_none(),
        None => false,
    };
    if known {
        return None;
    }
    Some(match file::read(path, 2 * CREDENTIAL_BYTES_MAX as u64) {
        Ok(Some(content)) => {
            let text = String::from_utf8_lossy(&content.bytes).into_owned();
            let credential = Credential::try_from(text).map_err(|source| Error::Credential {
                path: path.to_owned(),
                source,
            });
            (Some(content.signature), credential.map(Some))
        }
        Ok(None) => (None, Ok(None)),
        Err(error) => (now, Err(error)),
    })
}

/// Reads the store, if it is another file than before: each writing makes a new one, and opening a
/// vault costs too much to do it for nothing.
pub(super) fn stored(
    stored: &Stored,
    seen: Option<Option<Signature>>,
    passphrase: Option<&Passphrase>,
) -> Option<StoredRead> {
    let now = file::signature(&stored.path());
    let known = match (seen, stored.is_cheap()) {
        (Some(Some(seen)), true) => !seen.is_stale(now),
        (Some(Some(seen)), false) => now.is_some_and(|now| seen.is_same(now)),
        (Some(None), _) => now.is_none(),
        (None, _) => false,
    };
    if known {
        return None;
    }
    Some(match stored.read(passphrase) {
        Ok((table, signature)) => (signature, Ok(table)),
        Err(error) => (now, Err(error)),
    })
}
