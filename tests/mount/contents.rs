//! Bytes and attributes: write, truncate, append, map, sync, permissions, times, unlinked files.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use crate::support::fixture::noise;
use crate::support::process::run;
use crate::support::syscall::{Map, hard_link, open_with, set_times, unlink};
use crate::support::world::World;

#[test]
fn writes_land_where_they_were_aimed() {
    let world = World::small();
    let app = world.repo("app");
    let path = app.join("docs/one.md");
    let file = open_with(&path, 0).unwrap();
    // Into the repository's file, over its end, and beyond a hole.
    file.write_all_at(b"ONE and more", 0).unwrap();
    file.write_all_at(b"far", 100_000).unwrap();
    let mut expected = b"ONE and more".to_vec();
    expected.resize(100_000, 0);
    expected.extend(b"far");
    assert_eq!(fs::read(&path).unwrap(), expected);
    assert_eq!(file.metadata().unwrap().len(), 100_003);
    let mut beyond = [0; 10];
    assert_eq!(file.read_at(&mut beyond, 100_003).unwrap(), 0);
    assert_eq!(file.read_at(&mut beyond, 100_001).unwrap(), 2);
    // Large, in pieces that fit no request.
    let bytes = noise("pieces", 5_000_003);
    let large = open_with(&app.join("large"), libc::O_CREAT).unwrap();
    for (index, piece) in bytes.chunks(70_001).enumerate() {
        large.write_all_at(piece, (index * 70_001) as u64).unwrap();
    }
    assert_eq!(fs::read(app.join("large")).unwrap(), bytes);
    world.flush_and_compare("app");
}

#[test]
fn truncating_cuts_and_fills_with_zeros() {
    let world = World::small();
    let app = world.repo("app");
    let file = open_with(&app.join("README.md"), 0).unwrap();
    let before = fs::read(app.join("README.md")).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(fs::read(app.join("README.md")).unwrap(), before[..4]);
    file.set_len(10_000).unwrap();
    let mut expected = before[..4].to_vec();
    expected.resize(10_000, 0);
    assert_eq!(fs::read(app.join("README.md")).unwrap(), expected);
    // Cut by path, to nothing, and grown from nothing.
    let other = open_with(&app.join("docs/two.md"), libc::O_TRUNC).unwrap();
    assert_eq!(other.metadata().unwrap().len(), 0);
    let empty = open_with(&app.join("empty"), 0).unwrap();
    empty.set_len(3).unwrap();
    assert_eq!(fs::read(app.join("empty")).unwrap(), [0; 3]);
    world.flush_and_compare("app");
}

#[test]
fn permissions_and_times_are_kept() {
    let mut world = World::small();
    let app = world.repo("app");
    let mode = |path: &str| fs::metadata(app.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("bin/tool") & 0o111, 0o111);
    assert_eq!(mode("README.md") & 0o111, 0);
    fs::set_permissions(app.join("README.md"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(app.join("bin/tool"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(app.join("src"), Permissions::from_mode(0o700)).unwrap();
    let (accessed, modified) = (1_234_567_890_123_456_789, 987_654_321_012_345_678);
    for path in ["README.md", "src/main.rs", "src", "src/link"] {
        set_times(&app.join(path), accessed, modified).unwrap();
    }
    let check = || {
        assert_eq!(mode("README.md"), 0o755);
        assert_eq!(mode("bin/tool"), 0o600);
        assert_eq!(mode("src"), 0o700);
        for path in ["README.md", "src/main.rs", "src", "src/link"] {
            let metadata = fs::symlink_metadata(app.join(path)).unwrap();
            let nanoseconds = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
            assert_eq!(nanoseconds, modified, "{path}");
        }
    };
    check();
    world.kill_daemon_hard();
    world.mount();
    check();
    world.flush_and_compare("app");
    check();
}

#[test]
fn writing_changes_the_time_and_reading_does_not() {
    let world = World::small();
    let path = world.repo("app").join("docs/one.md");
    set_times(&path, 1_000_000_000, 1_000_000_000).unwrap();
    fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mtime(), 1);
    let changed = fs::metadata(&path).unwrap().ctime();
    fs::write(&path, "written").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert!(after.mtime() > 1_000_000 && after.ctime() >= changed);
    assert_eq!(after.len(), 7);
}

#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let mut world = World::small();
    let app = world.repo("app");
    for path in ["docs/one.md", "own"] {
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(app.join(path))
            .unwrap();
        let mut file = open_with(&app.join(path), 0).unwrap();
        let before = file.metadata().unwrap().len();
        unlink(&app.join(path)).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0, "{path}");
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"still here").unwrap();
        assert_eq!(file.metadata().unwrap().len(), before + 10);
        // The name is free, and another file is another file.
        fs::write(app.join(path), "another").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("still here"), "{path}: {text:?}");
        file.set_len(0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(fs::read(app.join(path)).unwrap(), b"another");
    }
    // One that is open while the daemon is killed does not come back.
    let orphan = open_with(&app.join("orphan"), libc::O_CREAT).unwrap();
    unlink(&app.join("orphan")).unwrap();
    world.kill_daemon_hard();
    drop(orphan);
    world.mount();
    assert!(!app.join("orphan").exists());
    world.flush_and_compare("app");
}

