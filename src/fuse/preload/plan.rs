//! Who reads one file of a directory after the other, and what they are given before they ask: a pure
//! function of what was listed and of what was read.
//!
//! Files that a listing has just shown to the kernel are a *group*. Whoever reads some of them is given the
//! rest, but for one, the *probe*. What was given is read without a word to us, so that whether it was of any
//! use is learned from the probes alone: after one that is read, the first file of the next group is enough to
//! be given the others; after some in a row, a listing is, as long as somebody is reading; and after some in a
//! row that are not read, it takes many files again.
//!
//! A reader comes from the front, so what is given of the next files is given from behind: the two meet once,
//! and not at each file.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Files that are remembered, at some forty bytes each: what a listing of a large tree shows before anybody
/// reads of it.
const FILES_MAX: usize = 16_384;
/// So many files read of one group are a run: who reads two files wants those two.
const RUN_FILES: u32 = 3;
/// Doublings of [`RUN_FILES`] at most, after runs that were of no use.
const DOUBTS_MAX: u32 = 5;
/// Probes in a row that nobody reads, after which nobody is taken to read on.
const UNREAD_MAX: u32 = 4;
/// After so many probes in a row that were read, one group in so many has one, and none has to be read first.
const TRUSTED: u32 = 4;
/// How long after a read a reader is taken to be still at it.
const READING: Duration = Duration::from_millis(500);
/// Files that are given from behind: the reader of the first ones waits for about half of them.
const BLOCK_FILES: usize = 16;
/// Groups among which that of a directory is looked for: as many as are listed at the same time.
const LISTED_MAX: usize = 8;

/// What was listed, and who reads it.
#[derive(Default)]
pub(super) struct Plan {
    groups: HashMap<u64, Group>,
    /// Their numbers, the oldest first.
    ages: VecDeque<u64>,
    newest: u64,
    /// How many files are in groups.
    files: usize,
    /// Of those of which the kernel has nothing.
    group_of: HashMap<u64, u64>,
    readers: Readers,
}

struct Group {
    directory: u64,
    /// In the order of the listing.
    files: Vec<u64>,
    asked: u32,
    is_given: bool,
    probe: Option<u64>,
}

/// What is thought of those who read.
#[derive(Default)]
struct Readers {
    /// Probes that were read since the last one that was not.
    read: u32,
    /// Probes that nobody has read yet, since the last one that was.
    unread: u32,
    doubts: u32,
    given: u32,
    /// When something was read last of what was listed.
    at: Option<Instant>,
}

impl Plan {
    /// Notes files of which the kernel has nothing, as a directory lists them.
    pub(super) fn listed(&mut self, directory: u64, files: Vec<u64>) {
        if files.len() < 2 || files.len() > FILES_MAX {
            return;
        }
        self.files += files.len();
        while self.files > FILES_MAX {
            self.forget_oldest();
        }
        self.newest += 1;
        self.group_of
            .extend(files.iter().map(|file| (*file, self.newest)));
        self.ages.push_back(self.newest);
        let group = Group {
            directory,
            files,
            asked: 0,
            is_given: false,
            probe: None,
        };
        self.groups.insert(self.newest, group);
    }

    fn forget_oldest(&mut self) {
        let oldest = self.ages.pop_front().unwrap_or_default();
        let files = self.groups.remove(&oldest).map(|group| group.files);
        let files = files.unwrap_or_default();
        self.files -= files.len();
        for file in files {
            if self.group_of.get(&file) == Some(&oldest) {
                self.group_of.remove(&file);
            }
        }
    }

    /// Notes that the kernel has something of a file, or is about to; says whether it had nothing.
    pub(super) fn take(&mut self, file: u64) -> bool {
        self.group_of.remove(&file).is_some()
    }

    /// Whether the kernel has nothing of a file that was listed.
    pub(super) fn has(&self, file: u64) -> bool {
        self.group_of.contains_key(&file)
    }

    /// Notes that the kernel has heard of what was listed last of a directory; gives those files that are
    /// likely to be read next.
    pub(super) fn heard(&mut self, directory: u64, now: Instant) -> Vec<u64> {
        let is_reading = self.readers.are_trusted() && self.readers.are_reading(now);
        if !is_reading {
            return Vec::new();
        }
        let mut latest = self.ages.iter().rev().take(LISTED_MAX);
        let is_of_it = |number: &&u64| {
            let group = self.groups.get(number);
            group.is_some_and(|group| group.directory == directory && !group.is_given)
        };
        match latest.find(is_of_it).copied() {
            Some(number) => self.rest(number, 0),
            None => Vec::new(),
        }
    }

    /// Notes that a file is read; gives those that its reader is likely to read next.
    pub(super) fn read(&mut self, file: u64, now: Instant) -> Vec<u64> {
        let Some(number) = self.group_of.remove(&file) else {
            return Vec::new();
        };
        self.readers.at = Some(now);
        let Some(group) = self.groups.get_mut(&number) else {
            return Vec::new();
        };
        group.asked += 1;
        if group.probe == Some(file) {
            group.probe = None;
            self.readers.read_on();
        }
        if !group.is_given && group.asked < self.readers.needed() {
            return Vec::new();
        }
        let at = group.files.iter().position(|other| *other == file);
        self.rest(number, at.unwrap_or_default())
    }

    /// What the kernel has nothing of, as it is to be given to who is at one of the files.
    fn rest(&mut self, number: u64, at: usize) -> Vec<u64> {
        let Some(group) = self.groups.get_mut(&number) else {
            return Vec::new();
        };
        let (before, behind) = group.files.split_at(at.min(group.files.len()));
        let is_left = |file: &&u64| self.group_of.get(*file) == Some(&number);
        let mut rest: Vec<u64> = behind
            .iter()
            .chain(before)
            .filter(is_left)
            .copied()
            .collect();
        if !group.is_given {
            group.is_given = true;
            if self.readers.are_to_be_probed() {
                group.probe = rest.last().copied();
            }
            self.readers.give(group.probe.is_some());
        }
        rest.retain(|file| Some(*file) != group.probe);
        rest.chunks_mut(BLOCK_FILES).for_each(<[u64]>::reverse);
        rest
    }
}

