//! The processes of the demo, played by this same binary, and Git.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use super::Error;
use super::source::Source;
use super::stage::{Places, Stage, await_end};
use super::tree::Tree;
use crate::daemon::Status;
use crate::daemon::status::{Change, RepoStatus};

/// The organization that the demo's server serves.
const ORGANIZATION: &str = "demo";
/// How much of what a failed program said is shown.
const SAID_BYTES_MAX: usize = 2000;

/// A credential, as the demo hands it to `mesa`.
pub(super) struct Identity {
    token: String,
}

impl Identity {
    /// Its length, which is all that is ever shown of it.
    pub(super) fn token_length(&self) -> usize {
        self.token.len()
    }
}

/// Whoever plays in the demo.
pub(super) struct Actors {
    stage: Stage,
    repository: String,
    server: Option<Child>,
    /// `http://127.0.0.1:PORT/v1`, once the server ran.
    url: Option<String>,
}

/// Checks what a mount needs of the machine.
///
/// # Errors
///
/// What is missing.
pub(super) fn check_machine() -> Result<(), Error> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened.map_err(Error::NoFuse)?;
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths).any(|path| path.join("fusermount3").exists());
    if !Uid::effective().is_root() && !installed {
        return Err(Error::NoFusermount);
    }
    Ok(())
}

impl Actors {
    /// Nobody has entered yet.
    pub(super) fn new(stage: Stage, repository: String) -> Actors {
        Actors {
            stage,
            repository,
            server: None,
            url: None,
        }
    }

    /// Where the repository is in the mount.
    pub(super) fn checkout(&self, places: &Places) -> PathBuf {
        places.mount.join(ORGANIZATION).join(&self.repository)
    }

