//! What one repository does about its conflicts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use journal::ConflictKind;
use uuid::Uuid;

use super::super::control::{
    ConflictDetail, ConflictEntry, ConflictResolved, ConflictSide, ConflictSpot, TheirFiles,
    TheirKind, TheirStep,
};
use super::super::private_folder;
use super::super::replay_worker::{Granted, Wish};
use super::super::repository::Repository;
use super::{Error, detail, entry};
use crate::lower::EntryKind;
use crate::remote::api::Take;
use crate::remote::{At, Failure, Foreign, Spot, Verdict};
use crate::tree::{GitOid, TreePath};
use crate::upper::Conflict;

/// Longest target of a symbolic link that is taken over (PATH_MAX).
const TARGET_BYTES_MAX: u64 = 4096;
/// How long a merge may take, with a push before it that is under way.
const MERGE_PATIENCE: Duration = Duration::from_secs(120);
/// Paths of which a conflict shows what they are: each may cost three listings.
const SHOWN_MAX: usize = 200;

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
    pub(in super::super) fn conflict_detail(&self, conflict: &Conflict) -> ConflictDetail {
        let remote = self.overlay().remote();
        let mut shown = detail(self.conflict_entry(conflict), conflict, &remote);
        let paths = conflict.paths.get(..SHOWN_MAX).unwrap_or(&conflict.paths);
        let look = |commit: Option<&String>| -> Result<Vec<Option<Spot>>, Failure> {
            match commit.and_then(|text| text.parse::<GitOid>().ok()) {
                Some(commit) => self.others().spots(At::Commit(commit), paths),
                None => Ok(vec![None; paths.len()]),
            }
        };
        match self.others().shows_commits() {
            Ok(true) => {}
            Ok(false) => {
                shown.unknown = Some(Error::NotShown.to_string());
                return shown;
            }
            Err(failure) => {
                shown.unknown = Some(failure.to_string());
                return shown;
            }
        }
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
                    shown.unknown =
                        Some(format!("only the first {SHOWN_MAX} paths were looked at"));
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
    pub(in super::super) fn their_files(
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
        if !self.others().shows_commits()? {
            return Err(Error::NotShown);
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
        let mut options = File::options();
        options.create(true).write(true).truncate(true).mode(0o600);
        let mut file = options.open(&staged).map_err(failed)?;
        self.others().fetch(at, path, spot, &mut file)?;
        file.flush().map_err(failed)?;
        Ok(TheirKind::File {
            staged: staged.display().to_string(),
            executable,
        })
    }

    /// Settles a conflict, or some of its paths. Of a foreign edit both sides are on the server, and
    /// what is wanted of theirs has been written into the mount by now; of a publication it is the
    /// server that merges, with one side where they contradict.
    ///
    /// # Errors
    ///
    /// [`Error`]; it stays listed then.
    pub(in super::super) fn resolve_conflict(
        &self,
        conflict: &Conflict,
        take: ConflictSide,
        wanted: &[String],
    ) -> Result<ConflictResolved, Error> {
        if conflict.kind == ConflictKind::Foreign {
            return self.settle_conflict(conflict, wanted);
        }
        if !wanted.is_empty() {
            return Err(Error::NotInPart);
        }
        let wish = Wish::Resolve {
            conflict: conflict.clone(),
            take: match take {
                ConflictSide::Ours => Take::Source,
                ConflictSide::Theirs => Take::Target,
            },
        };
        let reason = match self.publish(wish, Instant::now() + MERGE_PATIENCE) {
            Some(Granted::Published { .. }) => {
                // The worker has settled it, unless an earlier publication had everything already.
                self.overlay().record_conflict_resolved(conflict.id)?;
                return Ok(ConflictResolved {
                    id: self.conflict_entry(conflict).id,
                    left: None,
                });
            }
            Some(Granted::Refused { reason, .. }) => reason,
            Some(Granted::Nothing { .. } | Granted::NoBookmark) => {
                "there is nothing of ours to merge".to_owned()
            }
            None => "not finished in time".to_owned(),
        };
        Err(Error::NotMerged { reason })
    }

    /// Takes a conflict off the list, or some of its paths.
    fn settle_conflict(
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
        let mut left = conflict.paths.clone();
        left.retain(|one| !settled.contains(one));
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
