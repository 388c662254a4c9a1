//! Tests of tokens that an organization's key signed, against the worked example of the official SDK.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const KEY: &str =
    "mesa_private_key_acme_MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const PUBLIC: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
const SIGNATURE: &str =
    "W0KK2x6Fe4X8HfJuVbpe9Wd1uPrFICu-Re4vXGTODbW8Jgaz4m5dxu0XKSkdWzGEtFWGuDKb8DQYI-6-OCSiCQ";
const ISSUED: u64 = 1_750_000_000;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"mesa-at+jwt","jwk":{"kty":"OKP","crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}}"#;

fn seed() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

fn verify_with(public: &str, token: &str, now: u64) -> Result<Claims, TokenError> {
    let registered = Verifier::PublicKey(PublicKey::try_from(public).unwrap());
    Unverified::parse(token)?.verify(&registered, now)
}

fn verify(token: &str, now: u64) -> Result<Claims, TokenError> {
    verify_with(PUBLIC, token, now)
}

/// Signs any header and payload with the right key.
fn forged(header: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = SigningKey::from_bytes(&seed()).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn payload(claims: &str) -> String {
    format!(r#"{{"iss":"acme","aud":"mesa-api","scopes":["read"]{claims}}}"#)
}

const TIMES: &str = r#","iat":1750000000,"exp":1750000900"#;

fn token() -> String {
    let author = |name: &str, email: Option<&str>| Author {
        name: name.to_owned(),
        email: email.map(str::to_owned),
    };
    let request = Request {
        scopes: &["read", "write"],
        repos: Some(&["acme/app".to_owned()]),
        authors: &[
            author("Mesa Bot", Some("bot@example.com")),
            author("Second", None),
        ],
        issued_at: ISSUED,
        lifetime: Lifetime::try_from(900).unwrap(),
        token_id: "00000000-0000-4000-8000-000000000002".parse().unwrap(),
    };
    PrivateKey::parse(KEY).unwrap().sign(&request).unwrap()
}

#[test]
fn the_worked_example_is_what_we_sign_and_accept() {
    let token = token();
    assert_eq!(token.rsplit_once('.').unwrap().1, SIGNATURE);
    let claims = verify(&token, ISSUED + 1).unwrap();
    assert_eq!(claims.issuer, "acme");
    assert_eq!(claims.scopes, ["read", "write"]);
    let names = vec!["acme/app".to_owned()];
    assert_eq!(claims.repositories, Repositories::Names(names));
    let authors: Vec<_> = claims
        .authors
        .iter()
        .map(|author| (author.name.as_str(), author.email.as_deref()))
        .collect();
    assert_eq!(
        authors,
        [("Mesa Bot", Some("bot@example.com")), ("Second", None)]
    );
    assert_eq!(verify(&token, ISSUED + 900), Err(TokenError::Expired));
    assert_eq!(verify(&token, ISSUED - 61), Err(TokenError::Future));
}

#[test]
fn a_private_key_is_read_in_one_form_and_not_shown() {
    let key = PrivateKey::parse(KEY).unwrap();
    assert_eq!(key.organization(), "acme");
    assert_eq!(key.public_key().to_string(), PUBLIC);
    assert_eq!(key.expose().as_str(), KEY);
    assert_eq!(PrivateKey::of_seed("acme", &seed()).expose().as_str(), KEY);
    assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    for text in [
        "",
        "mesa_key",
        "mesa_private_key_",
        "mesa_private_key_acme",
        "mesa_private_key_acme_",
        &KEY[..KEY.len() - 1],
        &format!("{KEY}="),
        &format!("{KEY}AAAA"),
        &KEY.replace("acme", ""),
        &KEY.replace("acme", "Acme"),
        &KEY.replace("acme", "ac\u{e9}"),
        // Another algorithm (X25519), another version.
        &KEY.replace("K2Vw", "K2Vu"),
        &KEY.replace("MC4CAQAw", "MC4CAQEw"),
    ] {
        assert_eq!(
            PrivateKey::parse(text).unwrap_err(),
            PrivateKeyError::Private,
            "{text}"
        );
    }
}

#[test]
fn keys_that_would_verify_what_nobody_signed_are_no_keys() {
    let encode = |bytes: [u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut second_identity = [0xff; 32];
    // y = p + 1: the identity once more, not reduced.
    second_identity[0] = 0xee;
    second_identity[31] = 0x7f;
    let mut no_point = [0; 32];
    no_point[0] = 2;
    for text in [
        encode([0; 32]),
        encode(identity),
        encode(second_identity),
        encode(no_point),
        String::new(),
        PUBLIC[..42].to_owned(),
        format!("{PUBLIC}="),
        format!("{}h", &PUBLIC[..42]),
        KEY.to_owned(),
    ] {
        assert!(PublicKey::try_from(text.as_str()).is_err(), "{text}");
    }
}

#[test]
fn a_key_that_comes_with_a_token_proves_nothing() {
    let stranger = PrivateKey::of_seed("acme", &[7; 32]);
    let request = Request {
        scopes: &["admin"],
        repos: None,
        authors: &[],
        issued_at: ISSUED,
        lifetime: Lifetime::default(),
        token_id: Uuid::nil(),
    };
    let token = stranger.sign(&request).unwrap();
    assert_eq!(verify(&token, ISSUED), Err(TokenError::Signature));
    let public = stranger.public_key().to_string();
    assert!(verify_with(&public, &token, ISSUED).is_ok());
    // Theirs in the header and our signature, and the other way around.
    let theirs = HEADER.replace(PUBLIC, &public);
    let claims = payload(&format!(r#","repos":null{TIMES}"#));
    assert!(verify(&forged(HEADER, &claims), ISSUED).is_ok());
    for (registered, token) in [
        (PUBLIC, forged(&theirs, &claims)),
        (public.as_str(), forged(&theirs, &claims)),
        (public.as_str(), forged(HEADER, &claims)),
    ] {
        let refused = verify_with(registered, &token, ISSUED);
        assert_eq!(refused, Err(TokenError::Signature));
    }
    let long = Request {
        lifetime: Lifetime::try_from(14_401).unwrap(),
        ..request
    };
    assert_eq!(stranger.sign(&long), Err(TokenError::Lifetime));
}

#[test]
fn the_two_kinds_do_not_stand_in_for_each_other() {
    let secret = Verifier::Secret(SigningSecret::of_stored(PUBLIC.to_owned()));
    let ours = token();
    let refused = Unverified::parse(&ours).unwrap().verify(&secret, ISSUED);
    assert_eq!(refused, Err(TokenError::Kind));
    // HS256 with the public key for a secret, which everybody knows.
    let request = Request {
        scopes: &[],
        repos: None,
        authors: &[],
        issued_at: ISSUED,
        lifetime: Lifetime::default(),
        token_id: Uuid::nil(),
    };
    let confused = SigningSecret::of_stored(PUBLIC.to_owned()).sign("key_1", &request);
    assert_eq!(verify(&confused, ISSUED), Err(TokenError::Kind));
}

#[test]
fn headers_are_exactly_ours() {
    let claims = payload(&format!(r#","repos":null{TIMES}"#));
    for (from, to) in [
        ("EdDSA", "none"),
        ("EdDSA", "eddsa"),
        ("EdDSA", "Ed25519"),
        ("EdDSA", "HS256"),
        ("mesa-at+jwt", "JWT"),
        ("OKP", "oct"),
        ("\"crv\":\"Ed25519\"", "\"crv\":\"Ed448\""),
        ("\"kty\"", "\"d\":\"AAAA\",\"kty\""),
        ("\"jwk\"", "\"kid\":\"key_1.v1\",\"jwk\""),
        ("\"jwk\"", "\"crit\":[],\"jwk\""),
        ("\"jwk\"", "\"jku\":\"https://x\",\"jwk\""),
        ("\"x\"", "\"y\""),
        (PUBLIC, "AAAA"),
        ("Mbg\"", "Mbh\""),
        ("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":", "["),
    ] {
        let header = HEADER.replacen(from, to, 1);
        let header = if to == "[" {
            header.replace("\"}}", "\"]}")
        } else {
            header
        };
        assert_ne!(header, HEADER, "{from}");
        let refused = verify(&forged(&header, &claims), ISSUED);
        assert_eq!(refused, Err(TokenError::Kind), "{header}");
    }
    let no_issuer = forged(HEADER, r#"{"aud":"mesa-api"}"#);
    assert_eq!(verify(&no_issuer, ISSUED), Err(TokenError::Claim));
}

#[test]
fn claims_of_the_wrong_shape_fail_closed() {
    let many = |count: usize, item: &str| vec![item; count].join(",");
    let ids = |count| format!(r#","repo_ids":[{}]"#, many(count, "\"r\""));
    let authors = |count| {
        format!(
            r#","repos":null,"author":[{}]"#,
            many(count, r#"["a",null]"#)
        )
    };
    let good = [
        (r#","repos":null"#.to_owned(), Repositories::All),
        (r#","repo_ids":null"#.to_owned(), Repositories::All),
        (
            r#","repo_ids":["a"]"#.to_owned(),
            Repositories::Ids(vec!["a".to_owned()]),
        ),
        (r#","repos":[]"#.to_owned(), Repositories::Names(Vec::new())),
        (ids(250), Repositories::Ids(vec!["r".to_owned(); 250])),
        (authors(100), Repositories::All),
    ];
    for (claims, repositories) in good {
        let claims = payload(&format!("{claims}{TIMES}"));
        let found = verify(&forged(HEADER, &claims), ISSUED).unwrap();
        assert_eq!(found.repositories, repositories, "{claims}");
    }
    for claims in [
        String::new(),
        r#","repos":null,"repo_ids":null"#.to_owned(),
        r#","repos":["acme/app"],"repo_ids":null"#.to_owned(),
        r#","repos":null,"repo_ids":["r"]"#.to_owned(),
        r#","repos":"acme/app""#.to_owned(),
        r#","repo_ids":"r""#.to_owned(),
        r#","repo_ids":[1]"#.to_owned(),
        ids(251),
        authors(0),
        authors(101),
        r#","repos":null,"author":null"#.to_owned(),
        r#","repos":null,"author":"a""#.to_owned(),
        r#","repos":null,"author":["a",null]"#.to_owned(),
        r#","repos":null,"author":[["a"]]"#.to_owned(),
        r#","repos":null,"author":[["a",null,null]]"#.to_owned(),
        r#","repos":null,"author":[[" ",null]]"#.to_owned(),
        r#","repos":null,"author":[["a\nb",null]]"#.to_owned(),
        r#","repos":null,"author":[["a","<b>"]]"#.to_owned(),
        r#","repos":null,"author":[["a","\u0000"]]"#.to_owned(),
    ] {
        let claims = payload(&format!("{claims}{TIMES}"));
        let refused = verify(&forged(HEADER, &claims), ISSUED);
        assert_eq!(refused, Err(TokenError::Claim), "{claims}");
    }
    let long = payload(r#","repos":null,"iat":1750000000,"exp":1750014401"#);
    assert_eq!(
        verify(&forged(HEADER, &long), ISSUED),
        Err(TokenError::Lifetime)
    );
    let most = payload(r#","repos":null,"iat":1750000000,"exp":1750014400"#);
    assert!(verify(&forged(HEADER, &most), ISSUED).is_ok());
}

#[test]
fn the_claims_of_the_newest_clients_are_read_and_not_mixed_with_the_older_ones() {
    let newest = |claims: &str| format!(r#"{{"iss":"acme","aud":"mesa-api"{claims}{TIMES}}}"#);
    let admin = newest(r#","authors":[{"name":"Ann","email":null}],"admin":true"#);
    let claims = verify(&forged(HEADER, &admin), ISSUED).unwrap();
    assert_eq!(claims.scopes, ["admin"]);
    assert_eq!(claims.repositories, Repositories::All);
    assert_eq!(claims.authors[0].name, "Ann");
    let access = newest(r#","access":{"a":"read-repo","b":"write-repo"}"#);
    let claims = verify(&forged(HEADER, &access), ISSUED).unwrap();
    assert_eq!(claims.scopes, ["write"]);
    let levels = vec![
        ("acme/a".to_owned(), Level::Read),
        ("acme/b".to_owned(), Level::Write),
    ];
    assert_eq!(claims.repositories, Repositories::Levels(levels));
    let many: Vec<String> = (0..251)
        .map(|at| format!(r#""{at}":"read-repo""#))
        .collect();
    for claims in [
        "",
        r#","admin":false"#,
        r#","admin":null"#,
        r#","admin":"true""#,
        r#","access":{}"#,
        r#","access":null"#,
        r#","access":["a"]"#,
        r#","access":{"a":"admin-repo"}"#,
        r#","access":{"a":"WRITE-REPO"}"#,
        r#","access":{"a":null}"#,
        &format!(r#","access":{{{}}}"#, many.join(",")),
        r#","admin":true,"access":{"a":"read-repo"}"#,
        r#","admin":true,"scopes":["read"]"#,
        r#","admin":true,"repos":null"#,
        r#","admin":true,"repo_ids":null"#,
        r#","access":{"a":"read-repo"},"scopes":["read"],"repos":null"#,
        r#","admin":true,"authors":[]"#,
        r#","admin":true,"authors":null"#,
        r#","admin":true,"authors":[["Ann",1]]"#,
        r#","admin":true,"authors":[{"email":"a"}]"#,
        r#","admin":true,"authors":[{"name":"A<","email":null}]"#,
        r#","admin":true,"author":[["Ann",null]]"#,
        r#","scopes":["read"],"repos":null,"authors":[{"name":"Ann","email":null}]"#,
    ] {
        let refused = verify(&forged(HEADER, &newest(claims)), ISSUED);
        assert_eq!(refused, Err(TokenError::Claim), "{claims}");
    }
}
