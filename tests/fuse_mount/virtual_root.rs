//! The directories above the repositories.

use std::io::Write;

use super::*;

#[test]
fn organizations_and_repositories_are_directories() {
    let fixture = Fixture::new();
    assert_eq!(names(&fixture.path("")), set(&[".mesa", "acme", "local"]));
    assert_eq!(names(&fixture.path("acme")), set(&["one", "two"]));
    assert_eq!(names(&fixture.path("local")), set(&[]));
    assert_eq!(
        fixture.repositories.opens.load(Ordering::SeqCst),
        0,
        "listing opens nothing"
    );
    let root = fs::metadata(fixture.path("")).unwrap();
    let acme = fs::metadata(fixture.path("acme")).unwrap();
    assert_eq!(root.ino(), 1);
    assert_eq!((acme.mode(), acme.nlink()), (0o40755, 1));
    assert_eq!(
        acme.ino(),
        fs::metadata(fixture.path("acme/../acme/.")).unwrap().ino()
    );
    assert_eq!(
        kind_mounted_at(fixture.folder.path()).as_deref(),
        Some("fuse.mesa")
    );
}

#[test]
fn long_listings_resume_where_they_stopped() {
    // `ls -l` reads by readdirplus, and looks up what it got.
    let fixture = Fixture::new();
    let listed = Command::new("ls")
        .arg("-lai")
        .arg(fixture.path(""))
        .output()
        .unwrap();
    assert!(listed.status.success());
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 6);
}

#[test]
fn the_virtual_directories_are_read_only() {
    let fixture = Fixture::new();
    assert_eq!(errno(fs::create_dir(fixture.path("new"))), libc::EROFS);
    assert_eq!(errno(fs::create_dir(fixture.path("acme/new"))), libc::EROFS);
    assert_eq!(
        errno(fs::write(fixture.path("acme/file"), b"x")),
        libc::EROFS
    );
    assert_eq!(errno(fs::remove_dir(fixture.path("acme"))), libc::EROFS);
    let renamed = fs::rename(fixture.path("acme"), fixture.path("acne"));
    assert_eq!(errno(renamed), libc::EROFS);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    assert_eq!(
        errno(fs::set_permissions(fixture.path("acme"), mode)),
        libc::EROFS
    );
}

#[test]
fn what_is_not_there_and_what_cannot_be_opened_say_so() {
    let fixture = Fixture::new();
    assert_eq!(errno(fs::metadata(fixture.path("nobody"))), libc::ENOENT);
    assert_eq!(
        errno(fs::metadata(fixture.path("acme/nothing"))),
        libc::ENOENT
    );
    assert_eq!(
        errno(fs::metadata(fixture.path("acme/one"))),
        libc::EKEYEXPIRED
    );
    let long = "x".repeat(300);
    assert_eq!(
        errno(fs::metadata(fixture.path("acme").join(long))),
        libc::ENAMETOOLONG
    );
    let opens = || fixture.repositories.opens.load(Ordering::SeqCst);
    let before = opens();
    assert_eq!(
        errno(fs::metadata(fixture.path("acme/nothing"))),
        libc::ENOENT
    );
    assert!(opens() <= before + 1);
    assert!(fixture.mounted.counters().of(RequestKind::Virtual) > 0);
    assert_eq!(fixture.mounted.counters().of(RequestKind::Lookup), 0);
}

#[test]
fn a_panic_is_answered_eio_and_the_mount_lives() {
    let fixture = Fixture::new();
    fixture.repositories.panics.store(4, Ordering::SeqCst);
    for number in 0..4 {
        let path = fixture.path(&format!("name-{number}"));
        assert_eq!(errno(fs::metadata(path)), libc::EIO);
    }
    assert_eq!(names(&fixture.path("")), set(&[".mesa", "acme", "local"]));
}

#[test]
fn reports_are_files_that_can_only_be_read() {
    let fixture = Fixture::new();
    let folder = fixture.path(".mesa");
    let reports = ["README", "errors.ndjson", "journal.ndjson", "status.json"];
    assert_eq!(names(&folder), set(&reports));
    assert_eq!(errno(fs::metadata(folder.join("nothing"))), libc::ENOENT);
    for name in reports {
        let path = folder.join(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), name);
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode(), found.len()), (0o100_644, name.len() as u64));
        assert_eq!(errno(fs::write(&path, "x")), libc::EROFS);
        let opened = fs::OpenOptions::new().append(true).open(&path);
        let written = opened.and_then(|mut file| file.write(b"x"));
        assert_eq!(errno(written), libc::EROFS);
        assert_eq!(errno(fs::remove_file(&path)), libc::EROFS);
        assert_eq!(errno(fs::rename(&path, folder.join("other"))), libc::EROFS);
        assert_eq!(errno(fs::read_dir(&path).map(drop)), libc::ENOTDIR);
    }
    assert_eq!(errno(fs::write(folder.join("new"), "x")), libc::EROFS);
    assert_eq!(errno(fs::create_dir(folder.join("new"))), libc::EROFS);
    assert_eq!(errno(fs::remove_dir(&folder)), libc::EROFS);
    // As `ls -la` asks: entries with their attributes.
    let listed = Command::new("ls").arg("-la").arg(&folder).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    // The kernel waits for no answer to the release of a directory, so `ls` may be gone before it.
    let begun = std::time::Instant::now();
    while fixture.mounted.counters().in_flight() != 0 {
        let waited = begun.elapsed();
        assert!(
            waited < std::time::Duration::from_secs(10),
            "a request that does not end"
        );
        std::thread::yield_now();
    }
}

#[test]
fn reports_can_be_mapped_and_read_by_parts() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;
    let fixture = Fixture::new();
    let file = fs::File::open(fixture.path(".mesa/status.json")).unwrap();
    let mut part = [0; 4];
    assert_eq!(file.read_at(&mut part, 7).unwrap(), 4);
    assert_eq!(&part, b"json");
    assert_eq!(file.read_at(&mut part, 11).unwrap(), 0);
    // SAFETY: a private mapping of a file of 11 bytes, of which no more are looked at.
    let mapped = unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            11,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(address, libc::MAP_FAILED);
        std::slice::from_raw_parts(address.cast::<u8>(), 11).to_vec()
    };
    assert_eq!(mapped, b"status.json");
}
