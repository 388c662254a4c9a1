//! What a data directory holds while no daemon runs: the same status, without what only a running
//! daemon knows.

use std::path::{Path, PathBuf};

use super::control::{ConflictDetail, ConflictList};
use super::control::{EntryState, JournalListing, PinAnswer, PinEntry, PinState};
use super::credentials;
use super::failure::in_a_line;
use super::journals::{self, Standing};
use super::lock::Holding;
use super::pins::Pins;
use super::replay_worker::{publishing, special};
use super::status::{Base, Change, PendingWork, RepoState, RepoStatus, State, Status, Totals};
use super::{DataLock, Error, known, loss, supervisor};
use crate::config::Config;
use crate::overlay::{Access, Local, Options, Overlay, Owner, Pending};
use crate::tree::{ChangeId, GitOid, Name, Timestamp};
use crate::upper::{Conflict, RemoteState};

/// Where the repositories of a data directory are.
pub(super) fn repositories_folder(data: &Path) -> PathBuf {
    data.join("repos")
}

/// Describes the data directory.
///
/// # Errors
///
/// The data directory cannot be read, or is in use after all.
pub fn status(config: &Config) -> Result<Status, Error> {
    let mut status = Status {
        state: State::Stopped,
        credential: credentials::described(config, credentials::scope_of(config)),
        repos: Vec::new(),
        pid: None,
        mount_point: Some(config.mount_point.display().to_string()),
        totals: Totals::default(),
        supervisor: supervisor::status(&config.runtime_folder),
    };
    each(config, |folder, organization, name| {
        status.repos.push(look(config, folder, organization, name));
        Ok(())
    })?;
    status.totals = Totals::of(&status.repos);
    Ok(status)
}

/// What the journals of the data directory hold for the remote.
///
/// # Errors
///
/// As [`status`]; a repository that cannot be opened.
pub fn journal(config: &Config) -> Result<JournalListing, Error> {
    let mut listing = JournalListing::default();
    each(config, |folder, organization, name| {
        let (organization, name_text) = (organization.to_string(), name.to_string());
        let local = Local::open(&options(config, folder, name));
        let local = local.map_err(|source| Error::Repository {
            name: format!("{organization}/{name_text}"),
            source,
        })?;
        let standing = Standing {
            state: EntryState::Blocked,
            reason: Some("not mounted".to_owned()),
            conflicted: Vec::new(),
        };
        let standing = standing.with_conflicts(local.remote());
        let name = (&*organization, &*name_text);
        journals::list(&mut listing, name, local.pending_effects(), &standing);
        Ok(())
    })?;
    Ok(listing)
}

/// What is pinned. How much of it is here the next mount finds out.
///
/// # Errors
///
/// As [`status`]; a list that cannot be read.
pub fn pins(config: &Config) -> Result<PinAnswer, Error> {
    let mut answer = PinAnswer { pins: Vec::new() };
    each(config, |folder, organization, name| {
        let path = folder.join(name.as_os_str());
        let pins = Pins::read(&path).map_err(|source| Error::Folder { path, source })?;
        answer.pins.extend(pins.paths().map(|path| PinEntry {
            repo: format!("{organization}/{name}"),
            path: path.to_owned(),
            state: PinState::Waiting,
            reason: Some("not mounted".to_owned()),
            is_walked: false,
            files: 0,
            bytes: 0,
            files_here: 0,
            bytes_here: 0,
        }));
        Ok(())
    })?;
    Ok(answer)
}

/// Visits every repository that has local state, under the data directory's lock: looking into a
/// journal recovers it. All are visited, whatever becomes of one; the first failure is given.
pub(super) fn each(
    config: &Config,
    mut visit: impl FnMut(&Path, &Name, &Name) -> Result<(), Error>,
) -> Result<(), Error> {
    let repositories = repositories_folder(&config.data_folder);
    if !repositories.is_dir() {
        return Ok(());
    }
    let _lock = DataLock::take(&config.data_folder, Holding::Command)?;
    let mut result = Ok(());
    for organization in organizations(&repositories)? {
        let folder = repositories.join(organization.as_os_str());
        let names = known::opened(&folder).map_err(|source| Error::Folder {
            path: folder.clone(),
            source,
        })?;
        for name in names {
            result = result.and(visit(&folder, &organization, &name));
        }
    }
    result
}

