//! The credential command by itself: what it prints, how it fails, and what is left of it.

use std::fs;
use std::time::{Duration, Instant};

use mesa::secrets::{Refusal, Scope, Secrets, Sources, Store};

const LONG: Duration = Duration::from_secs(60);

/// Runs a command as the daemon does: what it gives, or what is told of it.
fn run(command: &[&str]) -> Result<String, String> {
    let secrets = Secrets::new(Sources {
        command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        ..Sources::default()
    });
    secrets.renew(Scope::Global);
    match secrets.find(Scope::Global) {
        Ok(found) => Ok(found.credential.expose().to_owned()),
        Err(missing) => Err(missing.to_string()),
    }
}

fn shell(script: &str) -> Result<String, String> {
    run(&["sh", "-c", script])
}

/// Whether a killed process goes: it may take a moment.
fn process_is_gone(pid: &str) -> bool {
    let stat = format!("/proc/{}/stat", pid.trim());
    let is_gone = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let deadline = Instant::now() + LONG;
    while !is_gone() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_gone()
}

#[test]
fn what_it_prints_is_the_credential() {
    let printed = shell("echo; echo '  a-token '; echo talk >&2");
    assert_eq!(printed.as_deref(), Ok("a-token"));
    let printed = run(&["echo", "$HOME;x"]);
    assert_eq!(printed.as_deref(), Ok("$HOME;x"), "there is no shell");
}

#[test]
fn failures_say_what_it_said_but_no_secret() {
    let error = shell("echo token-1; echo no luck with token-1 mesa_abc >&2; exit 3").unwrap_err();
    assert!(
        error.contains("failed with exit status: 3: no luck with (masked) (masked)"),
        "{error}"
    );
    let error = shell("echo two words; echo 'what two words' >&2").unwrap_err();
    assert!(
        error.contains("printed no credential: what (masked) (masked)"),
        "{error}"
    );
    let error = run(&["/no/such/program"]).unwrap_err();
    assert!(error.contains("cannot be run"), "{error}");
}

#[test]
fn one_that_hangs_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!(
        "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
        pid.display()
    );
    let begun = Instant::now();
    let error = shell(&script).unwrap_err();
    assert!(
        error.contains("did not end within 10 s and was killed"),
        "{error}"
    );
    assert!(begun.elapsed() < LONG);
    assert!(process_is_gone(&fs::read_to_string(pid).unwrap()));
}

#[test]
fn what_it_leaves_behind_is_not_waited_for_and_does_not_stay() {
    let begun = Instant::now();
    let printed = shell("sleep 600 & echo pid-$!").unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "waited for the child"
    );
    assert!(process_is_gone(printed.strip_prefix("pid-").unwrap()));
}

#[test]
fn endless_output_is_cut_off() {
    let error = shell("exec yes").unwrap_err();
    assert!(error.contains("printed more than a credential"), "{error}");
    let error = shell("yes talk >&2 & sleep 1; echo key; kill $!; exit 1").unwrap_err();
    assert!(error.len() < 4096, "{} bytes", error.len());
}

#[test]
fn many_who_want_one_at_the_same_time_share_a_run_and_it_is_asked_rarely() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let script = format!("echo run >> {}; sleep 0.2; echo same", runs.display());
    let secrets = Secrets::new(Sources {
        command: Some(vec!["sh".into(), "-c".into(), script]),
        ..Sources::default()
    });
    let count = || {
        fs::read_to_string(&runs)
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert!(secrets.find(Scope::Global).is_err(), "finding runs nothing");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| secrets.renew(Scope::Global));
        }
    });
    let found = secrets.find(Scope::Global).unwrap();
    assert_eq!(
        (found.credential.expose(), found.origin.store),
        ("same", Store::Command)
    );
    assert_eq!(count(), 1, "one for all who asked");
    assert!(!secrets.wants_renewal(Scope::Global));
    secrets.refused(&found, Scope::Global, Refusal::Expired);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        if secrets.wants_renewal(Scope::Global) {
            secrets.renew(Scope::Global);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(count() <= 3, "{} runs", count());
    let generation = secrets.generation();
    secrets.try_now();
    secrets.renew(Scope::Global);
    assert_eq!(
        secrets.generation(),
        generation,
        "the same again is no change"
    );
}

#[test]
fn it_inherits_no_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let _file = fs::File::create(folder.path().join("a-file-of-ours")).unwrap();
    let _sockets = std::os::unix::net::UnixStream::pair().unwrap();
    let find = ["find", "/proc/self/fd/", "-type", "l", "-printf", "%l;"];
    let listed = run(&find).unwrap();
    assert!(listed.contains("/dev/null;"), "{}", listed);
    // Pipes are its own, or the test runner's; it looks at its current folder by itself.
    let here = std::env::current_dir().unwrap().display().to_string();
    let known = ["pipe:[", "/dev/null", "/proc/"];
    let is_known = |open: &str| {
        open.is_empty() || open == here || known.iter().any(|known| open.starts_with(known))
    };
    let open = listed.split(';');
    let strange: Vec<&str> = open.filter(|open| !is_known(open)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
