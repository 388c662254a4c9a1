//! Everything of one repository that is in memory: the upper layer, the inodes that the kernel
//! knows, and the work that the remote has not accepted.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;

use journal::{Effect, Path, Plan, Record, Sequence, Time};

use super::descriptors::Descriptors;
use super::ignore::Ignore;
use super::through::{Passage, Standing};
use super::types::Owner;
use crate::lower::EntryKind;
use crate::tree::{GitOid, Ino, Timestamp, TreePath};
use crate::upper::{Upper, journal_time};

/// What a record is for, which decides whether it may use what a full disk keeps in reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// It makes or changes something.
    Change,
    /// It is part of removing something, or of cutting it to nothing.
    Freeing,
}

/// The state behind the overlay's lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) upper: Upper,
    /// Inodes that the kernel refers to, and lower ancestors of those.
    pub(super) live: HashMap<Ino, Live>,
    /// How many of them are the lower layer's alone.
    pub(super) lower_nodes: usize,
    /// How far [`State::idle`] has come on its way round them.
    pub(super) hand: usize,
    /// Work since the last push that the remote accepted.
    pub(super) work: Work,
    /// Work since the capture that is on its way; it becomes `work` when the remote accepts that.
    pub(super) since_capture: Option<Work>,
    /// Files with a `Write` record since the last capture.
    pub(super) marked: HashSet<Ino>,
    /// Files that the kernel may write by itself.
    pub(super) standing: HashMap<Ino, Standing>,
    /// The last record that says so of one.
    pub(super) stood: Sequence,
    /// Whose bodies are kept open though nobody says that the files are.
    pub(super) descriptors: Descriptors,
    /// Whom files of the lower layer belong to.
    pub(super) owner: Owner,
    /// The time of the pinned commit, which files of the lower layer show.
    pub(super) lower_time: Timestamp,
    /// What is never pushed.
    pub(super) ignore: Ignore,
}

/// An inode that somebody refers to. There may be millions, of which most are never opened, so what few
/// have is apart.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Entry-bearing replies that the kernel has not yet forgotten.
    pub(super) lookups: u64,
    /// Opens that were not yet released, where the kernel tells of them.
    pub(super) opens: u32,
    /// Live lower nodes whose directory this is.
    pub(super) children: u32,
    /// Set while the node is the lower layer's alone.
    pub(super) lower: Option<Box<LowerNode>>,
    /// What few have.
    pub(super) held: Option<Box<Held>>,
}

/// What a file has that is opened, and a directory that is looked at.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The body, opened: while there are opens, or as long as `descriptors` has room.
    pub(super) body: Option<Arc<File>>,
    /// The lower object, opened, while there are opens.
    pub(super) object: Option<Arc<File>>,
    /// What lets the kernel read and write the body by itself, while there are opens of that kind.
    pub(super) passage: Option<Passage>,
    /// Whether the kernel may have pages from before the body changed without it.
    pub(super) pages_stale: bool,
    /// Whether `descriptors` has it.
    pub(super) is_kept_open: bool,
    /// Of a directory that shows a lower one through: how many of that one's directories are seen.
    pub(super) seen: Option<Seen>,
}

/// How many directories of a lower directory are seen through one of ours, and what that goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// The lower directory.
    pub(super) tree: GitOid,
    /// The entries that cover something of it.
    pub(super) covering: u32,
    /// Directories.
    pub(super) directories: u32,
}

/// A node that only the lower layer has.
#[derive(Clone, Debug)]
pub(super) struct LowerNode {
    /// Path in the pinned commit, which the inode number is made of.
    pub(super) path: TreePath,
    pub(super) parent: Ino,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) oid: GitOid,
    /// Whether its name is gone while somebody still has it open.
    pub(super) removed: bool,
}

/// What is to be pushed.
#[derive(Debug, Default, Clone)]
pub(super) struct Work {
    pub(super) plan: Plan,
    /// Records.
    pub(super) operations: u64,
    /// When the oldest of them was appended.
    pub(super) since: Option<Timestamp>,
    /// When each path was first changed; also of some that have nothing pending any more.
    ages: HashMap<Path, Timestamp>,
    /// The number of ages at which they are swept next.
    ages_max: usize,
}

/// Paths whose ages are kept before those that have nothing pending are swept out: a thousand cost
/// some 100 KiB.
const AGES_MIN: usize = 1024;

impl Work {
    pub(super) fn add(&mut self, record: &Record, now: Timestamp) {
        match record {
            Record::Dropped { path, .. } => return self.give_up(path),
            Record::PendingLater { since, effect } => {
                let (since, effect) = (*since, effect.clone());
                self.plan.push(&Record::Pending { since, effect });
            }
            record if record.is_pending_work() => self.plan.push(record),
            _ => return,
        }
        let at = record.time().map_or(now, |time| Timestamp {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        });
        self.operations += 1;
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        for path in record.paths() {
            self.ages.entry(path.clone()).or_insert(at);
        }
        if self.ages.len() >= self.ages_max.max(AGES_MIN) {
            let plan = &self.plan;
            self.ages.retain(|path, _| plan.touches(path));
            self.ages_max = self.ages.len() * 2;
        }
    }

    /// When what is to be done at a path began; never later than it did.
    pub(super) fn since(&self, effect: &Effect) -> Timestamp {
        let age = self.ages.get(effect.path()).copied().or(self.since);
        age.unwrap_or_default()
    }

