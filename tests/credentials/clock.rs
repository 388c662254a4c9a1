//! A clock that is wrong, or is set: the server decides, and we never stop asking it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::DEADLINE;
use crate::case::{Case, Reader, Renewal};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;

/// Lets a command see another time of day, and the passing of time as it is.
fn faked<'a>(command: &'a mut Command, offset: &str) -> &'a mut Command {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// Where faketime's library is.
///
/// # Panics
///
/// It is not installed: a test without it would have proved nothing.
fn library() -> String {
    let places = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];
    let mut found = places
        .iter()
        .map(|place| format!("{place}/faketime/libfaketimeMT.so.1"))
        .filter(|path| Path::new(path).exists());
    found
        .next()
        .expect("these tests need faketime: apt-get install faketime")
}

fn mount_at(offset: &str, lifetime: &str) -> Case {
    let mut case = Case::mount(Renewal::Remount, "1h");
    case.world.unmount("10s").success();
    case.world.token = case.world.mint(lifetime, &["app"]);
    run(faked(
        &mut case.world.mesa(&["mount", "--daemonize"]),
        offset,
    ))
    .success();
    case.world.adopt();
    case
}

#[test]
fn a_clock_that_is_ahead_does_not_end_a_token_that_the_server_takes() {
    let case = mount_at("+30d", "1h");
    let app = case.world.repo("app");
    // That it is seen: the daemon's own log has the other date.
    assert_eq!(fs::read(app.join("docs/one.md")).unwrap(), b"one\n");
    fs::write(app.join("edit"), "a month ahead\n").unwrap();
    case.world.flush_and_compare("app");
    let credential = case.world.status()["credential"].clone();
    assert_eq!(credential["state"], "valid", "{credential}");
    let left = credential["seconds_left"].as_u64().unwrap();
    assert!(
        (3_000..=3_600).contains(&left),
        "by the server's clock: {credential}"
    );
    let log = fs::read_to_string(case.world.data().join("daemon.log")).unwrap();
    assert!(!log.contains("about to expire"), "{log}");
}

#[test]
fn a_clock_that_is_behind_does_not_hide_that_a_token_is_over() {
    let mut case = mount_at("-30d", "6s");
    let app = case.world.repo("app");
    let reader = Reader::start(&case);
    fs::read_dir(app.join("docs")).unwrap().count();
    case.wait_for_the_end();
    let error = fs::read(app.join("docs/two.md")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EKEYEXPIRED), "{error}");
    fs::write(app.join("edit"), "a month behind\n").unwrap();
    case.renew("1h");
    wait_until("readable again", DEADLINE, || {
        fs::read(app.join("docs/two.md")).is_ok()
    });
    case.drains_by_itself();
    reader.finish();
}
