//! Mounting and unmounting, with strangers, stuck processes and dead daemons about.

use super::*;

#[test]
fn unmounting_ends_the_session_whoever_does_it() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.mounted.unmount(Unmount::Clean).unwrap(),
        Unmounted::Done
    );
    assert_eq!(fixture.wait(), Ended::Unmounted);
    assert_eq!(names(fixture.folder.path()), set(&[]));

    let fixture = Fixture::new();
    sh("umount \"$1\"", fixture.folder.path());
    assert_eq!(fixture.wait(), Ended::Unmounted);
    let again = fixture.mounted.unmount(Unmount::Lazy).unwrap();
    assert_eq!(again, Unmounted::AlreadyGone);
}

#[test]
fn a_mount_in_use_is_busy_and_goes_lazily() {
    let fixture = Fixture::new();
    let open = fs::File::open(fixture.path("acme")).unwrap();
    let busy = fixture.mounted.unmount(Unmount::Clean);
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    assert_eq!(names(&fixture.path("")), set(&[".mesa", "acme", "local"]));
    assert_eq!(
        fixture.mounted.unmount(Unmount::Lazy).unwrap(),
        Unmounted::Done
    );
    assert_eq!(names(fixture.folder.path()), set(&[]));
    let not_yet = fixture
        .mounted
        .wait_until(Instant::now() + Duration::from_millis(50));
    assert_eq!(not_yet, None, "the open directory is still served");
    drop(open);
    assert_eq!(fixture.wait(), Ended::Unmounted);
}

#[test]
fn a_stranger_at_our_path_is_never_unmounted() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can do what this undoes");
        return;
    }
    // In place of ours.
    let fixture = Fixture::new();
    sh(
        "umount \"$1\" && mount -t tmpfs tmpfs \"$1\"",
        fixture.folder.path(),
    );
    assert_eq!(fixture.wait(), Ended::Unmounted);
    for how in [Unmount::Clean, Unmount::Lazy, Unmount::Force] {
        assert_eq!(
            fixture.mounted.unmount(how).unwrap(),
            Unmounted::AlreadyGone
        );
    }
    let path = fixture.folder.path().to_path_buf();
    let Fixture {
        mounted, folder, ..
    } = fixture;
    drop(mounted);
    let kind = kind_mounted_at(&path);
    sh("umount \"$1\"", &path);
    assert_eq!(kind.as_deref(), Some("tmpfs"));
    drop(folder);

    // A younger mount of our own kind, with the numbers that ours had.
    let older = Fixture::new();
    sh("umount \"$1\"", older.folder.path());
    let younger = start(&options(older.folder.path()), Arc::new(Empty::default()));
    let younger = younger.unwrap();
    for how in [Unmount::Clean, Unmount::Lazy, Unmount::Force] {
        assert_eq!(older.mounted.unmount(how).unwrap(), Unmounted::AlreadyGone);
    }
    assert_eq!(names(younger.path()), set(&[".mesa", "acme", "local"]));
    assert_eq!(younger.unmount(Unmount::Clean).unwrap(), Unmounted::Done);

    // On top of ours.
    let fixture = Fixture::new();
    sh("mount -t tmpfs tmpfs \"$1\"", fixture.folder.path());
    let covered = fixture.mounted.unmount(Unmount::Lazy);
    let kind = kind_mounted_at(fixture.folder.path());
    sh("umount \"$1\"", fixture.folder.path());
    assert!(matches!(covered, Err(Error::Covered { .. })), "{covered:?}");
    assert_eq!(kind.as_deref(), Some("tmpfs"));
    assert_eq!(
        fixture.mounted.unmount(Unmount::Clean).unwrap(),
        Unmounted::Done
    );
}

#[test]
fn a_forced_unmount_frees_a_stuck_process() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can do what this undoes");
        return;
    }
    let fixture = Fixture::new();
    let mut stuck = Command::new("stat")
        .arg(fixture.path("acme/stuck"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + SOON;
    while fixture.repositories.opens.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the lookup should have come");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(stuck.try_wait().unwrap().is_none());
    assert_eq!(
        fixture.mounted.unmount(Unmount::Force).unwrap(),
        Unmounted::Done
    );
    let status = stuck.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(1), None));
    assert_eq!(names(fixture.folder.path()), set(&[]));
    fixture.repositories.release();
    fixture.wait();
}

#[test]
fn a_mount_point_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let start_at = |path: &Path| start(&options(path), Arc::new(Empty::default())).err();
    let missing = start_at(&folder.path().join("missing")).unwrap();
    assert!(matches!(missing, Error::MountPoint { .. }) && missing.hint().is_some());
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(start_at(&file), Some(Error::NotDirectory { .. })));
    assert!(matches!(
        start_at(folder.path()),
        Some(Error::NotEmpty { .. })
    ));
    let fixture = Fixture::new();
    let second = start_at(fixture.folder.path());
    assert!(
        matches!(second, Some(Error::AlreadyMounted { .. })),
        "{second:?}"
    );
}

/// Set in the environment of a copy of this program that mounts and dies.
const DIES_AT: &str = "MESA_TEST_DIES_AT";

#[test]
fn a_dead_mount_is_cleared() {
    if let Some(path) = std::env::var_os(DIES_AT) {
        let mounted = start(&options(Path::new(&path)), Arc::new(Empty::default()));
        assert!(mounted.is_ok());
        std::process::abort();
    }
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::a_dead_mount_is_cleared"])
        .env(DIES_AT, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
    assert_eq!(errno(fs::metadata(folder.path())), libc::ENOTCONN);
    let mounted = start(&options(folder.path()), Arc::new(Empty::default())).unwrap();
    assert_eq!(names(folder.path()), set(&[".mesa", "acme", "local"]));
    assert_eq!(mounted.unmount(Unmount::Clean).unwrap(), Unmounted::Done);
    mounted.wait();
    assert_eq!(
        kind_mounted_at(folder.path()),
        None,
        "nothing is left below"
    );
}
