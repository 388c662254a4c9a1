//! What the supervisor does when the daemon dies, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::kernel::mounts_below;
use crate::support::process::{Held, run, run_with_input};
use crate::support::stopwatch::wait_until;
use crate::support::syscall::is_dead;
use crate::support::world::{ORG, World};

/// Whatever is waited for comes within this time, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// A restart on a busy machine; on an idle one it takes a fraction of a second.
const RESTART_MAX: Duration = Duration::from_secs(10);
/// The memory that a supervisor has for itself.
const SUPERVISOR_KIB_MAX: u64 = 4 << 10;

/// Kills the daemon with a signal, and waits until another one serves the mount. Gives the time in
/// which the mount did not answer.
fn kill_and_wait(world: &mut World, signal: i32) -> Duration {
    let before = world.with_daemon(|daemon| daemon.pid);
    world.with_daemon(|daemon| {
        daemon.signal(signal);
        assert!(daemon.ends_within(DEADLINE));
    });
    let start = Instant::now();
    let away = wait_for_mount(world, start);
    assert_ne!(world.with_daemon(|daemon| daemon.pid), before);
    away
}

/// Waits until the mount answers, and until its daemon does, and holds that one.
fn wait_for_mount(world: &mut World, start: Instant) -> Duration {
    let file = world.repo("app").join("README.md");
    wait_until("the mount is back", DEADLINE, || file.exists());
    let away = start.elapsed();
    wait_until("the daemon answers", DEADLINE, || {
        let status = world.status();
        status["pid"].is_u64() && status["supervisor"]["state"] == "watching"
    });
    world.adopt();
    away
}

/// A mounted world with a small repository and a supervisor.
fn supervised(arguments: &[&str]) -> World {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.mount_supervised(arguments);
    world
}

fn supervisor_says(world: &World, key: &str) -> serde_json::Value {
    world.status()["supervisor"][key].clone()
}

