//! Who may enter a mount, and to whom it belongs, asked of the kernel as another user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::support::fixture;
use crate::support::process::{Finished, run};
use crate::support::world::{ORG, World};

/// An ordinary user, and another.
const USER: u32 = 65_534;
const OTHER: u32 = 65_533;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs a shell as somebody else, with every path in `$1`.
fn shell_as(user: u32, at: &Path, script: &str) -> Finished {
    let mut command = Command::new("setpriv");
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    command
        .args(ids)
        .args(["--clear-groups", "sh", "-c", script, "sh"])
        .arg(at);
    run(&mut command)
}

/// A world whose mount point other users can reach.
fn reachable() -> World {
    let source = tempfile::tempdir().unwrap();
    let app = fixture::small(source.path());
    let world = World::serve(&[("app", &app)]);
    let open = fs::Permissions::from_mode(0o711);
    fs::set_permissions(world.folder(), open).unwrap();
    world
}

#[test]
fn other_users_come_in_only_when_let() {
    assert!(
        is_root(),
        "this test acts as other users, for which it has to be root"
    );
    let mut world = reachable();
    world.mount();
    let app = world.repo("app");
    let refused = shell_as(USER, &app, "cat \"$1/README.md\"");
    assert_ne!(refused.code(), 0);
    assert!(refused.errors().contains("Permission denied"), "{refused}");
    world.unmount("10s").success();

    run(&mut world.mesa(&["mount", "--daemonize", "--allow-other"])).success();
    world.adopt();
    shell_as(USER, &app, "cat \"$1/README.md\"").success();
    // Root owns it, and the mode bits let nobody else write.
    let refused = shell_as(USER, &app, "echo mine > \"$1/README.md\"");
    assert!(refused.errors().contains("Permission denied"), "{refused}");
    world.unmount("10s").success();
}

/// `$1` is a folder of the user's, `$2` a copy of `mesa`, `$3` set-user-id `fusermount3`. The device
/// is opened to everyone, and `/etc/fuse.conf` is empty, in a private mount namespace only.
const AS_USER: &str = "mknod \"$1/fuse\" c 10 229 && chmod 666 \"$1/fuse\"\n\
    mount --bind \"$1/fuse\" /dev/fuse\n\
    : > \"$1/fuse.conf\" && if [ -e /etc/fuse.conf ]; then mount --bind \"$1/fuse.conf\" /etc/fuse.conf; fi\n\
    cp \"$2\" \"$1/mesa\" && cp \"$3\" \"$1/helper\" && chmod 4755 \"$1/helper\"\n\
    cd / && FUSERMOUNT_PATH=\"$1/helper\" setpriv --reuid=65534 --regid=65534 --clear-groups \
    \"$1/mesa\" mount --daemonize --allow-other";

#[test]
fn a_user_who_may_not_let_others_in_is_told_what_to_do() {
    assert!(
        is_root(),
        "this test makes a device, for which it has to be root"
    );
    let helper = std::env::var_os("FUSERMOUNT_PATH").unwrap_or("/usr/bin/fusermount3".into());
    let mut world = reachable();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for (name, place) in [
        ("MESA_MOUNT_POINT", "mnt"),
        ("MESA_DATA_DIR", "data"),
        ("MESA_RUNTIME_DIR", "run"),
    ] {
        world.set(name, folder.path().join(place).to_str().unwrap());
    }
    let inner = world.mesa(&[]);
    let mut command = Command::new("unshare");
    command.env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .args(["--mount", "sh", "-ec", AS_USER, "sh"])
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_mesa"))
        .arg(helper);
    let refused = run(&mut command).expect(1);
    assert!(
        refused
            .errors()
            .contains("hint: as root: echo user_allow_other >> /etc/fuse.conf"),
        "{refused}"
    );
}

#[test]
fn a_mount_for_another_user_belongs_to_that_user_alone() {
    assert!(
        is_root(),
        "this test acts as other users, for which it has to be root"
    );
    let mut world = reachable();
    world.set("MESA_UID", &USER.to_string());
    world.set("MESA_GID", &OTHER.to_string());
    world.mount();
    let app = world.repo("app");
    for path in [
        world.mount_point(),
        world.mount_point().join(ORG),
        app.clone(),
        app.join("README.md"),
        app.join("docs"),
    ] {
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(
            (found.uid(), found.gid()),
            (USER, OTHER),
            "{}",
            path.display()
        );
    }
    let edit =
        "cd \"$1\" && echo mine >> README.md && mkdir made && echo new > made/file && rm empty";
    shell_as(USER, &app, edit).success();
    let refused = shell_as(OTHER, &app, "echo not mine >> \"$1/README.md\"");
    assert!(refused.errors().contains("Permission denied"), "{refused}");
    let refused = shell_as(OTHER, &app, "mkdir \"$1/made/below\"");
    assert!(refused.errors().contains("Permission denied"), "{refused}");
    assert_eq!(
        fs::symlink_metadata(app.join("made/file")).unwrap().uid(),
        USER
    );
    world.flush_and_compare("app");
    world.unmount("10s").success();
}
