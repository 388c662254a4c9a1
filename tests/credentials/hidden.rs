//! Where a credential is not: in no log, no core, no argument list, no child's environment, no status,
//! no state file, no mount and no panic. It is in its store, and, where the environment is what gave
//! it, in the daemon's own environment, which nobody but root can read.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::DEADLINE;
use crate::case::{Case, Renewal};
use crate::support::process::{run, run_with_input};
use crate::support::stopwatch::wait_until;
use crate::support::world::{ORG, World};

/// What must not be found: the tokens, and the parts that are secret in them.
struct Needles(Vec<Vec<u8>>);

impl Needles {
    fn of(tokens: &[&str]) -> Needles {
        let signatures = tokens.iter().filter_map(|token| token.rsplit('.').next());
        let all = tokens.iter().copied().chain(signatures);
        Needles(all.map(|text| text.as_bytes().to_vec()).collect())
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| {
            let mut windows = bytes.windows(needle.len());
            windows.any(|window| window == needle.as_slice())
        })
    }

    #[track_caller]
    fn assert_not_in(&self, what: &str, bytes: &[u8]) {
        assert!(!self.is_in(bytes), "a credential is in {what}");
    }

    /// The files below a folder that have one.
    fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"))
            {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_file() && self.is_in(&fs::read(&path).unwrap()) {
                    found.push(path);
                } else if kind.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    self.assert_not_in("a link", target.as_os_str().as_encoded_bytes());
                } else {
                    assert!(kind.is_file() || kind.is_socket(), "{path:?}");
                }
            }
        }
        found
    }
}

/// A world with a vault, whose daemon has seen tokens by every way but its own environment.
fn busy_world() -> (World, Vec<String>) {
    let case = Case::mount(Renewal::Remount, "1h");
    let mut world = case.world;
    world.unmount("10s").success();
    world.set("MESA_SECRETS_BACKEND", "encrypted-file");
    world.set("MESA_VAULT_PASSPHRASE", "correct horse battery staple");
    world.set("MESA_LOG_LEVEL", "trace");
    let mut tokens = vec![std::mem::take(&mut world.token)];
    let stored = world.mint("1h", &["app"]);
    run_with_input(&mut world.mesa(&["auth", "set-key", "--org", ORG]), &stored).success();
    tokens.push(stored);
    let helper = world.folder().join("helper");
    // A helper that says what it should not.
    let chatty = world.mint("1h", &["app"]);
    fs::write(
        &helper,
        format!("echo got {chatty} >&2; echo {chatty}; exit 1\n"),
    )
    .unwrap();
    let command = format!("sh {}", helper.display());
    world.set("MESA_SECRETS_COMMAND", &command);
    tokens.push(chatty);
    world.mount();
    let handed = world.mint("1h", &["app"]);
    run_with_input(&mut world.mesa(&["auth", "set-key", "--memory"]), &handed).success();
    tokens.push(handed);
    let app = world.repo("app");
    fs::write(app.join("edit"), "edit\n").unwrap();
    fs::read(app.join("docs/one.md")).unwrap();
    world.flush_and_compare("app");
    // Trouble, of which everything tells: a server that takes nothing any more.
    world.stop_server();
    let keys = world.folder().join("server/keys.json");
    let mut table: serde_json::Value = serde_json::from_slice(&fs::read(&keys).unwrap()).unwrap();
    table["keys"][0]["revoked_at"] = 1.into();
    fs::write(&keys, table.to_string()).unwrap();
    world.start_server();
    fs::write(app.join("later"), "after the end\n").unwrap();
    wait_until("the helper was asked, too", DEADLINE, || {
        let troubles = world.status()["credential"]["store_troubles"].to_string();
        troubles.contains("(masked)")
    });
    (world, tokens)
}

