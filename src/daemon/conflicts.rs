//! Conflicts: listing them, showing what they are about, and settling them.
//!
//! Taking their side of a foreign edit is done from outside this process, through the mount like any
//! other edit, so that it is journaled and the kernel sees it: a daemon that waited for its own mount
//! could not even be killed. Here their files are fetched into a private folder, and a list of steps
//! says where they belong.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use journal::ConflictKind;
use uuid::Uuid;

use super::control::{
    ConflictDetail, ConflictEntry, ConflictList, ConflictResolved, ConflictSpot, ConflictingPath,
    TheirFiles, TheirKind, TheirStep,
};
use super::private_folder;
use super::repository::Repository;
use crate::lower::EntryKind;
use crate::overlay::{self, Overlay};
use crate::remote::{At, Failure, Foreign, Spot, Verdict};
use crate::tree::{GitOid, TreePath};
use crate::upper::{Conflict, RemoteState};

/// Longest target of a symbolic link that is taken over (PATH_MAX).
const TARGET_BYTES_MAX: u64 = 4096;
/// Paths of which a conflict shows what they are: each may cost three listings.
const SHOWN_MAX: usize = 200;

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

/// All conflicts of a repository that somebody has to settle.
pub(super) fn entries(organization: &str, name: &str, remote: &RemoteState) -> Vec<ConflictEntry> {
    let open = remote.open_conflicts();
    open.map(|one| entry(organization, name, one)).collect()
}

