//! `mesa doctor` with things really broken: named, cured where that is safe, and sound afterwards.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::support::kernel::mounts_below;
use crate::support::process::run;
use crate::support::world::World;
use crate::{DEADLINE, LOOK_AGAIN};

/// What it finds. It looks at all mounts of the machine, and tests beside this one have mounts that are
/// dead for a moment: they are waited for, and where something is fixed, left out.
#[track_caller]
fn examine(world: &World, arguments: &[&str], code: i32) -> Vec<Value> {
    let mut all = vec!["doctor", "--json"];
    all.extend(arguments);
    let folder = world.folder().to_str().unwrap();
    let is_foreign = |finding: &Value| {
        let found = finding["found"].as_str().unwrap();
        finding["check"] == "mounts" && finding["verdict"] != "ok" && !found.contains(folder)
    };
    let deadline = Instant::now() + DEADLINE;
    loop {
        let finished = run(&mut world.mesa(&all));
        let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
        assert_eq!(report["healthy"], finished.code() == 0, "{finished}");
        let mut findings = report["findings"].as_array().unwrap().clone();
        let is_alone = !findings.iter().any(is_foreign);
        if is_alone || Instant::now() > deadline {
            finished.expect(code);
            return findings;
        }
        if !arguments.is_empty() {
            findings.retain(|finding| !is_foreign(finding));
            let is_healthy = !findings
                .iter()
                .any(|finding| finding["verdict"] == "problem");
            assert_eq!(is_healthy, code == 0, "{findings:#?}");
            return findings;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[track_caller]
fn find<'a>(findings: &'a [Value], check: &str, verdict: &str, word: &str) -> &'a Value {
    let mut found = findings.iter().filter(|finding| finding["check"] == check);
    let is = |finding: &&Value| {
        finding["verdict"] == verdict && finding["found"].as_str().unwrap().contains(word)
    };
    found
        .find(is)
        .unwrap_or_else(|| panic!("no {verdict} of {check} with {word:?}: {findings:#?}"))
}

#[test]
fn a_sound_mount_has_no_problem() {
    let world = World::small();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush();
    let findings = examine(&world, &[], 0);
    for check in [
        "device",
        "mounting",
        "kernel",
        "directories",
        "disk",
        "space",
        "daemon",
        "mounts",
        "integrity",
        "cache",
        "server",
        "clock",
        "credential",
    ] {
        assert!(
            findings.iter().any(|finding| finding["check"] == check),
            "{check}"
        );
    }
    find(&findings, "credential", "ok", "write");
    find(&findings, "integrity", "ok", "1 repositories");
    find(&findings, "cache", "ok", "sound");
    let text = run(&mut world.mesa(&["doctor"]));
    assert!(!text.text().contains(&world.token), "the token is shown");
}

/// Any object of the cache.
fn cached_object(world: &World) -> PathBuf {
    let first = |folder: PathBuf| {
        fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    first(first(world.data().join("cache/objects")))
}

#[test]
fn what_a_killed_daemon_leaves_is_named_and_fixed() {
    let source = tempfile::TempDir::new().unwrap();
    let repository = crate::support::fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    run(&mut world.mesa(&["mount", "--daemonize", "--no-supervisor"])).success();
    world.adopt();
    world.local_tree("app");
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.kill_daemon_hard();
    fs::set_permissions(world.data(), Permissions::from_mode(0o755)).unwrap();

    let object = cached_object(&world);
    fs::write(&object, "another file's bytes").unwrap();

    let broken = examine(&world, &[], 1);
    find(&broken, "cache", "warning", object.to_str().unwrap());
    assert!(object.exists(), "looking changes nothing");
    find(&broken, "mounts", "problem", "daemon is dead");
    find(&broken, "daemon", "problem", "left its socket");
    let open = find(&broken, "directories", "problem", "open to others");
    assert!(open["cure"].as_str().unwrap().starts_with("chmod 0700 "));
    assert_eq!(
        mounts_below(world.folder()).len(),
        1,
        "looking changes nothing"
    );

    let fixed = examine(&world, &["--fix"], 0);
    for check in ["mounts", "daemon", "directories", "cache"] {
        assert!(
            fixed
                .iter()
                .any(|finding| finding["check"] == check && finding["fixed"].is_string()),
            "{check}: {fixed:#?}"
        );
    }
    assert!(mounts_below(world.folder()).is_empty());
    assert!(!world.folder().join("run/control.sock").exists());
    let mode = fs::metadata(world.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let sound = examine(&world, &[], 0);
    find(&sound, "mounts", "ok", "no dead mount");
    find(&sound, "daemon", "ok", "none runs");
    find(&sound, "cache", "ok", "sound");
    assert!(!object.exists());
    // Nothing of it was lost.
    world.mount();
    world.flush_and_compare("app");
}

#[test]
fn a_server_that_is_gone_and_a_token_that_ended_are_told_apart() {
    let mut world = World::serve(&[]);
    world.token = world.mint("1s", &["app"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let findings = examine(&world, &[], 1);
    find(&findings, "server", "ok", "answers");
    find(&findings, "credential", "problem", "expired");
    // Without one it is not asked, and that says nothing against it.
    world.token = String::new();
    let findings = examine(&world, &[], 1);
    find(&findings, "server", "ok", "takes connections");
    find(&findings, "credential", "problem", "there is none");
    world.token = world.mint("1h", &["app"]);
    world.stop_server();
    let findings = examine(&world, &[], 1);
    find(&findings, "server", "problem", "TCP: 127.0.0.1:");
    find(&findings, "credential", "warning", "could not be asked");
}
