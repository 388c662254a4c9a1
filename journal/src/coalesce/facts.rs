//! What the records told of the base tree, by base path.
//!
//! Only whether something stands there and whether it is a directory matters: that decides whether
//! it must be removed before something else takes its place. What is not known is taken to be there
//! and to be of the other shape: one removal too many does no harm, one too few does.

use std::collections::BTreeMap;

use super::Entry;
use crate::record::{NodeKind, Path};

/// Whether a node may have others below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    Leaf,
}

impl Shape {
    pub(super) fn of(kind: NodeKind) -> Shape {
        match kind {
            NodeKind::Directory => Shape::Directory,
            NodeKind::File
            | NodeKind::Symlink
            | NodeKind::Fifo
            | NodeKind::Socket
            | NodeKind::CharDevice
            | NodeKind::BlockDevice => Shape::Leaf,
        }
    }
}

/// What stands at a path of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Absent,
    /// Nothing that would have to be removed before what a seeding plan put there.
    NothingInTheWay,
    Is(Shape),
}

#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    known: BTreeMap<Path, Fact>,
}

impl Facts {
    pub(super) fn learn(&mut self, base: Path, fact: Fact) {
        self.known.insert(base, fact);
    }

    pub(super) fn forget(&mut self, base: &Path) {
        self.known.remove(base);
    }

    /// A plan that put something in place of `standing` without removing it had its reason.
    pub(super) fn guess(&mut self, standing: &Entry) {
        if let Entry::Base(base) = standing {
            self.known
                .entry(base.clone())
                .or_insert(Fact::NothingInTheWay);
        }
    }

    pub(super) fn is_absent(&self, base: &Path) -> bool {
        self.known.get(base) == Some(&Fact::Absent)
    }

    pub(super) fn shape(&self, base: &Path) -> Option<Shape> {
        match self.known.get(base) {
            Some(Fact::Is(shape)) => Some(*shape),
            Some(Fact::Absent | Fact::NothingInTheWay) | None => None,
        }
    }

    /// Whether what stands at `base` must go before a node of this shape takes its place.
    pub(super) fn is_in_the_way(&self, base: &Path, shape: Option<Shape>) -> bool {
        match self.known.get(base) {
            Some(Fact::Absent) => false,
            Some(Fact::NothingInTheWay) => shape == Some(Shape::Directory),
            Some(Fact::Is(Shape::Leaf)) => shape != Some(Shape::Leaf),
            Some(Fact::Is(Shape::Directory)) | None => true,
        }
    }
}
