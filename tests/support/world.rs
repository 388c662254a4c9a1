//! One test's world: a temporary folder, a server, a token, and a mount, all taken away on drop.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::faults::FaultProxy;
use super::fixture;
use super::kernel;
use super::process::{Finished, Held, run};
use super::proxy::Proxy;
use super::server::Server;
use super::tree::{GitFolder, Tree};
use super::watchdog::{show_end, watch};

/// The organization that `mesa serve` has unless told otherwise.
pub const ORG: &str = "local";
/// A killed process is gone within this time.
const GONE_DEADLINE: Duration = Duration::from_secs(20);
/// After this time a daemon is killed, so that a call that hangs in it fails instead.
const WATCHDOG: Duration = Duration::from_secs(150);

/// Server, token and mount of one test. Fields are dropped in this order.
pub struct World {
    daemon: Arc<Mutex<Option<Held>>>,
    watchdog: mpsc::Sender<()>,
    server: Option<Server>,
    proxy: Option<Proxy>,
    faults: Option<FaultProxy>,
    address: SocketAddr,
    imports: Vec<(String, PathBuf)>,
    settings: Vec<(String, String)>,
    pub token: String,
    folder: TempDir,
}

impl World {
    /// A server with these repositories and a token for them; nothing is mounted yet.
    pub fn serve(imports: &[(&str, &Path)]) -> World {
        kernel::require_fuse();
        let folder = tempfile::Builder::new()
            .prefix("mesa-test-")
            .tempdir()
            .unwrap();
        for name in ["home", "mnt"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let daemon = Arc::new(Mutex::new(None));
        let mut world = World {
            watchdog: watch(Arc::clone(&daemon), WATCHDOG),
            daemon,
            server: None,
            proxy: None,
            faults: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            imports: imports
                .iter()
                .map(|(name, path)| ((*name).to_owned(), (*path).to_owned()))
                .collect(),
            settings: kernel::modes(),
            token: String::new(),
            folder,
        };
        world.start_server();
        // The repositories are in the server's data from now on.
        let repos = std::mem::take(&mut world.imports);
        let repos: Vec<&str> = repos.iter().map(|(name, _)| name.as_str()).collect();
        world.token = world.mint("1h", &repos);
        world
    }

    /// A mounted world with a small repository `app`.
    pub fn small() -> World {
        let source = TempDir::new().unwrap();
        let repository = fixture::small(source.path());
        World::with("app", &repository)
    }

    /// A mounted world with one repository.
    pub fn with(name: &str, repository: &Path) -> World {
        let mut world = World::serve(&[(name, repository)]);
        world.mount();
        world
    }

    /// Sets a variable for every `mesa` from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Lets a test that is made of many rounds take this long, from now.
    pub fn watch_for(&mut self, deadline: Duration) {
        self.watchdog = watch(Arc::clone(&self.daemon), deadline);
    }

    /// The temporary folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where everything is mounted.
    pub fn mount_point(&self) -> PathBuf {
        self.folder().join("mnt")
    }

    /// The state that the daemon keeps.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// A mounted repository.
    pub fn repo(&self, name: &str) -> PathBuf {
        self.mount_point().join(ORG).join(name)
    }

    /// The same repository in the server's data.
    pub fn bare(&self, name: &str) -> PathBuf {
        self.folder().join(format!("server/orgs/{ORG}/{name}.git"))
    }

    /// Where the client reaches the server.
    pub fn url(&self) -> String {
        let address = self.proxy.as_ref().map_or(self.address, Proxy::address);
        let address = self.faults.as_ref().map_or(address, FaultProxy::address);
        format!("http://{address}/v1")
    }

    /// Where the server is reached without the proxy.
    pub fn server_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The address of that.
    pub fn server_address(&self) -> SocketAddr {
        self.address
    }

    /// Any program, in an environment of this world and of nothing else.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder().join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("RUST_BACKTRACE", "1");
        command
    }

