//! A loopback proxy that counts HTTP requests: independent of our client and of our server.
//!
//! It understands just enough of HTTP/1.1 to tell a request line from a body (`Content-Length` and
//! chunked), passes everything on untouched, and notes `METHOD target` of each request. It can
//! lose answers: then the server has done what it was asked, and the client does not learn it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running proxy; it ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    requests: Mutex<Vec<String>>,
    losing: AtomicBool,
    losing_to: Mutex<Option<String>>,
    lost: AtomicUsize,
    answered: AtomicU64,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts one in front of a server.
    pub fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            requests: Mutex::new(Vec::new()),
            losing: AtomicBool::new(false),
            losing_to: Mutex::new(None),
            lost: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                if let Ok(client) = client {
                    thread::spawn(move || serve(&client, &shared));
                }
            }
        });
        Proxy { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// From now on every answer is lost, and its connection with it.
    pub fn lose_answers(&self) {
        self.shared.losing.store(true, Ordering::SeqCst);
    }

    /// From now on the answers to requests that begin like this (`METHOD target`) are lost.
    pub fn lose_answers_to(&self, beginning: &str) {
        *self.shared.losing_to.lock().unwrap() = Some(beginning.to_owned());
    }

    /// From now on answers arrive again.
    pub fn pass_answers(&self) {
        *self.shared.losing_to.lock().unwrap() = None;
        self.shared.losing.store(false, Ordering::SeqCst);
    }

    /// How many answers were lost so far.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Bytes of the answers since the last call of this, with their heads.
    pub fn take_bytes(&self) -> u64 {
        self.shared.answered.swap(0, Ordering::SeqCst)
    }

    /// The requests since the last call of this.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

/// Passes one connection on until either side closes it.
fn serve(client: &TcpStream, shared: &Shared) {
    let Ok(server) = TcpStream::connect(shared.server) else {
        return;
    };
    // Whether the answer that this connection waits for is one to lose.
    let lose = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = pass_answers(&server, client, (shared, &lose));
            let _closed = client.shutdown(Shutdown::Both);
        });
        let _ended = pass_requests(&mut BufReader::new(client), &mut &server, (shared, &lose));
        let _closed = server.shutdown(Shutdown::Write);
    });
}

fn pass_answers(
    mut server: &TcpStream,
    mut client: &TcpStream,
    (shared, lose): (&Shared, &AtomicBool),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = server.read(&mut buffer)?;
        let losing = shared.losing.load(Ordering::SeqCst) || lose.load(Ordering::SeqCst);
        if count > 0 && losing {
            shared.lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        if count == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..count])?;
        let count = count as u64;
        shared.answered.fetch_add(count, Ordering::SeqCst);
    }
}

fn pass_requests(
    client: &mut BufReader<&TcpStream>,
    server: &mut &TcpStream,
    (shared, lose): (&Shared, &AtomicBool),
) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut body = Body::None;
        loop {
            let start = head.len();
            if client.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&head[start..])
                .trim_end()
                .to_owned();
            if start == 0 {
                let mut words = line.split(' ');
                let (method, target) = (words.next().unwrap(), words.next().unwrap_or(""));
                let request = format!("{method} {target}");
                let losing_to = shared.losing_to.lock().unwrap().clone();
                let is_lost = losing_to.is_some_and(|beginning| request.starts_with(&beginning));
                lose.store(is_lost, Ordering::SeqCst);
                shared.requests.lock().unwrap().push(request);
            } else if line.is_empty() {
                break;
            }
            body = body.or_told_by(&line);
        }
        server.write_all(&head)?;
        match body {
            Body::None => {}
            Body::Bytes(count) => pass(client, server, count)?,
            Body::Chunks => pass_chunks(client, server)?,
        }
    }
}

/// How a request's body ends.
#[derive(Clone, Copy)]
enum Body {
    None,
    Bytes(u64),
    Chunks,
}

impl Body {
    fn or_told_by(self, line: &str) -> Body {
        let Some((name, value)) = line.split_once(':') else {
            return self;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => Body::Bytes(value.trim().parse().unwrap()),
            "transfer-encoding" if value.to_ascii_lowercase().contains("chunked") => Body::Chunks,
            _ => self,
        }
    }
}

fn pass(client: &mut impl Read, server: &mut impl Write, count: u64) -> io::Result<()> {
    let passed = io::copy(&mut client.take(count), server)?;
    if passed == count {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn pass_chunks(client: &mut impl BufRead, server: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        client.read_line(&mut line)?;
        server.write_all(line.as_bytes())?;
        let digits = line.trim_end().split(';').next().unwrap_or("");
        let Ok(count) = u64::from_str_radix(digits, 16) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // Each chunk, the empty last one too, ends with a line end.
        pass(client, server, count + 2)?;
        if count == 0 {
            return Ok(());
        }
    }
}
