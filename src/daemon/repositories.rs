//! The open repositories of a mount, and those that could be.
//!
//! Opening is one thread's job for each repository; others who want the same wait for it. What has
//! work to push is opened at the start, so that it is pushed also if nobody looks at it; the rest on
//! first use.

mod overview;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::{Condvar, Mutex, RwLock};

use super::at_rest::{self, repositories_folder};
use super::control::{Drained, JournalListing, Remaining, RepoVerified, Verified};
use super::failure::in_a_line;
use super::journals::is_named;
use super::lists::{Lists, organizations};
use super::opener::{self, Opener};
use super::replay_worker::Handshake;
use super::repository::Repository;
use super::rounds::Rounds;
use super::selection::Selection;
use super::status::{PublishState, RepoStatus};
use super::{Error, Service, clock, credentials, known, private_folder, space, verification};
use crate::config::Config;
use crate::fuse::{OpenError, Opened, Repositories, Slot};
use crate::lower::Store;
use crate::overlay::{Overlay, Space};
use crate::remote::Remote;
use crate::secrets::Scope;
use crate::tree::Name;

/// How long a mount waits at its start for what is new on the server.
const LISTS_PATIENCE: Duration = Duration::from_secs(1);

/// Organization and repository.
pub(super) type Key = (Name, Name);

/// The open repositories of a mount, and how to open others.
pub(super) struct OpenRepositories {
    config: Arc<Config>,
    service: Service,
    lists: Arc<Lists>,
    pub(super) selection: Arc<Selection>,
    pub(super) opener: Opener,
    organizations: Vec<Name>,
    pub(super) table: RwLock<Table>,
    /// Held by whoever opens or closes a repository by hand; nothing that the kernel asks waits for it.
    pub(super) changing: Mutex<()>,
    opening: Mutex<HashSet<Key>>,
    opened: Condvar,
    _clock: Rounds,
    /// Repositories with local state that are not open, as they were last.
    pub(super) closed: Mutex<Vec<RepoStatus>>,
}

/// How a drain ended.
pub(super) struct Drain {
    /// What remains.
    pub(super) drained: Drained,
    /// Whether somebody wanted no more of it.
    pub(super) cancelled: bool,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) by_name: HashMap<Key, Arc<Repository>>,
    pub(super) by_slot: HashMap<Slot, Arc<Repository>>,
}

/// The right to open one repository; given on when dropped, also by a panic.
pub(super) struct Turn<'a> {
    repositories: &'a OpenRepositories,
    key: &'a Key,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.repositories.opening.lock().remove(self.key);
        self.repositories.opened.notify_all();
    }
}

impl OpenRepositories {
    /// The store of fetched content, which all of them share.
    pub(super) fn store(&self) -> &Store {
        self.opener.store()
    }

    /// Opens the store, finds the organizations, and opens the repositories that have work to push,
    /// so that it is pushed also if nobody looks at them.
    ///
    /// # Errors
    ///
    /// The data directory; the server, if it is needed to know what to mount.
    pub(super) fn open(config: &Arc<Config>) -> Result<Arc<OpenRepositories>, Error> {
        let service = Service::new(config)?;
        let folder = repositories_folder(&config.data_folder);
        private_folder(&folder)?;
        let selection = Arc::new(Selection::read(config));
        opener::anticipate(config, service.remote(), &selection);
        let organizations = organizations(config, &service)?;
        let remote = Arc::clone(service.remote());
        let clock = clock::start(move |passed| {
            tracing::info!(passed = ?passed, "time passed unseen: connections are made anew");
            remote.distrust_connections();
        });
        let lists = Arc::new(Lists::new(config, service.remote(), &selection));
        let repositories = Arc::new(OpenRepositories {
            opener: Opener::new(config, service.remote(), &lists, &selection)?,
            config: Arc::clone(config),
            service,
            lists,
            selection,
            organizations,
            table: RwLock::default(),
            changing: Mutex::default(),
            opening: Mutex::default(),
            opened: Condvar::new(),
            _clock: clock.map_err(Error::Setup)?,
            closed: Mutex::default(),
        });
        repositories.resume();
        let organizations = &repositories.organizations;
        repositories.lists.warm(organizations, LISTS_PATIENCE);
        Ok(repositories)
    }

