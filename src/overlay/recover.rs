//! What the journal and the index together tell: the state at the journal's head, and what the remote
//! does not have.

use journal::{Record, Sequence};

use super::error::Error;
use super::open::now;
use super::state::{State, Work};
use super::types::Owner;
use crate::tree::Timestamp;
use crate::upper::Upper;

/// What opening had to read: bounded, however much was pushed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// Records of the journal, with those of its snapshot.
    pub records: usize,
    /// Those that the index did not have.
    pub replayed: usize,
}

/// The state at the journal's head.
pub(super) fn rebuild(
    loaded: Option<(Sequence, Upper)>,
    recovered: &journal::Recovered,
    owner: Owner,
) -> Result<(State, Opening), Error> {
    let now = now();
    let head = recovered.journal.head();
    // An index that is ahead of the journal, or behind its snapshot, is of another history.
    let usable = loaded.filter(|(applied, _)| *applied <= head && *applied >= recovered.snapshot);
    let (applied, upper) = match usable {
        Some((applied, upper)) => (Some(applied), upper),
        None => (None, Upper::default()),
    };
    let mut state = State::new(upper, owner);
    if applied.is_none() {
        state.upper.mark_all_changed();
    }
    let mut replayed = 0;
    for (sequence, record) in &recovered.records {
        if applied.is_none_or(|applied| *sequence > applied) {
            state.upper.apply(*sequence, record)?;
            replayed += 1;
        }
    }
    for ino in state.upper.nameless() {
        state.upper.drop_nameless(ino);
    }
    let (work, since_capture) = unsent(&recovered.records, recovered.snapshot, &state, now);
    state.work = work;
    state.since_capture = since_capture;
    state.lower_time = state
        .upper
        .remote()
        .pin
        .map(|pin| pin.3)
        .unwrap_or_default();
    let opening = Opening {
        records: recovered.records.len(),
        replayed,
    };
    Ok((state, opening))
}

/// What the remote does not have, as the records tell it: all of it, and what came after a push that
/// was announced and has no outcome. That one may have been accepted, so until it is settled it is on
/// its way, and what came after it is counted by itself, as if the process had never died.
pub(super) fn unsent(
    records: &[(Sequence, Record)],
    snapshot: Sequence,
    state: &State,
    now: Timestamp,
) -> (Work, Option<Work>) {
    let remote = state.upper.remote();
    let (pushed, announced) = (remote.pushed, remote.intended.map(|(through, _)| through));
    let in_snapshot = records
        .iter()
        .take_while(|(sequence, _)| *sequence <= snapshot);
    let pushed_then = in_snapshot
        .filter_map(|(_, record)| match record {
            Record::Pushed { through, .. } => Some(*through),
            _ => None,
        })
        .last()
        .unwrap_or(Sequence::ZERO);
    // A push that was captured before the snapshot and accepted after it leaves what came between.
    let later_is_all = pushed > pushed_then;
    let mut work = Work::default();
    let mut since = announced.map(|_| Work::default());
    for (sequence, record) in records {
        let (is_work, is_since) = if *sequence > snapshot {
            (
                true,
                announced.is_some_and(|announced| *sequence > announced),
            )
        } else {
            match record {
                Record::Pending { .. } => (!later_is_all, false),
                Record::PendingLater { .. } => (
                    later_is_all,
                    announced.is_some_and(|announced| announced < snapshot),
                ),
                _ => (false, false),
            }
        };
        if is_work && *sequence > pushed {
            work.add(record, now);
        }
        if let Some(since) = since.as_mut().filter(|_| is_since) {
            since.add(record, now);
        }
    }
    (work, since)
}
