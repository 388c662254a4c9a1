//! kill -9 under load.

use crate::harness::*;
use mesa::server::Options;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::sync::Semaphore;

const CHILD_DATA: &str = "MESA_TEST_CHILD_DATA";

/// Not a test of its own: what `kill_nine_loses_nothing_that_was_answered` runs and kills.
#[test]
fn child() {
    use std::io::Write;
    let Some(data) = std::env::var_os(CHILD_DATA) else {
        return;
    };
    mesa::server::run(Options::new(data.into()), |url| {
        println!("\nlistening on {url}");
        std::io::stdout().flush().unwrap();
    })
    .unwrap();
}

/// A server in a process of its own, killed with the value.
pub struct Child(std::process::Child);

impl Child {
    /// Starts a server and returns its base URL.
    pub fn start(data: &Path) -> (Child, String) {
        Child::start_with(data, &[])
    }

    /// The same with more variables.
    pub fn start_with(data: &Path, variables: &[(&str, &str)]) -> (Child, String) {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(std::env::current_exe().unwrap())
            .envs(variables.iter().copied())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(CHILD_DATA, data)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let child = Child(child);
        let mut lines = BufReader::new(stdout).lines();
        let url = lines
            .find_map(|line| {
                line.unwrap()
                    .strip_prefix("listening on ")
                    .map(str::to_owned)
            })
            .unwrap();
        // A test that runs for a minute says so, and dies when nobody listens.
        std::thread::spawn(move || lines.for_each(drop));
        (child, url)
    }
}

