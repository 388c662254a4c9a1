//! `mesa serve` as a child process.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest time from start to the `listening on` line: an import of the largest fixture, in a
/// debug build, on two busy cores.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts one, and waits until it listens.
    ///
    /// # Panics
    ///
    /// It does not say `listening on http://ADDRESS/v1` in time.
    pub fn start(
        command: &mut Command,
        data: &Path,
        listen: SocketAddr,
        imports: &[(String, PathBuf)],
    ) -> Server {
        command.arg("serve").arg("--data").arg(data);
        command.arg("--listen").arg(listen.to_string());
        for (name, path) in imports {
            let mut import = std::ffi::OsString::from(format!("{name}="));
            import.push(path);
            command.arg("--import").arg(import);
        }
        let log = data.with_extension("log");
        let log_file = File::options().create(true).append(true).open(&log);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file.unwrap());
        // SAFETY: prctl is async-signal-safe, and touches only the new process.
        unsafe {
            // A server must not outlive a test that was killed.
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _nobody_waits = sender.send(line);
            }
        });
        let mut server = Server {
            child,
            address: listen,
        };
        let line = receiver.recv_timeout(READY_DEADLINE).unwrap_or_else(|_| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("mesa serve is not ready after {READY_DEADLINE:?}; it said:\n{said}")
        });
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix("/v1"))
            .unwrap_or_else(|| panic!("not the promised line: {line:?}"));
        server.address = address.parse().unwrap();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