#[test]
fn maps_and_reads_see_the_same_bytes() {
    let world = World::small();
    let app = world.repo("app");
    let bytes = 1 << 20;
    let file = open_with(&app.join("mapped"), libc::O_CREAT).unwrap();
    file.set_len(bytes).unwrap();
    let mut map = Map::of(&file, usize::try_from(bytes).unwrap());
    map.bytes().fill(b'm');
    map.bytes()[500_000..500_005].copy_from_slice(b"hello");
    map.sync();
    let read = fs::read(app.join("mapped")).unwrap();
    assert_eq!(&read[499_999..500_006], b"mhellom");
    file.write_all_at(b"written", 4096).unwrap();
    assert_eq!(&map.bytes()[4096..4103], b"written");
    drop(map);
    // A file of the repository, changed by map alone.
    let tool = open_with(&app.join("bin/tool"), 0).unwrap();
    let mut map = Map::of(&tool, 10);
    map.bytes()[..2].copy_from_slice(b"##");
    map.sync();
    drop(map);
    assert!(
        fs::read(app.join("bin/tool"))
            .unwrap()
            .starts_with(b"##/bin/sh")
    );
    world.flush_and_compare("app");
}

#[test]
fn two_processes_append_without_overwriting() {
    const LINES: usize = 200;
    let world = World::small();
    let log = world.repo("app").join("log");
    let writers = ["a", "b"].map(|letter| {
        let script = format!("for i in $(seq {LINES}); do echo {letter}$i; done >> \"$0\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&log);
        std::thread::spawn(move || run(&mut command).success())
    });
    for writer in writers {
        writer.join().unwrap();
    }
    let text = fs::read_to_string(&log).unwrap();
    for letter in ["a", "b"] {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(letter))
            .collect();
        let expected: Vec<String> = (1..=LINES)
            .map(|index| format!("{letter}{index}"))
            .collect();
        assert_eq!(lines, expected);
    }
    assert_eq!(text.lines().count(), 2 * LINES);
    world.flush_and_compare("app");
}

#[test]
fn syncing_works_on_files_and_directories() {
    let world = World::small();
    let app = world.repo("app");
    let mut file = File::create(app.join("synced")).unwrap();
    file.write_all(b"bytes").unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    File::open(app.join("src")).unwrap().sync_all().unwrap();
    File::open(app.join("README.md"))
        .unwrap()
        .sync_all()
        .unwrap();
    let mut direct = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut direct, libc::O_SYNC);
    let mut direct = direct.write(true).open(app.join("synced")).unwrap();
    direct.write_all(b"BYTES").unwrap();
    // SAFETY: no memory is involved.
    let synced = unsafe { libc::syncfs(file.as_raw_fd()) };
    assert_eq!(synced, 0);
    assert_eq!(fs::read(app.join("synced")).unwrap(), b"BYTES");
}

#[test]
fn a_stranger_who_writes_takes_privileges_away() {
    let world = World::small();
    let path = world.repo("app").join("suid");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o6775)).unwrap();
    let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o6775);
    // A change of owner clears both, even by root.
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o6000, 0);
    }
}

#[test]
fn hard_links_and_links_survive_a_kill() {
    let mut world = World::small();
    let app = world.repo("app");
    fs::write(app.join("first"), "shared").unwrap();
    hard_link(&app.join("first"), &app.join("second")).unwrap();
    symlink("first", app.join("pointer")).unwrap();
    world.kill_daemon_hard();
    world.mount();
    fs::write(app.join("second"), "after").unwrap();
    assert_eq!(fs::read(app.join("pointer")).unwrap(), b"after");
    let inodes = ["first", "second"].map(|name| fs::metadata(app.join(name)).unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    world.flush_and_compare("app");
}
