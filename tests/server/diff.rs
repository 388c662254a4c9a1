//! Comparing changes: lines, renames, what is left out, and a patch that Git makes the same tree of.

use crate::harness::*;
use crate::merging::{change, delete, with_mode};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

async fn repository() -> Server {
    let server = Server::new(&[]).await;
    let app = json!({"name": "app"});
    server.post("/local/repos", app).await.expect(201);
    server
}

fn at(base: &str, head: &str) -> String {
    format!("/local/app/diff?base_change_id={base}&head_change_id={head}")
}

fn entry<'a>(diff: &'a Value, path: &str) -> &'a Value {
    let entries = diff["entries"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["path"] == path);
    found.unwrap_or_else(|| panic!("{path}: {diff}"))
}

fn numbered(count: usize) -> String {
    (0..count)
        .map(|number| format!("line {number}\n"))
        .collect()
}

/// One of every difference that there is.
async fn differing(server: &Server) -> [String; 2] {
    let text = numbered(40);
    let edited = text.replace("line 3\n", "third\n").replace("line 30\n", "");
    let base = json!([
        upsert("text", text.as_bytes()),
        upsert("gone", b"a\nb\n"),
        upsert("moved", numbered(30).as_bytes()),
        upsert("same/bytes", b"exactly this\n"),
        upsert("binary", b"\0\x01old"),
        upsert("latin", b"caf\xe9\n"),
        upsert("mode", b"#!/bin/sh\n"),
        upsert("kind", b"a file\n"),
        upsert("end", b"no newline"),
        upsert("f\u{fc}r \"alle\"\\", b"1\n"),
        upsert("folder", b"was a file\n"),
        upsert("became/file", b"was below a folder\n"),
        with_mode("link", b"text", "120000"),
    ]);
    let head = json!([
        upsert("text", edited.as_bytes()),
        delete("gone"),
        delete("moved"),
        upsert(
            "new place",
            numbered(30).replace("line 7\n", "seven\n").as_bytes()
        ),
        delete("same"),
        upsert("other/bytes", b"exactly this\n"),
        upsert("binary", b"\0\x01new and longer"),
        upsert("latin", b"caf\xe8\n"),
        with_mode("mode", b"#!/bin/sh\n", "100755"),
        with_mode("kind", b"text", "120000"),
        upsert("end", b"no newline\n"),
        upsert("f\u{fc}r \"alle\"\\", b"2\n"),
        delete("folder"),
        upsert("folder/below", b"is a folder\n"),
        delete("became"),
        upsert("became", b"is a file\n"),
        with_mode("link", b"gone", "120000"),
        upsert("empty", b""),
        with_mode("tool", b"#!/bin/sh\necho\n", "100755"),
    ]);
    let base = change(server, &"z".repeat(32), base).await;
    let head = change(server, &base, head).await;
    [base, head]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_says_what_happened_to_every_path() {
    let server = repository().await;
    let [base, head] = differing(&server).await;
    let diff = server.get(&at(&base, &head)).await.expect(200);
    assert_eq!(
        (&diff["base_change_id"], &diff["head_change_id"]),
        (&json!(base), &json!(head))
    );
    assert_eq!(
        (&diff["truncated"], &diff["conflicted_entries"]),
        (&json!(false), &json!([]))
    );
    let text = entry(&diff, "text");
    assert_eq!(text["status"], "modified");
    let hunks = text["hunks"].as_array().unwrap();
    assert_eq!(hunks.len(), 2);
    let place = |hunk: &Value| {
        ["old_start", "old_lines", "new_start", "new_lines"]
            .map(|name| hunk[name].as_u64().unwrap())
    };
    assert_eq!(
        [place(&hunks[0]), place(&hunks[1])],
        [[1, 7, 1, 7], [28, 7, 28, 6]]
    );
    assert_eq!(
        hunks[0]["lines"][3],
        json!({"kind": "deleted", "text": "line 3"})
    );
    assert_eq!(
        hunks[0]["lines"][4],
        json!({"kind": "added", "text": "third"})
    );
    assert_eq!(
        hunks[0]["lines"][5],
        json!({"kind": "context", "text": "line 4"})
    );
    for (path, status, old_path) in [
        ("gone", "deleted", Value::Null),
        ("new place", "renamed", json!("moved")),
        ("other/bytes", "renamed", json!("same/bytes")),
        ("mode", "modified", Value::Null),
        ("kind", "modified", Value::Null),
        ("tool", "added", Value::Null),
        ("empty", "added", Value::Null),
        ("folder", "deleted", Value::Null),
        ("folder/below", "added", Value::Null),
    ] {
        let entry = entry(&diff, path);
        assert_eq!(
            (&entry["status"], &entry["old_path"]),
            (&json!(status), &old_path),
            "{path}"
        );
        assert!(entry["size_bytes"].is_u64() && entry["is_conflicted"] == json!(false));
    }
    for path in ["mode", "other/bytes", "empty"] {
        assert_eq!(entry(&diff, path)["hunks"], json!([]), "{path}");
    }
    let binary = entry(&diff, "binary");
    assert_eq!(
        (&binary["omitted_reason"], &binary["hunks"]),
        (&json!("binary"), &Value::Null)
    );
    let end = &entry(&diff, "end")["hunks"][0]["lines"];
    assert_eq!(
        end[1],
        json!({"kind": "annotation", "text": "\\ No newline at end of file"})
    );
    let stats = &diff["stats"];
    let number = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(number("changes"), number("additions") + number("deletions"));
    let counted = |kind: &str| {
        let hunks = diff["entries"].as_array().unwrap().iter();
        let hunks = hunks
            .filter_map(|entry| entry["hunks"].as_array())
            .flatten();
        let lines = hunks.flat_map(|hunk| hunk["lines"].as_array().unwrap());
        lines.filter(|line| line["kind"] == kind).count() as u64
    };
    assert_eq!(
        [number("additions"), number("deletions")],
        ["added", "deleted"].map(counted)
    );
    assert_eq!(
        number("entries"),
        diff["entries"].as_array().unwrap().len() as u64
    );
    // The same backwards, and against nothing.
    let back = server.get(&at(&head, &base)).await.expect(200);
    assert_eq!(back["stats"]["additions"], stats["deletions"]);
    let root = "z".repeat(32);
    let all = server.get(&at(&root, &head)).await.expect(200);
    assert!(
        all["entries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["status"] == "added")
    );
    let none = server.get(&at(&head, &head)).await.expect(200);
    assert_eq!(none["entries"], json!([]));
    let only = format!("{}&conflicts=only", at(&base, &head));
    assert_eq!(server.get(&only).await.expect(200)["entries"], json!([]));
    let exclude = format!("{}&conflicts=exclude", at(&base, &head));
    assert_eq!(
        server.get(&exclude).await.expect(200)["entries"],
        diff["entries"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_means_nothing_is_refused() {
    let server = repository().await;
    let [base, head] = differing(&server).await;
    let unknown = "y".repeat(32);
    for (query, status) in [
        (format!("?base_change_id={base}"), 400),
        (format!("?head_change_id={head}"), 400),
        ("?base_change_id=main&head_change_id=main".to_owned(), 400),
        (
            format!("?base_change_id={base}&head_change_id={head}&conflicts=maybe"),
            400,
        ),
        (
            format!("?base_change_id={base}&head_change_id={unknown}"),
            404,
        ),
    ] {
        server
            .get(&format!("/local/app/diff{query}"))
            .await
            .expect(status);
    }
}

async fn patch(server: &Server, base: &str, head: &str) -> Vec<u8> {
    let request = server.request(Method::GET, &at(base, head));
    let answer = server.send(request.header("accept", "text/plain")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    answer.bytes
}

/// Applies a patch to a tree in an index of its own, and returns the tree that Git makes of it.
fn applied(server: &Server, base: &str, patch: &[u8]) -> String {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], input: &[u8]| {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(server.bare("app"))
            .args(arguments)
            .current_dir(folder.path())
            .env("GIT_INDEX_FILE", folder.path().join("index"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(input)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["read-tree", base], b"");
    if !patch.is_empty() {
        run(&["apply", "--cached", "--whitespace=nowarn", "-"], patch);
    }
    run(&["write-tree"], b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn git_makes_the_same_tree_of_the_patch() {
    let server = repository().await;
    let [base, head] = differing(&server).await;
    let mut trees = Vec::new();
    for change in [&base, &head] {
        let content = server
            .get(&format!("/local/app/content?change_id={change}&depth=0"))
            .await;
        trees.push(text(&content.expect(200)["sha"]));
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let changes = [&base, &head];
        let patch = patch(&server, changes[from], changes[to]).await;
        assert!(std::str::from_utf8(&patch).is_ok());
        assert_eq!(applied(&server, &trees[from], &patch), trees[to]);
    }
    let root = "z".repeat(32);
    let empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let patch_of_all = patch(&server, &root, &head).await;
    assert_eq!(applied(&server, empty, &patch_of_all), trees[1]);
    assert_eq!(patch(&server, &head, &head).await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_and_history_from_git_are_in_the_patch() {
    let source = tempfile::tempdir().unwrap();
    sample(source.path());
    fs::write(source.path().join("with space"), numbered(5)).unwrap();
    git(source.path(), &["add", "-A"]);
    let other = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";
    let info = format!("160000,{other},vendor");
    git(
        source.path(),
        &["update-index", "--add", "--cacheinfo", &info],
    );
    git(source.path(), &["commit", "-q", "-m", "third"]);
    let server = Server::new(&[("app", source.path())]).await;
    let page = server.get("/local/app/changes").await.expect(200);
    let changes = page["changes"].as_array().unwrap();
    let oids = [0, 2].map(|index| text(&changes[index]["current_commit_oid"]));
    let ids = [0, 2].map(|index| text(&changes[index]["id"]));
    let diff = server.get(&at(&ids[1], &ids[0])).await.expect(200);
    let lines = &entry(&diff, "vendor")["hunks"][0]["lines"];
    assert_eq!(lines[0]["text"], format!("Subproject commit {SUBMODULE}"));
    assert!(entry(&diff, "vendor").get("size_bytes").is_none());
    let patch = patch(&server, &ids[1], &ids[0]).await;
    let tree = |oid: &str| {
        git(
            &server.bare("app"),
            &["rev-parse", &format!("{oid}^{{tree}}")],
        )
    };
    assert_eq!(
        applied(&server, tree(&oids[1]).trim(), &patch),
        tree(&oids[0]).trim()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_left_out_and_named() {
    let server = repository().await;
    let root = "z".repeat(32);
    let many: Vec<Value> = (0..3_001)
        .map(|number| upsert(&format!("many/{number:05}"), b"x\n"))
        .collect();
    let many = change(&server, &root, json!(many)).await;
    let diff = server.get(&at(&root, &many)).await.expect(200);
    assert_eq!(diff["truncated"], json!(true));
    assert_eq!(diff["stats"]["entries"], 3_000);
    let request = server.request(Method::GET, &at(&root, &many));
    server
        .send(request.header("accept", "text/plain"))
        .await
        .expect(406);
    let large = "a line of some length, over and over again\n".repeat(30_000);
    let mut files = vec![
        upsert("large", large.as_bytes()),
        upsert("newlines", &[b'\n'; 400_000]),
    ];
    for number in 0..14 {
        files.push(upsert(
            &format!("part/{number:02}"),
            &large.as_bytes()[..900_000],
        ));
    }
    let large = change(&server, &root, json!(files)).await;
    let diff = server.get(&at(&root, &large)).await.expect(200);
    assert_eq!(entry(&diff, "large")["omitted_reason"], "too_large");
    assert_eq!(entry(&diff, "newlines")["omitted_reason"], "too_large");
    assert_eq!(entry(&diff, "part/00")["omitted_reason"], Value::Null);
    assert_eq!(entry(&diff, "part/13")["omitted_reason"], "file_limit");
    assert_eq!(diff["truncated"], json!(false));
    let tree = server
        .get(&format!("/local/app/content?change_id={large}&depth=0"))
        .await;
    let patch = patch(&server, &root, &large).await;
    let empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    assert_eq!(
        applied(&server, empty, &patch),
        text(&tree.expect(200)["sha"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_compared_in_bounded_time() {
    let server = repository().await;
    let root = "z".repeat(32);
    // The same few lines in other orders, which is what line comparisons are slow on.
    let lines = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut text = Vec::new();
        while text.len() < 1_000_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice([b"a\n", b"b\n", b"c\n", b"d\n"][(state >> 62) as usize]);
        }
        text
    };
    let old = change(&server, &root, json!([upsert("f", &lines(1))])).await;
    let new = change(&server, &root, json!([upsert("f", &lines(2))])).await;
    let begun = std::time::Instant::now();
    let diff = server.get(&at(&old, &new)).await.expect(200);
    assert_eq!(entry(&diff, "f")["omitted_reason"], "too_large");
    let took = begun.elapsed();
    assert!(took.as_secs() < 30, "{took:?}");
}
