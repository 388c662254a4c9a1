//! Extended attributes: which there are, for whom, how large, and for how long.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use libc::{XATTR_CREATE, XATTR_REPLACE};
use nix::sys::stat::Mode;

use crate::pair::{Pair, outcome};
use crate::support::world::World;
use crate::system::{STRANGER, as_user, remove_xattr, set_xattr, xattr, xattr_within, xattrs};

/// `security.capability` as the kernel stores it: `cap_net_raw=ep`.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn attributes_are_set_read_listed_and_removed_as_elsewhere() {
    let pair = Pair::new();
    for path in ["README.md", "docs", "new"] {
        pair.same(path, |root| {
            let path = root.join(path);
            if !path.exists() {
                fs::write(&path, "new\n").unwrap();
            }
            let set = |name, value: &[u8], flags| outcome(set_xattr(&path, name, value, flags));
            let told = [
                set("user.a", b"one", 0),
                set("user.a", b"two", XATTR_CREATE),
                set("user.a", b"two", XATTR_REPLACE),
                set("user.b", b"", XATTR_CREATE),
                set("user.c", b"", XATTR_REPLACE),
                set("user.", b"no name", 0),
                set("trusted.a", b"for root", 0),
                set("nothing", b"", 0),
                set("foreign.a", b"", 0),
                set(&format!("user.{}", "n".repeat(250)), b"longest", 0),
                set(&format!("user.{}", "n".repeat(251)), b"too long", 0),
                outcome(remove_xattr(&path, "user.c")),
                outcome(remove_xattr(&path, "user.b")),
            ];
            let values = [
                outcome(xattr(&path, "user.a")),
                outcome(xattr(&path, "user.b")),
                outcome(xattr(&path, "trusted.a")),
            ];
            let sizes = [0, 1, 3, 4].map(|room| outcome(xattr_within(&path, "user.a", room)));
            (told, values, sizes, outcome(xattrs(&path)))
        });
    }
}

#[test]
fn what_is_not_for_everybody_is_for_nobody_else() {
    let pair = Pair::new();
    pair.same("a stranger", |root| {
        let (file, folder) = (root.join("README.md"), root.join("open"));
        set_xattr(&file, "user.a", b"public", 0).unwrap();
        set_xattr(&file, "trusted.a", b"secret", 0).unwrap();
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(STRANGER.0), Some(STRANGER.1)).unwrap();
        as_user(STRANGER, || {
            let own = folder.join("own");
            fs::write(&own, "own\n").unwrap();
            (
                [
                    outcome(xattr(&file, "user.a")),
                    outcome(xattr(&file, "trusted.a")),
                ],
                [
                    outcome(set_xattr(&file, "user.b", b"", 0)),
                    outcome(set_xattr(&file, "trusted.b", b"", 0)),
                    outcome(remove_xattr(&file, "trusted.a")),
                    outcome(set_xattr(&own, "user.a", b"mine", 0)),
                    outcome(set_xattr(&own, "trusted.a", b"", 0)),
                    outcome(set_xattr(&own, "security.capability", CAPABILITY, 0)),
                ],
                [outcome(xattrs(&file)), outcome(xattrs(&own))],
            )
        })
    });
}

#[test]
fn users_attributes_are_for_files_and_directories_alone() {
    let pair = Pair::new();
    pair.same("links and pipes", |root| {
        let (link, pipe) = (root.join("pointer"), root.join("pipe"));
        symlink("README.md", &link).unwrap();
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        [&link, &pipe].map(|path| {
            (
                outcome(set_xattr(path, "user.a", b"", 0)),
                outcome(set_xattr(path, "trusted.a", b"", 0)),
                outcome(xattr(path, "user.a")),
                outcome(xattrs(path)),
            )
        })
    });
}

