//! Ranges of files: reserved, emptied, zeroed, looked for, copied; and files that are mostly holes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};
use nix::unistd::{Whence, lseek};

use crate::pair::{Pair, outcome};
use crate::support::world::World;

const PAGE: usize = 4096;

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.open(path).unwrap()
}

fn allocated(file: &File, mode: i32, offset: i64, bytes: i64) -> Result<(), String> {
    let flags = FallocateFlags::from_bits_retain(mode);
    outcome(fallocate(file, flags, offset, bytes).map_err(Into::into))
}

#[test]
fn ranges_are_reserved_emptied_and_zeroed() {
    const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE;
    const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
    let pair = Pair::new();
    for path in ["docs/one.md", "new"] {
        for mode in [0, KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP, PUNCH] {
            for (offset, bytes) in [
                (0, 1),
                (2, 10_000),
                (8192, 4096),
                (30_000, 1),
                (0, 0),
                (-1, 5),
            ] {
                pair.same(
                    &format!("{path}: {mode:#x} of {bytes} at {offset}"),
                    |root| {
                        let path = root.join(path);
                        fs::remove_file(&path).ok();
                        let file = open(&path);
                        file.write_all_at(&[7; 5 * PAGE], 0).unwrap();
                        let done = allocated(&file, mode, offset, bytes);
                        (
                            done,
                            file.metadata().unwrap().len(),
                            fs::read(&path).unwrap(),
                        )
                    },
                );
            }
        }
    }
    // Of files of the repository, as they come.
    for (path, mode) in [
        ("docs/two.md", PUNCH | KEEP),
        ("README.md", 0),
        ("bin/tool", ZERO),
    ] {
        pair.same(path, |root| {
            let path = root.join(path);
            let done = allocated(&open(&path), mode, 1, 40);
            (done, fs::read(&path).unwrap())
        });
    }
    let file = open(&pair.mounted().join("new"));
    for mode in [libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE] {
        let refused = allocated(&file, mode, 0, PAGE as i64).unwrap_err();
        assert!(refused.starts_with("EOPNOTSUPP"), "{mode:#x}: {refused}");
    }
    pair.world.flush_and_compare("app");
}

#[test]
fn reserved_space_is_taken_and_emptied_space_is_given_back() {
    let pair = Pair::new();
    let path = pair.mounted().join("new");
    let file = open(&path);
    let blocks = || fs::metadata(&path).unwrap().blocks() * 512;
    allocated(&file, libc::FALLOC_FL_KEEP_SIZE, 0, 1 << 20).unwrap();
    assert!(blocks() >= 1 << 20);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    file.write_all_at(&[1; 1 << 20], 0).unwrap();
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    allocated(&file, punch, 0, 1 << 19).unwrap();
    assert!(blocks() <= (1 << 19) + 65_536, "{}", blocks());
}

#[test]
fn data_and_holes_are_found() {
    let pair = Pair::new();
    let seek =
        |file: &File, whence, offset| outcome(lseek(file, offset, whence).map_err(Into::into));
    let sought = |file: &File| {
        let mut found = Vec::new();
        for offset in [
            0, 1, 4095, 65_536, 100_000, 200_000, 262_143, 262_144, 300_000, -1,
        ] {
            for whence in [Whence::SeekData, Whence::SeekHole] {
                found.push(seek(file, whence, offset));
            }
        }
        found
    };
    pair.same("a file with two islands", |root| {
        let file = open(&root.join("new"));
        file.set_len(262_144).unwrap();
        file.write_all_at(&[1; PAGE], 65_536).unwrap();
        file.write_all_at(&[1; 3 * PAGE], 131_072).unwrap();
        file.sync_all().unwrap();
        sought(&file)
    });
    pair.same("an empty file", |root| {
        fs::write(root.join("none"), b"").unwrap();
        sought(&open(&root.join("none")))
    });
    for path in ["README.md", "empty"] {
        pair.same(path, |root| sought(&File::open(root.join(path)).unwrap()));
    }
}

#[test]
fn a_sparse_file_stays_sparse_when_it_is_copied() {
    let pair = Pair::new();
    let path = pair.mounted().join("sparse");
    let file = open(&path);
    const SIZE: u64 = 5 << 30;
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"the end", SIZE - 7).unwrap();
    file.write_all_at(b"beyond 4 GiB", 4 << 30).unwrap();
    let copied = pair
        .world
        .command("cp")
        .arg("--sparse=auto")
        .arg(&path)
        .arg(path.with_extension("copy"))
        .status();
    assert!(copied.unwrap().success());
    let copy = File::open(path.with_extension("copy")).unwrap();
    let found = copy.metadata().unwrap();
    assert_eq!(found.len(), SIZE);
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    let mut bytes = [0; 12];
    copy.read_exact_at(&mut bytes, 4 << 30).unwrap();
    assert_eq!(&bytes, b"beyond 4 GiB");
    copy.read_exact_at(&mut bytes[..7], SIZE - 7).unwrap();
    assert_eq!(&bytes[..7], b"the end");
    fs::remove_file(&path).unwrap();
    fs::remove_file(path.with_extension("copy")).unwrap();
}