    fn give_up(&mut self, path: &journal::Path) {
        self.plan.give_up(path);
        // Which of the records that is, nobody knows any more; what is left of them counts.
        let left = self.plan.effects().len() as u64;
        self.operations = self.operations.min(left);
        if left == 0 {
            self.since = None;
        }
    }

    /// Records that make this work again, behind a snapshot.
    pub(super) fn records(&self, make: impl Fn(Time, Effect) -> Record) -> Vec<Record> {
        let effects = self.plan.effects().into_iter();
        effects
            .map(|effect| make(journal_time(self.since(&effect)), effect))
            .collect()
    }
}

impl State {
    pub(super) fn new(upper: Upper, owner: Owner) -> State {
        let lower_time = upper.remote().pin.map(|pin| pin.3).unwrap_or_default();
        State {
            upper,
            live: HashMap::new(),
            lower_nodes: 0,
            hand: 0,
            work: Work::default(),
            since_capture: None,
            marked: HashSet::new(),
            standing: HashMap::new(),
            stood: Sequence::ZERO,
            descriptors: Descriptors::default(),
            owner,
            lower_time,
            ignore: Ignore::default(),
        }
    }

    /// Whether there is anything that the remote may lack.
    pub(super) fn has_pending(&self) -> bool {
        self.work.operations > 0 || !self.ignore.owed().is_empty()
    }

    /// Records that make what is to be pushed again, behind a snapshot of the tree.
    pub(super) fn unsent_records(&self) -> Vec<Record> {
        let work = &self.work;
        let mut records = work.records(|since, effect| Record::Pending { since, effect });
        if let Some(since) = &self.since_capture {
            records.extend(since.records(|since, effect| Record::PendingLater { since, effect }));
        }
        records.extend(self.upper.remote().announced());
        records
    }

    /// Takes a record that the journal has.
    pub(super) fn absorb(
        &mut self,
        sequence: Sequence,
        record: &Record,
        now: Timestamp,
    ) -> Result<(), crate::upper::Error> {
        self.upper.apply(sequence, record)?;
        self.count(record, now);
        Ok(())
    }

    /// Counts a record as work.
    pub(super) fn count(&mut self, record: &Record, now: Timestamp) {
        self.work.add(record, now);
        if let Some(work) = &mut self.since_capture {
            work.add(record, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use journal::NodeKind;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp {
            seconds: i64::try_from(seconds).unwrap(),
            nanoseconds: 0,
        }
    }

    fn path(number: u64) -> Path {
        Path(format!("file-{number}").into_bytes())
    }

    fn link(number: u64, time: u64) -> Record {
        Record::Link {
            from: Path(b"first".to_vec()),
            to: path(number),
            inode: 7,
            time: journal_time(at(time)),
        }
    }

    fn unlink(number: u64, time: u64) -> Record {
        Record::Remove {
            path: path(number),
            kind: NodeKind::File,
            time: journal_time(at(time)),
        }
    }

    /// Made at the second that is its number.
    fn linked(numbers: std::ops::Range<u64>) -> Work {
        let mut work = Work::default();
        for number in numbers {
            work.add(&link(number, number), at(0));
        }
        work
    }

    #[test]
    fn what_stands_behind_a_snapshot_is_the_same_work_since_the_same_time() {
        let work = linked(10..15);
        let pending = |since, effect| Record::Pending { since, effect };
        let later = |since, effect| Record::PendingLater { since, effect };
        for records in [work.records(pending), work.records(later)] {
            let mut again = Work::default();
            for record in &records {
                again.add(record, at(99));
            }
            assert_eq!(again.plan.effects(), work.plan.effects());
            assert_eq!((again.operations, again.since), (5, Some(at(10))));
            let ages = |work: &Work| {
                let effects = work.plan.effects().into_iter();
                effects.map(|it| work.since(&it)).collect::<Vec<_>>()
            };
            assert_eq!(ages(&again), [10, 11, 12, 13, 14].map(at));
            assert_eq!(ages(&again), ages(&work));
        }
    }

    #[test]
    fn the_time_of_what_is_given_up_counts_until_nothing_is_left() {
        let mut work = linked(10..12);
        let dropped = |number| Record::Dropped {
            path: path(number),
            time: journal_time(at(50)),
        };
        work.add(&dropped(10), at(50));
        assert_eq!((work.operations, work.since), (1, Some(at(10))));
        work.add(&dropped(11), at(50));
        assert_eq!((work.operations, work.since), (0, None));
        work.add(&link(12, 60), at(60));
        assert_eq!((work.operations, work.since), (1, Some(at(60))));
    }

    /// A walk over all ages costs as much as there are: one each time that they have doubled.
    #[test]
    fn ages_are_swept_when_they_have_doubled_and_not_before() {
        let shortlived = |work: &mut Work, numbers: std::ops::Range<u64>| {
            for number in numbers {
                work.add(&link(number, 1), at(1));
                work.add(&unlink(number, 1), at(1));
            }
        };
        let mut work = Work::default();
        shortlived(&mut work, 0..100);
        assert_eq!((work.ages.len(), work.plan.is_empty()), (100, true));
        shortlived(&mut work, 100..10_000);
        assert!(work.ages.len() <= AGES_MIN, "{}", work.ages.len());
        // Swept at 1024 and at 2048 of them, then not until there are 4096.
        let mut work = linked(0..3000);
        shortlived(&mut work, 3000..4000);
        assert_eq!(work.ages.len(), 4000);
        shortlived(&mut work, 4000..4200);
        assert!(work.ages.len() < 3200, "{}", work.ages.len());
    }
}