#[test]
fn a_daemon_that_dies_is_started_again_with_everything_as_it_was() {
    let mut world = supervised(&["--publish", "merge"]);
    let supervisor = world.supervisor().unwrap();
    let app = world.repo("app");
    world.local_tree("app");
    world.stop_server();
    let mut longest = Duration::ZERO;
    for (round, (signal, how)) in [
        (libc::SIGKILL, "killed by SIGKILL"),
        (libc::SIGABRT, "killed by SIGABRT"),
        (libc::SIGILL, "killed by SIGILL"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(app.join(format!("edit-{round}")), how).unwrap();
        longest = longest.max(kill_and_wait(&mut world, signal));
        let status = world.status();
        let supervisor = &status["supervisor"];
        assert_eq!(supervisor["state"], "watching", "{status}");
        assert_eq!(supervisor["restarts"], round + 1, "{status}");
        assert_eq!(supervisor["last_death"]["reason"], how, "{status}");
        for earlier in 0..=round {
            let edit = app.join(format!("edit-{earlier}"));
            assert!(edit.exists(), "{edit:?} is gone after round {round}");
        }
    }
    println!("a mount was back {longest:?} after the death of its daemon, at the longest");
    assert!(longest < RESTART_MAX, "{longest:?}");
    assert_eq!(world.supervisor().unwrap().pid, supervisor.pid);
    assert_eq!(mounts_below(world.folder()).len(), 1, "mounts are stacked");
    // What was only a flag of the first start holds for the last daemon as well.
    world.start_server();
    world.flush();
    let publish = world.repo_status("app")["publish"].clone();
    assert_eq!(publish["mode"], "merge");
    wait_until("published", DEADLINE, || {
        world.repo_status("app")["publish"]["state"] == "up-to-date"
    });
    world.flush_and_compare("app");
    world.unmount("30s").success();
    assert!(supervisor.ends_within(DEADLINE));
}

#[test]
fn kills_under_load_lose_nothing_and_are_pushed_by_themselves() {
    let mut world = supervised(&[]);
    let app = world.repo("app");
    let mut written = 0_u32;
    for _ in 0..4 {
        let until = written + 60;
        while written < until {
            fs::write(app.join(format!("file-{written}")), written.to_string()).unwrap();
            written += 1;
        }
        kill_and_wait(&mut world, libc::SIGKILL);
    }
    for index in 0..written {
        let text = fs::read_to_string(app.join(format!("file-{index}"))).unwrap();
        assert_eq!(text, index.to_string());
    }
    world.flush_and_compare("app");
}

#[test]
fn a_daemon_that_dies_again_and_again_is_given_up() {
    let mut world = supervised(&[]);
    let supervisor = world.supervisor().unwrap();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    let start = Instant::now();
    while !supervisor.ends_within(Duration::ZERO) {
        assert!(start.elapsed() < DEADLINE, "it is not given up");
        let pid = fs::read_to_string(world.runtime().join("mesa.pid")).unwrap_or_default();
        if let Ok(daemon) = pid
            .trim()
            .parse()
            .map_or(Err(()), |pid| Held::of(pid).map_err(drop))
            && world.runtime().join("control.sock").exists()
        {
            daemon.kill();
            daemon.ends_within(DEADLINE);
        }
    }
    println!("given up after {:?}", start.elapsed());
    // Nobody writes into the bare directory below by mistake.
    let dead = fs::metadata(world.repo("app")).unwrap_err();
    assert!(is_dead(&dead), "{dead}");
    let status = world.status();
    assert_eq!(status["state"], "stopped", "{status}");
    assert_eq!(status["supervisor"]["state"], "gave-up", "{status}");
    let restarts = status["supervisor"]["restarts"].as_u64().unwrap();
    assert_eq!(restarts, 5, "{status}");
    let shown = run(&mut world.mesa(&["status"]));
    assert!(shown.text().contains("supervisor: gave up"), "{shown}");
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    assert!(log.contains("given up: the daemon died too often"), "{log}");
    world.mount_supervised(&[]);
    assert_eq!(supervisor_says(&world, "state"), "watching");
    world.flush_and_compare("app");
}

#[test]
fn a_supervisor_that_dies_leaves_a_mount_that_says_so() {
    let mut world = supervised(&[]);
    let supervisor = world.supervisor().unwrap();
    supervisor.kill();
    assert!(supervisor.ends_within(DEADLINE));
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    assert_eq!(supervisor_says(&world, "state"), "lost");
    let shown = run(&mut world.mesa(&["status"])).success();
    assert!(shown.text().contains("supervisor: gone"), "{shown}");
    let again = run(&mut world.mesa(&["mount", "--daemonize"])).success();
    assert!(again.errors().contains("its supervisor is gone"), "{again}");
    wait_until("it is logged", DEADLINE, || {
        let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
        log.contains("the supervisor is gone")
    });
    world.flush_and_compare("app");
    world.unmount("10s").success();
    assert!(world.status()["supervisor"].is_null());
}

#[test]
fn a_supervisor_is_small_and_holds_nothing_of_the_mount() {
    let world = supervised(&[]);
    let supervisor = world.supervisor().unwrap();
    let process = |held: &Held, name: &str| format!("/proc/{}/{name}", held.pid);
    let own = supervisor.memory_kib("RssAnon").unwrap();
    println!("a supervisor has {own} KiB of memory for itself");
    assert!(own < SUPERVISOR_KIB_MAX, "{own} KiB");
    let threads = fs::read_dir(process(&supervisor, "task")).unwrap();
    assert_eq!(threads.count(), 1);
    if nix::unistd::geteuid().is_root() {
        let working = fs::read_link(process(&supervisor, "cwd")).unwrap();
        assert_eq!(working.to_str(), Some("/"));
        for entry in fs::read_dir(process(&supervisor, "fd")).unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap();
            let is_log = target == world.data().join("daemon.log");
            assert!(is_log || !target.starts_with(world.folder()), "{target:?}");
        }
        let arguments = fs::read(process(&supervisor, "cmdline")).unwrap();
        let arguments = String::from_utf8_lossy(&arguments);
        assert!(!arguments.contains(&world.token), "{arguments}");
    }
    // Both are in one session, so that whoever ends that ends both.
    let session = |held: &Held| {
        let stat = fs::read_to_string(process(held, "stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(3).unwrap().to_owned()
    };
    assert_eq!(session(&supervisor), world.with_daemon(session));
    assert_eq!(session(&supervisor), supervisor.pid.to_string());
}

#[test]
fn a_restart_needs_neither_the_folder_nor_the_file_of_the_start() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    let started_in = world.folder().join("started-in");
    fs::create_dir(&started_in).unwrap();
    let config = started_in.join("mesa.toml");
    let text = format!("mount-point = {:?}\n", world.mount_point());
    fs::write(&config, &text).unwrap();
    let mut mount = world.mesa(&["-c", "mesa.toml", "mount", "-d"]);
    mount
        .current_dir(&started_in)
        .env_remove("MESA_NO_CONFIG_FILE")
        .env_remove("MESA_MOUNT_POINT")
        .env("MESA_DATA_DIR", "../data")
        .env("MESA_RUNTIME_DIR", "../run");
    run(&mut mount).success();
    world.adopt();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    // The mount stays where it is, whatever the file says by now.
    fs::write(&config, text.replace("mnt", "elsewhere")).unwrap();
    kill_and_wait(&mut world, libc::SIGKILL);
    assert_eq!(mounts_below(world.folder()), [world.mount_point()]);
    // A folder that nobody can look into is no hindrance, and a file that cannot be read is waited for.
    fs::remove_file(&config).unwrap();
    fs::set_permissions(&started_in, fs::Permissions::from_mode(0o000)).unwrap();
    world.with_daemon(Held::kill);
    wait_until("the refusal is told", DEADLINE, || {
        let status = world.status();
        let death = status["supervisor"]["last_death"]["reason"].as_str();
        status["supervisor"]["state"] == "restarting"
            && death.is_some_and(|reason| reason.contains("mesa.toml"))
    });
    fs::set_permissions(&started_in, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&config, &text).unwrap();
    wait_for_mount(&mut world, Instant::now());
    world.flush_and_compare("app");
}

#[test]
fn a_mount_by_hand_meets_the_restart_and_waits_for_it() {
    let mut world = supervised(&[]);
    let supervisor = world.supervisor().unwrap();
    for arguments in [
        &["mount", "--daemonize"][..],
        &["mount", "--daemonize", "--no-supervisor"],
        &["mount"],
        &["mount", "--daemonize"],
    ] {
        world.with_daemon(Held::kill);
        let again = run(&mut world.mesa(arguments)).success();
        assert!(again.errors().contains("already mounted"), "{again}");
        assert!(world.repo("app").join("README.md").exists());
        assert_eq!(mounts_below(world.folder()).len(), 1, "mounts are stacked");
        world.adopt();
    }
    assert_eq!(world.supervisor().unwrap().pid, supervisor.pid);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(world.processes().len(), 2, "one supervisor, one daemon");
    }
    world.unmount("10s").success();
    // An end and a new start meet as well.
    world.mount_supervised(&[]);
    assert_eq!(supervisor_says(&world, "restarts"), 0);
}

