//! The server's side of the question, as a scripted server tells it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::super::super::api::extension;
use super::super::super::fake::{Fake, FileBody, Seen, error, ok, raw, repository, whoami};
use super::super::super::push::PushError;
use super::super::super::{At, Failure, READ_PATIENCE};
use super::*;

const AT: At = At::Commit(GitOid([1; 20]));

fn blob(bytes: &[u8]) -> GitOid {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    GitOid(hash.finalize().into())
}

/// A server with `d/file` and `top`, of four bytes each.
fn serve(extensions: &'static [&'static str]) -> (Fake, ForeignEdits) {
    let fake = Fake::start(move |seen: &Seen| {
        let directory = |path: &str, entries: &[Value]| {
            ok(json!({
                "type": "dir", "name": path, "path": path, "sha": GitOid([2; 20]).to_string(),
                "child_count": entries.len(), "entries": entries,
            }))
        };
        let entry = |path: &str| {
            let name = path.rsplit('/').next();
            let sha = blob(b"text").to_string();
            json!({"type": "file", "name": name, "path": path, "sha": sha, "size": 4, "mode": "100644"})
        };
        let below =
            json!({"type": "dir", "name": "d", "path": "d", "sha": GitOid([3; 20]).to_string()});
        let path = seen
            .query
            .split('&')
            .find_map(|it| it.strip_prefix("path="));
        match (seen.path.as_str(), path.unwrap_or_default()) {
            ("/v1/whoami", _) => whoami(extensions),
            (_, "") => directory("", &[below, entry("top")]),
            (_, "d") => directory("d", &[entry("d/file")]),
            (_, "top") => raw("text"),
            _ => error(404, "NOT_FOUND"),
        }
    });
    let edits = ForeignEdits::new(fake.remote(READ_PATIENCE), repository());
    (fake, edits)
}

#[test]
fn whether_commits_are_shown_is_what_the_server_says() {
    for (extensions, shown) in [(&extension::ALL[..], true), (&[], false)] {
        let (_fake, edits) = serve(extensions);
        assert_eq!(edits.shows_commits().unwrap(), shown);
    }
}

#[test]
fn what_is_at_a_path_is_found_below_directories_and_not_below_files() {
    let (fake, edits) = serve(&extension::ALL);
    let file = Spot {
        kind: EntryKind::File,
        oid: blob(b"text"),
        size: 4,
    };
    let paths = ["d/file", "top", "top/below", "d/none", "none/file"].map(path_of);
    let found = edits.spots(AT, &paths).unwrap();
    assert_eq!(found, [Some(file), Some(file), None, None, None]);
    // Each directory once, and no file for one.
    let asked = fake
        .seen()
        .into_iter()
        .filter(|seen| seen.path != "/v1/whoami");
    assert_eq!(asked.count(), 2, "{:?}", fake.seen());
}

#[test]
fn bytes_that_are_fetched_are_those_that_were_meant_or_none() {
    let (_fake, edits) = serve(&extension::ALL);
    let fetch = |bytes: &[u8]| {
        let spot = Spot {
            kind: EntryKind::File,
            oid: blob(bytes),
            size: bytes.len() as u64,
        };
        let mut sink = Vec::new();
        let fetched = edits.fetch(AT, &path_of("top"), &spot, &mut sink);
        fetched.map(|()| sink)
    };
    assert_eq!(fetch(b"text").unwrap(), b"text");
    assert!(matches!(fetch(b"next"), Err(Failure::Protocol(_))));
}

#[test]
fn a_body_of_the_same_bytes_contradicts_nothing() {
    let (_fake, edits) = serve(&extension::ALL);
    let folder = tempfile::tempdir().unwrap();
    // More than is read at a time.
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = folder.path().join("body");
    fs::write(&path, &bytes).unwrap();
    let body = Arc::new(FileBody {
        path,
        size: bytes.len() as u64,
        unchanged: Arc::new(AtomicBool::new(true)),
    });
    let ours = [Edit::File {
        path: path_of("file"),
        content: Content::Body(Arc::clone(&body) as _),
        executable: false,
    }];
    let contradicting = |theirs: &[u8]| {
        let spot = Spot {
            kind: EntryKind::File,
            oid: blob(theirs),
            size: theirs.len() as u64,
        };
        let theirs = Foreign::Leaves(BTreeMap::from([(path_of("file"), Some(spot))]));
        edits.contradictions(&ours, &theirs)
    };
    assert!(contradicting(&bytes).unwrap().is_empty());
    let mut others = bytes.clone();
    *others.last_mut().unwrap() ^= 1;
    assert_eq!(contradicting(&others).unwrap(), [path_of("file")]);
    body.unchanged.store(false, Ordering::Relaxed);
    assert!(matches!(contradicting(&bytes), Err(PushError::Torn { .. })));
}
