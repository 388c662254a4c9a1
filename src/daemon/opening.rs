//! Opening and closing repositories of a running mount, because a person asks for it.
//!
//! ```text
//! open:   opened from disk or server ──> kept, and shown ──> the kernel forgets that it was not there
//! close:  pushed, within a deadline ──> kept, and hidden ──> the kernel forgets it ──> at rest
//! ```
//!
//! Nothing is ever lost by closing. What is not pushed keeps the repository from being closed, unless
//! that is insisted on: then it is hidden, but stays open, and its worker goes on until the remote
//! has everything; so it does after the next mount. Files that are open stay usable in the same way.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::never;

use super::Error;
use super::at_rest;
use super::control::RepoAnswer;
use super::failure::in_a_line;
use super::holders;
use super::repositories::{Key, OpenRepositories, has_work};
use super::repository::Repository;
use super::status::{RepoState, RepoStatus};
use crate::config::{MountMode, Opens, Revision};
use crate::fuse::OpenError;
use crate::tree::Name;

/// How long requests that are under way may hold on to a repository that closes: those that wait for
/// the network have deadlines of a few seconds.
const LET_GO: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// When a repository may be hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hide {
    /// When the remote has everything, and no file is open.
    Idle,
    /// In any case.
    Anyway,
}

/// A repository that is to be shown or hidden, of an organization that is mounted explicitly.
struct Chosen {
    key: Key,
    organization: String,
    repository: String,
}

impl Chosen {
    fn name(&self) -> String {
        format!("{}/{}", self.organization, self.repository)
    }
}

impl OpenRepositories {
    /// Opens or closes a repository. `forget` has the kernel forget what it knows of a name; it may
    /// wait for look-ups that are under way, which take none of the locks that are held here.
    ///
    /// # Errors
    ///
    /// The organization shows everything; there is no such repository, or no such revision; the disk.
    pub(super) fn show(
        &self,
        (organization, name): (Option<&str>, &str),
        revision: Option<&str>,
        forget: impl Fn(&Name, &Name),
    ) -> Result<RepoAnswer, Error> {
        let _one_at_a_time = self.changing.lock();
        let chosen = self.chosen(organization, name)?;
        let revision = revision.map(Revision::try_from).transpose();
        let revision = revision.map_err(Error::Revision)?;
        let revision = revision.as_ref();
        if self.selection.shows(&chosen.key.0, &chosen.key.1) {
            let shown = (self.selection).revision(&chosen.organization, &chosen.repository);
            if revision.is_some_and(|wanted| *wanted != shown) {
                return Err(Error::OpenAlready {
                    name: chosen.name(),
                });
            }
            self.opened_as(&chosen, &shown)?;
            return Ok(self.described(&chosen));
        }
        // What was closed by force may have come to rest since; else it goes on as it is.
        self.retire(&chosen.key);
        let result = self.show_hidden(&chosen, revision);
        match result {
            Ok(()) => forget(&chosen.key.0, &chosen.key.1),
            Err(_) => self.retire(&chosen.key),
        }
        result.map(|()| self.described(&chosen))
    }

    /// Pushes what a repository has, and hides it. The answer says what was in the way of that, if
    /// it is still shown.
    ///
    /// # Errors
    ///
    /// The organization shows everything; it does not show that repository; the disk.
    pub(super) fn hide(
        &self,
        (organization, name): (Option<&str>, &str),
        deadline: Instant,
        how: Hide,
        forget: impl Fn(&Name, &Name),
    ) -> Result<RepoAnswer, Error> {
        let _one_at_a_time = self.changing.lock();
        let chosen = self.chosen(organization, name)?;
        if !self.selection.shows(&chosen.key.0, &chosen.key.1) {
            return Err(Error::NotShown {
                name: chosen.name(),
            });
        }
        let is_in_the_way = |answer: &RepoAnswer| how == Hide::Idle && answer.open_files > 0;
        let answer = self.described(&chosen);
        if is_in_the_way(&answer) {
            return Ok(answer);
        }
        if let Some(repository) = self.by_key(&chosen.key) {
            let _not_cancelled = repository.drain(deadline).wait(deadline, &never());
        }
        let answer = self.described(&chosen);
        if is_in_the_way(&answer) || (how == Hide::Idle && answer.remains.is_some()) {
            return Ok(answer);
        }
        let kept = (self.selection).close(&chosen.organization, &chosen.repository);
        kept.map_err(|source| self.not_kept(source))?;
        forget(&chosen.key.0, &chosen.key.1);
        self.retire(&chosen.key);
        Ok(RepoAnswer {
            base: answer.base,
            ..self.described(&chosen)
        })
    }

