//! The store that `mesa auth` writes: one file beside the journal, as a vault or in plain text.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use zeroize::Zeroizing;

use super::file::{self, Lock, Signature};
use super::table::{self, Table};
use super::vault::{self, Work};
use super::{Error, Passphrase, Store};

/// What the store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// An age file that a passphrase opens.
    #[default]
    Vault,
    /// A TOML file that only its owner can read.
    Plaintext,
}

impl Backend {
    /// The file's name in the data directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Backend::Vault => "secrets.vault.age",
            Backend::Plaintext => "secrets.plaintext.toml",
        }
    }

    /// The store that it is.
    pub fn store(self) -> Store {
        match self {
            Backend::Vault => Store::Vault,
            Backend::Plaintext => Store::Plaintext,
        }
    }
}

/// The store of a data directory.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    folder: PathBuf,
    backend: Backend,
    work: Work,
}

impl Stored {
    pub(super) fn new(folder: &Path, backend: Backend) -> Stored {
        Stored {
            folder: folder.to_owned(),
            backend,
            work: vault::WORK,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(self.backend.file_name())
    }

    /// Whether reading it costs next to nothing.
    pub(super) fn is_cheap(&self) -> bool {
        self.backend == Backend::Plaintext
    }

    /// Reads it; nothing there yet is an empty table.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; the file is as it was.
    pub(super) fn read(
        &self,
        passphrase: Option<&Passphrase>,
    ) -> Result<(Table, Option<Signature>), Error> {
        let path = self.path();
        let Some(content) = file::read(&path, vault::TEXT_BYTES_MAX)? else {
            return Ok((Table::new(), None));
        };
        let owner = content.metadata.uid();
        if owner != Uid::effective().as_raw() {
            return Err(Error::Foreign { path, owner });
        }
        let mode = content.metadata.mode() & 0o777;
        let text = match self.backend {
            Backend::Vault => {
                let locked = || Error::Locked { path: path.clone() };
                vault::open(&path, &content.bytes, passphrase.ok_or_else(locked)?)?
            }
            Backend::Plaintext if mode & 0o077 != 0 => return Err(Error::Exposed { path, mode }),
            Backend::Plaintext => {
                let text = str::from_utf8(&content.bytes).map_err(|error| {
                    let before = content.bytes.iter().take(error.valid_up_to());
                    Error::Table {
                        path: path.clone(),
                        line: 1 + before.filter(|byte| **byte == b'\n').count(),
                    }
                })?;
                Zeroizing::new(text.to_owned())
            }
        };
        Ok((table::read(&path, &text)?, Some(content.signature)))
    }

    /// Changes it, alone: others that want to at the same time wait. When this returns, the new
    /// table survives a power cut; when it fails, the old one is untouched.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub(super) fn update<T>(
        &self,
        passphrase: Option<&Passphrase>,
        change: impl FnOnce(&mut Table) -> T,
    ) -> Result<T, Error> {
        let _lock = Lock::take(&self.folder)?;
        let (mut table, _) = self.read(passphrase)?;
        let outcome = change(&mut table);
        let text = table::write(&table);
        let path = self.path();
        match self.backend {
            Backend::Vault => {
                let locked = || Error::Locked { path: path.clone() };
                let passphrase = passphrase.ok_or_else(locked)?;
                let sealed = vault::seal(&path, &text, passphrase, self.work)?;
                file::publish(&path, &sealed)?;
            }
            Backend::Plaintext => file::publish(&path, text.as_bytes())?,
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{Credential, Place};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn stored(folder: &Path, backend: Backend) -> Stored {
        Stored {
            work: Work(4),
            ..Stored::new(folder, backend)
        }
    }

    fn credential(text: &str) -> Credential {
        Credential::try_from(text.to_owned()).unwrap()
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    #[test]
    fn both_backends_keep_what_they_are_given_and_close_their_file() {
        let right = passphrase("right");
        for backend in [Backend::Vault, Backend::Plaintext] {
            let folder = tempfile::tempdir().unwrap();
            let stored = stored(folder.path(), backend);
            assert!(stored.read(Some(&right)).unwrap().0.is_empty());
            for name in ["one", "two"] {
                let place = Place::Organization(name.into());
                stored
                    .update(Some(&right), |table| table.insert(place, credential(name)))
                    .unwrap();
            }
            let (table, signature) = stored.read(Some(&right)).unwrap();
            assert_eq!(table.len(), 2);
            assert!(signature.is_some());
            let mode = fs::metadata(stored.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{backend:?}");
            let bytes = fs::read(stored.path()).unwrap();
            let shows = bytes.windows(3).any(|window| window == b"two");
            assert_eq!(shows, backend == Backend::Plaintext);
        }
    }

    #[test]
    fn a_vault_that_does_not_open_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let stored = stored(folder.path(), Backend::Vault);
        let insert = |passphrase: Option<&Passphrase>| {
            stored.update(passphrase, |table| {
                table.insert(Place::Global, credential("new"));
            })
        };
        insert(Some(&passphrase("right"))).unwrap();
        let before = fs::read(stored.path()).unwrap();
        let wrong = insert(Some(&passphrase("wrong"))).unwrap_err();
        assert!(matches!(wrong, Error::Passphrase { .. }), "{wrong}");
        assert!(matches!(insert(None), Err(Error::Locked { .. })));
        assert_eq!(fs::read(stored.path()).unwrap(), before);
        fs::write(stored.path(), &before[..before.len() - 1]).unwrap();
        let damaged = insert(Some(&passphrase("right"))).unwrap_err();
        assert!(matches!(damaged, Error::Damaged { .. }), "{damaged}");
        assert!(damaged.hint().unwrap().contains("set-key"));
        assert_eq!(
            fs::read(stored.path()).unwrap(),
            &before[..before.len() - 1]
        );
        fs::write(stored.path(), b"").unwrap();
        assert!(
            insert(Some(&passphrase("right"))).is_err(),
            "an empty file is no vault"
        );
    }

    #[test]
    fn a_plaintext_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let stored = stored(folder.path(), Backend::Plaintext);
        stored.update(None, |_| {}).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(stored.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = stored.read(None).unwrap_err();
            assert!(matches!(error, Error::Exposed { .. }), "{mode:o}: {error}");
            assert!(error.hint().unwrap().contains("chmod 600"));
        }
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stored = stored(folder.path(), Backend::Plaintext);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let stored = stored.clone();
                scope.spawn(move || {
                    let place = Place::Organization(format!("org-{number}"));
                    stored
                        .update(None, |table| table.insert(place, credential("key")))
                        .unwrap();
                });
            }
        });
        assert_eq!(stored.read(None).unwrap().0.len(), 8);
    }
}
