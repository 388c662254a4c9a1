//! What the daemon does with profiles because somebody asks, be their repositories open or not.

use std::path::Path;

use super::Profile;
use super::kept::{forget_closed, import_closed, read};
use crate::daemon::Error;
use crate::daemon::control::{Ordered, ProfileRequest};
use crate::daemon::repositories::OpenRepositories;
use crate::remote::RepositoryName;
use crate::tree::Name;

impl OpenRepositories {
    /// Follows an order about profiles.
    ///
    /// # Errors
    ///
    /// There can be no such repository; the file is no profile; the disk.
    pub(in crate::daemon) fn profile(&self, request: &ProfileRequest) -> Result<Ordered, Error> {
        let mut ordered = Ordered::default();
        match request {
            ProfileRequest::Keep => {
                for repository in self.all() {
                    repository.keep_profile();
                    ordered.repos.push(repository.name().to_string());
                }
            }
            ProfileRequest::Import { repo, path } => {
                let path = Path::new(path);
                let profile = read(path).map_err(|source| failed(path, source))?;
                self.import(repo, &profile)?;
                ordered.repos.push(repo.clone());
            }
            ProfileRequest::Forget { repo } => {
                self.forget_profile(repo)?;
                ordered.repos.push(repo.clone());
            }
        }
        Ok(ordered)
    }

    fn import(&self, repo: &str, profile: &Profile) -> Result<(), Error> {
        let (name, key) = named(repo)?;
        // Whoever opens it waits, and finds what was imported.
        let opened = match self.turn(&key) {
            Ok(_turn) => return import_closed(self.config(), &name, profile),
            Err(opened) => opened,
        };
        match opened.profile() {
            Some(kept) => kept
                .import(profile, opened.overlay().lower())
                .map_err(|source| failed(opened.folder(), source)),
            None => import_closed(self.config(), &name, profile),
        }
    }

    fn forget_profile(&self, repo: &str) -> Result<(), Error> {
        let (name, key) = named(repo)?;
        let opened = match self.turn(&key) {
            Ok(_turn) => return forget_closed(self.config(), &name),
            Err(opened) => opened,
        };
        match opened.profile() {
            Some(kept) => kept
                .forget(opened.overlay().lower().reads())
                .map_err(|source| failed(opened.folder(), source)),
            None => forget_closed(self.config(), &name),
        }
    }
}

fn named(repo: &str) -> Result<(RepositoryName, (Name, Name)), Error> {
    let unknown = || Error::NoSuchRepository {
        name: repo.to_owned(),
    };
    let (organization, name) = repo.split_once('/').ok_or_else(unknown)?;
    let checked = RepositoryName::new(organization, name).map_err(|_unsendable| unknown())?;
    match (Name::try_from(organization), Name::try_from(name)) {
        (Ok(organization), Ok(name)) => Ok((checked, (organization, name))),
        _ => Err(unknown()),
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Folder {
        path: path.to_owned(),
        source,
    }
}
