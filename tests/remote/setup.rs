//! A real server over a real repository, and a client of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mesa::lower::{EntryKind, Lower, Pin, Store, Want};
use mesa::remote::{Along, Client, Pusher, Remote, RepositoryName, RepositorySource, Target};
use mesa::secrets::{Credential, Secrets};
use mesa::server::{Options, start};
use mesa::tree::{ContentSource, GitOid, TreePath};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
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
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {talk}");
    output.stdout
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// Git's own listing of a commit: mode, kind, sha and path of everything, trees included.
pub(crate) fn listed(repository: &Path, commit: &str) -> BTreeMap<Vec<u8>, String> {
    let output = git(repository, &["ls-tree", "-rtz", commit]);
    output
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
            let head = String::from_utf8(line[..tab].to_vec()).unwrap();
            (line[tab + 1..].to_vec(), head)
        })
        .collect()
}

pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) remote: Arc<Remote>,
    pub(crate) repository: RepositoryName,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: Option<JoinHandle<()>>,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        Setup::with(sample)
    }

    /// A server with the repository that `make` makes.
    pub(crate) fn with(make: impl FnOnce(&Path)) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("sample"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::new(folder.path().join("server"));
        options.imports = vec![("app".into(), folder.path().join("sample"))];
        let running = runtime.block_on(start(options)).unwrap();
        let base = running.url();
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(async move {
            let stopped = async {
                drop(stopped.await);
            };
            running.wait_until(stopped).await.unwrap();
        });
        let key = fs::read_to_string(folder.path().join("server/admin.key")).unwrap();
        let credential = Credential::try_from(key).unwrap();
        let secrets = Secrets::of(credential);
        let client = Client::new(&base, Arc::new(secrets)).unwrap();
        let remote = Remote::new(client, runtime.handle().clone());
        Setup {
            folder,
            runtime,
            remote,
            repository: RepositoryName::new("local", "app").unwrap(),
            stop: Some(stop),
            served: Some(served),
        }
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap();
        }
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.path().join("server/orgs/local/app.git")
    }

    pub(crate) fn pin(&self) -> Pin {
        let resolved =
            self.remote
                .resolve(&self.repository, &Target::DefaultBookmark, Along::default());
        resolved.unwrap().pin
    }

    pub(crate) fn lower(&self, pin: Pin) -> Arc<Lower> {
        let store = Store::open(&self.folder.path().join("cache")).unwrap();
        let source = RepositorySource::new(self.remote.clone(), self.repository.clone());
        Arc::new(Lower::new(Arc::new(store), Arc::new(source), pin))
    }

    pub(crate) fn pusher(&self, lower: &Arc<Lower>) -> Pusher {
        Pusher::new(self.remote.clone(), self.repository.clone(), lower.clone())
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

pub(crate) fn sample(folder: &Path) {
    fs::create_dir_all(folder.join("src/deep/er")).unwrap();
    fs::create_dir_all(folder.join("many")).unwrap();
    git(folder, &["init", "-q", "-b", "trunk"]);
    fs::write(folder.join("README.md"), "hello\n").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(
        folder.join("src/deep/er/\u{fc}n\u{ef} c\u{f6}d\u{e9}"),
        [0, 159],
    )
    .unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"src/latin-\xe9")), "bytes").unwrap();
    fs::write(folder.join("large"), vec![7; 3 * 1024 * 1024]).unwrap();
    fs::write(folder.join("x".repeat(255)), "long name").unwrap();
    fs::write(folder.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("src/deep", folder.join("link")).unwrap();
    for number in 0..300 {
        let path = folder.join(format!("many/{number}"));
        fs::write(path, format!("number {number}")).unwrap();
    }
    git(folder, &["add", "-A"]);
    let module = "160000,1234567890123456789012345678901234567890,vendor";
    git(folder, &["update-index", "--add", "--cacheinfo", module]);
    git(folder, &["commit", "-q", "-m", "first"]);
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

/// Walks everything as the overlay would: look, fetch what is missing, look again.
pub(crate) fn walk(lower: &Lower) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(TreePath::ROOT, lower.pin().tree)];
    while let Some((path, oid)) = waiting.pop() {
        if lower.listing(oid).unwrap().is_none() {
            let path = path.clone();
            lower.fetch(&Want::Listing { path, oid }).unwrap();
        }
        for entry in lower.listing(oid).unwrap().unwrap().entries() {
            let path = path.join(&entry.name).unwrap();
            let oid = entry.oid;
            let head = match entry.kind {
                EntryKind::Directory => {
                    waiting.push((path.clone(), oid));
                    format!("040000 tree {oid}")
                }
                EntryKind::Submodule => format!("160000 commit {oid}"),
                EntryKind::File => format!("100644 blob {oid}"),
                EntryKind::Executable => format!("100755 blob {oid}"),
                EntryKind::Symlink => format!("120000 blob {oid}"),
            };
            if !matches!(entry.kind, EntryKind::Directory | EntryKind::Submodule) {
                let bytes = content(lower, &path, oid, entry.size);
                assert_eq!(bytes.len() as u64, entry.size);
            }
            found.insert(path.as_bytes().to_vec(), head);
        }
    }
    found
}

/// The bytes, which the lower layer has verified against `oid`.
pub(crate) fn content(lower: &Lower, path: &TreePath, oid: GitOid, size: u64) -> Vec<u8> {
    if lower.object(oid).unwrap().is_none() {
        let path = path.clone();
        lower.fetch(&Want::Object { path, oid, size }).unwrap();
    }
    let mut bytes = Vec::new();
    let mut file = lower.object(oid).unwrap().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[derive(Debug)]
pub(crate) struct Body(pub(crate) PathBuf);

impl ContentSource for Body {
    fn size(&self) -> u64 {
        fs::metadata(&self.0).unwrap().len()
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.0)
    }

    fn is_unchanged(&self) -> bool {
        true
    }
}
