//! Mounts that do not go by asking: daemons that hang, programs that hold on, daemons that are dead.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::kernel::{by_ring, mounts_below};
use crate::support::process::{Held, run};
use crate::support::stopwatch::wait_until;
use crate::support::world::World;

/// Whatever is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// An unmount by force: five seconds for a daemon that does not answer, and what a busy machine takes
/// for the rest.
const FORCE_MAX: Duration = Duration::from_secs(30);

fn world() -> World {
    let source = tempfile::tempdir().unwrap();
    World::serve(&[("app", &fixture::small(source.path()))])
}

/// Reads a file that is not in any cache, in a process of its own.
fn reader(path: &Path) -> Child {
    Command::new("cat")
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The kernel's letter for what a process does.
fn state(child: &Child) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.chars().next().unwrap()
}

/// Whether it sleeps in a system call of the mount's file system, for an answer or for a page.
fn waits_for_the_mount(child: &Child) -> bool {
    let where_ = fs::read_to_string(format!("/proc/{}/wchan", child.id())).unwrap_or_default();
    let waits = ["fuse", "request", "folio"];
    matches!(state(child), 'S' | 'D') && waits.iter().any(|part| where_.contains(part))
}

#[test]
fn a_daemon_that_hangs_is_ended_by_force_and_nobody_stays_stuck() {
    for supervised in [true, false] {
        let mut world = world();
        if supervised {
            world.mount_supervised(&[]);
        } else {
            world.mount();
        }
        let app = world.repo("app");
        fs::metadata(app.join("docs")).unwrap();
        world.stop_server();
        fs::write(app.join("edit"), "acknowledged\n").unwrap();
        let supervisor = world.supervisor();
        assert_eq!(supervisor.is_some(), supervised);
        world.with_daemon(|daemon| daemon.signal(libc::SIGSTOP));
        let stuck = [
            reader(&app.join("docs/one.md")),
            reader(&app.join("bin/tool")),
        ];
        wait_until("they are stuck", DEADLINE, || {
            stuck.iter().all(waits_for_the_mount)
        });
        // A signal ends one of them only in name: the kernel waits for its answer.
        Held::of(stuck[1].id()).unwrap().signal(libc::SIGKILL);

        let start = Instant::now();
        let umount = run(&mut world.mesa(&["umount", "--force", "--timeout", "1s"])).expect(4);
        let took = start.elapsed();
        println!("a hanging daemon was ended by force within {took:?}");
        assert!(took < FORCE_MAX, "{took:?}");
        assert!(umount.errors().contains("does not answer"), "{umount}");
        let journal = world.data().join("repos/local/app/journal");
        assert!(
            umount.errors().contains(journal.to_str().unwrap()),
            "{umount}"
        );
        assert!(journal.is_dir());
        let [mut reader, mut killed] = stuck;
        let status = reader.wait().unwrap();
        assert_eq!(
            (status.code(), status.signal()),
            (Some(1), None),
            "{status}"
        );
        let mut said = String::new();
        reader
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let is_told = said.contains("connection abort")
            || said.contains("not connected")
            || by_ring() && said.contains("Operation canceled");
        assert!(is_told, "{said}");
        assert_eq!(killed.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(mounts_below(world.folder()).is_empty());
        world.with_daemon(|daemon| assert!(daemon.ends_within(DEADLINE)));
        if let Some(supervisor) = supervisor {
            assert!(supervisor.ends_within(DEADLINE));
        }
        assert!(world.processes().is_empty());

        world.start_server();
        world.mount();
        assert_eq!(fs::read(app.join("edit")).unwrap(), b"acknowledged\n");
        world.flush_and_compare("app");
    }
}

#[test]
fn without_force_a_daemon_that_hangs_is_named_and_left_alone() {
    let mut world = world();
    world.mount();
    let pid = world.with_daemon(|daemon| daemon.pid);
    world.with_daemon(|daemon| daemon.signal(libc::SIGSTOP));
    let said = run(&mut world.mesa(&["umount", "--timeout", "0s"])).expect(1);
    let text = format!(
        "error: the mesa daemon (process {pid}) does not answer\n  hint: `mesa umount --force`"
    );
    assert!(said.errors().contains(&text), "{said}");
    world.with_daemon(|daemon| daemon.signal(libc::SIGCONT));
    wait_until("it goes on", DEADLINE, || {
        mounts_below(world.folder()).is_empty()
            || fs::metadata(world.repo("app").join("README.md")).is_ok()
    });
}

#[test]
fn a_busy_mount_tells_who_holds_it_and_how() {
    let mut world = world();
    world.mount_supervised(&[]);
    let app = world.repo("app");
    fs::copy("/bin/sleep", app.join("sleep")).unwrap();
    let sleep = |program: &Path, folder: &Path| {
        Command::new(program)
            .arg("600")
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut inside = sleep(Path::new("/bin/sleep"), &app.join("docs"));
    let mut program = sleep(&app.join("sleep"), Path::new("/"));
    let _open = File::open(app.join("README.md")).unwrap();
    let umount = run(&mut world.mesa(&["umount", "--timeout", "5s"])).expect(1);
    let said = umount.errors();
    for text in [
        format!(
            "process {} (sleep) has its working directory in {}",
            inside.id(),
            app.join("docs").display()
        ),
        format!(
            "process {} (sleep) runs {}",
            program.id(),
            app.join("sleep").display()
        ),
        format!("process {} (", std::process::id()),
        format!("has {} open", app.join("README.md").display()),
        "hint: close what holds it".to_owned(),
    ] {
        assert!(said.contains(&text), "no {text:?} in {umount}");
    }
    if nix::unistd::geteuid().is_root() {
        let below = app.join("docs");
        run(world
            .command("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&below))
        .success();
        let umount = run(&mut world.mesa(&["umount", "--timeout", "5s"])).expect(1);
        run(world.command("umount").arg(&below)).success();
        let text = format!("something is mounted at {}", below.display());
        assert!(umount.errors().contains(&text), "{umount}");
    }
    assert!(app.join("README.md").exists(), "a busy mount is gone");
    // By force it goes, whatever they do.
    let umount = run(&mut world.mesa(&["umount", "--force", "--timeout", "10s"]));
    assert!([0, 1].contains(&umount.code()), "{umount}");
    assert!(mounts_below(world.folder()).is_empty());
    for child in [&mut inside, &mut program] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn what_a_dead_daemon_left_is_unmounted() {
    let mut world = world();
    world.mount();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    for arguments in [&["umount"][..], &["umount", "--force"]] {
        world.kill_daemon_hard();
        assert_eq!(mounts_below(world.folder()).len(), 1);
        let umount = run(&mut world.mesa(arguments)).expect(4);
        assert!(umount.errors().contains("the daemon was dead"), "{umount}");
        assert!(
            umount.errors().contains("not pushed: local/app"),
            "{umount}"
        );
        assert!(mounts_below(world.folder()).is_empty());
        run(&mut world.mesa(arguments)).expect(1);
        world.mount();
    }
    world.start_server();
    world.flush_and_compare("app");
}
