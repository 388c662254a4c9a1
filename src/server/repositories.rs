//! The repositories of the organization, by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::data::{self, DataFolder};
use super::error::Error;
use super::git;
use crate::tree::ChangeId;

/// Names whose routes are taken by something else.
const RESERVED: [&str; 3] = ["repos", "api-keys", "webhook-targets"];
const METADATA: &str = "mesa.json";

/// One repository.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) id: String,
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) created_at: u64,
    pub(super) tags: Mutex<BTreeMap<String, String>>,
    pub(super) git: git::Repository,
    /// Writers take turns: the one permit is the turn.
    pub(super) turn: Arc<Semaphore>,
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    version: u64,
    id: String,
    created_at: u64,
    tags: BTreeMap<String, String>,
}

/// All repositories.
#[derive(Debug)]
pub(super) struct Repositories {
    folder: PathBuf,
    by_name: RwLock<BTreeMap<String, Arc<Hosted>>>,
    /// Whoever makes, renames or removes a repository takes this turn.
    pub(super) turn: Arc<Semaphore>,
}

/// Refuses what is not a repository's name.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_good = (1..=100).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with(['.', '-'])
        && !name.to_ascii_lowercase().ends_with(".git")
        && !RESERVED.contains(&name);
    match is_good {
        true => Ok(()),
        false => Err(Error::RepositoryName(name.to_owned())),
    }
}

impl Repositories {
    /// Opens every repository of the data directory.
    pub(super) fn open(data: &DataFolder) -> Result<Repositories, Error> {
        let folder = data.repositories();
        let mut by_name = BTreeMap::new();
        let io = |error| Error::io(&folder, error);
        for entry in fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let file_name = entry.file_name();
            let Some(name) = file_name
                .to_str()
                .and_then(|name| name.strip_suffix(".git"))
            else {
                tracing::warn!(path = %entry.path().display(), "not a repository: left alone");
                continue;
            };
            by_name.insert(name.to_owned(), Arc::new(open(&entry.path(), name)?));
        }
        Ok(Repositories {
            folder,
            by_name: RwLock::new(by_name),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// One repository.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Hosted>> {
        self.by_name.read().get(name).cloned()
    }

    /// All repositories, by name.
    pub(super) fn all(&self) -> Vec<Arc<Hosted>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Publishes a bare repository that was made in `made`, under a name that is free; on return
    /// it survives a power cut.
    pub(super) fn publish(
        &self,
        made: &Path,
        name: &str,
        tags: BTreeMap<String, String>,
        now: u64,
    ) -> Result<Arc<Hosted>, Error> {
        let metadata = Metadata {
            version: data::version(),
            id: format!("repo_{}", uuid::Uuid::new_v4().simple()),
            created_at: now,
            tags,
        };
        data::publish_json(&made.join(METADATA), &metadata)?;
        let folder = self.path(name);
        fs::rename(made, &folder).map_err(|error| Error::io(&folder, error))?;
        data::sync_folder(&self.folder)?;
        let hosted = Arc::new(open(&folder, name)?);
        self.by_name.write().insert(name.to_owned(), hosted.clone());
        Ok(hosted)
    }

    /// Renames a repository to a name that is free.
    pub(super) fn rename(&self, old: &Hosted, name: &str) -> Result<Arc<Hosted>, Error> {
        let folder = self.path(name);
        fs::rename(&old.folder, &folder).map_err(|error| Error::io(&folder, error))?;
        data::sync_folder(&self.folder)?;
        let hosted = Arc::new(open(&folder, name)?);
        let mut by_name = self.by_name.write();
        by_name.remove(&old.name);
        by_name.insert(name.to_owned(), hosted.clone());
        Ok(hosted)
    }

    /// Removes a repository for good.
    pub(super) fn remove(&self, hosted: &Hosted, data: &DataFolder) -> Result<(), Error> {
        let doomed = data.temporary();
        fs::rename(&hosted.folder, &doomed).map_err(|error| Error::io(&hosted.folder, error))?;
        data::sync_folder(&self.folder)?;
        self.by_name.write().remove(&hosted.name);
        fs::remove_dir_all(&doomed).map_err(|error| Error::io(&doomed, error))
    }

    /// Imports a repository or directory, unless the name exists.
    pub(super) fn import(
        &self,
        data: &DataFolder,
        name: &str,
        source: &Path,
        now: u64,
    ) -> Result<(), Error> {
        check_name(name)?;
        if self.find(name).is_some() {
            tracing::info!(repository = name, "exists already: not imported again");
            return Ok(());
        }
        let author = git::Person {
            name: "mesa serve".to_owned(),
            email: "serve@mesa.invalid".to_owned(),
            seconds: now.cast_signed(),
        };
        let made = data.temporary();
        git::import(source, &made, random_change_id(), &author).map_err(|source_error| {
            Error::Import {
                name: name.to_owned(),
                path: source.to_owned(),
                source: Box::new(source_error),
            }
        })?;
        self.publish(&made, name, BTreeMap::new(), now)?;
        tracing::info!(repository = name, "imported");
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.git"))
    }
}

impl AsRef<git::Repository> for Hosted {
    fn as_ref(&self) -> &git::Repository {
        &self.git
    }
}

impl Hosted {
    /// Replaces the tags; on return they survive a power cut.
    pub(super) fn set_tags(&self, tags: BTreeMap<String, String>) -> Result<(), Error> {
        let metadata = Metadata {
            version: data::version(),
            id: self.id.clone(),
            created_at: self.created_at,
            tags: tags.clone(),
        };
        data::publish_json(&self.folder.join(METADATA), &metadata)?;
        *self.tags.lock() = tags;
        Ok(())
    }
}

fn open(folder: &Path, name: &str) -> Result<Hosted, Error> {
    let file = folder.join(METADATA);
    let metadata: Metadata = data::read_json(&file)?
        .ok_or_else(|| Error::io(&file, std::io::ErrorKind::NotFound.into()))?;
    data::check_version(&file, metadata.version)?;
    let git = git::Repository::open(folder).map_err(|error| Error::repository(folder, error))?;
    Ok(Hosted {
        id: metadata.id,
        name: name.to_owned(),
        created_at: metadata.created_at,
        tags: Mutex::new(metadata.tags),
        git,
        turn: Arc::new(Semaphore::new(1)),
        folder: folder.to_owned(),
    })
}

/// An id for a new change; 128 random bits do not meet.
pub(super) fn random_change_id() -> ChangeId {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    ChangeId(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_route_or_a_path_could_misread_are_refused() {
        for bad in [
            "", ".", "..", ".x", "-x", "a/b", "a b", "repos", "api-keys", "x.git", "x.GIT",
            "\u{fc}",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name(&"x".repeat(101)).is_err());
        for good in ["a", "A.b_c-d", "whoami", "git"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
    }
}
