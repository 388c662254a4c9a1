//! Who a credential is, and what the table keeps.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::remote::api::token::{Lifetime, Request};

const NOW: u64 = 1_750_000_000;

/// A table in a folder of its own, with the key that it begins with.
struct Fixture {
    folder: TempDir,
    table: KeyTable,
    key: String,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let table = KeyTable::open(folder.path(), "acme", NOW).unwrap();
    let key = fs::read_to_string(folder.path().join("admin.key")).unwrap();
    Fixture {
        key: key.trim().to_owned(),
        folder,
        table,
    }
}

fn request<'a>(scopes: &'a [&'a str], repos: Option<&'a [String]>) -> Request<'a> {
    Request {
        scopes,
        repos,
        authors: &[],
        issued_at: NOW,
        lifetime: Lifetime::default(),
        token_id: uuid::Uuid::nil(),
    }
}

impl Fixture {
    fn row(&self) -> Row {
        self.table.keys()[0].row.clone()
    }

    fn token(&self, scopes: &[&str], repos: Option<&[String]>) -> String {
        SigningSecret::of_api_key(&self.key).sign(&self.row().id, &request(scopes, repos))
    }

    fn who(&self, credential: &str) -> Result<Principal, Refusal> {
        self.table.authenticate(credential, NOW)
    }

    fn reopened(&self) -> KeyTable {
        KeyTable::open(self.folder.path(), "acme", NOW).unwrap()
    }
}

#[test]
fn a_token_gets_the_narrower_of_its_own_and_its_keys_scopes() {
    let fixture = fixture();
    let wide = fixture.token(&["admin", "superpower"], None);
    let all = ["read", "write", "admin"];
    assert_eq!(fixture.who(&wide).unwrap().scopes(), all);
    let narrow = Row {
        scopes: [Scope::Write].into(),
        ..fixture.row()
    };
    fixture.table.replace(narrow).unwrap();
    assert_eq!(fixture.who(&wide).unwrap().scopes(), ["read", "write"]);
    let none = fixture.token(&["superpower"], None);
    assert!(fixture.who(&none).unwrap().scopes().is_empty());
}

#[test]
fn restrictions_of_key_and_token_intersect() {
    let fixture = fixture();
    let names = ["acme/app".to_owned(), "acme/site".to_owned()];
    let token = fixture.token(&["read"], Some(&names));
    let restricted = Row {
        repository_ids: Some(["1".to_owned()].into()),
        ..fixture.row()
    };
    fixture.table.replace(restricted).unwrap();
    let principal = fixture.who(&token).unwrap();
    assert!(principal.sees("1", "acme/app"));
    assert!(!principal.sees("2", "acme/site"));
    assert!(!principal.sees("1", "acme/other"));
}

#[test]
fn a_dead_key_takes_its_tokens_with_it_and_says_so_to_nobody_else() {
    let fixture = fixture();
    let token = fixture.token(&["read"], None);
    let late = fixture.table.authenticate(&token, NOW + 3_600);
    assert_eq!(late.unwrap_err(), Refusal::Expired);
    let mut row = fixture.row();
    row.expires_at = Some(NOW);
    fixture.table.replace(row.clone()).unwrap();
    assert_eq!(fixture.who(&token).unwrap_err(), Refusal::Expired);
    row.revoked_at = Some(NOW);
    fixture.table.replace(row).unwrap();
    assert_eq!(fixture.who(&token).unwrap_err(), Refusal::Revoked);
    assert_eq!(fixture.who(&fixture.key).unwrap_err(), Refusal::Revoked);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(fixture.who(&forged).unwrap_err(), Refusal::Unknown);
}

#[test]
fn the_stored_hash_is_no_credential_and_is_not_shown() {
    let fixture = fixture();
    let stored = SigningSecret::of_api_key(&fixture.key).expose().to_owned();
    assert_eq!(fixture.who(&stored).unwrap_err(), Refusal::Unknown);
    let prefixed = format!("mesa_{stored}");
    assert_eq!(fixture.who(&prefixed).unwrap_err(), Refusal::Unknown);
    let shown = format!("{:?} {:#?}", fixture.table, fixture.who(&fixture.key));
    assert!(!shown.contains(&stored) && !shown.contains(&fixture.key));
}

#[test]
fn the_table_is_private_and_comes_back_as_it_was() {
    let fixture = fixture();
    let (value, row) = new_api_key(
        Template {
            scopes: [Scope::Read].into(),
            tags: [("team".to_owned(), "x".to_owned())].into(),
            expires_at: Some(NOW + 100),
            ..Template::default()
        },
        NOW,
    );
    fixture.table.add(row, NOW).unwrap();
    fixture.who(&value).unwrap();
    fixture.table.store_uses().unwrap();
    let file = fixture.folder.path().join("keys.json");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(value.as_str()));
    let reopened = fixture.reopened();
    assert_eq!(reopened.keys().len(), 2);
    let key = reopened.keys().pop().unwrap();
    assert_eq!(key.row.name, None);
    assert_eq!(key.row.tags["team"], "x");
    assert_eq!(key.last_used_at(), Some(NOW));
    assert_eq!(
        reopened.authenticate(&value, NOW).unwrap().scopes(),
        ["read"]
    );
}

