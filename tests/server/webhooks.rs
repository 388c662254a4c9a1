//! Webhooks: targets, and deliveries to a receiver that really listens.

use crate::harness::*;
use crate::receiver::{Receiver, is_signed};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const TARGETS: &str = "/local/webhook-targets";

const ALL: [&str; 9] = [
    "repo.created",
    "repo.updated",
    "repo.deleted",
    "bookmark.created",
    "bookmark.deleted",
    "bookmark.moved",
    "bookmark.merged",
    "change.created",
    "change.evolved",
];

async fn target(server: &Server, more: Value) -> Value {
    server.post(TARGETS, more).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_shows_its_secret_once_and_outlives_the_server() {
    let mut server = Server::new(&[]).await;
    let repo = server
        .post("/local/repos", json!({"name": "app"}))
        .await
        .expect(201);
    let url = "http://127.0.0.1:9/hook";
    let new = json!({"name": "ci", "url": url, "events": ["push", "change.created", "push"], "repo_ids": [repo["id"]]});
    let made = target(&server, new).await;
    let secret = text(&made["secret"]);
    assert!(secret.len() > 40);
    let at = format!("{TARGETS}/{}", text(&made["id"]));
    server.stop().await;
    let file = server.data().join("webhooks.json");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    server.start(&[]).await;
    let shown = server.get(&at).await.expect(200);
    assert!(shown.get("secret").is_none());
    assert_eq!(shown["events"], json!(["change.created", "push"]));
    assert_eq!(shown["repo_ids"], json!([repo["id"]]));
    let other = target(&server, json!({"url": "http://localhost/"})).await;
    assert_eq!(
        (&other["events"], &other["name"], &other["repo_ids"]),
        (&json!(["push"]), &Value::Null, &Value::Null)
    );
    let page = server.get(&format!("{TARGETS}?limit=1")).await.expect(200);
    assert_eq!(page["has_more"], json!(true));
    let next = format!("{TARGETS}?cursor={}", text(&page["next_cursor"]));
    let rest = server.get(&next).await.expect(200);
    assert_eq!(rest["webhook_targets"].as_array().unwrap().len(), 1);
    assert!(!rest.to_string().contains("whsec"));
    let patched = server
        .patch(&at, json!({"name": null, "repo_ids": null}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["name"], &patched["repo_ids"], &patched["url"]),
        (&Value::Null, &Value::Null, &json!(url))
    );
    assert_eq!(
        server.delete(&at).await.expect(200),
        json!({"success": true})
    );
    for answer in [
        server.get(&at).await,
        server.delete(&at).await,
        server.patch(&at, json!({})).await,
    ] {
        answer.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_target_may_be_is_refused() {
    let mut server = Server::new(&[]).await;
    for (url, word) in [
        ("http://example.com/", "--webhook-host"),
        ("http://169.254.169.254/latest/meta-data", "--webhook-host"),
        ("http://10.0.0.1/", "--webhook-host"),
        ("http://0.0.0.0/", "--webhook-host"),
        ("http://localhost.example.com/", "--webhook-host"),
        ("http://u:p@localhost/", "password"),
        ("file:///etc/passwd", "http"),
        ("gopher://localhost/", "http"),
        ("localhost", "http"),
        ("", "http"),
    ] {
        let refused = server.post(TARGETS, json!({"url": url})).await.expect(400);
        assert!(
            text(&refused["error"]["message"]).contains(word),
            "{url} {refused}"
        );
    }
    let url = "http://localhost/";
    for bad in [
        json!({}),
        json!({"url": url, "events": []}),
        json!({"url": url, "events": ["everything"]}),
        json!({"url": url, "repo_ids": []}),
        json!({"url": url, "repo_ids": ["unknown"]}),
        json!({"url": url, "name": ""}),
    ] {
        server.post(TARGETS, bad).await.expect(400);
    }
    let made = target(&server, json!({"url": url})).await;
    let at = format!("{TARGETS}/{}", text(&made["id"]));
    for bad in [
        json!({"url": "http://example.com/"}),
        json!({"events": ["x"]}),
    ] {
        server.patch(&at, bad).await.expect(400);
    }
    server.stop().await;
    let options = mesa::server::Options {
        webhook_hosts: vec!["Hooks.Example.com".to_owned()],
        ..server.options(&[])
    };
    server.start_with(options).await;
    target(
        &server,
        json!({"url": "https://hooks.example.com:8443/a?b=c"}),
    )
    .await;
    server
        .post(TARGETS, json!({"url": "http://example.com/"}))
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_effect_is_told_signed_and_in_order() {
    let server = Server::new(&[]).await;
    let receiver = Receiver::new(&[]).await;
    let made = target(&server, json!({"url": receiver.url, "events": ALL})).await;
    let secret = text(&made["secret"]);
    let repo = server
        .post("/local/repos", json!({"name": "app"}))
        .await
        .expect(201);
    server
        .patch("/local/app", json!({"tags": {"a": "b"}}))
        .await
        .expect(200);
    let new = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", b"1")]});
    let first = server.post("/local/app/changes", new).await.expect(201);
    let new = json!({"base_change_id": first["id"], "files": [upsert("f", b"2")]});
    let second = server.post("/local/app/changes", new).await.expect(201);
    let at = format!("/local/app/changes/{}", text(&second["id"]));
    let evolved = server
        .patch(&at, json!({"files": [upsert("f", b"3")]}))
        .await
        .expect(200);
    let main = "/local/app/bookmarks/main";
    server
        .patch(main, json!({"change_id": first["id"]}))
        .await
        .expect(200);
    let work = json!({"name": "work", "change_id": second["id"]});
    server.post("/local/app/bookmarks", work).await.expect(201);
    let merge = json!({"target": "main", "source": "work", "delete_source": true});
    let merged = server
        .post("/local/app/bookmarks/merge", merge)
        .await
        .expect(200);
    server.delete("/local/app").await.expect(200);
    let expected = [
        ("repo.created", json!({"name": "app", "id": repo["id"]})),
        ("repo.updated", json!({"tags": {"a": "b"}})),
        (
            "change.created",
            json!({"id": first["id"], "current_commit_oid": first["current_commit_oid"]}),
        ),
        (
            "change.created",
            json!({"id": second["id"], "current_commit_oid": second["current_commit_oid"]}),
        ),
        (
            "change.evolved",
            json!({"id": second["id"], "current_commit_oid": evolved["current_commit_oid"]}),
        ),
        (
            "bookmark.moved",
            json!({"name": "main", "is_default": true, "change_id": first["id"], "commit_oid": first["current_commit_oid"]}),
        ),
        (
            "bookmark.created",
            json!({"name": "work", "is_default": false, "change_id": second["id"], "commit_oid": evolved["current_commit_oid"]}),
        ),
        (
            "bookmark.merged",
            json!({"name": "main", "is_default": true, "change_id": merged["change_id"], "commit_oid": merged["commit_oid"]}),
        ),
        (
            "bookmark.deleted",
            json!({"name": "work", "is_default": false}),
        ),
        ("repo.deleted", json!({"name": "app"})),
    ];
    let mut last = 0;
    for (delivery, (kind, data)) in receiver.take(expected.len()).await.iter().zip(expected) {
        assert_eq!(delivery.path, "/hook");
        assert!(is_signed(&secret, delivery));
        assert!(!is_signed("another", delivery));
        let event = delivery.json();
        assert_eq!(event["type"], kind);
        for (name, value) in data.as_object().unwrap() {
            let about = kind.split('.').next().unwrap();
            assert_eq!(&event["data"][about][name], value, "{kind} {name}");
        }
        assert_eq!(event["organization"]["slug"], "local");
        assert_eq!(
            event["repository"],
            json!({"id": repo["id"], "name": "app", "url": "/local/app.git"})
        );
        assert!(text(&event["occurred_at"]).ends_with('Z'));
        let id: u64 = text(&event["id"])
            .strip_prefix("evt_")
            .unwrap()
            .parse()
            .unwrap();
        assert!(id > last);
        last = id;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_asked_again_and_a_redirect_is_not_followed() {
    let server = Server::new(&[]).await;
    let receiver = Receiver::new(&[500, 302, 404]).await;
    let made = target(
        &server,
        json!({"url": receiver.url, "events": ["repo.created"]}),
    )
    .await;
    server
        .post("/local/repos", json!({"name": "app"}))
        .await
        .expect(201);
    let at = format!("{TARGETS}/{}", text(&made["id"]));
    let deliveries = receiver.take(4).await;
    for delivery in &deliveries {
        assert_eq!(delivery.path, "/hook");
        assert_eq!(delivery.body, deliveries[0].body);
        assert!(is_signed(&text(&made["secret"]), delivery));
    }
    let begun = Instant::now();
    loop {
        let last = server.get(&at).await.expect(200)["last_delivery"].clone();
        if last["status"] == json!(200) {
            assert_eq!(
                (&last["attempts"], &last["error"]),
                (&json!(4), &Value::Null)
            );
            assert_eq!(last["event_id"], deliveries[0].json()["id"]);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{last}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(receiver.answers.lock().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_seen_and_a_new_address_takes_what_waits() {
    let server = Server::new(&[]).await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let made = target(
        &server,
        json!({"url": format!("http://{gone}/"), "events": ["repo.created"]}),
    )
    .await;
    let at = format!("{TARGETS}/{}", text(&made["id"]));
    server
        .post("/local/repos", json!({"name": "app"}))
        .await
        .expect(201);
    let begun = Instant::now();
    loop {
        let last = server.get(&at).await.expect(200)["last_delivery"].clone();
        if last.is_object() {
            assert_eq!(
                (&last["status"], &last["error"]),
                (&Value::Null, &json!("the receiver cannot be reached"))
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let receiver = Receiver::new(&[]).await;
    server
        .patch(&at, json!({"url": receiver.url}))
        .await
        .expect(200);
    let event = receiver.take(1).await[0].json();
    assert_eq!(event["repository"]["name"], "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_hears_only_of_what_it_wants() {
    let server = Server::new(&[]).await;
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(
            server
                .post("/local/repos", json!({"name": name}))
                .await
                .expect(201)["id"]
                .clone(),
        );
    }
    let receiver = Receiver::new(&[]).await;
    let new = json!({"url": receiver.url, "events": ["repo.updated"], "repo_ids": [ids[1]]});
    target(&server, new).await;
    for name in ["a", "b"] {
        let change = json!({"base_change_id": "z".repeat(32)});
        server
            .post(&format!("/local/{name}/changes"), change)
            .await
            .expect(201);
        let tags = json!({"tags": {"of": name}});
        server
            .patch(&format!("/local/{name}"), tags)
            .await
            .expect(200);
    }
    // One event comes, and behind it nothing that it should have overtaken.
    assert_eq!(
        receiver.take(1).await[0].json()["data"]["repo"]["tags"]["of"],
        "b"
    );
    server
        .patch("/local/b", json!({"tags": {"of": "again"}}))
        .await
        .expect(200);
    assert_eq!(
        receiver.take(1).await[0].json()["data"]["repo"]["tags"]["of"],
        "again"
    );
}
