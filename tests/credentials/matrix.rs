//! A token ends {while idle, while pushing, while reading, while offline, before the mount}, and is
//! renewed by {set-key, file, command, remount}. Nothing is lost, nothing is pushed twice, and what is
//! cached can be read all the while.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::DEADLINE;
use crate::case::{Case, Reader, Renewal};
use crate::support::process::run;
use crate::support::stopwatch::wait_until;

/// Long enough for a mount on a busy machine, short enough to wait for.
const SHORT: &str = "6s";

/// Runs one story for each way of renewal, at the same time: most of it is waiting.
fn each(story: impl Fn(Renewal) + Sync) {
    thread::scope(|scope| {
        for renewal in Renewal::ALL {
            let story = &story;
            scope.spawn(move || story(renewal));
        }
    });
}

#[test]
fn it_expires_while_idle() {
    each(|renewal| {
        let mut case = Case::mount(renewal, SHORT);
        let app = case.world.repo("app");
        let reader = Reader::start(&case);
        case.world.local_tree("app");
        fs::write(app.join("early"), "before the end\n").unwrap();
        case.world.flush();
        let change = case.change();
        case.wait_for_the_end();
        fs::write(app.join("late"), "after the end\n").unwrap();
        fs::write(app.join("README.md.new"), "edited late\n").unwrap();
        fs::rename(app.join("README.md.new"), app.join("docs/one.md")).unwrap();
        fs::remove_file(app.join("bin/tool")).unwrap();
        case.renew("1h");
        case.drains_by_itself();
        assert_eq!(
            case.change(),
            change,
            "{renewal:?}: one change takes it all"
        );
        reader.finish();
    });
}

#[test]
fn it_expires_while_pushing() {
    each(|renewal| {
        let mut case = Case::mount(renewal, SHORT);
        let app = case.world.repo("app");
        let reader = Reader::start(&case);
        let begun = Instant::now();
        let mut written = 0_u32;
        let write = |written: &mut u32| {
            fs::write(app.join(format!("file-{written}")), format!("{written}\n")).unwrap();
            fs::write(app.join("counter"), written.to_string()).unwrap();
            *written += 1;
            thread::sleep(Duration::from_millis(5));
        };
        while case.world.status()["credential"]["trouble"].is_null() {
            for _ in 0..20 {
                write(&mut written);
            }
            assert!(begun.elapsed() < DEADLINE, "it never ends");
        }
        assert!(
            case.change().is_some(),
            "{renewal:?}: nothing was pushed before the end"
        );
        for _ in 0..40 {
            write(&mut written);
        }
        case.renew("1h");
        for _ in 0..40 {
            write(&mut written);
        }
        case.drains_by_itself();
        let remote = case.world.remote_tree("app");
        for number in 0..written {
            let name = format!("file-{number}");
            assert!(
                remote.0.contains_key(std::path::Path::new(&name)),
                "{renewal:?}: {name} is lost"
            );
        }
        assert_eq!(case.changes(), 1, "{renewal:?}");
        reader.finish();
    });
}

#[test]
fn it_expires_while_reading() {
    each(|renewal| {
        let mut case = Case::mount(renewal, SHORT);
        let app = case.world.repo("app");
        let reader = Reader::start(&case);
        case.wait_for_the_end();
        for path in ["docs/two.md", "src/deep/a/other.txt", "bin/tool"] {
            let begun = Instant::now();
            let error = fs::read(app.join(path)).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EKEYEXPIRED),
                "{renewal:?}: {path}: {error}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "{:?}",
                begun.elapsed()
            );
        }
        fs::write(app.join("late"), "after the end\n").unwrap();
        case.renew("1h");
        wait_until("readable again", DEADLINE, || {
            fs::read(app.join("docs/two.md")).is_ok()
        });
        assert_eq!(fs::read(app.join("docs/two.md")).unwrap(), b"two\n");
        case.drains_by_itself();
        reader.finish();
    });
}

#[test]
fn it_expires_while_offline() {
    each(|renewal| {
        let mut case = Case::mount(renewal, SHORT);
        let app = case.world.repo("app");
        let reader = Reader::start(&case);
        case.world.local_tree("app");
        case.world.stop_server();
        fs::write(app.join("offline"), "written offline\n").unwrap();
        case.wait_for_the_end();
        fs::write(app.join("both"), "offline, and without a credential\n").unwrap();
        case.world.start_server();
        wait_until("it is told what is missing", DEADLINE, || {
            case.world.repo_status("app")["state"] == "auth-needed"
        });
        case.renew("1h");
        case.drains_by_itself();
        assert_eq!(case.changes(), 1, "{renewal:?}");
        reader.finish();
    });
}

#[test]
fn it_has_expired_before_the_mount() {
    each(|renewal| {
        let mut case = Case::mount(renewal, SHORT);
        let app = case.world.repo("app");
        case.world.local_tree("app");
        fs::write(app.join("before"), "pushed\n").unwrap();
        case.world.flush();
        case.wait_for_the_end();
        fs::write(app.join("unpushed"), "not pushed\n").unwrap();
        run(&mut case.world.mesa(&["journal", "flush", "--timeout", "10s"])).expect(5);
        case.world.unmount("1s").expect(5);

        case.world.mount();
        let reader = Reader::start(&case);
        assert_eq!(fs::read(app.join("unpushed")).unwrap(), b"not pushed\n");
        fs::write(app.join("after"), "after the mount\n").unwrap();
        wait_until("it is told what is missing", DEADLINE, || {
            case.world.status()["state"] == "auth-needed"
        });
        case.renew("1h");
        case.drains_by_itself();
        assert_eq!(case.changes(), 1, "{renewal:?}");
        reader.finish();
    });
}

#[test]
fn everything_is_pushed_before_the_end() {
    let mut case = Case::mount(Renewal::File, "24s");
    let app = case.world.repo("app");
    let end = case.world.status()["credential"]["seconds_left"]
        .as_u64()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(end);
    case.world.local_tree("app");
    // An outage that leaves the next try many seconds away.
    case.world.stop_server();
    fs::write(app.join("edit"), "to be pushed in time\n").unwrap();
    let margin = Duration::from_secs(8);
    while Instant::now() + margin < end {
        thread::sleep(Duration::from_millis(50));
    }
    case.world.start_server();
    wait_until("pushed before the end", margin, || {
        case.world.pending("app") == 0
    });
    assert!(case.world.status()["credential"]["trouble"].is_null());
    // The last tenth is told of, here and in the log.
    wait_until("warned", DEADLINE, || {
        case.world.status()["credential"]["warning"].is_string()
    });
    let log = fs::read_to_string(case.world.data().join("daemon.log")).unwrap();
    assert!(log.contains("about to expire"), "{log}");
    let status = run(&mut case.world.mesa(&["status"])).success();
    assert!(status.text().contains("set-key"), "{status}");
}
