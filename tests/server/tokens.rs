//! Access tokens of both generations: what they reach, whose work they carry, and that none of what
//! signs them is ever shown.

use crate::harness::*;
use crate::keys_crash::{files, is_unpublished};
use crate::program::Program;
use mesa::remote::api::Author;
use mesa::remote::api::token::{Lifetime, PrivateKey, Request as TokenRequest, SigningSecret};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

/// What signs tokens, as its owner has it.
pub enum Owner {
    Key { id: String, value: String },
    Organization(PrivateKey),
}

impl Owner {
    /// A new API key.
    pub async fn key(server: &Server, body: Value) -> Owner {
        let made = server.post("/local/api-keys", body).await.expect(201);
        Owner::Key {
            id: text(&made["id"]),
            value: text(&made["key"]),
        }
    }

    /// A new key of the organization, made here and registered there.
    pub async fn organization(server: &Server, seed: u8, mut body: Value) -> (Owner, Value) {
        let private = PrivateKey::of_seed("local", &[seed; 32]);
        body["public_key"] = json!(private.public_key().to_string());
        let made = server.post("/local/api-keys", body).await.expect(201);
        assert_eq!(made.get("key"), None);
        (Owner::Organization(private), made)
    }

    pub fn sign(&self, request: &TokenRequest<'_>) -> String {
        match self {
            Owner::Key { id, value } => SigningSecret::of_api_key(value).sign(id, request),
            Owner::Organization(private) => private.sign(request).unwrap(),
        }
    }

    pub fn token(&self, scopes: &[&str], repos: Option<&[String]>) -> String {
        self.sign(&request(scopes, repos))
    }
}

pub fn request<'a>(scopes: &'a [&'a str], repos: Option<&'a [String]>) -> TokenRequest<'a> {
    TokenRequest {
        scopes,
        repos,
        authors: &[],
        issued_at: now(),
        lifetime: Lifetime::default(),
        token_id: uuid::Uuid::new_v4(),
    }
}

