//! Making a damaged repository open again, with everything that is sound, and deleting nothing.
//!
//! What is intact in the journal is applied in order; what does not fit the tree, because a record
//! that it needs is lost, is left out and told. Where anything is lost, what the remote has can no
//! longer be told from the journal, so the next push makes a change of its own and sends everything
//! that differs from the pinned commit; the change that took edits before stays as it is.
//!
//! Damaged files, and bodies that no file claims any more, are set aside beside the journal.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use journal::{Gap, Record, Salvaged, Sequence};

use super::doubts::InDoubt;
use super::error::Error;
use super::open::{Options, now};
use super::recover::unsent;
use super::state::{State, Work};
use super::verify::{Soundness, replayed, verify};
use super::witness::Witness;
use crate::failpoints;
use crate::tree::{Ino, Kind, TreePath};
use crate::upper::{Bodies, Upper, journal_path};

/// Where bodies go that no file claims.
const STRAY: &str = "stray-bodies";

/// What a repair kept, and what it could not.
#[derive(Debug)]
pub struct Repaired {
    /// Records that were kept.
    pub kept: u64,
    /// Records that are lost, as ranges of sequences.
    pub lost: Vec<Gap>,
    /// Records that were left out, since what they need is lost.
    pub misfits: Vec<(Sequence, String)>,
    /// Files whose bytes are gone: they show the lower layer's again, or are gone themselves.
    pub lost_bodies: Vec<TreePath>,
    /// Bodies that no file claims; they are in a folder of their own now.
    pub stray_bodies: u64,
    /// Where the old files are.
    pub aside: PathBuf,
}

/// Repairs the repository in `options.folder`, which nobody may have open. `None`: it is sound, and
/// nothing was done. A crash leaves it as it was, or repaired, or to be repaired again.
///
/// # Errors
///
/// The journal is in use, or of a newer version; the disk.
pub fn repair(options: &Options) -> Result<Option<Repaired>, Error> {
    let found = verify(&options.folder)?;
    if found.is_sound() {
        return Ok(None);
    }
    let journal = options.folder.join("journal");
    let salvaged = journal::salvage(&journal)?;
    let (mut upper, misfits) = replayed(&salvaged.records);
    let whole = salvaged.is_complete() && misfits.is_empty();
    let lost = InDoubt::after(Witness::of(&options.folder).look(), &salvaged.records);
    let undone = lost.to_undo(&upper);
    let bodies = Bodies::open(options.folder.join("bodies")).map_err(Error::Body)?;
    let restored = lost.restore(&upper, &bodies).map_err(Error::Body)?;
    // The new journal will not have them.
    let restored: Vec<Ino> = restored.into_iter().collect();
    bodies.sync(&restored).map_err(Error::Body)?;
    let stray_bodies = settle_bodies(&mut upper, &undone, &bodies, &options.folder)?;
    failpoints::REPAIR_BODIES.reach();
    if !whole {
        upper.forget_remote();
    }
    let records = rewritten(upper, options, whole.then_some(&salvaged));
    // It may be of a history that is no more.
    remove_index(&options.folder.join("index"))?;
    failpoints::REPAIR_INDEX.reach();
    journal::rebuild(&journal, salvaged.head, &mut records.into_iter())?;
    Ok(Some(report(
        options,
        found,
        &salvaged,
        misfits,
        stray_bodies,
    )))
}

fn report(
    options: &Options,
    found: Soundness,
    salvaged: &Salvaged,
    misfits: Vec<(Sequence, String)>,
    stray_bodies: u64,
) -> Repaired {
    Repaired {
        kept: (salvaged.records.len() - misfits.len()) as u64,
        lost: [&salvaged.lost[..], &salvaged.lost_of_snapshot[..]].concat(),
        misfits,
        lost_bodies: found.lost_bodies,
        stray_bodies,
        aside: options.folder.clone(),
    }
}

/// Makes tree and bodies fit each other, and returns how many bodies were set aside.
fn settle_bodies(
    upper: &mut Upper,
    undone: &BTreeSet<Ino>,
    bodies: &Bodies,
    folder: &Path,
) -> Result<u64, Error> {
    let present = Bodies::present(bodies.folder()).map_err(Error::Body)?;
    let lost: Vec<_> = upper
        .bodies()
        .filter(|ino| undone.contains(ino) || !present.contains(ino))
        .collect();
    for ino in lost {
        upper.lose_body(ino);
    }
    let mut stray = 0;
    for ino in present {
        let is_file = upper.node(ino).is_some_and(|node| node.kind == Kind::File);
        let counts = is_file && !undone.contains(&ino);
        match upper.path_of(ino).filter(|_| counts) {
            // The record that says so may be lost; the bytes are newer than what is below.
            Some(path) => {
                let path = journal_path(&path);
                let (inode, time) = (ino.0, journal::Time::default());
                upper.apply(Sequence::ZERO, &Record::Write { path, inode, time })?;
            }
            None => {
                set_aside(&bodies.path(ino), &folder.join(STRAY)).map_err(Error::Body)?;
                stray += 1;
            }
        }
    }
    Ok(stray)
}

/// The records of the repaired journal.
fn rewritten(upper: Upper, options: &Options, whole: Option<&Salvaged>) -> Vec<Record> {
    let mut records = upper.snapshot();
    let mut state = State::new(upper, options.owner);
    match whole {
        Some(salvaged) => {
            let (work, since) = unsent(&salvaged.records, salvaged.snapshot, &state, now());
            (state.work, state.since_capture) = (work, since);
        }
        // Everything counts as new: it goes to a change that has nothing yet.
        None => {
            state.work = Work::default();
            for record in &records {
                state.work.add(record, now());
            }
        }
    }
    records.extend(state.unsent_records());
    records
}

fn set_aside(body: &Path, folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let name = body.file_name().unwrap_or_default();
    fs::rename(body, folder.join(name))
}

fn remove_index(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Body(error)),
        _ => Ok(()),
    }
}
