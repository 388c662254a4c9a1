//! Tokens that somebody tampered with, or that their owner signed for more than is allowed: each is
//! refused with 401, and changes nothing.

use crate::forging::*;
use crate::harness::*;
use crate::tokens::{Owner, request};
use mesa::remote::api::token::PrivateKey;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn headers_choose_nothing() {
    let ring = ring().await;
    for owner in ring.owners() {
        let right: Value = serde_json::from_str(&header(owner)).unwrap();
        let payload = claims(owner).to_string();
        ring.accepts(&forge(owner, None, &payload)).await;
        ring.accepts(&forge(owner, Some(&right.to_string()), &payload))
            .await;
        let mut headers = vec![
            "{}".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "\"HS256\"".to_owned(),
            String::new(),
            "{".to_owned(),
            without(&right, "alg"),
            without(&right, "typ"),
        ];
        for algorithm in [
            "none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS256", "ES256",
        ] {
            headers.push(with(&right, "alg", json!(algorithm)));
        }
        for kind in [
            "JWT",
            "jwt",
            "at+jwt",
            "MESA-AT+JWT",
            "application/mesa-at+jwt",
            "",
        ] {
            headers.push(with(&right, "typ", json!(kind)));
        }
        for (name, to) in [
            ("alg", Value::Null),
            ("alg", json!(["HS256", "EdDSA"])),
            ("typ", Value::Null),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("crit", Value::Null),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("cty", json!("JWT")),
            ("jku", json!("http://127.0.0.1/keys")),
            ("x5u", json!("http://127.0.0.1/keys")),
            ("x5c", json!([])),
        ] {
            headers.push(with(&right, name, to));
        }
        for header in headers {
            ring.refuses(&forge(owner, Some(&header), &payload), "UNAUTHORIZED")
                .await;
        }
        // Unsigned, in the ways that others have fallen for.
        for algorithm in ["none", "HS256", "EdDSA"] {
            let header = with(&right, "alg", json!(algorithm));
            for signature in ["", "AA", &"A".repeat(43), &"A".repeat(86)] {
                let token = format!("{}.{}.{signature}", encode(&header), encode(&payload));
                ring.refuses(&token, "UNAUTHORIZED").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_one_kind_does_not_verify_the_other() {
    let ring = ring().await;
    let (Owner::Key { id, .. }, Owner::Organization(private)) = (&ring.key, &ring.organization)
    else {
        unreachable!()
    };
    let public = private.public_key();
    // HS256 with what everybody may know of the organization's key.
    for kid in [&ring.organization_id, id, "local"] {
        let header = json!({"alg": "HS256", "typ": "mesa-at+jwt", "kid": format!("{kid}.v1")});
        for issuer in [kid, "local"] {
            let payload = with(&claims(&ring.key), "iss", json!(issuer));
            let signed = format!("{}.{}", encode(header.to_string()), encode(payload));
            for secret in [
                public.to_string().as_bytes(),
                public.bytes().as_slice(),
                b"",
            ] {
                let token = format!("{signed}.{}", encode(hmac(secret, &signed)));
                ring.refuses(&token, "UNAUTHORIZED").await;
            }
        }
    }
    // EdDSA with a key that comes along: alone, beside a kid, and with another signature.
    let stranger = PrivateKey::of_seed("local", &[9; 32]);
    let owner = Owner::Organization(PrivateKey::of_seed("local", &[9; 32]));
    let payload = claims(&ring.organization).to_string();
    ring.refuses(&forge(&owner, None, &payload), "UNAUTHORIZED")
        .await;
    let theirs: Value = serde_json::from_str(&header(&owner)).unwrap();
    for kid in [&ring.organization_id, id] {
        let header = with(&theirs, "kid", json!(format!("{kid}.v1")));
        ring.refuses(&forge(&owner, Some(&header), &payload), "UNAUTHORIZED")
            .await;
    }
    let ours = header(&ring.organization);
    ring.refuses(&forge(&owner, Some(&ours), &payload), "UNAUTHORIZED")
        .await;
    let swapped = forge(&ring.organization, Some(&theirs.to_string()), &payload);
    ring.refuses(&swapped, "UNAUTHORIZED").await;
    for (name, to) in [
        ("d", json!(encode([9; 32]))),
        ("x", json!(stranger.public_key().to_string())),
        ("x", json!("")),
        ("x", json!(format!("{public}="))),
        ("x", json!([1])),
        // The neutral point, for which one signature fits all texts.
        ("x", json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        ("kty", json!("EC")),
        ("crv", json!("X25519")),
    ] {
        let mut header: Value = serde_json::from_str(&ours).unwrap();
        header["jwk"][name] = to;
        let token = forge(&ring.organization, Some(&header.to_string()), &payload);
        ring.refuses(&token, "UNAUTHORIZED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_organization_are_nobody_here() {
    let ring = ring().await;
    let elsewhere = Server::new(&[]).await;
    let key = Owner::key(&elsewhere, json!({"scopes": ["admin"]})).await;
    ring.refuses(&key.token(&["admin"], None), "UNAUTHORIZED")
        .await;
    let Owner::Key { id, value } = &key else {
        unreachable!()
    };
    ring.refuses(value, "UNAUTHORIZED").await;
    // Signed by theirs, in the name of ours.
    let Owner::Key { id: ours, .. } = &ring.key else {
        unreachable!()
    };
    for kid in [ours, id] {
        for issuer in [ours, id] {
            let header = json!({"alg": "HS256", "typ": "mesa-at+jwt", "kid": format!("{kid}.v1")});
            let payload = with(&claims(&key), "iss", json!(issuer));
            let token = forge(&key, Some(&header.to_string()), &payload);
            ring.refuses(&token, "UNAUTHORIZED").await;
        }
    }
    // Our key, which says that it is theirs; and the slug in other spellings.
    for slug in ["other", "LOCAL", "local ", "loc\u{430}l", "local\0", ""] {
        let payload = with(&claims(&ring.organization), "iss", json!(slug));
        let token = forge(&ring.organization, None, &payload);
        ring.refuses(&token, "UNAUTHORIZED").await;
    }
    // The id in other forms.
    for kid in [
        format!("{}.v1", ours.to_uppercase()),
        format!("{ours}.v1.v1"),
        format!("{ours}.v2"),
        format!("{ours}.V1"),
        format!("{ours}v1"),
        format!(" {ours}.v1"),
        format!("{ours}\0.v1"),
        ".v1".to_owned(),
        "../keys.json.v1".to_owned(),
    ] {
        let header = json!({"alg": "HS256", "typ": "mesa-at+jwt", "kid": kid});
        let token = forge(
            &ring.key,
            Some(&header.to_string()),
            &claims(&ring.key).to_string(),
        );
        ring.refuses(&token, "UNAUTHORIZED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_missing_or_wrong_fail_closed() {
    let ring = ring().await;
    for owner in ring.owners() {
        let good = claims(owner);
        let now = now();
        let lifetime_max = match owner {
            Owner::Key { .. } => 86_400,
            Owner::Organization(_) => 14_400,
        };
        let mut wrong = Vec::new();
        for name in ["iss", "aud", "scopes", "repos", "iat", "exp"] {
            wrong.push(without(&good, name));
            for to in [
                Value::Null,
                json!(true),
                json!({}),
                json!([[]]),
                json!("x"),
                json!(-1),
            ] {
                // No restriction but the key's.
                if (name, &to) != ("repos", &Value::Null) {
                    wrong.push(with(&good, name, to));
                }
            }
        }
        for (name, to) in [
            ("aud", json!(["mesa-api"])),
            ("aud", json!("MESA-API")),
            ("scopes", json!("admin")),
            ("scopes", json!(["admin", 1])),
            ("scopes", json!([["admin"]])),
            ("repos", json!("local/app")),
            ("repos", json!(["local/app", null])),
            ("repos", json!({"local/app": true})),
            ("repo_ids", Value::Null),
            ("repo_ids", json!([])),
            ("exp", json!(now as f64 + 60.5)),
            ("exp", json!((now + 60).to_string())),
            ("exp", json!(u64::MAX)),
            ("exp", json!(1e300)),
            ("exp", json!(now + 1 + lifetime_max)),
            ("iat", json!(now + 3_600)),
            ("iat", json!(now + 61)),
            ("iat", json!(now + 100)),
            ("iat", json!(now as f64 + 0.5)),
            ("author", Value::Null),
            ("author", json!([])),
            ("author", json!("Ann")),
            ("author", json!([["Ann"]])),
            ("author", json!([["Ann", "a", "b"]])),
            ("author", json!([{"name": "Ann", "email": null}])),
            ("author", json!([["Ann\nparent x", null]])),
            ("author", json!([["Ann <a>", null]])),
            ("author", json!([["Ann", "a>"]])),
            ("author", json!([["", null]])),
            ("author", json!(vec![["Ann", "a"]; 101])),
        ] {
            wrong.push(with(&good, name, to));
        }
        let mut long = good.clone();
        long["iat"] = json!(now + 30);
        wrong.push(with(&long, "exp", json!(now + 30)));
        wrong.push(with(&long, "exp", json!(now + 31 + lifetime_max)));
        for payload in wrong {
            ring.refuses(&forge(owner, None, &payload), "UNAUTHORIZED")
                .await;
        }
        for over in [0, 1, now - 10, now - 1, now] {
            let payload = with(&good, "exp", json!(over));
            ring.refuses(&forge(owner, None, &payload), "TOKEN_EXPIRED")
                .await;
        }
        // The edges that are allowed.
        ring.accepts(&forge(
            owner,
            None,
            &with(&good, "exp", json!(now + lifetime_max - 60)),
        ))
        .await;
        ring.accepts(&forge(owner, None, &without(&good, "jti")))
            .await;
        ring.accepts(&forge(
            owner,
            None,
            &with(&good, "unheard-of", json!({"a": [1]})),
        ))
        .await;
    }
    let by_id = with(&claims(&ring.organization), "repo_ids", Value::Null);
    ring.refuses(&forge(&ring.organization, None, &by_id), "UNAUTHORIZED")
        .await;
    let mut by_id = claims(&ring.organization);
    by_id["repo_ids"] = json!(null);
    ring.accepts(&forge(&ring.organization, None, &without(&by_id, "repos")))
        .await;
    // Of a key's token the contract knows names alone.
    let mut by_id = claims(&ring.key);
    by_id["repo_ids"] = json!(null);
    ring.refuses(
        &forge(&ring.key, None, &without(&by_id, "repos")),
        "UNAUTHORIZED",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_replayed_after_a_revocation() {
    let mut ring = ring().await;
    let Owner::Key { id, value } = &ring.key else {
        unreachable!()
    };
    let dead = [
        value.clone(),
        ring.key.token(&["read"], None),
        ring.organization.token(&["admin"], None),
    ];
    let ids = [id.clone(), ring.organization_id.clone()];
    ring.accepts(&dead[1]).await;
    for id in ids {
        let at = format!("/local/api-keys/{id}");
        ring.server.delete(&at).await.expect(200);
    }
    // Also what is signed only now, and after a new start.
    let late = [
        ring.key.sign(&request(&["read"], None)),
        ring.organization.token(&["read"], None),
    ];
    for round in 0..2 {
        for token in dead.iter().chain(&late) {
            ring.refuses(token, "KEY_REVOKED").await;
        }
        // Who cannot sign learns nothing of a dead key.
        let (signed, _) = late[0].rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", encode([7; 32]));
        ring.refuses(&forged, "UNAUTHORIZED").await;
        if round == 0 {
            ring.server.stop().await;
            ring.server.start(&[]).await;
        }
    }
}
