//! The repositories of the organization, by name.
//!
//! A repository's folder keeps the path that it was made under: a new name is a line in `mesa.json`,
//! and a removal is a mark there, after which the folder goes once nobody works in it. So whoever
//! holds a [`Hosted`] can read and write to the end, whatever becomes of its name in between.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::{Mutex, RwLock};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::data::{self, DataFolder};
use super::error::Error;
use super::git;
use crate::remote::api::AuthKind;
use crate::tree::ChangeId;

/// Names whose routes are taken by something else.
const RESERVED: [&str; 3] = ["repos", "api-keys", "webhook-targets"];
const METADATA: &str = "mesa.json";

/// One repository under one name. A new name makes another value that shares all but the name.
#[derive(Debug, Clone)]
pub(super) struct Hosted {
    pub(super) id: String,
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) created_at: u64,
    pub(super) traits: Arc<Mutex<Traits>>,
    pub(super) git: Arc<git::Repository>,
    /// Writers take turns: the one permit is the turn.
    pub(super) turn: Arc<Semaphore>,
    folder: Arc<Folder>,
    place: Place,
}

/// Whose a repository's folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Ours.
    Data,
    /// Somebody else's, and served as it is.
    InPlace,
}

/// What can be set about a repository beside its content and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Traits {
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<Upstream>,
}

