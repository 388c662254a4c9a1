//! What attacks on tokens are made with.

use crate::harness::*;
use crate::tokens::Owner;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, Mac};
use mesa::remote::api::token::{PrivateKey, SigningSecret};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use sha2::Sha256;

pub fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub fn hmac(secret: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The seed that ends the text of a private key.
pub fn seed(private: &PrivateKey) -> [u8; 32] {
    let text = private.expose();
    let (_, encoded) = text.rsplit_once("local_").unwrap();
    let der = URL_SAFE_NO_PAD.decode(encoded).unwrap();
    der[16..].try_into().unwrap()
}

/// The header that an owner's tokens have.
pub fn header(owner: &Owner) -> String {
    let token = owner.token(&["read"], None);
    let header = token.split('.').next().unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// Signs any header, or the right one, and any payload, as only the owner can.
pub fn forge(owner: &Owner, other_header: Option<&str>, payload: &str) -> String {
    let header = other_header.map_or_else(|| header(owner), str::to_owned);
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = match owner {
        Owner::Key { value, .. } => {
            let secret = SigningSecret::of_api_key(value);
            hmac(secret.expose().as_bytes(), &signed)
        }
        Owner::Organization(private) => {
            let key = SigningKey::from_bytes(&seed(private));
            key.sign(signed.as_bytes()).to_bytes().to_vec()
        }
    };
    format!("{signed}.{}", encode(signature))
}

pub fn issuer(owner: &Owner) -> String {
    match owner {
        Owner::Key { id, .. } => id.clone(),
        Owner::Organization(_) => "local".to_owned(),
    }
}

pub fn claims(owner: &Owner) -> Value {
    json!({
        "iss": issuer(owner), "aud": "mesa-api", "scopes": ["admin"], "repos": null,
        "iat": now(), "exp": now() + 60, "jti": "00000000-0000-4000-8000-000000000001",
    })
}

pub fn with(value: &Value, name: &str, to: Value) -> String {
    let mut value = value.clone();
    value[name] = to;
    value.to_string()
}

pub fn without(value: &Value, name: &str) -> String {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name).unwrap();
    value.to_string()
}

pub struct Ring {
    _source: tempfile::TempDir,
    pub server: Server,
    pub key: Owner,
    pub organization: Owner,
    pub organization_id: String,
}

pub async fn ring() -> Ring {
    let (source, server) = sample_server().await;
    let body = json!({"scopes": ["admin"]});
    let key = Owner::key(&server, body.clone()).await;
    let (organization, made) = Owner::organization(&server, 1, body).await;
    Ring {
        _source: source,
        server,
        key,
        organization,
        organization_id: text(&made["id"]),
    }
}

impl Ring {
    pub fn owners(&self) -> [&Owner; 2] {
        [&self.key, &self.organization]
    }

    async fn send(&self, token: &[u8], method: Method, path: &str) -> Answer {
        let server = &self.server;
        let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).unwrap();
        let request = server
            .client
            .request(method, format!("{}{path}", server.base));
        let request = request.header("authorization", value).json(&json!({}));
        server.send(request).await
    }

    /// It is refused wherever it is sent, without a word about the repository.
    pub async fn refuses(&self, token: &str, code: &str) {
        for (method, path) in [
            (Method::GET, "/whoami"),
            (Method::GET, "/local/app"),
            (Method::DELETE, "/local/app"),
            (Method::POST, "/local/app/changes"),
            (Method::GET, "/local/nothing"),
            (Method::POST, "/local/api-keys"),
        ] {
            let answer = self.send(token.as_bytes(), method, path).await;
            assert_eq!(answer.status.as_u16(), 401, "{path}: {token}");
            let answer = answer.expect(401);
            assert_eq!(answer["error"]["code"], code, "{path}: {token}");
        }
    }

    pub async fn accepts(&self, token: &str) {
        let answer = self.send(token.as_bytes(), Method::GET, "/local/app").await;
        answer.expect(200);
    }
}
