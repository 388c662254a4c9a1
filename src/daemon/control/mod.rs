//! The control socket: how the command line speaks with a running daemon.
//!
//! One line of JSON goes each way, then the connection ends. The socket lives in a directory that
//! is closed to others, and the peer's user id is checked as well, since directories get reopened
//! by hand. Everything is bounded: connections, lines, and how long either side waits.

mod client;
mod conflicts;
mod credentials;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod metrics;
mod pin;
mod prefetch;
mod profile;
mod protocol;
mod publish;
mod repo;
mod server;
mod words;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

pub use client::{ask, ask_now, ask_within, socket_of_process};
pub use conflicts::{
    ConflictAnswer, ConflictDetail, ConflictEntry, ConflictList, ConflictRequest, ConflictResolved,
    ConflictSide, ConflictSpot, ConflictingPath, TheirFiles, TheirKind, TheirStep,
};
pub use credentials::{AdoptedAs, CredentialAnswer, CredentialRequest, Handed};
pub use metrics::{Bucket, Family, FamilyKind, Metrics, Sample, Value};
pub use pin::{PinAnswer, PinEntry, PinRequest, PinState};
pub use prefetch::{PrefetchAnswer, PrefetchJob, PrefetchRequest, PrefetchState};
pub use profile::ProfileRequest;
pub use protocol::{
    Answer, Drained, LogReport, Order, REQUEST_BYTES_MAX, Remaining, Request, Versions,
};
pub use publish::{PublishAnswer, PublishRequest, PublishedRepository};
pub use repo::{Explicit, RepoAnswer, RepoRequest};
pub use server::{CONNECTIONS_MAX, ControlServer, Handler, Peers};
pub use words::{
    EntryState, Exported, FindingEntry, JournalEntry, JournalListing, JournalRecords, Ordered,
    RecordEntry, RepairEntry, RepoVerified, Verified,
};

/// The name of the control socket in its folder.
pub const SOCKET_NAME: &str = "control.sock";

/// Longest path that fits a socket address, with its final NUL.
const ADDRESS_BYTES_MAX: usize = 107;

/// A path that reaches a socket whose own path is too long for a socket address: through its open
/// directory.
struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    fn of(socket: &Path) -> io::Result<Address> {
        if socket.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Address {
                path: socket.to_owned(),
                _folder: None,
            });
        }
        let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(parent)?;
        Ok(Address {
            path: PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name),
            _folder: Some(folder),
        })
    }
}

/// Reads one line of at most `bytes_max`; a longer one is an error, an early end a short line.
fn read_line(from: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(from.take(bytes_max + 1)).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(line);
    }
    let over = u64::try_from(line.len()).is_ok_and(|length| length > bytes_max);
    Err(match over {
        true => io::ErrorKind::FileTooLarge,
        false => io::ErrorKind::UnexpectedEof,
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_whole() {
        assert_eq!(read_line(&b"abc\nrest"[..], 3).unwrap(), b"abc");
        let long = read_line(&b"abcd\n"[..], 3).unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::FileTooLarge);
        let cut = read_line(&b"ab"[..], 3).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
