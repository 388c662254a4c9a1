//! Objects by their id: ranges, batches of blobs and of listings, and who may see them.

use crate::harness::{Answer, Server, git, now, sample, sample_server, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesa::remote::api::token::{Lifetime, Request, SigningSecret};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Above the size up to which blobs travel together.
const LARGE: usize = 5 << 20;

/// Bytes that do not compress, and are the same each time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 42_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(count);
    bytes
}

async fn large_server() -> (tempfile::TempDir, Server) {
    let source = tempfile::tempdir().unwrap();
    sample(source.path());
    fs::write(source.path().join("large"), noise(LARGE)).unwrap();
    git(source.path(), &["add", "large"]);
    git(source.path(), &["commit", "-q", "-m", "third"]);
    let server = Server::new(&[("app", source.path())]).await;
    (source, server)
}

fn oid(folder: &Path, name: &str) -> String {
    git(folder, &["rev-parse", name]).trim().to_owned()
}

async fn range(server: &Server, path: &str, range: &str) -> Answer {
    let request = server.request(Method::GET, path).header("range", range);
    let request = request.header("accept", "application/octet-stream");
    server.send(request).await
}

#[tokio::test]
async fn a_blob_answers_ranges_by_its_id_and_by_its_path() {
    let (source, server) = large_server().await;
    let sha = oid(source.path(), "HEAD:large");
    let whole = noise(LARGE);
    // Loose objects stream, packed ones are decoded: the same bytes.
    for pack in [false, true] {
        if pack {
            git(&server.bare("app"), &["repack", "-q", "-a", "-d"]);
        }
        for path in [
            format!("/local/app/ext/blobs/{sha}"),
            "/local/app/content?path=large".to_owned(),
        ] {
            let answer = server.bytes(&path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.headers["accept-ranges"], "bytes");
            assert_eq!(answer.headers["etag"], format!("\"{sha}\""));
            assert_eq!(answer.headers["content-length"], LARGE.to_string());
            assert!(answer.bytes == whole, "{path}: other bytes");
            let last = LARGE - 1;
            for (asked, from, to) in [
                ("bytes=0-0".to_owned(), 0, 0),
                ("bytes=1000000-2000000".to_owned(), 1_000_000, 2_000_000),
                (format!("bytes={last}-"), last, last),
                ("bytes=-10".to_owned(), LARGE - 10, last),
            ] {
                let part = range(&server, &path, &asked).await;
                assert_eq!(part.status, 206, "{path} {asked}");
                assert_eq!(
                    part.headers["content-range"],
                    format!("bytes {from}-{to}/{LARGE}")
                );
                assert!(part.bytes == whole[from..=to], "{path} {asked}");
                let digest = STANDARD.encode(Sha256::digest(&part.bytes));
                let digest = format!("sha-256=:{digest}:");
                assert_eq!(part.headers["content-digest"], digest);
            }
            // A long one is not held in memory for a digest.
            let part = range(&server, &path, "bytes=1-").await;
            assert!(part.bytes == whole[1..], "{path}");
            assert!(!part.headers.contains_key("content-digest"));
            let beyond = range(&server, &path, &format!("bytes={LARGE}-")).await;
            beyond.expect(416);
            let request = server.request(Method::GET, &path);
            let request = request.header("accept", "application/octet-stream");
            let request = request.header("if-none-match", format!("\"{sha}\""));
            assert_eq!(server.send(request).await.status, 304, "{path}");
            let request = server.request(Method::HEAD, &path);
            let head = server
                .send(request.header("accept", "application/octet-stream"))
                .await;
            assert_eq!(head.headers["content-length"], LARGE.to_string());
            assert!(head.bytes.is_empty());
        }
    }
    let missing = format!("/local/app/ext/blobs/{}", "0".repeat(40));
    server.get(&missing).await.expect(404);
    let tree = oid(source.path(), "HEAD^{tree}");
    let path = format!("/local/app/ext/blobs/{tree}");
    server.get(&path).await.expect(404);
    server.get("/local/app/ext/blobs/x").await.expect(404);
}

/// Parses the frames of an answer: the word after the id, and the bytes.
fn frames(mut bytes: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap().to_owned();
        bytes = &bytes[end + 1..];
        let words: Vec<&str> = head.split(' ').collect();
        let mut body = Vec::new();
        if words[1] == "blob" {
            let size: usize = words[2].parse().unwrap();
            body = bytes[..size].to_vec();
            assert_eq!(bytes[size], b'\n');
            bytes = &bytes[size + 1..];
        }
        found.push((words[0].to_owned(), words[1..].join(" "), body));
    }
    found
}

