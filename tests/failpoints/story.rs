//! What happens on the mount: a fixed story, in rounds that each do the same in other places, one
//! system call a step; and the states that it may have led to.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::support::git::initialise;
use crate::support::tree::Tree;
use crate::workload::{Model, Operation};

/// Rounds that the repository has material for.
pub const ROUNDS: usize = 6;
/// Six of these fill a segment of the smallest size.
const MARK_BYTES: usize = 60_000;
const MARK_NAME: &str = "user.mark";
/// Above what travels within a PATCH, so that it is uploaded ahead of it.
const LARGE_BYTES: u64 = 300_000;

/// One system call.
#[derive(Clone, Debug)]
pub enum Step {
    /// One that changes the tree.
    Change(Operation),
    /// fsync.
    Sync(PathBuf),
    /// Sets a large extended attribute of one byte, many times over.
    Mark(PathBuf, u8),
}

impl Step {
    pub fn perform(&self, root: &Path) -> io::Result<()> {
        match self {
            Step::Change(operation) => operation.perform(root),
            Step::Sync(path) => File::open(root.join(path))?.sync_all(),
            Step::Mark(path, mark) => set_mark(&root.join(path), *mark),
        }
    }
}

/// What the mount may show.
#[derive(Clone, Default)]
pub struct State {
    model: Model,
    marks: BTreeMap<PathBuf, u8>,
}

impl State {
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Change(operation) => self.model.apply(operation),
            Step::Sync(_) => {}
            Step::Mark(path, mark) => {
                self.marks.insert(path.clone(), *mark);
            }
        }
    }

    pub fn tree(&self) -> Tree {
        self.model.tree()
    }

    /// Whether a mount shows exactly this.
    pub fn is_at(&self, root: &Path, shown: &Tree) -> bool {
        let marked = |(path, mark): (&PathBuf, &u8)| mark_of(&root.join(path)) == Some(*mark);
        self.tree() == *shown && self.marks.iter().all(marked)
    }
}

/// The repository that is served, and the state that it is.
pub fn repository(folder: &Path) -> (PathBuf, State) {
    let root = folder.join("origin");
    fs::create_dir(&root).unwrap();
    let mut state = State::default();
    let mut make = |operation: Operation| {
        operation.perform(&root).unwrap();
        state.apply(&Step::Change(operation));
    };
    for folder in ["lower", "folders"] {
        make(Operation::MakeDirectory(folder.into()));
    }
    for round in 0..ROUNDS {
        make(Operation::MakeDirectory(format!("folders/{round}").into()));
        for path in [
            format!("lower/copy-{round}.txt"),
            format!("lower/cut-{round}.txt"),
            format!("lower/gone-{round}.txt"),
            format!("folders/{round}/inside.txt"),
        ] {
            let text = format!("the lower layer's {path}\n");
            make(Operation::Create(path.clone().into()));
            make(Operation::Write(path.into(), 0, text.into_bytes()));
        }
    }
    initialise(&root);
    (root, state)
}

/// The steps of one round. Writes stay within a page, so that each is one request: it happens whole,
/// or not at all.
pub fn round(round: usize) -> Vec<Step> {
    use Operation::{Create, Executable, Link, MakeDirectory, Rename, Truncate, Unlink, Write};
    let at = |name: &str| PathBuf::from(format!("work-{round}/{name}"));
    let lower = |name: &str| PathBuf::from(format!("lower/{name}-{round}.txt"));
    let text = |word: &str| format!("{word} in round {round}\n").into_bytes();
    let change = Step::Change;
    let mut steps = vec![
        change(MakeDirectory(format!("work-{round}").into())),
        change(Create(at("new"))),
        change(Write(at("new"), 0, text("written"))),
        Step::Sync(at("new")),
        change(Write(lower("copy"), 3, text("copied"))),
        change(Rename(at("new"), at("renamed"))),
        change(Executable(at("renamed"), true)),
        change(Truncate(lower("cut"), 2)),
        change(Link("../lower".into(), at("link"))),
        change(Create(at("gone"))),
        change(Write(at("gone"), 0, text("gone"))),
        change(Unlink(at("gone"))),
        Step::Sync(at("renamed")),
        change(Rename(format!("folders/{round}").into(), at("moved"))),
        change(Write(at("moved/inside.txt"), 0, text("moved"))),
        change(Unlink(lower("gone"))),
        change(Create(at("large"))),
        change(Truncate(at("large"), LARGE_BYTES)),
        change(Write(at("renamed"), 4, text("again"))),
    ];
    let marks = b'a'..b'g';
    steps.extend(marks.map(|mark| Step::Mark(at("renamed"), mark)));
    steps
}

/// A path that one round's decisions are about.
pub fn dropped(round: usize) -> String {
    format!("work-{round}/dropped")
}

/// Something pending at a path.
pub fn pending(path: &str) -> [Step; 2] {
    let write = Operation::Write(path.into(), 0, b"given up\n".to_vec());
    [Operation::Create(path.into()), write].map(Step::Change)
}

/// What makes a path pending that was given up.
pub fn changed_again(path: &str) -> Step {
    Step::Change(Operation::Write(path.into(), 0, b"once more".to_vec()))
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn set_mark(path: &Path, mark: u8) -> io::Result<()> {
    let (path, name) = (c(path), CString::new(MARK_NAME).unwrap());
    let value = vec![mark; MARK_BYTES];
    // SAFETY: two C strings and a buffer of the length that is told, alive during the call.
    let result = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

fn mark_of(path: &Path) -> Option<u8> {
    let (path, name) = (c(path), CString::new(MARK_NAME).unwrap());
    let mut value = vec![0_u8; MARK_BYTES];
    // SAFETY: two C strings and a buffer of the length that is told, alive during the call.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    let whole =
        usize::try_from(length) == Ok(MARK_BYTES) && value.iter().all(|byte| *byte == value[0]);
    whole.then(|| value[0])
}
