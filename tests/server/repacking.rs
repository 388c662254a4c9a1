//! What is loose becomes a pack: at an import, and after many small writes.

use crate::crash::Child;
use crate::gits::{fsck, sound};
use crate::harness::*;
use crate::program::Program;
use mesa::server::Access;
use reqwest::Method;
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Loose objects of a repository.
pub fn loose(bare: &Path) -> usize {
    let folders = fs::read_dir(bare.join("objects")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let folders = folders.filter(|folder| folder.file_name().unwrap().len() == 2);
    folders
        .map(|folder| fs::read_dir(folder).unwrap().count())
        .sum()
}

/// Files with an extension among the packs of a repository.
pub fn packs(bare: &Path, extension: &str) -> usize {
    let files = fs::read_dir(bare.join("objects/pack")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .count()
}

/// Stores contents that nothing leads to, and returns their ids.
pub async fn stage(server: &Server, name: &str, contents: &[String]) -> Vec<String> {
    let mut body = Vec::new();
    for content in contents {
        writeln!(body, "blob {}\n{content}", content.len()).unwrap();
    }
    let request = server.request(Method::POST, &format!("/local/{name}/ext/blobs/batch"));
    let stored = server.send(request.body(body)).await.expect(201);
    let stored = stored["blobs"].as_array().unwrap();
    stored.iter().map(|blob| text(&blob["sha"])).collect()
}

/// Checks that blobs are there, by their bytes.
pub async fn read_all(server: &Server, name: &str, ids: &[String], contents: &[String]) {
    let at = format!("/local/{name}/ext/objects");
    let answer = server.post(&at, json!({"objects": ids})).await;
    assert_eq!(answer.status, 200);
    let mut wanted = Vec::new();
    for (id, content) in ids.iter().zip(contents) {
        writeln!(wanted, "{id} blob {}\n{content}", content.len()).unwrap();
    }
    assert!(answer.bytes == wanted, "other blobs");
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn contents(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of} {number}")).collect()
}

/// A folder with so many files, and their ids.
fn folder(at: &Path, contents: &[String]) -> Vec<String> {
    for (number, content) in contents.iter().enumerate() {
        let below = at.join(format!("d{}", number % 7));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(number.to_string()), content).unwrap();
    }
    let hashed = |number: usize| {
        let path = format!("d{}/{number}", number % 7);
        git(at, &["hash-object", &path]).trim().to_owned()
    };
    (0..contents.len()).map(hashed).collect()
}

#[tokio::test]
async fn what_an_import_brings_is_packed() {
    let source = tempfile::tempdir().unwrap();
    let contents = contents("file", 200);
    let (plain, repository) = (
        source.path().join("plain"),
        source.path().join("repository"),
    );
    let ids = folder(&plain, &contents);
    folder(&repository, &contents);
    git(&repository, &["init", "-q"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "all"]);
    let server = Server::new(&[("plain", &plain), ("repository", &repository)]).await;
    for name in ["plain", "repository"] {
        let bare = server.bare(name);
        assert!(loose(&bare) < 5, "{name}: {}", loose(&bare));
        assert_eq!(packs(&bare, "pack"), 1);
        fsck(&server, name);
        read_all(&server, name, &ids, &contents).await;
        let read = server
            .bytes(&format!("/local/{name}/content?path=d3/17"))
            .await;
        assert_eq!(read.bytes, b"file 17");
    }
    // The source has what it had.
    assert!(loose(&repository.join(".git")) > 200);
}

#[tokio::test]
async fn without_git_an_import_stays_loose_and_the_log_says_so_once() {
    let mut server = Server::stopped();
    let contents = contents("file", 200);
    let plain = server.folder.path().join("plain");
    let ids = folder(&plain, &contents);
    let log = server.folder.path().join("log");
    let import = |name: &str| ["--import".to_owned(), format!("{name}={}", plain.display())];
    let imports = [import("one"), import("two")].concat();
    let variables = [("PATH", "/nonexistent")];
    let (_program, base) = Program::start_with(&server.data(), &log, &variables, &imports);
    server.base = base;
    server.key = fs::read_to_string(server.data().join("admin.key")).unwrap();
    server.key.truncate(server.key.trim_end().len());
    for name in ["one", "two"] {
        assert!(loose(&server.bare(name)) > 200);
        read_all(&server, name, &ids, &contents).await;
    }
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("there is no git program").count(), 1, "{log}");
}