#[tokio::test]
async fn many_blobs_come_in_one_answer_in_the_order_they_were_asked_for() {
    let (source, server) = large_server().await;
    let names = ["run", "README.md", "large", "empty", "link", "run"];
    let mut ids: Vec<String> = names
        .iter()
        .map(|name| oid(source.path(), &format!("HEAD:{name}")))
        .collect();
    ids.push("1".repeat(40));
    let tree = oid(source.path(), "HEAD^{tree}");
    ids.push(tree.clone());
    let answer = server
        .post("/local/app/ext/objects", json!({"objects": ids}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.mesa.objects"
    );
    let found = frames(&answer.bytes);
    let wanted = [
        ("blob 10", "#!/bin/sh\n"),
        ("blob 13", "hello, world\n"),
        ("large 5242880", ""),
        ("blob 0", ""),
        ("blob 8", "src/deep"),
        ("blob 10", "#!/bin/sh\n"),
        ("missing", ""),
        ("missing", ""),
    ];
    assert_eq!(found.len(), wanted.len());
    for ((frame, id), (head, body)) in found.iter().zip(&ids).zip(wanted) {
        assert_eq!((&frame.0, frame.1.as_str()), (id, head));
        assert_eq!(frame.2, body.as_bytes());
    }
    let many = vec![tree; 10_001];
    let refused = server.post("/local/app/ext/objects", json!({"objects": many}));
    refused.await.expect(400);
    let refused = server.post("/local/app/ext/objects", json!({"objects": ["x"]}));
    refused.await.expect(400);
}

fn listings(bytes: &[u8]) -> BTreeMap<String, Value> {
    std::str::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|listing| (text(&listing["sha"]), listing["entries"].clone()))
        .collect()
}

#[tokio::test]
async fn a_whole_repository_is_listed_by_one_request() {
    let (source, server) = sample_server().await;
    let root = oid(source.path(), "HEAD^{tree}");
    let wanted = json!({"trees": [root], "recursive": true});
    let answer = server.post("/local/app/ext/trees", wanted).await;
    assert_eq!(answer.status, 200);
    let found = listings(&answer.bytes);
    // What Git lists, written as we write it.
    let listed = git(source.path(), &["ls-tree", "-r", "-t", "-l", "-z", "HEAD"]);
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut trees = BTreeMap::from([(String::new(), root.clone())]);
    for line in listed.split_terminator('\0') {
        let (facts, path) = line.split_once('\t').unwrap();
        let facts: Vec<&str> = facts.split_ascii_whitespace().collect();
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut entry = json!({"name": name, "mode": facts[0], "sha": facts[2]});
        if facts[1] == "blob" {
            entry["size"] = json!(facts[3].parse::<u64>().unwrap());
        }
        if facts[1] == "tree" {
            trees.insert(path.to_owned(), facts[2].to_owned());
        }
        expected
            .entry(trees[folder].clone())
            .or_default()
            .push(entry);
    }
    assert_eq!(found.len(), expected.len());
    for (tree, entries) in &expected {
        assert_eq!(found[tree], json!(entries), "{tree}");
    }
    let one = json!({"trees": [root, "2".repeat(40)]});
    let answer = server.post("/local/app/ext/trees", one).await;
    let found = listings(&answer.bytes);
    assert_eq!(found.len(), 2);
    assert_eq!(found[&"2".repeat(40)], Value::Null);
}

#[tokio::test]
async fn a_snapshot_comes_with_its_first_listings() {
    let (source, server) = sample_server().await;
    let root = oid(source.path(), "HEAD^{tree}");
    let get = async |query: &str| {
        let path = format!("/local/app/ext/snapshot{query}");
        server.get(&path).await
    };
    let all = get("?bytes_max=100000").await.expect(200);
    let commit = oid(source.path(), "HEAD");
    assert_eq!(all["commit_oid"], json!(commit));
    assert_eq!(all["tree"], json!(root));
    assert_eq!(all["bookmark"], "trunk");
    let change = text(&all["change_id"]);
    let told = server
        .get(&format!("/local/app/changes/{change}"))
        .await
        .expect(200);
    assert_eq!(told["current_commit_oid"], json!(commit));
    assert_eq!(all["committed_at"], told["committer"]["date"]);
    // The same as the request for trees tells, which is held to Git.
    let wanted = json!({"trees": [root], "recursive": true});
    let answer = server.post("/local/app/ext/trees", wanted).await;
    let trees = listings(&answer.bytes);
    assert!(trees.len() > 1);
    let told = all["listings"].as_array().unwrap();
    assert_eq!(told.len(), trees.len());
    assert_eq!(told[0]["sha"], json!(root));
    for listing in told {
        assert_eq!(trees[&text(&listing["sha"])], listing["entries"]);
    }
    // One at least, unless none is wanted or all are known.
    let count = |answer: &Value| answer["listings"].as_array().unwrap().len();
    assert_eq!(count(&get("?bytes_max=1").await.expect(200)), 1);
    assert_eq!(count(&get("").await.expect(200)), 0);
    let known = get(&format!("?bytes_max=9999&known_tree={root}")).await;
    assert_eq!(count(&known.expect(200)), 0);
    let named = get(&format!("?change_id={change}")).await.expect(200);
    assert_eq!(named["tree"], json!(root));
    assert_eq!(named.get("bookmark"), None);
    get("?bookmark=none").await.expect(404);
    get(&format!("?bookmark=trunk&change_id={change}"))
        .await
        .expect(400);
    get("?known_tree=x").await.expect(400);
}

