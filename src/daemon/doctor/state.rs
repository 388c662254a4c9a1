//! What the daemon keeps: its directories and their disk, what earlier daemons left, dead mounts, and
//! whether every byte is what was written.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::disk::{judge_disk, judge_space, kind_of_disk};
use super::{Finding, Fix};
use crate::config::Config;
use crate::daemon::control::{Answer, Request, Verified, ask_now, ask_within};
use crate::daemon::{DataLock, Error, control_socket, space, supervisor, verification};
use crate::fuse::{self, MountHealth};
use crate::lower::{self, Audit};

/// How long a daemon may take to say that it is there.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the cache is read: some 20 GiB in memory, or a few on a disk.
const AUDIT_MAX: Duration = Duration::from_secs(10);

/// Looks at the state.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, folder) in [
        ("the data directory", &config.data_folder),
        ("the cache", &config.cache.folder),
        ("the runtime directory", &config.runtime_folder),
    ] {
        let mine = Uid::effective().as_raw();
        findings.push(judge_folder(
            what,
            folder,
            mine,
            Owned::of(folder.symlink_metadata()),
        ));
    }
    findings.push(judge_disk(
        &config.data_folder,
        kind_of_disk(&config.data_folder),
    ));
    findings.push(judge_space(
        &config.data_folder,
        space::available(&config.data_folder).map_err(|error| error.to_string()),
    ));
    let daemon = look_for_daemon(config);
    findings.extend(judge_daemon(
        &daemon,
        &control_socket(config),
        &config.pid_file,
        config.pid_file.exists(),
    ));
    findings.extend(mounts(config));
    findings.extend(integrity(config, &daemon));
    let until = Instant::now() + AUDIT_MAX;
    findings.push(judge_store(lower::audit(&config.cache.folder, until)));
    findings
}

/// Whose a directory is, and for whom it is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owned {
    Absent,
    Unreadable,
    NoFolder,
    Folder { owner: u32, mode: u32 },
}

impl Owned {
    fn of(found: io::Result<Metadata>) -> Owned {
        match found {
            Ok(found) if found.is_dir() => Owned::Folder {
                owner: found.uid(),
                mode: found.mode() & 0o777,
            },
            Ok(_) => Owned::NoFolder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Owned::Absent,
            Err(_) => Owned::Unreadable,
        }
    }
}

fn judge_folder(what: &str, folder: &Path, mine: u32, owned: Owned) -> Finding {
    const CHECK: &str = "directories";
    let path = folder.display();
    match owned {
        Owned::Absent => Finding::ok(CHECK, format!("{what} {path} will be made")),
        Owned::Unreadable => Finding::problem(
            CHECK,
            format!("{what} {path} cannot be looked at"),
            format!("ls -ld {path}"),
        ),
        Owned::NoFolder => Finding::problem(
            CHECK,
            format!("{what} {path} is no directory"),
            "name another one in the configuration",
        ),
        Owned::Folder { owner, .. } if owner != mine => Finding::problem(
            CHECK,
            format!("{what} {path} belongs to user {owner}"),
            format!("chown -R {mine} {path}, or name another one in the configuration"),
        ),
        Owned::Folder { mode, .. } if mode & 0o077 != 0 => Finding::problem(
            CHECK,
            format!("{what} {path} is open to others ({mode:04o})"),
            format!("chmod 0700 {path}"),
        )
        .with(Fix::CloseFolder(folder.to_owned())),
        Owned::Folder { mode, .. } if mode & 0o700 != 0o700 => Finding::problem(
            CHECK,
            format!("{what} {path} is closed to its owner ({mode:04o})"),
            format!("chmod 0700 {path}"),
        )
        .with(Fix::CloseFolder(folder.to_owned())),
        Owned::Folder { .. } => Finding::ok(CHECK, format!("{what} {path} is ours alone")),
    }
}

/// What there is of a daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Daemon {
    /// It answers.
    Answers(u32),
    /// Somebody has the lock, and does not answer; the process, if it is known.
    Silent(Option<u32>),
    /// Its supervisor is about to start it again.
    Restarting,
    /// Nobody; whether a socket is there all the same.
    Gone { socket: bool },
}

fn look_for_daemon(config: &Config) -> Daemon {
    let socket = control_socket(config);
    if let Ok(Answer::Version(found)) = ask_within(&socket, &Request::Version, ANSWER_PATIENCE) {
        return Daemon::Answers(found.pid);
    }
    if supervisor::status(&config.runtime_folder).is_some_and(|found| found.is_on_duty()) {
        return Daemon::Restarting;
    }
    if !config.data_folder.join("lock").exists() {
        return Daemon::Gone {
            socket: socket.exists(),
        };
    }
    match DataLock::acquire(&config.data_folder) {
        Err(Error::AlreadyRunning { pid, .. }) => Daemon::Silent(pid),
        _ => Daemon::Gone {
            socket: socket.exists(),
        },
    }
}

