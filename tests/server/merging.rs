//! Merging bookmarks: what comes out is what git reads, and what does not merge changes nothing.

use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

pub const MERGE: &str = "/local/app/bookmarks/merge";

pub fn delete(path: &str) -> Value {
    json!({"path": path, "action": "delete"})
}

pub fn with_mode(path: &str, bytes: &[u8], mode: &str) -> Value {
    json!({"path": path, "content": STANDARD.encode(bytes), "mode": mode})
}

/// Makes a change and returns its id.
pub async fn change(server: &Server, base: &str, files: Value) -> String {
    let new = json!({"base_change_id": base, "message": "work", "files": files});
    let made = server.post("/local/app/changes", new).await.expect(201);
    text(&made["id"])
}

/// Points a bookmark, new or not, at a change.
pub async fn point(server: &Server, name: &str, change: &str) {
    let at = format!("/local/app/bookmarks/{name}");
    let to = json!({"change_id": change});
    if server.get(&at).await.status == 200 {
        server.patch(&at, to).await.expect(200);
    } else {
        let new = json!({"name": name, "change_id": change});
        server.post("/local/app/bookmarks", new).await.expect(201);
    }
}

/// A repository whose bookmarks `main` and `work` are two changes on one base.
pub async fn forked(base: Value, main: Value, work: Value) -> Server {
    let server = Server::with_app().await;
    let base = change(&server, &"z".repeat(32), base).await;
    for (name, files) in [("main", main), ("work", work)] {
        let made = change(&server, &base, files).await;
        point(&server, name, &made).await;
    }
    server
}

pub async fn merge(server: &Server, more: Value) -> Answer {
    let mut body = json!({"target": "main", "source": "work"});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    server.post(MERGE, body).await
}

/// All references and how many objects are on their way: what a refused merge must not change.
pub fn state(server: &Server) -> (String, usize) {
    let bare = server.bare("app");
    let incoming = fs::read_dir(bare.join("incoming")).unwrap().count();
    (git(&bare, &["for-each-ref"]), incoming)
}

pub fn rev(server: &Server, name: &str) -> String {
    git(&server.bare("app"), &["rev-parse", name])
        .trim()
        .to_owned()
}

