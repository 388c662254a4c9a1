//! A second mount of a world's server, with state of its own, as another sandbox has.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::process::{Finished, Held, run};
use super::world::{ORG, World};

/// Another mount; the world takes away what is left of it.
pub struct Second {
    folder: PathBuf,
    url: String,
    token: String,
    program: Command,
}

impl Second {
    /// Prepares one; nothing is mounted yet.
    pub fn new(world: &World, name: &str) -> Second {
        let folder = world.folder().join(name);
        fs::create_dir_all(folder.join("mnt")).unwrap();
        Second {
            url: world.url(),
            token: world.token.clone(),
            program: world.command(env!("CARGO_BIN_EXE_mesa")),
            folder,
        }
    }

    /// Sets a variable of everything that is started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.program.env(name, value);
    }

    /// `mesa`, configured for this mount.
    pub fn mesa(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program.get_program());
        command.current_dir(&self.folder).env_clear();
        for (name, value) in self.program.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
            .env("MESA_NO_CONFIG_FILE", "1")
            .env("MESA_API_URL", &self.url)
            .env("MESA_ORG", ORG)
            .env("MESA_API_KEY", &self.token)
            .env("MESA_MOUNT_POINT", self.folder.join("mnt"))
            .env("MESA_DATA_DIR", self.folder.join("data"))
            .env("MESA_RUNTIME_DIR", self.folder.join("run"))
            .args(arguments);
        command
    }

    /// Mounts in the background.
    #[track_caller]
    pub fn mount(&self, arguments: &[&str]) {
        let mut command = self.mesa(&["mount", "--daemonize", "--no-supervisor"]);
        run(command.args(arguments)).success();
    }

    /// Unmounts.
    #[track_caller]
    pub fn unmount(&self) -> Finished {
        run(&mut self.mesa(&["umount", "--timeout", "30s"]))
    }

    /// Pushes everything.
    #[track_caller]
    pub fn flush(&self) {
        run(&mut self.mesa(&["journal", "flush", "--timeout", "60s"])).success();
    }

    /// A mounted repository.
    pub fn repo(&self, name: &str) -> PathBuf {
        self.folder.join("mnt").join(ORG).join(name)
    }

    /// What `mesa status --json` says of one repository.
    #[track_caller]
    pub fn repo_status(&self, name: &str) -> serde_json::Value {
        let finished = run(&mut self.mesa(&["status", "--json"]));
        let status: serde_json::Value = serde_json::from_slice(&finished.stdout).unwrap();
        let repos = status["repos"].as_array().unwrap();
        let found = repos.iter().find(|repo| repo["name"] == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {status}"))
            .clone()
    }

    /// Kills the daemon with -9.
    #[track_caller]
    pub fn kill_daemon_hard(&self) {
        let finished = run(&mut self.mesa(&["status", "--json"]));
        let status: serde_json::Value = serde_json::from_slice(&finished.stdout).unwrap();
        let pid = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
        let daemon = Held::of(pid).unwrap();
        daemon.kill();
        assert!(daemon.ends_within(std::time::Duration::from_secs(20)));
    }
}
