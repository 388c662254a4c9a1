//! Large directories, read while they change; names of every length and of any bytes; paths of every
//! length.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::pair::{Pair, outcome};
use crate::support::fixture;
use crate::support::git::{git, git_text};
use crate::support::world::World;

const ENTRIES: usize = 100_000;

/// A repository with one directory of so many entries, made without writing them out.
fn wide(folder: &Path) -> PathBuf {
    let root = fixture::small(folder);
    let blob = git_text(&root, &["rev-parse", "HEAD:README.md"]);
    let mut script = String::new();
    for number in 0..ENTRIES {
        script.push_str(&format!("100644 {blob}\twide/entry-{number:06}\n"));
    }
    let list = folder.join("list");
    fs::write(&list, script).unwrap();
    let mut update = git(&root);
    update.args(["update-index", "--index-info"]);
    update.stdin(Stdio::from(fs::File::open(&list).unwrap()));
    assert!(update.status().unwrap().success());
    git_text(&root, &["commit", "--quiet", "-m", "wide"]);
    root
}

#[test]
fn a_directory_of_100_000_entries_is_read_while_it_changes() {
    let source = tempfile::tempdir().unwrap();
    let world = World::with("app", &wide(source.path()));
    let folder = world.repo("app").join("wide");
    let name = |number: usize| format!("entry-{number:06}");
    let mut directory = Dir::open(&folder, OFlag::O_RDONLY, Mode::empty()).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut changes = 0;
    for (position, entry) in directory.iter().enumerate() {
        let entry = entry.unwrap();
        let entry = entry.file_name().to_str().unwrap().to_owned();
        *seen.entry(entry).or_default() += 1;
        // One goes, one comes, one changes its name: of those that may or may not be seen.
        if position % 500 == 250 {
            fs::remove_file(folder.join(name(changes * 7))).unwrap();
            fs::write(folder.join(format!("new-{changes}")), b"").unwrap();
            let moved = folder.join(format!("moved-{changes}"));
            fs::rename(folder.join(name(changes * 7 + 1)), moved).unwrap();
            changes += 1;
        }
    }
    assert!(changes >= ENTRIES / 500, "{changes} changes");
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "seen twice: {twice:?}");
    let touched = |number: usize| number < changes * 7 && number % 7 < 2;
    let missed: Vec<usize> = (0..ENTRIES)
        .filter(|number| !touched(*number) && !seen.contains_key(&name(*number)))
        .collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
    // What is there now, from the start, and once more from a position in the middle.
    let all = fs::read_dir(&folder).unwrap().count();
    assert_eq!(all, ENTRIES);
    assert_eq!(resumed(&folder), ENTRIES + 2);
}

/// Reads half of a directory, remembers where, reads on, goes back there and reads on again: the same
/// must come. Gives the number of all entries, `.` and `..` among them.
fn resumed(folder: &Path) -> usize {
    let directory = Dir::open(folder, OFlag::O_RDONLY, Mode::empty()).unwrap();
    let descriptor = directory.as_raw_fd();
    let mut buffer = vec![0_u8; 1 << 16];
    let mut next = || -> Vec<Vec<u8>> {
        // SAFETY: the buffer is as long as said.
        let count = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                descriptor,
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        let mut rest = &buffer[..usize::try_from(count).unwrap()];
        let mut names = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..length].split(|byte| *byte == 0).next().unwrap();
            names.push(name.to_vec());
            rest = &rest[length..];
        }
        names
    };
    let mut first = Vec::new();
    while first.len() < ENTRIES / 2 {
        first.extend(next());
    }
    // SAFETY: a number alone.
    let here = unsafe { libc::lseek(descriptor, 0, libc::SEEK_CUR) };
    let mut rest = || {
        let mut all = Vec::new();
        loop {
            let some = next();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    };
    let second = rest();
    // SAFETY: numbers alone.
    let back = unsafe { libc::lseek(descriptor, here, libc::SEEK_SET) };
    assert_eq!(back, here);
    assert!(rest() == second, "another rest from the same position");
    let both: BTreeSet<&Vec<u8>> = first.iter().chain(&second).collect();
    assert_eq!(both.len(), first.len() + second.len());
    both.len()
}

