//! Reads of `mesa serve` beside `git http-backend` behind nginx, on the same repository: how many files
//! a second each hands out, by one load generator, in turns.
//!
//! `git http-backend` gives a file as a loose object, compressed as it lies on the disk, which is the
//! least that it can do; we give it by its path in a commit, and by its id. Both are asked over
//! connections that stay open. Wants nginx, fcgiwrap and wrk, and says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails is no measurement"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::git::{git_text, initialise};
use crate::support::process::run;
use crate::support::world::World;

#[path = "../tests/support/mod.rs"]
mod support;

/// Turns of each, of which the median counts.
const TURNS: usize = 5;
const SECONDS: &str = "3s";
const CONNECTIONS: &str = "16";
/// We hand out at least so many times as many.
const TARGET: f64 = 3.0;
/// Bytes of the file: a source file.
const FILE_BYTES: usize = 8_000;

/// A program in the foreground, with a process group of its own that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let command = command.process_group(0).stdin(Stdio::null());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

fn main() -> ExitCode {
    for (program, package) in [
        ("nginx", "nginx-light"),
        ("fcgiwrap", "fcgiwrap"),
        ("wrk", "wrk"),
    ] {
        let found = Command::new("which").arg(program).output().unwrap();
        if !found.status.success() {
            println!("no {program}: apt-get install {package}");
            return ExitCode::FAILURE;
        }
    }
    let source = tempfile::tempdir().unwrap();
    let text: String = (0..)
        .map(|line| format!("line {line} of a file\n"))
        .scan(0, |bytes, line| {
            *bytes += line.len();
            (*bytes < FILE_BYTES).then_some(line)
        })
        .collect();
    let root = source.path().join("app");
    fs::create_dir_all(root.join("src/deep")).unwrap();
    for number in 0..1_000 {
        fs::write(
            root.join(format!("src/{number}.txt")),
            format!("{number}\n"),
        )
        .unwrap();
    }
    fs::write(root.join("src/deep/file.txt"), text).unwrap();
    initialise(&root);
    let sha = git_text(&root, &["rev-parse", "HEAD:src/deep/file.txt"]);
    let commit = git_text(&root, &["rev-parse", "HEAD"]);
    let (sha, commit) = (sha.trim(), commit.trim());

    let world = World::serve(&[("app", &root)]);
    let (_nginx, _fcgiwrap, port) = backend(&world, &root);
    let token = &world.token;
    let mesa = world.url();
    let object = format!("{}/{}", &sha[..2], &sha[2..]);
    let ways = [
        (
            "git http-backend",
            format!("http://127.0.0.1:{port}/app/.git/objects/{object}"),
        ),
        (
            "mesa, by path",
            format!("{mesa}/local/app/content?path=src/deep/file.txt&commit_oid={commit}"),
        ),
        (
            "mesa, by id",
            format!("{mesa}/local/app/ext/blobs/{sha}?commit_oid={commit}"),
        ),
    ];
    let mut found = vec![Vec::new(); ways.len()];
    for _ in 0..TURNS {
        for ((_, url), found) in ways.iter().zip(&mut found) {
            found.push(rate(&world, url, token));
        }
    }
    let medians: Vec<f64> = found
        .into_iter()
        .map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[TURNS / 2]
        })
        .collect();
    let mut is_good = true;
    for ((name, _), median) in ways.iter().zip(&medians) {
        let ratio = median / medians[0];
        println!("{name}: {median:.0} files/s, {ratio:.1} times git http-backend");
        is_good &= *name == "git http-backend" || ratio >= TARGET;
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        println!("target missed: {TARGET} times");
        ExitCode::FAILURE
    }
}

/// nginx before `git http-backend`, as Git's manual sets it up.
fn backend(world: &World, root: &Path) -> (Running, Running, u16) {
    let folder = world.folder().join("nginx");
    fs::create_dir(&folder).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let socket = folder.join("fcgi.sock");
    let exec_path = run(world.command("git").arg("--exec-path"))
        .success()
        .text();
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let configuration = format!(
        "daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
         events {{}}
         http {{
             access_log off; keepalive_requests 1000000;
             client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
             uwsgi_temp_path {folder}; scgi_temp_path {folder};
             server {{
                 listen 127.0.0.1:{port};
                 location / {{
                     fastcgi_pass unix:{socket};
                     fastcgi_param SCRIPT_FILENAME {exec_path}/git-http-backend;
                     fastcgi_param GIT_PROJECT_ROOT {projects};
                     fastcgi_param GIT_HTTP_EXPORT_ALL 1;
                     fastcgi_param PATH_INFO $uri;
                     fastcgi_param QUERY_STRING $query_string;
                     fastcgi_param REQUEST_METHOD $request_method;
                 }}
             }}
         }}",
        folder = folder.display(),
        socket = socket.display(),
        projects = root.parent().unwrap().display(),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let mut wrapper = world.command("fcgiwrap");
    wrapper
        .args(["-c", "4", "-s"])
        .arg(format!("unix:{}", socket.display()));
    let wrapper = Running::start(&mut wrapper);
    while !socket.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let mut nginx = world.command("nginx");
    nginx.arg("-c").arg(&file).arg("-p").arg(&folder);
    let nginx = Running::start(&mut nginx);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
    (nginx, wrapper, port)
}

/// Files a second, none of which failed.
fn rate(world: &World, url: &str, token: &str) -> f64 {
    let mut wrk = world.command("wrk");
    wrk.args(["-t", "1", "-c", CONNECTIONS, "-d", SECONDS]);
    wrk.args(["-H", &format!("Authorization: Bearer {token}")]);
    wrk.args(["-H", "Accept: application/octet-stream"])
        .arg(url);
    let said = run(&mut wrk).success().text();
    assert!(!said.contains("Non-2xx"), "{url}: {said}");
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    line.expect("wrk says no rate").trim().parse().unwrap()
}
