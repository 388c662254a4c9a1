//! The first file of an exported tar: what it was made on, and every path that differs.
//!
//! It is the only thing that an import believes, and only after it was checked: paths that stay
//! inside, no `.git`, nothing below a file, no path twice. Of the rest of the tar only the order of
//! its files counts, and their contents must be the objects that this list names.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::changes::{Change, New, Old};
use super::error::Error;
use super::object::{Bytes, oid_of};
use super::{LeftOut, Work};
use crate::lower::EntryKind;
use crate::tree::{GitOid, TreePath};

/// The name of the list in the tar.
pub(super) const NAME: &str = "mesa-export.json";
/// Largest list: some 300,000 paths, and as much memory, twice, as reading one may take.
pub(super) const BYTES_MAX: u64 = 64 << 20;
/// Longest target of a symbolic link, which is in memory (PATH_MAX less the NUL).
const TARGET_BYTES_MAX: usize = 4095;
/// The version that this program writes and reads.
const VERSION: u64 = 1;

/// What `serde` sees.
#[derive(Serialize, Deserialize)]
struct Written {
    mesa_export: u64,
    org: String,
    repo: String,
    base: WrittenBase,
    changes: Vec<WrittenChange>,
    left_out: Vec<LeftOut>,
}

#[derive(Serialize, Deserialize)]
struct WrittenBase {
    bookmark: Option<String>,
    change_id: String,
    commit_oid: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenChange {
    path: Text,
    base: Option<WrittenOld>,
    now: Option<WrittenNew>,
}

#[derive(Serialize, Deserialize)]
struct WrittenOld {
    mode: Mode,
    oid: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenNew {
    mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<String>,
    #[serde(default)]
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Text>,
}

/// Bytes that are text nearly always.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bytes { base64: String },
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    #[serde(rename = "100644")]
    File,
    #[serde(rename = "100755")]
    Executable,
    #[serde(rename = "120000")]
    Symlink,
    #[serde(rename = "160000")]
    Submodule,
    #[serde(rename = "040000")]
    Directory,
}

impl Mode {
    fn of(kind: EntryKind) -> Mode {
        match kind {
            EntryKind::File => Mode::File,
            EntryKind::Executable => Mode::Executable,
            EntryKind::Symlink => Mode::Symlink,
            EntryKind::Submodule => Mode::Submodule,
            EntryKind::Directory => Mode::Directory,
        }
    }

    fn kind(self) -> EntryKind {
        match self {
            Mode::File => EntryKind::File,
            Mode::Executable => EntryKind::Executable,
            Mode::Symlink => EntryKind::Symlink,
            Mode::Submodule => EntryKind::Submodule,
            Mode::Directory => EntryKind::Directory,
        }
    }
}

impl Text {
    fn of(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Plain(text.to_owned()),
            Err(_) => Text::Bytes {
                base64: STANDARD.encode(bytes),
            },
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Text::Plain(text) => Some(text.clone().into_bytes()),
            Text::Bytes { base64 } => STANDARD.decode(base64).ok(),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes().unwrap_or_default()).into_owned()
    }
}

/// The list, checked.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) organization: String,
    pub(super) repository: String,
    /// The commit that the edits were made on, as text.
    pub(super) commit: String,
    /// By path.
    pub(super) changes: Vec<Step>,
    pub(super) left_out: Vec<LeftOut>,
}

/// One path: what it was, and what it becomes.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) path: TreePath,
    pub(super) old: Option<(EntryKind, GitOid)>,
    pub(super) new: Option<Target>,
}

/// What a path becomes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    File {
        kind: EntryKind,
        oid: GitOid,
        size: u64,
    },
    Symlink {
        oid: GitOid,
        target: Vec<u8>,
    },
    Directory,
}

impl Step {
    /// What the path becomes, in the words of a look at it.
    pub(super) fn leaf(&self) -> Option<(EntryKind, GitOid)> {
        match &self.new {
            Some(Target::File { kind, oid, .. }) => Some((*kind, *oid)),
            Some(Target::Symlink { oid, .. }) => Some((EntryKind::Symlink, *oid)),
            Some(Target::Directory) | None => None,
        }
    }
}

/// Writes the list; what a tar cannot carry is left out of it.
pub(super) fn encode(
    work: &Work<'_>,
    changes: &[Change],
    left_out: &[LeftOut],
) -> Result<Vec<u8>, Error> {
    let pin = work.lower.pin();
    let written = Written {
        mesa_export: VERSION,
        org: work.organization.to_owned(),
        repo: work.repository.to_owned(),
        base: WrittenBase {
            bookmark: work.bookmark.map(str::to_owned),
            change_id: pin.change.to_string(),
            commit_oid: pin.commit.to_string(),
        },
        changes: changes.iter().map(written).collect(),
        left_out: left_out.to_vec(),
    };
    let bytes = serde_json::to_vec(&written).map_err(|error| Error::Output(error.into()))?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(Error::TooMany),
        false => Ok(bytes),
    }
}

