//! All stores together: real files, a real program, and no server.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const APP: Scope<'static> = Scope::Repository {
    organization: "acme",
    repository: "app",
};

fn credential(text: &str) -> Credential {
    Credential::try_from(text.to_owned()).unwrap()
}

fn token(expires: u64) -> String {
    let claims = format!("{{\"exp\":{expires}}}");
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn plaintext(folder: &Path) -> Sources {
    Sources {
        backend: Backend::Plaintext,
        folder: Some(folder.to_owned()),
        ..Sources::default()
    }
}

#[track_caller]
fn found(secrets: &Secrets, scope: Scope<'_>) -> (String, Store) {
    let found = secrets.find(scope).unwrap();
    (found.credential.expose().to_owned(), found.origin.store)
}

#[test]
fn nothing_names_the_organization_and_what_is_in_the_way() {
    let missing = Secrets::default().find(APP).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no credential for the organization acme"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secrets.vault.age"), "x").unwrap();
    let secrets = Secrets::new(Sources {
        folder: Some(folder.path().to_owned()),
        ..Sources::default()
    });
    assert!(secrets.is_locked());
    let missing = secrets.find(APP).unwrap_err();
    assert!(missing.to_string().contains("is locked"), "{missing}");
    assert!(missing.hint.unwrap().contains("MESA_VAULT_PASSPHRASE"));
    secrets.unlock(Passphrase::new("any".into()));
    assert!(!secrets.is_locked());
    let missing = secrets.find(APP).unwrap_err();
    assert!(missing.to_string().contains("is damaged"), "{missing}");
}

#[test]
fn a_dead_token_in_the_environment_does_not_shadow_a_newer_key() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Secrets::new(Sources {
        environment: vec![(Place::Global, "MESA_API_KEY", credential("dead"))],
        ..plaintext(folder.path())
    });
    let dead = daemon.find(APP).unwrap();
    daemon.refused(&dead, APP, Refusal::Revoked);
    let still = daemon.find(APP).unwrap();
    assert_eq!(
        (still.rank, still.refusal),
        (Rank::Refused, Some(Refusal::Revoked))
    );
    assert_eq!(daemon.admit(&still), Err(Refusal::Revoked));

    // Another process stores one; this one finds it when it looks.
    let generation = daemon.generation();
    let command_line = Secrets::new(plaintext(folder.path()));
    command_line
        .store(&Place::Global, &credential("new"))
        .unwrap();
    daemon.look();
    assert_eq!(found(&daemon, APP), ("new".into(), Store::Plaintext));
    assert!(daemon.generation() > generation);
    assert!(daemon.changes().try_recv().is_ok());
    assert_eq!(daemon.admit(&daemon.find(APP).unwrap()), Ok(()));
    // And looking again finds nothing new.
    let generation = daemon.generation();
    daemon.look();
    assert_eq!(daemon.generation(), generation);
    assert!(daemon.changes().try_recv().is_err());

    assert!(command_line.remove(&Place::Global).unwrap());
    assert!(!command_line.remove(&Place::Global).unwrap());
    daemon.look();
    assert_eq!(found(&daemon, APP).0, "dead");
}

#[test]
fn a_live_token_gives_way_to_what_is_stored_later() {
    let folder = tempfile::tempdir().unwrap();
    let stored = Secrets::new(plaintext(folder.path()));
    stored
        .store(&Place::Global, &credential("stored-first"))
        .unwrap();
    let daemon = Secrets::new(Sources {
        environment: vec![(Place::Global, "MESA_API_KEY", credential("live"))],
        ..plaintext(folder.path())
    });
    assert_eq!(
        found(&daemon, APP).0,
        "live",
        "the order of stores, at the start"
    );
    stored
        .store(&Place::Global, &credential("stored-later"))
        .unwrap();
    daemon.look();
    assert_eq!(
        found(&daemon, APP).0,
        "stored-later",
        "the newest, from then on"
    );
}

#[test]
fn what_is_given_to_a_process_is_used_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Secrets::new(plaintext(folder.path()));
    let acme = Place::Organization("acme".into());
    let given = |text: &str| daemon.adopt(acme.clone(), credential(text), "mesa auth set-key");
    assert_eq!(given("one"), Adopted::InMemory);
    assert_eq!(given("one"), Adopted::Known);
    assert_eq!(found(&daemon, APP), ("one".into(), Store::Handed));
    assert!(daemon.find(Scope::Global).is_err());
    // What is in the store needs no second place.
    let command_line = Secrets::new(plaintext(folder.path()));
    command_line.store(&acme, &credential("two")).unwrap();
    assert_eq!(given("two"), Adopted::Stored);
    assert_eq!(found(&daemon, APP), ("two".into(), Store::Plaintext));
    daemon.forget(&acme);
    command_line.remove(&acme).unwrap();
    daemon.look();
    assert!(daemon.find(APP).is_err());
}

