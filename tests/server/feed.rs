//! The feed of events: live, after a break, after a restart, and no longer than the credential.

use std::time::Duration;

use crate::harness::*;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

/// An event of the stream: id, name and data.
type Told = (u64, String, Value);

/// A client that listens.
struct Ear {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>>>>,
    text: String,
}

impl Ear {
    async fn new(server: &Server, key: &str, last: Option<u64>) -> Ear {
        let url = format!("{}/local/app/ext/events", server.base);
        let mut request = server.client.get(url).bearer_auth(key);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ear {
            body: Box::pin(response.bytes_stream()),
            text: String::new(),
        }
    }

    /// The next event; `None` when the stream has ended.
    async fn hear(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = block.lines();
                    lines
                        .filter_map(|line| line.split_once(':'))
                        .find(|(key, _)| *key == name)
                        .map(|(_, value)| value.trim_start().to_owned())
                };
                let told = field("id").map(|id| {
                    let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                    (id.parse().unwrap(), field("event").unwrap(), data)
                });
                self.text = rest.to_owned();
                if told.is_some() {
                    return told;
                }
                continue;
            }
            let wait = Duration::from_secs(30);
            let chunk = tokio::time::timeout(wait, self.body.next())
                .await
                .unwrap()?;
            self.text
                .push_str(std::str::from_utf8(&chunk.ok()?).unwrap());
        }
    }
}

async fn change(server: &Server, name: &str) -> String {
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let new = json!({"base_change_id": head, "files": [upsert(name, b"x")]});
    text(&server.post("/local/app/changes", new).await.expect(201)["id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_heard_once_and_in_order_also_after_a_break() {
    let (_source, mut server) = sample_server().await;
    let mut ear = Ear::new(&server, &server.key, None).await;
    let (begun, name, _) = ear.hear().await.unwrap();
    assert_eq!(name, "reset");
    let first = change(&server, "one").await;
    let (id, name, data) = ear.hear().await.unwrap();
    assert!(id > begun);
    assert_eq!(
        (name.as_str(), &data["type"]),
        ("change.created", &json!("change.created"))
    );
    assert_eq!(data["data"]["change"]["id"], first);
    // Away for two events, one of another repository.
    drop(ear);
    server
        .post("/local/repos", json!({"name": "other"}))
        .await
        .expect(201);
    let second = change(&server, "two").await;
    let bookmark = json!({"name": "b", "change_id": second});
    server
        .post("/local/app/bookmarks", bookmark)
        .await
        .expect(201);
    let mut ear = Ear::new(&server, &server.key, Some(id)).await;
    let heard = [ear.hear().await.unwrap(), ear.hear().await.unwrap()];
    assert_eq!(heard[0].2["data"]["change"]["id"], second);
    assert_eq!(heard[1].1, "bookmark.created");
    assert_eq!(heard[1].2["data"]["bookmark"]["name"], "b");
    let third = change(&server, "three").await;
    let live = ear.hear().await.unwrap();
    assert_eq!(live.2["data"]["change"]["id"], third);
    // A restart ends the stream at once, and what it told is not known any more.
    let begun = std::time::Instant::now();
    server.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the feed held up the end"
    );
    assert_eq!(ear.hear().await, None);
    server.start(&[]).await;
    let mut ear = Ear::new(&server, &server.key, Some(live.0)).await;
    assert_eq!(ear.hear().await.unwrap().1, "reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_longer_than_the_key_lives() {
    let (_source, server) = sample_server().await;
    let key = json!({"name": "ear", "scopes": ["read"]});
    let key = server.post("/local/api-keys", key).await.expect(201);
    let mut ear = Ear::new(&server, &text(&key["key"]), None).await;
    assert_eq!(ear.hear().await.unwrap().1, "reset");
    change(&server, "one").await;
    assert_eq!(ear.hear().await.unwrap().1, "change.created");
    let path = format!("/local/api-keys/{}", text(&key["id"]));
    server.delete(&path).await.expect(200);
    change(&server, "two").await;
    assert_eq!(ear.hear().await, None);
    let answer = server.request(Method::GET, "/local/none/ext/events");
    server.send(answer).await.expect(404);
}
