//! For tests: a server that answers as a closure says, and remembers what it was asked.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
pub(super) use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::exchange::Limits;
use super::{Client, Remote, RepositoryName};
use crate::secrets::{Credential, Secrets};
use crate::tree::ContentSource;

/// One request, whole.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) struct Fake {
    runtime: Runtime,
    address: SocketAddr,
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(super) fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Fake {
        Fake::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// One at an address, such as that of one that was stopped.
    pub(super) fn start_at(
        address: SocketAddr,
        answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    ) -> Fake {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let remembered = seen.clone();
        let handler = move |request: Request| {
            let (answer, remembered) = (answer.clone(), remembered.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let seen = Seen {
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    headers: head.headers,
                    body,
                };
                remembered.lock().push(seen.clone());
                // An answer may take its time; the client's timers run on the same threads.
                let answering = tokio::task::spawn_blocking(move || answer(&seen));
                answering.await.unwrap()
            }
        };
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}/v1");
        let router = Router::new().fallback(handler);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Fake {
            runtime,
            address,
            base,
            seen,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    pub(super) fn client(&self, credential: &str) -> Client {
        client_at(&self.base, credential)
    }

    pub(super) fn remote(&self, patience: Duration) -> Arc<Remote> {
        let handle = self.runtime.handle().clone();
        Remote::with_patience(self.client("mesa_key"), handle, patience)
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// No more connections from now on.
    pub(super) fn stop(self) {
        self.runtime.shutdown_background();
    }
}

pub(super) fn client_at(base: &str, credential: &str) -> Client {
    let credential = Credential::try_from(credential.to_owned()).unwrap();
    let secrets = Secrets::of(credential);
    let limits = Limits {
        chunk: Duration::from_millis(300),
        upload: Duration::from_secs(5),
        upload_doubtful: Duration::from_millis(300),
    };
    Client::with_limits(base, Arc::new(secrets), limits).unwrap()
}

pub(super) fn repository() -> RepositoryName {
    RepositoryName::new("acme", "app").unwrap()
}

pub(super) fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}

pub(super) fn error(status: u16, code: &str) -> Response {
    let body = json!({"error": {"code": code, "message": "for the test"}});
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

pub(super) fn whoami(extensions: &[&str]) -> Response {
    ok(json!({
        "org": {"id": "o", "slug": "acme", "name": "Acme"},
        "scopes": ["read", "write"],
        "extensions": extensions,
    }))
}

pub(super) fn change(id: &str, commit: &str, message: &str) -> Response {
    ok(json!({
        "id": id, "current_commit_oid": commit, "message": message,
        "committer": {"name": "a", "email": "b", "date": "2025-06-15T15:06:40Z"},
        "parents": [], "created_at": "2025-06-15T15:06:40Z", "updated_at": "2025-06-15T15:06:40Z",
    }))
}

pub(super) fn raw(bytes: impl Into<Body>) -> Response {
    Response::new(bytes.into())
}

/// A body in a file, which may be said to have changed.
#[derive(Debug)]
pub(super) struct FileBody {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) unchanged: Arc<AtomicBool>,
}

impl ContentSource for FileBody {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    fn is_unchanged(&self) -> bool {
        self.unchanged.load(Ordering::Relaxed)
    }
}
