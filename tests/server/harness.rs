//! A server in a temporary directory, a client, and git run hermetically.

use crate::contract;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesa::server::{Options, start};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const SUBMODULE: &str = "1234567890123456789012345678901234567890";

/// Runs git hermetically and returns what it printed.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_COMMITTER_NAME", "Ann")
        .env("GIT_COMMITTER_EMAIL", "ann@example.com")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with one of everything that a tree can hold, and two commits.
pub fn sample(folder: &Path) {
    fs::create_dir_all(folder.join("src/deep/er")).unwrap();
    git(folder, &["init", "-q", "-b", "trunk"]);
    fs::write(folder.join("README.md"), "hello\n").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(
        folder.join("src/deep/er/\u{fc}n\u{ef} c\u{f6}d\u{e9}"),
        [0, 159, 146, 150],
    )
    .unwrap();
    fs::write(folder.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("src/deep", folder.join("link")).unwrap();
    git(folder, &["add", "-A"]);
    git(
        folder,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{SUBMODULE},vendor"),
        ],
    );
    git(folder, &["commit", "-q", "-m", "first"]);
    fs::write(folder.join("README.md"), "hello, world\n").unwrap();
    git(folder, &["add", "README.md"]);
    git(folder, &["commit", "-q", "-m", "second"]);
}

/// A server in a temporary directory, stopped and removed with the value.
pub struct Server {
    pub folder: TempDir,
    pub base: String,
    pub client: Client,
    pub key: String,
    pub stop: Option<oneshot::Sender<()>>,
    pub served: Option<JoinHandle<()>>,
}

impl Drop for Server {
    /// Threads of the server may still write for a moment, and a file that appears while the folder
    /// is removed would keep it.
    fn drop(&mut self) {
        drop(self.stop.take());
        for _ in 0..100 {
            match fs::remove_dir_all(self.folder.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                _ => break,
            }
        }
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.bytes).unwrap()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{text}");
        let value = self.json();
        if status >= 400 {
            assert!(value["error"]["code"].is_string() && value["error"]["message"].is_string());
        }
        value
    }
}

impl Server {
    pub async fn new(imports: &[(&str, &Path)]) -> Server {
        let mut server = Server::stopped();
        server.start(imports).await;
        server
    }

    /// A server with one repository, `app`, in which there is nothing.
    pub async fn with_app() -> Server {
        let server = Server::new(&[]).await;
        let new = json!({"name": "app"});
        server.post("/local/repos", new).await.expect(201);
        server
    }

    /// A server that is not started yet.
    pub fn stopped() -> Server {
        Server {
            folder: tempfile::tempdir().unwrap(),
            base: String::new(),
            client: Client::builder().no_proxy().build().unwrap(),
            key: String::new(),
            stop: None,
            served: None,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn options(&self, imports: &[(&str, &Path)]) -> Options {
        let mut options = Options::new(self.data());
        options.imports = imports
            .iter()
            .map(|(name, path)| ((*name).to_owned(), path.to_path_buf()))
            .collect();
        options
    }

    pub async fn start(&mut self, imports: &[(&str, &Path)]) {
        self.start_with(self.options(imports)).await;
    }

    pub async fn start_with(&mut self, options: Options) {
        // Between its fork and its exec a process that another test starts has our files, too, and
        // with them the lock of the data directory.
        let begun = Instant::now();
        let running = loop {
            match start(options.clone()).await {
                Err(mesa::server::Error::InUse { .. })
                    if begun.elapsed() < Duration::from_secs(10) =>
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                started => break started.unwrap(),
            }
        };
        self.base = running.url();
        self.key = fs::read_to_string(self.data().join("admin.key"))
            .unwrap()
            .trim()
            .to_owned();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.served = Some(tokio::spawn(async move {
            running
                .wait_until(async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        }));
    }

    pub async fn stop(&mut self) {
        // Idle connections are the client's to close.
        self.client = Client::builder().no_proxy().build().unwrap();
        drop(self.stop.take());
        self.served.take().unwrap().await.unwrap();
    }

    /// Sends a request, and holds its answer to the document of what is served.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let answer = Answer {
            status: response.status(),
            headers: response.headers().clone(),
            bytes: response.bytes().await.unwrap().to_vec(),
        };
        let kind = answer.headers.get("content-type");
        let kind = kind.map(|kind| kind.to_str().unwrap());
        let status = answer.status.as_u16();
        contract::check(&method, &path, status, kind, &answer.bytes);
        answer
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body))
            .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A request with another credential than the first key.
    pub async fn with(&self, credential: &str, method: Method, path: &str, body: Value) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.bearer_auth(credential);
        let request = match body {
            Value::Null => request,
            body => request.json(&body),
        };
        self.send(request).await
    }

    pub async fn bytes(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        self.send(request.header("accept", "application/octet-stream"))
            .await
    }

    pub fn bare(&self, name: &str) -> PathBuf {
        self.data().join(format!("orgs/local/{name}.git"))
    }

    /// What Git thinks of the repository, and a commit's tree with directories.
    pub fn tree(&self, name: &str, commit: &str) -> BTreeMap<String, String> {
        let bare = self.bare(name);
        git(&bare, &["fsck", "--strict", "--full", "--no-dangling"]);
        let listed = git(&bare, &["ls-tree", "-r", "-t", "-z", commit]);
        listed
            .split_terminator('\0')
            .map(|line| {
                let (facts, path) = line.split_once('\t').unwrap();
                (path.to_owned(), facts.to_owned())
            })
            .collect()
    }

    pub async fn key_id(&self) -> String {
        let whoami = self.get("/whoami").await.expect(200);
        whoami["key_id"].as_str().unwrap().to_owned()
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub fn upsert(path: &str, bytes: &[u8]) -> Value {
    json!({"path": path, "content": STANDARD.encode(bytes)})
}

pub async fn sample_server() -> (TempDir, Server) {
    let source = tempfile::tempdir().unwrap();
    sample(source.path());
    let server = Server::new(&[("app", source.path())]).await;
    (source, server)
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