    /// Opens what has local work, shown or not, which needs no network. One that does not open must not keep the
    /// others from it.
    fn resume(&self) {
        for organization in &self.organizations {
            let folder = repositories_folder(&self.config.data_folder);
            let folder = folder.join(organization.as_os_str());
            for name in known::opened(&folder).unwrap_or_default() {
                let found = at_rest::look(&self.config, &folder, organization, &name);
                if !has_work(&found) && found.reason.is_none() {
                    self.closed.lock().push(found);
                } else if let Err(error) = self.open_any(organization, &name) {
                    let error = in_a_line(&error);
                    tracing::error!(repository = %name, error, "not opened");
                    let reason = Some(error);
                    self.closed.lock().push(RepoStatus { reason, ..found });
                }
            }
        }
    }

    /// What most of what is mounted is asked for with.
    pub(super) fn scope(&self) -> Scope<'_> {
        credentials::scope_of(&self.config)
    }

    /// There is another credential.
    pub(super) fn credential_changed(&self) {
        self.lists.credential_changed();
        for repository in self.all() {
            repository.credential_changed();
        }
    }

    /// What the user wants.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The open repositories, by name.
    pub(super) fn all(&self) -> Vec<Arc<Repository>> {
        let mut all: Vec<_> = self.table.read().by_name.values().cloned().collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// The connection to the server.
    pub(super) fn remote(&self) -> &Remote {
        self.service.remote()
    }

    /// The name of the repository of a slot, while it is open.
    pub(super) fn name_of(&self, slot: Slot) -> Option<String> {
        let table = self.table.read();
        table.by_slot.get(&slot).map(|one| one.name().to_string())
    }

    /// What the remote does not have, of all repositories.
    pub(super) fn journal(&self) -> JournalListing {
        let mut listing = JournalListing::default();
        for repository in self.all() {
            repository.list(&mut listing);
        }
        listing
    }

    /// The open repositories that a person means: all, or the one of that name.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRepository`], [`Error::ManyRepositories`].
    pub(super) fn named(&self, wanted: Option<&str>) -> Result<Vec<Arc<Repository>>, Error> {
        let mut found = self.all();
        let Some(wanted) = wanted else {
            return Ok(found);
        };
        found.retain(|one| is_named(wanted, one.name().organization(), one.name().name()));
        match found.len() {
            0 => Err(Error::NoSuchRepository {
                name: wanted.to_owned(),
            }),
            1 => Ok(found),
            _ => Err(Error::ManyRepositories),
        }
    }

    /// The one open repository that a person means.
    ///
    /// # Errors
    ///
    /// As [`OpenRepositories::named`]; [`Error::ManyRepositories`] also when none is named and several
    /// are open.
    pub(super) fn one(&self, wanted: Option<&str>) -> Result<Arc<Repository>, Error> {
        let mut found = self.named(wanted)?;
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (None, _) => Err(Error::NoSuchRepository {
                name: wanted.unwrap_or("any").to_owned(),
            }),
            (Some(_), _) => Err(Error::ManyRepositories),
        }
    }

    /// How sound the local state is, of what is open and of what could not be opened.
    ///
    /// # Errors
    ///
    /// There is no such repository.
    pub(super) fn verify(&self, wanted: Option<&str>) -> Result<Verified, Error> {
        let mut repos: Vec<RepoVerified> = self.all().iter().map(|one| one.verify()).collect();
        for closed in self.closed.lock().iter() {
            if !repos
                .iter()
                .any(|open| (&open.org, &open.name) == (&closed.org, &closed.name))
            {
                let folder = repositories_folder(&self.config.data_folder);
                let folder = folder.join(&closed.org).join(&closed.name);
                repos.push(verification::closed(&folder, &closed.org, &closed.name));
            }
        }
        if let Some(wanted) = wanted {
            repos.retain(|repo| is_named(wanted, &repo.org, &repo.name));
            if repos.is_empty() {
                return Err(Error::NoSuchRepository {
                    name: wanted.to_owned(),
                });
            }
        }
        Ok(Verified { repos })
    }

    /// Has every repository push what it has now, until a deadline or a message on `cancel`.
    pub(super) fn drain(&self, deadline: Instant, cancel: &Receiver<()>) -> Drain {
        let all = self.all();
        let handshakes: Vec<Handshake> = all.iter().map(|one| one.drain(deadline)).collect();
        let cancelled = handshakes
            .into_iter()
            .any(|handshake| handshake.wait(deadline, cancel).is_break());
        let in_time = !cancelled && Instant::now() < deadline;
        let open = all.iter().filter_map(|one| {
            let mut remaining = one.remaining()?;
            // What was there when it began is pushed, and nothing is in the way of the rest.
            if in_time && remaining.reason.is_none() {
                remaining.reason = Some("written since it began".to_owned());
            }
            Some(remaining)
        });
        // What could not even be opened is not with the remote, either.
        let closed = self.closed.lock().clone();
        let closed = closed.into_iter().filter_map(|one| {
            let is_open = |open: &Arc<Repository>| {
                (open.name().organization(), open.name().name()) == (&*one.org, &*one.name)
            };
            let remains = one.pending.operations > 0 || one.reason.is_some();
            let folder = repositories_folder(&self.config.data_folder);
            let folder = folder.join(&one.org).join(&one.name);
            (remains && !all.iter().any(is_open)).then_some(Remaining {
                journal: Some(Remaining::journal_below(&folder)),
                org: one.org,
                name: one.name,
                operations: one.pending.operations,
                bytes: one.pending.bytes,
                reason: one.reason,
                needs_credential: false,
            })
        });
        let drained = Drained {
            remains: open.chain(closed).collect(),
        };
        Drain { drained, cancelled }
    }

    /// Ends the workers and brings the local state to rest: nothing is served after that.
    pub(super) fn close(&self) {
        // Nothing that is under way may keep the workers from ending.
        self.service.remote().close();
        let table = std::mem::take(&mut *self.table.write());
        for repository in table.by_name.values() {
            repository.close();
        }
    }

    /// Waits for the turn to open a repository, or finds it open.
    pub(super) fn turn<'a>(&'a self, key: &'a Key) -> Result<Turn<'a>, Arc<Repository>> {
        let mut opening = self.opening.lock();
        loop {
            if let Some(repository) = self.table.read().by_name.get(key) {
                return Err(Arc::clone(repository));
            }
            if opening.insert(key.clone()) {
                return Ok(Turn {
                    repositories: self,
                    key,
                });
            }
            self.opened.wait(&mut opening);
        }
    }
}

