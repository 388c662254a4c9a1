//! Clone and fetch by `git` itself.

use crate::crash::Child;
use crate::gits::*;
use crate::harness::*;
use crate::merging::{change, point};
use mesa::remote::api::token::{Lifetime, Request, SigningSecret};
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a client has of a commit, with the modes and ids of everything.
fn listed(folder: &Path, commit: &str) -> String {
    run(folder, &["ls-tree", "-r", "-t", commit]).done()
}

pub async fn token(server: &Server, scopes: &[&str], repos: &[&str]) -> String {
    let repos: Vec<String> = repos.iter().map(|name| (*name).to_owned()).collect();
    let request = Request {
        scopes,
        repos: Some(&repos),
        authors: &[],
        issued_at: now(),
        lifetime: Lifetime::default(),
        token_id: uuid::Uuid::new_v4(),
    };
    SigningSecret::of_api_key(&server.key).sign(&server.key_id().await, &request)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_everything_as_it_was_made() {
    let (source, server) = sample_server().await;
    for version in ["0", "1", "2"] {
        let option = format!("protocol.version={version}");
        let clone = Clone::of(&server, &["-c", &option]);
        assert_eq!(
            listed(&clone.at, "HEAD"),
            listed(source.path(), "HEAD"),
            "protocol {version}"
        );
        assert_eq!(clone.git(&["branch", "--show-current"]), "trunk");
        assert_eq!(clone.git(&["log", "--format=%s"]), "second\nfirst");
        let mode = fs::metadata(clone.at.join("run")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o111, 0o111);
        assert_eq!(
            fs::read_link(clone.at.join("link")).unwrap(),
            Path::new("src/deep")
        );
        clone.git(&["fsck", "--strict"]);
        // Changes are none of a Git client's names.
        assert_eq!(clone.git(&["ls-remote", "origin", "refs/mesa/*"]), "");
    }
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_may_be_a_part() {
    let (_source, server) = sample_server().await;
    let base = server.get("/local/app").await.expect(200);
    let base = text(&base["head_change_id"]);
    let other = change(&server, &base, json!([upsert("other", b"o\n")])).await;
    point(&server, "other", &other).await;
    for version in ["0", "2"] {
        let option = format!("protocol.version={version}");
        let shallow = Clone::of(&server, &["-c", &option, "--depth=1", "--no-single-branch"]);
        assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]), "1");
        shallow.git(&["rev-parse", "origin/other"]);
        shallow.git(&["fetch", "-q", "--unshallow"]);
        assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]), "2");
        shallow.git(&["fsck", "--strict"]);
        let single = Clone::of(
            &server,
            &["-c", &option, "--single-branch", "--branch=other"],
        );
        assert_eq!(single.git(&["branch", "-r"]), "origin/other");
        assert_eq!(fs::read(single.at.join("other")).unwrap(), b"o\n");
        let partial = Clone::of(
            &server,
            &["-c", &option, "--filter=blob:none", "--no-checkout"],
        );
        let missing = partial.git(&["rev-list", "--objects", "--missing=print", "HEAD"]);
        assert!(
            missing.lines().any(|line| line.starts_with('?')),
            "{missing}"
        );
        // What is missing comes when it is looked at.
        partial.git(&["checkout", "-q", "trunk"]);
        assert_eq!(
            fs::read(partial.at.join("README.md")).unwrap(),
            b"hello, world\n"
        );
    }
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_brings_what_was_written_over_rest() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    let base = server.get("/local/app").await.expect(200);
    let base = text(&base["head_change_id"]);
    let made = change(&server, &base, json!([upsert("new", b"1\n")])).await;
    point(&server, "work", &made).await;
    clone.git(&["fetch", "-q"]);
    assert_eq!(clone.git(&["show", "origin/work:new"]), "1");
    let patch = json!({"files": [upsert("new", b"2\n")]});
    let at = format!("/local/app/changes/{made}");
    let patched = server.patch(&at, patch).await.expect(200);
    clone.git(&["fetch", "-q"]);
    assert_eq!(
        clone.git(&["rev-parse", "origin/work"]),
        text(&patched["current_commit_oid"])
    );
    server.delete("/local/app/bookmarks/work").await.expect(200);
    clone.git(&["fetch", "-q", "--prune"]);
    assert_eq!(clone.git(&["branch", "-r", "--list", "origin/work"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_can_be_cloned() {
    let server = Server::new(&[]).await;
    let new = json!({"name": "app", "default_bookmark": "start"});
    server.post("/local/repos", new).await.expect(201);
    let clone = Clone::of(&server, &[]);
    assert_eq!(clone.git(&["symbolic-ref", "HEAD"]), "refs/heads/start");
    let pushed = clone.commit("first", "1");
    clone.git(&["push", "-q", "origin", "start"]);
    let shown = server.get("/local/app/content?path=first").await;
    assert_eq!(shown.headers["mesa-commit-oid"], pushed.as_str());
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_credential_is_asked_for_one() {
    let (_source, server) = sample_server().await;
    let folder = tempfile::tempdir().unwrap();
    let at = url(&server, "x", "app").replace("anyone:x@", "");
    let infos = format!("{at}/info/refs?service=git-upload-pack");
    let asked = server.send(server.client.get(&infos)).await;
    assert_eq!(asked.status, 401);
    assert_eq!(asked.headers["www-authenticate"], "Basic realm=\"mesa\"");
    let bearer = server.client.get(&infos).bearer_auth(&server.key);
    assert_eq!(server.send(bearer).await.status, 200);
    for bad in ["mesa_wrong", "x", "", "a.b.c"] {
        let basic = server.client.get(&infos).basic_auth("t", Some(bad));
        assert_eq!(server.send(basic).await.status, 401, "{bad}");
        let ran = run(folder.path(), &["ls-remote", &url(&server, bad, "app")]);
        assert!(!ran.is_done);
    }
    for garbage in ["Basic", "Basic !", "Basic YQ==", "Digest x", "Basic /w=="] {
        let request = server.client.get(&infos).header("authorization", garbage);
        assert_eq!(server.send(request).await.status, 401, "{garbage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reaches_its_repositories_within_its_scopes() {
    let (_source, server) = sample_server().await;
    let new = json!({"name": "secret"});
    server.post("/local/repos", new).await.expect(201);
    let reader = token(&server, &["read"], &["local/app"]).await;
    let clone = Clone::of(&server, &[]);
    let at = url(&server, &reader, "app");
    clone.git(&["fetch", "-q", &at]);
    clone.commit("mine", "");
    clone.run(&["push", &at, "trunk"]).refused(&["403"]);
    let none = token(&server, &["nothing"], &["local/app"]).await;
    clone
        .run(&["fetch", &url(&server, &none, "app")])
        .refused(&["403"]);
    // What it must not see is not there, whatever it wants to do.
    let writer = token(&server, &["write"], &["local/app"]).await;
    for name in ["secret", "nothing"] {
        let at = url(&server, &writer, name);
        clone.run(&["fetch", &at]).refused(&["not found"]);
        clone.run(&["push", &at, "trunk"]).refused(&["not found"]);
    }
    clone.git(&["push", "-q", &url(&server, &writer, "app"), "trunk"]);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_refused_and_never_a_fault_of_ours() {
    let (_source, mut server) = sample_server().await;
    // What answers early closes the connection.
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0);
    server.client = client.build().unwrap();
    let at = url(&server, "x", "app").replace("anyone:x@", "");
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = gzip(&vec![b'0'; 64 << 20]);
    let command = format!(
        "{} {} refs/heads/x\0report-status",
        "0".repeat(40),
        "1".repeat(40)
    );
    let command = format!("{:04x}{command}0000", command.len() + 4);
    let bodies: [(&str, Vec<u8>); 9] = [
        ("", Vec::new()),
        ("", b"PACK".to_vec()),
        ("", b"0005".to_vec()),
        ("", b"00000000".to_vec()),
        ("", command.clone().into_bytes()),
        ("", format!("{command}PACKxxxxxxxx").into_bytes()),
        (
            "",
            format!("{command}PACK\0\0\0\x02\0\0\0\x01garbage").into_bytes(),
        ),
        ("gzip", b"no gzip".to_vec()),
        ("gzip", zeros),
    ];
    for verb in ["git-upload-pack", "git-receive-pack"] {
        for (encoding, body) in &bodies {
            let mut request = server
                .client
                .post(format!("{at}/{verb}"))
                .basic_auth("t", Some(&server.key))
                .body(body.clone());
            if !encoding.is_empty() {
                request = request.header("content-encoding", *encoding);
            }
            let answer = server.send(request).await;
            assert!(
                answer.status.as_u16() < 500,
                "{verb} {:?}",
                String::from_utf8_lossy(&answer.bytes)
            );
        }
    }
    for (method, path, status) in [
        (Method::GET, "/info/refs", 400),
        (Method::GET, "/info/refs?service=git-upload-archive", 400),
        (Method::GET, "/info/refs?service=%ff", 400),
        (Method::GET, "/git-upload-pack", 405),
        (Method::POST, "/info/refs?service=git-upload-pack", 405),
        (Method::GET, "/HEAD", 404),
        (Method::GET, "/objects/info/packs", 404),
        (Method::GET, "/info/refs/?service=git-upload-pack", 404),
    ] {
        let request = server.client.request(method.clone(), format!("{at}{path}"));
        let answer = server.send(request.bearer_auth(&server.key)).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let huge = server.client.post(format!("{at}/git-receive-pack"));
    let huge = huge
        .bearer_auth(&server.key)
        .header("content-length", (6_u64 << 30).to_string());
    let refused = huge.body(reqwest::Body::wrap_stream(futures_util::stream::pending::<
        std::io::Result<Vec<u8>>,
    >()));
    let answer = server.send(refused).await;
    assert_eq!(answer.status, 413);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_git_there_is_an_answer_that_says_what_to_install() {
    let (_source, mut server) = sample_server().await;
    server.stop().await;
    let (_child, base) = Child::start_with(&server.data(), &[("PATH", "/nonexistent")]);
    server.base = base;
    let folder = tempfile::tempdir().unwrap();
    let at = url(&server, &server.key, "app");
    run(folder.path(), &["ls-remote", &at]).refused(&["501", "apt-get install git"]);
    // All else needs no git.
    server.get("/local/app/content").await.expect(200);
}
