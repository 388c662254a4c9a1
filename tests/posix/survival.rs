//! What Git cannot hold stays as long as its path lives: across kill -9, push, remount, compaction, and
//! the loss of the index.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};

use crate::pair::outcome;
use crate::support::fixture;
use crate::support::syscall::{hard_link, set_times};
use crate::support::world::World;
use crate::system::{set_xattr, xattrs};

/// All that `stat` and `listxattr` say of a path.
#[derive(Debug, PartialEq)]
struct Facts {
    ino: u64,
    kind: u32,
    mode: u32,
    links: u64,
    owner: (u32, u32),
    device: u64,
    size: u64,
    modified: (i64, i64),
    accessed: (i64, i64),
    changed: (i64, i64),
    attributes: Vec<String>,
}

fn facts(path: &Path) -> Facts {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let is_directory = found.is_dir();
    Facts {
        ino: found.ino(),
        kind: found.mode() & libc::S_IFMT,
        mode: found.mode() & 0o7777,
        // Those of a directory are not counted before it is listed.
        links: if is_directory { 0 } else { found.nlink() },
        owner: (found.uid(), found.gid()),
        device: found.rdev(),
        size: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        accessed: (found.atime(), found.atime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
        attributes: xattrs(path).unwrap(),
    }
}

const PATHS: [&str; 14] = [
    "README.md",
    "docs",
    "docs/one.md",
    "src/link",
    "bin/tool",
    "new",
    "folder",
    "folder/empty",
    "folder/pipe",
    "folder/socket",
    "folder/null",
    "folder/pointer",
    "second-name",
    "moved/c/leaf.txt",
];

fn lay_out(app: &Path) {
    let mode = |path: &str, mode| {
        fs::set_permissions(app.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let touch = |path: &str, at| set_times(&app.join(path), at, at + 1).unwrap();
    mode("README.md", 0o640);
    chown(app.join("docs"), Some(3), Some(4)).unwrap();
    mode("docs", 0o3771);
    touch("docs/one.md", 1_234_567_890_123_456_789);
    set_xattr(&app.join("bin/tool"), "user.note", b"a tool", 0).unwrap();
    chown(app.join("bin/tool"), Some(5), Some(6)).unwrap();
    mode("bin/tool", 0o6711);
    fs::write(app.join("new"), "new\n").unwrap();
    mode("new", 0o604);
    fs::create_dir_all(app.join("folder/empty")).unwrap();
    let pipe = Mode::from_bits_truncate(0o622);
    nix::unistd::mkfifo(&app.join("folder/pipe"), pipe).unwrap();
    drop(UnixListener::bind(app.join("folder/socket")).unwrap());
    let null = nix::sys::stat::makedev(1, 3);
    mknod(&app.join("folder/null"), SFlag::S_IFCHR, pipe, null).unwrap();
    symlink("nowhere", app.join("folder/pointer")).unwrap();
    std::os::unix::fs::lchown(app.join("folder/pointer"), Some(7), Some(8)).unwrap();
    hard_link(&app.join("docs/two.md"), &app.join("second-name")).unwrap();
    fs::rename(app.join("src/deep/a/b"), app.join("moved")).unwrap();
    touch("moved/c/leaf.txt", 987_654_321_012_345_678);
    touch("src/link", 1_111_111_111_111_111_111);
    // Last: what was made inside has touched it.
    touch("folder", 1_000_000_000_000_000_001);
    touch("new", 1_500_000_000_500_000_000);
}

#[test]
fn what_git_cannot_hold_stays_whatever_happens() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "owners and devices are root's to make"
    );
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("app", &small)]);
    // Every record begins a segment of its own, so to say, and everything is folded at once.
    world.set("MESA_TEST_SEGMENT_BYTES", "4096");
    world.set("MESA_TEST_COMPACT_BYTES", "1");
    world.mount();
    let app = world.repo("app");
    lay_out(&app);
    let before = PATHS.map(|path| facts(&app.join(path)));
    let check = |what: &str| {
        for (path, before) in PATHS.iter().zip(&before) {
            assert_eq!(&facts(&app.join(path)), before, "{path}, {what}");
        }
        let kinds = ["pipe", "socket", "null"].map(|name| {
            let kind = fs::symlink_metadata(app.join("folder").join(name))
                .unwrap()
                .file_type();
            (kind.is_fifo(), kind.is_socket(), kind.is_char_device())
        });
        assert_eq!(
            kinds,
            [
                (true, false, false),
                (false, true, false),
                (false, false, true)
            ]
        );
        assert_eq!(fs::read_dir(app.join("folder/empty")).unwrap().count(), 0);
    };
    world.kill_daemon_hard();
    world.mount();
    check("after kill -9");
    world.flush();
    check("after the push");
    world.unmount("30s");
    world.mount();
    check("after a remount");
    world.unmount("30s");
    let index = world.data().join("repos/local/app/index");
    fs::remove_dir_all(&index).unwrap();
    world.mount();
    check("without the index");
    let journal = fs::read_dir(world.data().join("repos/local/app/journal")).unwrap();
    let names = journal.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names.into_iter().any(|name| name.ends_with(".snapshot")),
        "nothing was compacted"
    );
    // The path lives on under another name, and what is made at the old one is another.
    fs::rename(app.join("new"), app.join("newer")).unwrap();
    fs::write(app.join("new"), "another\n").unwrap();
    assert_eq!(facts(&app.join("newer")).mode, 0o604);
    assert_eq!(facts(&app.join("new")).mode, 0o644);
    assert_eq!(
        outcome(fs::read_to_string(app.join("newer"))),
        Ok("new\n".to_owned())
    );
}

#[test]
fn numbers_and_times_stay_when_the_kernel_forgets() {
    let world = World::small();
    let app = world.repo("app");
    fs::write(app.join("new"), "new\n").unwrap();
    let paths = [
        "README.md",
        "docs",
        "docs/one.md",
        "src/deep/a/b/c/leaf.txt",
        "src/link",
        "new",
    ];
    let before = paths.map(|path| facts(&app.join(path)));
    // Dentries and inodes of this machine, other mounts' included: they are only caches.
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    let after = paths.map(|path| facts(&app.join(path)));
    assert_eq!(after, before);
    // A copy-up by a change of mode alone, and by one of bytes.
    fs::set_permissions(app.join("README.md"), fs::Permissions::from_mode(0o600)).unwrap();
    let changed = facts(&app.join("README.md"));
    assert_eq!(
        (changed.ino, changed.modified),
        (before[0].ino, before[0].modified)
    );
    fs::write(app.join("docs/one.md"), "changed\n").unwrap();
    assert_eq!(facts(&app.join("docs/one.md")).ino, before[2].ino);
}
