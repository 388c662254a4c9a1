//! The `git` program: the one place that starts it.
//!
//! It makes and checks packs, which gix does not do as well: it serves thin, shallow and partial
//! packs, and takes in streams of any size in little memory. It moves no references and runs no
//! hooks. What it does depends on its arguments and the repository alone: the environment is ours,
//! and no configuration of the system or of a user is read. It runs as a group of processes that
//! ends with the value that stands for it, so a client that goes away takes its git with it.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::Repository;
use super::error::Error;
use super::push::Quarantine;
use crate::remote::api::LARGE_BYTES;

/// What of the program's talk is kept, for a log or for whoever pushes.
const TALK_BYTES_MAX: u64 = 4 << 10;
/// Where the program is looked for if our own environment does not say.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// Settings of every run. Bookmarks are all that Git clients see. Blobs of 16 MiB and more are
/// neither compared nor held in memory, one thread keeps what the rest takes small, and a server
/// owns what it serves, whoever owns the files.
const SETTINGS: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.bigFileThreshold=16m",
    "core.alternateRefsCommand=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "safe.directory=*",
    "transfer.hideRefs=refs/mesa",
    "uploadpack.allowAnySHA1InWant=true",
    "uploadpack.allowFilter=true",
];

/// How clients ask to be spoken to: the value of their `Git-Protocol` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    V0,
    V1,
    V2,
}

impl Protocol {
    /// Reads a header's value; of what is not known, nothing is passed on.
    pub(in crate::server) fn of_header(text: &str) -> Protocol {
        let version = text
            .split(':')
            .filter_map(|pair| pair.strip_prefix("version="))
            .filter_map(|version| version.parse::<u8>().ok())
            .max();
        match version {
            Some(2) => Protocol::V2,
            Some(1) => Protocol::V1,
            _ => Protocol::V0,
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Protocol::V0 => "version=0",
            Protocol::V1 => "version=1",
            Protocol::V2 => "version=2",
        }
    }
}

/// How small a pack is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// As small as loose objects, since somebody waits: 1 s for 5,000 files of 50 MB, and not 5 s.
    Quick,
    /// Compressed well, and as differences to each other.
    Thorough,
}

/// A running `git`, killed with everything that it started when this is dropped.
#[derive(Debug)]
pub(in crate::server) struct Program {
    child: Child,
    group: Option<Pid>,
    pub(in crate::server) input: Option<ChildStdin>,
    pub(in crate::server) output: ChildStdout,
    talk: JoinHandle<io::Result<Vec<u8>>>,
    /// The repository, which is not named to others.
    folder: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Program {
    /// Starts `git ARGUMENTS`, which finds the repository in its environment; objects that it
    /// makes go into the quarantine, if there is one. Inside of tokio only.
    fn start(
        repository: &Path,
        arguments: &[&str],
        quarantine: Option<&Quarantine>,
        protocol: Protocol,
    ) -> Result<Program, Error> {
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        command
            .args(arguments)
            .current_dir(repository)
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_DIR", repository)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_PROTOCOL", protocol.variable())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(quarantine) = quarantine {
            command
                .env("GIT_OBJECT_DIRECTORY", quarantine.objects())
                .env("GIT_QUARANTINE_PATH", quarantine.objects());
        }
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::ProgramMissing,
            _ => Error::Program { source },
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (input, Some(output), Some(talk)) = pipes else {
            let source = io::ErrorKind::BrokenPipe.into();
            return Err(Error::Program { source });
        };
        Ok(Program {
            child,
            group: group.map(Pid::from_raw),
            input,
            output,
            talk: tokio::spawn(listen(talk)),
            folder: repository.to_string_lossy().into_owned(),
        })
    }

    /// Waits for the end, and returns how it ended and the first of what it said.
    pub(in crate::server) async fn finish(mut self) -> Result<(ExitStatus, String), Error> {
        drop(self.input.take());
        let source = |source| Error::Program { source };
        let status = self.child.wait().await.map_err(source)?;
        // Whatever has the number now, it is none of ours.
        self.group = None;
        let said = (&mut self.talk).await.map_err(io::Error::other);
        let said = said.and_then(|said| said).map_err(source)?;
        Ok((status, printable(&said).replace(&self.folder, ".")))
    }
}

