//! What is built on a change that is amended, and what of it moves along.

use crate::gits::fsck;
use crate::harness::*;
use crate::merging::{change, point, rev};
use serde_json::{Value, json};

/// A repository with one change, on which others are built.
async fn based(files: Value) -> (Server, String) {
    let server = Server::new(&[]).await;
    let new = json!({"name": "app"});
    server.post("/local/repos", new).await.expect(201);
    let base = change(&server, &"z".repeat(32), files).await;
    (server, base)
}

async fn amend(server: &Server, change: &str, files: Value) -> Value {
    let at = format!("/local/app/changes/{change}");
    server.patch(&at, json!({"files": files})).await.expect(200)
}

async fn commit_of(server: &Server, change: &str) -> String {
    let shown = server.get(&format!("/local/app/changes/{change}")).await;
    text(&shown.expect(200)["current_commit_oid"])
}

async fn read(server: &Server, change: &str, path: &str) -> String {
    let at = format!("/local/app/content?change_id={change}&path={path}");
    String::from_utf8(server.bytes(&at).await.bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_on_an_amended_change_moves_along() {
    let (mut server, base) = based(json!([upsert("a", b"1\n2\n3\n4\n5\n")])).await;
    let middle = change(&server, &base, json!([upsert("b", b"b\n")])).await;
    let top = change(
        &server,
        &middle,
        json!([upsert("a", b"1\n2\n3\n4\nfive\n")]),
    )
    .await;
    let beside = change(&server, &base, json!([upsert("c", b"c\n")])).await;
    for (name, change) in [("main", &base), ("middle", &middle), ("top", &top)] {
        point(&server, name, change).await;
    }
    for round in 0..3 {
        let line = format!("one {round}\n2\n3\n4\n5\n");
        amend(&server, &base, json!([upsert("a", line.as_bytes())])).await;
        assert_eq!(
            read(&server, &top, "a").await,
            format!("one {round}\n2\n3\n4\nfive\n")
        );
        assert_eq!(read(&server, &middle, "a").await, line);
        assert_eq!(read(&server, &beside, "a").await, line);
        for (name, change) in [("main", &base), ("middle", &middle), ("top", &top)] {
            assert_eq!(
                rev(&server, name),
                commit_of(&server, change).await,
                "{name}"
            );
            let bookmark = server.get(&format!("/local/app/bookmarks/{name}")).await;
            assert_eq!(text(&bookmark.expect(200)["change_id"]), *change);
        }
        assert_eq!(rev(&server, "top^"), rev(&server, "middle"));
        assert_eq!(rev(&server, "top^^"), rev(&server, "main"));
        // Also what was built before this server was started.
        server.stop().await;
        server.start(&[]).await;
    }
    let shown = server
        .get(&format!("/local/app/changes/{top}"))
        .await
        .expect(200);
    assert_eq!(shown["parents"], json!([middle]));
    assert_eq!(shown["files"], json!(["a"]));
    assert_eq!(shown["message"], json!("work"));
    // A message alone makes a new commit, too.
    let at = format!("/local/app/changes/{middle}");
    server
        .patch(&at, json!({"message": "told"}))
        .await
        .expect(200);
    assert_eq!(rev(&server, "top^"), rev(&server, "middle"));
    // A guard on the old version of what moved along says that it is old.
    let stale = json!({"base_commit_oid": rev(&server, "main"), "message": "x"});
    let at = format!("/local/app/changes/{top}");
    server.patch(&at, stale).await.expect(409);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_conflict_stays_and_hinders_nobody() {
    let (server, base) = based(json!([upsert("a", b"1\n"), upsert("b", b"1\n")])).await;
    let contrary = change(&server, &base, json!([upsert("a", b"mine\n")])).await;
    let above = change(&server, &contrary, json!([upsert("c", b"c\n")])).await;
    let beside = change(&server, &base, json!([upsert("b", b"2\n")])).await;
    let before = (
        commit_of(&server, &contrary).await,
        commit_of(&server, &above).await,
    );
    let old = commit_of(&server, &beside).await;
    amend(&server, &base, json!([upsert("a", b"yours\n")])).await;
    let after = (
        commit_of(&server, &contrary).await,
        commit_of(&server, &above).await,
    );
    assert_eq!(before, after);
    assert_ne!(commit_of(&server, &beside).await, old);
    assert_eq!(read(&server, &beside, "a").await, "yours\n");
    // The conflict is met by whoever merges.
    point(&server, "main", &base).await;
    point(&server, "work", &above).await;
    let merge = json!({"target": "main", "source": "work"});
    let refused = server.post(crate::merging::MERGE, merge).await.expect(409);
    assert_eq!(refused["error"]["details"]["conflict_paths"], json!(["a"]));
    // Agreeing is enough to move along again from then on.
    amend(&server, &base, json!([upsert("a", b"mine\n")])).await;
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_merged_is_history_and_what_is_built_on_it_stays() {
    let (server, base) = based(json!([upsert("a", b"0\n")])).await;
    point(&server, "main", &base).await;
    let work = change(&server, &base, json!([upsert("a", b"1\n")])).await;
    let next = change(&server, &work, json!([upsert("b", b"b\n")])).await;
    point(&server, "work", &work).await;
    let merge = json!({"target": "main", "source": "work"});
    server.post(crate::merging::MERGE, merge).await.expect(200);
    let (main, old) = (rev(&server, "main"), commit_of(&server, &next).await);
    amend(&server, &work, json!([upsert("a", b"2\n")])).await;
    assert_eq!(rev(&server, "main"), main);
    assert_eq!(commit_of(&server, &next).await, old);
    // So it merges with what was merged, as it did before the amendment.
    point(&server, "next", &next).await;
    let merge = json!({"target": "main", "source": "next"});
    server.post(crate::merging::MERGE, merge).await.expect(200);
    let main = server.get("/local/app").await.expect(200);
    let main = text(&main["head_change_id"]);
    assert_eq!(read(&server, &main, "a").await, "1\n");
    assert_eq!(read(&server, &main, "b").await, "b\n");
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_number_moves_along_and_no_snapshot() {
    let (server, base) = based(json!([])).await;
    let mut built = Vec::new();
    for _ in 0..260 {
        built.push(change(&server, &base, json!([upsert("b", b"1\n")])).await);
    }
    let snapshot = change(&server, &base, json!([])).await;
    let mut before = Vec::new();
    for change in &built {
        before.push(commit_of(&server, change).await);
    }
    amend(&server, &base, json!([upsert("a", b"1\n")])).await;
    let mut moved = 0;
    for (change, old) in built.iter().zip(&before) {
        moved += usize::from(commit_of(&server, change).await != *old);
    }
    assert_eq!(moved, 256);
    // What adds nothing is a snapshot.
    let shown = server
        .get(&format!("/local/app/content?change_id={snapshot}&path=a"))
        .await;
    assert_eq!(shown.status, 404);
    fsck(&server, "app");
}