#[test]
fn a_credential_is_in_its_store_and_nowhere_else() {
    let (mut world, tokens) = busy_world();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let needles = Needles::of(&tokens);
    let passphrase = Needles(vec![b"correct horse battery staple".to_vec()]);
    let app = world.repo("app");

    // What it says, in every form.
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["auth", "status", "--json"],
        &["auth", "list", "--json"],
        &["auth", "list"],
        &["journal", "list", "--json"],
        &["journal", "show", "--repo", "local/app", "--json"],
        &["journal", "flush", "--timeout", "1s"],
        &[
            "journal",
            "export",
            "--repo",
            "local/app",
            "--format",
            "patch",
        ],
        &["--log-level", "trace", "publish", "--timeout", "1s"],
        &["mount", "--daemonize"],
    ] {
        let said = run(&mut world.mesa(arguments));
        needles.assert_not_in(&format!("what {arguments:?} says"), &said.stdout);
        needles.assert_not_in(&format!("what {arguments:?} tells"), &said.stderr);
    }
    // What others can see of the processes; children of the daemon were given nothing.
    let pid = world.with_daemon(|daemon| daemon.pid);
    for process in world.processes() {
        let arguments = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap();
        needles.assert_not_in("an argument list", &arguments);
        passphrase.assert_not_in("an argument list", &arguments);
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    needles.assert_not_in(
        "the environment of a daemon that got its key elsewhere",
        &environment,
    );
    // What is on the mount, and in the state; the log is among it, at its most talkative.
    assert!(needles.files(&app).is_empty());
    let log = fs::read_to_string(world.data().join("daemon.log")).unwrap();
    assert!(log.contains("the server refuses the credential"), "{log}");
    assert!(log.contains("(masked)"), "{log}");
    for folder in [
        world.data(),
        world.folder().join("run"),
        world.folder().join("home"),
    ] {
        assert_eq!(needles.files(&folder), Vec::<PathBuf>::new());
        assert_eq!(passphrase.files(&folder), Vec::<PathBuf>::new());
    }
    // The search itself finds what is there: the same, in a plaintext store.
    world.unmount("1s");
    world.set("MESA_SECRETS_BACKEND", "plaintext-file");
    run_with_input(&mut world.mesa(&["auth", "set-key"]), tokens[1]).success();
    let store = world.data().join("secrets.plaintext.toml");
    assert_eq!(needles.files(&world.data()), [store]);
}

/// A command that may not look into processes which do not allow it: root may, unless it gives that up.
fn without_privilege(world: &World, program: &str) -> Command {
    if !nix::unistd::Uid::effective().is_root() {
        return world.command(program);
    }
    let mut command = world.command("setpriv");
    command.args([
        "--bounding-set=-sys_ptrace",
        "--inh-caps=-sys_ptrace",
        program,
    ]);
    command
}

#[test]
fn nobody_but_root_can_look_into_the_daemon_or_have_its_core() {
    let mut world = Case::mount(Renewal::Remount, "1h").world;
    world.unmount("10s").success();
    let mesa = world.mesa(&["mount", "--daemonize"]);
    let mut mount = without_privilege(&world, env!("CARGO_BIN_EXE_mesa"));
    mount.args(mesa.get_args());
    for (name, value) in mesa.get_envs() {
        mount.env(name, value.unwrap_or_default());
    }
    run(&mut mount).success();
    world.adopt();
    let pid = world.with_daemon(|daemon| daemon.pid);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let numbers: Vec<&str> = line.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{line:?}");
    // The same user, with the same privileges, can look into another program of his.
    let mut other = without_privilege(&world, "sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let look = |pid: u32| {
        let path = format!("/proc/{pid}/mem");
        run(without_privilege(&world, "head").args(["-c", "1", &path])).expect(1)
    };
    wait_until("a process that can be looked into", DEADLINE, || {
        let name = fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap();
        name.trim() == "sleep"
    });
    // Nothing is at address 0, which is to have been let in.
    let let_in = look(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(let_in.errors().contains("Input/output error"), "{let_in}");
    let refused = look(pid);
    assert!(refused.errors().contains("Permission denied"), "{refused}");
    // And what aborts leaves nothing behind: its current directory is the root.
    let cores = || {
        let names = fs::read_dir("/")
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.as_encoded_bytes().starts_with(b"core"))
            .count()
    };
    let before = cores();
    world.with_daemon(|daemon| {
        daemon.signal(libc::SIGABRT);
        assert!(daemon.ends_within(DEADLINE));
    });
    assert_eq!(cores(), before);
}