#[test]
fn a_credential_that_was_stored_survives_the_death_of_the_daemon() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &fixture::small(source.path()))]);
    world.set("MESA_SECRETS_BACKEND", "plaintext-file");
    // The environment that the supervisor starts with again has nothing but this.
    world.token = world.mint("20s", &["app"]);
    world.mount_supervised(&[]);
    world.local_tree("app");
    wait_until("the token expires", DEADLINE, || {
        world.status()["credential"]["trouble"] == "expired"
    });
    let token = world.mint("1h", &["app"]);
    world.stop_server();
    let edit = world.repo("app").join("edit");
    fs::write(&edit, "acknowledged\n").unwrap();
    let mut set_key = world.mesa(&["auth", "set-key", "--org", ORG]);
    run_with_input(&mut set_key, &token).success();
    kill_and_wait(&mut world, libc::SIGKILL);
    assert_eq!(fs::read(&edit).unwrap(), b"acknowledged\n");
    assert!(world.pending("app") > 0, "pushed without a server");
    assert_eq!(supervisor_says(&world, "restarts"), 1);
    world.start_server();
    wait_until("drained by itself", DEADLINE, || world.pending("app") == 0);
    assert_eq!(world.status()["credential"]["store"], "plaintext");
    world.flush_and_compare("app");
}
