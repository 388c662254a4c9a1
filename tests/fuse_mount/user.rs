//! Mounting as a user who is not root, by `fusermount3`.

use super::*;

/// Set in the environment of a copy of this program that runs as an ordinary user.
const USER_AT: &str = "MESA_TEST_USER_AT";

/// `$1` is an empty directory of everyone's, `$2` this program, `$3` set-user-id `fusermount3`. The
/// device is opened to everyone in a private mount namespace only.
const AS_USER: &str = "mknod \"$1/fuse\" c 10 229 && chmod 666 \"$1/fuse\"\n\
    mount --bind \"$1/fuse\" /dev/fuse\n\
    cp \"$2\" \"$1/program\" && cp \"$3\" \"$1/helper\" && chmod 4755 \"$1/helper\"\n\
    cd / && FUSERMOUNT_PATH=\"$1/helper\" MESA_TEST_USER_AT=\"$1/mount\" setpriv \
    --reuid=65534 --regid=65534 --clear-groups \
    \"$1/program\" --exact user::a_user_mounts_through_the_helper --nocapture";

#[test]
fn a_user_mounts_through_the_helper() {
    if let Some(path) = std::env::var_os(USER_AT) {
        return mount_as_user(Path::new(&path));
    }
    let program = std::env::var_os("FUSERMOUNT_PATH").unwrap_or("/usr/bin/fusermount3".into());
    assert!(
        Path::new(&program).exists(),
        "no {}: apt-get install fuse3, or set FUSERMOUNT_PATH",
        program.display()
    );
    // Not below TMPDIR, which may be where the other user cannot go.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    if !nix::unistd::geteuid().is_root() {
        return mount_as_user(&folder.path().join("mount"));
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder.path(), mode).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", AS_USER, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(program)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mount_as_user(path: &Path) {
    fs::create_dir(path).unwrap();
    let mounted = start(&options(path), Arc::new(Empty::default())).unwrap();
    assert_eq!(names(path), set(&[".mesa", "acme", "local"]));
    assert_eq!(kind_mounted_at(path).as_deref(), Some("fuse.mesa"));
    let user = nix::unistd::geteuid().as_raw();
    assert_eq!(fs::metadata(path).unwrap().uid(), user);
    let open = fs::File::open(path.join("acme")).unwrap();
    let busy = mounted.unmount(Unmount::Clean);
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    drop(open);
    assert_eq!(mounted.unmount(Unmount::Clean).unwrap(), Unmounted::Done);
    assert_eq!(mounted.wait(), Ended::Unmounted);
    let mut everyone = options(path);
    everyone.access = Access::Everyone;
    let refused = start(&everyone, Arc::new(Empty::default())).err();
    assert!(
        matches!(refused, Some(Error::OthersForbidden)),
        "{refused:?}"
    );
    everyone.helper = Some(PathBuf::from("/nonexistent"));
    let missing = start(&everyone, Arc::new(Empty::default())).err().unwrap();
    assert!(matches!(missing, Error::HelperAbsent { .. }) && missing.hint().is_some());
}
