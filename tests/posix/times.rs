//! Which times of which inode a call changes, and that they are kept to the nanosecond.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::pair::{Pair, open, outcome};
use crate::support::syscall::{exchange, hard_link, set_times};

/// Longer than a tick of the coarse clock that file systems go by.
const TICK: Duration = Duration::from_millis(15);

/// Access, modification and change, each to the nanosecond.
fn times(path: &Path) -> Option<[(i64, i64); 3]> {
    let found = fs::symlink_metadata(path).ok()?;
    Some([
        (found.atime(), found.atime_nsec()),
        (found.mtime(), found.mtime_nsec()),
        (found.ctime(), found.ctime_nsec()),
    ])
}

/// Which of the three changed, in letters.
fn changed(before: Option<[(i64, i64); 3]>, after: Option<[(i64, i64); 3]>) -> String {
    let (Some(before), Some(after)) = (before, after) else {
        return "-".to_owned();
    };
    let letters = ['a', 'm', 'c']
        .into_iter()
        .zip(before.into_iter().zip(after));
    letters
        .filter(|(_, (before, after))| before != after)
        .map(|(letter, _)| letter)
        .collect()
}

type Step = (&'static str, fn(&Path));

const STEPS: [Step; 19] = [
    ("nothing", |_| {}),
    ("write", |root| {
        open(&root.join("file")).write_all_at(b"x", 0).unwrap()
    }),
    ("append", |root| {
        let end = open(&root.join("file")).metadata().unwrap().len();
        open(&root.join("file")).write_all_at(b"x", end).unwrap();
    }),
    ("truncate", |root| {
        open(&root.join("file")).set_len(3).unwrap()
    }),
    ("truncate to the same size", |root| {
        open(&root.join("file")).set_len(3).unwrap()
    }),
    ("open and truncate", |root| {
        drop(File::create(root.join("file")).unwrap())
    }),
    ("chmod", |root| {
        fs::set_permissions(root.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    }),
    ("chown", |root| {
        chown(root.join("file"), Some(1), Some(1)).unwrap()
    }),
    ("touch", |root| {
        set_times(&root.join("file"), 1_000, 2_000).unwrap()
    }),
    ("link", |root| {
        hard_link(&root.join("file"), &root.join("sub/two")).unwrap()
    }),
    ("unlink one", |root| {
        fs::remove_file(root.join("sub/two")).unwrap()
    }),
    ("rename away", |root| {
        fs::rename(root.join("file"), root.join("sub/file")).unwrap()
    }),
    ("rename back", |root| {
        fs::rename(root.join("sub/file"), root.join("file")).unwrap()
    }),
    ("exchange", |root| {
        exchange(&root.join("file"), &root.join("other")).unwrap()
    }),
    ("create", |root| {
        fs::write(root.join("sub/new"), b"").unwrap()
    }),
    ("mkdir", |root| fs::create_dir(root.join("sub/in")).unwrap()),
    ("rmdir", |root| fs::remove_dir(root.join("sub/in")).unwrap()),
    ("symlink", |root| {
        symlink("file", root.join("sub/pointer")).unwrap()
    }),
    ("refused", |root| {
        assert!(fs::create_dir(root.join("sub")).is_err());
        assert!(fs::remove_dir(root.join("sub")).is_err());
        assert!(fs::rename(root.join("gone"), root.join("sub/x")).is_err());
    }),
];

#[test]
fn each_call_changes_the_times_that_it_should() {
    let pair = Pair::new();
    // Of new files, and of those of the repository.
    for folder in ["made", "docs"] {
        pair.same(folder, |root| {
            let root = root.join(folder);
            fs::create_dir(&root).ok();
            for (from, to) in [("one.md", "file"), ("two.md", "other")] {
                fs::rename(root.join(from), root.join(to)).ok();
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(root.join(to))
                    .unwrap();
            }
            fs::create_dir(root.join("sub")).unwrap();
            STEPS.map(|(what, step)| {
                let look =
                    || ["", "file", "other", "sub", "sub/file"].map(|path| times(&root.join(path)));
                let before = look();
                sleep(TICK);
                step(&root);
                let after = look();
                let all = before.into_iter().zip(after);
                let all: Vec<String> = all.map(|(before, after)| changed(before, after)).collect();
                (what, all)
            })
        });
    }
}

#[test]
fn times_are_kept_to_the_nanosecond_wherever_they_lie() {
    let mut pair = Pair::new();
    let moments: [(i64, i64); 6] = [
        (1, 999_999_999),
        (0, 0),
        (-1, -999_999_999),
        (1_700_000_000_123_456_789, 1_600_000_000_987_654_321),
        // 1901 and 2446: what a file system of 34 bits holds.
        (-2_147_483_647_000_000_000, -2_147_483_646_999_999_999),
        (
            i64::from(u32::MAX) * 1_000_000_000 + 7,
            i64::from(u32::MAX) * 1_000_000_000 + 8,
        ),
    ];
    let set = |root: &Path| {
        let kinds = ["README.md", "docs", "src/link", "made"];
        fs::write(root.join("made"), b"made").unwrap();
        moments.map(|(accessed, modified)| {
            kinds.map(|path| {
                let path = root.join(path);
                let done = outcome(set_times(&path, accessed, modified));
                (
                    done,
                    times(&path).map(|[accessed, modified, _]| (accessed, modified)),
                )
            })
        })
    };
    pair.same("times set", set);
    let look = |root: &Path| {
        ["README.md", "docs", "src/link", "made"]
            .map(|path| times(&root.join(path)).map(|[accessed, modified, _]| (accessed, modified)))
    };
    pair.survives(look);
}
