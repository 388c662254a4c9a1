//! Conflicts: listing them, showing what they are about, and settling them.
//!
//! Taking their side of a foreign edit is done from outside this process, through the mount like any
//! other edit, so that it is journaled and the kernel sees it: a daemon that waited for its own mount
//! could not even be killed. Here their files are fetched into a private folder, and a list of steps
//! says where they belong.

mod settle;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use journal::ConflictKind;
use uuid::Uuid;

use super::control::{
    Answer, ConflictAnswer, ConflictDetail, ConflictEntry, ConflictList, ConflictRequest,
    ConflictingPath,
};
use super::repositories::OpenRepositories;
use super::repository::Repository;
use crate::overlay::{self, Overlay};
use crate::remote::Failure;
use crate::tree::TreePath;
use crate::upper::{Conflict, RemoteState};

/// Why a conflict could not be shown or settled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None begins like this.
    #[error("no conflict has the id {id}")]
    NoSuchConflict {
        /// What was asked for.
        id: String,
    },
    /// More than one begins like this.
    #[error("more than one conflict has an id that begins with {id}")]
    ManyConflicts {
        /// What was asked for.
        id: String,
    },
    /// The conflict is not about this path.
    #[error("the conflict is not about {path}")]
    NotInConflict {
        /// Which.
        path: String,
    },
    /// Our side has no change of its own so far.
    #[error("our side is still on its way to a change of its own")]
    OnItsWay,
    /// One merge settles all paths at once.
    #[error("a publication is settled for all of its paths together")]
    NotInPart,
    /// The merge was refused again.
    #[error("not merged: {reason}")]
    NotMerged {
        /// Why.
        reason: String,
    },
    /// The server cannot show the commits.
    #[error("this server cannot show their side")]
    NotShown,
    /// It is not a few files.
    #[error("their side is too large to be taken over here")]
    TooMuch,
    /// The server, or the way to it.
    #[error("the server cannot be asked")]
    Remote(#[from] Failure),
    /// The local state.
    #[error("the local state")]
    Overlay(#[from] overlay::Error),
    /// The folder for their files.
    #[error("their files cannot be kept in {}", path.display())]
    Staging {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NoSuchConflict { .. } | Error::ManyConflicts { .. } => {
                Some("`mesa conflicts list` shows the ids")
            }
            Error::NotInConflict { .. } => Some("`mesa conflicts show` lists its paths"),
            Error::OnItsWay => Some("`mesa journal flush` pushes it; then try again"),
            Error::NotInPart => Some("name no paths"),
            Error::NotShown | Error::TooMuch => Some(
                "`mesa conflicts show` has the commits: merge them with Git, then resolve with \
                 --take ours",
            ),
            Error::NotMerged { .. } => Some("`mesa conflicts show` has it as it is now"),
            Error::Remote(_) | Error::Overlay(_) | Error::Staging { .. } => None,
        }
    }
}

/// What a listing shows of a conflict.
pub(super) fn entry(organization: &str, name: &str, conflict: &Conflict) -> ConflictEntry {
    let (kind, ours, theirs) = match conflict.kind {
        ConflictKind::Foreign => ("edit", conflict.sibling, Some(conflict.change)),
        ConflictKind::Publish => ("publish", Some(conflict.change), None),
    };
    ConflictEntry {
        id: Uuid::from_bytes(conflict.id).simple().to_string(),
        org: organization.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
        age_seconds: Overlay::age_seconds(conflict.time),
        paths: conflict.paths.len() as u64,
        our_change: ours.map(|change| change.to_string()),
        their_change: theirs.map(|change| change.to_string()),
        their_commit: conflict.theirs.to_string(),
        bookmark: conflict.bookmark.clone(),
    }
}

