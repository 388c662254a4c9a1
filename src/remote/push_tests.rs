//! Pushes against scripted servers: what is sent, in how many requests, and what a lost answer means.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tempfile::TempDir;
use uuid::Uuid;

use super::api::extension;
use super::fake::{Fake, FileBody, Seen, change, error, ok, raw, repository, whoami};
use super::*;
use crate::lower::{Lower, Pin, Store};
use crate::tree::{Content, ContentSource, Edit, GitOid, Timestamp, TreePath};

mod contents;

const CHANGE: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const BASE: &str = "1111111111111111111111111111111111111111";
const NEXT: &str = "2222222222222222222222222222222222222222";
const TRANSACTION: [u8; 16] = [7; 16];
const BATCH: [u8; 16] = [9; 16];

struct Setup {
    fake: Fake,
    folder: TempDir,
    pusher: Pusher,
}

fn blob(bytes: &[u8]) -> GitOid {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    GitOid(hash.finalize().into())
}

/// What a batch has.
fn stored(batch: &[u8]) -> Vec<Value> {
    let batch = zstd::stream::decode_all(batch).unwrap();
    let mut rest = &batch[..];
    let mut blobs = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let size: usize = head.strip_prefix("blob ").unwrap().parse().unwrap();
        let bytes = &rest[end + 1..][..size];
        assert_eq!(rest[end + 1 + size], b'\n');
        blobs.push(json!({"sha": blob(bytes).to_string(), "size": size}));
        rest = &rest[end + size + 2..];
    }
    blobs
}

fn setup(extensions: &'static [&'static str]) -> Setup {
    setup_with(extensions, |seen| match seen.method {
        Method::PATCH => change(CHANGE, NEXT, ""),
        _ => error(404, "NOT_FOUND"),
    })
}

fn setup_with(
    extensions: &'static [&'static str],
    answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
) -> Setup {
    let fake = Fake::start(move |seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(extensions),
        "/v1/acme/app/ext/blobs" => ok(json!({
            "sha": blob(&seen.body).to_string(), "size": seen.body.len(),
        })),
        "/v1/acme/app/ext/blobs/missing" => ok(json!({"missing": seen.json()["objects"]})),
        "/v1/acme/app/ext/blobs/batch" => ok(json!({"blobs": stored(&seen.body)})),
        "/v1/acme/app/content" if !seen.query.contains("path=at-") => raw("lower"),
        _ => answer(seen),
    });
    let folder = tempfile::tempdir().unwrap();
    let remote = fake.remote(READ_PATIENCE);
    let pin = Pin {
        change: CHANGE.parse().unwrap(),
        commit: BASE.parse().unwrap(),
        tree: GitOid([3; 20]),
        time: Timestamp::default(),
    };
    let store = Arc::new(Store::open(&folder.path().join("cache")).unwrap());
    let source = Arc::new(RepositorySource::new(remote.clone(), repository()));
    let lower = Arc::new(Lower::new(store, source, pin));
    Setup {
        fake,
        folder,
        pusher: Pusher::new(remote, repository(), lower),
    }
}

impl Setup {
    fn push(&self, edits: &[Edit]) -> Result<Pushed, PushError> {
        self.pusher.push(&Push {
            change: CHANGE.parse().unwrap(),
            base: BASE.parse().unwrap(),
            transaction: TRANSACTION,
            batch: BATCH,
            edits,
        })
    }

    fn body(&self, name: &str, bytes: &[u8]) -> (Edit, Arc<AtomicBool>) {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let unchanged = Arc::new(AtomicBool::new(true));
        let body = FileBody {
            path,
            size: bytes.len() as u64,
            unchanged: unchanged.clone(),
        };
        let edit = Edit::File {
            path: path_of(name),
            content: Content::Body(Arc::new(body)),
            executable: false,
        };
        (edit, unchanged)
    }

    fn patches(&self) -> Vec<Value> {
        self.fake
            .seen()
            .into_iter()
            .filter(|seen| seen.method == Method::PATCH)
            .map(|seen| seen.json())
            .collect()
    }
}

