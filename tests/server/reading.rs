//! What `git` made is what the server shows.

use crate::harness::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesa::server::start;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_repository_reads_as_git_reads_it() {
    let (source, server) = sample_server().await;
    let repo = server.get("/local/app").await.expect(200);
    assert_eq!(repo["default_bookmark"], "trunk");
    let change = text(&repo["head_change_id"]);
    let answer = server.get("/local/app/content?depth=10").await;
    let head = git(source.path(), &["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(answer.headers["mesa-commit-oid"], head.as_str());
    let listing = answer.expect(200);
    assert_eq!(
        (&listing["type"], &listing["name"], &listing["path"]),
        (&json!("dir"), &json!(""), &json!(""))
    );
    assert_eq!(listing["child_count"], 6);
    let mut listed = BTreeMap::new();
    for entry in listing["entries"].as_array().unwrap() {
        let (kind, mode) = match entry["type"].as_str().unwrap() {
            "dir" => ("tree", "040000".to_owned()),
            "submodule" => ("commit", "160000".to_owned()),
            _ => ("blob", text(&entry["mode"])),
        };
        let size = entry["size"]
            .as_u64()
            .map_or("-".to_owned(), |size| size.to_string());
        listed.insert(
            text(&entry["path"]),
            format!("{mode} {kind} {} {size}", text(&entry["sha"])),
        );
    }
    let expected: BTreeMap<String, String> =
        git(source.path(), &["ls-tree", "-r", "-t", "-l", "-z", "HEAD"])
            .split_terminator('\0')
            .map(|line| {
                let (facts, path) = line.split_once('\t').unwrap();
                (
                    path.to_owned(),
                    facts.split_whitespace().collect::<Vec<_>>().join(" "),
                )
            })
            .collect();
    assert_eq!(listed, expected);
    for path in [
        "README.md",
        "empty",
        "run",
        "src/deep/er/\u{fc}n\u{ef} c\u{f6}d\u{e9}",
    ] {
        let query = path.replace(' ', "%20");
        let at = format!("/local/app/content?change_id={change}&path={query}");
        let bytes = server.bytes(&at).await;
        assert_eq!(bytes.status, 200);
        assert_eq!(bytes.bytes, fs::read(source.path().join(path)).unwrap());
        let sha = git(source.path(), &["rev-parse", &format!("HEAD:{path}")])
            .trim()
            .to_owned();
        assert_eq!(bytes.headers["mesa-object-sha"], sha.as_str());
        assert_eq!(bytes.headers["etag"], format!("\"{sha}\"").as_str());
        let file = server.get(&at).await.expect(200);
        assert_eq!(
            STANDARD.decode(text(&file["content"])).unwrap(),
            bytes.bytes
        );
        assert_eq!(file["encoding"], "base64");
        let request = server
            .request(Method::GET, &at)
            .header("accept", "application/octet-stream");
        let known = server
            .send(request.header("if-none-match", format!("\"{sha}\"")))
            .await;
        assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
    }
    let link = server.get("/local/app/content?path=link").await.expect(200);
    assert_eq!(
        (&link["type"], &link["mode"]),
        (&json!("symlink"), &json!("120000"))
    );
    assert_eq!(
        STANDARD.decode(text(&link["content"])).unwrap(),
        b"src/deep"
    );
    server
        .bytes("/local/app/content?path=src")
        .await
        .expect(406);
    server.get("/local/app/content?path=nope").await.expect(404);
    server
        .get("/local/app/content?path=run/x")
        .await
        .expect(404);
    server.get("/local/app/content?path=../x").await.expect(400);
    server.get("/local/app/content?depth=11").await.expect(400);
    let bare = server.get("/local/app/content?depth=0").await.expect(200);
    assert_eq!(
        (&bare["child_count"], &bare["entries"]),
        (&json!(6), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_history_is_changes_with_derived_ids() {
    let (source, server) = sample_server().await;
    let page = server.get("/local/app/changes?limit=1").await.expect(200);
    assert_eq!(page["has_more"], true);
    let second = &page["changes"][0];
    assert_eq!(second["message"], "second\n");
    assert_eq!(second["authors"][0]["email"], "ann@example.com");
    let oid = text(&second["current_commit_oid"]);
    assert_eq!(oid, git(source.path(), &["rev-parse", "HEAD"]).trim());
    let mut derived = [0_u8; 16];
    for (at, byte) in derived.iter_mut().enumerate() {
        let pair = &oid[38 - 2 * at..40 - 2 * at];
        *byte = u8::from_str_radix(pair, 16).unwrap().reverse_bits();
    }
    assert_eq!(
        text(&second["id"]),
        mesa::tree::ChangeId(derived).to_string()
    );
    let cursor = text(&page["next_cursor"]);
    let rest = server
        .get(&format!("/local/app/changes?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        (&rest["has_more"], &rest["next_cursor"]),
        (&json!(false), &Value::Null)
    );
    let first = &rest["changes"][0];
    assert_eq!(first["parents"], json!(["z".repeat(32)]));
    assert_eq!(second["parents"][0], first["id"]);
    // The parent is found without a reference, and its own tree is read.
    let id = text(&first["id"]);
    let detail = server
        .get(&format!("/local/app/changes/{id}"))
        .await
        .expect(200);
    assert_eq!(detail["files"].as_array().unwrap().len(), 6);
    let at = format!("/local/app/content?change_id={id}&path=README.md");
    assert_eq!(server.bytes(&at).await.bytes, b"hello\n");
    let old = text(&first["current_commit_oid"]);
    let at = format!("/local/app/content?commit_oid={old}&path=README.md");
    assert_eq!(server.bytes(&at).await.bytes, b"hello\n");
    server
        .get(&format!("/local/app/changes/{}", "y".repeat(32)))
        .await
        .expect(404);
    server
        .get(&format!("/local/app/content?commit_oid={SUBMODULE}"))
        .await
        .expect(404);
    server.get("/local/app/changes?cursor=x").await.expect(400);
    server.get("/local/app/changes?limit=101").await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_utf8_is_listed_and_read() {
    use std::os::unix::ffi::OsStrExt;
    let source = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(source.path().join(name), "latin").unwrap();
    let server = Server::new(&[("app", source.path())]).await;
    let listing = server.get("/local/app/content").await.expect(200);
    let entry = &listing["entries"][0];
    assert_eq!(entry["name"], "caf\u{fffd}");
    assert_eq!(
        STANDARD.decode(text(&entry["name_base64"])).unwrap(),
        name.as_bytes()
    );
    assert_eq!(
        server.bytes("/local/app/content?path=caf%E9").await.bytes,
        b"latin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_source_is_imported() {
    let sources = tempfile::tempdir().unwrap();
    let at = |name: &str| sources.path().join(name);
    fs::create_dir(at("origin")).unwrap();
    sample(&at("origin"));
    let tree = git(&at("origin"), &["rev-parse", "HEAD^{tree}"])
        .trim()
        .to_owned();
    let clone = |arguments: &[&str]| {
        git(
            sources.path(),
            &[
                &["-c", "protocol.file.allow=always", "clone", "-q"],
                arguments,
            ]
            .concat(),
        );
    };
    clone(&["--bare", "origin", "bare"]);
    clone(&["--shared", "origin", "borrowing"]);
    let url = format!("file://{}", at("origin").display());
    clone(&["--depth", "1", &url, "shallow"]);
    git(&at("origin"), &["gc", "-q"]);
    clone(&["--bare", &url, "packed"]);
    git(&at("packed"), &["repack", "-q", "-a", "-d"]);
    git(&at("packed"), &["pack-refs", "--all"]);
    fs::create_dir(at("unborn")).unwrap();
    git(&at("unborn"), &["init", "-q", "-b", "dev"]);
    git(
        sources.path(),
        &[
            "-C",
            "origin",
            "worktree",
            "add",
            "-q",
            "--detach",
            "../detached",
        ],
    );
    fs::create_dir_all(at("plain/inner/none")).unwrap();
    fs::write(at("plain/inner/run"), "x").unwrap();
    fs::set_permissions(at("plain/inner/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("inner", at("plain/link")).unwrap();
    let names = [
        "origin",
        "bare",
        "borrowing",
        "shallow",
        "packed",
        "detached",
        "unborn",
        "plain",
    ];
    let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
    let imports: Vec<(&str, &Path)> = names
        .iter()
        .copied()
        .zip(paths.iter().map(PathBuf::as_path))
        .collect();
    let mut server = Server::new(&imports).await;
    for name in &names[..6] {
        let content = server
            .get(&format!("/local/{name}/content"))
            .await
            .expect(200);
        assert_eq!(text(&content["sha"]), tree, "{name}");
        let changes = server
            .get(&format!("/local/{name}/changes"))
            .await
            .expect(200);
        let count = if *name == "shallow" { 1 } else { 2 };
        assert_eq!(
            changes["changes"].as_array().unwrap().len(),
            count,
            "{name}"
        );
        let head = text(&changes["changes"][0]["id"]);
        server
            .get(&format!("/local/{name}/changes/{head}"))
            .await
            .expect(200);
        server.tree(name, "HEAD");
    }
    assert_eq!(
        server.get("/local/unborn").await.expect(200)["default_bookmark"],
        "dev"
    );
    let plain = server.tree("plain", "main");
    assert_eq!(
        plain.keys().collect::<Vec<_>>(),
        ["inner", "inner/none", "inner/run", "link"]
    );
    assert!(plain["inner/run"].starts_with("100755"));
    // The source may go away, and importing again does not overwrite.
    let change = text(&server.get("/local/plain").await.expect(200)["head_change_id"]);
    server.stop().await;
    fs::remove_dir_all(at("origin")).unwrap();
    fs::write(at("plain/new"), "").unwrap();
    let again: Vec<(&str, &Path)> = imports
        .iter()
        .copied()
        .filter(|(name, _)| *name == "plain")
        .collect();
    server.start(&again).await;
    assert_eq!(
        text(&server.get("/local/plain").await.expect(200)["head_change_id"]),
        change
    );
    server.tree("borrowing", "HEAD");
    server.stop().await;
    assert!(
        start(server.options(&[("x", &at("nowhere"))]))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_filters_a_listing_in_which_nothing_has_any() {
    let (_source, server) = sample_server().await;
    let all = server.get("/local/app/content").await.expect(200);
    let at = "/local/app/content?metadata%5Blang%5D=en&metadata[a]=b&depth=3";
    let none = server.get(at).await.expect(200);
    assert_eq!(none["entries"], json!([]));
    assert_eq!(none["child_count"], all["child_count"]);
    // Clients of the service send the keys bare, and that filters nothing.
    let bare = server.get("/local/app/content?lang=en").await.expect(200);
    assert_eq!(bare, all);
    let file = "/local/app/content?path=README.md&metadata[lang]=en";
    assert_eq!(server.get(file).await.expect(200)["type"], "file");
    for bad in ["metadata[]=en", "metadata[=en", "metadata[lang=en"] {
        let at = format!("/local/app/content?{bad}");
        server.get(&at).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_reads_as_its_target_and_head_has_no_body() {
    let (_source, server) = sample_server().await;
    let target = server.bytes("/local/app/content?path=link").await;
    assert_eq!(
        (target.status.as_u16(), &target.bytes[..]),
        (200, &b"src/deep"[..])
    );
    for accept in ["application/octet-stream", "application/json"] {
        let at = "/local/app/content?path=README.md";
        let ask = |method| server.request(method, at).header("accept", accept);
        let (get, head) = (
            server.send(ask(Method::GET)).await,
            server.send(ask(Method::HEAD)).await,
        );
        assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
        for name in ["content-type", "content-length", "etag", "mesa-object-sha"] {
            assert_eq!(head.headers.get(name), get.headers.get(name), "{name}");
        }
    }
}
