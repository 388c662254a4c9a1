//! Writing the store, which `mesa auth` does.

use super::{Credential, Error, Place, Secrets, table};

impl Secrets {
    /// Writes a credential into the store.
    ///
    /// # Errors
    ///
    /// [`Error`]; the store is then as it was. When this returns, the credential survives a power cut.
    pub fn store(&self, place: &Place, credential: &Credential) -> Result<(), Error> {
        self.update(|table| {
            table.insert(place.clone(), credential.clone());
        })
    }

    /// Removes a credential from the store; returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Secrets::store`].
    pub fn remove(&self, place: &Place) -> Result<bool, Error> {
        self.update(|table| table.remove(place).is_some())
    }

    fn update<T>(&self, change: impl FnOnce(&mut table::Table) -> T) -> Result<T, Error> {
        let stored = self.stored().ok_or_else(|| Error::Io {
            path: self.sources.backend.file_name().into(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let passphrase = self.state.lock().passphrase();
        stored.update(passphrase.as_ref(), change)
    }
}
