//! Looking at a repository's local state without changing it: the journal byte by byte, whether its
//! records make a tree, and whether the bodies that the tree needs are there.

use std::collections::BTreeSet;
use std::path::Path;

use journal::{Record, Report, Sequence};

use super::doubts::InDoubt;
use super::error::Error;
use super::open::Overlay;
use super::witness::Witness;
use crate::tree::{Ino, TreePath};
use crate::upper::{Bodies, Upper};

/// How sound a repository's local state is.
#[derive(Debug)]
pub struct Soundness {
    /// What the journal's files hold, and what is wrong with them.
    pub journal: Report,
    /// Records that are intact but do not fit the tree that those before them make.
    pub misfits: Vec<(Sequence, String)>,
    /// Files whose bytes are gone.
    pub lost_bodies: Vec<TreePath>,
    /// Bodies that no file needs: what a crash left, or what belongs to lost records.
    pub stray_bodies: u64,
}

impl Soundness {
    /// Whether the repository opens and everything in it can be read.
    pub fn is_sound(&self) -> bool {
        self.journal.refusal.is_none() && self.misfits.is_empty() && self.lost_bodies.is_empty()
    }
}

/// Verifies the repository in `folder`, which nobody may have open.
///
/// # Errors
///
/// The journal is in use, or of a newer version, or the disk cannot be read.
pub fn verify(folder: &Path) -> Result<Soundness, Error> {
    let journal = folder.join("journal");
    let report = journal::verify(&journal)?;
    let salvaged = journal::salvage(&journal)?;
    let (mut upper, misfits) = replayed(&salvaged.records);
    let lost = InDoubt::after(Witness::of(folder).look(), &salvaged.records);
    for ino in lost.to_undo(&upper) {
        upper.lose_body(ino);
    }
    let bodies = folder.join("bodies");
    let mut present = Bodies::present(&bodies).map_err(Error::Body)?;
    present.extend(lost.to_restore(&upper));
    let (lost_bodies, stray_bodies) = compare(&upper, &present);
    Ok(Soundness {
        journal: report,
        misfits,
        lost_bodies,
        stray_bodies,
    })
}

impl Overlay {
    /// Verifies an open repository.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub fn verify(&self) -> Result<Soundness, Error> {
        let report = self.journal.verify()?;
        // Read before the state: a body that is made meanwhile is none that is lost.
        let present = Bodies::present(self.ledger.bodies.folder()).map_err(Error::Body)?;
        let state = self.state.lock();
        let (mut lost_bodies, _made_meanwhile) = compare(&state.upper, &present);
        drop(state);
        lost_bodies.retain(|path| {
            let state = self.state.lock();
            let body = state
                .upper
                .resolve(path)
                .map(|ino| self.ledger.bodies.path(ino));
            drop(state);
            body.is_some_and(|body| !body.exists())
        });
        Ok(Soundness {
            journal: report,
            misfits: Vec::new(),
            lost_bodies,
            stray_bodies: 0,
        })
    }
}

/// The tree that records make, without those that do not fit it.
pub(super) fn replayed(records: &[(Sequence, Record)]) -> (Upper, Vec<(Sequence, String)>) {
    let mut upper = Upper::default();
    let mut misfits = Vec::new();
    for (sequence, record) in records {
        if let Err(error) = upper.apply(*sequence, record) {
            misfits.push((*sequence, error.to_string()));
        }
    }
    for ino in upper.nameless() {
        upper.drop_nameless(ino);
    }
    (upper, misfits)
}

/// Files whose body is not there, and how many bodies no file has.
fn compare(upper: &Upper, present: &BTreeSet<Ino>) -> (Vec<TreePath>, u64) {
    let needed: BTreeSet<Ino> = upper.bodies().collect();
    let lost = needed.difference(present);
    let lost = lost.filter_map(|ino| upper.path_of(*ino)).collect();
    (lost, present.difference(&needed).count() as u64)
}
