//! Files that the kernel is given before it asks for them, while somebody changes them.
//!
//! Not within a process that serves the mount: whoever waits for a page of a map holds his own memory's lock,
//! which withdrawing a file takes.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::copy_file_range;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::support::git;
use crate::support::process::run;
use crate::support::world::World;

const FILES: usize = 1_500;
const GIVEN: &str = "mesa_fuse_preloaded_total ";
const WITHDRAWN: &str = "mesa_fuse_preloads_withdrawn_total ";

fn content(path: &Path) -> Vec<u8> {
    let name = path.file_name().unwrap().to_str().unwrap();
    format!("content of {name}\n").into_bytes()
}

/// Files in the order in which their directory shows them.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap();
    listed.map(|entry| entry.unwrap().path()).collect()
}

/// The same mount with nothing in the kernel's memory; it ends with so much to push as its exit code tells.
fn mount_again(world: &mut World, code: i32) {
    world.unmount("0s").expect(code);
    world.mount();
}

/// `mesa umount` with something left that is held.
const LEFT: i32 = 4;

/// A mount at which everything was read, of which the kernel has nothing, and from which nothing is pushed.
fn known() -> World {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("app");
    fs::create_dir_all(root.join("many")).unwrap();
    for number in 0..FILES {
        let path = root.join(format!("many/file-{number}"));
        fs::write(&path, content(&path)).unwrap();
    }
    git::initialise(&root);
    let mut world = World::with("app", &root);
    let many = world.repo("app").join("many");
    for path in listed(&many) {
        assert_eq!(fs::read(&path).unwrap(), content(&path));
    }
    run(&mut world.mesa(&["journal", "hold"])).success();
    mount_again(&mut world, 0);
    world
}

/// Stores some bytes at the front of a file by a map.
fn store_by_map(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let size = std::num::NonZeroUsize::new(bytes.len()).unwrap();
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping of a file that is as long; it is written to within its length, and taken away.
    unsafe {
        let map = mmap(None, size, rights, MapFlags::MAP_SHARED, &file, 0).unwrap();
        map.cast::<u8>()
            .copy_from_nonoverlapping(std::ptr::NonNull::from(bytes).cast(), bytes.len());
        munmap(map, size.get()).unwrap();
    }
}

/// What a writer does to a file, and what it is then.
fn change(path: &Path, number: usize) -> Vec<u8> {
    let mut bytes = content(path);
    let file = || OpenOptions::new().write(true).open(path).unwrap();
    match number % 5 {
        0 => {
            file().write_all_at(b"C", 0).unwrap();
            bytes[0] = b'C';
        }
        1 => {
            store_by_map(path, b"mapped");
            bytes[..6].copy_from_slice(b"mapped");
        }
        2 => {
            file().set_len(4).unwrap();
            bytes.truncate(4);
            file().write_all_at(b"after a hole", 8).unwrap();
            bytes.extend_from_slice(b"\0\0\0\0after a hole");
        }
        3 => {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b" and more").unwrap();
            bytes.extend_from_slice(b" and more");
        }
        _ => {
            let (from, to) = (File::open(path).unwrap(), file());
            let copied = copy_file_range(&from, Some(&mut 0), &to, Some(&mut 9), 7);
            let copied = copied.unwrap();
            let head = bytes[..copied].to_vec();
            bytes.resize(bytes.len().max(9 + copied), 0);
            bytes[9..9 + copied].copy_from_slice(&head);
        }
    }
    bytes
}

/// Readers have files given to the kernel while writers change the same ones, in the same order: each finds what
/// it wrote at once, and so does who asks us for it.
#[test]
fn what_is_written_while_files_are_given_stays_written() {
    let mut world = known();
    let many = world.repo("app").join("many");
    let rounds = match std::env::var("MESA_STRESS_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().unwrap()),
        Err(_) => Duration::from_secs(6),
    };
    let end = Instant::now() + rounds;
    let mut changed: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let (mut round, mut given) = (0, 0);
    while round < 2 || (Instant::now() < end && changed.len() < FILES) {
        let files = listed(&many);
        // Others each time, some of them before their readers.
        let writes: Vec<_> = files
            .iter()
            .skip(3 + round % 4)
            .step_by(7 + round % 3)
            .collect();
        let writes: Vec<_> = writes
            .into_iter()
            .filter(|path| !changed.contains_key(*path))
            .collect();
        let written = std::thread::scope(|scope| {
            for from in [0, 40] {
                let (files, changed) = (&files, &changed);
                let writes: HashSet<_> = writes.iter().copied().collect();
                scope.spawn(move || {
                    for path in files.iter().skip(from) {
                        let found = fs::read(path).unwrap();
                        match changed.get(path) {
                            Some(bytes) => assert_eq!(found, *bytes),
                            None if !writes.contains(path) => assert_eq!(found, content(path)),
                            None => {}
                        }
                    }
                });
            }
            let halves = writes.chunks(writes.len().div_ceil(2).max(1));
            let writers = halves.map(|half| {
                scope.spawn(move || {
                    let written = half.iter().enumerate().map(|(number, path)| {
                        let bytes = change(path, number + round);
                        assert_eq!(fs::read(path).unwrap(), bytes, "{path:?} at once");
                        ((*path).clone(), bytes)
                    });
                    written.collect::<Vec<_>>()
                })
            });
            let writers: Vec<_> = writers.collect();
            let written = writers
                .into_iter()
                .flat_map(|writer| writer.join().unwrap());
            written.collect::<Vec<_>>()
        });
        changed.extend(written);
        for (path, bytes) in &changed {
            assert_eq!(fs::read(path).unwrap(), *bytes, "{path:?} in the kernel");
        }
        given += world.metric(GIVEN).unwrap();
        mount_again(&mut world, LEFT);
        for (path, bytes) in &changed {
            assert_eq!(fs::read(path).unwrap(), *bytes, "{path:?} with us");
        }
        mount_again(&mut world, LEFT);
        round += 1;
    }
    assert!(
        given > 0 && changed.len() > 100,
        "{given} given in {round} rounds"
    );
    println!(
        "{given} files were given and {} changed in {round} rounds",
        changed.len()
    );
}

/// Each file is met when it is about to be given, and whatever is done to it then stays.
#[test]
fn what_is_on_its_way_is_withdrawn_by_who_changes_it() {
    const WAIT: Duration = Duration::from_millis(100);
    let mut world = known();
    let many = world.repo("app").join("many");
    world.set("MESA_TEST_PRELOAD_WAIT_MS", &WAIT.as_millis().to_string());
    mount_again(&mut world, 0);
    let files = listed(&many);
    for path in &files[..3] {
        fs::read(path).unwrap();
    }
    let begun = Instant::now();
    // As `plan.rs` has it: the next ones are given from behind, one each time that they wait.
    let mut changed = Vec::new();
    for (number, path) in files[3..19].iter().rev().enumerate() {
        let due = WAIT * number as u32 + WAIT / 2;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        changed.push((path, change(path, number)));
    }
    std::thread::sleep(WAIT);
    for (path, bytes) in &changed {
        assert_eq!(fs::read(path).unwrap(), *bytes, "{path:?} in the kernel");
    }
    let withdrawn = world.metric(WITHDRAWN).unwrap();
    assert!(withdrawn >= 5, "{withdrawn} of 16 were met");
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush_and_compare("app");
}