impl Repositories for OpenRepositories {
    fn organizations(&self) -> Vec<Name> {
        self.organizations.clone()
    }

    fn repositories(&self, organization: &Name) -> Result<Vec<Name>, OpenError> {
        Ok(self.lists.names(organization)?.iter().cloned().collect())
    }

    fn known(&self, organization: &Name) -> Option<Arc<BTreeSet<Name>>> {
        self.lists.known(organization)
    }

    fn is_here(&self, organization: &Name, repository: &Name) -> bool {
        // What is hidden is as good as not here.
        self.selection.shows(organization, repository)
            && self.opener.is_here(organization, repository)
    }

    fn open(&self, organization: &Name, repository: &Name) -> Result<Opened, OpenError> {
        if !self.selection.shows(organization, repository) {
            return Err(OpenError::NotFound);
        }
        let repository = self.open_any(organization, repository)?;
        Ok(repository.opened())
    }

    fn opened(&self, slot: Slot) -> Option<Arc<Overlay>> {
        let table = self.table.read();
        table.by_slot.get(&slot).map(|one| one.opened().overlay)
    }

    fn opened_by_name(&self, organization: &Name, repository: &Name) -> Option<Opened> {
        if !self.selection.shows(organization, repository) {
            return None;
        }
        let key = (organization.clone(), repository.clone());
        self.table.read().by_name.get(&key).map(|one| one.opened())
    }

    fn space(&self) -> io::Result<Space> {
        space::as_shown(&self.config.data_folder)
    }
}

/// Whether something of a repository is still to be pushed, published, or settled.
pub(super) fn has_work(found: &RepoStatus) -> bool {
    let publish = found.publish.as_ref();
    let is_unpublished = publish.is_some_and(|publish| publish.state != PublishState::UpToDate);
    found.pending.operations > 0 || found.conflicts > 0 || is_unpublished
}
