//! The adapter over a real overlay, through the kernel, with a lower layer in memory.
//!
//! Needs root and `/dev/fuse`; without them every test fails, it does not skip.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

mod contents;
mod memory;
mod names;
mod opens;
mod preload;
mod reading;
mod rings;

use memory::{Content, Memory, example};

use mesa::fuse::{
    Access, Mounted, OpenError, Opened, Opens, Options, Rendered, Report, Reports, Repositories,
    RequestKind, Slot, SpecialFiles, Transport, Unmount,
};
use mesa::lower::{EntryKind, ListingEntry, Pin, Source, SourceError, Store};
use mesa::overlay::{self, Access as Edits, Local, Overlay, Owner, Space};
use mesa::tree::{ChangeId, GitOid, Name, Timestamp, TreePath};
use sha1::{Digest, Sha1};

/// One organization, "acme", with one repository, "tool", opened at its first lookup.
struct One {
    memory: Arc<Memory>,
    tree: GitOid,
    folder: PathBuf,
    overlay: Mutex<Option<Arc<Overlay>>>,
}

fn slot() -> Slot {
    Slot::try_from(7).unwrap()
}

/// Nothing to report.
struct Silent;

impl Reports for Silent {
    fn render(&self, _: Report) -> Rendered {
        Rendered::default()
    }

    fn more(&self, _: Report, _: u64) -> Rendered {
        Rendered::default()
    }
}

impl Repositories for One {
    fn organizations(&self) -> Vec<Name> {
        vec![Name::try_from("acme").unwrap()]
    }

    fn repositories(&self, _: &Name) -> Result<Vec<Name>, OpenError> {
        Ok(vec![Name::try_from("tool").unwrap()])
    }

    fn open(&self, organization: &Name, repository: &Name) -> Result<Opened, OpenError> {
        if repository.as_bytes() != b"tool" {
            return Err(OpenError::NotFound);
        }
        let mut overlay = self.overlay.lock().unwrap();
        if overlay.is_none() {
            let store = Arc::new(Store::open(&self.folder.join("cache")).unwrap());
            let options = overlay::Options {
                ignore: "".into(),
                access: Edits::default(),
                folder: self.folder.join("repo"),
                owner: Owner {
                    uid: nix::unistd::geteuid().as_raw(),
                    gid: nix::unistd::getegid().as_raw(),
                },
                commit_interval: Duration::from_secs(1),
            };
            fs::create_dir_all(&options.folder).unwrap();
            let pin = Pin {
                change: ChangeId([1; 16]),
                commit: GitOid([2; 20]),
                tree: self.tree,
                time: Timestamp {
                    seconds: 1_700_000_000,
                    nanoseconds: 0,
                },
            };
            let local = Local::open(&options).unwrap();
            let source = self.memory.clone() as Arc<dyn Source>;
            let opened = local.over(store, source, Some("main"), pin, &options)?;
            *overlay = Some(Arc::new(opened));
        }
        drop(overlay);
        self.opened_by_name(organization, repository)
            .ok_or(OpenError::NotFound)
    }

    fn opened(&self, wanted: Slot) -> Option<Arc<Overlay>> {
        (wanted == slot())
            .then(|| self.overlay.lock().unwrap().clone())
            .flatten()
    }

    fn opened_by_name(&self, _: &Name, repository: &Name) -> Option<Opened> {
        (repository.as_bytes() == b"tool")
            .then(|| self.opened(slot()))
            .flatten()
            .map(|overlay| Opened {
                slot: slot(),
                overlay,
            })
    }

    fn space(&self) -> io::Result<Space> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// The mount. Fields drop in order: the mount before the folders.
/// Other users, devices and set-user-id bits are root's to test with.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What the environment asks for.
fn asked_for() -> (Opens, Transport) {
    let opens = match std::env::var("MESA_OPENS").as_deref() {
        Ok("plain") => Opens::Plain,
        _ => Opens::Kernel,
    };
    let transport = match std::env::var("MESA_TRANSPORT").as_deref() {
        Ok("io-uring") => Transport::IoUring,
        _ => Transport::Device,
    };
    (opens, transport)
}

struct Fixture {
    mounted: Mounted,
    memory: Arc<Memory>,
    root: PathBuf,
    tree: GitOid,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let (opens, transport) = asked_for();
        Fixture::of(opens, transport)
    }

    fn opening(opens: Opens) -> Fixture {
        Fixture::of(opens, asked_for().1)
    }

    fn of(opens: Opens, transport: Transport) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut memory = Memory::default();
        let tree = memory.add(&example(), "");
        Fixture::within(folder, Arc::new(memory), tree, (opens, transport))
    }

    /// A mount of what is in the folder, or will be.
    fn within(
        folder: tempfile::TempDir,
        memory: Arc<Memory>,
        tree: GitOid,
        (opens, transport): (Opens, Transport),
    ) -> Fixture {
        let mount_point = folder.path().join("mount");
        fs::create_dir_all(&mount_point).unwrap();
        let one = One {
            memory: memory.clone(),
            tree,
            folder: folder.path().to_path_buf(),
            overlay: Mutex::default(),
        };
        let options = Options {
            mount_point: mount_point.clone(),
            access: if is_root() {
                Access::Everyone
            } else {
                Access::Owner
            },
            owner: (
                nix::unistd::geteuid().as_raw(),
                nix::unistd::getegid().as_raw(),
            ),
            special_files: if is_root() {
                SpecialFiles::Honoured
            } else {
                SpecialFiles::Inert
            },
            opens,
            transport,
            helper: None,
        };
        let mounted = Mounted::start(&options, Arc::new(one), Arc::new(Silent)).unwrap();
        Fixture {
            mounted,
            memory,
            root: mount_point.join("acme/tool"),
            tree,
            folder,
        }
    }

    /// The same with nothing in the kernel's memory.
    fn mounted_again(self, how: (Opens, Transport)) -> Fixture {
        let Fixture {
            mounted,
            memory,
            tree,
            folder,
            ..
        } = self;
        mounted.unmount(Unmount::Clean).unwrap();
        mounted.wait();
        drop(mounted);
        Fixture::within(folder, memory, tree, how)
    }

    fn at(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Where the repository's local state is.
    fn repository(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn count(&self, kind: RequestKind) -> u64 {
        self.mounted.counters().of(kind)
    }

    /// Requests to the repository in all.
    fn requests(&self) -> u64 {
        let quiet = [
            RequestKind::Virtual,
            RequestKind::Forget,
            RequestKind::Release,
        ];
        let all = self.mounted.counters().all();
        all.filter(|(kind, _)| !quiet.contains(kind))
            .map(|(_, count)| count)
            .sum()
    }
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// Runs a shell command as nobody; `$1` is the path.
fn as_nobody(script: &str, path: &Path) -> bool {
    Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-ec",
            script,
            "sh",
        ])
        .arg(path)
        .status()
        .unwrap()
        .success()
}

/// Everything below a folder, as the example describes it.
fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Content>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            walk(&path, &format!("{name}/"), found);
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes();
            found.insert(name, Content::Symlink(target));
        } else {
            let bytes = fs::read(&path).unwrap();
            assert_eq!(bytes.len() as u64, metadata.len(), "{name}");
            let content = match metadata.mode() & 0o111 {
                0 => Content::File(bytes),
                _ => Content::Executable(bytes),
            };
            found.insert(name, content);
        }
    }
}
