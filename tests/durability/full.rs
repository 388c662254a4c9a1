//! Full disks: what does not fit is refused before it is acknowledged, what makes room always works,
//! nothing acknowledged is harmed, and all is well again once there is space.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use crate::support::disk::{Disk, Format};
use crate::support::fixture::noise;
use crate::support::git;
use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::syscall::{hard_link, refused, unlink};
use crate::support::world::World;

/// Files of the lower layer: their removals alone are more than a quarter of a megabyte of journal.
const LOWER_FILES: usize = 3_000;
/// Files of one folder.
const FOLDER_FILES: usize = 100;
/// What is written at a time.
const BLOCK_BYTES: usize = 64 << 10;
/// Letters of a name that makes a long record.
const LONG: usize = 200;
/// More operations than fit anywhere here.
const ATTEMPTS_MAX: usize = 50_000;
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_full_ext4_refuses_and_recovers() {
    fills_up(Format::Ext4);
}

#[test]
fn a_full_memory_disk_refuses_and_recovers() {
    fills_up(Format::Memory);
}

fn repository(folder: &Path, files: usize) -> PathBuf {
    let root = folder.join("lower");
    for index in 0..files {
        let path = lower_file(&root, index);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lower_bytes(index)).unwrap();
    }
    fs::write(root.join("README.md"), "read me\n").unwrap();
    git::initialise(&root);
    root
}

fn lower_file(root: &Path, index: usize) -> PathBuf {
    root.join(format!(
        "a-folder-with-a-long-name-{}/a-file-with-a-long-name-{index}.txt",
        index / FOLDER_FILES
    ))
}

fn lower_bytes(index: usize) -> Vec<u8> {
    format!("file {index}\n").repeat(40).into_bytes()
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSPC)
}

/// Does something until the disk is full; gives how often it could be done.
fn until_full(mut attempt: impl FnMut(usize) -> io::Result<()>) -> usize {
    for count in 0..ATTEMPTS_MAX {
        if let Err(error) = attempt(count) {
            assert!(is_full(&error), "{error}");
            return count;
        }
    }
    panic!("a disk without end");
}

/// Takes all the space that is left, from beside the mount.
fn fill(world: &World, disk: &Disk) {
    let mut ballast = OpenOptions::new()
        .create(true)
        .append(true)
        .open(ballast(world))
        .unwrap();
    for bytes in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
        until_full(|_| ballast.write_all(&vec![1; bytes]));
    }
    let _as_far_as_it_goes = ballast.sync_all();
    assert!(disk.available() < 64 << 10, "{} left", disk.available());
}

fn ballast(world: &World) -> PathBuf {
    world.data().join("ballast")
}

fn fills_up(format: Format) {
    let source = tempfile::tempdir().unwrap();
    let lower = repository(source.path(), LOWER_FILES);
    let mut world = World::serve(&[("app", &lower), ("other", &lower)]);
    let Some(disk) = Disk::make(format, &world.data(), 64 << 20) else {
        return;
    };
    world.mount();
    let app = world.repo("app");
    assert_eq!(
        fs::read_dir(&app).unwrap().count(),
        1 + LOWER_FILES / FOLDER_FILES
    );
    fs::create_dir(app.join("local")).unwrap();
    write_until_full(&world, &disk, &app);
    refuses(&app);
    refused(fs::metadata(world.repo("other")), libc::ENOSPC);

    // What was never read is served all the same.
    for index in (0..LOWER_FILES).step_by(LOWER_FILES / 20) {
        let bytes = fs::read(lower_file(&app, index)).unwrap();
        assert_eq!(bytes, lower_bytes(index));
    }
    world.stop_server();
    unlink(&app.join(format!("local/{}-0", "n".repeat(LONG)))).unwrap();
    let local = world.local_tree("app/local");
    world.kill_daemon_hard();
    fill(&world, &disk);
    world.mount();
    assert!(world.pending("app") > 0);
    let mounted = world.local_tree("app/local");
    mounted.assert_equals(&local, "after and before a kill on a full disk");

    // Pushing needs no space that is not there.
    world.start_server();
    world.flush_and_compare("app");
    makes_room(&world, &disk, &app);
    world.flush_and_compare("app");
    fs::metadata(world.repo("other").join("README.md")).unwrap();
    world.unmount("30s").success();
}

/// Writes through the mount until nothing fits any more, with the rest of the disk taken.
fn write_until_full(world: &World, disk: &Disk, app: &Path) {
    let mut file = None;
    let block = |at: usize| noise(&format!("block {at}"), BLOCK_BYTES);
    let blocks = until_full(|at| {
        if at.is_multiple_of(16) {
            file = Some(File::create_new(app.join(format!("local/large-{at}")))?);
        }
        let offset = (at % 16 * BLOCK_BYTES) as u64;
        file.as_ref().unwrap().write_all_at(&block(at), offset)
    });
    assert!(blocks > 100, "{blocks} blocks of {BLOCK_BYTES} bytes");
    // Of the one that did not fit, a part may be there: it was not acknowledged.
    let last = file.unwrap();
    last.set_len((blocks % 16 * BLOCK_BYTES) as u64).unwrap();
    fill(world, disk);
    let long = "n".repeat(LONG);
    let mut made = 0;
    for name in [&long[..], "short", ""] {
        made += until_full(|at| File::create_new(app.join(format!("local/{name}-{at}"))).map(drop));
    }
    for at in 0..blocks {
        let name = format!("local/large-{}", at / 16 * 16);
        let mut bytes = vec![0; BLOCK_BYTES];
        let file = File::open(app.join(name)).unwrap();
        file.read_exact_at(&mut bytes, (at % 16 * BLOCK_BYTES) as u64)
            .unwrap();
        assert!(bytes == block(at), "block {at}");
    }
    println!("{blocks} blocks and {made} names until the disk was full");
}

