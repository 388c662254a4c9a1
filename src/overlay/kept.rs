//! What stays on this machine, since Git has no such thing.
//!
//! It is found among the local changes whenever somebody asks, so it is right after a restart, and is
//! forgotten with the file.

use std::collections::BTreeSet;

use super::capture::{KeptLocal, KeptLocalReason};
use super::edits::{git_folder, is_git};
use super::open::{Local, Overlay};
use super::state::State;
use crate::tree::TreePath;

impl State {
    fn kept_local(&self, ignored: &[TreePath]) -> Vec<KeptLocal> {
        let upper = &self.upper;
        let mut kept: Vec<KeptLocal> = upper
            .names()
            .filter(|(_, name, node)| node.kind.is_special() || is_git(name))
            .filter_map(|(directory, name, _)| upper.path_of(directory)?.join(name).ok())
            .map(|path| match git_folder(&path) {
                Some(path) => KeptLocal {
                    path,
                    reason: KeptLocalReason::GitFolder,
                },
                None => KeptLocal {
                    path,
                    reason: KeptLocalReason::SpecialFile,
                },
            })
            .collect();
        kept.sort_by(|left, right| left.path.cmp(&right.path));
        // Whatever else is in a `.git` is named with it.
        kept.dedup_by(|left, right| left.path == right.path);
        let ignored: BTreeSet<&TreePath> = ignored.iter().collect();
        kept.retain(|kept| !has_ancestor(&ignored, &kept.path));
        kept
    }
}

impl Overlay {
    /// What no server can take, of what is here now and not ignored. Looks at every local change.
    pub fn kept_local(&self) -> Vec<KeptLocal> {
        let ignored = self.ignored();
        self.state.lock().kept_local(&ignored)
    }
}

impl Local {
    /// What no server can take.
    pub fn kept_local(&self) -> Vec<KeptLocal> {
        self.state.kept_local(&self.ignored())
    }
}

/// Whether a path, or something above it, is one of these.
fn has_ancestor(paths: &BTreeSet<&TreePath>, path: &TreePath) -> bool {
    let mut above = Some(path.clone());
    while let Some(here) = above {
        if paths.contains(&here) {
            return true;
        }
        above = here.split_last().map(|(parent, _)| parent);
    }
    false
}
