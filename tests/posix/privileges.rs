//! Set-user-id and set-group-id: who takes them away, and by what.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use crate::pair::{Pair, facts, outcome};
use crate::system::{STRANGER, as_user};

/// A change of a file that must not leave it privileged.
type Change = (&'static str, fn(&Path) -> std::io::Result<()>);

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

const CHANGES: [Change; 8] = [
    ("write", |path| open(path)?.write_all(b"x")),
    ("append", |path| {
        OpenOptions::new().append(true).open(path)?.write_all(b"x")
    }),
    ("truncate", |path| open(path)?.set_len(2)),
    ("open and truncate", |path| File::create(path).map(drop)),
    ("fallocate", |path| {
        Ok(fallocate(open(path)?, FallocateFlags::empty(), 0, 10_000)?)
    }),
    ("punch", |path| {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        Ok(fallocate(open(path)?, flags, 0, 1)?)
    }),
    ("copy", |path| {
        let from = File::open(path.with_extension("source"))?;
        copy_file_range(&from, None, open(path)?, None, 3)?;
        Ok(())
    }),
    ("touch", |path| {
        let now = std::time::SystemTime::now();
        open(path)?.set_times(fs::FileTimes::new().set_modified(now))
    }),
];

/// A program with these bits that anybody may write to; freshly made, or of the repository.
fn arm(path: &Path, mode: u32) {
    fs::write(path.with_extension("source"), b"source").unwrap();
    fs::write(path, b"original").unwrap();
    chown(path, Some(0), Some(0)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whoever_changes_a_program_takes_its_privileges() {
    let pair = Pair::new();
    for path in ["bin/tool", "new"] {
        for mode in [0o4777, 0o2777, 0o6777, 0o6767, 0o1777] {
            for (what, change) in CHANGES {
                pair.same(
                    &format!("{what} of {path}, {mode:o}, by a stranger"),
                    |root| {
                        let path = root.join(path);
                        arm(&path, mode);
                        let done = as_user(STRANGER, || outcome(change(&path)));
                        (done, facts(&path))
                    },
                );
            }
        }
        for (what, change) in CHANGES {
            pair.same(&format!("{what} of {path} by root"), |root| {
                let path = root.join(path);
                arm(&path, 0o6777);
                let done = outcome(change(&path));
                (done, facts(&path))
            });
        }
    }
}

#[test]
fn another_owner_gets_no_privileges() {
    let pair = Pair::new();
    for path in ["bin/tool", "new", "docs"] {
        for mode in [0o6777, 0o6767, 0o2700] {
            for (uid, gid) in [
                (Some(1), None),
                (None, Some(1)),
                (Some(2), Some(3)),
                (None, None),
            ] {
                pair.same(
                    &format!("chown {uid:?} {gid:?} of {path}, {mode:o}"),
                    |root| {
                        let path = root.join(path);
                        if path.is_dir() {
                            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                        } else {
                            arm(&path, mode);
                        }
                        let done = outcome(chown(&path, uid, gid));
                        (done, facts(&path))
                    },
                );
            }
        }
    }
}

#[test]
fn a_stranger_may_do_what_the_mode_says_and_no_more() {
    let pair = Pair::new();
    pair.same("a folder of others", |root| {
        let (shared, sticky) = (root.join("shared"), root.join("sticky"));
        for (folder, mode) in [(&shared, 0o2777), (&sticky, 0o1777)] {
            fs::create_dir(folder).unwrap();
            chown(folder, Some(0), Some(50)).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
            fs::write(folder.join("roots"), b"").unwrap();
        }
        let mode = |path: &Path, mode| {
            outcome(fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        };
        as_user(STRANGER, || {
            let own = shared.join("own");
            let told = [
                outcome(fs::write(&own, b"own")),
                outcome(fs::create_dir(shared.join("folder"))),
                outcome(fs::create_dir(sticky.join("folder"))),
                outcome(fs::remove_file(sticky.join("roots"))),
                outcome(fs::rename(sticky.join("roots"), sticky.join("mine"))),
                outcome(fs::rename(shared.join("roots"), shared.join("mine"))),
                outcome(fs::write(shared.join("mine"), b"")),
                outcome(chown(&own, Some(0), None)),
                outcome(chown(&own, None, Some(50))),
                mode(&own, 0o6755),
                mode(&shared.join("mine"), 0o777),
                outcome(fs::create_dir(root.join("not-here"))),
                outcome(fs::write(root.join("README.md"), b"")),
                outcome(fs::remove_file(root.join("README.md"))),
                outcome(
                    nix::unistd::mkfifo(
                        &shared.join("pipe"),
                        nix::sys::stat::Mode::from_bits_truncate(0o666),
                    )
                    .map_err(Into::into),
                ),
            ];
            let made = ["own", "folder", "mine", "pipe"].map(|name| facts(&shared.join(name)));
            (told, made)
        })
    });
}