/// Where a repository comes from. Nothing is fetched from there by this server, so no secret is kept:
/// what nobody uses cannot leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upstream {
    pub(super) url: String,
    pub(super) auth_kind: Option<AuthKind>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    version: u64,
    id: String,
    created_at: u64,
    /// The folder's own name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    traits: Traits,
    /// A removal that was answered, and may not have come to its end.
    #[serde(default, skip_serializing_if = "is_false")]
    is_removed: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// The folder of a repository, which goes with the last user once it is doomed.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Where it goes.
    doom: OnceLock<PathBuf>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(doom) = self.doom.take() else { return };
        let result = fs::rename(&self.path, &doom).and_then(|()| fs::remove_dir_all(&doom));
        if let Err(error) = result {
            // The mark is durable: the next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "a removed repository is left");
        }
    }
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
            match open(&entry.path(), name)? {
                Some(hosted) => {
                    by_name.insert(hosted.name.clone(), Arc::new(hosted));
                }
                None => {
                    let doom = data.temporary();
                    fs::rename(entry.path(), &doom)
                        .and_then(|()| fs::remove_dir_all(&doom))
                        .map_err(|error| Error::io(&entry.path(), error))?;
                }
            }
        }
        Ok(Repositories {
            folder,
            by_name: RwLock::new(by_name),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Serves repositories that are somewhere else; a name that is taken stays what it is.
    pub(super) fn add(&self, found: Vec<Hosted>) {
        let mut by_name = self.by_name.write();
        for hosted in found {
            let path = hosted.folder.path.display().to_string();
            match by_name.entry(hosted.name.clone()) {
                Entry::Vacant(free) => {
                    free.insert(Arc::new(hosted));
                }
                Entry::Occupied(taken) => {
                    tracing::warn!(path, name = taken.key(), "the name is taken: left out");
                }
            }
        }
    }

    /// One repository.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Hosted>> {
        self.by_name.read().get(name).cloned()
    }

    /// The repository of an id, under the name that it has now.
    pub(super) fn find_id(&self, id: &str) -> Option<Arc<Hosted>> {
        let by_name = self.by_name.read();
        by_name.values().find(|hosted| hosted.id == id).cloned()
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
        traits: Traits,
        now: u64,
    ) -> Result<Arc<Hosted>, Error> {
        let id = format!("repo_{}", uuid::Uuid::new_v4().simple());
        // Another repository may have been made under this name, and renamed or removed since.
        let mut folder = self.path(name);
        let mut explicit_name = None;
        if folder.exists() {
            folder = self.path(&format!("{name}~{id}"));
            explicit_name = Some(name.to_owned());
        }
        let metadata = Metadata {
            version: data::version(),
            id,
            created_at: now,
            name: explicit_name,
            traits,
            is_removed: false,
        };
        data::publish_json(&made.join(METADATA), &metadata)?;
        fs::rename(made, &folder).map_err(|error| Error::io(&folder, error))?;
        data::sync_folder(&self.folder)?;
        let hosted = Arc::new(read(&folder, metadata, name)?);
        self.by_name.write().insert(name.to_owned(), hosted.clone());
        Ok(hosted)
    }

    /// Gives a repository a name that is free, and traits; on return they survive a power cut. Whoever
    /// works under the old name goes on undisturbed.
    pub(super) fn change(
        &self,
        old: &Hosted,
        name: &str,
        traits: Traits,
    ) -> Result<Arc<Hosted>, Error> {
        old.check_ours()?;
        let new = Hosted {
            name: name.to_owned(),
            ..old.clone()
        };
        new.write(&traits, false)?;
        *new.traits.lock() = traits;
        if new.name == old.name {
            return Ok(Arc::new(new));
        }
        let new = Arc::new(new);
        let mut by_name = self.by_name.write();
        by_name.remove(&old.name);
        by_name.insert(new.name.clone(), new.clone());
        Ok(new)
    }

    /// Removes a repository for good; on return it is gone for everybody who did not find it before.
    pub(super) fn remove(&self, hosted: &Hosted, data: &DataFolder) -> Result<(), Error> {
        hosted.check_ours()?;
        let traits = hosted.traits.lock().clone();
        hosted.write(&traits, true)?;
        self.by_name.write().remove(&hosted.name);
        // A second removal finds the first one's mark, and has nothing to add.
        let _ = hosted.folder.doom.set(data.temporary());
        Ok(())
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
        self.publish(&made, name, Traits::default(), now)?;
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
    /// A repository that is served where it is.
    pub(super) fn in_place(
        id: String,
        name: &str,
        created_at: u64,
        git: git::Repository,
        folder: &Path,
    ) -> Hosted {
        Hosted {
            id,
            name: name.to_owned(),
            created_at,
            traits: Arc::default(),
            git: Arc::new(git),
            turn: Arc::new(Semaphore::new(1)),
            folder: Arc::new(Folder {
                path: folder.to_owned(),
                doom: OnceLock::new(),
            }),
            place: Place::InPlace,
        }
    }

    /// Refuses what would change somebody else's folder.
    pub(super) fn check_ours(&self) -> Result<(), Error> {
        match self.place {
            Place::Data => Ok(()),
            Place::InPlace => Err(Error::InPlace),
        }
    }

    /// Writes what is to be so; on return it survives a power cut.
    fn write(&self, traits: &Traits, is_removed: bool) -> Result<(), Error> {
        let metadata = Metadata {
            version: data::version(),
            id: self.id.clone(),
            created_at: self.created_at,
            name: Some(self.name.clone()),
            traits: traits.clone(),
            is_removed,
        };
        data::publish_json(&self.folder.path.join(METADATA), &metadata)
    }
}

/// Opens a repository whose folder is called `name`; `None` if it was removed.
fn open(folder: &Path, name: &str) -> Result<Option<Hosted>, Error> {
    let file = folder.join(METADATA);
    let metadata: Metadata = data::read_json(&file)?
        .ok_or_else(|| Error::io(&file, std::io::ErrorKind::NotFound.into()))?;
    data::check_version(&file, metadata.version)?;
    if metadata.is_removed {
        return Ok(None);
    }
    read(folder, metadata, name).map(Some)
}

fn read(folder: &Path, metadata: Metadata, name: &str) -> Result<Hosted, Error> {
    let git = git::Repository::open(folder).map_err(|error| Error::repository(folder, error))?;
    Ok(Hosted {
        id: metadata.id,
        name: metadata.name.unwrap_or_else(|| name.to_owned()),
        created_at: metadata.created_at,
        traits: Arc::new(Mutex::new(metadata.traits)),
        git: Arc::new(git),
        turn: Arc::new(Semaphore::new(1)),
        folder: Arc::new(Folder {
            path: folder.to_owned(),
            doom: OnceLock::new(),
        }),
        place: Place::Data,
    })
}

/// An id for a new change; 128 random bits do not meet.
pub(super) fn random_change_id() -> ChangeId {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    ChangeId(bytes)
}

#[cfg(test)]
#[path = "repositories_tests.rs"]
mod tests;