/// Everything that would need space is refused, and nothing of it is there.
fn refuses(app: &Path) {
    let before = fs::read_dir(app).unwrap().count();
    let readme = app.join("README.md");
    refused(fs::create_dir(app.join("folder")), libc::ENOSPC);
    refused(symlink("target", app.join("link")), libc::ENOSPC);
    refused(hard_link(&readme, &app.join("hard")), libc::ENOSPC);
    refused(fs::rename(&readme, app.join("moved")), libc::ENOSPC);
    let lower = lower_file(app, 7);
    refused(
        fs::set_permissions(&lower, Permissions::from_mode(0o755)),
        libc::ENOSPC,
    );
    refused(
        OpenOptions::new()
            .append(true)
            .open(&lower)
            .and_then(|mut file| file.write_all(b"more")),
        libc::ENOSPC,
    );
    let large = app.join("local/large-0");
    let grown = OpenOptions::new().append(true).open(large);
    refused(
        grown.and_then(|mut file| file.write_all(&noise("more", 1 << 20))),
        libc::ENOSPC,
    );
    let large = File::options().write(true).open(app.join("local/large-0"));
    let large = large.unwrap();
    let size = large.metadata().unwrap().len();
    let reserved = fallocate(&large, FallocateFlags::empty(), 0, 64 << 20);
    refused(reserved.map_err(Into::into), libc::ENOSPC);
    let source = File::open(app.join("local/large-16")).unwrap();
    let copies = until_full(|at| {
        let (mut from, mut to) = (0, (size as usize + at * BLOCK_BYTES) as i64);
        copy_file_range(&source, Some(&mut from), &large, Some(&mut to), BLOCK_BYTES)?;
        Ok(())
    });
    assert!(copies < 4, "{copies} blocks were copied to a full disk");
    large.set_len(size).unwrap();
    assert_eq!(fs::read_dir(app).unwrap().count(), before);
    assert_eq!(fs::read(lower).unwrap(), lower_bytes(7));
}

/// Deleting and cutting work on the full disk, and what they free can be used.
fn makes_room(world: &World, disk: &Disk, app: &Path) {
    fill(world, disk);
    // Of the lower layer: nothing is freed by it, and every removal has to be recorded.
    for folder in 0..LOWER_FILES / FOLDER_FILES {
        let first = lower_file(app, folder * FOLDER_FILES);
        fs::remove_dir_all(first.parent().unwrap()).unwrap();
    }
    assert_eq!(fs::read_dir(app).unwrap().count(), 2);
    let cut = OpenOptions::new().write(true).open(app.join("README.md"));
    cut.unwrap().set_len(0).unwrap();
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(app.join("local/large-16"))
        .unwrap();
    let emptied = File::options().write(true).open(app.join("local/large-32"));
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(emptied.unwrap(), punch, 0, BLOCK_BYTES as i64).unwrap();
    let emptied = fs::read(app.join("local/large-32")).unwrap();
    assert!(emptied[..BLOCK_BYTES].iter().all(|byte| *byte == 0));
    // What was just removed makes room for what is written next, once the reserve is whole again.
    for at in 2..8 {
        unlink(&app.join(format!("local/large-{}", at * 16))).unwrap();
    }
    let again = noise("again", 1 << 20);
    fs::write(app.join("local/again"), &again).unwrap();
    assert_eq!(fs::read(app.join("local/again")).unwrap(), again);

    // Space from elsewhere is used without a remount.
    fill(world, disk);
    until_full(|at| {
        let mut file = OpenOptions::new();
        file.append(true)
            .create(true)
            .open(app.join("local/more"))?
            .write_all(&noise(&at.to_string(), BLOCK_BYTES))
    });
    fs::remove_file(ballast(world)).unwrap();
    fs::create_dir(app.join("made")).unwrap();
    fs::write(app.join("made/file"), &again).unwrap();
    fs::remove_dir_all(app.join("local")).unwrap();
    wait_until("space", DEADLINE, || disk.available() > 40 << 20);
}

#[test]
fn a_mount_with_too_little_space_is_refused_with_the_figure() {
    let source = tempfile::tempdir().unwrap();
    let lower = repository(source.path(), 1);
    let mut world = World::serve(&[("app", &lower)]);
    let Some(disk) = Disk::make(Format::Memory, &world.data(), 8 << 20) else {
        return;
    };
    for arguments in [&["mount", "--daemonize"][..], &["mount"]] {
        let errors = run(&mut world.mesa(arguments)).expect(1).errors();
        let data = world.data().display().to_string();
        for said in [&data, "8.0 MiB of space", "needs 32.0 MiB", "hint: "] {
            assert!(errors.contains(said), "{said:?} is not in {errors}");
        }
        assert_eq!(
            fs::read_dir(world.data()).unwrap().count(),
            0,
            "nothing is made"
        );
    }
    disk.unmount();
    world.mount();
    world.flush();
}
