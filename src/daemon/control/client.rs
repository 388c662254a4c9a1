//! The asking side of the control socket.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use zeroize::Zeroizing;

use super::{Address, Answer, RepoRequest, Request, SOCKET_NAME, read_line};
use crate::daemon::{Error, supervisor};

/// How long an answer may take beyond what the request itself allows: unmounting, and a machine
/// under load.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a daemon that is being started again is waited for.
const RESTART_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks whether it is back.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long reading all local state may take: a terabyte of it is not expected.
const VERIFY_PATIENCE: Duration = Duration::from_secs(3_600);
/// How long the daemon may take to look at both sides of a conflict, and to fetch theirs.
const CONFLICT_PATIENCE: Duration = Duration::from_secs(600);
/// How long an export may take: some 100 GiB, from a disk that is busy.
const EXPORT_MAX: Duration = Duration::from_secs(3600);
/// Longest answer: a full journal listing with the longest paths fits.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Asks a running daemon, and waits as long as an answer may take; one that died and is being started
/// again by its supervisor is waited for.
///
/// # Errors
///
/// [`Error::NotRunning`] when no daemon listens there; [`Error::DiedMeanwhile`] when it dies over it; [`Error::Control`] when it does not answer
/// as promised; [`Error::Silent`] when it does not answer in time; [`Error::Refused`] when it answers
/// with a failure.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, Error> {
    let deadline = Instant::now() + RESTART_PATIENCE;
    loop {
        match connect(socket) {
            Err(Error::NotRunning { .. })
                if Instant::now() < deadline && is_coming_back(socket) =>
            {
                thread::sleep(LOOK_AGAIN);
            }
            stream => return exchange_within(socket, &stream?, request, PATIENCE),
        }
    }
}

/// Whether a supervisor is about to have somebody listen there.
fn is_coming_back(socket: &Path) -> bool {
    let status = socket.parent().and_then(supervisor::status);
    status.is_some_and(|status| status.is_on_duty())
}

/// As [`ask`], of a daemon that is there now.
///
/// # Errors
///
/// As [`ask`].
pub fn ask_now(socket: &Path, request: &Request) -> Result<Answer, Error> {
    ask_within(socket, request, PATIENCE)
}

/// As [`ask_now`], waiting no longer than `patience` beyond what the request itself allows.
///
/// # Errors
///
/// As [`ask`]; [`Error::Silent`] when no answer comes in that time.
pub fn ask_within(socket: &Path, request: &Request, patience: Duration) -> Result<Answer, Error> {
    exchange_within(socket, &connect(socket)?, request, patience)
}

fn exchange_within(
    socket: &Path,
    stream: &UnixStream,
    request: &Request,
    patience: Duration,
) -> Result<Answer, Error> {
    let failed = |source| Error::Control {
        socket: socket.to_owned(),
        source,
    };
    let allowed = match request {
        Request::Flush { timeout_ms } => Duration::from_millis(*timeout_ms),
        Request::Export { .. } => EXPORT_MAX,
        // A repository is resolved and listed on the server, or what is under way in it is waited for.
        Request::Repo(RepoRequest::Close { timeout_ms, .. }) => {
            Duration::from_millis(*timeout_ms).saturating_add(CONFLICT_PATIENCE)
        }
        Request::Repo(_) => CONFLICT_PATIENCE,
        Request::Stop { drain_ms, .. } => Duration::from_millis(*drain_ms),
        // Reads what there is, at some hundred megabytes a second.
        Request::JournalVerify { .. } => VERIFY_PATIENCE,
        Request::Version
        | Request::Status
        | Request::Stats
        | Request::Log { .. }
        | Request::JournalList
        | Request::JournalShow { .. }
        | Request::JournalOrder { .. }
        | Request::JournalDrop { .. }
        | Request::Prefetch(_)
        | Request::Profile(_)
        // The store is read, at most.
        | Request::Credential(_) => Duration::ZERO,
        // What is under way in the store ends first.
        Request::Pin(_) => CONFLICT_PATIENCE,
        // Several listings, and files, come from the server meanwhile.
        Request::Conflicts(_) => CONFLICT_PATIENCE,
        Request::Publish(request) => {
            Duration::from_millis(request.timeout_ms).saturating_add(CONFLICT_PATIENCE)
        }
    };
    let line = match exchange(stream, request, allowed.saturating_add(patience)) {
        // It died with our request in its hands.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
            ) =>
        {
            return Err(Error::DiedMeanwhile);
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(Error::Silent { pid: peer(stream) });
        }
        line => line.map_err(failed)?,
    };
    match serde_json::from_slice(&line).map_err(|error| failed(error.into()))? {
        Answer::Failed(failure) => Err(Error::Refused(failure)),
        answer => Ok(answer),
    }
}

/// The process at the other end: the one that listened, which answers or does not.
fn peer(stream: &UnixStream) -> Option<u32> {
    let credentials = getsockopt(stream, PeerCredentials).ok()?;
    u32::try_from(credentials.pid()).ok()
}

/// The control socket of the daemon with that process number, among those that the kernel lists.
///
/// # Errors
///
/// [`Error::NoSuchDaemon`] when that process listens at none of them: there is none, or it is
/// another user's.
pub fn socket_of_process(pid: u32) -> Result<PathBuf, Error> {
    let listed = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    // The path is the last column, and may hold anything.
    let paths = listed
        .lines()
        .filter_map(|line| line.get(line.find('/')?..));
    let mut sockets: Vec<&Path> = paths
        .map(Path::new)
        .filter(|path| path.file_name().is_some_and(|name| name == SOCKET_NAME))
        .collect();
    sockets.sort_unstable();
    sockets.dedup();
    let is_that = |socket: &&Path| connect(socket).is_ok_and(|stream| peer(&stream) == Some(pid));
    let found = sockets.into_iter().find(is_that);
    found.map(Path::to_owned).ok_or(Error::NoSuchDaemon { pid })
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
    if let Request::Credential(_) = request {
        // Whoever answers here gets a credential.
        let peer = Uid::from_raw(getsockopt(stream, PeerCredentials)?.uid());
        if peer != Uid::effective() && !peer.is_root() {
            return Err(ErrorKind::PermissionDenied.into());
        }
    }
    let mut text = Zeroizing::new(serde_json::to_vec(request)?);
    text.push(b'\n');
    stream.write_all(&text)?;
    read_line(stream, ANSWER_BYTES_MAX)
}
