//! Looking at a journal without changing it: what is wrong with it, and what is sound in it.
//!
//! Opening stops at the first damage, since nothing behind it may be believed to be complete. Here
//! everything is read: behind a bad place the next intact frame is looked for at every multiple of
//! eight bytes, and a part of a file that the disk does not give is a bad place like any other.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use crate::disk::DiskFile;
use crate::error::Error;
use crate::folder::{Folder, Listing};
use crate::frame::{ALIGNMENT, Found, Frame, Seal};
use crate::record::Sequence;
use crate::recovery::{Files, scan_snapshot};
use crate::scan::{Source, without_zeroes};
use crate::segment::{FileKind, FileName, HEADER_BYTES, Header, HeaderFault, RebuildName};

mod report;
mod salvage;
mod verify;

pub use report::{FileReport, FileRole, Finding, Problem, Report, Verdict};
pub use salvage::{Gap, Salvaged, salvage, salvage_on};
pub use verify::{verify, verify_on};

/// What cannot be read at once is read in pieces of this, the usual size of a sector.
const SECTOR_BYTES: usize = 4096;

/// Everything in a journal's folder, as far as it can be read.
struct Survey {
    folder: PathBuf,
    listing: Listing,
    files: BTreeMap<FileName, Surveyed>,
    /// What a rebuild wrote that was interrupted; opening puts it in the place of all the rest.
    rebuilds: Vec<(RebuildName, Surveyed)>,
    /// The journal's identity: the one that most headers have.
    epoch: Option<[u8; 16]>,
}

struct Surveyed {
    source: Source,
    unreadable: Vec<Range<u64>>,
    header: Result<Header, HeaderFault>,
}

/// An intact frame and where it begins.
struct Place<'a> {
    offset: u64,
    frame: Frame<'a>,
}

impl Survey {
    fn read(folder: &Folder) -> Result<Survey, Error> {
        let listing = folder.list()?;
        let mut files = BTreeMap::new();
        for name in &listing.published {
            let path = folder.path_of(*name);
            files.insert(*name, Surveyed::read(folder, path, |_| *name)?);
        }
        let mut rebuilds = Vec::new();
        for rebuild in &listing.rebuilds {
            let path = folder.disk().path().join(rebuild.to_string());
            let file = Surveyed::read(folder, path, Header::snapshot_name)?;
            rebuilds.push((*rebuild, file));
        }
        let mut survey = Survey {
            folder: folder.disk().path().into(),
            listing,
            files,
            rebuilds,
            epoch: None,
        };
        survey.epoch = survey.common_epoch();
        Ok(survey)
    }

    /// A sound rebuild's; else of the epochs that headers name the commonest, and of these the one of
    /// the newest file.
    fn common_epoch(&self) -> Option<[u8; 16]> {
        if let Some(rebuild) = self.rebuild() {
            return rebuild.header.as_ref().ok().map(|header| header.epoch);
        }
        let mut counts = BTreeMap::<[u8; 16], (usize, Sequence)>::new();
        for (name, file) in &self.files {
            if let Ok(header) = &file.header {
                let count = counts.entry(header.epoch).or_default();
                *count = (count.0 + 1, count.1.max(name.sequence));
            }
        }
        let commonest = counts.into_iter().max_by_key(|(_, count)| *count);
        commonest.map(|(epoch, _)| epoch)
    }

    /// The rebuild that opening would finish.
    fn rebuild(&self) -> Option<&Surveyed> {
        let (_, first) = self.rebuilds.first()?;
        scan_snapshot(&first.source).is_ok().then_some(first)
    }

    fn of_kind(&self, kind: FileKind) -> impl DoubleEndedIterator<Item = (FileName, &Surveyed)> {
        let files = self.files.iter().map(|(name, file)| (*name, file));
        files.filter(move |(name, _)| name.kind == kind)
    }

    /// Every intact frame of a file of this journal, in the order of its bytes.
    fn places<'a>(&self, file: &'a Surveyed) -> Vec<Place<'a>> {
        let Some(epoch) = self.epoch else {
            return Vec::new();
        };
        match &file.header {
            Ok(header) if header.epoch != epoch => Vec::new(),
            _ => file.places(&Seal::new(epoch, file.source.name.kind)),
        }
    }
}

/// Opening as it would go, from what has been read.
impl Files for Survey {
    fn folder(&self) -> &FilePath {
        &self.folder
    }

    fn read(&self, name: FileName) -> Result<Source, Error> {
        let path = self.folder.join(name.to_string());
        let file = self.files.get(&name);
        let whole = file.filter(|file| file.unreadable.is_empty());
        let Some(file) = whole else {
            // Any: a disk that fails says so in its own words, and not always in the same ones.
            return Err(Error::io(path)(std::io::ErrorKind::InvalidData.into()));
        };
        let bytes = file.source.bytes.clone();
        Ok(Source { path, name, bytes })
    }
}

impl Surveyed {
    fn read(
        folder: &Folder,
        path: PathBuf,
        name: impl FnOnce(&[u8]) -> FileName,
    ) -> Result<Surveyed, Error> {
        let file = path.file_name().and_then(|file| file.to_str());
        let file = folder.disk().open(file.unwrap_or_default());
        let read = file.and_then(|file| read_what_can_be(&*file));
        let (bytes, unreadable) = read.map_err(Error::io(&path))?;
        let name = name(&bytes);
        Ok(Surveyed {
            header: Header::decode(name, &bytes),
            source: Source { path, name, bytes },
            unreadable,
        })
    }

    fn places(&self, seal: &Seal) -> Vec<Place<'_>> {
        let mut places: Vec<Place<'_>> = Vec::new();
        let mut at = HEADER_BYTES;
        let end = without_zeroes(&self.source.bytes).len();
        while at < end {
            let rest = self.source.bytes.get(at..).unwrap_or_default();
            let last = places
                .last()
                .map_or(Sequence::ZERO, |last| last.frame.sequence);
            match seal.read(rest) {
                // Sequences only rise: an older frame is one that a payload happens to have.
                Found::Frame(frame) if frame.sequence > last => {
                    let bytes = frame.bytes;
                    let offset = at as u64;
                    places.push(Place { offset, frame });
                    at += bytes;
                }
                _ => at += ALIGNMENT,
            }
        }
        places
    }
}

/// The bytes of a file, zeroes where they cannot be read, and where that is.
fn read_what_can_be(file: &dyn DiskFile) -> std::io::Result<(Vec<u8>, Vec<Range<u64>>)> {
    let size = usize::try_from(file.size()?).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    if file.read_exact_at(&mut bytes, 0).is_ok() {
        return Ok((bytes, unreadable));
    }
    let mut offset = 0;
    for sector in bytes.chunks_mut(SECTOR_BYTES) {
        let end = offset + sector.len() as u64;
        if file.read_exact_at(sector, offset).is_err() {
            sector.fill(0);
            match unreadable.last_mut().filter(|last| last.end == offset) {
                Some(last) => last.end = end,
                None => unreadable.push(offset..end),
            }
        }
        offset = end;
    }
    Ok((bytes, unreadable))
}

/// Whether a file with a header of another version is a file of this one with a flipped bit.
fn is_damaged_version(source: &Source) -> bool {
    let mut bytes = source
        .bytes
        .get(..HEADER_BYTES)
        .unwrap_or_default()
        .to_vec();
    Header::set_version(&mut bytes);
    Header::decode(source.name, &bytes).is_ok()
}