/// Copies a range, and says how many bytes it were and what the target holds then.
fn copy(
    from: &Path,
    from_at: i64,
    to: &Path,
    to_at: i64,
    bytes: usize,
) -> (Result<usize, String>, Vec<u8>) {
    let (mut from_at, mut to_at) = (from_at, to_at);
    let source = File::open(from).unwrap();
    let target = open(to);
    let done = copy_file_range(
        &source,
        Some(&mut from_at),
        &target,
        Some(&mut to_at),
        bytes,
    );
    (outcome(done.map_err(Into::into)), fs::read(to).unwrap())
}

#[test]
fn ranges_are_copied_between_any_two_files() {
    let pair = Pair::new();
    pair.same("setting up", |root| {
        fs::write(root.join("source"), vec![9_u8; 10_000]).unwrap();
        fs::write(root.join("same"), (0..200).collect::<Vec<u8>>()).unwrap();
    });
    for (from, from_at, to, to_at, bytes) in [
        ("source", 0, "target", 0, 10_000),
        ("source", 9_000, "target", 3, 10_000),
        ("source", 10_000, "target", 0, 5),
        ("source", 20_000, "target", 0, 5),
        ("docs/one.md", 0, "target", 100, 3),
        ("docs/one.md", 1, "docs/two.md", 2, 3),
        ("source", 0, "bin/tool", 5, 100),
        ("empty", 0, "target", 0, 100),
        ("same", 0, "same", 100, 50),
        ("same", 0, "same", 10, 50),
        ("source", 0, "target", 0, 0),
    ] {
        pair.same(
            &format!("{bytes} of {from} at {from_at} to {to} at {to_at}"),
            |root| copy(&root.join(from), from_at, &root.join(to), to_at, bytes),
        );
    }
    pair.world.flush_and_compare("app");
}

#[test]
fn a_range_is_copied_between_repositories() {
    let source = tempfile::tempdir().unwrap();
    let small = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &small), ("other", &small)]);
    world.mount();
    let (from, to) = (
        world.repo("app").join("README.md"),
        world.repo("other").join("copy"),
    );
    let text = fs::read(&from).unwrap();
    let (done, copied) = copy(&from, 0, &to, 0, text.len());
    assert_eq!(done, Ok(text.len()));
    assert_eq!(copied, text);
    world.flush_and_compare("other");
}

#[test]
fn a_report_is_data_throughout_and_can_be_copied() {
    let world = World::small();
    let report = world.mount_point().join(".mesa/README");
    let file = File::open(&report).unwrap();
    let size = file.metadata().unwrap().len().cast_signed();
    let seek = |offset, whence| outcome(lseek(&file, offset, whence).map_err(Into::into));
    assert_eq!(seek(1, Whence::SeekData), Ok(1));
    assert_eq!(seek(1, Whence::SeekHole), Ok(size));
    for whence in [Whence::SeekData, Whence::SeekHole] {
        assert!(seek(size, whence).unwrap_err().starts_with("ENXIO"));
    }
    let target = world.repo("app").join("copy");
    let (done, copied) = copy(&report, 0, &target, 0, 1 << 20);
    assert_eq!(done, Ok(size as usize));
    assert_eq!(copied, fs::read(&report).unwrap());
}

#[test]
fn what_ranges_changed_outlives_the_daemon_and_is_pushed() {
    let mut world = World::small();
    let app = world.repo("app");
    let file = open(&app.join("docs/one.md"));
    allocated(&file, 0, 0, 100).unwrap();
    copy(&app.join("README.md"), 0, &app.join("docs/two.md"), 2, 5)
        .0
        .unwrap();
    let expected = world.local_tree("app");
    world.flush_and_compare("app");
    let zero = libc::FALLOC_FL_ZERO_RANGE;
    allocated(&file, zero, 0, 2).unwrap();
    copy(&app.join("bin/tool"), 0, &app.join("new"), 10, 5)
        .0
        .unwrap();
    let after = world.local_tree("app");
    assert!(expected.difference(&after).is_some());
    drop(file);
    world.kill_daemon_hard();
    world.mount();
    world
        .flush_and_compare("app")
        .assert_equals(&after, "after (left) and before kill -9");
}
