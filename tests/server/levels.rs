//! Tokens as the newest official clients sign them: for everything, or for some repositories, each
//! with what may be done there.

use crate::forging::forge;
use crate::harness::*;
use crate::tokens::Owner;
use reqwest::Method;
use serde_json::{Value, json};

fn token(owner: &Owner, claims: Value) -> String {
    let mut payload = json!({
        "iss": "local", "aud": "mesa-api", "iat": now(), "exp": now() + 60,
        "jti": "00000000-0000-4000-8000-000000000001",
    });
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    forge(owner, None, &payload.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_read_one_repository_and_write_another() {
    let (_source, server) = sample_server().await;
    for name in ["written", "hidden"] {
        let body = json!({"name": name});
        server.post("/local/repos", body).await.expect(201);
    }
    let (owner, _) = Owner::organization(&server, 1, json!({})).await;
    let (reader, _) = Owner::organization(&server, 2, json!({"scopes": ["read"]})).await;
    let access = json!({"access": {"app": "read-repo", "written": "write-repo", "x/../hidden": "write-repo"}});
    let base = json!({"base_change_id": "z".repeat(32)});
    let ask = async |token: &str, method: Method, path: &str, body: &Value, status: u16| {
        let answer = server.with(token, method, path, body.clone()).await;
        answer.expect(status)
    };
    let both = token(&owner, access.clone());
    let none = json!({});
    let whoami = ask(&both, Method::GET, "/whoami", &none, 200).await;
    assert_eq!(whoami["scopes"], json!(["read", "write"]));
    ask(&both, Method::GET, "/local/app/content", &none, 200).await;
    ask(&both, Method::POST, "/local/written/changes", &base, 201).await;
    ask(&both, Method::POST, "/local/app/changes", &base, 403).await;
    ask(&both, Method::POST, "/local/app/bookmarks", &none, 403).await;
    ask(
        &both,
        Method::PATCH,
        "/local/app",
        &json!({"name": "mine"}),
        403,
    )
    .await;
    ask(&both, Method::DELETE, "/local/app", &none, 403).await;
    for method in [Method::GET, Method::DELETE] {
        ask(&both, method, "/local/hidden", &none, 404).await;
    }
    ask(&both, Method::POST, "/local/repos", &none, 403).await;
    let listed = ask(&both, Method::GET, "/local/repos", &none, 200).await;
    assert_eq!(listed["repos"].as_array().unwrap().len(), 2);
    // Labels of many repositories at once are no way around it.
    let ids: Vec<&Value> = listed["repos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|repo| &repo["id"])
        .collect();
    let label = json!({"repo_ids": ids, "action": "set", "key": "k", "value": "v"});
    ask(&both, Method::PATCH, "/local/repos/tags", &label, 403).await;
    let app = server.get("/local/app").await.expect(200);
    assert_eq!(app["tags"], json!({}));
    // The key's own scopes are the limit.
    let weaker = token(&reader, access);
    ask(&weaker, Method::GET, "/local/written", &none, 200).await;
    ask(&weaker, Method::POST, "/local/written/changes", &base, 403).await;

    let all = token(
        &owner,
        json!({"admin": true, "authors": [{"name": "Ann", "email": "ann@example.com"}]}),
    );
    let whoami = ask(&all, Method::GET, "/whoami", &none, 200).await;
    assert_eq!(whoami["scopes"], json!(["read", "write"]));
    let made = ask(&all, Method::POST, "/local/app/changes", &base, 201).await;
    assert_eq!(made["author"]["email"], "ann@example.com");
    // It is the organization's way to speak, and no API key's.
    let key = Owner::key(&server, json!({"scopes": ["admin"]})).await;
    let Owner::Key { id, .. } = &key else {
        unreachable!()
    };
    for claims in [
        json!({"admin": true}),
        json!({"access": {"app": "read-repo"}}),
    ] {
        let mut claims = claims;
        claims["iss"] = json!(id);
        ask(&token(&key, claims), Method::GET, "/whoami", &none, 401).await;
    }
}
