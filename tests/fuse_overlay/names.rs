//! Names: made, moved, listed and removed.

use super::*;

#[test]
fn a_cached_listing_is_dropped_by_any_change_in_it() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        assert_eq!(names(&fixture.at("many")).len(), 1500);
    }
    fs::write(fixture.at("many/new"), b"x").unwrap();
    assert_eq!(names(&fixture.at("many")).len(), 1501);
    fs::remove_file(fixture.at("many/file-0007")).unwrap();
    fs::rename(fixture.at("many/file-0008"), fixture.at("moved")).unwrap();
    assert_eq!(names(&fixture.at("many")).len(), 1499);
    assert!(names(&fixture.root).contains(&OsString::from("moved")));
    // A reader that goes on while entries vanish sees each of the others once.
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(fixture.at("many")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(seen.insert(name.clone()));
        if seen.len() % 3 == 0 {
            fs::remove_file(fixture.at("many").join(&name)).unwrap();
        }
    }
    assert_eq!(seen.len(), 1499);
    fs::remove_dir_all(fixture.at("many")).unwrap();
    assert_eq!(errno(fs::metadata(fixture.at("many"))), libc::ENOENT);
}

#[test]
fn names_move_in_every_way() {
    let fixture = Fixture::new();
    fs::rename(fixture.at("src"), fixture.at("source")).unwrap();
    assert_eq!(
        fs::read(fixture.at("source/deep/er/file.txt")).unwrap(),
        b"deep\n"
    );
    assert_eq!(errno(fs::metadata(fixture.at("src"))), libc::ENOENT);
    fs::rename(fixture.at("README.md"), fixture.at("empty")).unwrap();
    assert_eq!(fs::read(fixture.at("empty")).unwrap(), b"# tool\n");
    let flagged = |from: &str, to: &str, flags| {
        let path = |below: &str| {
            std::ffi::CString::new(fixture.at(below).into_os_string().into_encoded_bytes()).unwrap()
        };
        let (from, to) = (path(from), path(to));
        // SAFETY: two strings that end with a NUL and live beyond the call.
        match unsafe {
            libc::renameat2(
                libc::AT_FDCWD,
                from.as_ptr(),
                libc::AT_FDCWD,
                to.as_ptr(),
                flags,
            )
        } {
            0 => 0,
            _ => io::Error::last_os_error().raw_os_error().unwrap(),
        }
    };
    assert_eq!(
        flagged("empty", "run.sh", libc::RENAME_NOREPLACE),
        libc::EEXIST
    );
    assert_eq!(flagged("empty", "fresh", libc::RENAME_NOREPLACE), 0);
    assert_eq!(flagged("fresh", "many", libc::RENAME_EXCHANGE), 0);
    assert_eq!(fs::read(fixture.at("many")).unwrap(), b"# tool\n");
    assert_eq!(names(&fixture.at("fresh")).len(), 1500);
    assert_eq!(flagged("many", "gone", libc::RENAME_WHITEOUT), libc::EINVAL);
    assert_eq!(flagged("fresh", "fresh/below", 0), libc::EINVAL);
    assert_eq!(
        errno(fs::rename(fixture.at("many"), fixture.at("../many"))),
        libc::EXDEV
    );
    assert_eq!(
        errno(fs::rename(fixture.at("many"), fixture.at("fresh"))),
        libc::EISDIR
    );
}

#[test]
fn every_kind_of_node_can_be_made_and_removed() {
    if !is_root() {
        println!("skipped: owners, devices and other users are root's to test with");
        return;
    }
    let fixture = Fixture::new();
    fs::create_dir(fixture.at("d")).unwrap();
    fs::set_permissions(fixture.at("d"), Permissions::from_mode(0o2775)).unwrap();
    std::os::unix::fs::chown(fixture.at("d"), None, Some(12)).unwrap();
    fs::create_dir(fixture.at("d/sub")).unwrap();
    fs::write(fixture.at("d/file"), b"x").unwrap();
    let sub = fs::metadata(fixture.at("d/sub")).unwrap();
    assert_eq!(
        (sub.gid(), sub.mode() & 0o2000),
        (12, 0o2000),
        "set-group-id is inherited"
    );
    assert_eq!(fs::metadata(fixture.at("d/file")).unwrap().gid(), 12);
    symlink("../run.sh", fixture.at("d/link")).unwrap();
    assert_eq!(
        fs::read_link(fixture.at("d/link")).unwrap(),
        Path::new("../run.sh")
    );
    fs::hard_link(fixture.at("d/file"), fixture.at("d/other")).unwrap();
    fs::hard_link(fixture.at("run.sh"), fixture.at("d/run")).unwrap();
    let (one, two) = (
        fs::metadata(fixture.at("run.sh")),
        fs::metadata(fixture.at("d/run")),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    let fifo = Command::new("mkfifo")
        .arg(fixture.at("d/fifo"))
        .status()
        .unwrap();
    assert!(
        fifo.success()
            && fs::metadata(fixture.at("d/fifo"))
                .unwrap()
                .file_type()
                .is_fifo()
    );
    let socket = std::os::unix::net::UnixListener::bind(fixture.at("d/socket")).unwrap();
    drop(std::os::unix::net::UnixStream::connect(fixture.at("d/socket")).unwrap());
    drop(socket);
    let device = Command::new("mknod")
        .arg(fixture.at("d/null"))
        .args(["c", "1", "3"])
        .status();
    assert!(device.unwrap().success());
    fs::write(fixture.at("d/null"), b"swallowed").unwrap();
    assert_eq!(errno(fs::remove_dir(fixture.at("d"))), libc::ENOTEMPTY);
    fs::remove_dir_all(fixture.at("d")).unwrap();
    assert_eq!(fs::metadata(fixture.at("run.sh")).unwrap().nlink(), 1);
    let long = "x".repeat(256);
    assert_eq!(errno(fs::write(fixture.at(&long), b"")), libc::ENAMETOOLONG);
    fs::write(fixture.at(&long[..255]), b"").unwrap();
}
