//! Merges that conflict, how they are resolved, and what history makes of a base.

use crate::harness::*;
use crate::merging::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::process::Command;

/// One of every conflict that there is.
async fn quarrel() -> Server {
    forked(
        json!([
            upsert("content", b"1\n2\n3\n4\n5\n"),
            upsert("deleted-here", b"1\n"),
            upsert("dir/deleted-there", b"1\n"),
            upsert("binary", b"\0"),
            upsert("kind", b"1\n"),
            upsert("fine", b"1\n"),
        ]),
        json!([
            upsert("content", b"one\n2\n3\n4\ncinq\n"),
            delete("deleted-here"),
            upsert("dir/deleted-there", b"2\n"),
            upsert("binary", b"\0main"),
            upsert("added", b"main\n"),
            upsert("file-dir", b"main\n"),
            upsert("mode", b"same\n"),
            upsert("fine", b"2\n"),
            with_mode("kind", b"content", "120000"),
            with_mode("link", b"main", "120000"),
        ]),
        json!([
            upsert("content", b"eins\n2\n3\n4\nfive\n"),
            upsert("deleted-here", b"2\n"),
            delete("dir"),
            upsert("binary", b"\0work"),
            upsert("added", b"work\n"),
            upsert("file-dir/below", b"work\n"),
            with_mode("mode", b"same\n", "100755"),
            upsert("kind", b"2\n"),
            with_mode("link", b"work", "120000"),
        ]),
    )
    .await
}

const PATHS: [&str; 9] = [
    "added",
    "binary",
    "content",
    "deleted-here",
    "dir/deleted-there",
    "file-dir",
    "kind",
    "link",
    "mode",
];

