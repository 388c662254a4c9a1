//! `fusermount3`, which mounts and unmounts for users who are not root.
//!
//! It is set-user-id root, opens `/dev/fuse`, mounts, and passes the open device back over a Unix
//! socket that it finds by `_FUSE_COMMFD`. The socket is its standard input, so no other descriptor
//! of ours has to be inherited.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::Error;

/// The program, looked for in `PATH`.
const PROGRAM: &str = "fusermount3";
/// Most of what it says that is worth showing, in bytes.
const SAID_BYTES_MAX: usize = 1024;

/// The program to run: as configured (`FUSERMOUNT_PATH`), or the usual one.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    program: PathBuf,
}

impl Helper {
    pub(super) fn new(program: Option<PathBuf>) -> Helper {
        Helper {
            program: program.unwrap_or_else(|| PathBuf::from(PROGRAM)),
        }
    }

    /// The program, with nothing of our environment but where programs are: it holds credentials.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// Mounts, and returns the open device.
    ///
    /// # Errors
    ///
    /// [`Error::HelperAbsent`], [`Error::OthersForbidden`] or [`Error::HelperFailed`].
    pub(super) fn mount(&self, path: &Path, options: &str) -> Result<OwnedFd, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(|source| self.missing(source))?;
        let child = self
            .command()
            .args(["-o", options, "--"])
            .arg(path)
            .env("_FUSE_COMMFD", "0")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| self.missing(source))?;
        // The child has the only other end, so this ends when the child does, if not before.
        let device = receive(&ours);
        let output = child
            .wait_with_output()
            .map_err(|source| self.missing(source))?;
        match device {
            Ok(Some(device)) if output.status.success() => Ok(device),
            _ => Err(self.failed(&output)),
        }
    }

    /// Unmounts; lazily: takes the mount off the tree, and ends it when nobody uses it any more.
    ///
    /// # Errors
    ///
    /// [`Error::HelperAbsent`], [`Error::Busy`] or [`Error::HelperFailed`].
    pub(super) fn unmount(&self, path: &Path, lazily: bool) -> Result<(), Error> {
        let mut command = self.command();
        command.arg("-u");
        if lazily {
            command.arg("-z");
        }
        let output = command
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| self.missing(source))?;
        if output.status.success() {
            return Ok(());
        }
        if mentions(&output.stderr, "busy") {
            return Err(Error::Busy {
                path: path.to_path_buf(),
            });
        }
        Err(self.failed(&output))
    }

    fn missing(&self, source: io::Error) -> Error {
        let program = self.program.clone();
        match source.kind() {
            io::ErrorKind::NotFound => Error::HelperAbsent { program },
            _ => Error::HelperUnusable { program, source },
        }
    }

    fn failed(&self, output: &Output) -> Error {
        if mentions(&output.stderr, "user_allow_other") {
            return Error::OthersForbidden;
        }
        let said = output
            .stderr
            .get(..SAID_BYTES_MAX)
            .unwrap_or(&output.stderr);
        Error::HelperFailed {
            program: self.program.clone(),
            said: String::from_utf8_lossy(said).trim().to_owned(),
        }
    }
}

fn mentions(text: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(text).contains(word)
}

/// The descriptor that comes over the socket; `None` when the other end closes without sending one.
fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut room = nix::cmsg_space!(RawFd);
    loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        let message = match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut room),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(nix::errno::Errno::EINTR) => continue,
            message => message?,
        };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = control
                && let Some(descriptor) = descriptors.first()
            {
                // SAFETY: the kernel has just installed this descriptor for us, and nobody else
                // knows its number. The room is for one, so there are no others to close.
                return Ok(Some(unsafe { OwnedFd::from_raw_fd(*descriptor) }));
            }
        }
        return Ok(None);
    }
}