fn written(change: &Change) -> WrittenChange {
    let old = |old: &Old| WrittenOld {
        mode: Mode::of(old.kind),
        oid: old.oid.to_string(),
    };
    let new = |new: &New| match new {
        New::EmptyDirectory => WrittenNew {
            mode: Mode::Directory,
            oid: None,
            size: 0,
            target: None,
        },
        New::Leaf(leaf) => WrittenNew {
            mode: Mode::of(leaf.kind),
            oid: Some(leaf.oid.to_string()),
            size: leaf.bytes.size(),
            target: match &leaf.bytes {
                Bytes::Here(target) if leaf.kind == EntryKind::Symlink => Some(Text::of(target)),
                _ => None,
            },
        },
    };
    WrittenChange {
        path: Text::of(change.path.as_bytes()),
        base: change.old.as_ref().map(old),
        now: change.new.as_ref().map(new),
    }
}

/// Reads and checks a list.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, Error> {
    #[derive(Deserialize)]
    struct Versioned {
        mesa_export: u64,
    }
    let version = serde_json::from_slice::<Versioned>(bytes).map_err(Error::Manifest)?;
    if version.mesa_export != VERSION {
        let version = version.mesa_export;
        return Err(Error::Version { version });
    }
    let written: Written = serde_json::from_slice(bytes).map_err(Error::Manifest)?;
    let steps = written.changes.iter().map(step);
    let mut changes = steps.collect::<Result<Vec<Step>, Error>>()?;
    // By bytes, every directory comes before what is below it.
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    check(&changes)?;
    Ok(Manifest {
        organization: written.org,
        repository: written.repo,
        commit: written.base.commit_oid,
        changes,
        left_out: written.left_out,
    })
}

fn step(written: &WrittenChange) -> Result<Step, Error> {
    let hostile = |what| Error::Hostile {
        what,
        path: written.path.shown(),
    };
    let bytes = written
        .path
        .bytes()
        .ok_or(hostile("a path that is no base64"))?;
    let path = TreePath::try_from(&bytes[..]).map_err(|_| hostile("an impossible path"))?;
    if path.is_root() {
        return Err(hostile("the root as a path"));
    }
    let is_git = |name: crate::tree::Name| name.as_bytes().eq_ignore_ascii_case(b".git");
    if path.names().any(is_git) {
        return Err(hostile("a path in a .git folder"));
    }
    let oid = |text: &str| text.parse().map_err(|_| hostile("an impossible object id"));
    let old = match &written.base {
        Some(old) if old.mode == Mode::Directory => {
            return Err(hostile("a directory as what a file was"));
        }
        Some(old) => Some((old.mode.kind(), oid(&old.oid)?)),
        None => None,
    };
    let new = match &written.now {
        None => None,
        Some(new) => Some(match (new.mode, &new.oid, &new.target) {
            (Mode::Directory, ..) => Target::Directory,
            (Mode::File | Mode::Executable, Some(text), _) => Target::File {
                kind: new.mode.kind(),
                oid: oid(text)?,
                size: new.size,
            },
            (Mode::Symlink, Some(text), Some(target)) => {
                let target = target.bytes().filter(|target| {
                    !target.is_empty() && target.len() <= TARGET_BYTES_MAX && !target.contains(&0)
                });
                let target = target.ok_or(hostile("an impossible target of a link"))?;
                let oid = oid(text)?;
                if oid_of("blob", &target) != oid {
                    return Err(hostile("a link that is not its object"));
                }
                Target::Symlink { oid, target }
            }
            _ => return Err(hostile("something that no import can make")),
        }),
    };
    Ok(Step { path, old, new })
}

/// No path twice, and nothing below what becomes a file or a link.
fn check(changes: &[Step]) -> Result<(), Error> {
    let hostile = |what, step: &Step| Error::Hostile {
        what,
        path: step.path.to_string(),
    };
    let mut leaves = BTreeSet::new();
    let mut last: Option<&TreePath> = None;
    for step in changes {
        if last == Some(&step.path) {
            return Err(hostile("a path twice", step));
        }
        last = Some(&step.path);
        if step.leaf().is_some() {
            leaves.insert(&step.path);
        }
    }
    for step in changes.iter().filter(|step| step.new.is_some()) {
        let mut above = step.path.split_last();
        while let Some((parent, _)) = above {
            if leaves.contains(&parent) {
                return Err(hostile("something below a file", step));
            }
            above = parent.split_last();
        }
    }
    Ok(())
}
