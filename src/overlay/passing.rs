//! Whether bodies of a repository are given to the kernel to read and write by itself: what its file system
//! must be able to tell, and what says to the next process that somebody may still be writing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::ledger::Ledger;
use super::stamp;

/// There while processes may write bodies without us; a process that finds it looks for such.
const MARKER: &str = "through";

/// Whether bodies are passed, found out when the first one could be.
#[derive(Debug)]
pub(super) struct Passing {
    marker: PathBuf,
    can: OnceLock<bool>,
}

impl Passing {
    pub(super) fn of(folder: &Path) -> Passing {
        Passing {
            marker: folder.join(MARKER),
            can: OnceLock::new(),
        }
    }

    /// Whether a process of ours passed bodies, and did not see the end of all who write them.
    pub(super) fn may_have_been(&self) -> bool {
        self.marker.exists()
    }

    /// Whether they are. The first call tries it out, which takes some 40 ms.
    pub(super) fn can(&self, ledger: &Ledger) -> bool {
        *self.can.get_or_init(|| {
            let folder = ledger.bodies.folder();
            let can = stamp::answers(folder).and_then(|answers| {
                if answers {
                    File::create(&self.marker)?;
                }
                Ok(answers)
            });
            if !matches!(can, Ok(true)) {
                let error = can.as_ref().err().map(tracing::field::display);
                tracing::info!(
                    folder = %folder.display(),
                    error,
                    "no passthrough: the file system does not tell of every write"
                );
            }
            can.unwrap_or(false)
        })
    }

    /// Says that nobody can write bodies without us any more.
    pub(super) fn end(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
