//! Tests of the access-token format against the worked example of the official SDK.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const KEY: &str = "mesa_made_up_key_for_documentation_only";
const KEY_ID: &str = "key_example_0001";
const ISSUED: u64 = 1_750_000_000;
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6Im1lc2EtYXQrand0Iiwia2lkIjoia2V5X2V4YW1wbGVfMDAwMS52MSJ9.eyJpc3MiOiJrZXlfZXhhbXBsZV8wMDAxIiwiYXVkIjoibWVzYS1hcGkiLCJzY29wZXMiOlsicmVhZCIsIndyaXRlIl0sInJlcG9zIjpbImFjbWUvYXBwIl0sImlhdCI6MTc1MDAwMDAwMCwiZXhwIjoxNzUwMDAwOTAwLCJqdGkiOiIwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEifQ.9A0PuUZqYoTD9NhtPzqE4o-hWWU4bOizFJg2MSLQ13U";

fn secret() -> SigningSecret {
    SigningSecret::of_api_key(KEY)
}

fn verify(token: &str, now: u64) -> Result<Claims, TokenError> {
    Unverified::parse(token)?.verify(&Verifier::Secret(secret()), now)
}

/// Signs any header and payload with the right key.
fn forged(header: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = URL_SAFE_NO_PAD.encode(secret().signature(&signed));
    format!("{signed}.{signature}")
}

const HEADER: &str = r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v1"}"#;

#[test]
fn the_worked_example_is_what_we_sign_and_accept() {
    assert_eq!(
        secret().expose(),
        "PvonTaRPRCkEnDvkTrVaz8xsciqwyKIU4Z1lsuEMGb8"
    );
    let request = Request {
        scopes: &["read", "write"],
        repos: Some(&["acme/app".to_owned()]),
        authors: &[],
        issued_at: ISSUED,
        lifetime: Lifetime::try_from(900).unwrap(),
        token_id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
    };
    assert_eq!(secret().sign(KEY_ID, &request), TOKEN);
    let claims = verify(TOKEN, ISSUED + 1).unwrap();
    assert_eq!(claims.scopes, ["read", "write"]);
    let names = vec!["acme/app".to_owned()];
    assert_eq!(claims.repositories, Repositories::Names(names));
}

#[test]
fn signatures_with_the_wrong_key_material_are_refused() {
    let (signed, _) = TOKEN.rsplit_once('.').unwrap();
    for signature in [
        "LkR5URN1r1DC00u29rcGZb8rKfjkMu9tpWFSssjF_z8",
        "WJIF4hf4BfEwT6aBHztkQKvropandjYNjPEbVJd0rug",
    ] {
        assert_eq!(
            verify(&format!("{signed}.{signature}"), ISSUED),
            Err(TokenError::Signature)
        );
    }
}

#[test]
fn a_header_cannot_choose_how_it_is_verified() {
    let payload = URL_SAFE_NO_PAD
        .decode(TOKEN.split('.').nth(1).unwrap())
        .unwrap();
    let payload = String::from_utf8(payload).unwrap();
    for header in [
        r#"{"alg":"none","typ":"mesa-at+jwt","kid":"key_example_0001.v1"}"#,
        r#"{"alg":"hs256","typ":"mesa-at+jwt","kid":"key_example_0001.v1"}"#,
        r#"{"alg":"EdDSA","typ":"mesa-at+jwt","kid":"key_example_0001.v1"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"key_example_0001.v1"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v2"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v1","crit":[]}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":".v1"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v1.v1.x"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v1","jwk":{}}"#,
        r#"{"alg":"HS256","typ":"mesa-at+jwt","kid":"key_example_0001.v1","jku":"https://x"}"#,
        r#"{"alg":"HS256","typ":"mesa-at+JWT","kid":"key_example_0001.v1"}"#,
        r#"{"alg":["HS256"],"typ":"mesa-at+jwt","kid":"key_example_0001.v1"}"#,
    ] {
        assert_eq!(
            verify(&forged(header, &payload), ISSUED),
            Err(TokenError::Kind),
            "{header}"
        );
    }
}

