//! Lines on their way to the log, which nobody waits for: a full disk, a pipe that nobody reads and
//! more than the log can take all lose lines. Lost ones are counted, and the next line that can be
//! written is preceded by their number.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::file::LogFile;
use crate::remote::api::format_date;
use crate::tree::Timestamp;

/// Longest line: what a pipe takes whole or not at all, so that the lines of two processes never mix.
const LINE_BYTES_MAX: usize = 4096;
/// Lines that wait for the disk: 16 MiB if all are the longest.
const LINES_MAX: usize = 4096;
/// Ends a line that was longer.
const CUT: &str = "...\n";

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    /// To what is open already.
    Open(File),
    /// To a file that is kept small.
    Kept(LogFile),
}

/// How many lines never arrived.
#[derive(Debug, Default)]
struct Losses {
    total: AtomicU64,
    /// Of these, those that the log tells of.
    told: AtomicU64,
}

impl Losses {
    fn add(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    fn untold(&self) -> u64 {
        let told = self.told.load(Ordering::Relaxed);
        self.total.load(Ordering::Relaxed).saturating_sub(told)
    }
}

/// A sink with what is known of it.
#[derive(Debug)]
struct Outlet {
    sink: Sink,
    /// The last line has no end: the disk was full in the middle of it.
    is_torn: bool,
}

impl Outlet {
    fn new(sink: Sink) -> Outlet {
        Outlet {
            sink,
            is_torn: false,
        }
    }

    /// Writes a line, or counts it as lost.
    fn deliver(&mut self, line: &[u8], losses: &Losses) {
        if self.tell(losses).and_then(|()| self.write(line)).is_err() {
            losses.add();
        }
    }

