//! SIGTERM, SIGINT and SIGHUP of the daemon: blocked in every thread, taken by one that waits.
//!
//! Block them first thing: threads inherit the mask. So do processes, but the one kind that a
//! daemon starts, `fusermount3`, takes a moment and is better not interrupted.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::{SigSet, Signal};

/// Signals that are remembered while nobody takes them: the first means "drain and end", the
/// second "now"; more say nothing new.
const SIGNALS_MAX: usize = 2;

/// Signals that are blocked, and not yet waited for.
#[derive(Debug)]
pub(super) struct Blocked(SigSet);

/// Blocks the signals in this thread and all that it starts from here on.
///
/// # Errors
///
/// What the operating system says.
pub(super) fn block() -> io::Result<Blocked> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(Blocked(set))
}

impl Blocked {
    /// Starts the thread that waits; each signal becomes a message.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(super) fn listen(self) -> io::Result<Receiver<()>> {
        let (sender, receiver) = bounded(SIGNALS_MAX);
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while let Ok(signal) = self.0.wait() {
                    tracing::info!(signal = signal.as_str(), "asked to end");
                    let _one_is_waiting_already = sender.try_send(());
                }
            })?;
        Ok(receiver)
    }
}
