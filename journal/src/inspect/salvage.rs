//! Everything sound in a journal that may not open.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use super::{Survey, Surveyed, is_damaged_version};
use crate::disk::{Disk, FolderDisk};
use crate::error::Error;
use crate::folder::Folder;
use crate::record::{Record, Sequence};
use crate::segment::{FileKind, FileName, HeaderFault};

/// What is sound in a journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Salvaged {
    /// The journal's identity; `None` if no file's header is intact, and then nothing else can be
    /// told from junk.
    pub epoch: Option<[u8; 16]>,
    /// The last record that the snapshot at the start of `records` replaces; 0 without a snapshot.
    pub snapshot: Sequence,
    /// The intact records, oldest first, as in [`crate::Recovered::records`]: those of a snapshot,
    /// all with its sequence, and then those of the log after it. There may be gaps.
    pub records: Vec<(Sequence, Record)>,
    /// The last record of which there is any trace, be it lost itself.
    pub head: Sequence,
    /// Records of the log that are lost, between the snapshot and `head`.
    pub lost: Vec<Gap>,
    /// Records of the snapshot that are lost, counted from 1. If not even their number is known, the
    /// last gap reaches to the end of all numbers.
    pub lost_of_snapshot: Vec<Gap>,
}

/// A range of lost records, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The first that is lost.
    pub first: Sequence,
    /// The last that is lost.
    pub last: Sequence,
}

impl Gap {
    fn count(self) -> u64 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }
}

impl Salvaged {
    /// Whether nothing is lost, as far as can be told: records at the very end may be, if nothing
    /// that is left mentions them.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.lost_of_snapshot.is_empty()
    }

    fn lost_count(&self) -> u64 {
        let gaps = self.lost.iter().chain(&self.lost_of_snapshot);
        gaps.fold(0, |sum, gap| sum.saturating_add(gap.count()))
    }
}

/// Reads everything sound in the journal in `folder`, and changes nothing.
///
/// Records behind damage are given too, also behind what opening would take for a torn tail. Of
/// several snapshots the one is used with which least is lost.
///
/// # Errors
///
/// [`Error::Locked`]; [`Error::UnknownVersion`], since what a newer program wrote is not damaged; or a
/// failed call. A part of a file that cannot be read is no error but lost.
pub fn salvage(folder: &FilePath) -> Result<Salvaged, Error> {
    salvage_on(Arc::new(FolderDisk::existing(folder)?))
}

/// As [`salvage()`], on any disk.
///
/// # Errors
///
/// As [`salvage()`], but for [`Error::Locked`].
pub fn salvage_on(disk: Arc<dyn Disk>) -> Result<Salvaged, Error> {
    let survey = Survey::read(&Folder::new(disk))?;
    for file in survey.files.values() {
        if let Err(HeaderFault::Version(version)) = file.header
            && !is_damaged_version(&file.source)
        {
            return Err(Error::UnknownVersion {
                path: file.source.path.clone(),
                version,
            });
        }
    }
    let log = Log::read(&survey);
    if let Some(rebuild) = survey.rebuild() {
        return Ok(log.after(&survey, Some((rebuild.source.name, rebuild))));
    }
    // Newest first, so that of those with which as much is lost the newest is used.
    let snapshots = survey.of_kind(FileKind::Snapshot).rev().map(Some);
    let candidates = snapshots.chain([None]);
    let salvaged = candidates.map(|snapshot| log.after(&survey, snapshot));
    Ok(salvaged
        .min_by_key(Salvaged::lost_count)
        .unwrap_or_default())
}

/// Every intact record of every log file, and the last of which there is a trace.
struct Log {
    records: BTreeMap<Sequence, Record>,
    head: Sequence,
}

impl Log {
    fn read(survey: &Survey) -> Log {
        let mut log = Log {
            records: BTreeMap::new(),
            head: Sequence::ZERO,
        };
        for (name, file) in survey.of_kind(FileKind::Log) {
            if file.is_foreign(survey.epoch) {
                continue;
            }
            if file.header.is_ok() {
                log.head = log.head.max(name.sequence.previous());
            }
            for place in survey.places(file) {
                let sequence = place.frame.sequence;
                log.head = log.head.max(sequence).max(place.frame.durable);
                if let Ok(record) = place.frame.record() {
                    log.records.entry(sequence).or_insert(record);
                }
            }
        }
        log
    }

    /// The records of a snapshot, and of the log after it.
    fn after(&self, survey: &Survey, snapshot: Option<(FileName, &Surveyed)>) -> Salvaged {
        let mut salvaged = Salvaged {
            epoch: survey.epoch,
            head: self.head,
            ..Salvaged::default()
        };
        if let Some((name, file)) = snapshot {
            salvaged.add_snapshot(survey, name, file);
        }
        let after = salvaged.snapshot.next();
        for (sequence, record) in self.records.range(after..) {
            salvaged.records.push((*sequence, record.clone()));
        }
        let found = self.records.range(after..).map(|(sequence, _)| *sequence);
        salvaged.lost = gaps(found, after, salvaged.head);
        salvaged
    }
}

impl Salvaged {
    fn add_snapshot(&mut self, survey: &Survey, name: FileName, file: &Surveyed) {
        if file.is_foreign(survey.epoch) {
            self.lost_of_snapshot.push(Gap {
                first: Sequence(1),
                last: Sequence(u64::MAX),
            });
        }
        self.snapshot = name.sequence;
        self.head = self.head.max(name.sequence);
        let mut found = Vec::new();
        for place in survey.places(file) {
            if let Ok(record) = place.frame.record() {
                found.push(place.frame.sequence);
                self.records.push((name.sequence, record));
            }
        }
        let count = file.header.as_ref().map_or(u64::MAX, |header| header.count);
        let missing = gaps(found.into_iter(), Sequence(1), Sequence(count));
        self.lost_of_snapshot.extend(missing);
    }
}

impl Surveyed {
    fn is_foreign(&self, epoch: Option<[u8; 16]>) -> bool {
        let header = self.header.as_ref();
        header.is_ok_and(|header| Some(header.epoch) != epoch)
    }
}

/// What is not among the numbers found, which rise, from `first` to `last`.
fn gaps(found: impl Iterator<Item = Sequence>, first: Sequence, last: Sequence) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut next = first;
    for sequence in found {
        if sequence > next {
            let last = sequence.previous();
            gaps.push(Gap { first: next, last });
        }
        next = next.max(sequence.next());
    }
    if next <= last {
        gaps.push(Gap { first: next, last });
    }
    gaps
}
