//! The answering side of the control socket: a thread that accepts, and one per connection.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;

use zeroize::Zeroizing;

use super::{Address, Answer, REQUEST_BYTES_MAX, Request, read_line};
use crate::daemon::{Error, Failure, Reason};

/// Connections at one time: people, a few scripts, and a monitor.
pub const CONNECTIONS_MAX: usize = 16;
/// How long a peer may take for its one line, and for taking ours.
const PEER_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept (no descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause between two looks at whether peers have their answers.
const PEERS_PAUSE: Duration = Duration::from_millis(5);

/// What answers requests; called from several threads at once.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; may block as long as the request allows.
    fn handle(&self, request: Request) -> Answer;
}

/// A listening control socket; dropping it stops listening and removes the socket.
#[derive(Debug)]
pub struct ControlServer {
    socket: PathBuf,
    ending: Arc<AtomicBool>,
    busy: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Listens. The caller holds the lock of the data directory, so that a socket found here is a
    /// dead daemon's.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn listen(socket: &Path, handler: Arc<dyn Handler>) -> Result<ControlServer, Error> {
        let failed = |source| Error::Control {
            socket: socket.to_owned(),
            source,
        };
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let address = Address::of(socket).map_err(failed)?;
        let listener = UnixListener::bind(&address.path).map_err(failed)?;
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let ending = Arc::new(AtomicBool::new(false));
        let busy = Arc::new(AtomicUsize::new(0));
        let acceptor = thread::Builder::new()
            .name("control".into())
            .spawn({
                let (ending, busy) = (Arc::clone(&ending), Arc::clone(&busy));
                move || accept(&listener, &handler, &ending, &busy)
            })
            .map_err(failed)?;
        Ok(ControlServer {
            socket: socket.to_owned(),
            ending,
            busy,
            acceptor: Some(acceptor),
        })
    }

    /// Stops listening and removes the socket; peers that were accepted still get their answers.
    pub fn close(self) -> Peers {
        Peers(Arc::clone(&self.busy))
    }
}

/// Peers of a closed socket that still wait for an answer.
#[derive(Debug)]
pub struct Peers(Arc<AtomicUsize>);

impl Peers {
    /// Waits until all have their answers, but not beyond a point in time.
    pub fn wait_until(self, deadline: Instant) {
        while self.0.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(PEERS_PAUSE);
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // Wakes the acceptor, which then sees the flag.
        let woken =
            Address::of(&self.socket).and_then(|address| UnixStream::connect(&address.path));
        if woken.is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _panicked = acceptor.join();
        }
        let _gone_already = std::fs::remove_file(&self.socket);
    }
}

fn accept(
    listener: &UnixListener,
    handler: &Arc<dyn Handler>,
    ending: &AtomicBool,
    busy: &Arc<AtomicUsize>,
) {
    while !ending.load(Ordering::Acquire) {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = %error, "control connection not accepted");
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        if ending.load(Ordering::Acquire) {
            break;
        }
        if busy.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
            busy.fetch_sub(1, Ordering::AcqRel);
            let _peer_gone = answer(&stream, &failed("too many control connections at once"));
            continue;
        }
        let handler = Arc::clone(handler);
        let seat = Seat(Arc::clone(busy));
        let spawned = thread::Builder::new()
            .name("control-peer".into())
            .spawn(move || {
                let _seat = seat;
                if let Err(error) = serve(&stream, handler.as_ref()) {
                    tracing::debug!(error = %error, "control connection failed");
                }
            });
        if let Err(error) = spawned {
            tracing::warn!(error = %error, "control connection not served");
        }
    }
}

/// One of the places for connections; free again when dropped.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn serve(stream: &UnixStream, handler: &dyn Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(PEER_PATIENCE))?;
    let peer = Uid::from_raw(getsockopt(stream, PeerCredentials)?.uid());
    if peer != Uid::effective() && !peer.is_root() {
        tracing::warn!(
            uid = peer.as_raw(),
            "control connection of another user refused"
        );
        return answer(stream, &failed("the daemon belongs to another user"));
    }
    let reply = match receive(stream)? {
        Ok(request) => std::panic::catch_unwind(AssertUnwindSafe(|| handler.handle(request)))
            .unwrap_or_else(|_panic| {
                Answer::Failed(Failure {
                    reason: Reason::Bug,
                    message: "the daemon panicked over this request".into(),
                    causes: Vec::new(),
                    hint: Some("please report it, with the daemon's log".into()),
                })
            }),
        Err(refusal) => *refusal,
    };
    answer(stream, &reply)
}

