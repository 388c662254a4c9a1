//! A loopback proxy that does harm: what happens to each exchange is told by rules, and to whole
//! connections by the state of the line.
//!
//! It reads a request whole, asks its rules what is to happen, and passes the answer on in the way
//! that was told. A line that is cut says nothing: connections of before stay open, and nothing goes
//! through them ever again, as through a gateway that has forgotten them.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::message::{self, Message};

/// How often a thread that waits looks whether that has an end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What happens to one exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It waits that long before it is passed on.
    Latency(Duration),
    /// The answer comes at so many bytes a second.
    Bandwidth(u64),
    /// The connection is reset, and the server has heard nothing.
    Reset,
    /// The server did what it was asked, and the connection is reset instead of an answer.
    ResetAfter,
    /// Nobody answers, and the server has heard nothing.
    Silence,
    /// The server did what it was asked, and nobody answers.
    SilenceAfter,
    /// So many bytes of the answer's body, then the connection ends.
    Cut(usize),
    /// So many bytes of the answer's body, then nothing.
    Stall(usize),
    /// The head, and then the body byte by byte, with this pause after each.
    Drip(Duration),
    /// An answer with this status, and a `Retry-After` of so many seconds; the server has heard
    /// nothing.
    Status(u16, Option<u64>),
    /// The server did what it was asked, and the answer has this status.
    StatusAfter(u16),
    /// The answer's body with every byte changed.
    WrongContent,
    /// The same, with a digest that fits: as if the server had sent it.
    Lie,
    /// The body is what it is, and its announced length is so much longer or shorter.
    WrongLength(i64),
}

/// The state of the line, for every connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// It works.
    Up,
    /// Connections are accepted and closed at once.
    Refusing,
    /// Connections are accepted; nothing is read, nothing comes.
    Silent,
    /// Connections are not even accepted.
    Deaf,
}

type Rule = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// A running proxy; it ends when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<SocketAddr>,
    listener: TcpListener,
    line: Mutex<Line>,
    /// Connections that were made before this was counted up are dead for good.
    era: AtomicU64,
    rule: Mutex<Option<Rule>>,
    struck: AtomicU64,
    requests: Mutex<VecDeque<String>>,
    stopped: AtomicBool,
    /// What keeps the queue of connections full while nobody accepts.
    fillers: Mutex<Vec<TcpStream>>,
}

