//! Opens one repository: local state, what to show beneath it, its number, its replay worker.
//!
//! A repository with local work opens without any network: what it must show is in its journal. One
//! without is put over the newest snapshot, or over the last one if the server is away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::info_span;

use super::at_rest::repositories_folder;
use super::lists::Lists;
use super::profile::Kept;
use super::replay_worker::ReplayWorker;
use super::repository::Repository;
use super::selection::Selection;
use super::slots::Slots;
use super::{Error, credentials, private_folder, space};
use crate::config::{Config, DEFAULT_MESAIGNORE, Revision};
use crate::fuse::OpenError;
use crate::lower::{ALONG_BYTES_MAX, Limits, Lower, Pin, Prefetch, Source, SourceError, Store};
use crate::overlay::{self, Access, Local, Owner};
use crate::remote::{
    Along, Failure, Pusher, Remote, RepositoryName, RepositorySource, Resolved, Target,
};
use crate::traced::TRACED;
use crate::tree::{ChangeId, GitOid, Name};

/// How long a server that says nothing keeps a repository waiting that could be shown as it was
/// last: a handshake and a round trip over a slow line. One that says something has the patience of
/// any read.
const NEWEST_PATIENCE: Duration = Duration::from_millis(1_500);

/// What opening needs.
pub(super) struct Opener {
    config: Arc<Config>,
    remote: Arc<Remote>,
    lists: Arc<Lists>,
    selection: Arc<Selection>,
    store: Arc<Store>,
    folder: PathBuf,
    /// What is never pushed, as it is configured.
    ignore: Arc<str>,
    /// Giving out a number is writing a file, so this lock is held over I/O; only threads that open
    /// a repository take it.
    slots: Mutex<Slots>,
}

impl Opener {
    /// Opens the store and reads the numbers that were given out.
    ///
    /// # Errors
    ///
    /// Either, or the file of ignore rules, cannot be read.
    pub(super) fn new(
        config: &Arc<Config>,
        remote: &Arc<Remote>,
        lists: &Arc<Lists>,
        selection: &Arc<Selection>,
    ) -> Result<Opener, Error> {
        let failed = |source| Error::Folder {
            path: config.data_folder.clone(),
            source,
        };
        Ok(Opener {
            store: Arc::new(open_store(config)?),
            slots: Mutex::new(Slots::open(&config.data_folder).map_err(failed)?),
            folder: repositories_folder(&config.data_folder),
            ignore: ignore_rules(config)?,
            config: Arc::clone(config),
            remote: Arc::clone(remote),
            lists: Arc::clone(lists),
            selection: Arc::clone(selection),
        })
    }

    /// The store of fetched content.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether a repository has local state.
    pub(super) fn is_here(&self, organization: &Name, name: &Name) -> bool {
        is_here(&self.folder, organization, name)
    }

