//! A mounted repository and a native directory with the same files, and the same done to both.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::world::World;

/// A world with `app` mounted, and its files in a directory of the native file system.
pub struct Pair {
    pub world: World,
    native: PathBuf,
}

impl Pair {
    /// Both with the files of the small repository; nothing of the mounted one was looked at yet.
    pub fn new() -> Pair {
        let source = tempfile::tempdir().unwrap();
        Pair::of(&fixture::small(source.path()))
    }

    /// Both with the files of a repository.
    pub fn of(repository: &Path) -> Pair {
        assert!(
            nix::unistd::geteuid().is_root(),
            "owners, privileges and other users are root's to test with: run this as root"
        );
        let mut world = World::serve(&[("app", repository)]);
        // Other users pass through.
        fs::set_permissions(world.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        world.set("MESA_ALLOW_OTHER", "true");
        world.mount();
        let native = world.folder().join("native");
        let (from, to) = (repository.to_str().unwrap(), native.to_str().unwrap());
        git_text(world.folder(), &["clone", "-q", from, to]);
        fs::remove_dir_all(native.join(".git")).unwrap();
        Pair { world, native }
    }

    /// Both read-only: a repository that takes no edits, and a mount that takes none.
    pub fn read_only() -> Pair {
        let mut pair = Pair::new();
        pair.world.unmount("30s");
        let settings = pair.world.folder().join("home/.config/mesa");
        fs::create_dir_all(&settings).unwrap();
        let text = "[organizations.local.repos.app]\nread-only = true\n";
        fs::write(settings.join("config.toml"), text).unwrap();
        pair.world.set("MESA_NO_CONFIG_FILE", "");
        pair.world.mount();
        let (nothing, bind) = (None::<&str>, MsFlags::MS_BIND);
        let native = &pair.native;
        mount(Some(native), native, nothing, bind, nothing).unwrap();
        let read_only = bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(nothing, native, nothing, read_only, nothing).unwrap();
        pair
    }

    /// The mounted repository.
    pub fn mounted(&self) -> PathBuf {
        self.world.repo("app")
    }

    /// Does the same to the native directory and to the mounted one: what comes of it must be the same.
    #[track_caller]
    pub fn same<T: Debug + PartialEq>(&self, what: &str, act: impl Fn(&Path) -> T) {
        let native = act(&self.native);
        let mounted = act(&self.mounted());
        assert_eq!(mounted, native, "mounted (left) and native (right): {what}");
    }

    /// What is seen must stay the same over a kill -9, and over a push and a remount.
    #[track_caller]
    pub fn survives<T: Debug + PartialEq>(&mut self, look: impl Fn(&Path) -> T) {
        self.world.kill_daemon_hard();
        self.world.mount();
        self.same("after kill -9", &look);
        self.world.flush();
        self.world.unmount("30s");
        self.world.mount();
        self.same("after push and remount", &look);
    }
}

/// A file to read and to write.
pub fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

/// What a call came to: its value, or the name of its errno.
pub fn outcome<T>(result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).to_string(),
        None => error.to_string(),
    })
}

/// Mode, owner and size of what is at a path; the size of a file alone.
pub fn facts(path: &Path) -> Result<(u32, u32, u32, u64), String> {
    let found = outcome(fs::symlink_metadata(path))?;
    let size = if found.is_file() { found.len() } else { 0 };
    Ok((found.mode(), found.uid(), found.gid(), size))
}
