//! Maps of files beside reads and writes, and the space that the file system says it has.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::pair::{Pair, open};
use crate::support::syscall::{Map, space};
use crate::support::tree::files_on_shelves;
use crate::support::world::World;

const PAGE: usize = 4096;

/// A private, writable map: changes of it are nobody else's.
struct Private {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Private {
    fn of(file: &File, bytes: usize) -> Private {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new map over a file that is long enough; checked below.
        let start = unsafe {
            let nowhere = std::ptr::null_mut();
            libc::mmap(
                nowhere,
                bytes,
                access,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Private { start, bytes }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the map has this many bytes, lives as long as `self`, and is borrowed whole.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes) }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // SAFETY: the range is the map's own, and nobody borrows it any more.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

#[test]
fn maps_reads_and_writes_see_the_same_bytes() {
    let pair = Pair::new();
    for path in ["docs/one.md", "new"] {
        pair.same(path, |root| {
            let path = root.join(path);
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap();
            let file = open(&path);
            file.set_len(3 * PAGE as u64).unwrap();
            let mut map = Map::of(&file, 3 * PAGE);
            let mut other = Map::of(&open(&path), 3 * PAGE);
            let mut own = Private::of(&file, 3 * PAGE);
            let mut told = Vec::new();
            // A write is seen by every map that has not been written to.
            file.write_all_at(b"written", 10).unwrap();
            told.push(map.bytes()[10..17].to_vec());
            told.push(own.bytes()[10..17].to_vec());
            // What is put into a shared map is read, without a sync.
            map.bytes()[PAGE..PAGE + 6].copy_from_slice(b"mapped");
            told.push(other.bytes()[PAGE..PAGE + 6].to_vec());
            let mut read = [0; 6];
            file.read_exact_at(&mut read, PAGE as u64).unwrap();
            told.push(read.to_vec());
            // What is put into a private one is not.
            own.bytes()[..7].copy_from_slice(b"private");
            file.read_exact_at(&mut read, 0).unwrap();
            told.push(read.to_vec());
            file.write_all_at(b"shared", 0).unwrap();
            told.push(own.bytes()[..7].to_vec());
            map.sync();
            drop((map, other));
            told.push(fs::read(&path).unwrap());
            // Cut and grown again: what was there is zeros.
            file.set_len(4).unwrap();
            file.set_len(20).unwrap();
            told.push(fs::read(&path).unwrap());
            told
        });
    }
    pair.world.flush_and_compare("app");
}

#[test]
fn what_was_mapped_outlives_the_daemon_once_it_is_synced() {
    let mut world = World::small();
    let path = world.repo("app").join("README.md");
    let file = open(&path);
    let length = file.metadata().unwrap().len();
    let mut map = Map::of(&file, length as usize);
    map.bytes()[..6].copy_from_slice(b"MAPPED");
    map.sync();
    let expected = map.bytes().to_vec();
    drop((map, file));
    world.kill_daemon_hard();
    world.mount();
    assert_eq!(fs::read(&path).unwrap(), expected);
    world.flush_and_compare("app");
}

#[test]
fn the_space_is_that_of_the_disk_below() {
    let world = World::small();
    let app = world.repo("app");
    assert_eq!(fs::read(app.join("empty")).unwrap(), b"");
    let (here, below) = (space(&app), space(&world.data()));
    assert_eq!(here.f_namelen, 255);
    assert_eq!(here.f_bsize, below.f_bsize);
    assert_eq!(here.f_blocks, below.f_blocks);
    assert_eq!(here.f_files, below.f_files);
    // Others use the disk as well meanwhile.
    let near = |left: u64, right: u64| left.abs_diff(right) * here.f_bsize as u64 <= 4 << 30;
    assert!(
        near(here.f_bavail, below.f_bavail),
        "{} {}",
        here.f_bavail,
        below.f_bavail
    );
    assert!(here.f_ffree > 0 && here.f_bfree >= here.f_bavail);
}

#[test]
fn a_file_without_a_name_ends_with_its_last_user_or_with_the_daemon() {
    let mut world = World::small();
    let app = world.repo("app");
    let bodies = world.data().join("repos/local/app/bodies");
    let count = || files_on_shelves(&bodies).len();
    let write = |path: &Path| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        file.write_all_at(b"some bytes", 0).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        file.write_all_at(b"more", 10).unwrap();
        let mut read = [0; 14];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"some bytesmore");
        file
    };
    let (one, two) = (write(&app.join("README.md")), write(&app.join("new")));
    assert_eq!(count(), 2);
    drop((one, two));
    // The file's end, its removal's sync, and the sweep are all but immediate.
    let ended = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        count() == 0
    });
    assert!(ended, "{} bodies are left", count());
    let left = (write(&app.join("docs/one.md")), write(&app.join("newer")));
    world.kill_daemon_hard();
    drop(left);
    world.mount();
    assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"two\n");
    assert_eq!(count(), 0, "the next opening sweeps");
    world.flush_and_compare("app");
}
