//! Comparing changes as a patch, of which Git makes the same tree; and what is too much for an answer.

use crate::diff::{at, differing, entry, numbered, repository};
use crate::harness::*;
use crate::merging::change;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

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