    /// `mesa`, configured for this world.
    pub fn mesa(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_mesa"));
        command
            .env("MESA_NO_CONFIG_FILE", "1")
            .env("MESA_API_URL", self.url())
            .env("MESA_ORG", ORG)
            .env("MESA_API_KEY", &self.token)
            .env("MESA_MOUNT_POINT", self.mount_point())
            .env("MESA_DATA_DIR", self.data())
            .env("MESA_RUNTIME_DIR", self.folder().join("run"))
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .args(arguments);
        command
    }

    /// A token for some repositories, signed with the server's admin key.
    pub fn mint(&self, lifetime: &str, repos: &[&str]) -> String {
        let key = fs::read_to_string(self.folder().join("server/admin.key")).unwrap();
        let mut command = self.mesa(&["token", "create", "--scope", "read,write"]);
        command.args(["--ttl", lifetime]);
        for repo in repos {
            command.args(["--repo", &format!("{ORG}/{repo}")]);
        }
        // Whoever makes tokens is not behind the network of the sandbox, nor its faults.
        command.env("MESA_API_URL", self.server_url());
        run(command.env("MESA_API_KEY", key.trim()))
            .success()
            .text()
    }

    /// Starts the server, where it was if it ran before.
    pub fn start_server(&mut self) {
        let mut command = self.command(env!("CARGO_BIN_EXE_mesa"));
        let data = self.folder().join("server");
        let server = Server::start(&mut command, &data, self.address, &self.imports);
        self.address = server.address();
        self.server = Some(server);
    }

    /// Kills the server: its port refuses from now on.
    pub fn stop_server(&mut self) {
        self.server = None;
    }

    /// Puts a counting proxy between client and server, before the mount.
    pub fn count_requests(&mut self) {
        assert!(self.daemon.lock().is_none(), "already mounted");
        self.proxy = Some(Proxy::start(self.address));
    }

    /// The proxy.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// Puts a proxy that does harm between client and server, before the mount.
    pub fn harm_requests(&mut self) {
        assert!(self.daemon.lock().is_none(), "already mounted");
        self.faults = Some(FaultProxy::start(self.address));
    }

    /// The proxy that does harm.
    pub fn faults(&self) -> &FaultProxy {
        self.faults.as_ref().unwrap()
    }

    /// Mounts in the background, and holds the daemon. Nobody starts it again when it dies.
    #[track_caller]
    pub fn mount(&mut self) {
        run(&mut self.mesa(&["mount", "--daemonize", "--no-supervisor"])).success();
        self.adopt();
    }

    /// Mounts in the background as users do, with a supervisor, and holds the daemon.
    #[track_caller]
    pub fn mount_supervised(&mut self, arguments: &[&str]) {
        run(self.mesa(&["mount", "--daemonize"]).args(arguments)).success();
        self.adopt();
    }

    /// Where the control socket is, and the supervisor's state.
    pub fn runtime(&self) -> PathBuf {
        self.folder().join("run")
    }

