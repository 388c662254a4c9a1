//! Pushed commits that name changes which exist: next versions, and earlier ones.

use crate::gits::*;
use crate::harness::*;
use crate::merging::{change, point, rev};
use serde_json::json;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_commit_is_the_next_version_of_the_change_that_it_names() {
    let (_source, server) = sample_server().await;
    let base = server.get("/local/app").await.expect(200);
    let id = change(
        &server,
        &text(&base["head_change_id"]),
        json!([upsert("a", b"1\n")]),
    )
    .await;
    point(&server, "work", &id).await;
    let clone = Clone::of(&server, &[]);
    clone.git(&["checkout", "-q", "work"]);
    fs::write(clone.at.join("a"), "2\n").unwrap();
    clone.git(&["add", "a"]);
    let tree = clone.git(&["write-tree"]);
    let parent = clone.git(&["rev-parse", "HEAD^"]);
    let next = clone.raw_commit(&tree, &[&parent], &id, "rewritten");
    clone.git(&[
        "push",
        "-q",
        "origin",
        &format!("{next}:refs/heads/rewritten"),
    ]);
    let shown = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["current_commit_oid"], json!(next));
    // The other bookmark on the change follows, also after a restart.
    let mut server = server;
    server.stop().await;
    server.start(&[]).await;
    for name in ["work", "rewritten"] {
        assert_eq!(rev(&server, name), next);
        let bookmark = server
            .get(&format!("/local/app/bookmarks/{name}"))
            .await
            .expect(200);
        assert_eq!(bookmark["change_id"], json!(id));
    }
    // On top of something else, the change goes along.
    clone.git(&["checkout", "-q", "--detach", &next]);
    let top = clone.commit("top", "t");
    clone.git(&[
        "push",
        "-q",
        &url(&server, &server.key, "app"),
        &format!("{top}:refs/heads/top"),
    ]);
    let shown = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["current_commit_oid"], json!(next));
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_of_a_change_undoes_nothing() {
    let (_source, server) = sample_server().await;
    let base = server.get("/local/app").await.expect(200);
    let id = change(
        &server,
        &text(&base["head_change_id"]),
        json!([upsert("a", b"1\n")]),
    )
    .await;
    point(&server, "work", &id).await;
    let clone = Clone::of(&server, &[]);
    let mut now = String::new();
    for number in 2..5 {
        let patch = json!({"files": [upsert("a", format!("{number}\n").as_bytes())]});
        let patched = server
            .patch(&format!("/local/app/changes/{id}"), patch)
            .await
            .expect(200);
        now = text(&patched["current_commit_oid"]);
    }
    clone
        .run(&["push", "origin", "origin/work:refs/heads/mine"])
        .refused(&["earlier version"]);
    // What is built on it is welcome, and leaves the change where it is.
    clone.git(&["checkout", "-q", "--detach", "origin/work"]);
    let top = clone.commit("top", "t");
    clone.git(&["push", "-q", "origin", &format!("{top}:refs/heads/mine")]);
    assert_eq!(rev(&server, "mine"), top);
    assert_eq!(rev(&server, "work"), now);
    let shown = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["current_commit_oid"], json!(now));
    fsck(&server, "app");
}
