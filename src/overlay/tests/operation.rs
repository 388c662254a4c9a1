//! What a random history of the overlay is made of.

use proptest::prelude::*;
use proptest::sample::Index;

/// What the file of ignore rules is made to say.
pub(super) const RULES: [&str; 5] = ["", "n1\nn3\n", "n1\n", "/n2\na\n", "only\n*e\n!n0\n"];

/// One step of a random history.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Create(Index, u8),
    Directory(Index, u8),
    Symlink(Index, u8),
    Write(Index, u16, Vec<u8>),
    WriteThrough(Index, u16, Vec<u8>, bool),
    WriteUnseen(Index, u16, Vec<u8>),
    CloseWriter(Index),
    Upkeep,
    Truncate(Index, u16),
    Executable(Index, bool),
    Remove(Index),
    Rename(Index, Index, u8, u8),
    RenameOver(Index, Index, u8),
    Link(Index, Index, u8),
    Rules(u8),
    Push,
    LosePush,
    LoseAnswer(bool),
    PushEverything,
    Checkpoint,
    Compact,
    Reopen,
    ReopenWithoutIndex,
}

/// Any step; what is common is likelier.
pub(super) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), 0..6_u8).prop_map(|(at, name)| Create(at, name)),
        3 => (index(), 0..6_u8).prop_map(|(at, name)| Directory(at, name)),
        1 => (index(), 0..6_u8).prop_map(|(at, name)| Symlink(at, name)),
        5 => (index(), 0..40_u16, prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, offset, data)| Write(at, offset, data)),
        3 => (index(), 0..40_u16, prop::collection::vec(any::<u8>(), 1..20), any::<bool>())
            .prop_map(|(at, offset, data, stays)| WriteThrough(at, offset, data, stays)),
        3 => (index(), 0..40_u16, prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, offset, data)| WriteUnseen(at, offset, data)),
        1 => index().prop_map(CloseWriter),
        1 => Just(Upkeep),
        2 => (index(), 0..30_u16).prop_map(|(at, size)| Truncate(at, size)),
        2 => (index(), any::<bool>()).prop_map(|(at, on)| Executable(at, on)),
        5 => index().prop_map(Remove),
        5 => (index(), index(), 0..6_u8, 0..2_u8)
            .prop_map(|(from, to, name, mode)| Rename(from, to, name, mode)),
        5 => (index(), index(), 0..3_u8).prop_map(|(from, to, mode)| RenameOver(from, to, mode)),
        2 => (index(), index(), 0..6_u8).prop_map(|(from, to, name)| Link(from, to, name)),
        2 => (0..RULES.len() as u8).prop_map(Rules),
        3 => Just(Push),
        1 => Just(LosePush),
        3 => any::<bool>().prop_map(LoseAnswer),
        1 => Just(PushEverything),
        1 => Just(Checkpoint),
        1 => Just(Compact),
        2 => Just(Reopen),
        1 => Just(ReopenWithoutIndex),
    ]
}
