//! The mount layer and the virtual root, through the kernel, without any repository.
//!
//! Needs root and `/dev/fuse`; without them every test fails, it does not skip. The test of the
//! helper also needs `fusermount3`, and says so when it skips.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

mod lifecycle;
mod user;
mod virtual_root;

use mesa::fuse::{
    Access, Ended, Error, Mounted, OpenError, Opened, Opens, Options, Rendered, Report, Reports,
    Repositories, RequestKind, Slot, SpecialFiles, Transport, Unmount, Unmounted,
};
use mesa::overlay::{Overlay, Space};
use mesa::tree::Name;

/// Longest wait for anything that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// Two organizations without repositories. Opening "stuck" waits for `release`; asking for the
/// organizations panics as often as told.
#[derive(Default)]
struct Empty {
    opens: AtomicU64,
    panics: AtomicU64,
    released: Mutex<bool>,
    release: Condvar,
}

impl Empty {
    fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.release.notify_all();
    }
}

impl Repositories for Empty {
    fn organizations(&self) -> Vec<Name> {
        let take = |panics: u64| panics.checked_sub(1);
        if self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
        {
            panic!("on purpose");
        }
        ["acme", "local"]
            .map(|name| Name::try_from(name).unwrap())
            .to_vec()
    }

    fn repositories(&self, organization: &Name) -> Result<Vec<Name>, OpenError> {
        match organization.as_bytes() {
            b"acme" => Ok(["one", "two"]
                .map(|name| Name::try_from(name).unwrap())
                .to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn open(&self, _: &Name, repository: &Name) -> Result<Opened, OpenError> {
        self.opens.fetch_add(1, Ordering::SeqCst);
        match repository.as_bytes() {
            b"stuck" => {
                let released = self.released.lock().unwrap();
                drop(
                    self.release
                        .wait_while(released, |released| !*released)
                        .unwrap(),
                );
                Err(OpenError::NotFound)
            }
            b"one" => Err(OpenError::Source(
                mesa::lower::SourceError::CredentialExpired,
            )),
            _ => Err(OpenError::NotFound),
        }
    }

    fn opened(&self, _: Slot) -> Option<Arc<Overlay>> {
        None
    }

    fn opened_by_name(&self, _: &Name, _: &Name) -> Option<Opened> {
        None
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space {
            block_bytes: 4096,
            blocks: 1000,
            blocks_free: 500,
            blocks_available: 400,
            files: 100,
            files_free: 50,
        })
    }
}

impl Reports for Empty {
    fn render(&self, report: Report) -> Rendered {
        Rendered {
            bytes: report.name().into(),
            position: 0,
        }
    }

    fn more(&self, _: Report, position: u64) -> Rendered {
        Rendered {
            bytes: Vec::new(),
            position,
        }
    }
}

/// Mounts, with repositories that are the reports as well.
fn start(options: &Options, repositories: Arc<Empty>) -> Result<Mounted, Error> {
    let reports = Arc::clone(&repositories);
    Mounted::start(options, repositories, reports)
}

fn options(path: &Path) -> Options {
    Options {
        mount_point: path.to_path_buf(),
        access: Access::Owner,
        owner: (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        ),
        special_files: SpecialFiles::Inert,
        opens: Opens::default(),
        transport: Transport::default(),
        helper: std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from),
    }
}

/// An empty directory with the mount of `Empty` on it. Fields drop in order: the mount first.
struct Fixture {
    mounted: Mounted,
    repositories: Arc<Empty>,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Arc::new(Empty::default());
        let mounted = start(&options(folder.path()), repositories.clone()).unwrap();
        Fixture {
            mounted,
            repositories,
            folder,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn wait(&self) -> Ended {
        let deadline = Instant::now() + SOON;
        self.mounted
            .wait_until(deadline)
            .expect("the session should have ended")
    }
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<OsString> {
    names.iter().map(OsString::from).collect()
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

fn kind_mounted_at(path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let list = fs::read_to_string("/proc/self/mountinfo").unwrap();
    list.lines()
        .filter(|line| line.split(' ').nth(4) == path.to_str())
        .filter_map(|line| {
            line.split(" - ")
                .nth(1)?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .next_back()
}

fn sh(script: &str, argument: &Path) {
    let status = Command::new("sh")
        .args(["-ec", script, "sh"])
        .arg(argument)
        .status()
        .unwrap();
    assert!(status.success(), "{script}");
}
