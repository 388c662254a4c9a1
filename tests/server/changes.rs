//! What the server made is what `git` reads: changes, guards and extensions.

use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_amended_and_guarded() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let new = json!({"base_change_id": head, "message": "work\n\nMesa-Txn: 1", "author": {"name": "Bot", "email": "bot@example.com", "date": "2025-06-15T15:06:40Z"}});
    let change = server.post("/local/app/changes", new).await.expect(201);
    let (id, first) = (text(&change["id"]), text(&change["current_commit_oid"]));
    assert_eq!(change["parents"], json!([head]));
    assert_eq!(change["author"]["date"], "2025-06-15T15:06:40Z");
    let at = format!("/local/app/changes/{id}");
    let patch = json!({"base_commit_oid": first, "files": [upsert("src/new.rs", b"fn"), {"path": "run", "content": "", "mode": "100644"}, {"path": "empty", "action": "delete"}]});
    let patched = server.patch(&at, patch.clone()).await.expect(200);
    let second = text(&patched["current_commit_oid"]);
    assert_eq!(
        (&patched["id"], &patched["message"]),
        (&change["id"], &change["message"])
    );
    assert_ne!(first, second);
    let stale = server.patch(&at, patch).await.expect(409);
    assert_eq!(stale["error"]["code"], "STALE_CHANGE");
    let detail = server.get(&at).await.expect(200);
    assert_eq!(detail["files"], json!(["empty", "run", "src/new.rs"]));
    // Whoever asks for the least is not told which files: of a first commit those are all.
    let brief = server.request(Method::GET, &at);
    let brief = brief.header("prefer", "respond-async, return=minimal");
    let mut brief = server.send(brief).await.expect(200);
    assert_eq!(brief["files"], json!([]));
    brief["files"] = detail["files"].clone();
    assert_eq!(brief, detail);
    assert_eq!(text(&detail["current_commit_oid"]), second);
    let tree = server.tree("app", &second);
    assert!(tree["run"].starts_with("100644") && !tree.contains_key("empty"));
    assert_eq!(tree["vendor"], format!("160000 commit {SUBMODULE}"));
    let raw = git(&server.bare("app"), &["cat-file", "commit", &second]);
    assert!(raw.contains(&format!("\nchange-id {id}\n")), "{raw}");
    // The default bookmark did not move; the pinned first commit is still readable.
    assert_eq!(
        text(&server.get("/local/app").await.expect(200)["head_change_id"]),
        head
    );
    let at = format!("/local/app/content?commit_oid={first}&path=empty");
    assert_eq!(server.bytes(&at).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_follows_its_change_and_survives_a_restart() {
    let (source, mut server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let patch = json!({"files": [upsert("README.md", b"amended")]});
    let patched = server
        .patch(&format!("/local/app/changes/{head}"), patch)
        .await
        .expect(200);
    assert_eq!(text(&patched["id"]), head);
    let oid = text(&patched["current_commit_oid"]);
    assert_eq!(
        git(&server.bare("app"), &["rev-parse", "trunk"]).trim(),
        oid
    );
    server.stop().await;
    // As a crash would leave it: the change has moved, the bookmark has not, a lock stays behind.
    let old = git(source.path(), &["rev-parse", "HEAD"]).trim().to_owned();
    fs::write(
        server.bare("app").join("refs/heads/trunk"),
        format!("{old}\n"),
    )
    .unwrap();
    fs::write(server.bare("app").join("refs/heads/trunk.lock"), "").unwrap();
    fs::write(server.bare("app").join("incoming/half"), "junk").unwrap();
    server.start(&[("app", source.path())]).await;
    assert_eq!(
        git(&server.bare("app"), &["rev-parse", "trunk"]).trim(),
        oid
    );
    assert!(!server.bare("app").join("incoming/half").exists());
    assert_eq!(
        server
            .bytes("/local/app/content?path=README.md")
            .await
            .bytes,
        b"amended"
    );
    let message = json!({"message": "renamed"});
    server
        .patch(&format!("/local/app/changes/{head}"), message)
        .await
        .expect(200);
    server.tree("app", "trunk");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extensions_write_what_git_would() {
    let (source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let request = server
        .request(Method::POST, "/local/app/ext/blobs")
        .body(big.clone());
    let blob = server.send(request).await.expect(201);
    assert_eq!(blob["size"], big.len());
    let deep = git(source.path(), &["rev-parse", "HEAD:src/deep"])
        .trim()
        .to_owned();
    let files = json!([
        {"path": "big", "blob": blob["sha"], "mode": "100755"},
        {"path": "here", "content": STANDARD.encode("../there"), "mode": "120000"},
        {"path": "a/empty/dir", "action": "mkdir"},
        {"path": "moved", "action": "graft", "tree": deep},
        {"path": "src", "action": "delete"},
        upsert("src", b"now a file"),
        {"path": "moved/er/more", "content": ""},
        {"path": "README.md", "action": "mkdir"},
        {"path": "gone/for/good", "action": "delete"},
    ]);
    let new = json!({"base_change_id": head, "files": files});
    let change = server.post("/local/app/changes", new).await.expect(201);
    let oid = text(&change["current_commit_oid"]);
    let tree = server.tree("app", &oid);
    let paths: Vec<_> = tree
        .iter()
        .map(|(path, facts)| (path.as_str(), &facts[..6]))
        .collect();
    assert_eq!(
        paths,
        [
            ("README.md", "040000"),
            ("a", "040000"),
            ("a/empty", "040000"),
            ("a/empty/dir", "040000"),
            ("big", "100755"),
            ("empty", "100644"),
            ("here", "120000"),
            ("link", "120000"),
            ("moved", "040000"),
            ("moved/er", "040000"),
            ("moved/er/more", "100644"),
            ("moved/er/\u{fc}n\u{ef} c\u{f6}d\u{e9}", "100644"),
            ("run", "100755"),
            ("src", "100644"),
            ("vendor", "160000"),
        ]
    );
    let id = text(&change["id"]);
    let at = format!("/local/app/content?change_id={id}&path=big");
    assert_eq!(server.bytes(&at).await.bytes, big);
    let at = format!("/local/app/content?change_id={id}&path=a/empty/dir");
    assert_eq!(server.get(&at).await.expect(200)["child_count"], 0);
    let at = format!("/local/app/changes/{id}");
    for bad in [
        json!({"path": "x", "blob": SUBMODULE}),
        json!({"path": "x", "blob": deep}),
        json!({"path": "x", "action": "graft", "tree": blob["sha"]}),
        json!({"path": "x", "action": "graft"}),
        json!({"path": "x"}),
        json!({"path": "x", "content": "a"}),
        json!({"path": "x", "content": "", "mode": "120000"}),
        json!({"path": "x", "content": "", "mode": "100664"}),
        json!({"path": "../x", "content": ""}),
        json!({"path": "a/.GIT/config", "content": ""}),
        json!({"path": "/x", "content": ""}),
        json!({"path": "d/".repeat(501) + "x", "content": ""}),
    ] {
        server.patch(&at, json!({"files": [bad]})).await.expect(400);
    }
    for conflict in [upsert("moved", b""), upsert("run/x", b"")] {
        server
            .patch(&at, json!({"files": [conflict]}))
            .await
            .expect(409);
    }
    // A refused list leaves nothing, not even its good part.
    let after = server.get(&at).await.expect(200);
    assert_eq!(text(&after["current_commit_oid"]), oid);
    let deepest = "d/".repeat(499) + "x";
    let patched = server
        .patch(&at, json!({"files": [upsert(&deepest, b"deep")]}))
        .await
        .expect(200);
    assert!(
        server
            .tree("app", &text(&patched["current_commit_oid"]))
            .contains_key(&deepest)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_names_one_change() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let send = async |key: &str| {
        let request = server.request(Method::POST, "/local/app/changes");
        let body = json!({"base_change_id": head, "message": key});
        let request = request.header("Idempotency-Key", key).json(&body);
        text(&server.send(request).await.expect(201)["id"])
    };
    let (one, again, two) = tokio::join!(send("one"), send("one"), send("two"));
    assert_eq!(one, again);
    assert_ne!(one, two);
    let patch = json!({"files": [upsert("x", b"")]});
    server
        .patch(&format!("/local/app/changes/{one}"), patch)
        .await
        .expect(200);
    assert_eq!(send("one").await, one);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_guarded_patches_wins() {
    let (_source, server) = sample_server().await;
    let root = "z".repeat(32);
    let change = server
        .post("/local/app/changes", json!({"base_change_id": root}))
        .await
        .expect(201);
    let at = format!("/local/app/changes/{}", text(&change["id"]));
    let patches = (0..8).map(|number| {
        let files = json!([upsert(&format!("f{number}"), b"")]);
        server.patch(
            &at,
            json!({"base_commit_oid": change["current_commit_oid"], "files": files}),
        )
    });
    let answers = futures_util::future::join_all(patches).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status.as_u16(), 200 | 409))
    );
    assert_eq!(
        server.get(&at).await.expect(200)["files"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn renames_and_modes_are_operations_of_their_own() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let files = json!([
        {"path": "docs/READ.ME", "action": "rename", "from": "README.md"},
        {"path": "lib", "action": "rename", "from": "src"},
        {"path": "link", "action": "rename", "from": "empty"},
        {"path": "run", "action": "chmod", "mode": "100644"},
        {"path": "docs/READ.ME", "action": "chmod", "mode": "100755"},
    ]);
    let before = server.tree("app", "trunk");
    let new = json!({"base_change_id": head, "files": files});
    let change = server.post("/local/app/changes", new).await.expect(201);
    let after = server.tree("app", &text(&change["current_commit_oid"]));
    let deep = "deep/er/\u{fc}n\u{ef} c\u{f6}d\u{e9}";
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    let in_lib = format!("lib/{deep}");
    assert_eq!(
        names,
        [
            "docs",
            "docs/READ.ME",
            "lib",
            "lib/deep",
            "lib/deep/er",
            &in_lib,
            "link",
            "run",
            "vendor"
        ]
    );
    let blob = |facts: &str| facts.split_once(' ').unwrap().1.to_owned();
    assert_eq!(blob(&after["docs/READ.ME"]), blob(&before["README.md"]));
    assert_eq!(after[&in_lib], before[&format!("src/{deep}")]);
    assert_eq!(after["link"], before["empty"]);
    assert!(after["run"].starts_with("100644") && after["docs/READ.ME"].starts_with("100755"));
    for (op, status) in [
        (
            json!({"path": "x", "action": "rename", "from": "nothing"}),
            404,
        ),
        (
            json!({"path": "src/deep/x", "action": "rename", "from": "src"}),
            400,
        ),
        (
            json!({"path": "src", "action": "rename", "from": "src"}),
            400,
        ),
        (
            json!({"path": "src", "action": "rename", "from": "run"}),
            409,
        ),
        (
            json!({"path": "run/x", "action": "rename", "from": "empty"}),
            409,
        ),
        (
            json!({"path": ".git/x", "action": "rename", "from": "empty"}),
            400,
        ),
        (json!({"path": "x", "action": "rename"}), 400),
        (
            json!({"path": "src", "action": "chmod", "mode": "100755"}),
            400,
        ),
        (
            json!({"path": "link", "action": "chmod", "mode": "100755"}),
            400,
        ),
        (
            json!({"path": "run", "action": "chmod", "mode": "120000"}),
            400,
        ),
        (
            json!({"path": "nothing/x", "action": "chmod", "mode": "100755"}),
            400,
        ),
        (json!({"path": "run", "action": "chmod"}), 400),
    ] {
        let new = json!({"base_change_id": head, "files": [op]});
        server.post("/local/app/changes", new).await.expect(status);
    }
}

#[tokio::test]
async fn a_bookmark_moves_only_from_where_the_caller_saw_it() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let path = format!("/local/app/changes/{head}");
    let old = text(&server.get(&path).await.expect(200)["current_commit_oid"]);
    let new = json!({"base_change_id": head, "files": [upsert("x", b"x")]});
    let next = text(&server.post("/local/app/changes", new).await.expect(201)["id"]);
    let amended = server.patch(&path, json!({"message": "amended"})).await;
    let now = text(&amended.expect(200)["current_commit_oid"]);
    let bookmark = "/local/app/bookmarks/trunk";
    let stale = |mut body: Value, name: &str, value: &str| {
        body[name] = json!(value);
        body
    };
    let to = json!({"change_id": next, "allow_backwards": true});
    for (name, value) in [("expected_commit_oid", &old), ("expected_change_id", &next)] {
        let answer = server.patch(bookmark, stale(to.clone(), name, value)).await;
        assert_eq!(answer.expect(409)["error"]["code"], "STALE_BOOKMARK");
    }
    let other = json!({"name": "other", "change_id": next});
    server.post("/local/app/bookmarks", other).await.expect(201);
    let merge = json!({"target": "trunk", "source": "other", "expected_commit_oid": old});
    let refused = server.post("/local/app/bookmarks/merge", merge).await;
    assert_eq!(refused.expect(409)["error"]["code"], "STALE_BOOKMARK");
    let delete = format!("/local/app/bookmarks/other?expected_change_id={head}");
    assert_eq!(
        server.delete(&delete).await.expect(409)["error"]["code"],
        "STALE_BOOKMARK"
    );
    assert_eq!(server.get(bookmark).await.expect(200)["change_id"], head);
    let both = stale(
        stale(to, "expected_commit_oid", &now),
        "expected_change_id",
        &head,
    );
    server.patch(bookmark, both).await.expect(200);
    let delete = format!("/local/app/bookmarks/other?expected_change_id={next}");
    server.delete(&delete).await.expect(200);
}