impl Readers {
    /// How many files of a group are to be read before the rest is given.
    fn needed(&self) -> u32 {
        match self.read {
            0 => RUN_FILES << self.doubts,
            _ => 1,
        }
    }

    fn are_trusted(&self) -> bool {
        self.read >= TRUSTED
    }

    fn are_reading(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.at.is_some_and(|at| since(at) < READING)
    }

    fn are_to_be_probed(&self) -> bool {
        !self.are_trusted() || self.given.is_multiple_of(TRUSTED)
    }

    fn give(&mut self, has_probe: bool) {
        self.given = self.given.wrapping_add(1);
        self.unread += u32::from(has_probe);
        if self.unread > UNREAD_MAX {
            self.read = 0;
            self.unread = 0;
            self.doubts = (self.doubts + 1).min(DOUBTS_MAX);
        }
    }

    fn read_on(&mut self) {
        self.read = self.read.saturating_add(1);
        self.unread = 0;
        self.doubts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk over so many directories of ten files, of each of which the first so many are read; gives
    /// how many were given and how many had to be asked for.
    fn walk(plan: &mut Plan, directories: u64, read: u64) -> (usize, usize) {
        let (mut given, mut asked) = (0, 0);
        for _ in 0..directories {
            let directory = plan.newest + 1;
            let files = directory * 100..directory * 100 + 10;
            plan.listed(directory, files.clone().collect());
            let mut give = |plan: &mut Plan, files: Vec<u64>| {
                given += files.iter().filter(|file| plan.take(**file)).count();
            };
            let heard = plan.heard(directory, Instant::now());
            give(plan, heard);
            for file in files.take(read as usize) {
                if plan.has(file) {
                    asked += 1;
                    let next = plan.read(file, Instant::now());
                    give(plan, next);
                }
            }
        }
        (given, asked)
    }

    fn read(plan: &mut Plan, file: u64) -> Vec<u64> {
        plan.read(file, Instant::now())
    }

    #[test]
    fn who_reads_everything_is_given_most_of_it() {
        let mut plan = Plan::default();
        let (given, asked) = walk(&mut plan, 100, 10);
        assert_eq!(given + asked, 1_000);
        assert!((20..50).contains(&asked), "{asked}");
    }

    #[test]
    fn who_reads_here_and_there_is_given_nothing() {
        assert_eq!(walk(&mut Plan::default(), 100, 2), (0, 200));
    }

    #[test]
    fn who_reads_on_no_more_is_given_little_and_ever_less() {
        let most = 10 * (TRUSTED * (UNREAD_MAX + 1)) as usize;
        for read in [0, 1, 3] {
            let mut plan = Plan::default();
            walk(&mut plan, 20, 10);
            let (given, _) = walk(&mut plan, 100, read);
            assert!(given > 0 && given <= most, "{read}: {given}");
            let (given, _) = walk(&mut plan, 1_000, read);
            assert!(given <= 100, "{read}: {given}");
            // Who reads everything again is noticed again.
            let (given, asked) = walk(&mut plan, 100, 10);
            assert!(given > 4 * asked, "{read}: {given} {asked}");
        }
    }

    #[test]
    fn who_only_lists_some_time_after_he_has_read_is_given_nothing() {
        let mut plan = Plan::default();
        walk(&mut plan, 20, 10);
        plan.listed(7, vec![1, 2, 3]);
        assert!(plan.heard(7, Instant::now() + READING).is_empty());
        assert!(plan.heard(8, Instant::now()).is_empty(), "another");
        assert!(!plan.heard(7, Instant::now()).is_empty());
    }

    #[test]
    fn what_the_kernel_has_is_not_given_and_memory_is_bounded() {
        let mut plan = Plan::default();
        plan.listed(1, (0..10).collect());
        assert!(plan.take(5) && !plan.take(5));
        let given: Vec<Vec<u64>> = (0..3).map(|file| read(&mut plan, file)).collect();
        assert_eq!(given, [vec![], vec![], vec![8, 7, 6, 4, 3]]);
        // Before it is given, somebody may read or write it.
        assert!(plan.take(4) && !plan.has(4));
        for group in 1..10_000 {
            plan.listed(group, (0..50).map(|file| group * 100 + file).collect());
        }
        assert!(plan.group_of.len() <= FILES_MAX);
        let is_bounded = |plan: &Plan| {
            plan.groups.len() == plan.ages.len() && plan.ages.len() <= FILES_MAX / 50 + 1
        };
        assert!(is_bounded(&plan));
        // Also of what was all read.
        for group in 0..1_000 {
            plan.listed(group, (0..50).map(|file| group * 100 + file).collect());
            for file in 0..50 {
                plan.take(group * 100 + file);
            }
        }
        assert!(is_bounded(&plan));
        plan.listed(1, (0..FILES_MAX as u64 + 1).collect());
        assert!(!plan.has(0));
    }

    #[test]
    fn what_did_not_come_is_given_with_the_next_file_that_is_read() {
        let mut plan = Plan::default();
        plan.listed(1, (0..10).collect());
        for file in 0..3 {
            read(&mut plan, file);
        }
        assert_eq!(read(&mut plan, 3), [8, 7, 6, 5, 4]);
        assert_eq!(read(&mut plan, 9), [8, 7, 6, 5, 4], "the probe was read");
    }
}