    /// Opens a repository; the caller sees to it that nobody else does at the same time. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; what cannot be opened leaves nothing behind.
    pub(super) fn open(
        &self,
        organization: &Name,
        name: &Name,
        revision: &Revision,
    ) -> Result<Repository, OpenError> {
        let _span = info_span!(
            target: TRACED, "open", mesa.repository = %format_args!("{organization}/{name}")
        )
        .entered();
        let folder = self
            .folder
            .join(organization.as_os_str())
            .join(name.as_os_str());
        let has_state = self.is_here(organization, name);
        // One of an explicit mount was asked for by name, and is not listed before it is there.
        let is_listed = has_state || self.selection.is_explicit(organization);
        let known = match is_listed {
            true => None,
            false => self.lists.known(organization),
        };
        if known.as_ref().is_some_and(|names| !names.contains(name)) {
            return Err(OpenError::NotFound);
        }
        let remote_name = RepositoryName::new(&organization.to_string(), &name.to_string())
            .map_err(|_unsendable| OpenError::NotFound)?;
        if !has_state {
            self.check_space()?;
        }
        // Asked before anything is made, so that what cannot be opened leaves nothing behind.
        let newest = match has_state {
            true => None,
            false => {
                let newest = self.resolve(&remote_name, revision);
                // Without a list the server was asked at once, and the list says what is wrong.
                if newest.is_err()
                    && !is_listed
                    && known.is_none()
                    && !self.lists.names(organization)?.contains(name)
                {
                    return Err(OpenError::NotFound);
                }
                Some(newest.map_err(SourceError::from)?)
            }
        };
        private_folder(&folder).map_err(|error| OpenError::State(io::Error::other(error)))?;
        let options = overlay::Options {
            folder,
            owner: Owner {
                uid: self.config.uid,
                gid: self.config.gid,
            },
            commit_interval: self.config.commit_interval,
            ignore: Arc::clone(&self.ignore),
            access: match self
                .config
                .is_read_only(remote_name.organization(), remote_name.name())
            {
                true => Access::ReadOnly,
                false => Access::ReadWrite,
            },
        };
        let local = Local::open(&options)?;
        // The first look of all, and the server tells listings along with a snapshot.
        let is_first = newest
            .as_ref()
            .is_some_and(|newest| !newest.listings.is_empty());
        let shown = match newest {
            Some(newest) => newest,
            None => self.shown(&local, &remote_name, revision)?,
        };
        let slot = self
            .slots
            .lock()
            .of(remote_name.organization(), remote_name.name());
        let slot = slot.map_err(OpenError::State)?.ok_or(OpenError::TooMany)?;
        let source = RepositorySource::new(Arc::clone(&self.remote), remote_name.clone())
            .with_requests_max(self.config.prefetch.concurrency_max);
        let source: Arc<dyn Source> = Arc::new(source);
        // Its own view of the same store: what a push reads must not crowd out what the mount shows.
        let lower = Lower::new(Arc::clone(&self.store), Arc::clone(&source), shown.pin).as_asked();
        for (tree, entries) in shown.listings {
            // What is wrong with one is said to whoever looks at it.
            if let Err(error) = lower.keep_listing(tree, entries) {
                tracing::warn!(repository = %remote_name, %tree, %error, "a listing is not kept");
            }
        }
        let pusher = Pusher::new(
            Arc::clone(&self.remote),
            remote_name.clone(),
            Arc::new(lower),
        );
        let others = pusher.foreign_edits();
        let bookmark = shown.bookmark.as_deref();
        let overlay = local.over(
            Arc::clone(&self.store),
            source,
            bookmark,
            shown.pin,
            &options,
        )?;
        let overlay = Arc::new(overlay);
        if is_first {
            overlay.lower().list_ahead();
        }
        let publish = self
            .config
            .publish(remote_name.organization(), remote_name.name());
        let worker =
            ReplayWorker::start(remote_name.clone(), Arc::clone(&overlay), pusher, publish)
                .map_err(OpenError::State)?;
        tracing::info!(repository = %remote_name, commit = %overlay.pin().commit, "opened");
        let folder = options.folder;
        let profile = (self.config.prefetch.profile).then(|| Kept::open(&folder));
        let repository =
            Repository::new(remote_name, slot, overlay, worker, others, folder, publish);
        Ok(match profile {
            Some(profile) => repository.remembering(profile),
            None => repository,
        })
    }

    /// Gives a repository that is closed, or about to be, another number for its next opening.
    ///
    /// # Errors
    ///
    /// None is left, or the disk; the repository keeps its number then.
    pub(super) fn renew(&self, name: &RepositoryName) -> Result<(), OpenError> {
        let mut slots = self.slots.lock();
        let slot = slots.renew(name.organization(), name.name());
        slot.map_err(OpenError::State)?.ok_or(OpenError::TooMany)?;
        Ok(())
    }

    fn check_space(&self) -> Result<(), OpenError> {
        let available = space::available(&self.folder).map_err(OpenError::State)?;
        if available >= space::REPOSITORY_BYTES_MIN {
            return Ok(());
        }
        tracing::warn!(
            folder = %self.folder.display(),
            available,
            needed = space::REPOSITORY_BYTES_MIN,
            "too little space for a new repository"
        );
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        Err(OpenError::State(full))
    }

    /// What a repository with local state shows: its pinned snapshot while there is work over it,
    /// else the newest that can be had.
    fn shown(
        &self,
        local: &Local,
        name: &RepositoryName,
        revision: &Revision,
    ) -> Result<Resolved, OpenError> {
        let remote = local.remote();
        let pinned = remote.pin.map(|(change, commit, tree, time)| Resolved {
            bookmark: remote.bookmark.clone(),
            pin: Pin {
                change,
                commit,
                tree,
                time,
            },
            listings: Vec::new(),
        });
        match pinned {
            Some(pinned) if !local.is_pristine() => Ok(pinned),
            None => Ok(self.resolve(name, revision).map_err(SourceError::from)?),
            Some(pinned) => match target(revision).and_then(|target| {
                let along = along(&self.config, Some(pinned.pin.tree));
                self.remote
                    .resolve_unless_unheard(name, &target, along, NEWEST_PATIENCE)
            }) {
                Ok(newest) => Ok(newest),
                Err(failure) => {
                    tracing::info!(repository = %name, error = %failure, "shown as it was last");
                    Ok(pinned)
                }
            },
        }
    }

