//! Push by `git` itself: what it makes of bookmarks and changes, and what is refused.

use crate::gits::*;
use crate::harness::*;
use crate::merging::{change, point, rev, state};
use crate::receiver::Receiver;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

/// A change id that nobody derives.
fn invented(letter: &str) -> String {
    letter.repeat(32)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_changes_and_bookmarks() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    clone.commit("a", "1\n");
    let tree = clone.git(&["rev-parse", "HEAD^{tree}"]);
    let named = clone.raw_commit(
        &tree,
        &["HEAD"]
            .map(|name| clone.git(&["rev-parse", name]))
            .each_ref()
            .map(String::as_str),
        &invented("k"),
        "named",
    );
    clone.git(&[
        "push",
        "-q",
        "origin",
        &format!("{named}:refs/heads/topic/one"),
        "trunk",
    ]);
    let topic = server
        .get("/local/app/bookmarks/topic%2Fone")
        .await
        .expect(200);
    assert_eq!(topic["change_id"], json!(invented("k")));
    let shown = server
        .get(&format!("/local/app/changes/{}", invented("k")))
        .await
        .expect(200);
    assert_eq!(shown["current_commit_oid"], json!(named));
    // A commit that names no change gets the derived id, and can be amended like any other.
    let head = server.get("/local/app").await.expect(200);
    let head = text(&head["head_change_id"]);
    let at = format!("/local/app/changes/{head}");
    let shown = server.get(&at).await.expect(200);
    assert_eq!(shown["files"], json!(["a"]));
    assert_eq!(text(&shown["current_commit_oid"]), rev(&server, "trunk"));
    let patch =
        json!({"files": [upsert("a", b"2\n")], "base_commit_oid": shown["current_commit_oid"]});
    server.patch(&at, patch).await.expect(200);
    clone.git(&["fetch", "-q"]);
    assert_eq!(clone.git(&["show", "origin/trunk:a"]), "2");
    clone.git(&["push", "-q", "origin", ":topic/one"]);
    server
        .get("/local/app/bookmarks/topic%2Fone")
        .await
        .expect(404);
    server
        .get(&format!("/local/app/changes/{}", invented("k")))
        .await
        .expect(200);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_tree_can_hold_survives() {
    let server = Server::with_app().await;
    let source = tempfile::tempdir().unwrap();
    sample(source.path());
    let at = url(&server, &server.key, "app");
    let bytes = source.path().join(OsStr::from_bytes(b"not \xff UTF-8"));
    fs::write(bytes, "x").unwrap();
    symlink("/nowhere", source.path().join("dangling")).unwrap();
    fs::write(source.path().join("tool"), "").unwrap();
    fs::set_permissions(
        source.path().join("tool"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    git(source.path(), &["add", "-A"]);
    git(
        source.path(),
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{SUBMODULE},sub/module"),
        ],
    );
    git(source.path(), &["commit", "-q", "-m", "odd"]);
    // An empty directory, which `git add` cannot make.
    let empty = git(
        source.path(),
        &["hash-object", "-t", "tree", "-w", "/dev/null"],
    );
    let mut lines = git(source.path(), &["ls-tree", "HEAD"]);
    lines.push_str(&format!("040000 tree {}\tvoid\n", empty.trim()));
    let mut child = command(source.path(), &["mktree", "--missing"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    let tree = ran(child.wait_with_output().unwrap()).done();
    let commit = git(
        source.path(),
        &["commit-tree", "-p", "HEAD", "-m", "empty", tree.trim()],
    );
    let commit = commit.trim();
    run(
        source.path(),
        &["push", "-q", &at, &format!("{commit}:refs/heads/main")],
    )
    .done();
    let clone = Clone::of(&server, &[]);
    assert_eq!(clone.git(&["rev-parse", "HEAD^{tree}"]), tree.trim());
    assert!(clone.at.join(OsStr::from_bytes(b"not \xff UTF-8")).exists());
    let listing = clone.git(&["ls-tree", "-r", "-t", "HEAD"]);
    for line in ["160000 commit", "120000 blob", "100755 blob", "\tvoid"] {
        assert!(listing.contains(line), "{line}");
    }
    // The same over REST, and an edit there keeps it all.
    let content = server.get("/local/app/content?depth=1").await.expect(200);
    assert_eq!(
        content["child_count"].as_u64().unwrap() as usize,
        content["entries"].as_array().unwrap().len()
    );
    let head = server.get("/local/app").await.expect(200);
    let next = change(
        &server,
        &text(&head["head_change_id"]),
        json!([upsert("more", b"")]),
    )
    .await;
    point(&server, "main", &next).await;
    clone.git(&["pull", "-q"]);
    let added = clone.git(&["diff-tree", "-r", "--name-only", commit, "HEAD"]);
    assert_eq!(added, "more");
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_only_moves_forward() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    let stale = Clone::of(&server, &[]);
    clone.commit("a", "1");
    clone.git(&["push", "-q"]);
    let before = state(&server);
    stale.commit("b", "2");
    stale.run(&["push"]).refused(&["rejected", "fetch first"]);
    stale
        .run(&["push", "--force"])
        .refused(&["remote rejected", "non-fast-forward"]);
    stale.git(&["fetch", "-q"]);
    stale
        .run(&["push", "--force-with-lease"])
        .refused(&["remote rejected", "non-fast-forward"]);
    stale
        .run(&["push", "origin", "+HEAD^:trunk"])
        .refused(&["non-fast-forward"]);
    stale
        .run(&["push", "origin", ":trunk"])
        .refused(&["the default bookmark cannot be deleted"]);
    assert_eq!(state(&server), before);
    stale.git(&["pull", "-q", "--rebase"]);
    stale.git(&["push", "-q"]);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_branches_with_good_names_are_taken_each_for_itself() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    clone.commit("a", "1");
    clone.git(&["tag", "-a", "-m", "v1", "v1"]);
    let before = state(&server);
    for (name, why) in [
        ("refs/tags/v1", "only branches"),
        ("refs/notes/x", "only branches"),
        ("refs/mesa/changes/x", "only branches"),
        ("refs/heads/-x", "not a valid bookmark name"),
        ("refs/heads/HEAD", "not a valid bookmark name"),
        ("refs/heads/trunk/x", "in the way"),
    ] {
        clone
            .run(&["push", "origin", &format!("HEAD:{name}")])
            .refused(&["remote rejected", why]);
        assert_eq!(state(&server), before, "{name}");
    }
    let tag = clone.git(&["rev-parse", "v1"]);
    clone
        .run(&["push", "origin", &format!("{tag}:refs/heads/tag")])
        .refused(&[]);
    let blob = clone.git(&["rev-parse", "HEAD:a"]);
    clone
        .run(&["push", "origin", &format!("{blob}:refs/heads/blob")])
        .refused(&[]);
    assert_eq!(state(&server), before);
    // What is good passes beside what is not, unless the client wants all or nothing.
    clone
        .run(&["push", "--atomic", "origin", "HEAD:refs/heads/good", "v1"])
        .refused(&["atomic"]);
    assert_eq!(state(&server), before);
    clone
        .run(&["push", "origin", "HEAD:refs/heads/good", "v1"])
        .refused(&["HEAD -> good", "only branches"]);
    assert_eq!(rev(&server, "good"), clone.git(&["rev-parse", "HEAD"]));
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_not_whole_or_not_sound_leaves_nothing() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    let before = state(&server);
    // A tree that has `.git` in it.
    let blob = clone.commit("x", "y");
    let blob = clone.git(&["rev-parse", &format!("{blob}:x")]);
    let mut child = command(&clone.at, &["mktree"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = format!("100644 blob {blob}\t.git\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
    let tree = ran(child.wait_with_output().unwrap()).done();
    let bad = clone.raw_commit(tree.trim(), &[], &invented("m"), "bad");
    clone
        .run(&["push", "origin", &format!("{bad}:refs/heads/bad")])
        .refused(&["unpack", "hasDotgit"]);
    assert_eq!(state(&server), before);
    // A pack without the objects that the commit needs, sent as a program that is no git could.
    let commit = clone.git(&["rev-parse", "HEAD"]);
    let mut packer = command(&clone.at, &["pack-objects", "--stdout", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut packer.stdin.take().unwrap(),
        format!("{commit}\n").as_bytes(),
    )
    .unwrap();
    let pack = packer.wait_with_output().unwrap().stdout;
    let line = format!(
        "{} {commit} refs/heads/holes\0report-status",
        "0".repeat(40)
    );
    let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    body.extend_from_slice(&pack);
    let at = url(&server, "x", "app").replace("anyone:x@", "");
    let request = server.client.post(format!("{at}/git-receive-pack"));
    let answer = server
        .send(request.basic_auth("", Some(&server.key)).body(body))
        .await;
    let said = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert_eq!(answer.status, 200);
    assert!(said.contains("ng refs/heads/holes"), "{said}");
    assert_eq!(state(&server), before);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_can_push() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &["--depth=1"]);
    let pushed = clone.commit("shallow", "s");
    clone.git(&["push", "-q"]);
    assert_eq!(rev(&server, "trunk"), pushed);
    assert_eq!(
        git(&server.bare("app"), &["rev-list", "--count", "trunk"]).trim(),
        "3"
    );
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_packs_are_no_more_than_can_be_read() {
    let (_source, server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    for round in 0..40 {
        // Over a hundred objects are kept as a pack.
        let folder = clone.at.join(format!("d{round}"));
        fs::create_dir(&folder).unwrap();
        for number in 0..110 {
            fs::write(
                folder.join(number.to_string()),
                format!("{round} {number}\n"),
            )
            .unwrap();
        }
        clone.git(&["add", "-A"]);
        clone.git(&["commit", "-q", "-m", &round.to_string()]);
        clone.git(&["push", "-q"]);
        let shown = server
            .bytes(&format!("/local/app/content?path=d{round}/7"))
            .await;
        assert_eq!(shown.bytes, format!("{round} 7\n").as_bytes());
    }
    let packs = fs::read_dir(server.bare("app").join("objects/pack")).unwrap();
    let packs =
        packs.filter(|file| file.as_ref().unwrap().path().extension() == Some(OsStr::new("pack")));
    assert!(packs.count() >= 40);
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_hears_of_a_push() {
    let (_source, server) = sample_server().await;
    let receiver = Receiver::new(&[]).await;
    let events = [
        "push",
        "bookmark.created",
        "bookmark.moved",
        "bookmark.deleted",
    ];
    let target = json!({"url": receiver.url, "events": events});
    server
        .post("/local/webhook-targets", target)
        .await
        .expect(201);
    let clone = Clone::of(&server, &[]);
    let after = clone.commit("a", "1");
    clone.git(&["tag", "v1"]);
    clone
        .run(&["push", "origin", "trunk", "v1", "HEAD:refs/heads/new"])
        .refused(&["only branches"]);
    let mut heard: Vec<Value> = receiver
        .take(3)
        .await
        .iter()
        .map(|one| one.json())
        .collect();
    assert_eq!(heard.pop().unwrap()["type"], json!("push"));
    heard.sort_by_key(|event| text(&event["type"]));
    for (event, (kind, name)) in heard
        .iter()
        .zip([("bookmark.created", "new"), ("bookmark.moved", "trunk")])
    {
        assert_eq!(event["type"], json!(kind));
        assert_eq!(event["data"]["bookmark"]["name"], json!(name));
        assert_eq!(event["data"]["bookmark"]["commit_oid"], json!(after));
    }
    clone.git(&["push", "-q", "origin", ":new"]);
    let heard = receiver.take(2).await;
    assert_eq!(heard[0].json()["type"], json!("bookmark.deleted"));
    let gone = json!([{"ref": "refs/heads/new", "bookmark": "new", "before": after,
        "after": null, "action": "deleted"}]);
    assert_eq!(heard[1].json()["data"]["updates"], gone);
}
