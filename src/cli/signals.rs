//! SIGINT and SIGTERM of the command line itself: a thread that waits for them.
//!
//! The signals are blocked in every thread that is started from then on, so this must run before
//! others are started. Processes inherit the mask as well, which is why each of ours begins by
//! clearing it.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::output;

/// Lets all signals through, whatever the starting process had blocked.
pub(super) fn clear_mask() {
    let cleared = SigSet::empty().thread_set_mask();
    if let Err(errno) = cleared {
        output::talk(format_args!(
            "warning: the signal mask stays as it is: {errno}"
        ));
    }
}

/// The signals stay blocked for as long as the process lives.
pub(super) struct Interrupts;

/// Calls `action` on another thread at the first SIGINT or SIGTERM.
pub(super) fn on_interrupt(action: impl FnOnce() + Send + 'static) -> Interrupts {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_block().is_ok() {
        let spawned = thread::Builder::new()
            .name("interrupts".into())
            .spawn(move || {
                if signals.wait().is_ok() {
                    action();
                }
            });
        if spawned.is_err() {
            let _default_action = signals.thread_unblock();
        }
    }
    Interrupts
}