fn judge_daemon(
    daemon: &Daemon,
    socket: &Path,
    pid_file: &Path,
    has_pid_file: bool,
) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    let mut findings = Vec::new();
    match daemon {
        Daemon::Answers(pid) => {
            return vec![Finding::ok(CHECK, format!("process {pid} answers"))];
        }
        Daemon::Restarting => {
            return vec![Finding::warning(
                CHECK,
                "its supervisor is starting it again",
                "mesa status",
            )];
        }
        Daemon::Silent(pid) => {
            let (who, cure) = match pid {
                Some(pid) => (
                    format!("process {pid} has the data directory, and does not answer"),
                    format!(
                        "wait a moment if it is starting or ending; else kill {pid}, and mesa mount"
                    ),
                ),
                None => (
                    "some process has the data directory, and does not answer".to_owned(),
                    "fuser -v on the file `lock` of the data directory names it".to_owned(),
                ),
            };
            return vec![Finding::problem(CHECK, who, cure)];
        }
        Daemon::Gone { socket: true } => findings.push(
            Finding::problem(
                CHECK,
                format!("a dead daemon left its socket {}", socket.display()),
                format!("rm {}", socket.display()),
            )
            .with(Fix::RemoveFile(socket.to_owned())),
        ),
        Daemon::Gone { socket: false } => {}
    }
    if has_pid_file {
        findings.push(
            Finding::problem(
                CHECK,
                format!("a dead daemon left its pid file {}", pid_file.display()),
                format!("rm {}", pid_file.display()),
            )
            .with(Fix::RemoveFile(pid_file.to_owned())),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            "none runs, and none left anything behind",
        ));
    }
    findings
}

/// The mounts of ours that this process sees, and the mount point of the configuration.
fn mounts(config: &Config) -> Vec<Finding> {
    match fuse::our_mounts(ANSWER_PATIENCE) {
        Ok(all) => judge_mounts(&all, &config.mount_point),
        Err(error) => vec![Finding::problem(
            "mounts",
            format!("the list of mounts cannot be read: {error}"),
            "mount the proc file system",
        )],
    }
}

fn judge_mounts(all: &[(PathBuf, MountHealth)], ours: &Path) -> Vec<Finding> {
    const CHECK: &str = "mounts";
    let mut findings = Vec::new();
    for (path, health) in all {
        let shown = path.display();
        match health {
            MountHealth::Answers => {}
            // Only what this configuration mounted is this command's to take away.
            MountHealth::Dead if path == ours => findings.push(
                Finding::problem(
                    CHECK,
                    format!("{shown} is a mount whose daemon is dead"),
                    "mesa mount --daemonize clears it and mounts again",
                )
                .with(Fix::ClearMount(path.clone())),
            ),
            MountHealth::Dead => findings.push(Finding::warning(
                CHECK,
                format!("{shown} is a mount of another configuration, whose daemon is dead"),
                format!("fusermount3 -u -z {shown}"),
            )),
            MountHealth::Silent => findings.push(Finding::problem(
                CHECK,
                format!("{shown} does not answer"),
                "mesa umount --force ends it; nothing that was written is lost",
            )),
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no dead mount"));
    }
    findings
}

/// Reads every byte, with the daemon if there is one.
fn integrity(config: &Config, daemon: &Daemon) -> Vec<Finding> {
    let verified = match daemon {
        Daemon::Answers(_) => {
            match ask_now(
                &control_socket(config),
                &Request::JournalVerify { repo: None },
            ) {
                Ok(Answer::Verified(verified)) => Ok(verified),
                Ok(_) => return Vec::new(),
                Err(error) => Err(error.to_string()),
            }
        }
        Daemon::Gone { .. } => {
            verification::verify(config, None).map_err(|error| error.to_string())
        }
        Daemon::Silent(_) | Daemon::Restarting => return Vec::new(),
    };
    judge_integrity(verified)
}

fn judge_integrity(verified: Result<Verified, String>) -> Vec<Finding> {
    const CHECK: &str = "integrity";
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => {
            return vec![Finding::problem(
                CHECK,
                format!("the local state cannot be read: {error}"),
                "mesa journal verify",
            )];
        }
    };
    let unsound = verified.repos.iter().filter(|repo| !repo.sound);
    let mut findings: Vec<Finding> = unsound
        .map(|repo| {
            Finding::problem(
                CHECK,
                format!("the local state of {}/{} is damaged", repo.org, repo.name),
                "mesa umount; mesa journal verify --repair keeps all that is sound",
            )
        })
        .collect();
    if findings.is_empty() {
        let records: u64 = verified.repos.iter().map(|repo| repo.records).sum();
        let count = verified.repos.len();
        findings.push(Finding::ok(
            CHECK,
            format!("{count} repositories with {records} records are sound"),
        ));
    }
    findings
}

fn judge_store(audited: io::Result<Audit>) -> Finding {
    const CHECK: &str = "cache";
    let audit = match audited {
        Ok(audit) => audit,
        Err(error) => {
            return Finding::problem(
                CHECK,
                format!("the cache cannot be read: {error}"),
                "with nothing mounted it may be deleted; what it has is fetched again",
            );
        }
    };
    if !audit.damaged.is_empty() {
        let found = format!(
            "{} cached objects are damaged, such as {}; no mount shows them",
            audit.damaged.len(),
            audit
                .damaged
                .first()
                .map(|path| path.display().to_string())
                .unwrap_or_default()
        );
        let cure = "mesa doctor --fix removes them; they are fetched again when they are read";
        return Finding::warning(CHECK, found, cure).with(Fix::DiscardObjects(audit.damaged));
    }
    let mebibytes = audit.bytes >> 20;
    let cut = match audit.is_cut_short {
        true => format!(
            "; for the others there was no time in {} s",
            AUDIT_MAX.as_secs()
        ),
        false => String::new(),
    };
    Finding::ok(
        CHECK,
        format!(
            "{} cached objects ({mebibytes} MiB) are sound{cut}",
            audit.objects
        ),
    )
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
