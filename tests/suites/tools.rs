//! The programs, and what to do when one is missing.

use std::path::Path;
use std::process::Command;

use crate::support::process::run;
use crate::support::world::World;

/// A program of another's.
pub struct Tool {
    name: &'static str,
    /// What it says to `--version`, if the counts are those of one version.
    version: Option<&'static str>,
    install: &'static str,
}

pub const PJDFSTEST: Tool = Tool {
    name: "pjdfstest",
    version: Some("pjdfstest 0.2.2"),
    install: "cargo install pjdfstest@0.2.2 --locked",
};

pub const FSX: Tool = Tool {
    name: "fsx",
    version: Some("fsx 0.3.2"),
    install: "cargo install fsx@0.3.2 --locked",
};

pub const STRESS_NG: Tool = Tool {
    name: "stress-ng",
    version: None,
    install: "apt-get install stress-ng",
};

pub const DBENCH: Tool = Tool {
    name: "dbench",
    version: None,
    install: "apt-get install dbench",
};

impl Tool {
    /// The program, in the environment of a world.
    ///
    /// # Panics
    ///
    /// It is not on the path, or is another version; or this is not root, who alone may do all that
    /// the suites try.
    #[track_caller]
    pub fn command(&self, world: &World) -> Command {
        assert!(
            nix::unistd::geteuid().is_root(),
            "the suites act as other users, which takes root"
        );
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path);
        let found = folders.find(|folder: &std::path::PathBuf| folder.join(self.name).exists());
        assert!(found.is_some(), "no {}: {}", self.name, self.install);
        if let Some(version) = self.version {
            let said = run(world.command(self.name).arg("--version")).success();
            assert_eq!(said.text(), version, "another version: {}", self.install);
        }
        let mut command = world.command(self.name);
        command.env("NO_COLOR", "1");
        command
    }

    /// The program for which a directory is at another place, where nobody else sees it. The
    /// directory is the command's first argument, and the program with its arguments follow.
    #[track_caller]
    pub fn command_at(&self, world: &World, place: &str) -> Command {
        self.command(world);
        let mut command = world.command("unshare");
        command.env("NO_COLOR", "1");
        let script = format!(r#"mount --bind "$1" {place} && shift && exec "$@""#);
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        command
    }
}

/// Lets every user reach what is below a folder of this test's own.
pub fn let_others_through(folder: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(folder, mode).unwrap();
}
