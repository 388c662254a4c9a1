//! What is wrong with a journal, all of it, and what opening would say.

use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::Arc;

use super::{FileReport, FileRole, Finding, Problem, Report, Survey, Surveyed, Verdict};
use crate::disk::{Disk, FolderDisk};
use crate::error::{Damage, Error};
use crate::folder::Folder;
use crate::record::Sequence;
use crate::recovery::{recover, scan_snapshot};
use crate::scan::Tail;
use crate::segment::{FileKind, FileName, HEADER_BYTES, HeaderFault};

/// Reads all of the journal in `folder`, which nobody may have open, and changes nothing.
///
/// # Errors
///
/// [`Error::Locked`]; or the folder cannot be read. Whatever is wrong with the journal itself is in
/// the report.
pub fn verify(folder: &FilePath) -> Result<Report, Error> {
    verify_on(Arc::new(FolderDisk::existing(folder)?))
}

/// As [`verify()`], on any disk.
///
/// # Errors
///
/// The folder cannot be read.
pub fn verify_on(disk: Arc<dyn Disk>) -> Result<Report, Error> {
    let survey = Survey::read(&Folder::new(disk.clone()))?;
    let plan = Plan::new(&survey);
    let mut report = Report {
        folder: survey.folder.clone(),
        epoch: survey.epoch,
        files: Vec::new(),
        findings: Vec::new(),
        refusal: None,
    };
    report.add_leftovers(&survey, &*disk);
    for (name, file) in &survey.files {
        report.add_file(&survey, &plan, *name, file);
    }
    report.add_missing(&survey, &plan);
    report.refusal = plan.refusal;
    let named = |finding: &Finding| finding.verdict == Verdict::Refused;
    if report.refusal.is_some() && !report.findings.iter().any(named) {
        let folder = report.folder.clone();
        report.add(&folder, 0, Problem::Refused, Verdict::Refused);
    }
    Ok(report)
}

/// What opening would do with each file.
struct Plan {
    refusal: Option<Error>,
    /// The files that opening reads and needs.
    needed: BTreeSet<FileName>,
    /// Those that it deletes.
    replaced: BTreeSet<FileName>,
    /// The segment that would be appended to.
    newest: Option<FileName>,
    snapshot: Sequence,
}

impl Plan {
    fn new(survey: &Survey) -> Plan {
        let names = &survey.listing.published;
        let mut plan = Plan {
            refusal: None,
            needed: BTreeSet::new(),
            replaced: BTreeSet::new(),
            newest: survey
                .of_kind(FileKind::Log)
                .next_back()
                .map(|(name, _)| name),
            snapshot: Sequence::ZERO,
        };
        if let Some((_, rebuild)) = survey.rebuilds.first() {
            // All else is set aside, unless the rebuild itself is damaged.
            plan.refusal = scan_snapshot(&rebuild.source).err();
            return plan;
        }
        let used = match recover(survey, names) {
            Ok(recovery) => recovery.snapshot.map(|(through, _)| through),
            Err(error) => {
                plan.refusal = Some(error);
                let intact = survey.of_kind(FileKind::Snapshot).rev();
                let mut intact = intact.filter(|(_, file)| scan_snapshot(&file.source).is_ok());
                intact.next().map(|(name, _)| name.sequence)
            }
        };
        plan.snapshot = used.unwrap_or_default();
        plan.choose(survey, used);
        plan
    }

    fn choose(&mut self, survey: &Survey, used: Option<Sequence>) {
        for (name, _) in survey.of_kind(FileKind::Snapshot) {
            match used {
                Some(used) if name.sequence < used => self.replaced.insert(name),
                // A newer one that is not used is damaged; it matters if there is no way without.
                _ if self.refusal.is_some() || used == Some(name.sequence) => {
                    self.needed.insert(name)
                }
                _ => false,
            };
        }
        let logs: Vec<FileName> = survey
            .of_kind(FileKind::Log)
            .map(|(name, _)| name)
            .collect();
        let early = |name: &FileName| name.sequence <= self.snapshot.next();
        let begin = logs.iter().rposition(early).unwrap_or(0);
        let (replaced, needed) = logs.split_at_checked(begin).unwrap_or_default();
        self.replaced.extend(replaced);
        self.needed.extend(needed);
    }

    fn verdict(&self, name: FileName) -> Verdict {
        if self.needed.contains(&name) {
            Verdict::Refused
        } else {
            Verdict::Ignored
        }
    }
}

impl Report {
    fn add(&mut self, path: &FilePath, offset: u64, problem: Problem, verdict: Verdict) {
        self.findings.push(Finding {
            path: path.to_path_buf(),
            offset,
            problem,
            verdict,
        });
    }

    fn add_leftovers(&mut self, survey: &Survey, disk: &dyn Disk) {
        for name in &survey.listing.temporary {
            let path = survey.folder.join(name);
            let size = disk.open(name).and_then(|file| file.size());
            self.files.push(FileReport {
                name: name.clone(),
                role: FileRole::Temporary,
                first: Sequence::ZERO,
                last: Sequence::ZERO,
                records: 0,
                bytes: size.unwrap_or(0),
            });
            self.add(&path, 0, Problem::Temporary, Verdict::Repaired);
        }
        for (name, file) in &survey.rebuilds {
            let records = survey.places(file).len() as u64;
            self.files.push(FileReport {
                name: name.to_string(),
                role: FileRole::Rebuild,
                first: Sequence(records.min(1)),
                last: file.source.name.sequence,
                records,
                bytes: file.source.bytes.len() as u64,
            });
            let verdict = match survey.rebuild() {
                Some(_) => Verdict::Repaired,
                None => Verdict::Refused,
            };
            self.add(&file.source.path, 0, Problem::Rebuild, verdict);
        }
    }