    /// Starts the server, at its old address if it had one, and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not come up.
    pub(super) fn start_server(&mut self, import: Option<&Source>) -> Result<(), Error> {
        let places = self.stage.places();
        let address = match &self.url {
            Some(url) => address_of(url).to_owned(),
            None => "127.0.0.1:0".to_owned(),
        };
        let log = places.root.join("server.log");
        let mut command = self.mesa(&["serve", "--listen", &address, "--org", ORGANIZATION])?;
        command.arg("--data").arg(&places.server);
        if let Some(source) = import {
            let mut value = std::ffi::OsString::from(format!("{}=", source.name));
            value.push(&source.path);
            command.arg("--import").arg(value);
        }
        command
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(Error::file(&log))?);
        let mut child = self.stage.start("mesa", &mut command)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let read = BufReader::new(output).read_line(&mut line);
            read.map_err(Error::file(&log))?;
        }
        self.server = Some(child);
        match line.trim_end().strip_prefix("listening on ") {
            Some(url) => {
                self.url = Some(url.to_owned());
                Ok(())
            }
            None => Err(Error::Server {
                said: shorten(&fs::read(&log).unwrap_or_default()),
            }),
        }
    }

    /// Stops the server.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub(super) fn stop_server(&mut self) -> Result<(), Error> {
        match self.server.take() {
            Some(child) => self.stage.end("the server", child),
            None => Ok(()),
        }
    }

    /// Mints the token that the sandbox gets, as an orchestrator would, with the admin's key.
    ///
    /// # Errors
    ///
    /// The server does not take the key.
    pub(super) fn mint_token(&self) -> Result<Identity, Error> {
        let path = self.stage.places().server.join("admin.key");
        let key = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let repository = format!("{ORGANIZATION}/{}", self.repository);
        let mut command = self.mesa(&["token", "create", "--scope", "read,write"])?;
        command.args(["--ttl", "1h", "--repo", &repository]);
        command.env("MESA_API_KEY", key.trim());
        let output = self.succeed("mesa", &mut command)?;
        Ok(Identity {
            token: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        })
    }

    /// Mounts in the background; returns once the mount answers.
    ///
    /// # Errors
    ///
    /// What `mesa mount` says.
    pub(super) fn mount(&self, identity: &Identity) -> Result<(), Error> {
        self.as_user(identity, &["mount", "--daemonize"]).map(drop)
    }

    /// Waits until the supervisor has brought the mount back: `mesa mount` does nothing else then.
    ///
    /// # Errors
    ///
    /// What `mesa mount` says.
    pub(super) fn await_restart(&self, identity: &Identity) -> Result<(), Error> {
        self.mount(identity)
    }

    /// Unmounts.
    ///
    /// # Errors
    ///
    /// What `mesa umount` says.
    pub(super) fn unmount(&self, identity: &Identity) -> Result<(), Error> {
        self.as_user(identity, &["umount"]).map(drop)
    }

    /// Pushes everything.
    ///
    /// # Errors
    ///
    /// What `mesa journal flush` says.
    pub(super) fn flush(&self, identity: &Identity) -> Result<(), Error> {
        self.as_user(identity, &["journal", "flush", "--timeout", "10m"])
            .map(drop)
    }

    /// How many operations the remote does not have.
    ///
    /// # Errors
    ///
    /// What `mesa status` says.
    pub(super) fn pending_operations(&self, identity: &Identity) -> Result<u64, Error> {
        Ok(self.repository_status(identity)?.pending.operations)
    }

    /// The change that took the edits.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn change(&self, identity: &Identity) -> Result<Change, Error> {
        self.repository_status(identity)?
            .change
            .ok_or_else(unanswered)
    }

    /// Kills the daemon with -9, and returns its process id.
    ///
    /// # Errors
    ///
    /// It lives on.
    pub(super) fn kill_daemon(&self, identity: &Identity) -> Result<Pid, Error> {
        let pid = self.status(identity)?.pid.ok_or_else(unanswered)?;
        let pid = Pid::from_raw(pid.cast_signed());
        kill(pid, Signal::SIGKILL).map_err(|errno| Error::Start {
            program: "kill",
            source: errno.into(),
        })?;
        await_end("the daemon", pid)?;
        Ok(pid)
    }

    /// Clones the server's repository with Git, which checks every object on the way, and lists
    /// the change's commit.
    ///
    /// # Errors
    ///
    /// What Git says.
    pub(super) fn clone_with_git(&self, places: &Places, change: &Change) -> Result<Tree, Error> {
        let repository = places
            .server
            .join("orgs")
            .join(ORGANIZATION)
            .join(format!("{}.git", self.repository));
        let mut command = self.git();
        command.args(["clone", "--quiet", "--mirror", "--no-local"]);
        self.succeed("git", command.arg(&repository).arg(&places.clone))?;
        let mut command = self.git();
        command.arg("--git-dir").arg(&places.clone);
        command.args([
            "ls-tree",
            "-r",
            "-t",
            "-z",
            "--full-tree",
            &change.commit_oid,
        ]);
        let output = self.succeed("git", &mut command)?;
        Tree::of_listing(&output.stdout)
    }

    fn repository_status(&self, identity: &Identity) -> Result<RepoStatus, Error> {
        let status = self.status(identity)?;
        let mut repos = status.repos.into_iter();
        repos
            .find(|repo| repo.name == self.repository)
            .ok_or_else(unanswered)
    }

    fn status(&self, identity: &Identity) -> Result<Status, Error> {
        let output = self.as_user(identity, &["status", "--json"])?;
        serde_json::from_slice(&output.stdout).map_err(|_| unanswered())
    }

    fn as_user(&self, identity: &Identity, arguments: &[&str]) -> Result<Output, Error> {
        let mut command = self.mesa(arguments)?;
        command.env("MESA_API_KEY", &identity.token);
        self.succeed("mesa", &mut command)
    }

    /// This binary, with an environment that knows of the demo alone.
    fn mesa(&self, arguments: &[&str]) -> Result<Command, Error> {
        let program = std::env::current_exe().map_err(|source| Error::Start {
            program: "mesa",
            source,
        })?;
        let places = self.stage.places();
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MESA_") {
                command.env_remove(name);
            }
        }
        command
            .env("MESA_NO_CONFIG_FILE", "1")
            .env("MESA_ORG", ORGANIZATION)
            .env("MESA_MOUNT_POINT", &places.mount)
            .env("MESA_DATA_DIR", &places.data)
            .env("MESA_RUNTIME_DIR", &places.runtime);
        if let Some(url) = &self.url {
            command.env("MESA_API_URL", url);
        }
        Ok(command)
    }

    /// Git, without the user's settings.
    fn git(&self) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    fn succeed(&self, program: &'static str, command: &mut Command) -> Result<Output, Error> {
        let output = self.stage.run(program, command)?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Command {
            command: describe(program, command),
            status: output.status,
            said: shorten(&output.stderr),
        })
    }
}

fn unanswered() -> Error {
    Error::Answer {
        command: "mesa status --json".into(),
    }
}

/// The arguments alone: the environment holds the credential.
fn describe(program: &str, command: &Command) -> String {
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    std::iter::once(program.into())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

fn shorten(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said.get(..SAID_BYTES_MAX).unwrap_or(said));
    said.trim().to_owned()
}

fn address_of(url: &str) -> &str {
    let address = Path::new(url.trim_start_matches("http://"));
    let first = address.components().next();
    first
        .and_then(|part| part.as_os_str().to_str())
        .unwrap_or("127.0.0.1:0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_server_gets_its_old_address() {
        assert_eq!(address_of("http://127.0.0.1:4567/v1"), "127.0.0.1:4567");
    }
}
