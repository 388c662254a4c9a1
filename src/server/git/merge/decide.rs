//! What becomes of one name when two trees with a common base are merged: pure.

use gix::objs::tree::{EntryKind, EntryMode};

/// What a tree has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) mode: EntryMode,
    pub(super) oid: gix::ObjectId,
}

impl Slot {
    pub(super) fn is_directory(self) -> bool {
        self.mode.is_tree()
    }

    /// A file whose bytes can be merged; links and submodules are one value each.
    pub(super) fn is_file(self) -> bool {
        matches!(
            self.mode.kind(),
            EntryKind::Blob | EntryKind::BlobExecutable
        )
    }

    fn is_like(self, other: Slot) -> bool {
        (self.is_file() && other.is_file()) || self.mode.kind() == other.mode.kind()
    }
}

/// One name in three trees; `None` is nothing there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sides {
    pub(super) base: Option<Slot>,
    pub(super) target: Option<Slot>,
    pub(super) source: Option<Slot>,
}

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// What the target has.
    Target,
    /// What the source has.
    Source,
    /// Neither as it is: the target's object with the source's mode, or the other way around.
    Slot(Slot),
    /// A directory, in which each name is decided by itself.
    Descend,
    /// A file of this mode, of which both sides have changed the bytes.
    Bytes(EntryMode),
    /// The sides contradict each other.
    Clash,
}

/// Decides about one name. No renames are looked for: a file that one side moved and the other
/// edited is deleted here and edited there, which clashes and loses nothing.
pub(super) fn decide(sides: &Sides) -> Decision {
    let Sides {
        base,
        target,
        source,
    } = *sides;
    if target == source || source == base {
        return Decision::Target;
    }
    if target == base {
        return Decision::Source;
    }
    let was_directory = base.is_some_and(Slot::is_directory);
    match (target, source) {
        (Some(target), Some(source)) => match (target.is_directory(), source.is_directory()) {
            (true, true) => Decision::Descend,
            (false, false) => blend(base, target, source),
            _ => Decision::Clash,
        },
        // Somebody removed the directory, and somebody else worked in it.
        (Some(left), None) | (None, Some(left)) if left.is_directory() && was_directory => {
            Decision::Descend
        }
        // One side replaced a file by a directory, or the reverse; the other removed what was there.
        (Some(left), None) if left.is_directory() != was_directory => Decision::Target,
        (None, Some(left)) if left.is_directory() != was_directory => Decision::Source,
        _ => Decision::Clash,
    }
}

/// Two files, links or submodules that differ.
fn blend(base: Option<Slot>, target: Slot, source: Slot) -> Decision {
    if !target.is_like(source) {
        return Decision::Clash;
    }
    let base = base.filter(|base| base.is_like(target));
    let mode = newer(base.map(|base| base.mode), target.mode, source.mode);
    let oid = newer(base.map(|base| base.oid), target.oid, source.oid);
    match (mode, oid) {
        (Some(mode), Some(oid)) => Decision::Slot(Slot { mode, oid }),
        (Some(mode), None) if target.is_file() => Decision::Bytes(mode),
        _ => Decision::Clash,
    }
}

/// The value that differs from the base, unless both do and disagree.
fn newer<T: PartialEq>(base: Option<T>, target: T, source: T) -> Option<T> {
    if target == source || base.as_ref() == Some(&source) {
        Some(target)
    } else if base.as_ref() == Some(&target) {
        Some(source)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is nothing; else a kind (`f`ile, e`x`ecutable, `l`ink, `s`ubmodule, `d`irectory) and the
    /// number of an object.
    fn slot(text: &str) -> Option<Slot> {
        let kind = match text.get(..1)? {
            "f" => EntryKind::Blob,
            "x" => EntryKind::BlobExecutable,
            "l" => EntryKind::Link,
            "s" => EntryKind::Commit,
            "d" => EntryKind::Tree,
            _ => return None,
        };
        let mut oid = [0; 20];
        oid[0] = text[1..].parse().unwrap();
        Some(Slot {
            mode: kind.into(),
            oid: gix::ObjectId::Sha1(oid),
        })
    }

    fn decided(text: &str) -> Decision {
        let mut words = text.split(' ').map(slot);
        let mut next = || words.next().unwrap();
        decide(&Sides {
            base: next(),
            target: next(),
            source: next(),
        })
    }

    #[test]
    fn what_one_side_left_alone_is_as_the_other_has_it() {
        for (sides, decision) in [
            ("f1 f1 f2", Decision::Source),
            ("f1 f2 f1", Decision::Target),
            ("f1 f2 f2", Decision::Target),
            ("f1 f1 -", Decision::Source),
            ("f1 - f1", Decision::Target),
            ("f1 - -", Decision::Target),
            ("- f1 -", Decision::Target),
            ("- - d1", Decision::Source),
            ("d1 d1 f2", Decision::Source),
            ("l1 x2 l1", Decision::Target),
        ] {
            assert_eq!(decided(sides), decision, "{sides}");
        }
    }

    #[test]
    fn what_both_changed_is_merged_or_clashes() {
        let bytes = |kind: EntryKind| Decision::Bytes(kind.into());
        let whole = |text: &str| Decision::Slot(slot(text).unwrap());
        for (sides, decision) in [
            ("f1 f2 f3", bytes(EntryKind::Blob)),
            ("- f2 f3", bytes(EntryKind::Blob)),
            ("f1 x2 f3", bytes(EntryKind::BlobExecutable)),
            ("d1 f2 f3", bytes(EntryKind::Blob)),
            ("f1 x1 f2", whole("x2")),
            ("x1 x2 f1", whole("f2")),
            ("- x1 f1", Decision::Clash),
            ("- x1 f2", Decision::Clash),
            ("f1 f2 -", Decision::Clash),
            ("f1 - x1", Decision::Clash),
            ("l1 l2 l3", Decision::Clash),
            ("s1 s2 s3", Decision::Clash),
            ("f1 l2 f3", Decision::Clash),
            ("f1 d2 f3", Decision::Clash),
            ("- f2 d3", Decision::Clash),
            ("d1 f2 d3", Decision::Clash),
            ("d1 d2 d3", Decision::Descend),
            ("f1 d2 d3", Decision::Descend),
            ("d1 d2 -", Decision::Descend),
            ("d1 - d2", Decision::Descend),
            ("f1 d2 -", Decision::Target),
            ("f1 - d2", Decision::Source),
            ("d1 f2 -", Decision::Target),
            ("d1 - f2", Decision::Source),
        ] {
            assert_eq!(decided(sides), decision, "{sides}");
        }
    }
}
