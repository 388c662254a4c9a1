//! A server that is far away: a loopback proxy with a round trip, and TCP's slow start for what comes
//! down, since the kernel here can delay nothing.
//!
//! A connection's first byte waits a whole round trip, for the handshake; everything else half of one
//! each way. Down, no more than a window is on its way unacknowledged: ten segments at first, and as
//! many more as were acknowledged, a round trip after they were sent.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Linux's initial window.
const WINDOW_FIRST: usize = 10 * 1_460;
/// What receivers let a window grow to by default.
const WINDOW_MAX: usize = 6 << 20;

/// A running line; it takes no new connections once it is dropped.
pub struct Line {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Line {
    /// To this server, so far away.
    pub fn start(server: SocketAddr, round_trip: Duration) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || pass(&client, server, round_trip));
            }
        });
        Line { address, is_over }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn pass(client: &TcpStream, server: SocketAddr, round_trip: Duration) {
    let begun = Instant::now();
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    for stream in [client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (up, down) = (sync_channel(1_024), sync_channel(1_024));
    let windowed = !round_trip.is_zero();
    thread::scope(|scope| {
        scope.spawn(|| arrive(down.1, client));
        scope.spawn(|| arrive(up.1, &server));
        scope.spawn(|| send(client, up.0, (begun + round_trip, round_trip), false));
        send(&server, down.0, (begun, round_trip), windowed);
    });
}

/// Reads, and says when each piece arrives.
fn send(
    mut from: &TcpStream,
    to: SyncSender<(Instant, Vec<u8>)>,
    (earliest, round_trip): (Instant, Duration),
    is_windowed: bool,
) {
    let mut window = WINDOW_FIRST;
    let mut sent: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut on_its_way = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        while let Some((acknowledged, count)) = sent.front().copied() {
            let full = is_windowed && on_its_way >= window;
            if !full && acknowledged > Instant::now() {
                break;
            }
            thread::sleep(acknowledged.saturating_duration_since(Instant::now()));
            sent.pop_front();
            on_its_way -= count;
            window = (window + count).min(WINDOW_MAX);
        }
        let room = match is_windowed {
            true => (window - on_its_way).min(buffer.len()),
            false => buffer.len(),
        };
        let count = match from.read(&mut buffer[..room]) {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        let now = Instant::now().max(earliest);
        if is_windowed {
            on_its_way += count;
            sent.push_back((now + round_trip, count));
        }
        if to
            .send((now + round_trip / 2, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// Writes each piece when it arrives.
fn arrive(from: Receiver<(Instant, Vec<u8>)>, mut to: &TcpStream) {
    for (at, bytes) in from {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}