#[test]
fn times_are_exact_and_bounded() {
    assert!(verify(TOKEN, ISSUED + 899).is_ok());
    assert_eq!(verify(TOKEN, ISSUED + 900), Err(TokenError::Expired));
    assert!(verify(TOKEN, ISSUED - 60).is_ok());
    assert_eq!(verify(TOKEN, ISSUED - 61), Err(TokenError::Future));
    let payload = |times: &str| {
        format!(r#"{{"iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":null{times}}}"#)
    };
    for (times, error) in [
        (
            r#","iat":1750000000,"exp":1750086401"#,
            TokenError::Lifetime,
        ),
        (
            r#","iat":1750000002,"exp":1750000002"#,
            TokenError::Lifetime,
        ),
        (
            r#","iat":1750000009,"exp":1750000005"#,
            TokenError::Lifetime,
        ),
        (r#","exp":1750000900"#, TokenError::Claim),
        (r#","iat":1750000000"#, TokenError::Claim),
        (r#","iat":-1,"exp":1750000900"#, TokenError::Claim),
        (r#","iat":1750000000.5,"exp":1750000900"#, TokenError::Claim),
        (r#","iat":"1750000000","exp":1750000900"#, TokenError::Claim),
    ] {
        assert_eq!(
            verify(&forged(HEADER, &payload(times)), ISSUED),
            Err(error),
            "{times}"
        );
    }
    for seconds in [0, 86_401, u64::MAX] {
        assert_eq!(Lifetime::try_from(seconds), Err(TokenError::Lifetime));
    }
}

#[test]
fn claims_of_the_wrong_shape_fail_closed() {
    for claims in [
        r#""iss":"other","aud":"mesa-api","scopes":[],"repos":null"#,
        r#""iss":"key_example_0001","aud":"other","scopes":[],"repos":null"#,
        r#""iss":"key_example_0001","aud":["mesa-api"],"scopes":[],"repos":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":"admin","repos":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[1],"repos":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","repos":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":"acme/app""#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":[null]"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":false"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":{}"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[]"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repo_ids":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":null,"repo_ids":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":null,"author":null"#,
        r#""iss":"key_example_0001","aud":"mesa-api","scopes":[],"repos":null,"author":[["a"]]"#,
    ] {
        let payload = format!(r#"{{{claims},"iat":1750000000,"exp":1750000900}}"#);
        assert_eq!(
            verify(&forged(HEADER, &payload), ISSUED),
            Err(TokenError::Claim),
            "{claims}"
        );
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let (signed, signature) = TOKEN.rsplit_once('.').unwrap();
    for token in [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        signed.to_owned(),
        format!("{TOKEN}.x"),
        format!("{signed}.{signature}="),
        format!("{signed}.{}V", &signature[..42]),
        format!("{signed}."),
        format!(".{signed}"),
        forged("[]", "{}"),
        forged(HEADER, "[]"),
        forged(HEADER, ""),
        forged(HEADER, r#"{"iss":"a","iss":"a"}"#),
        forged(HEADER, r#"{"x":[{"a":1,"\u0061":1}]}"#),
        forged(r#"{"alg":"none","alg":"HS256"}"#, "{}"),
        forged(&HEADER.replace('}', "} {}"), "{}"),
        forged(HEADER, &"[".repeat(2_000)),
        format!("{TOKEN}{}", "A".repeat(TOKEN_BYTES_MAX)),
    ] {
        assert_eq!(
            verify(&token, ISSUED),
            Err(TokenError::Malformed),
            "{token}"
        );
    }
}

#[test]
fn a_secret_does_not_print_itself() {
    assert_eq!(format!("{:?}", secret()), "SigningSecret(..)");
    let shown = format!("{:?}", Unverified::parse(TOKEN).unwrap());
    assert!(
        shown.contains(KEY_ID) && !shown.contains("9A0PuUZ"),
        "{shown}"
    );
}