    fn add_file(&mut self, survey: &Survey, plan: &Plan, name: FileName, file: &Surveyed) {
        let places = survey.places(file);
        let sequences = || places.iter().map(|place| place.frame.sequence);
        self.files.push(FileReport {
            name: name.to_string(),
            role: match name.kind {
                FileKind::Log => FileRole::Log,
                FileKind::Snapshot => FileRole::Snapshot,
            },
            first: sequences().next().unwrap_or_default(),
            last: match name.kind {
                FileKind::Log => sequences().next_back().unwrap_or_default(),
                FileKind::Snapshot => name.sequence,
            },
            records: places.len() as u64,
            bytes: file.source.bytes.len() as u64,
        });
        if plan.replaced.contains(&name) {
            let path = &file.source.path;
            self.add(path, 0, Problem::Replaced, Verdict::Repaired);
        }
        self.add_head(survey, plan, name, file);
        self.add_frames(survey, plan, name, file);
    }

    /// What cannot be read, and what the header is not.
    fn add_head(&mut self, survey: &Survey, plan: &Plan, name: FileName, file: &Surveyed) {
        let (path, verdict) = (&file.source.path, plan.verdict(name));
        for range in &file.unreadable {
            let bytes = range.end - range.start;
            self.add(path, range.start, Problem::Unreadable { bytes }, verdict);
        }
        let problem = match &file.header {
            Err(HeaderFault::Version(version)) => Problem::Version(*version),
            Err(HeaderFault::Damage(damage)) => Problem::Damaged(*damage),
            Ok(header) if Some(header.epoch) != survey.epoch => Damage::Foreign.into(),
            Ok(_) => return,
        };
        self.add(path, 0, problem, verdict);
    }

    /// What the records are not.
    fn add_frames(&mut self, survey: &Survey, plan: &Plan, name: FileName, file: &Surveyed) {
        let (path, verdict) = (&file.source.path, plan.verdict(name));
        let mut next = match name.kind {
            FileKind::Log => name.sequence,
            FileKind::Snapshot => Sequence(1),
        };
        let mut end = HEADER_BYTES as u64;
        let places = survey.places(file);
        for (index, place) in places.iter().enumerate() {
            let frame = &place.frame;
            if place.offset != end || frame.sequence != next {
                let rest = places.get(index..).unwrap_or_default();
                let proof = rest.iter().any(|place| place.frame.durable >= next);
                if plan.newest == Some(name) && !proof {
                    return self.add(path, end, Problem::Torn, Verdict::Repaired);
                }
                self.add(path, end, Damage::Record.into(), verdict);
            }
            if let Err(cause) = frame.record() {
                let sequence = frame.sequence;
                let problem = Problem::Malformed { sequence, cause };
                self.add(path, place.offset, problem, verdict);
            }
            next = frame.sequence.next();
            end = place.offset + frame.bytes as u64;
        }
        self.add_end(survey, plan, file, End { name, next, end });
    }

    /// What stands behind the last intact record, and what should.
    fn add_end(&mut self, survey: &Survey, plan: &Plan, file: &Surveyed, at: End) {
        let (path, verdict) = (&file.source.path, plan.verdict(at.name));
        let newest = plan.newest == Some(at.name);
        if file.source.tail_after(at.end) != Tail::Empty && file.header.is_ok() {
            match newest {
                true => self.add(path, at.end, Problem::Torn, Verdict::Repaired),
                false => self.add(path, at.end, Damage::Record.into(), verdict),
            }
        }
        let expected = match at.name.kind {
            FileKind::Snapshot => file.header.as_ref().map_or(0, |header| header.count),
            FileKind::Log if newest => plan.snapshot.0,
            FileKind::Log => {
                let mut later = survey.listing.published.range(at.name..).skip(1);
                let next = later.find(|name| name.kind == FileKind::Log);
                next.map_or(0, |next| next.sequence.previous().0)
            }
        };
        if at.next.0 <= expected {
            let expected = at.next;
            self.add(path, at.end, Damage::Short { expected }.into(), verdict);
        } else if at.next.0 > expected + 1 && !newest {
            self.add(path, at.end, Damage::Record.into(), verdict);
        }
    }

    fn add_missing(&mut self, survey: &Survey, plan: &Plan) {
        let begins = plan.needed.iter().find(|name| name.kind == FileKind::Log);
        let first = plan.snapshot.next();
        let missing = match begins {
            Some(name) => name.sequence > first,
            None => !survey.files.is_empty(),
        };
        if missing && survey.rebuilds.is_empty() {
            let folder = survey.folder.clone();
            self.add(&folder, 0, Problem::Missing(first), Verdict::Refused);
        }
    }
}

/// Where the intact records of a file end.
#[derive(Clone, Copy)]
struct End {
    name: FileName,
    next: Sequence,
    end: u64,
}