fn path_of(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

fn remove(text: &str) -> Edit {
    Edit::Remove {
        path: path_of(text),
    }
}

fn lower_file(text: &str) -> Edit {
    Edit::File {
        path: path_of(text),
        content: Content::Lower {
            oid: blob(b"lower"),
            size: 5,
            from: path_of("old"),
        },
        executable: true,
    }
}

fn paths(patch: &Value) -> Vec<String> {
    let files = patch["files"].as_array().unwrap();
    files
        .iter()
        .map(|file| {
            let action = file["action"].as_str().unwrap_or("put");
            format!("{action} {}", file["path"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn everything_goes_in_one_patch_in_order() {
    let setup = setup(&extension::ALL);
    let large = vec![b'x'; 300 * 1024];
    let edits = [
        remove("a"),
        setup.body("a", b"small").0,
        setup.body("large", &large).0,
        lower_file("moved"),
        Edit::Symlink {
            path: path_of("link"),
            target: b"target".to_vec(),
        },
        Edit::Directory {
            path: path_of("empty"),
        },
        Edit::Graft {
            path: path_of("tree"),
            tree: GitOid([4; 20]),
            from: path_of("from"),
        },
    ];
    let pushed = setup.push(&edits).unwrap();
    assert_eq!(pushed.commit.to_string(), NEXT);
    assert!(pushed.kept_local.is_empty());
    let patches = setup.patches();
    assert_eq!(patches.len(), 1);
    let patch = &patches[0];
    assert_eq!(
        paths(patch),
        [
            "delete a",
            "put a",
            "put large",
            "put moved",
            "put link",
            "mkdir empty",
            "graft tree"
        ]
    );
    assert_eq!(patch["base_commit_oid"], BASE);
    let message = patch["message"].as_str().unwrap();
    let (transaction, batch) = (Uuid::from_bytes(TRANSACTION), Uuid::from_bytes(BATCH));
    assert!(message.contains(&format!(
        "\n\nMesa-Txn: {transaction}\nMesa-Batch: {batch}\n"
    )));
    let files = &patch["files"];
    assert_eq!(files[1]["blob"], blob(b"small").to_string());
    assert_eq!(files[2]["blob"], blob(&large).to_string());
    assert_eq!(files[3]["blob"], blob(b"lower").to_string());
    assert_eq!(files[3]["mode"], "100755");
    assert_eq!(files[4]["mode"], "120000");
    assert_eq!(files[6]["tree"], GitOid([4; 20]).to_string());
    // whoami, what is missing, that in one batch, one PATCH: nothing was read.
    assert_eq!(setup.fake.seen().len(), 4);
}

#[test]
fn no_edits_no_request() {
    let setup = setup(&extension::ALL);
    let pushed = setup.push(&[]).unwrap();
    assert_eq!(pushed.commit.to_string(), BASE);
    assert!(setup.fake.seen().is_empty());
}

#[test]
fn a_stock_server_gets_what_it_can_take_and_the_rest_is_named() {
    let setup = setup(&[]);
    let edits = [
        remove("a"),
        remove("b"),
        setup.body("a", b"again").0,
        lower_file("moved"),
        Edit::Symlink {
            path: path_of("link"),
            target: b"t".to_vec(),
        },
    ];
    let pushed = setup.push(&edits).unwrap();
    let kept = [KeptLocal {
        path: path_of("link"),
        reason: KeptReason::Symlink,
    }];
    assert_eq!(pushed.kept_local, kept);
    let patches = setup.patches();
    assert_eq!(paths(&patches[0]), ["delete a", "delete b"]);
    assert_eq!(paths(&patches[1]), ["put a", "put moved"]);
    assert_eq!(patches.len(), 2);
    let batch = Uuid::from_bytes(BATCH);
    let message = |index: usize| patches[index]["message"].as_str().unwrap();
    assert!(message(0).contains(&format!("Mesa-Part: {batch}")));
    assert!(message(1).contains(&format!("Mesa-Batch: {batch}")));
    assert_eq!(patches[1]["base_commit_oid"], NEXT);
    assert_eq!(patches[0]["author"]["name"], "Mesa mount");
    // "lower", read from the snapshot, since the server cannot be told its name.
    assert_eq!(patches[1]["files"][1]["content"], "bG93ZXI=");
}

#[test]
fn only_what_cannot_be_sent_is_no_request() {
    let setup = setup(&[]);
    let edits = [Edit::Directory {
        path: path_of("empty"),
    }];
    let pushed = setup.push(&edits).unwrap();
    assert_eq!(pushed.commit.to_string(), BASE);
    assert_eq!(pushed.kept_local.len(), 1);
    assert!(setup.patches().is_empty());
}

#[test]
fn a_body_that_changed_is_not_pushed() {
    for (size, becomes) in [
        (100, "other"),
        (100, "short"),
        (100, "gone"),
        (300 * 1024, "other"),
        (300 * 1024, "short"),
    ] {
        let setup = setup(&extension::ALL);
        let (edit, unchanged) = setup.body("torn", &vec![b'x'; size]);
        let path = setup.folder.path().join("torn");
        if becomes == "short" {
            let file = File::options().write(true).open(path);
            file.unwrap().set_len(10).unwrap();
        } else {
            unchanged.store(false, Ordering::Relaxed);
            if becomes == "gone" {
                std::fs::remove_file(path).unwrap();
            }
        }
        let result = setup.push(&[edit]);
        assert!(
            matches!(&result, Err(PushError::Torn { path }) if *path == path_of("torn")),
            "{result:?}"
        );
        assert!(setup.patches().is_empty());
    }
}

#[test]
fn a_blob_that_was_stored_otherwise_is_not_used() {
    let fake = Fake::start(|_| ok(json!({"sha": BASE, "size": 3})));
    let client = fake.client("key");
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, b"abc").unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let repository = repository();
    let upload = client.upload_blob(&repository, file, 3);
    let result = fake.block_on(upload);
    assert!(matches!(
        result,
        Err(Failure::Protocol(Violation::StoredOther))
    ));
    let upload = client.upload_blob(&repository, tempfile::tempfile().unwrap(), 3);
    assert!(matches!(fake.block_on(upload), Err(Failure::Body(_))));
}

#[test]
fn what_became_of_a_batch_is_read_from_the_change() {
    let batch = Uuid::from_bytes(BATCH);
    for (message, commit, expected) in [
        (
            format!("Edits\n\nMesa-Batch: {batch}\n"),
            NEXT,
            Settled::Accepted(NEXT.parse().unwrap()),
        ),
        (
            format!("Edits\n\nMesa-Part: {batch}\n"),
            NEXT,
            Settled::NotThere(NEXT.parse().unwrap()),
        ),
        (
            "Edits".into(),
            BASE,
            Settled::NotThere(BASE.parse().unwrap()),
        ),
        (
            "Somebody else's".into(),
            NEXT,
            Settled::Foreign(NEXT.parse().unwrap()),
        ),
    ] {
        let setup = setup_with(&extension::ALL, move |_| change(CHANGE, commit, &message));
        let settled = setup
            .pusher
            .settle(CHANGE.parse().unwrap(), BASE.parse().unwrap(), BATCH);
        assert_eq!(settled.unwrap(), expected);
    }
}

#[test]
fn a_fork_carries_its_key_and_is_one_attempt() {
    let setup = setup_with(&extension::ALL, |_| error(503, "INTERNAL_ERROR"));
    let base = CHANGE.parse().unwrap();
    let failure = setup.pusher.fork(base, TRANSACTION).unwrap_err();
    assert!(failure.is_unknown_outcome());
    let seen = setup.fake.seen();
    let [request] = &seen[..] else {
        panic!("one request, not {}", seen.len())
    };
    let key = Uuid::from_bytes(TRANSACTION).to_string();
    assert_eq!(request.headers["idempotency-key"], key.as_str());
    assert_eq!(request.json()["base_change_id"], CHANGE);
    let message = request.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("Mesa-Txn: {key}")));
}

#[test]
fn a_conflict_is_told_as_one() {
    let setup = setup_with(&extension::ALL, |_| error(409, "STALE_CHANGE"));
    let result = setup.push(&[remove("a")]);
    assert!(matches!(
        result,
        Err(PushError::Remote(Failure::Conflict(Conflict::Stale)))
    ));
}
