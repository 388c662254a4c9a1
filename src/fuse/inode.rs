//! Inode numbers as the kernel sees them: which repository, and which inode in it.
//!
//! A FUSE node id is `slot << 48 | local`. Slot 0 is the virtual root with its organization
//! directories; every opened repository has a [`Slot`] of its own for good, so a number never means
//! two files, not even across remounts, and the kernel may cache by it without end.

use fuser::INodeNo;

use crate::tree::Ino;

/// Bits of a node id that belong to the repository's own inode number.
const LOCAL_BITS: u32 = 48;
const LOCAL_MASK: u64 = (1 << LOCAL_BITS) - 1;

/// The number of an opened repository: 1 to 32,767, never reused in a data directory.
///
/// The highest bit stays clear, so that every inode number is positive in the signed 64-bit types
/// of other languages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Slot(u16);

impl Slot {
    /// The largest slot.
    pub const MAX: Slot = Slot(0x7fff);

    /// The slot's number, for storing it.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A number outside of 1 to 32,767.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a repository slot is a number from 1 to 32767, not {number}")]
pub struct SlotError {
    /// The number that was refused.
    pub number: u16,
}

impl TryFrom<u16> for Slot {
    type Error = SlotError;

    fn try_from(number: u16) -> Result<Slot, SlotError> {
        match number {
            1..=0x7fff => Ok(Slot(number)),
            _ => Err(SlotError { number }),
        }
    }
}

impl Slot {
    /// The inode of this repository that a number of the kernel's is, if it is one.
    pub fn inode(self, number: u64) -> Option<Ino> {
        match NodeId::of_kernel(INodeNo(number)) {
            Some(NodeId::Repository(slot, ino)) if slot == self => Some(ino),
            _ => None,
        }
    }
}

/// An inode of the whole mount.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum NodeId {
    /// The root or a directory of an organization.
    Virtual(Ino),
    /// An inode of a repository.
    Repository(Slot, Ino),
}

impl NodeId {
    /// The root of the mount.
    pub(super) const ROOT: NodeId = NodeId::Virtual(Ino::ROOT);

    /// The kernel's number; `None` when the local number needs more than 48 bits, which no inode
    /// of ours does.
    pub(super) fn to_kernel(self) -> Option<INodeNo> {
        let (slot, local) = match self {
            NodeId::Virtual(local) => (0, local.0),
            NodeId::Repository(slot, local) => (u64::from(slot.0), local.0),
        };
        (local <= LOCAL_MASK && local != 0).then_some(INodeNo(slot << LOCAL_BITS | local))
    }

    /// What a number of the kernel's stands for; `None` for a slot that cannot be.
    pub(super) fn of_kernel(number: INodeNo) -> Option<NodeId> {
        let local = Ino(number.0 & LOCAL_MASK);
        match u16::try_from(number.0 >> LOCAL_BITS) {
            Ok(0) => Some(NodeId::Virtual(local)),
            Ok(slot) => Some(NodeId::Repository(Slot::try_from(slot).ok()?, local)),
            Err(_) => None,
        }
    }
}

/// The 48-bit inode number of something virtual that has only a name, the same in every mount.
pub(super) fn of_words(words: &[&[u8]]) -> Ino {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        // A NUL ends each word: names contain none, so two lists of words never hash as one.
        hasher.update(word).update(&[0]);
    }
    let number = hasher
        .finalize()
        .as_bytes()
        .iter()
        .take(LOCAL_BITS as usize / 8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // 0 is no inode and 1 is the root.
    Ino(number.max(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn node_ids_survive_the_round_trip(slot in 0_u16..=0x7fff, local in 1_u64..=LOCAL_MASK) {
            let node = match Slot::try_from(slot) {
                Ok(slot) => NodeId::Repository(slot, Ino(local)),
                Err(_) => NodeId::Virtual(Ino(local)),
            };
            let number = node.to_kernel().unwrap();
            prop_assert!(number.0.cast_signed() > 0);
            prop_assert_eq!(NodeId::of_kernel(number), Some(node));
        }
    }

    #[test]
    fn the_root_is_the_number_that_the_protocol_fixes() {
        assert_eq!(NodeId::ROOT.to_kernel(), Some(INodeNo::ROOT));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(NodeId::Virtual(Ino(1 << 48)).to_kernel(), None);
        assert_eq!(NodeId::of_kernel(INodeNo(0x8000 << 48 | 1)), None);
        assert_eq!(Slot::try_from(0), Err(SlotError { number: 0 }));
    }
}
