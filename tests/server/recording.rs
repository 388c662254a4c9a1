//! Merges that record a conflict: what they look like, and how they are resolved.

use crate::gits::fsck;
use crate::harness::*;
use crate::merging::{change, delete, forked, merge, point, rev, state};
use serde_json::{Value, json};

const ALLOWED: &str = "allow_conflicted";

/// Two bookmarks that disagree about lines, about a file that one removed, and about data.
async fn disagreeing() -> Server {
    forked(
        json!([
            upsert("lines", b"1\n2\n3\n4\n5\n"),
            upsert("removed", b"old\n"),
            upsert("data", b"\0"),
            upsert("clean", b"1\n"),
        ]),
        json!([
            upsert("lines", b"1\nmain\n3\n4\n5\n"),
            delete("removed"),
            upsert("data", b"\0main"),
        ]),
        json!([
            upsert("lines", b"1\nwork\n3\n4\nfive\n"),
            upsert("removed", b"new\n"),
            upsert("data", b"\0work"),
            upsert("clean", b"2\n"),
        ]),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_recorded_where_that_is_wanted() {
    let server = disagreeing().await;
    let before = state(&server);
    merge(&server, json!({})).await.expect(409);
    assert_eq!(state(&server), before);
    let merged = merge(&server, json!({ALLOWED: true})).await.expect(200);
    assert_eq!(merged["is_conflicted"], json!(true));
    assert_eq!(merged["merge_type"], json!("merge_commit"));
    let id = text(&merged["change_id"]);
    let shown = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["is_conflicted"], json!(true));
    assert_eq!(shown["conflicts"], json!(["data", "lines", "removed"]));
    let read = async |path: &str| {
        server
            .bytes(&format!("/local/app/content?path={path}"))
            .await
            .bytes
    };
    assert_eq!(
        String::from_utf8(read("lines").await).unwrap(),
        "1\n<<<<<<< conflict 1 of 1\n+++++++ target\nmain\n------- base\n2\n\
         +++++++ source\nwork\n>>>>>>> conflict 1 of 1 ends\n3\n4\nfive\n"
    );
    assert_eq!(
        String::from_utf8(read("removed").await).unwrap(),
        "<<<<<<< conflict 1 of 1\n+++++++ target\n------- base\nold\n\
         +++++++ source\nnew\n>>>>>>> conflict 1 of 1 ends\n"
    );
    // Data has no lines for a marker: it is as the target has it.
    assert_eq!(read("data").await, b"\0main");
    assert_eq!(read("clean").await, b"2\n");
    for (path, is_conflicted) in [("lines", true), ("clean", false)] {
        let file = server
            .get(&format!("/local/app/content?path={path}"))
            .await
            .expect(200);
        assert_eq!(file["is_conflicted"], json!(is_conflicted), "{path}");
    }
    // The header is the one that Jujutsu reads: both sides' trees, with the base's between them.
    let raw = git(&server.bare("app"), &["cat-file", "commit", "main"]);
    let tree = |name: &str| rev(&server, &format!("{name}^{{tree}}"));
    let trees = format!(
        "\njj:trees {} {} {}\n",
        tree("main^1"),
        tree("main^1^1"),
        tree("main^2")
    );
    assert!(raw.contains(&trees), "{raw}");
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_agrees_records_nothing() {
    let server = forked(
        json!([]),
        json!([upsert("a", b"")]),
        json!([upsert("b", b"")]),
    )
    .await;
    let merged = merge(&server, json!({ALLOWED: true})).await.expect(200);
    assert_eq!(merged["is_conflicted"], json!(false));
    let raw = git(&server.bare("app"), &["cat-file", "commit", "main"]);
    assert!(!raw.contains("jj:trees"), "{raw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicted_change_takes_resolutions_and_no_files() {
    let server = disagreeing().await;
    let merged = merge(&server, json!({ALLOWED: true})).await.expect(200);
    let at = format!("/local/app/changes/{}", text(&merged["change_id"]));
    let before = state(&server);
    let files = json!({"files": [upsert("clean", b"3\n")]});
    let refused = server.patch(&at, files.clone()).await.expect(409);
    assert_eq!(refused["error"]["code"], json!("MERGE_CONFLICT"));
    let details = &refused["error"]["details"];
    assert_eq!(
        details["conflict_paths"],
        json!(["data", "lines", "removed"])
    );
    let hunk = details["conflicted_entries"][1]["hunks"][0]["hunk_id"].clone();
    // Neither is a merge of it with anything.
    let other = json!({"target": "work", "source": "main"});
    let refused = server.post(crate::merging::MERGE, other).await.expect(409);
    assert_eq!(refused["error"]["code"], json!("MERGE_CONFLICT"));
    let patch = |resolutions: Value| server.patch(&at, json!({"resolutions": resolutions}));
    for wrong in [
        json!([]),
        json!({"path": "lines"}),
        json!([{"path": "lines"}]),
        json!([{"path": "clean", "take": "source"}, {"path": "data", "take": "source"},
            {"path": "lines", "take": "source"}, {"path": "removed", "take": "source"}]),
    ] {
        patch(wrong).await.expect(400);
    }
    let both =
        json!({"files": [upsert("x", b"")], "resolutions": [{"path": "data", "take": "source"}]});
    server.patch(&at, both).await.expect(400);
    let partly = patch(json!([{"path": "data", "take": "source"}]))
        .await
        .expect(409);
    assert_eq!(
        partly["error"]["details"]["conflict_paths"],
        json!(["lines", "removed"])
    );
    assert_eq!(state(&server), before);
    let resolved = patch(json!([
        {"path": "data", "take": "source"},
        {"path": "lines", "hunks": [{"hunk_id": hunk, "take": "source"}]},
        {"path": "removed", "take": "target"},
    ]))
    .await
    .expect(200);
    assert_eq!(resolved["is_conflicted"], json!(false));
    assert_eq!(resolved["id"], merged["change_id"]);
    assert_eq!(text(&resolved["current_commit_oid"]), rev(&server, "main"));
    let tree = server.tree("app", "main");
    assert!(!tree.contains_key("removed"));
    let lines = server.bytes("/local/app/content?path=lines").await.bytes;
    assert_eq!(lines, b"1\nwork\n3\n4\nfive\n");
    let data = server.bytes("/local/app/content?path=data").await.bytes;
    assert_eq!(data, b"\0work");
    let again = json!({"resolutions": [{"path": "data", "take": "source"}]});
    server.patch(&at, again).await.expect(400);
    server.patch(&at, files).await.expect(200);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_another_program_recorded_is_known_as_one() {
    let server = disagreeing().await;
    let base = rev(&server, "main");
    let raw = git(&server.bare("app"), &["cat-file", "commit", &base]);
    let raw = raw.replacen("\n\n", &format!("\njj:trees {}\n\n", "1".repeat(40)), 1);
    let file = server.folder.path().join("raw");
    std::fs::write(&file, raw.replace("change-id ", "other-id ")).unwrap();
    let bare = server.bare("app");
    let commit = git(
        &bare,
        &["hash-object", "-t", "commit", "-w", file.to_str().unwrap()],
    );
    git(&bare, &["update-ref", "refs/heads/foreign", commit.trim()]);
    let bookmark = server.get("/local/app/bookmarks/foreign").await.expect(200);
    let id = text(&bookmark["change_id"]);
    let at = format!("/local/app/changes/{id}");
    let shown = server.get(&at).await.expect(200);
    assert_eq!(
        (&shown["is_conflicted"], &shown["conflicts"]),
        (&json!(true), &json!([]))
    );
    let refused = server
        .patch(&at, json!({"files": [upsert("x", b"")]}))
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], json!("MERGE_CONFLICT"));
    let resolutions = json!({"resolutions": [{"path": "x", "take": "source"}]});
    server.patch(&at, resolutions).await.expect(400);
    let next = change(&server, &id, json!([])).await;
    point(&server, "foreign", &next).await;
}
