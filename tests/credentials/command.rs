//! The credential command under a daemon: rarely, alone, bounded, and without our secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::DEADLINE;
use crate::case::{Case, Reader, Renewal};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;

fn script(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn it_runs_rarely_while_it_gives_what_is_refused_and_hangs_nobody() {
    let mut case = Case::mount(Renewal::Remount, "1h");
    case.world.unmount("10s").success();
    let folder = case.world.folder().to_owned();
    let (program, runs, environment) = (
        folder.join("helper"),
        folder.join("runs"),
        folder.join("environment"),
    );
    let token = case.world.mint("5s", &["app"]);
    let log = |then: &str| {
        format!(
            "echo run >> {}; env > {}; {then}",
            runs.display(),
            environment.display()
        )
    };
    script(&program, &log(&format!("echo {token}")));
    case.world
        .set("MESA_SECRETS_COMMAND", program.to_str().unwrap());
    // A dead token in the environment, which the command must not get.
    let dead = std::mem::replace(
        &mut case.world.token,
        "dead-token-of-the-environment".into(),
    );
    drop(dead);
    case.world.mount();
    let app = case.world.repo("app");
    let reader = Reader::start(&case);
    fs::read_dir(app.join("docs")).unwrap().count();
    let given = fs::read_to_string(&environment).unwrap();
    assert!(given.contains("PATH="), "{given}");
    assert!(!given.contains("dead-token"), "{given}");

    case.wait_for_the_end();
    let before = count(&runs);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        for name in ["docs/one.md", "docs/two.md"] {
            fs::read(app.join(name)).unwrap_err();
        }
    }
    let ran = count(&runs) - before;
    assert!(ran <= 4, "{ran} runs in some seconds");

    // One that hangs is waited for by nobody who has what he wants, and ends at its deadline.
    let pid = folder.join("pid");
    script(
        &program,
        &log(&format!(
            "echo $$ > {}; echo talk >&2; sleep 1000",
            pid.display()
        )),
    );
    wait_until("it hangs", DEADLINE, || pid.exists());
    fs::write(app.join("edit"), "meanwhile\n").unwrap();
    let begun = Instant::now();
    fs::read(app.join("docs/one.md")).unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let pid: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    wait_until("it is killed", DEADLINE, || {
        !Path::new(&format!("/proc/{pid}")).exists()
    });

    let token = case.world.mint("1h", &["app"]);
    script(&program, &log(&format!("echo {token}")));
    case.drains_by_itself();
    assert_eq!(case.world.status()["credential"]["store"], "command");
    reader.finish();
}

fn count(runs: &Path) -> usize {
    fs::read_to_string(runs).unwrap().lines().count()
}

#[test]
fn why_it_fails_is_told_without_what_it_printed() {
    let mut case = Case::mount(Renewal::Remount, "1h");
    fs::read_dir(case.world.repo("app")).unwrap().count();
    case.world.unmount("10s").success();
    let program = case.world.folder().join("helper");
    let secret = case.world.token.clone();
    script(
        &program,
        &format!("echo {secret}; echo no luck with {secret} >&2; exit 7"),
    );
    case.world
        .set("MESA_SECRETS_COMMAND", program.to_str().unwrap());
    case.world.token = String::new();
    let status = run(&mut case.world.mesa(&["auth", "status"])).expect(5);
    assert!(
        status.errors().contains("no luck with (masked)"),
        "{status}"
    );
    assert!(status.errors().contains("hint: run it by hand"), "{status}");
    assert!(!status.errors().contains(&secret), "it shows the secret");
    // A mount of what is known comes up, and says the same.
    case.world.mount();
    wait_until("told", DEADLINE, || {
        let troubles = case.world.status()["credential"]["store_troubles"].to_string();
        troubles.contains("no luck with (masked)")
    });
    script(&program, &format!("echo {secret}"));
    wait_until("good again", DEADLINE, || {
        case.world.status()["credential"]["state"] == "valid"
    });
}
