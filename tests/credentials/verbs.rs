//! `mesa auth`, with and without a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::case::{Case, Renewal};
use crate::support::process::{Finished, run, run_with_input};
use crate::support::world::{ORG, World};

fn json(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| panic!("no JSON: {finished}"))
}

fn unmounted() -> World {
    let case = Case::mount(Renewal::SetKey, "1h");
    let mut world = case.world;
    world.unmount("10s").success();
    world
}

#[test]
fn what_is_stored_is_listed_used_and_removed() {
    let mut world = unmounted();
    let token = std::mem::take(&mut world.token);
    let none = run(&mut world.mesa(&["auth", "status"])).expect(5);
    assert!(
        none.errors()
            .contains(&format!("no credential for the organization {ORG}")),
        "{none}"
    );
    assert!(none.errors().contains("hint: "), "{none}");
    let stored = run_with_input(
        &mut world.mesa(&["auth", "set-key", "--repo", "local/app"]),
        &token,
    );
    assert!(
        stored
            .success()
            .errors()
            .contains("stored the token for local/app")
    );
    let stored = run_with_input(&mut world.mesa(&["auth", "set-key", "--org", ORG]), &token);
    stored.success();
    let file = world.data().join("secrets.plaintext.toml");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let listed = run(&mut world.mesa(&["auth", "list", "--json"])).success();
    let credentials = json(&listed)["credentials"].clone();
    assert_eq!(credentials.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(credentials[0]["org"], ORG);
    assert_eq!(
        (&credentials[0]["store"], &credentials[0]["kind"]),
        (&"plaintext".into(), &"token".into())
    );
    assert!(credentials[0]["expires_at"].is_string());
    assert!(!listed.text().contains(&token));
    let shown = run(&mut world.mesa(&["auth", "list"])).success();
    assert!(
        shown
            .text()
            .contains("local/app: token from the plaintext file"),
        "{shown}"
    );

    let status = run(&mut world.mesa(&["auth", "status", "--json"])).success();
    let said = json(&status);
    assert_eq!(said["whoami"]["org"], ORG);
    assert_eq!(
        said["whoami"]["scopes"],
        serde_json::json!(["read", "write"])
    );
    assert_eq!(said["credential"]["store"], "plaintext");
    assert!(said["credential"]["seconds_left"].as_u64().unwrap() > 3_000);
    assert!(said["daemon"].is_null());

    // What was stored mounts, without a variable.
    world.mount();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("app");
    run(&mut world.mesa(&["auth", "remove", "--org", ORG])).success();
    let again = run(&mut world.mesa(&["auth", "remove", "--org", ORG])).expect(1);
    assert!(
        again.errors().contains("no credential is stored for local"),
        "{again}"
    );
    let status = run(&mut world.mesa(&["auth", "list"])).success();
    assert_eq!(status.text().lines().count(), 1, "{status}");
}

#[test]
fn a_key_as_an_argument_works_and_is_warned_of() {
    let mut world = unmounted();
    let token = std::mem::take(&mut world.token);
    let stored = run(&mut world.mesa(&["auth", "set-key", "--org", ORG, &token])).success();
    assert!(stored.errors().contains("warning: "), "{stored}");
    assert!(!stored.errors().contains(&token));
    run(&mut world.mesa(&["auth", "status"])).success();
    for text in ["", "two words"] {
        let refused = run_with_input(&mut world.mesa(&["auth", "set-key"]), text).expect(5);
        assert!(
            refused.errors().contains("that is no credential"),
            "{refused}"
        );
        assert!(!refused.errors().contains("two words"), "{refused}");
    }
    let wrong = run_with_input(
        &mut world.mesa(&["auth", "set-key", "--repo", "app"]),
        &token,
    );
    assert!(wrong.expect(1).errors().contains("needs the organization"));
}

#[test]
fn a_vault_needs_its_passphrase_and_a_daemon_without_it_keeps_the_key_in_memory() {
    let mut world = unmounted();
    world.set("MESA_SECRETS_BACKEND", "encrypted-file");
    let token = world.token.clone();
    let set_key = |passphrase: Option<&str>| {
        let mut command = world.mesa(&["auth", "set-key", "--org", ORG]);
        if let Some(passphrase) = passphrase {
            command.env("MESA_VAULT_PASSPHRASE", passphrase);
        }
        run_with_input(&mut command, &token)
    };
    let locked = set_key(None).expect(5);
    assert!(locked.errors().contains("is locked"), "{locked}");
    assert!(
        locked.errors().contains("MESA_VAULT_PASSPHRASE"),
        "{locked}"
    );
    set_key(Some("right")).success();
    let vault = world.data().join("secrets.vault.age");
    let sealed = fs::read(&vault).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    assert!(!String::from_utf8_lossy(&sealed).contains(&token));
    let wrong = set_key(Some("wrong")).expect(5);
    assert!(
        wrong
            .errors()
            .contains("the passphrase does not open the vault"),
        "{wrong}"
    );
    assert_eq!(fs::read(&vault).unwrap(), sealed, "left as it was");

    // A daemon with no passphrase, and a token of its environment.
    world.mount();
    let given = run_with_input(
        world
            .mesa(&["auth", "set-key", "--org", ORG])
            .env("MESA_VAULT_PASSPHRASE", "right"),
        &world.mint("2h", &["app"]),
    )
    .success();
    assert!(given.errors().contains("in memory alone"), "{given}");
    assert_eq!(world.status()["credential"]["store"], "handed-over");
    let memory = run_with_input(
        &mut world.mesa(&["auth", "set-key", "--memory"]),
        &world.mint("3h", &["app"]),
    );
    memory.success();
    world.unmount("10s").success();

    // One with it, and nothing else.
    world.token = String::new();
    world.set("MESA_VAULT_PASSPHRASE", "right");
    world.mount();
    assert_eq!(world.status()["credential"]["store"], "vault");
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("app");
}

#[test]
fn credentials_of_organizations_come_from_one_variable() {
    let mut world = unmounted();
    let token = std::mem::take(&mut world.token);
    world.set("MESA_ORGS", &format!("{ORG}:{token},other:nonsense"));
    world.mount();
    let credential = world.status()["credential"].clone();
    assert_eq!(credential["origin"], "MESA_ORGS in the environment");
    assert_eq!(credential["scope"], ORG);
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    world.flush_and_compare("app");
    assert!(
        !world.data().join("secrets.plaintext.toml").exists(),
        "written to no store"
    );
}
