//! The real program in a process of its own, with its log in a file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `mesa serve`, killed with the value; its log, of all there is to say, is appended to a file.
pub struct Program(Child);

impl Program {
    /// Starts a server and returns its base URL.
    pub fn start(data: &Path, log: &Path) -> (Program, String) {
        Program::start_with(data, log, &[], &[])
    }

    /// The same with variables, and more to do.
    pub fn start_with(
        data: &Path,
        log: &Path,
        variables: &[(&str, &str)],
        arguments: &[String],
    ) -> (Program, String) {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_mesa"))
            .args(["--log-level", "trace", "serve", "--data"])
            .arg(data)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .env("HOME", data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let program = Program(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("listening on ").unwrap();
        (program, base.to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
