//! What a server could not take: it stays local, and somebody is to know.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::overlay;
use crate::remote::{KeptLocal, KeptReason};
use crate::tree::{Edit, TreePath};

/// Paths that the server did not take, since this repository was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::daemon) struct Kept(BTreeMap<TreePath, KeptReason>);

impl Kept {
    /// Notes what a push brought: what it said of a path holds from now on, also of what is below.
    pub(super) fn pushed(&mut self, edits: &[Edit], kept: &[KeptLocal]) {
        if !self.0.is_empty() {
            let edited: BTreeSet<&TreePath> = edits.iter().map(Edit::path).collect();
            self.0.retain(|path, _| !is_told_of(path, &edited));
        }
        let kept = kept.iter().map(|kept| (kept.path.clone(), kept.reason));
        self.0.extend(kept);
    }

    /// Each of them with its reason.
    pub(in crate::daemon) fn words(&self) -> impl Iterator<Item = String> {
        let one = |(path, reason): (&TreePath, &KeptReason)| format!("{path} ({})", words(*reason));
        self.0.iter().map(one)
    }
}

/// Whether a path, something above it or something in it was edited.
fn is_told_of(path: &TreePath, edited: &BTreeSet<&TreePath>) -> bool {
    let mut above = Some(path.clone());
    while let Some(here) = above {
        if edited.contains(&here) {
            return true;
        }
        above = here.split_last().map(|(parent, _)| parent);
    }
    let after = (Bound::Excluded(path), Bound::Unbounded);
    // Siblings such as `a.b` and `a-b` sort between `a` and what is in `a`.
    let prefix = path.as_bytes();
    edited
        .range::<TreePath, _>(after)
        .take_while(|edited| edited.as_bytes().starts_with(prefix))
        .any(|edited| edited.starts_with(path))
}

/// What no server can take, in the same words.
pub(in crate::daemon) fn special(kept: Vec<overlay::KeptLocal>) -> impl Iterator<Item = String> {
    kept.into_iter().map(|kept| match kept.reason {
        overlay::KeptLocalReason::SpecialFile => format!("{} (a special file)", kept.path),
        overlay::KeptLocalReason::GitFolder => format!("{} (Git's own folder)", kept.path),
        overlay::KeptLocalReason::NotText => format!("{} (the path is not UTF-8)", kept.path),
        overlay::KeptLocalReason::Ignored => format!("{} (ignored)", kept.path),
    })
}

fn words(reason: KeptReason) -> &'static str {
    match reason {
        KeptReason::PathNotText => "the path is not UTF-8",
        KeptReason::PathTooLong => "the path is too long",
        KeptReason::Symlink => "a symbolic link",
        KeptReason::Directory => "an empty directory",
        KeptReason::TooLarge => "too large for this server",
        KeptReason::Submodule => "a submodule",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::try_from(text).unwrap()
    }

    #[test]
    fn a_path_is_kept_until_a_push_speaks_of_it() {
        let mut kept = Kept::default();
        let link = |text| KeptLocal {
            path: path(text),
            reason: KeptReason::Symlink,
        };
        let remove = |text| Edit::Remove { path: path(text) };
        kept.pushed(&[], &[link("a"), link("b/c"), link("d/e/f"), link("g")]);
        kept.pushed(
            &[remove("b"), remove("d/e/f"), remove("g/h"), remove("g.x")],
            &[link("h")],
        );
        let words: Vec<String> = kept.words().collect();
        assert_eq!(words, ["a (a symbolic link)", "h (a symbolic link)"]);
    }
}