#[test]
fn a_rewritten_key_file_is_noticed_and_a_broken_one_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let secrets = Secrets::new(Sources {
        key_file: Some(path.clone()),
        ..Sources::default()
    });
    assert!(secrets.find(APP).is_err());
    for text in ["one", "two", "six"] {
        // In place, of the same length, within one tick of the clock.
        fs::write(&path, text).unwrap();
        secrets.look();
        assert_eq!(found(&secrets, APP), (text.into(), Store::KeyFile));
    }
    fs::write(&path, "").unwrap();
    secrets.look();
    assert_eq!(found(&secrets, APP).0, "six");
    assert!(secrets.troubles()[0].contains("holds no credential"));
    fs::remove_file(&path).unwrap();
    secrets.look();
    assert!(secrets.find(APP).is_err());
    assert!(secrets.troubles().is_empty());
}

#[test]
fn expiry_orders_by_the_servers_clock_and_forbids_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stored = Secrets::new(plaintext(folder.path()));
    let hour = Duration::from_secs(3_600);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let short = token(now + 60);
    stored.store(&Place::Global, &credential("key")).unwrap();
    let secrets = Secrets::new(Sources {
        environment: vec![(Place::Global, "MESA_API_KEY", credential(&short))],
        ..plaintext(folder.path())
    });
    assert_eq!(found(&secrets, APP).0, short);
    secrets.clock().heard(SystemTime::now() + hour);
    assert_eq!(found(&secrets, APP).0, "key", "over, for the server");
    secrets.clock().heard(SystemTime::now() - hour);
    assert_eq!(found(&secrets, APP).0, short, "our clock is an hour ahead");

    let alone = Secrets::of(credential(&token(1)));
    let over = alone.find(APP).unwrap();
    assert_eq!(over.rank, Rank::Over);
    assert_eq!(alone.admit(&over), Ok(()), "the server decides");
}

#[test]
fn a_server_that_takes_it_again_wakes_who_waits() {
    let secrets = Secrets::of(credential("key"));
    let one = secrets.find(APP).unwrap();
    secrets.accepted(&one);
    assert_eq!(secrets.generation(), 0);
    secrets.refused(&one, APP, Refusal::Unknown);
    assert_eq!(secrets.generation(), 0);
    secrets.accepted(&one);
    assert_eq!(secrets.generation(), 1);
    assert!(secrets.changes().try_recv().is_ok());
    assert_eq!(secrets.find(APP).unwrap().rank, Rank::Good);
    secrets.forbidden(&one, APP);
    assert_eq!(secrets.find(APP).unwrap().rank, Rank::Forbidden);
    assert_eq!(secrets.find(Scope::Global).unwrap().rank, Rank::Good);
    assert_eq!(secrets.generation(), 1);
}

#[test]
fn who_waits_is_told_when_another_one_takes_over() {
    let secrets = Secrets::new(Sources {
        environment: vec![
            (Place::Global, "MESA_API_KEY", credential("narrow")),
            (Place::Global, "MESA_API_KEY", credential("wide")),
        ],
        ..Sources::default()
    });
    let one = secrets.find(APP).unwrap();
    secrets.forbidden(&one, APP);
    assert_eq!(secrets.generation(), 1);
    secrets.forbidden(&one, APP);
    assert_eq!(secrets.generation(), 1, "told once");
    let other = secrets.find(APP).unwrap();
    assert_ne!(other.credential, one.credential);
    secrets.refused(&other, APP, Refusal::Revoked);
    assert_eq!(secrets.generation(), 1, "nothing is left to take over");
}

#[test]
fn a_vault_is_opened_by_its_passphrase_and_noticed_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let open = |text: &str| {
        let secrets = Secrets::new(Sources {
            folder: Some(folder.path().to_owned()),
            ..Sources::default()
        });
        secrets.unlock(Passphrase::new(text.to_owned()));
        secrets
    };
    let writer = open("right");
    writer.store(&Place::Global, &credential("one")).unwrap();
    let reader = open("right");
    assert_eq!(found(&reader, APP), ("one".into(), Store::Vault));
    writer
        .store(&Place::Organization("acme".into()), &credential("two"))
        .unwrap();
    reader.look();
    assert_eq!(found(&reader, APP).0, "two");
    assert_eq!(reader.entries().len(), 2);
    // A vault that no longer opens takes nothing away from who has read it.
    let path = folder.path().join(Backend::Vault.file_name());
    fs::write(&path, "damaged").unwrap();
    reader.look();
    assert_eq!(found(&reader, APP).0, "two");
    assert!(reader.troubles()[0].contains("is damaged"));
    assert!(open("wrong").find(APP).is_err());
}
