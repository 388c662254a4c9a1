//! Starting a daemon in the background: by starting this program once more, not by forking, since
//! a fork of a process with threads is a process of surprises.
//!
//! The child gets the write end of the ready pipe as its standard output and the log as its
//! standard error; the credential reaches it by the environment, never as an argument.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::ready::{self, Ready, Start};
use super::{Error, open_log, private_folder, space};

/// Starts the daemon and waits until its mount answers.
///
/// # Errors
///
/// [`Error::Refused`] with the daemon's own failure; [`Error::Died`] when it ended without a word.
pub fn start(data: &Path, arguments: &[OsString]) -> Result<Ready, Error> {
    space::check_mount(data)?;
    private_folder(data)?;
    let (log, file) = open_log(data)?;
    let (reader, writer) = io::pipe().map_err(Error::Spawn)?;
    // The command owns our copy of the write end, and ends with this statement: what is left is the
    // child's, whose death closes the pipe.
    let mut child = Command::new("/proc/self/exe")
        .arg0("mesa")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(file)
        .spawn()
        .map_err(Error::Spawn)?;
    match ready::wait(reader).map_err(Error::Spawn)? {
        Start::Ready(ready) => Ok(ready),
        Start::Failed(failure) => {
            let _status = child.wait();
            Err(Error::Refused(failure))
        }
        Start::Died => {
            let _status = child.wait();
            Err(Error::Died { log })
        }
    }
}

/// Leaves the terminal that the starting command belongs to, and its directory once the
/// configuration was read, whose paths may be relative to it. The child calls this first.
///
/// # Errors
///
/// What the operating system says, or what reading the configuration says.
pub fn detached<T, E: From<Error>>(configure: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let left = nix::unistd::setsid().map_err(io::Error::from);
    left.map_err(Error::Setup)?;
    let configured = configure()?;
    // What is mounted where the command was started can then be unmounted while we run.
    std::env::set_current_dir("/").map_err(Error::Setup)?;
    Ok(configured)
}

/// Says how the start went, then lets go of the pipe: standard output is the log from then on.
pub fn announce(outcome: Result<Ready, super::Failure>) {
    if let Err(error) = ready::tell(&mut io::stdout().lock(), outcome) {
        tracing::warn!(error = %error, "nobody waits for this start");
    }
    if let Err(errno) = nix::unistd::dup2_stdout(io::stderr().as_fd()) {
        tracing::warn!(error = %errno, "the ready pipe stays open");
    }
}