/// One request, or the answer to what is none; no answer to a peer that said too little.
pub(super) fn receive(from: impl io::Read) -> io::Result<Result<Request, Box<Answer>>> {
    let refused = |message| Ok(Err(Box::new(failed(message))));
    match read_line(from, REQUEST_BYTES_MAX) {
        // It may hold a credential.
        Ok(line) => match serde_json::from_slice(&Zeroizing::new(line)) {
            Ok(request) => Ok(Ok(request)),
            Err(_) => refused("the request is not one that this daemon knows"),
        },
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            refused("the request is too long")
        }
        Err(error) => Err(error),
    }
}

fn answer(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(PEER_PATIENCE))?;
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    stream.write_all(&text)
}

fn failed(message: &str) -> Answer {
    Answer::Failed(Failure {
        reason: Reason::Failed,
        message: message.to_owned(),
        causes: Vec::new(),
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Drained, ask};
    use super::*;
    use crossbeam_channel::{Receiver, bounded};

    /// Answers a flush once it is let go, panics over `Version`, refuses the rest.
    struct Gate(Receiver<()>);

    impl Handler for Gate {
        fn handle(&self, request: Request) -> Answer {
            match request {
                Request::Flush { .. } => {
                    self.0.recv_timeout(Duration::from_secs(30)).unwrap();
                    Answer::Flushed(Drained::default())
                }
                Request::Version => panic!("the test asks for it"),
                _ => failed("no"),
            }
        }
    }

    fn listen(folder: &Path) -> (PathBuf, crossbeam_channel::Sender<()>, ControlServer) {
        let socket = folder.join("control.sock");
        let (open, gate) = bounded(64);
        let server = ControlServer::listen(&socket, Arc::new(Gate(gate))).unwrap();
        (socket, open, server)
    }

    const FLUSH: Request = Request::Flush { timeout_ms: 10_000 };

    #[test]
    fn a_request_is_answered_and_the_socket_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, open, server) = listen(folder.path());
        open.send(()).unwrap();
        assert_eq!(
            ask(&socket, &FLUSH).unwrap(),
            Answer::Flushed(Drained::default())
        );
        assert!(matches!(
            ask(&socket, &Request::Status),
            Err(Error::Refused(_))
        ));
        drop(server);
        assert!(!socket.exists());
        assert!(matches!(
            ask(&socket, &FLUSH),
            Err(Error::NotRunning { .. })
        ));
    }

    #[test]
    fn a_panic_is_one_answer_not_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, open, _server) = listen(folder.path());
        match ask(&socket, &Request::Version) {
            Err(Error::Refused(failure)) => assert_eq!(failure.reason, Reason::Bug),
            other => panic!("{other:?}"),
        }
        open.send(()).unwrap();
        ask(&socket, &FLUSH).unwrap();
    }

    #[test]
    fn nonsense_and_long_lines_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, _open, _server) = listen(folder.path());
        for line in [b"x".repeat(40_000), b"{\"request\":\"reboot\"}\n".to_vec()] {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(&line).unwrap();
            let answer = read_line(&stream, 4096).unwrap();
            let answer: Answer = serde_json::from_slice(&answer).unwrap();
            assert!(matches!(answer, Answer::Failed(_)));
        }
    }

    #[test]
    fn connections_are_bounded_and_seats_come_free() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, open, _server) = listen(folder.path());
        let mut peers: Vec<UnixStream> = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut peer = UnixStream::connect(&socket).unwrap();
            let mut text = serde_json::to_vec(&FLUSH).unwrap();
            text.push(b'\n');
            peer.write_all(&text).unwrap();
            peers.push(peer);
        }
        assert!(matches!(ask(&socket, &FLUSH), Err(Error::Refused(_))));
        for peer in &peers {
            open.send(()).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
        }
        for peer in peers {
            read_line(&peer, 4096).unwrap();
        }
        open.send(()).unwrap();
        // The last seats come free a moment after their answers.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask(&socket, &FLUSH).is_err() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    #[test]
    fn a_socket_path_beyond_the_address_limit_works() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let (socket, open, _server) = listen(&deep);
        open.send(()).unwrap();
        ask(&socket, &FLUSH).unwrap();
    }
}