#[test]
fn uses_are_stored_once_a_minute_at_most() {
    let table = fixture().table;
    assert!(table.wants_uses_stored(NOW));
    assert!(!table.wants_uses_stored(NOW + 59));
    assert!(table.wants_uses_stored(NOW + 60));
}

#[test]
fn a_table_of_version_1_opens() {
    let fixture = fixture();
    let file = fixture.folder.path().join("keys.json");
    let old = format!(
        r#"{{"version":1,"keys":[{{"id":"key_1","name":"admin","secret":"{}","scopes":["read","write","admin"],"repository_ids":null,"created_at":1,"expires_at":null,"revoked_at":null}}]}}"#,
        SigningSecret::of_api_key("mesa_old").expose()
    );
    fs::write(&file, &old).unwrap();
    let table = fixture.reopened();
    let principal = table.authenticate("mesa_old", NOW).unwrap();
    assert_eq!(principal.key_name.as_deref(), Some("admin"));
    assert!(principal.may(Scope::Admin));
    // Of an unknown version, nothing is guessed.
    fs::write(&file, old.replace("\"version\":1", "\"version\":3")).unwrap();
    let error = KeyTable::open(fixture.folder.path(), "acme", NOW).unwrap_err();
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[test]
fn whoever_owns_the_directory_is_not_locked_out() {
    let fixture = fixture();
    let revoked = Row {
        revoked_at: Some(NOW),
        ..fixture.row()
    };
    fixture.table.replace(revoked).unwrap();
    let table = fixture.reopened();
    let refused = table.authenticate(&fixture.key, NOW);
    assert_eq!(refused.unwrap_err(), Refusal::Revoked);
    let key = fs::read_to_string(fixture.folder.path().join("admin.key")).unwrap();
    assert!(
        table
            .authenticate(key.trim(), NOW)
            .unwrap()
            .may(Scope::Admin)
    );
    assert_eq!(fixture.reopened().keys().len(), 2);
}

#[test]
fn a_full_table_forgets_the_key_that_has_been_dead_for_longest() {
    let folder = tempfile::tempdir().unwrap();
    let (_, row) = new_api_key(Template::administrator(), NOW);
    let keys = (0..table::KEYS_MAX).map(|number| Row {
        id: format!("key_{number}"),
        verifier: Verifier::Secret(SigningSecret::of_api_key(&number.to_string())),
        revoked_at: [Some(3), Some(2)].get(number).copied().flatten(),
        ..row.clone()
    });
    let table = KeyTable::of(
        folder.path().join("keys.json"),
        "acme",
        keys.map(|row| std::sync::Arc::new(Key::of(row))).collect(),
    );
    for dead in ["key_1", "key_0"] {
        assert!(table.find(dead).is_some());
        table
            .add(new_api_key(Template::default(), NOW).1, NOW)
            .unwrap();
        assert!(table.find(dead).is_none());
    }
    let refused = table.add(new_api_key(Template::default(), NOW).1, NOW);
    assert!(matches!(
        refused,
        Err(crate::server::Error::TooManyKeys { .. })
    ));
}

#[test]
fn keys_of_the_organization_verify_what_their_private_halves_sign() {
    let fixture = fixture();
    let private = PrivateKey::of_seed("acme", &[1; 32]);
    let register = |private: &PrivateKey| {
        let template = Template {
            name: Some("deploy".to_owned()),
            scopes: [Scope::Write].into(),
            ..Template::default()
        };
        let row = new_organization_key(template, private.public_key(), NOW);
        fixture.table.add(row, NOW)
    };
    let token = private.sign(&request(&["admin"], None)).unwrap();
    assert_eq!(fixture.who(&token).unwrap_err(), Refusal::Unknown);
    let key = register(&private).unwrap();
    let principal = fixture.who(&token).unwrap();
    assert_eq!(principal.scopes(), ["read", "write"]);
    assert_eq!(principal.key_id, key.row.id);
    assert_eq!(principal.form, Form::Token);
    let sent = private.expose();
    assert_eq!(fixture.who(&sent).unwrap_err(), Refusal::PrivateKey);

    // The same key, signing for another organization, and the other kind in its name.
    let elsewhere = PrivateKey::of_seed("other", &[1; 32]);
    let foreign = elsewhere.sign(&request(&["read"], None)).unwrap();
    assert_eq!(fixture.who(&foreign).unwrap_err(), Refusal::Unknown);
    let public = private.public_key().to_string();
    let secret = SigningSecret::of_stored(public);
    let confused = secret.sign(&key.row.id, &request(&["read"], None));
    assert_eq!(fixture.who(&confused).unwrap_err(), Refusal::Unknown);

    // It is found again, and what was revoked does not come back.
    assert!(fixture.reopened().authenticate(&token, NOW).is_ok());
    assert!(register(&private).is_err());
    let revoked = Row {
        revoked_at: Some(NOW),
        ..key.row.clone()
    };
    fixture.table.replace(revoked).unwrap();
    assert_eq!(fixture.who(&token).unwrap_err(), Refusal::Revoked);
    assert!(register(&private).is_err());
}
