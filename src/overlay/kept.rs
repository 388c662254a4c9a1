//! What stays on this machine, since Git has no such thing.
//!
//! It is found among the local changes whenever somebody asks, so it is right after a restart, and is
//! forgotten with the file.

use std::collections::BTreeSet;

use super::capture::{KeptLocal, KeptLocalReason};
use super::edits::{is_git, is_text};
use super::open::{Local, Overlay};
use super::state::State;
use crate::tree::TreePath;

impl State {
    fn kept_local(&self, ignored: &[TreePath]) -> Vec<KeptLocal> {
        let upper = &self.upper;
        let mut kept: Vec<KeptLocal> = upper
            .names()
            .filter(|(_, name, node)| node.kind.is_special() || is_git(name) || !is_text(name))
            .filter_map(|(directory, name, _)| upper.path_of(directory)?.join(name).ok())
            .map(whole)
            .collect();
        kept.sort_by(|left, right| left.path.cmp(&right.path));
        // Whatever else is in a `.git`, or below a name that is no text, is named with it.
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

/// What stays with a path that does: the topmost that no server can be told of, or what is there itself.
fn whole(path: TreePath) -> KeptLocal {
    let mut above = TreePath::ROOT;
    for name in path.names() {
        let reason = match &name {
            name if is_git(name) => Some(KeptLocalReason::GitFolder),
            name if !is_text(name) => Some(KeptLocalReason::NotText),
            _ => None,
        };
        let Ok(here) = above.join(&name) else { break };
        if let Some(reason) = reason {
            return KeptLocal { path: here, reason };
        }
        above = here;
    }
    let reason = KeptLocalReason::SpecialFile;
    KeptLocal { path, reason }
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