#[test]
fn names_and_paths_end_where_they_do_elsewhere() {
    let pair = Pair::new();
    pair.same("names", |root| {
        let longest = "n".repeat(255);
        let longer = "n".repeat(256);
        let at = |name: &str| root.join(name);
        [
            outcome(fs::write(at(&longest), b"")),
            outcome(fs::write(at(&longer), b"")),
            outcome(fs::create_dir(at(&longer))),
            outcome(symlink("x", at(&longer))),
            outcome(fs::hard_link(at("README.md"), at(&longer))),
            outcome(fs::rename(at("README.md"), at(&longer))),
            outcome(fs::rename(at(&longer), at("README.md"))),
            outcome(fs::remove_file(at(&longer))),
            outcome(fs::metadata(at(&longer)).map(drop)),
            outcome(fs::remove_file(at(&longest))),
            outcome(symlink("t".repeat(4095), at("far"))),
            outcome(symlink("t".repeat(4096), at("farther"))),
            outcome(symlink("", at("nowhere"))),
            outcome(fs::metadata(at("far")).map(drop)),
        ]
    });
    pair.same("loops", |root| {
        symlink("loop-b", root.join("loop-a")).unwrap();
        symlink("loop-a", root.join("loop-b")).unwrap();
        [
            outcome(fs::metadata(root.join("loop-a")).map(drop)),
            outcome(fs::write(root.join("loop-a"), b"")),
            outcome(fs::metadata(root.join("loop-a/x")).map(drop)),
            outcome(fs::metadata(root.join("README.md/x")).map(drop)),
            outcome(fs::rename(root.join("src"), root.join("src/deep/in"))),
            outcome(fs::remove_dir(root.join("src"))),
            outcome(fs::remove_dir(root.join("README.md"))),
            outcome(crate::support::syscall::unlink(&root.join("src"))),
        ]
    });
}

#[test]
fn a_path_in_the_repository_has_4096_bytes() {
    let world = World::small();
    let app = world.repo("app");
    std::env::set_current_dir(&app).unwrap();
    let component = "d".repeat(200);
    let mut made = 0;
    // Step by step: no call names more than one of them.
    let refused = loop {
        match fs::create_dir(&component) {
            Ok(()) => {
                std::env::set_current_dir(&component).unwrap();
                made += 1;
            }
            Err(error) => break error.raw_os_error(),
        }
        assert!(made < 30);
    };
    std::env::set_current_dir("/").unwrap();
    assert_eq!(refused, Some(libc::ENAMETOOLONG));
    assert_eq!(made, 4096 / 201);
    world.flush_and_compare("app");
}

#[test]
fn names_that_are_no_text_are_kept_and_listed() {
    let mut world = World::small();
    let app = world.repo("app");
    let name = OsStr::from_bytes(b"caf\xe9");
    fs::write(app.join(name), "latin\n").unwrap();
    fs::write(app.join("CASE"), "upper\n").unwrap();
    fs::write(app.join("case"), "lower\n").unwrap();
    world.kill_daemon_hard();
    world.mount();
    world.flush();
    assert_eq!(fs::read(app.join(name)).unwrap(), b"latin\n");
    assert_eq!(fs::read(app.join("CASE")).unwrap(), b"upper\n");
    let names = fs::read_dir(&app)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.collect();
    assert!(names.contains(name));
    let remote = world.remote_tree("app");
    assert!(remote.0.contains_key(Path::new("case")) && remote.0.contains_key(Path::new("CASE")));
    let is_there = remote.0.contains_key(Path::new(name));
    let status = world.repo_status("app").to_string();
    assert!(
        is_there || status.contains("caf"),
        "neither pushed nor listed: {status}"
    );
}