/// What is known of a conflict without asking anybody.
pub(super) fn detail(entry: ConflictEntry, conflict: &Conflict, remote: &RemoteState) -> ConflictDetail {
    let (base, ours) = match conflict.kind {
        ConflictKind::Foreign => {
            let ours = remote.change.filter(|(id, _)| Some(*id) == conflict.sibling);
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
    commands.extend(commits.windows(2).map(|pair| format!("git diff {}", pair.join(" "))));
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

/// The paths of a conflict that somebody names: these, or what is below them; all when none is named.
fn selected(conflict: &Conflict, wanted: &[String]) -> Result<Vec<TreePath>, Error> {
    if wanted.is_empty() {
        return Ok(conflict.paths.clone());
    }
    let mut chosen = Vec::new();
    for text in wanted {
        let unknown = || Error::NotInConflict { path: text.clone() };
        let path = TreePath::try_from(text.trim_matches('/')).map_err(|_| unknown())?;
        let before = chosen.len();
        let here = conflict.paths.iter().filter(|one| one.starts_with(&path));
        chosen.extend(here.cloned());
        if chosen.len() == before {
            return Err(unknown());
        }
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

impl Repository {
    /// Shows a conflict, with what its paths are on each side where the server can tell.
    pub(super) fn conflict_detail(&self, conflict: &Conflict) -> ConflictDetail {
        let remote = self.overlay().remote();
        let mut shown = detail(self.conflict_entry(conflict), conflict, &remote);
        let paths = conflict.paths.get(..SHOWN_MAX).unwrap_or(&conflict.paths);
        let look = |commit: Option<&String>| -> Result<Vec<Option<Spot>>, Failure> {
            match commit.and_then(|text| text.parse::<GitOid>().ok()) {
                Some(commit) => self.others().spots_of_commit(commit, paths),
                None => Ok(vec![None; paths.len()]),
            }
        };
        let sides = look(shown.base_commit.as_ref()).and_then(|base| {
            let theirs = look(Some(&shown.entry.their_commit))?;
            Ok((base, theirs, look(shown.our_commit.as_ref())?))
        });
        match sides {
            Ok((base, theirs, ours)) => {
                let spots = base.into_iter().zip(theirs).zip(ours);
                for (path, ((base, theirs), ours)) in shown.conflicting.iter_mut().zip(spots) {
                    path.base = base.map(spot);
                    path.theirs = theirs.map(spot);
                    path.ours = ours.map(spot);
                }
                if conflict.paths.len() > SHOWN_MAX {
                    shown.unknown = Some(format!("only the first {SHOWN_MAX} paths were looked at"));
                }
            }
            Err(failure) => shown.unknown = Some(failure.to_string()),
        }
        shown
    }

    /// Fetches their side of a conflict into a private folder, and says where it belongs.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing in the mount has changed.
    pub(super) fn their_files(
        &self,
        conflict: &Conflict,
        wanted: &[String],
        mount_point: &str,
    ) -> Result<TheirFiles, Error> {
        let paths = selected(conflict, wanted)?;
        if conflict.kind == ConflictKind::Publish {
            return Ok(TheirFiles::default());
        }
        if conflict.waits_for_sibling() {
            return Err(Error::OnItsWay);
        }
        let commits = (conflict.base, conflict.theirs);
        let leaves = match self.others().between(conflict.change, commits, &[])? {
            Verdict::Known(Foreign::Leaves(leaves)) => leaves,
            Verdict::Known(Foreign::TooMuch) => return Err(Error::TooMuch),
            Verdict::Moved => return Err(Error::NotShown),
        };
        let folder = self.staging(conflict);
        let failed = |source| Error::Staging {
            path: folder.clone(),
            source,
        };
        private_folder(&folder).map_err(|error| failed(io::Error::other(error)))?;
        let mut steps = Vec::new();
        for (path, theirs) in leaves {
            if !paths.iter().any(|one| path.starts_with(one)) {
                continue;
            }
            let is = match theirs {
                None => TheirKind::Gone,
                Some(spot) => self.fetch_theirs(conflict, &path, &spot, &folder, steps.len())?,
            };
            let path = path.as_bytes().to_vec();
            steps.push(TheirStep { path, is });
        }
        // What is gone makes room first.
        steps.sort_by_key(|step| step.is != TheirKind::Gone);
        let root = Path::new(mount_point).join(self.name().organization());
        Ok(TheirFiles {
            root: root.join(self.name().name()).display().to_string(),
            steps,
        })
    }

    fn fetch_theirs(
        &self,
        conflict: &Conflict,
        path: &TreePath,
        spot: &Spot,
        folder: &Path,
        number: usize,
    ) -> Result<TheirKind, Error> {
        let at = At::Commit(conflict.theirs);
        let executable = match spot.kind {
            EntryKind::Directory | EntryKind::Submodule => return Ok(TheirKind::Directory),
            EntryKind::Symlink if spot.size > TARGET_BYTES_MAX => return Err(Error::TooMuch),
            EntryKind::Symlink => {
                let mut target = Vec::new();
                self.others().fetch(at, path, spot, &mut target)?;
                return Ok(TheirKind::Symlink { target });
            }
            EntryKind::File => false,
            EntryKind::Executable => true,
        };
        let staged = folder.join(number.to_string());
        let failed = |source| Error::Staging {
            path: staged.clone(),
            source,
        };
        let mut file = File::create(&staged).map_err(failed)?;
        self.others().fetch(at, path, spot, &mut file)?;
        file.flush().map_err(failed)?;
        Ok(TheirKind::File {
            staged: staged.display().to_string(),
            executable,
        })
    }

    /// Takes a conflict off the list, or some of its paths.
    ///
    /// # Errors
    ///
    /// [`Error`]; it stays listed then.
    pub(super) fn settle_conflict(
        &self,
        conflict: &Conflict,
        wanted: &[String],
    ) -> Result<ConflictResolved, Error> {
        if conflict.waits_for_sibling() {
            return Err(Error::OnItsWay);
        }
        let settled = selected(conflict, wanted)?;
        // What was taken over from them is durable before nobody is reminded of it any more.
        self.overlay().sync_all()?;
        let left: Vec<TreePath> = conflict.paths.iter().cloned().collect();
        let left: Vec<TreePath> = left.into_iter().filter(|one| !settled.contains(one)).collect();
        let rest = (!left.is_empty()).then(|| Conflict {
            id: Uuid::new_v4().into_bytes(),
            paths: left,
            ..conflict.clone()
        });
        if let Some(rest) = &rest {
            self.overlay().record_conflict(rest)?;
        }
        self.overlay().record_conflict_resolved(conflict.id)?;
        if let Err(error) = fs::remove_dir_all(self.staging(conflict))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(error = %error, "fetched files of a conflict stay behind");
        }
        Ok(ConflictResolved {
            id: self.conflict_entry(conflict).id,
            left: rest.map(|rest| self.conflict_entry(&rest)),
        })
    }

    fn conflict_entry(&self, conflict: &Conflict) -> ConflictEntry {
        entry(self.name().organization(), self.name().name(), conflict)
    }

    fn staging(&self, conflict: &Conflict) -> PathBuf {
        let id = Uuid::from_bytes(conflict.id).simple().to_string();
        self.folder().join("theirs").join(id)
    }
}

/// Lists the conflicts of several repositories, oldest first.
pub(super) fn list(entries: impl IntoIterator<Item = ConflictEntry>) -> ConflictList {
    let mut conflicts: Vec<ConflictEntry> = entries.into_iter().collect();
    conflicts.sort_by_key(|entry| std::cmp::Reverse(entry.age_seconds));
    ConflictList { conflicts }
}

fn spot(spot: Spot) -> ConflictSpot {
    let kind = match spot.kind {
        EntryKind::File => "file",
        EntryKind::Executable => "executable",
        EntryKind::Symlink => "symlink",
        EntryKind::Directory => "directory",
        EntryKind::Submodule => "submodule",
    };
    ConflictSpot {
        kind: kind.to_owned(),
        size: spot.size,
        oid: spot.oid.to_string(),
    }
}
