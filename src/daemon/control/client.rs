//! The asking side of the control socket.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Address, Answer, Request, read_line};
use crate::daemon::Error;

/// How long an answer may take beyond what the request itself allows: unmounting, and a machine
/// under load.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long reading all local state may take: a terabyte of it is not expected.
const VERIFY_PATIENCE: Duration = Duration::from_secs(3_600);
/// How long the daemon may take to look at both sides of a conflict, and to fetch theirs.
const CONFLICT_PATIENCE: Duration = Duration::from_secs(600);
/// How long an export may take: some 100 GiB, from a disk that is busy.
const EXPORT_MAX: Duration = Duration::from_secs(3600);
/// Longest answer: a full journal listing with the longest paths fits.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Asks a running daemon.
///
/// # Errors
///
/// [`Error::NotRunning`] when no daemon listens there; [`Error::Control`] when it does not answer
/// as promised; [`Error::Refused`] when it answers with a failure.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, Error> {
    let failed = |source| Error::Control {
        socket: socket.to_owned(),
        source,
    };
    let stream = connect(socket)?;
    let allowed = match request {
        Request::Flush { timeout_ms } => Duration::from_millis(*timeout_ms),
        Request::Export { .. } => EXPORT_MAX,
        Request::Stop { drain_ms, .. } => Duration::from_millis(*drain_ms),
        // Reads what there is, at some hundred megabytes a second.
        Request::JournalVerify { .. } => VERIFY_PATIENCE,
        Request::Version
        | Request::Status
        | Request::JournalList
        | Request::JournalShow { .. }
        | Request::JournalOrder { .. }
        | Request::JournalDrop { .. } => Duration::ZERO,
        // Several listings, and files, come from the server meanwhile.
        Request::Conflicts(_) => CONFLICT_PATIENCE,
        Request::Publish(request) => {
            Duration::from_millis(request.timeout_ms).saturating_add(CONFLICT_PATIENCE)
        }
    };
    let line = match exchange(&stream, request, allowed.saturating_add(PATIENCE)) {
        // It died with our request in its hands: whoever asks next finds nobody.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ) =>
        {
            return Err(Error::NotRunning {
                socket: socket.to_owned(),
            });
        }
        line => line.map_err(failed)?,
    };
    match serde_json::from_slice(&line).map_err(|error| failed(error.into()))? {
        Answer::Failed(failure) => Err(Error::Refused(failure)),
        answer => Ok(answer),
    }
}

fn connect(socket: &Path) -> Result<UnixStream, Error> {
    Address::of(socket)
        .and_then(|address| UnixStream::connect(&address.path))
        .map_err(|source| match source.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Error::NotRunning {
                socket: socket.to_owned(),
            },
            _ => Error::Control {
                socket: socket.to_owned(),
                source,
            },
        })
}

fn exchange(mut stream: &UnixStream, request: &Request, wait: Duration) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(wait))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    read_line(stream, ANSWER_BYTES_MAX)
}
