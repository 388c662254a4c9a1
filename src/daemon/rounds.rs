//! A thread that works in rounds until it is told to end, or its owner goes away.

use std::io;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

/// The thread; it ends when this is dropped.
pub(super) struct Rounds {
    name: &'static str,
    end: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Rounds {
    /// Starts a thread of that name. Its channel closes when it is to end; nothing comes through it.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(super) fn start(
        name: &'static str,
        rounds: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> io::Result<Rounds> {
        let (end, ended) = bounded(0);
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || rounds(&ended))?;
        Ok(Rounds {
            name,
            end: Mutex::new(Some((end, thread))),
        })
    }

    /// Ends the thread, after the round that it is in.
    pub(super) fn stop(&self) {
        let Some((end, thread)) = self.end.lock().take() else {
            return;
        };
        drop(end);
        if thread.join().is_err() {
            tracing::error!(thread = self.name, "a thread panicked");
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.stop();
    }
}
