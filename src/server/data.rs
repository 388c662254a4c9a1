//! The data directory: its lock, its small files, and how files are published.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::Error;
use super::keys::KeyTable;

const VERSION: u64 = 1;
/// How names of files begin that are not published yet.
const UNPUBLISHED: &str = ".new-";

/// The data directory, owned by this process while it lives.
#[derive(Debug)]
pub(super) struct DataFolder {
    pub(super) path: PathBuf,
    pub(super) organization: Organization,
    pub(super) keys: KeyTable,
    _lock: Flock<File>,
}

/// The one organization of a data directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Organization {
    version: u64,
    pub(super) id: String,
    pub(super) slug: String,
    /// Seconds since 1970.
    pub(super) created_at: u64,
}

impl DataFolder {
    /// Opens or makes the data directory of an organization.
    pub(super) fn open(path: &Path, slug: &str, now: u64) -> Result<DataFolder, Error> {
        if !is_slug(slug) {
            return Err(Error::OrganizationName(slug.to_owned()));
        }
        make_folder(path)?;
        claim(path)?;
        let lock = lock(path)?;
        let temporary = path.join("temporary");
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&temporary, error));
            }
            _ => make_folder(&temporary)?,
        }
        clear_unpublished(path)?;
        let organization = organization(path, slug, now)?;
        make_folder(&path.join("orgs"))?;
        make_folder(&path.join("orgs").join(slug))?;
        let keys = KeyTable::open(path, slug, now)?;
        Ok(DataFolder {
            path: path.to_owned(),
            organization,
            keys,
            _lock: lock,
        })
    }

    /// Where the bare repositories are.
    pub(super) fn repositories(&self) -> PathBuf {
        self.path.join("orgs").join(&self.organization.slug)
    }

    /// Where things are made and removed; cleared at start.
    pub(super) fn temporary_folder(&self) -> PathBuf {
        self.path.join("temporary")
    }

    /// A new name for something that is being made or removed.
    pub(super) fn temporary(&self) -> PathBuf {
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.temporary_folder().join(name)
    }
}

fn is_slug(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 100
        && text != "whoami"
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Closes a directory to everybody else, if it is empty or ours: a slip of the hand like
/// `--data /tmp` must not change a directory that is used for something else.
fn claim(path: &Path) -> Result<(), Error> {
    let io = |error| Error::io(path, error);
    if !path.join("organization.json").exists() {
        for entry in fs::read_dir(path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            // What a first start leaves that ended early.
            let is_ours = ["lock", "temporary"].iter().any(|ours| name == *ours);
            if !is_ours && !name.to_string_lossy().starts_with(UNPUBLISHED) {
                return Err(Error::NotEmpty {
                    path: path.to_owned(),
                });
            }
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)
}

/// Removes files that a crash left before they were published: the table of keys may be among them.
fn clear_unpublished(path: &Path) -> Result<(), Error> {
    let io = |error| Error::io(path, error);
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().to_string_lossy().starts_with(UNPUBLISHED) {
            fs::remove_file(entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Flock<File>, Error> {
    let name = path.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&name)
        .map_err(|error| Error::io(&name, error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::InUse {
            path: path.to_owned(),
        },
        errno => Error::io(&name, errno.into()),
    })
}

fn organization(path: &Path, slug: &str, now: u64) -> Result<Organization, Error> {
    let file = path.join("organization.json");
    if let Some(found) = read_json::<Organization>(&file)? {
        check_version(&file, found.version)?;
        if found.slug != slug {
            return Err(Error::OtherOrganization {
                path: path.to_owned(),
                found: found.slug,
                wanted: slug.to_owned(),
            });
        }
        return Ok(found);
    }
    let new = Organization {
        version: VERSION,
        id: format!("org_{}", uuid::Uuid::new_v4().simple()),
        slug: slug.to_owned(),
        created_at: now,
    };
    publish_json(&file, &new)?;
    Ok(new)
}

/// Refuses a file of another version.
pub(super) fn check_version(path: &Path, found: u64) -> Result<(), Error> {
    if found != VERSION {
        return Err(Error::Version {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(())
}

/// The version that files of ours carry.
pub(super) fn version() -> u64 {
    VERSION
}

/// Makes a folder that only its owner can enter, unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => match path.parent() {
            Some(parent) if parent != Path::new("") => sync_folder(parent),
            _ => sync_folder(Path::new(".")),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) else {
                return Err(Error::io(path, error));
            };
            make_folder(parent)?;
            make_folder(path)
        }
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Reads a JSON file, if it is there.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        // It may be the table of keys.
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    let value = serde_json::from_slice(&bytes).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(value))
}

/// Publishes a value as a JSON file; see [`publish`].
pub(super) fn publish_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })?;
    publish(path, &Zeroizing::new(bytes))
}

/// Writes a file that only its owner can read, by temporary file, sync, rename and sync of the
/// folder: a crash finds the old file or the new one, and on return the new one survives.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |error| Error::io(path, error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(UNPUBLISHED)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder)
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(path, error))
}