/// What is known of a conflict without asking anybody.
pub(super) fn detail(
    entry: ConflictEntry,
    conflict: &Conflict,
    remote: &RemoteState,
) -> ConflictDetail {
    let (base, ours) = match conflict.kind {
        ConflictKind::Foreign => {
            let ours = remote
                .change
                .filter(|(id, _)| Some(*id) == conflict.sibling);
            (Some(conflict.base), ours.map(|(_, commit)| commit))
        }
        ConflictKind::Publish => (None, Some(conflict.base)),
    };
    let commits: Vec<String> = [base, Some(conflict.theirs), ours]
        .into_iter()
        .flatten()
        .map(|commit| commit.to_string())
        .collect();
    let mut commands = vec![format!("git fetch origin {}", commits.join(" "))];
    commands.extend(
        commits
            .windows(2)
            .map(|pair| format!("git diff {}", pair.join(" "))),
    );
    let short = entry.id.get(..8).unwrap_or(&entry.id);
    for side in ["ours", "theirs"] {
        commands.push(format!("mesa conflicts resolve {short} --take {side}"));
    }
    ConflictDetail {
        base_commit: base.map(|commit| commit.to_string()),
        our_commit: ours.map(|commit| commit.to_string()),
        conflicting: conflict.paths.iter().map(path_only).collect(),
        unknown: None,
        commands,
        entry,
    }
}

fn path_only(path: &TreePath) -> ConflictingPath {
    ConflictingPath {
        path: path.to_string(),
        base: None,
        theirs: None,
        ours: None,
    }
}

/// Picks the one whose id begins like this.
///
/// # Errors
///
/// None does, or more than one.
pub(super) fn pick<T>(
    wanted: &str,
    all: impl IntoIterator<Item = (T, Conflict)>,
) -> Result<(T, Conflict), Error> {
    let lower = wanted.to_ascii_lowercase().replace('-', "");
    let begins = |conflict: &Conflict| {
        let id = Uuid::from_bytes(conflict.id).simple().to_string();
        !lower.is_empty() && id.starts_with(&lower)
    };
    let mut found = all.into_iter().filter(|(_, conflict)| begins(conflict));
    let id = wanted.to_owned();
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(Error::NoSuchConflict { id }),
        (Some(_), Some(_)) => Err(Error::ManyConflicts { id }),
    }
}

/// Lists the conflicts of several repositories, oldest first.
pub(super) fn list(entries: impl IntoIterator<Item = ConflictEntry>) -> ConflictList {
    let mut conflicts: Vec<ConflictEntry> = entries.into_iter().collect();
    conflicts.sort_by_key(|entry| std::cmp::Reverse(entry.age_seconds));
    ConflictList { conflicts }
}

impl OpenRepositories {
    /// Lists, shows or settles conflicts.
    ///
    /// # Errors
    ///
    /// There is no such conflict, or it cannot be shown or settled.
    pub(super) fn conflicts(
        &self,
        request: &ConflictRequest,
        mount_point: &str,
    ) -> Result<Answer, super::Error> {
        let answer = self.answer(request, mount_point)?;
        Ok(Answer::Conflicts(Box::new(answer)))
    }

    fn answer(
        &self,
        request: &ConflictRequest,
        mount_point: &str,
    ) -> Result<ConflictAnswer, Error> {
        let of = |one: Arc<Repository>| {
            let found: Vec<_> = one.overlay().remote().open_conflicts().cloned().collect();
            let with = move |conflict| (Arc::clone(&one), conflict);
            found.into_iter().map(with)
        };
        let open = self.all().into_iter().flat_map(of);
        Ok(match request {
            ConflictRequest::List => ConflictAnswer::List(list(open.map(|(one, conflict)| {
                entry(one.name().organization(), one.name().name(), &conflict)
            }))),
            ConflictRequest::Show { id } => {
                let (one, conflict) = pick(id, open)?;
                ConflictAnswer::Detail(one.conflict_detail(&conflict))
            }
            ConflictRequest::Theirs { id, paths } => {
                let (one, conflict) = pick(id, open)?;
                ConflictAnswer::Theirs(one.their_files(&conflict, paths, mount_point)?)
            }
            ConflictRequest::Resolve { id, take, paths } => {
                let (one, conflict) = pick(id, open)?;
                ConflictAnswer::Resolved(one.resolve_conflict(&conflict, *take, paths)?)
            }
        })
    }
}