    /// The supervisor, as it says itself.
    pub fn supervisor(&self) -> Option<Held> {
        let text = fs::read(self.runtime().join("supervisor.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Held::of(u32::try_from(state["process"].as_u64()?).ok()?).ok()
    }

    /// Holds the daemon that `mesa status` tells of.
    #[track_caller]
    pub fn adopt(&mut self) {
        let pid = self.status()["pid"].as_u64();
        let pid = u32::try_from(pid.expect("status tells no pid")).unwrap();
        // Other users than root may not look at a process that guards its secrets.
        if let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) {
            assert_eq!(program, Path::new(env!("CARGO_BIN_EXE_mesa")));
        }
        kernel::check_transport(pid);
        *self.daemon.lock() = Some(Held::of(pid).unwrap());
    }

    /// Unmounts, with everything that `mesa umount` says.
    #[track_caller]
    pub fn unmount(&mut self, timeout: &str) -> Finished {
        let finished = run(&mut self.mesa(&["umount", "--timeout", timeout]));
        // Whatever remains unpushed, the mount is gone then; with another failure it stays.
        if [0, 4, 5].contains(&finished.code()) {
            let daemon = self.daemon.lock().take().expect("no daemon");
            assert!(
                daemon.ends_within(GONE_DEADLINE),
                "the daemon lives on after: {finished}"
            );
        }
        finished
    }

    /// Kills the daemon with -9 and waits until it is gone; the dead mount stays.
    pub fn kill_daemon_hard(&mut self) {
        let daemon = self.daemon.lock().take();
        let daemon = daemon.expect("no daemon to kill");
        daemon.kill();
        assert!(daemon.ends_within(GONE_DEADLINE), "kill -9 had no effect");
    }

    /// Kills supervisor and daemon, in this order, and waits until both are gone.
    pub fn kill_and_forget(&mut self) {
        if let Some(supervisor) = self.supervisor() {
            supervisor.kill();
            supervisor.ends_within(GONE_DEADLINE);
        }
        if let Some(daemon) = self.daemon.lock().take() {
            daemon.kill();
            daemon.ends_within(GONE_DEADLINE);
        }
    }

    /// Every process of ours that runs on data of this world, whoever started it.
    pub fn processes(&self) -> Vec<Held> {
        let ours = format!("MESA_DATA_DIR={}/", self.folder().display());
        let program = Path::new(env!("CARGO_BIN_EXE_mesa"));
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse::<u32>().ok()
        });
        pids.filter(|pid| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                    let mut settings = environment.split(|byte| *byte == 0);
                    settings.any(|setting| setting.starts_with(ours.as_bytes()))
                })
        })
        .filter_map(|pid| Held::of(pid).ok())
        .collect()
    }

    /// Looks at the daemon's process.
    pub fn with_daemon<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(self.daemon.lock().as_ref().expect("no daemon"))
    }

    /// What `mesa status --json` says.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let finished = run(&mut self.mesa(&["status", "--json"]));
        serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| panic!("no JSON: {finished}"))
    }

    /// What `mesa status --json` says of one repository.
    #[track_caller]
    pub fn repo_status(&self, name: &str) -> serde_json::Value {
        let status = self.status();
        let repos = status["repos"].as_array().unwrap();
        let found = repos.iter().find(|repo| repo["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {status}"));
        assert_eq!(found["org"], ORG);
        found.clone()
    }

    /// Operations of a repository that the remote does not have.
    #[track_caller]
    pub fn pending(&self, name: &str) -> u64 {
        self.repo_status(name)["pending"]["operations"]
            .as_u64()
            .unwrap()
    }

    /// Pushes everything.
    #[track_caller]
    pub fn flush(&self) {
        run(&mut self.mesa(&["journal", "flush", "--timeout", "60s"])).success();
    }

    /// The tree of a repository as mounted.
    pub fn local_tree(&self, name: &str) -> Tree {
        Tree::walk(&self.repo(name), GitFolder::Walked)
    }

    /// The tree of the change that takes a repository's edits, as Git reads it.
    #[track_caller]
    pub fn remote_tree(&self, name: &str) -> Tree {
        let status = self.repo_status(name);
        let commit = status["change"]["commit_oid"].as_str();
        let commit = commit.unwrap_or_else(|| panic!("nothing was pushed: {status}"));
        Tree::of_commit(&self.bare(name), commit)
    }

    /// Flushes, and checks that the remote has exactly what is mounted.
    #[track_caller]
    pub fn flush_and_compare(&self, name: &str) -> Tree {
        self.flush();
        assert_eq!(self.pending(name), 0, "a flush that left something");
        let local = self.local_tree(name);
        self.remote_tree(name)
            .assert_equals(&local, "remote (left) and mount (right)");
        local
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_and_forget();
        self.server = None;
        for stray in self.processes() {
            stray.kill();
            stray.ends_within(GONE_DEADLINE);
        }
        if thread::panicking() {
            for log in ["server.log", "data/daemon.log"] {
                show_end(&self.folder().join(log));
            }
        }
        for point in kernel::mounts_below(self.folder()) {
            kernel::detach(&point);
        }
    }
}