impl FaultProxy {
    /// Starts one in front of a server.
    pub fn start(server: SocketAddr) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            listener,
            line: Mutex::new(Line::Up),
            era: AtomicU64::new(0),
            rule: Mutex::new(None),
            struck: AtomicU64::new(0),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
            fillers: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&accepting));
        FaultProxy { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `rule` is asked what happens to each request (`METHOD target`).
    pub fn obey(&self, rule: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// From now on this happens to every request.
    pub fn always(&self, fault: Fault) {
        self.obey(move |_| Some(fault.clone()));
    }

    /// Sets the line. Connections of before do not survive a line that is not up.
    pub fn set_line(&self, line: Line) {
        let mut now = self.shared.line.lock().unwrap();
        if *now == line {
            return;
        }
        self.shared.era.fetch_add(1, Ordering::SeqCst);
        let mut fillers = self.shared.fillers.lock().unwrap();
        fillers.clear();
        // A queue for one connection, which is taken: the next one is not even answered.
        let queue = if line == Line::Deaf { 0 } else { 128 };
        // SAFETY: the socket is ours, and listens already.
        unsafe { libc::listen(self.shared.listener.as_raw_fd(), queue) };
        *now = line;
        drop(now);
        if line == Line::Deaf {
            for _ in 0..2 {
                let wait = Duration::from_millis(50);
                fillers.extend(TcpStream::connect_timeout(&self.address, wait).ok());
            }
        }
    }

    /// The connections of now are dead, without anybody being told; new ones work.
    pub fn forget_connections(&self) {
        self.shared.era.fetch_add(1, Ordering::SeqCst);
    }

    /// No more faults, and a line that is up.
    pub fn heal(&self) {
        *self.shared.rule.lock().unwrap() = None;
        self.set_line(Line::Up);
    }

    /// How many exchanges were harmed so far.
    pub fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// The requests since the last call of this.
    pub fn take(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().drain(..).collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

fn accept(shared: &Arc<Shared>) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let line = *shared.line.lock().unwrap();
        if line == Line::Deaf {
            thread::sleep(LOOK_AGAIN);
            continue;
        }
        match shared.listener.accept() {
            Ok((client, _)) => {
                let era = shared.era.load(Ordering::SeqCst);
                let shared = Arc::clone(shared);
                thread::spawn(move || {
                    let _ended = client.set_nonblocking(false);
                    let connection = Connection {
                        client,
                        era,
                        shared,
                    };
                    let _ended = connection.serve();
                });
            }
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

struct Connection {
    client: TcpStream,
    era: u64,
    shared: Arc<Shared>,
}

impl Connection {
    fn is_alive(&self) -> bool {
        self.era == self.shared.era.load(Ordering::SeqCst)
            && *self.shared.line.lock().unwrap() == Line::Up
    }

    fn serve(&self) -> io::Result<()> {
        if *self.shared.line.lock().unwrap() == Line::Refusing {
            return self.reset();
        }
        let mut requests = BufReader::new(self.client.try_clone()?);
        let mut server: Option<BufReader<TcpStream>> = None;
        while let Some(request) = Message::read_request(&mut requests)? {
            let line = request.first_line();
            self.shared.requests.lock().unwrap().push_back(line.clone());
            if !self.is_alive() {
                return self.hold();
            }
            let fault = match &mut *self.shared.rule.lock().unwrap() {
                Some(rule) => rule(&line),
                None => None,
            };
            if fault.is_some() {
                self.shared.struck.fetch_add(1, Ordering::SeqCst);
            }
            match &fault {
                Some(Fault::Latency(time)) => self.pause(*time),
                Some(Fault::Reset) => return self.reset(),
                Some(Fault::Silence) => return self.hold(),
                Some(Fault::Status(status, retry_after)) => {
                    (&self.client).write_all(&message::refusal(*status, *retry_after))?;
                    continue;
                }
                _ => {}
            }
            let mut onward = match server.take() {
                Some(onward) => onward,
                None => {
                    let address = *self.shared.server.lock().unwrap();
                    BufReader::new(TcpStream::connect(address)?)
                }
            };
            onward.get_mut().write_all(&request.bytes())?;
            let answer = Message::read_answer(&mut onward)?;
            server = Some(onward);
            if !self.is_alive() {
                return self.hold();
            }
            self.answer(answer, fault)?;
        }
        Ok(())
    }

    fn answer(&self, mut answer: Message, fault: Option<Fault>) -> io::Result<()> {
        let mut client = &self.client;
        match fault {
            Some(Fault::ResetAfter) => self.reset(),
            Some(Fault::SilenceAfter) => self.hold(),
            Some(Fault::StatusAfter(status)) => client.write_all(&message::refusal(status, None)),
            Some(Fault::Cut(bytes)) => {
                let bytes = bytes.min(answer.body.len() / 2);
                client.write_all(&answer.head())?;
                client.write_all(&answer.body[..bytes])?;
                self.client.shutdown(Shutdown::Both)?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Fault::Stall(bytes)) => {
                let bytes = bytes.min(answer.body.len() / 2);
                client.write_all(&answer.head())?;
                client.write_all(&answer.body[..bytes])?;
                self.hold()
            }
            Some(Fault::Drip(pause)) => {
                client.write_all(&answer.head())?;
                for byte in &answer.body {
                    client.write_all(&[*byte])?;
                    self.pause(pause);
                    if !self.is_alive() {
                        return self.hold();
                    }
                }
                Ok(())
            }
            Some(Fault::Bandwidth(per_second)) => {
                let bytes = answer.bytes();
                let part = usize::try_from((per_second / 20).max(1)).unwrap();
                for part in bytes.chunks(part) {
                    client.write_all(part)?;
                    self.pause(Duration::from_millis(50));
                }
                Ok(())
            }
            Some(Fault::WrongContent) => {
                answer.body.iter_mut().for_each(|byte| *byte ^= 0x20);
                client.write_all(&answer.bytes())
            }
            Some(Fault::Lie) => {
                answer.body.iter_mut().for_each(|byte| *byte ^= 0x20);
                let digest = STANDARD.encode(Sha256::digest(&answer.body));
                answer.replace("content-digest", format!("sha-256=:{digest}:"));
                client.write_all(&answer.bytes())
            }
            Some(Fault::WrongLength(by)) => {
                let length = i64::try_from(answer.body.len()).unwrap() + by;
                client.write_all(&answer.head_with_length(length.max(0)))?;
                client.write_all(&answer.body)?;
                self.client.shutdown(Shutdown::Both)?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            _ => client.write_all(&answer.bytes()),
        }
    }

    /// Keeps the connection open, and says nothing more, until the other end has enough.
    fn hold(&self) -> io::Result<()> {
        self.client.set_read_timeout(Some(LOOK_AGAIN * 10))?;
        let mut rest = [0; 4096];
        loop {
            match io::Read::read(&mut &self.client, &mut rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.shared.stopped.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Resets the connection.
    fn reset(&self) -> io::Result<()> {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option is as large as said, and alive during the call.
        unsafe {
            libc::setsockopt(
                self.client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                u32::try_from(size_of::<libc::linger>()).unwrap(),
            );
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }

    fn pause(&self, time: Duration) {
        let start = std::time::Instant::now();
        while start.elapsed() < time && !self.shared.stopped.load(Ordering::SeqCst) {
            thread::sleep(LOOK_AGAIN.min(time));
        }
    }
}