    /// Opens a repository, or finds it open, whether it is shown or not. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(super) fn open_hidden(
        &self,
        key: &Key,
        revision: &Revision,
    ) -> Result<Arc<Repository>, OpenError> {
        let _turn = match self.turn(key) {
            Ok(turn) => turn,
            Err(opened) => return Ok(opened),
        };
        let repository = Arc::new(self.opener.open(&key.0, &key.1, revision)?);
        let slot = repository.opened().slot;
        let mut table = self.table.write();
        table.by_slot.insert(slot, Arc::clone(&repository));
        table.by_name.insert(key.clone(), Arc::clone(&repository));
        Ok(repository)
    }

    /// As [`OpenRepositories::open_hidden`], at what it is to show.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(super) fn open_any(
        &self,
        organization: &Name,
        name: &Name,
    ) -> Result<Arc<Repository>, OpenError> {
        let revision = (self.selection).revision(&organization.to_string(), &name.to_string());
        self.open_hidden(&(organization.clone(), name.clone()), &revision)
    }
    fn show_hidden(&self, chosen: &Chosen, revision: Option<&Revision>) -> Result<(), Error> {
        let configured = || (self.selection).configured(&chosen.organization, &chosen.repository);
        let shown = revision.cloned().unwrap_or_else(configured);
        let repository = self.opened_as(chosen, &shown)?;
        // It stays on what its local edits were made on, and without the server on what it was.
        let base = at_rest::base(&repository.overlay().remote());
        let is_wanted = base.as_ref().is_some_and(|base| match revision {
            None | Some(Revision::DefaultBookmark) => true,
            Some(Revision::Bookmark(name)) => base.bookmark.as_ref() == Some(name),
            Some(Revision::Change(id)) => base.change_id == *id,
        });
        if !is_wanted {
            return Err(Error::OtherRevision {
                name: chosen.name(),
                shown: base.map_or_else(String::new, |base| match base.bookmark {
                    Some(name) => format!("bookmark:{name}"),
                    None => format!("change-id:{}", base.change_id),
                }),
                wanted: shown.to_string(),
            });
        }
        let kept = (self.selection).open(&chosen.organization, &chosen.repository, revision);
        kept.map_err(|source| self.not_kept(source))
    }

    fn opened_as(&self, chosen: &Chosen, revision: &Revision) -> Result<Arc<Repository>, Error> {
        let opened = self.open_hidden(&chosen.key, revision);
        opened.map_err(|source| Error::Open {
            repository: chosen.name(),
            source,
        })
    }

    fn not_kept(&self, source: std::io::Error) -> Error {
        Error::Folder {
            path: self.config().data_folder.clone(),
            source,
        }
    }

    /// The repository that is meant.
    fn chosen(&self, organization: Option<&str>, repository: &str) -> Result<Chosen, Error> {
        let configured = &self.config().organizations;
        let mut names = configured.keys();
        let organization = match (organization, names.next(), names.next()) {
            (Some(named), _, _) => named.to_owned(),
            (None, Some(only), None) => only.clone(),
            (None, Some(_), Some(_)) => return Err(Error::WhichOrganization),
            (None, None, _) => return Err(Error::NotExplicit { organization: None }),
        };
        let mode = configured.get(&organization).map(|one| one.mount);
        if mode != Some(MountMode::Explicit) {
            return Err(Error::NotExplicit {
                organization: Some(organization),
            });
        }
        let parsed = (
            Name::try_from(organization.as_str()),
            Name::try_from(repository),
        );
        let (Ok(first), Ok(second)) = parsed else {
            return Err(Error::NoSuchRepository {
                name: format!("{organization}/{repository}"),
            });
        };
        Ok(Chosen {
            key: (first, second),
            organization,
            repository: repository.to_owned(),
        })
    }

    fn by_key(&self, key: &Key) -> Option<Arc<Repository>> {
        self.table.read().by_name.get(key).cloned()
    }

    /// Brings a hidden repository to rest, unless it has work to push, or files that are open.
    ///
    /// It gets a new number: the kernel may still know inodes of the old one, by a working directory
    /// or a memory map, and those must not mean files of another revision.
    fn retire(&self, key: &Key) {
        let Some(repository) = self.by_key(key) else {
            return;
        };
        if has_work(&repository.status()) || self.open_files(&repository) > 0 {
            return;
        }
        if let Err(error) = self.opener.renew(repository.name()) {
            let name = repository.name();
            tracing::warn!(repository = %name, error = %error, "hidden, but kept open: no new number");
            return;
        }
        {
            let mut table = self.table.write();
            table.by_slot.remove(&repository.opened().slot);
            table.by_name.remove(key);
        }
        // Changes that are under way are in the journal when this returns, or have failed.
        repository.close();
        let found = RepoStatus {
            state: RepoState::Closed,
            journal: None,
            ..repository.status()
        };
        let came_late = has_work(&found);
        {
            let mut closed = self.closed.lock();
            closed.retain(|one| (&one.org, &one.name) != (&found.org, &found.name));
            closed.push(found);
        }
        let overlay = Arc::downgrade(repository.overlay());
        drop(repository);
        let deadline = Instant::now() + LET_GO;
        while overlay.strong_count() > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
        if came_late {
            tracing::info!(repository = %key.1, "changed while it was closed, so it is opened again");
            if let Err(error) = self.open_any(&key.0, &key.1) {
                let error = in_a_line(&error);
                tracing::error!(repository = %key.1, error, "its last changes wait for the next mount");
            }
        }
    }

    fn described(&self, chosen: &Chosen) -> RepoAnswer {
        let repository = self.by_key(&chosen.key);
        let repository = repository.as_deref();
        RepoAnswer {
            org: chosen.organization.clone(),
            name: chosen.repository.clone(),
            shown: self.selection.shows(&chosen.key.0, &chosen.key.1),
            base: repository.and_then(|one| at_rest::base(&one.overlay().remote())),
            remains: repository.and_then(Repository::remaining),
            open_files: repository.map_or(0, |one| self.open_files(one)),
        }
    }

    /// How many files of a repository programs have open.
    fn open_files(&self, repository: &Repository) -> u64 {
        match self.config().opens {
            Opens::Plain | Opens::Passthrough => repository.overlay().open_files(),
            Opens::Kernel => {
                let Ok(mount_point) = self.config().mount_point.canonicalize() else {
                    return 0;
                };
                let below = mount_point.join(repository.name().to_string());
                let slot = repository.opened().slot;
                let open = holders::open_inodes(&below).into_iter();
                open.filter_map(|number| slot.inode(number))
                    .filter(|ino| repository.overlay().is_file(*ino))
                    .count() as u64
            }
        }
    }
}