fn lines(value: &Value) -> String {
    let content = value["content"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(content).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_its_paths_and_lines_and_changes_nothing() {
    let server = quarrel().await;
    let before = state(&server);
    let gone = json!({"delete_source": true});
    let error = merge(&server, gone).await.expect(409)["error"].clone();
    assert_eq!(error["code"], json!("MERGE_CONFLICT"));
    assert_eq!(error["details"]["conflict_paths"], json!(PATHS));
    assert_eq!(state(&server), before);
    let entries = error["details"]["conflicted_entries"].as_array().unwrap();
    let entry = |path: &str| entries.iter().find(|entry| entry["path"] == path).unwrap();
    let hunks = entry("content")["hunks"].as_array().unwrap();
    assert_eq!(hunks.len(), 2);
    let last = &hunks[1];
    assert_eq!(
        (&last["old_start"], &last["new_lines"]),
        (&json!(5), &json!(1))
    );
    let sides = [&last["target"], &last["base"], &last["source"]].map(lines);
    assert_eq!(sides, ["cinq\n", "5\n", "five\n"]);
    assert_eq!(entry("binary")["omitted_reason"], json!("binary"));
    assert_eq!(entry("mode")["hunks"], json!([]));
    // A second look says the same, down to the ids.
    let again = merge(&server, json!({})).await.expect(409)["error"].clone();
    assert_eq!(again["details"], error["details"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_can_be_taken_everywhere() {
    for (side, expected) in [("target", "main"), ("source", "work")] {
        let server = quarrel().await;
        let all: Vec<Value> = PATHS
            .iter()
            .map(|path| json!({"path": path, "take": side}))
            .collect();
        merge(&server, json!({"resolutions": all}))
            .await
            .expect(200);
        let (merged, side) = (server.tree("app", "main"), server.tree("app", "work"));
        let side = match expected {
            "work" => side,
            _ => server.tree("app", "main^1"),
        };
        for path in PATHS {
            assert_eq!(merged.get(path), side.get(path), "{expected} {path}");
        }
        assert_eq!(merged.contains_key("file-dir/below"), expected == "work");
        assert_eq!(
            server.bytes("/local/app/content?path=fine").await.bytes,
            b"2\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_and_hunks_resolve_what_they_name() {
    let server = quarrel().await;
    let before = state(&server);
    let error = merge(&server, json!({})).await.expect(409)["error"].clone();
    let entries = error["details"]["conflicted_entries"].as_array().unwrap();
    let content = entries.iter().find(|entry| entry["path"] == "content");
    let ids = [0, 1].map(|number| content.unwrap()["hunks"][number]["hunk_id"].clone());
    let mut all: Vec<Value> = PATHS
        .iter()
        .filter(|path| **path != "content")
        .map(|path| json!({"path": path, "content": STANDARD.encode("new")}))
        .collect();
    // One path is left: it alone is in conflict now.
    let rest = merge(&server, json!({"resolutions": all}))
        .await
        .expect(409);
    assert_eq!(
        rest["error"]["details"]["conflict_paths"],
        json!(["content"])
    );
    let half = json!({"path": "content", "hunks": [{"hunk_id": ids[0], "take": "source"}]});
    let mut incomplete = all.clone();
    incomplete.push(half);
    merge(&server, json!({"resolutions": incomplete}))
        .await
        .expect(409);
    all.push(json!({"path": "content", "hunks": [
        {"hunk_id": ids[0], "take": "source"},
        {"hunk_id": ids[1], "content": STANDARD.encode("5 and more\n")},
    ]}));
    for bad in [
        json!({"path": "fine", "take": "source"}),
        json!({"path": "content", "take": "source"}),
        json!({"path": "x"}),
        json!({"path": "x", "take": "source", "content": ""}),
        json!({"path": "x", "content": "?"}),
        json!({"path": "x", "take": "both"}),
    ] {
        let mut more = all.clone();
        more.push(bad.clone());
        let answer = merge(&server, json!({"resolutions": more})).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    assert_eq!(state(&server), before);
    merge(&server, json!({"resolutions": all}))
        .await
        .expect(200);
    let read = async |path: &str| {
        let at = format!("/local/app/content?path={path}");
        String::from_utf8(server.bytes(&at).await.bytes).unwrap()
    };
    assert_eq!(read("content").await, "eins\n2\n3\n4\n5 and more\n");
    for path in ["added", "deleted-here", "dir/deleted-there", "file-dir"] {
        assert_eq!(read(path).await, "new");
    }
    let tree = server.tree("app", "main");
    assert_eq!(&tree["link"][..6], "120000");
    assert_eq!(&tree["kind"][..6], "100644");
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_in_both_directions_have_a_base_in_both() {
    let version = |first: &str, last: &str, clash: &str| {
        let lines = format!("{first}\n2\n3\n{last}\n");
        json!([upsert("f", lines.as_bytes()), upsert("h", clash.as_bytes())])
    };
    let server = forked(
        version("1", "4", "0\n"),
        version("main", "4", "main\n"),
        version("1", "work", "work\n"),
    )
    .await;
    let id = async |name: &str| {
        let found = server.get(&format!("/local/app/bookmarks/{name}")).await;
        text(&found.expect(200)["change_id"])
    };
    let main = id("main").await;
    point(&server, "old-main", &main).await;
    let both = json!([{"path": "h", "content": STANDARD.encode("both\n")}]);
    merge(&server, json!({"resolutions": both}))
        .await
        .expect(200);
    let crossed = json!({"target": "work", "source": "old-main", "resolutions": both});
    server.post(MERGE, crossed).await.expect(200);
    // Each side takes back what it got from the other or had itself: with either of the two bases
    // alone, one of these would be undone in silence.
    for (name, files) in [
        ("main", version("1", "work", "both\n")),
        ("work", version("main", "4", "both\n")),
    ] {
        let next = change(&server, &id(name).await, files).await;
        point(&server, name, &next).await;
    }
    let bases = git(
        &server.bare("app"),
        &["merge-base", "--all", "main", "work"],
    );
    assert_eq!(bases.lines().count(), 2);
    merge(&server, json!({})).await.expect(200);
    let read = async |path: &str| {
        let at = format!("/local/app/content?path={path}");
        String::from_utf8(server.bytes(&at).await.bytes).unwrap()
    };
    assert_eq!(read("f").await, "1\n2\n3\n4\n");
    assert_eq!(read("h").await, "both\n");
    server.tree("app", "main");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_amended_after_its_merge_is_merged_again() {
    let server = forked(
        json!([upsert("f", b"0\n"), upsert("g", b"0\n")]),
        json!([upsert("g", b"main\n")]),
        json!([upsert("f", b"1\n")]),
    )
    .await;
    let work = server.get("/local/app/bookmarks/work").await.expect(200);
    let at = format!("/local/app/changes/{}", text(&work["change_id"]));
    for number in 2..5 {
        merge(&server, json!({})).await.expect(200);
        // The same lines again, which are on the target in their last version.
        let files = json!([upsert("f", format!("{number}\n").as_bytes())]);
        server.patch(&at, json!({"files": files})).await.expect(200);
    }
    merge(&server, json!({})).await.expect(200);
    let read = server.bytes("/local/app/content?path=f").await.bytes;
    assert_eq!(read, b"4\n");
    // And the other way around: what was built on a change, after that change was amended.
    let main = server.get("/local/app/bookmarks/main").await.expect(200);
    let main = text(&main["change_id"]);
    let child = change(&server, &main, json!([upsert("new", b"")])).await;
    point(&server, "child", &child).await;
    let files = json!([upsert("f", b"amended\n")]);
    server
        .patch(
            &format!("/local/app/changes/{main}"),
            json!({"files": files}),
        )
        .await
        .expect(200);
    merge(&server, json!({"source": "child"})).await.expect(200);
    let read = server.bytes("/local/app/content?path=f").await.bytes;
    assert_eq!(read, b"amended\n");
    assert!(server.tree("app", "main").contains_key("new"));
    // Somebody else's edit to the same lines is still a conflict.
    let files = json!([upsert("f", b"5\n")]);
    server.patch(&at, json!({"files": files})).await.expect(200);
    merge(&server, json!({})).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_merges_above_its_boundary() {
    let folder = tempfile::tempdir().unwrap();
    let (full, shallow) = (folder.path().join("full"), folder.path().join("shallow"));
    sample(&full);
    let url = format!("file://{}", full.display());
    let at = shallow.to_str().unwrap();
    git(folder.path(), &["clone", "-q", "--depth", "1", &url, at]);
    let server = Server::new(&[("app", &shallow)]).await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    for (name, path) in [("main", "a"), ("work", "b")] {
        let made = change(&server, &head, json!([upsert(path, b"")])).await;
        point(&server, name, &made).await;
    }
    let merged = merge(&server, json!({})).await.expect(200);
    assert_eq!(merged["merge_type"], json!("merge_commit"));
    let tree = server.tree("app", "main");
    assert!(tree.contains_key("a") && tree.contains_key("b") && tree.contains_key("vendor"));
}

/// A few files of few different lines, some executable, some missing.
fn files() -> impl Strategy<Value = [Value; 4]> {
    let file = |path: &'static str| {
        let lines = proptest::collection::vec(0..4_u8, 0..9);
        (lines, 0..6_u8).prop_map(move |(lines, kind)| {
            let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            // So that no file is the same as another.
            text.push_str(path);
            match kind {
                0 => delete(path),
                1 => with_mode(path, text.as_bytes(), "100755"),
                _ => with_mode(path, text.as_bytes(), "100644"),
            }
        })
    };
    ["a", "b", "d/a", "d/e/b"].map(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn git_comes_to_the_same_result() {
    const MERGES: usize = 60;
    let server = Server::with_app().await;
    let bare = server.bare("app");
    let mut runner = TestRunner::deterministic();
    let (mut clean, mut conflicted) = (0, 0);
    for _ in 0..MERGES {
        let mut next = || json!(files().new_tree(&mut runner).unwrap().current());
        let (base, main, work) = (next(), next(), next());
        // Half of each side stays as the base is, or everything would be a conflict.
        let half = |files: &Value, kept: usize| {
            let files = files.as_array().unwrap().iter().enumerate();
            files
                .filter(|(number, _)| number % 2 == kept || *number == 3)
                .map(|(_, file)| file.clone())
                .collect::<Value>()
        };
        let base = change(&server, &"z".repeat(32), base).await;
        for (name, files) in [("target", half(&main, 0)), ("source", half(&work, 1))] {
            let made = change(&server, &base, files).await;
            let at = format!("/local/app/bookmarks/{name}");
            if server.get(&at).await.status == 200 {
                server.delete(&at).await.expect(200);
            }
            point(&server, name, &made).await;
        }
        let theirs = Command::new("git")
            // Git takes similar files for renamed ones, and no-renames does not keep it from that.
            .args(["merge-tree", "--write-tree", "-X", "find-renames=100%"])
            .args(["--name-only", "--no-messages", "target", "source"])
            .current_dir(&bare)
            .output()
            .unwrap();
        let theirs_text = String::from_utf8(theirs.stdout).unwrap();
        let mut lines = theirs_text.lines();
        let tree = lines.next().unwrap();
        let body = json!({"target": "target", "source": "source"});
        let ours = server.post(MERGE, body).await;
        if theirs.status.success() {
            ours.expect(200);
            assert_eq!(rev(&server, "target^{tree}"), tree);
            clean += 1;
        } else {
            let ours = ours.expect(409);
            let mut paths: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(ours["error"]["details"]["conflict_paths"], json!(paths));
            conflicted += 1;
        }
    }
    assert!(clean > 5 && conflicted > 5, "{clean} {conflicted}");
    git(&bare, &["fsck", "--strict", "--full", "--no-dangling"]);
}