impl Child {
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Amends a change again and again until the server dies; returns the number of the last amendment
/// that was answered.
async fn amend_until_death(server: &Server, at: &str, mut number: u64, answers: &Semaphore) -> u64 {
    loop {
        let body = json!({"files": [
            upsert("number", (number + 1).to_string().as_bytes()),
            upsert(&format!("d{}/f", number % 7), &[number as u8; 5_000]),
            {"path": format!("d{}", (number + 3) % 7), "action": "delete"},
        ]});
        match server.request(Method::PATCH, at).json(&body).send().await {
            Ok(response) if response.status() == 200 => {
                number += 1;
                answers.add_permits(1);
            }
            Ok(response) => panic!("{}", response.status()),
            Err(_) => return number,
        }
    }
}

/// Kills a server after some answers, so that no test passes without having tested, and then a
/// little later each time, to hit different moments of a write.
async fn kill_later(child: Child, answers: &Semaphore, later: Duration) {
    let wanted = tokio::time::timeout(Duration::from_secs(60), answers.acquire_many(6));
    drop(wanted.await.unwrap().unwrap());
    tokio::time::sleep(later).await;
    drop(child);
}

/// Makes a change, a bookmark on it, and merges that into `main`; what was done already is done
/// once. `None` is a server that died.
async fn publish(server: &Server, base: &str, number: usize) -> Option<Value> {
    let send = async |at: &str, key: String, body: Value| {
        let request = server.request(Method::POST, at).json(&body);
        let response = request.header("Idempotency-Key", key).send().await.ok()?;
        let status = response.status().as_u16();
        let body = response.json::<Value>().await.ok()?;
        Some((status, body))
    };
    let file = upsert(&format!("f{number}"), b"");
    let new = json!({"base_change_id": base, "files": [file]});
    let (status, change) = send("/local/app/changes", format!("c{number}"), new).await?;
    assert_eq!(status, 201, "{change}");
    let new = json!({"name": "work", "change_id": change["id"]});
    let (status, answer) = send("/local/app/bookmarks", format!("b{number}"), new).await?;
    assert!(status == 201 || status == 409, "{answer}");
    let body = json!({"target": "main", "source": "work", "delete_source": true, "message": number.to_string()});
    let (status, merged) = send("/local/app/bookmarks/merge", format!("m{number}"), body).await?;
    assert_eq!(status, 200, "{merged}");
    assert_eq!(merged["source_deleted"], json!(true), "{merged}");
    Some(merged)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_leaves_a_merge_done_once_or_not_at_all() {
    let mut server = Server::with_app().await;
    let base = json!({"base_change_id": "z".repeat(32)});
    let base = server.post("/local/app/changes", base).await.expect(201);
    let base = text(&base["id"]);
    let main = json!({"change_id": base});
    server
        .patch("/local/app/bookmarks/main", main)
        .await
        .expect(200);
    server.stop().await;
    let bare = server.bare("app");
    let mut done = 0;
    for round in 0..6_u64 {
        let (child, url) = Child::start(&server.data());
        server.base = url;
        let answers = Semaphore::new(0);
        let killer = kill_later(child, &answers, Duration::from_micros(1_700 * round));
        let publisher = async {
            while publish(&server, &base, done).await.is_some() {
                done += 1;
                answers.add_permits(1);
            }
        };
        tokio::join!(killer, publisher);
        git(&bare, &["fsck", "--strict", "--full", "--no-dangling"]);
        // All that was answered is there, and nothing of the last one or all of it.
        let merges = git(&bare, &["log", "--merges", "--format=%s", "main"]);
        let merges = merges.lines().count();
        assert!(merges == done || merges == done + 1, "{merges} {done}");
    }
    server.start(&[]).await;
    publish(&server, &base, done).await.unwrap();
    let merges = git(&bare, &["log", "--merges", "--format=%s", "main"]);
    let mut merges: Vec<usize> = merges.lines().map(|line| line.parse().unwrap()).collect();
    merges.sort_unstable();
    assert!(merges.into_iter().eq(0..=done));
    assert_eq!(server.tree("app", "main").len(), done + 1);
    assert_eq!(
        git(&bare, &["branch", "--format=%(refname:short)"]),
        "main\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_a_crash_cut_short_is_finished_by_its_repetition() {
    let mut server = Server::with_app().await;
    let base = "z".repeat(32);
    publish(&server, &base, 0).await.unwrap();
    let merged = publish(&server, &base, 1).await.unwrap();
    let bare = server.bare("app");
    let id = text(&merged["change_id"]);
    // Two moments of the transaction: the source is not gone yet, nor is the merge a change.
    for is_change in [true, false] {
        let work = git(&bare, &["rev-parse", "main^2"]);
        server.stop().await;
        std::fs::write(bare.join("refs/heads/work"), work).unwrap();
        if !is_change {
            std::fs::remove_file(bare.join(format!("refs/mesa/changes/{id}"))).unwrap();
        }
        server.start(&[]).await;
        let again = publish(&server, &base, 1).await.unwrap();
        for same in ["change_id", "commit_oid", "source_deleted"] {
            assert_eq!(again[same], merged[same]);
        }
        server.get("/local/app/bookmarks/work").await.expect(404);
        server
            .get(&format!("/local/app/changes/{id}"))
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_loses_nothing_that_was_answered() {
    const WRITERS: usize = 3;
    let mut server = Server::with_app().await;
    let mut changes = Vec::new();
    for writer in 0..WRITERS {
        let body = json!({"base_change_id": "z".repeat(32), "files": [upsert("number", b"0")]});
        let change = server.post("/local/app/changes", body).await.expect(201);
        let bookmark = json!({"name": format!("b{writer}"), "change_id": change["id"]});
        server
            .post("/local/app/bookmarks", bookmark)
            .await
            .expect(201);
        changes.push((text(&change["id"]), 0));
    }
    server.stop().await;
    for round in 0..6_u64 {
        let (child, base) = Child::start(&server.data());
        server.base = base;
        for (id, answered) in &mut changes {
            let at = format!("/local/app/content?change_id={id}&path=number");
            let found: u64 = String::from_utf8(server.bytes(&at).await.bytes)
                .unwrap()
                .parse()
                .unwrap();
            // One that was not answered may have been done.
            assert!(
                found == *answered || found == *answered + 1,
                "{found} {answered}"
            );
            *answered = found;
        }
        let answers = Semaphore::new(0);
        let killer = kill_later(child, &answers, Duration::from_micros(1_700 * round));
        let writers = changes.iter().map(|(id, answered)| {
            let at = format!("/local/app/changes/{id}");
            let (server, answers) = (&server, &answers);
            async move { amend_until_death(server, &at, *answered, answers).await }
        });
        let ((), numbers) = tokio::join!(killer, futures_util::future::join_all(writers));
        for ((_, answered), number) in changes.iter_mut().zip(numbers) {
            *answered = number;
        }
        git(
            &server.bare("app"),
            &["fsck", "--strict", "--full", "--no-dangling"],
        );
    }
    server.start(&[]).await;
    for (writer, (id, _)) in changes.iter().enumerate() {
        let change = server
            .get(&format!("/local/app/changes/{id}"))
            .await
            .expect(200);
        let bookmark = git(&server.bare("app"), &["rev-parse", &format!("b{writer}")]);
        assert_eq!(text(&change["current_commit_oid"]), bookmark.trim());
    }
}