/// The first of what a program says; the rest is read, so that it never waits for us.
async fn listen(mut talk: ChildStderr) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    (&mut talk)
        .take(TALK_BYTES_MAX)
        .read_to_end(&mut said)
        .await?;
    tokio::io::copy(&mut talk, &mut tokio::io::sink()).await?;
    Ok(said)
}

/// Text for a terminal that is not ours.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|letter| match letter {
            '\n' => '\n',
            letter if letter.is_control() => ' ',
            letter => letter,
        })
        .collect()
}

impl Program {
    /// Makes a pack, in the quarantine, of the objects that it is told by id on its input. Large blobs
    /// stay as they are, so that they can be streamed.
    pub(super) fn pack_objects(
        repository: &Path,
        quarantine: &Quarantine,
        effort: Effort,
    ) -> Result<Program, Error> {
        let large = format!("core.bigFileThreshold={LARGE_BYTES}");
        let base = quarantine.objects().join("pack/pack");
        let base = base.strip_prefix(repository).unwrap_or(&base);
        let base = base.to_string_lossy();
        let mut arguments = vec!["-c", &large];
        if effort == Effort::Quick {
            arguments.extend(["-c", "pack.compression=1"]);
        }
        arguments.extend(["pack-objects", "-q", "--delta-base-offset"]);
        if effort == Effort::Quick {
            arguments.push("--window=0");
        }
        arguments.push(&base);
        Program::start(repository, &arguments, Some(quarantine), Protocol::V0)
    }
}

impl Repository {
    /// Tells clients what they can fetch.
    pub(in crate::server) fn advertise(&self, protocol: Protocol) -> Result<Program, Error> {
        let arguments = [
            "upload-pack",
            "--strict",
            "--stateless-rpc",
            "--advertise-refs",
            ".",
        ];
        Program::start(&self.folder, &arguments, None, protocol)
    }

    /// Answers one request of a fetch.
    pub(in crate::server) fn upload_pack(&self, protocol: Protocol) -> Result<Program, Error> {
        let arguments = ["upload-pack", "--strict", "--stateless-rpc", "."];
        Program::start(&self.folder, &arguments, None, protocol)
    }

    /// Takes in a pack of so many objects, into a quarantine. Small packs become loose objects, as
    /// with Git: a pack for each small push would make every later look-up slower.
    pub(in crate::server) fn take_pack(
        &self,
        quarantine: &Quarantine,
        objects: u32,
        bytes_max: u64,
    ) -> Result<Program, Error> {
        let limit = format!("--max-input-size={bytes_max}");
        let unpack = ["unpack-objects", "-q", "--strict", &limit];
        let index = ["index-pack", "--stdin", "--fix-thin", "--strict", &limit];
        let arguments: &[&str] = match objects < UNPACK_OBJECTS_MAX {
            true => &unpack,
            false => &index,
        };
        Program::start(&self.folder, arguments, Some(quarantine), Protocol::V0)
    }

    /// Finds out whether everything is there that the commits need which it is told on its input.
    pub(in crate::server) fn check_connected(
        &self,
        quarantine: &Quarantine,
    ) -> Result<Program, Error> {
        let arguments = [
            "rev-list",
            "--objects",
            "--stdin",
            "--not",
            "--all",
            "--quiet",
        ];
        Program::start(&self.folder, &arguments, Some(quarantine), Protocol::V0)
    }
}

/// Packs of fewer objects are unpacked; Git's own number.
pub(super) const UNPACK_OBJECTS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_protocols_are_passed_on() {
        for (header, protocol) in [
            ("version=2", Protocol::V2),
            ("version=1", Protocol::V1),
            ("x=y:version=2", Protocol::V2),
            ("version=3", Protocol::V0),
            ("version=2\n", Protocol::V0),
            ("", Protocol::V0),
        ] {
            assert_eq!(Protocol::of_header(header), protocol, "{header:?}");
        }
    }

    #[test]
    fn talk_is_text() {
        assert_eq!(printable(b"a\nb\x1b[31m\r\xff"), "a\nb [31m \u{fffd}");
    }
}