/// One of each.
async fn owners(server: &Server, body: Value) -> Vec<Owner> {
    let key = Owner::key(server, body.clone()).await;
    let (organization, _) = Owner::organization(server, 1, body).await;
    vec![key, organization]
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_tokens_are_clamped_to_their_key_and_their_claims() {
    let (_source, server) = sample_server().await;
    let other = json!({"name": "other"});
    server.post("/local/repos", other).await.expect(201);
    let names = ["local/app".to_owned(), "local/gone".to_owned()];
    for owner in owners(&server, json!({"scopes": ["write"]})).await {
        let ask = async |token: &str, method: Method, path: &str, status: u16| {
            let answer = server.with(token, method, path, json!({})).await;
            answer.expect(status)
        };
        let wide = owner.token(&["admin", "unheard-of"], None);
        let whoami = ask(&wide, Method::GET, "/whoami", 200).await;
        assert_eq!(whoami["scopes"], json!(["read", "write"]));
        assert!(whoami["key_id"].is_string());
        ask(&wide, Method::GET, "/local/api-keys", 403).await;
        ask(&wide, Method::POST, "/local/api-keys", 403).await;
        let listed = ask(&wide, Method::GET, "/local/repos", 200).await;
        assert_eq!(listed["repos"].as_array().unwrap().len(), 2);

        let narrow = owner.token(&["read"], Some(&names));
        ask(&narrow, Method::GET, "/local/app", 200).await;
        ask(&narrow, Method::GET, "/local/app/content", 200).await;
        ask(&narrow, Method::DELETE, "/local/app", 403).await;
        ask(&narrow, Method::POST, "/local/app/changes", 403).await;
        for path in ["/local/other", "/local/other/content", "/local/gone"] {
            ask(&narrow, Method::GET, path, 404).await;
        }
        ask(&narrow, Method::DELETE, "/local/other", 404).await;
        ask(&narrow, Method::POST, "/local/repos", 403).await;
        let listed = ask(&narrow, Method::GET, "/local/repos", 200).await;
        assert_eq!(listed["repos"].as_array().unwrap().len(), 1);
        assert_eq!(
            ask(&narrow, Method::GET, "/local", 200).await["num_repos"],
            1
        );

        let nothing = owner.token(&["admin"], Some(&[]));
        ask(&nothing, Method::GET, "/local/app", 404).await;
        ask(&nothing, Method::POST, "/local/repos", 403).await;
        let powerless = owner.token(&[], None);
        ask(&powerless, Method::GET, "/local/app", 403).await;
        ask(&powerless, Method::GET, "/local/repos", 403).await;
        assert_eq!(
            ask(&powerless, Method::GET, "/whoami", 200).await["scopes"],
            json!([])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_a_token_are_exact() {
    let (_source, server) = sample_server().await;
    for owner in owners(&server, json!({})).await {
        for name in [
            "local/APP",
            "LOCAL/app",
            "app",
            "/app",
            "local/app/",
            "local//app",
            "local/./app",
            "local%2Fapp",
            "local/app\0",
            "local/app ",
            " local/app",
            "local/app.git",
            "local/*",
            "*",
            "",
            "local/a\u{200b}pp",
            "local/\u{ff41}pp",
            "local/\u{430}pp",
            "local/app\u{301}",
            "loca\u{131}/app",
        ] {
            let token = owner.token(&["read"], Some(&[name.to_owned()]));
            for path in [
                "/local/app",
                "/local/app/content",
                "/local/APP",
                "/LOCAL/app",
            ] {
                let answer = server.with(&token, Method::GET, path, Value::Null);
                answer.await.expect(404);
            }
            let listed = server.with(&token, Method::GET, "/local/repos", Value::Null);
            assert_eq!(listed.await.expect(200)["repos"], json!([]), "{name:?}");
        }
    }
    // And what is asked for is exact too.
    let owner = Owner::key(&server, json!({})).await;
    let token = owner.token(&["read"], Some(&["local/app".to_owned()]));
    for (path, status) in [
        ("/local/app", 200),
        ("/local/%61pp", 200),
        ("/local/APP", 404),
        ("/local/app%00", 404),
        ("/local/app%20", 404),
        ("/local/app%2f", 404),
        ("/local/%EF%BD%81pp", 404),
    ] {
        let answer = server.with(&token, Method::GET, path, Value::Null).await;
        answer.expect(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_a_token_follow_a_repository_and_names_do_not() {
    let (_source, server) = sample_server().await;
    let id = text(&server.get("/local/app").await.expect(200)["id"]);
    let (owner, _) = Owner::organization(&server, 1, json!({})).await;
    let by_name = owner.token(&["read"], Some(&["local/app".to_owned()]));
    let payload = json!({
        "iss": "local", "aud": "mesa-api", "scopes": ["read"], "repo_ids": [id, "repo_unknown"],
        "iat": now(), "exp": now() + 60,
    });
    let by_id = crate::forging::forge(&owner, None, &payload.to_string());
    let see = async |token: &str, name: &str, status: u16| {
        let path = format!("/local/{name}");
        let answer = server.with(token, Method::GET, &path, Value::Null).await;
        answer.expect(status);
    };
    see(&by_name, "app", 200).await;
    see(&by_id, "app", 200).await;
    let rename = json!({"name": "moved"});
    server.patch("/local/app", rename).await.expect(200);
    let taken = json!({"name": "app"});
    server.post("/local/repos", taken).await.expect(201);
    see(&by_name, "moved", 404).await;
    see(&by_id, "moved", 200).await;
    see(&by_id, "app", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_the_work_of_the_author_that_the_token_names() {
    let (_source, server) = sample_server().await;
    let authors = [
        Author {
            name: "Ann \u{c9}".to_owned(),
            email: Some("ann@example.com".to_owned()),
        },
        Author {
            name: "Second".to_owned(),
            email: None,
        },
    ];
    for owner in owners(&server, json!({"name": "robot"})).await {
        let named = owner.sign(&TokenRequest {
            authors: &authors,
            ..request(&["write"], None)
        });
        let nameless = owner.sign(&TokenRequest {
            authors: &authors[1..],
            ..request(&["write"], None)
        });
        let body = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", b"x")]});
        let create = async |token: &str, body: &Value| {
            let at = "/local/app/changes";
            let made = server.with(token, Method::POST, at, body.clone()).await;
            made.expect(201)
        };
        let made = create(&named, &body).await;
        for role in ["author", "committer"] {
            assert_eq!(made[role]["name"], "Ann \u{c9}");
            assert_eq!(made[role]["email"], "ann@example.com");
        }
        let made = create(&nameless, &body).await;
        assert_eq!(made["author"]["name"], "Second");
        assert_eq!(made["author"]["email"], "");
        let made = create(&owner.token(&["write"], None), &body).await;
        assert_eq!(made["author"]["name"], "robot");
        let mut signed = body.clone();
        signed["author"] = json!({"name": "Body", "email": "b@example.com"});
        let made = create(&named, &signed).await;
        assert_eq!(made["author"]["name"], "Body");
        // Whoever amends it with a token that names authors says whose it is now.
        let at = format!("/local/app/changes/{}", text(&made["id"]));
        let patch = json!({"files": [upsert("f", b"y")]});
        let amended = server.with(&named, Method::PATCH, &at, patch).await;
        let amended = amended.expect(200);
        assert_eq!(amended["author"]["name"], "Ann \u{c9}");
        assert_eq!(amended["committer"]["name"], "Ann \u{c9}");
        let both = json!([
            {"name": "Ann \u{c9}", "email": "ann@example.com"},
            {"name": "Second", "email": null},
        ]);
        assert_eq!(amended["authors"], both);
        let silent = owner.token(&["write"], None);
        let patch = json!({"files": [upsert("f", b"z")]});
        let amended = server.with(&silent, Method::PATCH, &at, patch).await;
        assert_eq!(amended.expect(200)["authors"], both);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_organization_are_registered_once_and_for_good() {
    let server = Server::new(&[]).await;
    let (owner, made) = Owner::organization(&server, 1, json!({"name": "deploy"})).await;
    let Owner::Organization(private) = &owner else {
        unreachable!()
    };
    let public = private.public_key().to_string();
    assert_eq!(made["public_key"], json!(public));
    assert_eq!(made["scopes"], json!(["read", "write"]));
    let listed = server.get("/local/api-keys?query=deploy").await.expect(200);
    assert_eq!(listed["api_keys"][0]["public_key"], json!(public));
    let first = server.get("/local/api-keys?query=admin").await.expect(200);
    assert_eq!(first["api_keys"][0].get("public_key"), None);

    let token = owner.token(&["read"], None);
    let whoami = async |credential: &str, status: u16| {
        let answer = server.with(credential, Method::GET, "/whoami", Value::Null);
        answer.await.expect(status)
    };
    whoami(&token, 200).await;
    let used = server.get("/local/api-keys?query=deploy").await.expect(200);
    assert!(used["api_keys"][0]["last_used_at"].is_string());
    let refused = whoami(&private.expose(), 401).await;
    let message = text(&refused["error"]["message"]);
    assert!(
        message.contains("private key") && !message.contains("mesa_"),
        "{message}"
    );

    let again = json!({"public_key": public});
    let taken = server.post("/local/api-keys", again.clone()).await;
    assert_eq!(taken.expect(409)["error"]["code"], "CONFLICT");
    let at = format!("/local/api-keys/{}", text(&made["id"]));
    server.delete(&at).await.expect(200);
    assert_eq!(whoami(&token, 401).await["error"]["code"], "KEY_REVOKED");
    server.post("/local/api-keys", again).await.expect(409);
    assert_eq!(whoami(&token, 401).await["error"]["code"], "KEY_REVOKED");

    let identity = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for bad in [
        json!(""),
        json!("x"),
        json!(identity),
        json!(private.expose().as_str()),
        json!(format!("{public}=")),
        json!(1),
    ] {
        let body = json!({"public_key": bad});
        server.post("/local/api-keys", body).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_log_nor_data_nor_answers_show_what_signs() {
    let mut server = Server::new(&[]).await;
    server.stop().await;
    let log = server.folder.path().join("log");
    let (program, base) = Program::start(&server.data(), &log);
    server.base = base;
    let mut secrets = vec![server.key.clone()];
    let mut shown = Vec::new();
    for owner in owners(&server, json!({"name": "shy"})).await {
        let value = match &owner {
            Owner::Key { value, .. } => {
                secrets.push(SigningSecret::of_api_key(value).expose().to_owned());
                value.clone()
            }
            Owner::Organization(private) => private.expose().to_string(),
        };
        let token = owner.token(&["read"], None);
        let forged = format!("{}x", &token[..token.len() - 1]);
        let query = format!("/local/repos?limit=0&cursor={token}&token={value}");
        for credential in [&value, &token, &forged] {
            for path in ["/whoami", "/local/nothing", "/local/api-keys", &query] {
                let answer = server.with(credential, Method::GET, path, Value::Null);
                let answer = answer.await;
                assert!(answer.status.as_u16() < 500);
                shown.push(String::from_utf8(answer.bytes).unwrap());
            }
        }
        let body = json!({"name": value.clone(), "scopes": [value.clone()], "tags": {"k": "v"}});
        let refused = server.post("/local/api-keys", body).await.expect(400);
        shown.push(refused.to_string());
        secrets.extend([value, token]);
    }
    shown.push(server.get("/local/api-keys").await.expect(200).to_string());
    drop(program);
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("/local/nothing"), "{log}");
    shown.push(log);
    // The table has the secrets of API keys, and nothing else has.
    let table = server.data().join("keys.json");
    let table_text = fs::read_to_string(&table).unwrap();
    for path in files(&server.data()) {
        let bytes = fs::read(&path).unwrap();
        if path != table && !path.ends_with("admin.key") && !is_unpublished(&path) {
            shown.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    for secret in &secrets {
        assert!(!shown.iter().any(|text| text.contains(secret)), "{secret}");
        let is_signing_secret = secret.len() == 43;
        assert_eq!(table_text.contains(secret), is_signing_secret);
    }
}