    /// Says how many lines were lost since that was last said.
    fn tell(&mut self, losses: &Losses) -> io::Result<()> {
        let untold = losses.untold();
        if untold > 0 {
            let now = format_date(Timestamp::from(SystemTime::now()).seconds);
            let notice = format!(
                "{now}  WARN mesa::daemon::log: lines of the log were lost lines={untold}\n"
            );
            self.write(notice.as_bytes())?;
            losses.told.fetch_add(untold, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = match &mut self.sink {
            Sink::Open(file) => file,
            Sink::Kept(log) => log.for_line(line.len())?,
        };
        if self.is_torn {
            file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let written = match file.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            match written {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) => {
                    self.is_torn = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether a line can be written without waiting; a file always takes one, or fails.
    fn takes_a_line_now(&self) -> bool {
        let Sink::Open(file) = &self.sink else {
            return true;
        };
        let mut descriptors = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

enum Message {
    Line(Vec<u8>),
    /// All that came before it is to be written; then this is dropped.
    Flush(Sender<()>),
}

#[derive(Debug)]
enum Way {
    /// Through a queue to a thread, for a process of many threads.
    Queue(Sender<Message>),
    /// Written at once, if that needs no waiting: for a process of one thread.
    Direct(Box<Mutex<Outlet>>),
}

/// What takes the lines of a process.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    way: Arc<Way>,
    losses: Arc<Losses>,
}

impl Lines {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub(super) fn queued(sink: Sink) -> io::Result<Lines> {
        let losses = Arc::new(Losses::default());
        let (sender, messages) = bounded(LINES_MAX);
        let mut outlet = Outlet::new(sink);
        // It starts before the process chose its signals, and must not be what one of them meets.
        let earlier = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let spawned = thread::Builder::new().name("log".into()).spawn({
            let losses = Arc::clone(&losses);
            move || write_all(&messages, &mut outlet, &losses)
        });
        earlier.thread_set_mask()?;
        spawned?;
        Ok(Lines {
            way: Arc::new(Way::Queue(sender)),
            losses,
        })
    }

    /// Without a thread.
    pub(super) fn direct(sink: Sink) -> Lines {
        Lines {
            way: Arc::new(Way::Direct(Box::new(Mutex::new(Outlet::new(sink))))),
            losses: Arc::default(),
        }
    }

    /// Lines that never arrived.
    pub(super) fn lost(&self) -> u64 {
        self.losses.total.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, but not for long.
    pub(super) fn flush(&self, patience: Duration) {
        let Way::Queue(sender) = &*self.way else {
            return;
        };
        let deadline = Instant::now() + patience;
        let (done, flushed) = bounded(1);
        if sender.send_deadline(Message::Flush(done), deadline).is_ok() {
            let _too_late = flushed.recv_deadline(deadline);
        }
    }

    fn take(&self, line: &[u8]) {
        let line = cut(line);
        match &*self.way {
            Way::Queue(sender) => {
                if sender.try_send(Message::Line(line)).is_err() {
                    self.losses.add();
                }
            }
            Way::Direct(outlet) => {
                let mut outlet = outlet.lock();
                match outlet.takes_a_line_now() {
                    true => outlet.deliver(&line, &self.losses),
                    false => self.losses.add(),
                }
            }
        }
    }
}

fn write_all(messages: &Receiver<Message>, outlet: &mut Outlet, losses: &Losses) {
    for message in messages {
        match message {
            Message::Line(line) => outlet.deliver(&line, losses),
            Message::Flush(done) => {
                // What cannot be told now is told later, or never.
                let _lost_as_well = outlet.tell(losses);
                drop(done);
            }
        }
    }
}

fn cut(line: &[u8]) -> Vec<u8> {
    match line.get(..LINE_BYTES_MAX - CUT.len()) {
        Some(start) if line.len() > LINE_BYTES_MAX => [start, CUT.as_bytes()].concat(),
        _ => line.to_vec(),
    }
}

/// One line being written, in one piece: that is how the formatting layer does it.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};

    use super::*;

    fn pipe() -> (PipeReader, Sink) {
        let (reader, writer) = io::pipe().unwrap();
        (
            reader,
            Sink::Open(File::from(std::os::fd::OwnedFd::from(writer))),
        )
    }

    /// Reads all lines and checks that each was written, or is counted in a notice.
    fn account_for(reader: PipeReader, numbered: usize, lost: u64) {
        let mut written = 0;
        let mut told = 0;
        for line in BufReader::new(reader).lines().map(Result::unwrap) {
            match line.split_once(" lines=") {
                Some((_, count)) => told += count.parse::<u64>().unwrap(),
                None => {
                    assert!(line.starts_with("line "), "{line}");
                    written += 1;
                }
            }
        }
        assert!(lost > 0);
        assert_eq!((written + lost, told), (numbered as u64, lost));
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read_and_every_lost_line_is_told_of() {
        let (reader, sink) = pipe();
        let lines = Lines::queued(sink).unwrap();
        let numbered = LINES_MAX * 4;
        for number in 0..numbered {
            lines.take(format!("line {number} {}\n", "x".repeat(100)).as_bytes());
        }
        let begun = Instant::now();
        lines.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(20), "it waits");
        let lost = lines.lost();
        let read = thread::spawn(move || account_for(reader, numbered, lost));
        lines.flush(Duration::from_secs(60));
        drop(lines);
        read.join().unwrap();
    }

    #[test]
    fn a_process_of_one_thread_does_not_wait_either() {
        let (reader, sink) = pipe();
        let lines = Lines::direct(sink);
        for number in 0..2000 {
            lines.take(format!("line {number} {}\n", "x".repeat(100)).as_bytes());
        }
        let lost = lines.lost();
        let last = lines.clone();
        let mut reader = reader;
        // Room for one page is room for a line.
        io::Read::read_exact(&mut reader, &mut [0; 2 * LINE_BYTES_MAX]).unwrap();
        last.take(b"line last\n");
        drop((lines, last));
        let mut rest = String::new();
        io::Read::read_to_string(&mut reader, &mut rest).unwrap();
        let end = format!("lines were lost lines={lost}\nline last\n");
        let end = end.replace("lines were", "lines of the log were");
        assert!(lost > 0 && rest.ends_with(&end), "{lost}: {rest}");
    }

    #[test]
    fn a_full_disk_loses_lines_and_stops_nothing() {
        let full = File::options().append(true).open("/dev/full").unwrap();
        let lines = Lines::queued(Sink::Open(full)).unwrap();
        for _ in 0..3 {
            lines.take(b"line\n");
        }
        lines.flush(Duration::from_secs(60));
        assert_eq!(lines.lost(), 3);
    }

    #[test]
    fn long_lines_are_cut_and_end_as_lines() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(cut(&long), long);
        let longer = cut(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(longer.len(), LINE_BYTES_MAX);
        assert!(longer.ends_with(b"x...\n"));
    }
}