#[tokio::test]
async fn listings_end_where_a_client_wants_no_more() {
    let (source, server) = sample_server().await;
    let root = oid(source.path(), "HEAD^{tree}");
    let get = async |bytes_max: usize| {
        let wanted = json!({"trees": [root], "recursive": true, "bytes_max": bytes_max});
        server.post("/local/app/ext/trees", wanted).await.bytes
    };
    let all = get(1 << 20).await;
    let lines: Vec<usize> = all
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::len)
        .collect();
    assert!(lines.len() > 2);
    assert_eq!(get(0).await.len(), lines[0]);
    assert_eq!(get(lines[0] + lines[1]).await.len(), lines[0] + lines[1]);
    assert_eq!(get(lines[0] + lines[1] - 1).await.len(), lines[0]);
    assert_eq!(get(all.len()).await.len(), all.len());
}

#[tokio::test]
async fn names_that_are_not_utf_8_are_listed_with_their_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let source = tempfile::tempdir().unwrap();
    git(source.path(), &["init", "-q", "-b", "main"]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(source.path().join(name), "x").unwrap();
    git(source.path(), &["add", "-A"]);
    git(source.path(), &["commit", "-q", "-m", "latin"]);
    let server = Server::new(&[("app", source.path())]).await;
    let root = oid(source.path(), "HEAD^{tree}");
    let answer = server
        .post("/local/app/ext/trees", json!({"trees": [root]}))
        .await;
    let entry = &listings(&answer.bytes)[&root][0];
    assert_eq!(entry["name"], "caf\u{fffd}");
    assert_eq!(entry["name_base64"], "Y2Fm6Q==");
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it() {
    let (source, server) = sample_server().await;
    let root = oid(source.path(), "HEAD^{tree}");
    for coding in ["zstd", "gzip"] {
        let request = server.request(Method::POST, "/local/app/ext/trees");
        let request = request
            .header("accept-encoding", coding)
            .json(&json!({"trees": [root], "recursive": true}));
        // Another client than the harness has, since that one would decode it.
        let plain = reqwest::Client::builder().no_proxy().no_gzip().no_zstd();
        let response = plain
            .build()
            .unwrap()
            .execute(request.build().unwrap())
            .await
            .unwrap();
        assert_eq!(response.headers()["content-encoding"], coding);
    }
}

#[tokio::test]
async fn a_restricted_credential_sees_what_a_commit_has() {
    let (source, server) = sample_server().await;
    let stray = server.request(Method::POST, "/local/app/ext/blobs");
    let stray = server.send(stray.body("a secret")).await.expect(201);
    let stray = text(&stray["sha"]);
    let first = oid(source.path(), "HEAD~1");
    let head = oid(source.path(), "HEAD");
    let old = oid(source.path(), "HEAD~1:README.md");
    let root = oid(source.path(), "HEAD^{tree}");
    let token = SigningSecret::of_api_key(&server.key).sign(
        &server.key_id().await,
        &Request {
            scopes: &["read"],
            authors: &[],
            repos: Some(&["local/app".to_owned()]),
            issued_at: now(),
            lifetime: Lifetime::default(),
            token_id: uuid::Uuid::nil(),
        },
    );
    let get = |path: String| {
        let url = format!("{}{path}", server.base);
        server.send(server.client.get(url).bearer_auth(&token))
    };
    let blob = |sha: &str| format!("/local/app/ext/blobs/{sha}");
    // The key itself may read anything, the token only what it can be shown to belong.
    assert_eq!(server.get(&blob(&stray)).await.bytes, b"a secret");
    get(blob(&stray)).await.expect(404);
    get(blob(&old)).await.expect(404);
    for (commit, sha, status) in [
        (&first, &old, 200),
        (&head, &old, 404),
        (&head, &stray, 404),
        (&"3".repeat(40), &old, 404),
    ] {
        let answer = get(format!("{}?commit_oid={commit}", blob(sha))).await;
        assert_eq!(answer.status.as_u16(), status, "{sha} of {commit}");
    }
    let post = |path: &str, body: Value| {
        let url = format!("{}/local/app/ext/{path}", server.base);
        server.send(server.client.post(url).bearer_auth(&token).json(&body))
    };
    let all = json!({"objects": [stray, old], "commit_oid": first});
    let found = frames(&post("objects", all).await.bytes);
    assert_eq!(found[0].1, "missing");
    assert_eq!(found[1].1, "blob 6");
    let found = frames(&post("objects", json!({"objects": [old]})).await.bytes);
    assert_eq!(found[0].1, "missing");
    let trees = json!({"trees": [root], "commit_oid": first});
    assert_eq!(
        listings(&post("trees", trees).await.bytes)[&root],
        Value::Null
    );
    let trees = json!({"trees": [root], "commit_oid": head, "recursive": true});
    assert_eq!(listings(&post("trees", trees).await.bytes).len(), 4);
}
