//! Records that the kernel wrote to the disk by itself, and copies of lower files that it did not: then
//! the plug is pulled. Whoever opens the repository next must not take half a copy for an edit.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::support::disk::{Disk, Format};
use crate::support::fixture;
use crate::support::git::commit_all;
use crate::support::process::run;
use crate::support::tree::files_on_shelves;
use crate::support::world::World;

/// From what fits into a page to what the daemon does not copy in memory.
const LOWER_BYTES: [usize; 5] = [1, 1_000, 4_096, 50_000, 300_000];

#[test]
fn a_copy_that_the_disk_does_not_have_is_no_edit_on_ext4() {
    copies_are_whole_or_undone(Format::Ext4, 96 << 20);
}

#[test]
fn a_copy_that_the_disk_does_not_have_is_no_edit_on_xfs() {
    copies_are_whole_or_undone(Format::Xfs, 320 << 20);
}

fn copies_are_whole_or_undone(format: Format, bytes: u64) {
    let source = tempfile::tempdir().unwrap();
    let root = fixture::small(source.path());
    for bytes in LOWER_BYTES {
        for kind in ["synced", "cut", "unsynced"] {
            fs::write(root.join(format!("{kind}-{bytes}")), lower(bytes)).unwrap();
        }
    }
    commit_all(&root, "lower");
    let mut world = World::serve(&[("app", &root)]);
    // Nothing becomes durable by itself in time.
    world.set("MESA_COMMIT_INTERVAL", "10m");
    let Some(disk) = Disk::make(format, &world.data(), bytes) else {
        return;
    };
    world.mount();
    world.local_tree("app");
    run(&mut world.mesa(&["journal", "hold"])).success();
    let app = world.repo("app");
    for bytes in LOWER_BYTES {
        append(&app.join(format!("synced-{bytes}")))
            .sync_all()
            .unwrap();
        // Shorter than the copy, and durable: no copy that was lost.
        let file = append(&app.join(format!("cut-{bytes}")));
        file.set_len(0).unwrap();
        file.write_all_at(b"cut", 0).unwrap();
        file.sync_all().unwrap();
    }
    for bytes in LOWER_BYTES {
        drop(append(&app.join(format!("unsynced-{bytes}"))));
    }
    write_back_the_journal(&world.data().join("repos/local/app/journal"));
    disk.cut();
    world.kill_daemon_hard();
    disk.unmount();
    disk.mount();
    let bodies = world.data().join("repos/local/app/bodies");
    let sizes = || {
        let bodies = files_on_shelves(&bodies).into_iter();
        bodies.map(|body| body.metadata().unwrap().len())
    };
    let lost = sizes().filter(|size| *size == 0).count();
    let all = sizes().count();
    world.mount();
    for bytes in LOWER_BYTES {
        let read = |kind: &str| fs::read(app.join(format!("{kind}-{bytes}"))).unwrap();
        assert!(read("synced") == appended(bytes), "{bytes}");
        assert_eq!(read("cut"), b"cut", "{bytes}");
        assert!(
            read("unsynced") == lower(bytes),
            "{bytes}: {:?}",
            read("unsynced").len()
        );
    }
    println!("{format:?}: {all} bodies, {lost} of them empty");
    assert!(
        all < 3 * LOWER_BYTES.len() || lost > 0,
        "the disk had every copy: nothing was tried"
    );
    run(&mut world.mesa(&["journal", "release"])).success();
    world.flush_and_compare("app");
}

fn lower(bytes: usize) -> Vec<u8> {
    fixture::noise("lower", bytes)
}

fn appended(bytes: usize) -> Vec<u8> {
    [&lower(bytes)[..], b"appended"].concat()
}

fn append(path: &Path) -> File {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"appended").unwrap();
    OpenOptions::new().write(true).open(path).unwrap()
}

/// What the kernel may do whenever it likes.
fn write_back_the_journal(folder: &Path) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            File::open(path).unwrap().sync_data().unwrap();
        }
    }
}
