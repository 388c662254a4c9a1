//! Comparing changes: lines, renames, conflicts, and texts that were made to be slow.

use crate::harness::*;
use crate::merging::{change, delete, forked, merge, with_mode};
use serde_json::{Value, json};

pub async fn repository() -> Server {
    let server = Server::new(&[]).await;
    let app = json!({"name": "app"});
    server.post("/local/repos", app).await.expect(201);
    server
}

pub fn at(base: &str, head: &str) -> String {
    format!("/local/app/diff?base_change_id={base}&head_change_id={head}")
}

pub fn entry<'a>(diff: &'a Value, path: &str) -> &'a Value {
    let entries = diff["entries"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["path"] == path);
    found.unwrap_or_else(|| panic!("{path}: {diff}"))
}

pub fn numbered(count: usize) -> String {
    (0..count)
        .map(|number| format!("line {number}\n"))
        .collect()
}

/// One of every difference that there is.
pub async fn differing(server: &Server) -> [String; 2] {
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

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_the_head_are_told_as_the_merge_told_them() {
    let server = forked(
        json!([upsert("f", b"1\n2\n3\n")]),
        json!([upsert("f", b"one\n2\n3\n"), upsert("binary", b"\0main")]),
        json!([
            upsert("f", b"eins\n2\n3\n"),
            upsert("binary", b"\0work"),
            upsert("g", b"new\n")
        ]),
    )
    .await;
    let refused = merge(&server, json!({})).await.expect(409);
    let told = &refused["error"]["details"]["conflicted_entries"];
    let main = server.get("/local/app/bookmarks/main").await.expect(200);
    let base = text(&main["change_id"]);
    let recorded = merge(&server, json!({"allow_conflicted": true})).await;
    let head = text(&recorded.expect(200)["change_id"]);
    let diff = server.get(&at(&base, &head)).await.expect(200);
    assert_eq!(&diff["conflicted_entries"], told);
    let stats = &diff["stats"];
    assert_eq!(
        (&stats["conflicted_entries"], &stats["conflicted_hunks"]),
        (&json!(2), &json!(1))
    );
    let paths = |diff: &Value| -> Vec<String> {
        let entries = diff["entries"].as_array().unwrap();
        entries.iter().map(|entry| text(&entry["path"])).collect()
    };
    assert_eq!(paths(&diff), ["g"]);
    let only = format!("{}&conflicts=only", at(&base, &head));
    let only = server.get(&only).await.expect(200);
    assert_eq!((paths(&only).len(), &only["conflicted_entries"]), (0, told));
    let exclude = format!("{}&conflicts=exclude", at(&base, &head));
    let exclude = server.get(&exclude).await.expect(200);
    assert_eq!(
        (paths(&exclude), &exclude["conflicted_entries"]),
        (paths(&diff), &json!([]))
    );
    // Its hunk ids resolve it.
    let hunk = &diff["conflicted_entries"][1]["hunks"][0]["hunk_id"];
    let resolutions = json!([
        {"path": "f", "hunks": [{"hunk_id": hunk, "take": "source"}]},
        {"path": "binary", "take": "target"},
    ]);
    let change = format!("/local/app/changes/{head}");
    let resolved = server
        .patch(&change, json!({"resolutions": resolutions}))
        .await;
    assert_eq!(resolved.expect(200)["is_conflicted"], json!(false));
    let after = server.get(&at(&base, &head)).await.expect(200);
    assert_eq!(after["conflicted_entries"], json!([]));
    assert_eq!(paths(&after), ["f", "g"]);
}
