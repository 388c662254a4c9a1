//! Tokens: their end stops the push, never the work.

use std::fs;
use std::time::Duration;

use crate::support::process::run;
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

#[test]
fn work_goes_on_after_the_token_has_expired() {
    let mut world = World::small();
    let app = world.repo("app");
    world.unmount("10s").success();
    world.token = world.mint("3s", &["app"]);
    world.mount();
    assert_eq!(world.status()["credential"]["state"], "valid");
    assert!(world.status()["credential"]["expires_at"].is_string());
    fs::read(app.join("README.md")).unwrap();
    wait_until("the token expires", Duration::from_secs(20), || {
        world.status()["credential"]["state"] == "expired"
    });

    fs::write(app.join("late"), "after the end of the token\n").unwrap();
    fs::write(app.join("README.md"), "edited late\n").unwrap();
    let flush = run(&mut world.mesa(&["journal", "flush", "--timeout", "10s"])).expect(5);
    assert!(flush.errors().contains("local/app"), "{flush}");
    assert!(flush.errors().contains("hint:"), "{flush}");
    assert_eq!(world.status()["state"], "auth-needed");
    let publish = run(&mut world.mesa(&["publish", "--timeout", "5s"])).expect(5);
    assert!(publish.errors().contains("not published"), "{publish}");
    assert!(world.pending("app") > 0);
    let unread = fs::read(app.join("docs/one.md")).unwrap_err();
    assert_eq!(unread.raw_os_error(), Some(libc::EKEYEXPIRED), "{unread}");
    world.unmount("1s").expect(5);

    world.token = world.mint("1h", &["app"]);
    world.mount();
    assert_eq!(
        fs::read(app.join("late")).unwrap(),
        b"after the end of the token\n"
    );
    wait_until("drained by itself", Duration::from_secs(60), || {
        world.pending("app") == 0
    });
    world.flush_and_compare("app");
}

#[test]
fn credentials_are_in_no_file_and_in_no_argument() {
    let mut world = World::small();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush();
    let arguments = world
        .with_daemon(|daemon| fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid)).unwrap());
    assert!(!arguments.contains(&world.token), "{arguments}");
    world.unmount("10s").success();
    let key = fs::read_to_string(world.folder().join("server/admin.key")).unwrap();
    for folder in [
        world.data(),
        world.folder().join("run"),
        world.folder().join("home"),
    ] {
        assert_absent(&folder, &[world.token.as_bytes(), key.trim().as_bytes()]);
    }
    let key_file = fs::metadata(world.folder().join("server/admin.key")).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&key_file) & 0o777,
        0o600
    );
}

/// Checks that no file below a folder holds any of these bytes.
fn assert_absent(folder: &std::path::Path, secrets: &[&[u8]]) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            assert_absent(&path, secrets);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|window| window == *secret);
                assert!(!found, "a credential is in {path:?}");
            }
        }
    }
}

#[test]
fn a_wrong_or_missing_credential_is_refused_at_once() {
    let mut world = World::small();
    world.unmount("10s").success();
    let good = std::mem::take(&mut world.token);
    for token in ["", "nonsense", &format!("{good}x")] {
        let mut command = world.mesa(&["mount", "-d"]);
        command.env("MESA_API_KEY", token);
        if token.is_empty() {
            command.env_remove("MESA_API_KEY");
        }
        // A mount that has local state may come up without a credential, and must then say so.
        let mount = run(&mut command);
        match mount.code() {
            5 => assert!(mount.errors().starts_with("error: "), "{mount}"),
            0 => {
                wait_until("status says so", Duration::from_secs(20), || {
                    world.status()["state"] == "auth-needed"
                });
                run(&mut world.mesa(&["umount"]));
            }
            _ => panic!("{mount}"),
        }
    }
}

#[test]
fn a_token_reaches_only_its_repositories() {
    let source = tempfile::tempdir().unwrap();
    let small = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("mine", &small), ("theirs", &small)]);
    world.token = world.mint("1h", &["mine"]);
    world.mount();
    assert_eq!(fs::read(world.repo("mine").join("empty")).unwrap(), b"");
    let refused = fs::read_dir(world.repo("theirs")).unwrap_err();
    let errno = refused.raw_os_error().unwrap();
    assert!([libc::EACCES, libc::ENOENT].contains(&errno), "{refused}");
    fs::write(world.repo("mine").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("mine");
}