    fn resolve(&self, name: &RepositoryName, revision: &Revision) -> Result<Resolved, Failure> {
        let along = along(&self.config, None);
        self.remote.resolve(name, &target(revision)?, along)
    }
}

/// Asks for the snapshot that is about to be wanted, if the credential is for one repository, and that is to be
/// shown and is not here: so it comes while the server says who the credential is. Nothing is made of it before
/// somebody looks.
pub(super) fn anticipate(config: &Config, remote: &Arc<Remote>, selection: &Selection) {
    let along = along(config, None);
    let found = config.secrets.find(credentials::scope_of(config));
    let only = found
        .ok()
        .and_then(|found| found.credential.only_repository());
    let names = only.as_deref().and_then(|only| only.split_once('/'));
    let Some((organization, repository)) = names.filter(|_| along.bytes_max > 0) else {
        return;
    };
    let organizations = &config.organizations;
    let is_mounted = organizations.is_empty() || organizations.contains_key(organization);
    let folder = repositories_folder(&config.data_folder);
    let is_to_be_opened = |organization: &Name, repository: &Name| {
        is_mounted
            && selection.shows(organization, repository)
            && !is_here(&folder, organization, repository)
    };
    let revision = selection.revision(organization, repository);
    if let (Ok(first), Ok(second)) = (Name::try_from(organization), Name::try_from(repository))
        && is_to_be_opened(&first, &second)
        && let Ok(name) = RepositoryName::new(organization, repository)
        && let Ok(target) = target(&revision)
    {
        remote.anticipate(&name, target, along);
    }
}

/// Whether a repository has local state.
fn is_here(folder: &Path, organization: &Name, name: &Name) -> bool {
    let folder = folder.join(organization.as_os_str());
    folder.join(name.as_os_str()).join("journal").is_dir()
}

/// What comes along with a snapshot: what a reader would ask for next, unless nothing is to be
/// fetched ahead, or not so deep.
fn along(config: &Config, known: Option<GitOid>) -> Along {
    let prefetch = &config.prefetch;
    let is_wanted = prefetch.enabled && !prefetch.metered && prefetch.depth_max.is_none();
    Along {
        bytes_max: if is_wanted { ALONG_BYTES_MAX } else { 0 },
        known,
    }
}

/// What to ask the server for.
fn target(revision: &Revision) -> Result<Target, Failure> {
    Ok(match revision {
        Revision::DefaultBookmark => Target::DefaultBookmark,
        Revision::Bookmark(bookmark) => Target::Bookmark(bookmark.clone()),
        // The configuration has checked it.
        Revision::Change(change) => match change.parse::<ChangeId>() {
            Ok(change) => Target::Change(change),
            Err(_) => return Err(Failure::NotFound),
        },
    })
}

/// The store of fetched content, within the configured limits, and with what may be fetched ahead.
fn open_store(config: &Config) -> Result<Store, Error> {
    let cache = &config.cache;
    let limits = Limits {
        is_kept: cache.enabled,
        disk_bytes_max: cache.bytes_max,
        memory_bytes_max: cache.memory_bytes_max,
    };
    let wanted = &config.prefetch;
    let prefetch = Prefetch {
        depth_max: wanted.depth_max,
        requests_max: wanted.concurrency_max,
        objects_max: wanted.objects_max,
        bytes_max: wanted.bytes_max,
        pressure_max: wanted.cache_pressure_limit,
    };
    let store = Store::open_within(&cache.folder, limits).map_err(Error::Store)?;
    Ok(store.with_prefetch((wanted.enabled && !wanted.metered).then_some(prefetch)))
}

/// The configured rules; the built-in ones where there are none.
fn ignore_rules(config: &Config) -> Result<Arc<str>, Error> {
    let Some(path) = &config.mesaignore else {
        return Ok(DEFAULT_MESAIGNORE.into());
    };
    let rules = std::fs::read(path).map_err(|source| Error::Folder {
        path: path.clone(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&rules).into())
}