#[test]
fn a_value_has_64_kib_and_a_list_as_well() {
    let pair = Pair::new();
    let file = pair.mounted().join("README.md");
    let large = vec![7_u8; 65_536];
    set_xattr(&file, "user.large", &large, 0).unwrap();
    assert_eq!(xattr(&file, "user.large").unwrap(), large);
    let larger = vec![7_u8; 65_537];
    assert!(
        outcome(set_xattr(&file, "user.larger", &larger, 0))
            .unwrap_err()
            .starts_with("E2BIG")
    );
    let small = xattr_within(&file, "user.large", 65_535).map(drop);
    assert!(outcome(small).unwrap_err().starts_with("ERANGE"));
    let mut refused = None;
    for number in 0..300 {
        let name = format!("user.{number:0>250}");
        if let Err(error) = set_xattr(&file, &name, b"", 0) {
            refused = error.raw_os_error();
            break;
        }
    }
    assert_eq!(refused, Some(libc::ENOSPC), "a list that nobody could read");
    let listed = xattrs(&file).unwrap();
    assert_eq!(listed.len(), 1 + 255);
    remove_xattr(&file, &listed[0]).unwrap();
    set_xattr(&file, "user.again", b"", 0).unwrap();
}

/// `rw-r--r--` as an access list.
const LIST: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

#[test]
fn no_access_lists() {
    let pair = Pair::new();
    for (path, name) in [
        ("README.md", "system.posix_acl_access"),
        ("docs", "system.posix_acl_default"),
        ("README.md", "security.ima"),
    ] {
        let path = pair.mounted().join(path);
        let refused = outcome(set_xattr(&path, name, LIST, 0)).unwrap_err();
        assert!(refused.starts_with("EOPNOTSUPP"), "{name}: {refused}");
        let refused = outcome(xattr(&path, name)).unwrap_err();
        assert!(refused.starts_with("EOPNOTSUPP"), "{name}: {refused}");
    }
}

#[test]
fn a_capability_ends_with_the_first_change_of_the_file() {
    let pair = Pair::new();
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 7] = [
        ("nothing", |_| {}),
        ("chmod", |path| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, mode).unwrap();
        }),
        ("write", |path| {
            use std::io::Write;
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("truncate", |path| {
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(1)
                .unwrap();
        }),
        ("open and truncate", |path| {
            File::create(path).unwrap();
        }),
        ("chown", |path| {
            std::os::unix::fs::chown(path, Some(1), None).unwrap()
        }),
        ("rename", |path| {
            let other = path.with_extension("moved");
            fs::rename(path, &other).unwrap();
            fs::rename(&other, path).unwrap();
        }),
    ];
    for path in ["bin/tool", "new"] {
        for (what, change) in changes {
            pair.same(&format!("{what} of {path}"), |root| {
                let path = root.join(path);
                if !path.exists() {
                    fs::write(&path, "new\n").unwrap();
                }
                set_xattr(&path, "security.capability", CAPABILITY, 0).unwrap();
                assert!(xattr(&path, "security.capability").is_ok());
                change(&path);
                outcome(xattr(&path, "security.capability"))
            });
        }
    }
}

#[test]
fn a_change_of_attributes_is_a_change_of_the_inode() {
    let pair = Pair::new();
    pair.same("ctime", |root| {
        ["README.md", "docs"].map(|path| {
            let path = root.join(path);
            let times = || {
                let found = fs::metadata(&path).unwrap();
                let ctime = (found.ctime(), found.ctime_nsec());
                (ctime, (found.mtime(), found.mtime_nsec()))
            };
            let before = times();
            std::thread::sleep(std::time::Duration::from_millis(20));
            set_xattr(&path, "user.a", b"", 0).unwrap();
            let set = times();
            std::thread::sleep(std::time::Duration::from_millis(20));
            remove_xattr(&path, "user.a").unwrap();
            let removed = times();
            (set.0 > before.0, removed.0 > set.0, removed.1 == before.1)
        })
    });
}

#[test]
fn attributes_stay_across_kill_push_and_remount() {
    let source = tempfile::tempdir().unwrap();
    let small = crate::support::fixture::small(source.path());
    let mut world = World::with("app", &small);
    let app = world.repo("app");
    fs::write(app.join("new"), "new\n").unwrap();
    for path in ["README.md", "docs", "new"] {
        set_xattr(&app.join(path), "user.note", path.as_bytes(), 0).unwrap();
    }
    let check = |app: &Path| {
        for path in ["README.md", "docs", "new"] {
            assert_eq!(
                xattr(&app.join(path), "user.note").unwrap(),
                path.as_bytes()
            );
        }
    };
    world.kill_daemon_hard();
    world.mount();
    check(&app);
    world.flush_and_compare("app");
    world.unmount("30s");
    world.mount();
    check(&app);
}
