//! kill -9 under load.

use crate::harness::*;
use mesa::server::Options;
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use tokio::sync::Semaphore;

const CHILD_DATA: &str = "MESA_TEST_CHILD_DATA";

/// Not a test of its own: what `kill_nine_loses_nothing_that_was_answered` runs and kills.
#[test]
fn child() {
    use std::io::Write;
    let Some(data) = std::env::var_os(CHILD_DATA) else {
        return;
    };
    let options = Options {
        data: data.into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        organization: "local".to_owned(),
        imports: Vec::new(),
    };
    mesa::server::run(options, |address| {
        println!("\nlistening on {address}");
        std::io::stdout().flush().unwrap();
    })
    .unwrap();
}

/// A server in a process of its own, killed with the value.
struct Child(std::process::Child);

impl Child {
    /// Starts a server and returns its base URL.
    fn start(data: &Path) -> (Child, String) {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(CHILD_DATA, data)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let child = Child(child);
        let address = BufReader::new(stdout)
            .lines()
            .find_map(|line| {
                line.unwrap()
                    .strip_prefix("listening on ")
                    .map(str::to_owned)
            })
            .unwrap();
        (child, format!("http://{address}/v1"))
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

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_loses_nothing_that_was_answered() {
    const WRITERS: usize = 3;
    let mut server = Server::new(&[]).await;
    server
        .post("/local/repos", json!({"name": "app"}))
        .await
        .expect(201);
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
        let killer = async {
            // Some answers first, so that the test cannot pass without having tested; then a
            // little later each time, to hit different moments of an amendment.
            let wanted = answers.acquire_many(6);
            let deadline = std::time::Duration::from_secs(60);
            drop(
                tokio::time::timeout(deadline, wanted)
                    .await
                    .unwrap()
                    .unwrap(),
            );
            tokio::time::sleep(std::time::Duration::from_micros(1_700 * round)).await;
            drop(child);
        };
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
