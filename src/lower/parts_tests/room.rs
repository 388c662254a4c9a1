//! What becomes of chunks when there is no room, and at the end.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use super::super::chunks::CHUNK_BYTES;
use super::super::*;
use super::{Ranged, lower_over, read};

fn chunk_files(folder: &Path) -> u64 {
    partials::files(folder).unwrap().len() as u64
}

#[test]
fn chunks_count_for_the_limit_and_go_first_once_they_are_idle() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        disk_bytes_max: Some(64 << 20),
        ..Limits::default()
    };
    let source = Arc::new(Ranged::new(40 * CHUNK_BYTES));
    let lower = lower_over(folder.path(), &source, limits);
    lower.store().enforce().unwrap();
    let want = source.want();
    let before = lower.store().figures().0.unwrap();
    let held = |folder: &Path| held(folder).unwrap().bytes;
    let before_on_disk = held(folder.path());
    read(&lower, &want, 0..10).unwrap();
    read(&lower, &want, 30 * CHUNK_BYTES..30 * CHUNK_BYTES + 10).unwrap();
    let used = lower.store().figures().0.unwrap();
    assert_eq!(used - before, 2 * CHUNK_BYTES);
    let on_disk = held(folder.path());
    assert!((2 * CHUNK_BYTES..3 * CHUNK_BYTES).contains(&(on_disk - before_on_disk)));
    // Used a moment ago: nothing else is there to go, so it goes.
    let evicted = collect(folder.path(), Some(0)).unwrap();
    assert!(evicted.bytes >= 2 * CHUNK_BYTES, "{evicted:?}");
    assert_eq!(chunk_files(folder.path()), 0);
    // Whoever reads finds out, and gets no zeros.
    assert_eq!(read(&lower, &want, 0..10).unwrap(), source.bytes[..10]);
    assert_eq!(source.asked()[0], 2);
    assert_eq!(chunk_files(folder.path()), 1);
    // Beside an object that is older it stays, and goes before it when it is idle.
    let whole = Arc::new(Ranged::new(1_000));
    let other = lower_over(folder.path(), &whole, Limits::default());
    read(&other, &whole.want(), 0..1).unwrap();
    let down_to = held(folder.path()) - 1;
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    for (path, _) in partials::files(folder.path()).unwrap() {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(hour_ago).unwrap();
    }
    let evicted = collect(folder.path(), Some(down_to)).unwrap();
    assert_eq!((evicted.objects, chunk_files(folder.path())), (0, 0));
    // Read again, it is in use, and so the object goes.
    read(&lower, &want, 0..10).unwrap();
    drop(other);
    let down_to = held(folder.path()) - 1;
    let evicted = collect(folder.path(), Some(down_to)).unwrap();
    assert_eq!((evicted.objects, chunk_files(folder.path())), (1, 1));
}

#[test]
fn an_eviction_in_the_middle_costs_chunks_and_no_wrong_byte() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Ranged::new(60 * CHUNK_BYTES));
    let lower = lower_over(folder.path(), &source, Limits::default());
    let (want, size) = (source.want(), source.bytes.len() as u64);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                collect(folder.path(), Some(0)).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let check = || {
            for start in (0..size).step_by(50_000) {
                let got = read(&lower, &want, start..start + 50_000).unwrap();
                let end = source.bytes.len().min(start as usize + 50_000);
                assert!(got == source.bytes[start as usize..end], "{start}");
            }
        };
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        is_over.store(true, Ordering::Relaxed);
        checked.unwrap();
    });
}

#[test]
fn nothing_of_it_outlives_the_process_but_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Ranged::new(40 * CHUNK_BYTES));
    for _ in 0..2 {
        let lower = lower_over(folder.path(), &source, Limits::default());
        read(&lower, &source.want(), 0..10).unwrap();
        assert_eq!(chunk_files(folder.path()), 1);
    }
    assert_eq!(source.asked()[0], 2);
    assert_eq!(chunk_files(folder.path()), 0);
}

#[test]
fn a_full_disk_serves_chunks_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let size = Some("size=1m");
    let flags = nix::mount::MsFlags::empty();
    if nix::mount::mount(Some("tmpfs"), folder.path(), Some("tmpfs"), flags, size).is_err() {
        eprintln!("skipped: a small disk needs root");
        return;
    }
    let served = std::panic::catch_unwind(|| {
        let source = Arc::new(Ranged::new(80 * CHUNK_BYTES));
        let lower = lower_over(folder.path(), &source, Limits::default());
        let want = source.want();
        for _ in 0..2 {
            for start in (0..source.bytes.len() as u64).step_by(1 << 20) {
                let got = read(&lower, &want, start..start + (1 << 20)).unwrap();
                assert!(got == source.bytes[start as usize..start as usize + (1 << 20)]);
            }
        }
        assert!(!lower.is_here(&want));
    });
    nix::mount::umount2(folder.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    served.unwrap();
}
