//! What sees to it that a test that hangs fails, and shows why.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::process::Held;

/// Kills the daemon when the test takes too long; ends when the sender is dropped.
pub fn watch(daemon: Arc<Mutex<Option<Held>>>, deadline: Duration) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    thread::spawn(move || {
        if receiver.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the test takes longer than {deadline:?}: its daemon is killed");
            if let Some(daemon) = daemon.lock().as_ref() {
                daemon.kill();
            }
        }
    });
    sender
}

/// Shows the last lines of a log, for whoever looks into a failure.
pub fn show_end(log: &Path) {
    let Ok(text) = fs::read(log) else { return };
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- the end of {}", log.display());
    for line in &lines[lines.len().saturating_sub(60)..] {
        eprintln!("{line}");
    }
}
