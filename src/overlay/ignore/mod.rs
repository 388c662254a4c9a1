//! What stays local because a rule says so: `.mesaignore` at the root of a repository, after what the
//! configuration says.
//!
//! As in Git, rules are about what nobody has committed yet: a path of the pinned commit is pushed
//! whatever they say, and so is one that was pushed before a rule came to match it. Below a directory
//! that is ignored, everything is. The overlay itself knows no difference: what is ignored is
//! journaled and recovered like all else, and is left out where edits are made of it.
//!
//! Rules change, and then what they no longer match is owed to the remote. So the rules of the last
//! capture are kept in a file beside the journal, with what was pushed in spite of today's rules and
//! what is owed. Without that file everything is owed: that costs a push and loses nothing.

mod judge;
mod renewal;
mod rules;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::Sequence;
use serde::{Deserialize, Serialize};

pub(super) use self::judge::Judge;
pub(super) use self::rules::Rules;
#[cfg(test)]
pub(super) use self::rules::Said;
use super::room::is_full;
use crate::tree::TreePath;
use crate::upper::Upper;

/// The file of rules at a repository's root.
const FILE_NAME: &str = ".mesaignore";
/// Largest file of rules that is read: more is no rules but a mistake.
const RULES_BYTES_MAX: usize = 1 << 20;
/// Where the rules of the last capture are, in the folder of the local state.
const STORED_NAME: &str = "ignore.json";

/// The rules that hold, and what they do not undo.
#[derive(Clone, Debug)]
pub(super) struct Ignore {
    /// The configured rules, before those of the repository.
    configured: Arc<str>,
    pub(super) rules: Arc<Rules>,
    /// What was pushed before a rule matched it.
    pub(super) pushed: BTreeSet<TreePath>,
    /// What a rule matched that is gone: the remote may lack it.
    owed: BTreeSet<TreePath>,
    /// What of `owed` the last capture has.
    captured: BTreeSet<TreePath>,
    place: Option<PathBuf>,
    /// What is ignored at a record, each with all below it; made when somebody asks.
    listed: Option<(Sequence, Arc<[TreePath]>)>,
}

/// The same on disk. Paths that are not UTF-8 are never pushed, so they are not in here.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    rules: String,
    pushed: Vec<String>,
    owed: Vec<String>,
}

impl Default for Ignore {
    /// No rules, kept nowhere.
    fn default() -> Ignore {
        Ignore {
            configured: "".into(),
            rules: Arc::new(Rules::new(String::new())),
            pushed: BTreeSet::new(),
            owed: BTreeSet::new(),
            captured: BTreeSet::new(),
            place: None,
            listed: None,
        }
    }
}

impl Ignore {
    /// The rules of the last capture, from the folder of the local state; and those that are configured,
    /// for the next one.
    pub(super) fn open(folder: &Path, configured: Arc<str>, upper: &Upper) -> Ignore {
        let place = folder.join(STORED_NAME);
        let stored = match read(&place) {
            Ok(stored) => stored,
            Err(error) => {
                // What nothing was pushed of is pushed whole.
                let is_new = upper.remote().pushed == Sequence::ZERO;
                if !is_new {
                    tracing::warn!(path = %place.display(), %error, "everything is pushed once more");
                }
                Stored {
                    rules: configured.to_string(),
                    pushed: Vec::new(),
                    owed: if is_new {
                        Vec::new()
                    } else {
                        vec![String::new()]
                    },
                }
            }
        };
        let paths = |texts: Vec<String>| -> BTreeSet<TreePath> {
            let paths = texts.iter().map(|text| TreePath::try_from(&text[..]));
            paths.filter_map(Result::ok).collect()
        };
        Ignore {
            configured,
            rules: Arc::new(Rules::new(stored.rules)),
            pushed: paths(stored.pushed),
            owed: paths(stored.owed),
            captured: BTreeSet::new(),
            place: Some(place),
            listed: None,
        }
    }

    /// What the remote may lack because a rule is gone.
    pub(super) fn owed(&self) -> &BTreeSet<TreePath> {
        &self.owed
    }

    /// Says that a capture has all that is owed.
    pub(super) fn capture(&mut self) {
        self.captured = self.owed.clone();
    }

    /// Says that the remote has what was captured last.
    pub(super) fn settle(&mut self) {
        let captured = std::mem::take(&mut self.captured);
        if captured.is_empty() {
            return;
        }
        self.owed.retain(|path| !captured.contains(path));
        if let Err(error) = self.store() {
            // It is pushed once more after the next start.
            tracing::warn!(%error, "what was owed is not noted as pushed");
        }
    }

    /// Writes what the next process needs. A crash leaves the old file or the new one; a power cut may
    /// leave neither, and then everything is owed. So it is on a full disk, on which a push must need
    /// no space: what would be wrong by now is removed.
    fn store(&self) -> io::Result<()> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        match self.write(place) {
            Err(error) if is_full(&error) => match std::fs::remove_file(place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            written => written,
        }
    }

    fn write(&self, place: &Path) -> io::Result<()> {
        let texts = |paths: &BTreeSet<TreePath>| -> Vec<String> {
            let texts = paths.iter().filter_map(TreePath::as_str);
            texts.map(str::to_owned).collect()
        };
        let stored = Stored {
            rules: self.rules.text().to_owned(),
            pushed: texts(&self.pushed),
            owed: texts(&self.owed),
        };
        let folder = place.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &stored)?;
        file.persist(place)?;
        Ok(())
    }
}

fn read(place: &Path) -> io::Result<Stored> {
    Ok(serde_json::from_slice(&std::fs::read(place)?)?)
}