/// Lists the conflicts that the data directory knows of, and shows the one whose id begins like
/// `wanted`.
///
/// # Errors
///
/// The data directory cannot be read, or is in use after all; there is no such conflict.
pub fn conflicts(
    config: &Config,
    wanted: Option<&str>,
) -> Result<(ConflictList, Option<ConflictDetail>), Error> {
    let mut found = Vec::new();
    each(config, |folder, organization, name| {
        // What cannot be opened is told by `mesa status`.
        if let Ok(local) = Local::open(&options(config, folder, name)) {
            let remote = local.remote();
            let place = (organization.to_string(), name.to_string());
            for conflict in remote.open_conflicts() {
                found.push(((place.clone(), remote.clone()), conflict.clone()));
            }
        }
        Ok(())
    })?;
    let entry = |((org, name), _): &((String, String), RemoteState), conflict: &Conflict| {
        super::conflicts::entry(org, name, conflict)
    };
    let list = found.iter().map(|(place, conflict)| entry(place, conflict));
    let list = super::conflicts::list(list);
    let Some(wanted) = wanted else {
        return Ok((list, None));
    };
    let (place, conflict) = super::conflicts::pick(wanted, found)?;
    let mut detail = super::conflicts::detail(entry(&place, &conflict), &conflict, &place.1);
    detail.unknown = Some("nothing is mounted".to_owned());
    Ok((list, Some(detail)))
}

/// The organizations that have a directory.
///
/// # Errors
///
/// What the disk says.
pub(super) fn organizations(repositories: &Path) -> Result<Vec<Name>, Error> {
    let failed = |source| Error::Folder {
        path: repositories.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(repositories).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir()
            && let Ok(name) = Name::try_from(entry.file_name().as_os_str())
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// How a repository's local state is opened.
pub(super) fn options(config: &Config, folder: &Path, name: &Name) -> Options {
    Options {
        folder: folder.join(name.as_os_str()),
        owner: Owner {
            uid: config.uid,
            gid: config.gid,
        },
        commit_interval: config.commit_interval,
        // Nothing is pushed at rest, and the rules of the last push are kept with the state.
        ignore: "".into(),
        access: Access::default(),
    }
}

/// Describes one repository that is not open, from its local state below its organization's folder.
pub(super) fn look(config: &Config, folder: &Path, organization: &Name, name: &Name) -> RepoStatus {
    let mut status = RepoStatus {
        org: organization.to_string(),
        name: name.to_string(),
        state: RepoState::Closed,
        base: None,
        change: None,
        pending: PendingWork::default(),
        reason: None,
        kept_local: Vec::new(),
        ignored: Vec::new(),
        conflicts: 0,
        publish: None,
        journal: None,
        waiting: Vec::new(),
    };
    match Local::open(&options(config, folder, name)) {
        Ok(local) => {
            let remote = local.remote();
            status.kept_local = special(local.kept_local()).collect();
            status.base = base(remote);
            status.change = change(remote);
            status.pending = work(&local.pending());
            status.ignored = local.ignored().iter().map(ToString::to_string).collect();
            status.conflicts = remote.open_conflicts().count() as u64;
            let mode = config.publish(&status.org, &status.name);
            let pending = status.pending.operations;
            status.publish = publishing(mode, remote, pending, None);
            let conflicts = remote.open_conflicts();
            status.waiting = loss::waiting(&loss::Stand {
                blocked: Some(RepoState::Closed),
                cause: None,
                reason: Some("not mounted"),
                blocked_for: None,
                pending: status.pending,
                conflicts: conflicts
                    .map(|one| Overlay::age_seconds(one.time))
                    .collect(),
            });
        }
        // One damaged repository must not hide the others.
        Err(error) => status.reason = Some(in_a_line(&error)),
    }
    status
}

/// What a repository shows below the edits.
pub(super) fn base(remote: &RemoteState) -> Option<Base> {
    let (change, commit, _tree, _time): (ChangeId, GitOid, GitOid, Timestamp) = remote.pin?;
    Some(Base {
        bookmark: remote.bookmark.clone(),
        change_id: change.to_string(),
        commit_oid: commit.to_string(),
    })
}

/// Where a repository's edits go.
pub(super) fn change(remote: &RemoteState) -> Option<Change> {
    let (change, commit) = remote.change?;
    Some(Change {
        id: change.to_string(),
        commit_oid: commit.to_string(),
    })
}

/// What a repository has to push.
pub(super) fn work(pending: &Pending) -> PendingWork {
    PendingWork {
        operations: pending.operations,
        bytes: pending.bytes,
        oldest_age_seconds: pending.since.map(Overlay::age_seconds),
    }
}
