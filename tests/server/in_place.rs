//! Repositories that are served where they are, while others work in them with plain git.

use crate::gits::*;
use crate::harness::*;
use crate::merging::{change, point};
use mesa::server::Access;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a good repository, one of other object ids, a broken one, and what is none.
fn shelf() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    sample(&source);
    let shelf = folder.path().join("shelf");
    fs::create_dir_all(shelf.join("notes")).unwrap();
    let bare = |name: &str| shelf.join(name).to_str().unwrap().to_owned();
    git(&source, &["clone", "-q", "--bare", ".", &bare("app.git")]);
    git(&source, &["clone", "-q", "--bare", ".", &bare("plain")]);
    git(
        &source,
        &[
            "init",
            "-q",
            "--bare",
            "--object-format=sha256",
            &bare("long.git"),
        ],
    );
    git(
        &source,
        &["clone", "-q", "--bare", ".", &bare("broken.git")],
    );
    fs::write(shelf.join("broken.git/HEAD"), "nonsense").unwrap();
    (folder, shelf)
}

async fn serve(shelf: &Path, access: Access) -> Server {
    let mut server = Server::new(&[]).await;
    server.stop().await;
    let mut options = server.options(&[]);
    options.in_place = Some((shelf.to_owned(), access));
    server.start_with(options).await;
    server
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => {
                    found.insert(path.clone(), Vec::new());
                    open.push(path);
                }
                false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_nothing_is_written_and_what_others_push_is_seen() {
    let (_folder, shelf) = shelf();
    let before = files(&shelf);
    let server = serve(&shelf, Access::ReadOnly).await;
    let listed = server.get("/local/repos").await.expect(200);
    let names: Vec<_> = listed["repos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|repo| text(&repo["name"]))
        .collect();
    assert_eq!(names, ["app", "plain"]);
    let content = server.bytes("/local/app/content?path=README.md").await;
    assert_eq!(content.bytes, b"hello, world\n");
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    for (method, path, body) in [
        (
            Method::POST,
            "/local/app/changes",
            json!({"base_change_id": head}),
        ),
        (Method::PATCH, "/local/app", json!({"tags": {"a": "b"}})),
        (Method::DELETE, "/local/app", json!({})),
        (
            Method::POST,
            "/local/app/bookmarks",
            json!({"name": "x", "change_id": head}),
        ),
        (Method::POST, "/local/app/ext/blobs", json!({})),
    ] {
        let request = server.request(method, path).json(&body);
        server.send(request).await.expect(403);
    }
    let clone = Clone::of(&server, &[]);
    clone.commit("new", "1\n");
    clone.run(&["push"]).refused(&["403"]);
    assert_eq!(files(&shelf), before);
    // Others write without us, and replace what was there.
    let bare = shelf.join("app.git");
    for round in 0..3 {
        let tree = clone.git(&["write-tree"]);
        let id = "k".repeat(32);
        let rewritten = clone.raw_commit(&tree, &[], &id, &round.to_string());
        clone.git(&[
            "push",
            "-q",
            "--force",
            bare.to_str().unwrap(),
            &format!("{rewritten}:refs/heads/trunk"),
        ]);
        let shown = server.bytes("/local/app/content?path=new").await;
        assert_eq!(
            (
                shown.bytes.as_slice(),
                shown.headers["mesa-commit-oid"].to_str().unwrap()
            ),
            (&b"1\n"[..], rewritten.as_str())
        );
        clone.git(&["fetch", "-q"]);
        assert_eq!(clone.git(&["rev-parse", "origin/trunk"]), rewritten);
        git(&bare, &["gc", "-q", "--prune=now"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn read_write_changes_are_made_beside_others_who_push() {
    let (_folder, shelf) = shelf();
    let bare = shelf.join("app.git");
    let mut server = serve(&shelf, Access::ReadWrite).await;
    let repo = server.get("/local/app").await.expect(200);
    let head = text(&repo["head_change_id"]);
    let made = change(&server, &head, json!([upsert("rest", b"1\n")])).await;
    point(&server, "work", &made).await;
    let clone = Clone::of(&server, &[]);
    clone.commit("mine", "");
    clone.git(&["push", "-q"]);
    let plain = clone.commit("plain", "p\n");
    clone.git(&["push", "-q", bare.to_str().unwrap(), "trunk"]);
    let shown = server.bytes("/local/app/content?path=plain").await;
    assert_eq!(shown.headers["mesa-commit-oid"], plain.as_str());
    // Names and labels belong to whoever keeps the folder, and no file of ours is in it.
    let patch = json!({"name": "other"});
    server.patch("/local/app", patch).await.expect(403);
    server.delete("/local/app").await.expect(403);
    assert!(!bare.join("mesa.json").exists());
    // Who holds a lock is waited for, and then believed.
    let lock = bare.join("refs/heads/work.lock");
    fs::write(&lock, "").unwrap();
    let patch = json!({"files": [upsert("rest", b"2\n")]});
    let at = format!("/local/app/changes/{made}");
    let refused = server.patch(&at, patch.clone()).await.expect(409);
    assert_eq!(refused["error"]["code"], json!("LOCK_CONFLICT"));
    let other = serve(&shelf, Access::ReadWrite).await;
    assert!(
        other.get("/local/app").await.status == 404,
        "two servers write"
    );
    drop(other);
    server.stop().await;
    let mut options = server.options(&[]);
    options.in_place = Some((shelf.clone(), Access::ReadWrite));
    server.start_with(options).await;
    assert!(lock.exists(), "somebody else's lock is gone");
    fs::remove_file(&lock).unwrap();
    assert_eq!(server.get("/local/app").await.expect(200)["id"], repo["id"]);
    server.patch(&at, patch).await.expect(200);
    let read = git(&bare, &["show", "work:rest"]);
    assert_eq!(read, "2\n");
    sound(&bare);
}
