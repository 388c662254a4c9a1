//! Starting a daemon in the background: by starting this program once more, not by forking, since
//! a fork of a process with threads is a process of surprises.
//!
//! The child, a supervisor or the daemon itself, gets the write end of the ready pipe as its standard
//! output and the log as its standard error; the credential reaches it by the environment, never as an
//! argument.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::log::Destination;
use super::ready::{self, Ready, Start};
use super::{Error, Failure, private_folder, space};
use crate::secrets::Passphrase;

/// Starts a child with these arguments, which logs to `log`, and waits until the mount answers.
///
/// # Errors
///
/// [`Error::Refused`] with the daemon's own failure; [`Error::Died`] when it ended without a word.
pub fn start(
    data: &Path,
    log: Destination,
    arguments: &[OsString],
    passphrase: Option<Passphrase>,
) -> Result<Ready, Error> {
    space::check_mount(data)?;
    private_folder(data)?;
    let (reader, writer) = io::pipe().map_err(Error::Spawn)?;
    let mut command = Command::new("/proc/self/exe");
    if let Some(passphrase) = passphrase {
        // It may have been typed. As the credential itself, it is in no argument.
        command.env(Passphrase::VARIABLE, passphrase.expose());
    }
    let mut child = command
        .arg0("mesa")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(log.for_child()?)
        .spawn()
        .map_err(Error::Spawn)?;
    // It owns our copy of the write end: what is left is the child's, whose death closes the pipe.
    drop(command);
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

/// Leaves the terminal and the directory of the starting command, so that what is mounted there can be
/// unmounted while we run. The child calls this first; one that a supervisor started stays with it.
///
/// # Errors
///
/// What the operating system says.
pub fn detach() -> Result<(), Error> {
    let left = nix::unistd::setsid().map_err(io::Error::from);
    left.map_err(Error::Setup)?;
    std::env::set_current_dir("/").map_err(Error::Setup)
}

/// Says why there is no mount, to the command that waits for it.
pub fn announce_failure(failure: Failure) {
    if let Err(error) = ready::tell(&mut io::stdout().lock(), Err(failure)) {
        tracing::warn!(error = %error, "nobody waits for this start");
    }
}