fn cloned(server: &Server, folder: &Path) {
    let bare = server.bare("app");
    git(&bare, &["fsck", "--strict", "--full", "--no-dangling"]);
    let at = folder.to_str().unwrap();
    git(&bare, &["clone", "-q", bare.to_str().unwrap(), at]);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_do_not_meet_are_merged() {
    let server = forked(
        json!([
            upsert("both.txt", b"1\n2\n3\n4\n5\n"),
            upsert("same.txt", b"a\n"),
            upsert("run", b"#!/bin/sh\n"),
            upsert("gone/by/main", b""),
            upsert("gone/by/work", b""),
            upsert("deep/er/x", b"x\n"),
            upsert("becomes/a/file", b""),
        ]),
        json!([
            upsert("both.txt", b"one\n2\n3\n4\n5\n"),
            upsert("same.txt", b"b\n"),
            with_mode("run", b"#!/bin/sh\n", "100755"),
            delete("gone/by/main"),
            upsert("deep/main", b"m\n"),
        ]),
        json!([
            upsert("both.txt", b"1\n2\n3\n4\nfive\nsix\n"),
            upsert("same.txt", b"b\n"),
            upsert("run", b"#!/bin/sh\necho\n"),
            delete("gone/by/work"),
            upsert("deep/er/work", b"w\n"),
            with_mode("link", b"both.txt", "120000"),
            delete("becomes"),
            upsert("becomes", b"file\n"),
            json!({"path": "empty/dir", "action": "mkdir"}),
        ]),
    )
    .await;
    let (main, work) = (rev(&server, "main"), rev(&server, "work"));
    let message = "Publish\n\nMesa-Txn: 7";
    let merged = merge(&server, json!({"message": message}))
        .await
        .expect(200);
    assert_eq!(
        (
            &merged["merge_type"],
            &merged["is_conflicted"],
            &merged["source_deleted"],
            &merged["target"],
            &merged["source"]
        ),
        (
            &json!("merge_commit"),
            &json!(false),
            &json!(false),
            &json!("main"),
            &json!("work")
        )
    );
    let oid = text(&merged["commit_oid"]);
    assert_eq!(rev(&server, "main"), oid);
    assert_eq!(rev(&server, "work"), work);
    let id = text(&merged["change_id"]);
    assert_eq!(rev(&server, &format!("refs/mesa/changes/{id}")), oid);
    let raw = git(&server.bare("app"), &["cat-file", "commit", &oid]);
    assert!(raw.contains(&format!("parent {main}\nparent {work}\n")));
    assert!(raw.contains(&format!("\nchange-id {id}\n")));
    assert!(raw.ends_with(&format!("\n\n{message}")));
    let bookmark = server.get("/local/app/bookmarks/main").await.expect(200);
    assert_eq!(bookmark["change_id"], json!(id));
    let shown = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["parents"].as_array().unwrap().len(), 2);

    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    cloned(&server, &clone);
    let read = |path: &str| fs::read_to_string(clone.join(path)).unwrap();
    assert_eq!(read("both.txt"), "one\n2\n3\n4\nfive\nsix\n");
    assert_eq!(read("same.txt"), "b\n");
    assert_eq!(read("run"), "#!/bin/sh\necho\n");
    assert_eq!(read("deep/main") + &read("deep/er/work"), "m\nw\n");
    assert_eq!(read("becomes"), "file\n");
    assert_eq!(
        fs::read_link(clone.join("link")).unwrap(),
        Path::new("both.txt")
    );
    assert!(!clone.join("gone").exists());
    let tree = server.tree("app", "main");
    assert_eq!(&tree["run"][..6], "100755");
    assert!(tree.contains_key("empty/dir") && !tree.contains_key("gone"));
    let graph = git(&clone, &["log", "--graph", "--format=%s"]);
    assert_eq!(graph.matches("work").count(), 3, "{graph}");
    assert!(graph.starts_with("*   Publish"), "{graph}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_bookmark_are_those_of_both_sides() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    merge(&server, json!({})).await.expect(200);
    let mut found = Vec::new();
    let mut at = "/local/app/changes?bookmark=main&limit=1".to_owned();
    loop {
        let page = server.get(&at).await.expect(200);
        found.push(page["changes"][0]["current_commit_oid"].clone());
        match page["next_cursor"].as_str() {
            Some(next) => at = format!("/local/app/changes?bookmark=main&limit=1&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found.len(), 4);
    assert_eq!(found[0], rev(&server, "main"));
    assert!(found.contains(&json!(rev(&server, "main^1"))));
    assert!(found.contains(&json!(rev(&server, "work"))));
    let raw = git(&server.bare("app"), &["log", "-1", "--format=%B", "main"]);
    assert_eq!(raw.trim(), "Merge bookmark work into main");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_goes_with_the_merge_if_that_is_wanted() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    let gone = json!({"delete_source": true});
    // The default bookmark stays, and no bookmark goes into itself.
    let back = json!({"target": "work", "source": "main", "delete_source": true});
    server.post(MERGE, back).await.expect(409);
    let itself = json!({"target": "work", "source": "work", "delete_source": true});
    server.post(MERGE, itself).await.expect(400);
    let merged = merge(&server, gone.clone()).await.expect(200);
    assert_eq!(merged["source_deleted"], json!(true));
    server.get("/local/app/bookmarks/work").await.expect(404);
    merge(&server, gone.clone()).await.expect(404);
    // What was merged is still a change that can be amended and merged again.
    let parents = server
        .get(&format!(
            "/local/app/changes/{}",
            text(&merged["change_id"])
        ))
        .await
        .expect(200)["parents"]
        .clone();
    let work = text(&parents[1]);
    let patch = json!({"files": [upsert("b", b"more")]});
    server
        .patch(&format!("/local/app/changes/{work}"), patch)
        .await
        .expect(200);
    point(&server, "work", &work).await;
    merge(&server, gone).await.expect(200);
    assert_eq!(
        server.bytes("/local/app/content?path=b").await.bytes,
        b"more"
    );
    server.tree("app", "main");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_already_is_no_merge() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    let merged = merge(&server, json!({})).await.expect(200);
    let before = state(&server);
    // Reached, equal, itself, and the virtual root, which everything descends from.
    point(&server, "equal", &text(&merged["change_id"])).await;
    point(&server, "nothing", &"z".repeat(32)).await;
    for source in ["work", "equal", "main", "nothing"] {
        let again = merge(&server, json!({"source": source})).await.expect(200);
        assert_eq!(again["merge_type"], json!("no_op"), "{source}");
        assert_eq!(again["commit_oid"], merged["commit_oid"]);
        assert_eq!(again["change_id"], merged["change_id"]);
    }
    let useless = json!({"resolutions": [{"path": "a", "take": "source"}]});
    merge(&server, useless).await.expect(400);
    for source in ["equal", "nothing"] {
        let gone = json!({"source": source, "delete_source": true});
        let answer = merge(&server, gone).await.expect(200);
        assert_eq!(answer["source_deleted"], json!(true));
    }
    assert_eq!(state(&server), before);
    // Forward, but a merge all the same: the target never becomes the source.
    let forward = json!({"target": "work", "source": "main"});
    let forward = server.post(MERGE, forward).await.expect(200);
    assert_eq!(forward["merge_type"], json!("merge_commit"));
    assert_eq!(rev(&server, "work^2"), rev(&server, "main"));
    assert_eq!(rev(&server, "work^{tree}"), rev(&server, "main^{tree}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unborn_target_gets_a_change_of_its_own() {
    let server = Server::with_app().await;
    let root = "z".repeat(32);
    point(&server, "nothing", &root).await;
    let nothing = merge(&server, json!({"source": "nothing"}))
        .await
        .expect(200);
    assert_eq!(nothing["merge_type"], json!("no_op"));
    assert_eq!(nothing["change_id"], json!(root));
    let work = change(&server, &root, json!([upsert("a", b"1")])).await;
    point(&server, "work", &work).await;
    for target in ["main", "nothing"] {
        let merged = merge(&server, json!({"target": target})).await.expect(200);
        assert_eq!(merged["merge_type"], json!("merge_commit"));
        assert_ne!(merged["change_id"], json!(work));
        assert_eq!(rev(&server, &format!("{target}^@")), rev(&server, "work"));
    }
    // Later edits of the source are not on the target until they are merged.
    let patch = json!({"files": [upsert("a", b"2")]});
    server
        .patch(&format!("/local/app/changes/{work}"), patch)
        .await
        .expect(200);
    assert_eq!(server.bytes("/local/app/content?path=a").await.bytes, b"1");
    server.tree("app", "main");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_makes_one_merge() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    let send = async |key: &str, body: Value| {
        let request = server.request(Method::POST, MERGE);
        let request = request.header("Idempotency-Key", key).json(&body);
        server.send(request).await
    };
    let body = json!({"target": "main", "source": "work", "delete_source": true});
    let (one, two) = tokio::join!(send("k", body.clone()), send("k", body.clone()));
    let (one, two) = (one.expect(200), two.expect(200));
    assert_eq!(one, two);
    assert_eq!(one["merge_type"], json!("merge_commit"));
    // The target moves on, the source's name is used again: the answer stays.
    let next = change(&server, &text(&one["change_id"]), json!([upsert("c", b"")])).await;
    point(&server, "main", &next).await;
    let other = change(&server, &"z".repeat(32), json!([upsert("d", b"")])).await;
    point(&server, "work", &other).await;
    let again = send("k", body.clone()).await.expect(200);
    assert_eq!(
        (&again["change_id"], &again["source_deleted"]),
        (&one["change_id"], &json!(false))
    );
    server.get("/local/app/bookmarks/work").await.expect(200);
    // The key is this request's: a change, or a merge of others, is made under it as ever.
    point(&server, "third", &"z".repeat(32)).await;
    let elsewhere = json!({"target": "third", "source": "work"});
    let elsewhere = send("k", elsewhere).await.expect(200);
    assert_ne!(elsewhere["change_id"], one["change_id"]);
    let request = server.request(Method::POST, "/local/app/changes");
    let new = json!({"base_change_id": "z".repeat(32)});
    let request = request.header("Idempotency-Key", "k").json(&new);
    let made = server.send(request).await.expect(201);
    assert_ne!(made["id"], one["change_id"]);
    send(&"k".repeat(256), body).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_may_be_called_merge() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    let work = server.get("/local/app/bookmarks/work").await.expect(200);
    point(&server, "merge", &text(&work["change_id"])).await;
    let shown = server.get(MERGE).await.expect(200);
    assert_eq!(shown["change_id"], work["change_id"]);
    let same = json!({"change_id": work["change_id"]});
    server.patch(MERGE, same).await.expect(200);
    let body = json!({"target": "main", "source": "merge"});
    server.post(MERGE, body.clone()).await.expect(200);
    server.delete(MERGE).await.expect(200);
    server.get(MERGE).await.expect(404);
    server.post(MERGE, body).await.expect(404);
    let post = json!({"target": "main", "source": "work"});
    server
        .post("/local/app/bookmarks/main", post)
        .await
        .expect(404);
    merge(&server, json!({"target": "none"})).await.expect(404);
    server
        .post(MERGE, json!({"target": "main"}))
        .await
        .expect(400);
}