/// A server whose limits are what some variables say.
async fn heaps(variables: &[(&str, &str)]) -> (Server, Child) {
    let mut server = Server::with_app().await;
    server.stop().await;
    let (child, base) = Child::start_with(&server.data(), variables);
    server.base = base;
    (server, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_changes_become_a_pack_with_all_that_was_staged() {
    let (server, _child) = heaps(&[("MESA_TEST_LOOSE_OBJECTS", "256")]).await;
    let bare = server.bare("app");
    let staged = contents("staged", 20);
    let ids = stage(&server, "app", &staged).await;
    let mut base = "z".repeat(32);
    let mut count = 0;
    let begun = Instant::now();
    while packs(&bare, "idx") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "never packed");
        let file = upsert(
            &format!("d{}/f{count}", count % 5),
            format!("{count}").as_bytes(),
        );
        let new = json!({"base_change_id": base, "files": [file], "message": count.to_string()});
        base = text(&server.post("/local/app/changes", new).await.expect(201)["id"]);
        count += 1;
    }
    let main = json!({"change_id": base});
    server
        .patch("/local/app/bookmarks/main", main)
        .await
        .expect(200);
    until("loose files stay", || loose(&bare) < 100).await;
    read_all(&server, "app", &ids, &staged).await;
    let told = git(&bare, &["rev-list", "--count", "main"]);
    assert_eq!(told.trim(), count.to_string());
    assert_eq!(
        git(&bare, &["ls-tree", "-r", "main"]).lines().count(),
        count
    );
    let incoming = || fs::read_dir(bare.join("incoming")).unwrap().count();
    until("it is packed for ever", || incoming() == 0).await;
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_leads_to_is_packed_once_and_packs_are_folded() {
    let variables = [("MESA_TEST_LOOSE_OBJECTS", "256"), ("MESA_TEST_PACKS", "3")];
    let (server, _child) = heaps(&variables).await;
    let bare = server.bare("app");
    let mut all = (Vec::new(), Vec::new());
    for round in 1..=6 {
        let staged = contents(&format!("round {round}"), 1_500);
        all.0.extend(stage(&server, "app", &staged).await);
        all.1.extend(staged);
        until("it stays loose", || loose(&bare) < 100).await;
        // A look after each of these finds nothing to do, or there were more packs.
        for number in 0..3 {
            stage(
                &server,
                "app",
                &contents(&format!("more {round} {number}"), 1),
            )
            .await;
        }
        if round < 4 {
            assert_eq!(packs(&bare, "idx"), round);
        }
        until("packs stay", || packs(&bare, "idx") <= 4).await;
    }
    assert!(packs(&bare, "idx") < 5);
    assert_eq!(packs(&bare, "idx"), packs(&bare, "pack"));
    read_all(&server, "app", &all.0, &all.1).await;
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_of_others_stay_as_they_are() {
    let mut server = Server::with_app().await;
    server.stop().await;
    let shelf = server.folder.path().join("shelf");
    fs::create_dir(&shelf).unwrap();
    git(&shelf, &["init", "-q", "--bare", "theirs.git"]);
    let mut options = server.options(&[]);
    options.in_place = Some((shelf.clone(), Access::ReadWrite));
    server.start_with(options).await;
    let many = contents("many", 4_000);
    for name in ["theirs", "app"] {
        stage(&server, name, &many).await;
    }
    until("ours stays loose", || loose(&server.bare("app")) < 100).await;
    let theirs = shelf.join("theirs.git");
    assert_eq!(loose(&theirs), many.len());
    assert_eq!(packs(&theirs, "pack"), 0);
    sound(&theirs);
}
