//! Revoked, forbidden and unknown: told apart, and by readers not asked about again and again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::DEADLINE;
use crate::case::{Case, Reader, Renewal};
use crate::support::process::{run, run_with_input};
use crate::support::stopwatch::wait_until;
use crate::support::world::{ORG, World};

/// Revokes the server's only key, or takes that back; the server must be down.
fn set_revoked(world: &World, revoked: Value) {
    let file = world.folder().join("server/keys.json");
    let mut table: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    table["keys"][0]["revoked_at"] = revoked;
    fs::write(&file, table.to_string()).unwrap();
}

fn errno(path: &Path) -> Option<i32> {
    fs::read(path).unwrap_err().raw_os_error()
}

#[test]
fn a_revoked_key_ends_its_tokens_and_nothing_that_is_here() {
    let mut case = Case::mount(Renewal::Remount, "1h");
    let app = case.world.repo("app");
    let reader = Reader::start(&case);
    fs::read_dir(app.join("docs")).unwrap().count();
    case.world.stop_server();
    set_revoked(&case.world, json!(1));
    case.world.start_server();
    wait_until("refused", DEADLINE, || {
        errno(&app.join("docs/one.md")) == Some(libc::EKEYREVOKED)
    });
    let credential = case.world.status()["credential"].clone();
    assert_eq!(
        (&credential["state"], &credential["trouble"]),
        (&json!("refused"), &json!("revoked"))
    );
    fs::write(app.join("edit"), "after the revocation\n").unwrap();
    let flush = run(&mut case.world.mesa(&["journal", "flush", "--timeout", "5s"])).expect(5);
    assert!(flush.errors().contains("revoked"), "{flush}");
    let status = run(&mut case.world.mesa(&["auth", "status"])).expect(5);
    assert!(status.text().contains("revoked"), "{status}");
    // The key is restored: the same credential is good again, and is found to be.
    case.world.stop_server();
    set_revoked(&case.world, Value::Null);
    case.world.start_server();
    wait_until("readable again", DEADLINE, || {
        fs::read(app.join("docs/one.md")).is_ok()
    });
    case.drains_by_itself();
    assert_eq!(case.changes(), 1);
    reader.finish();
}

#[test]
fn a_token_that_may_not_write_says_so_and_gives_way_to_one_that_may() {
    let mut case = Case::mount(Renewal::SetKey, "1h");
    let app = case.world.repo("app");
    case.world.unmount("10s").success();
    let good = case.world.token.clone();
    let key = fs::read_to_string(case.world.folder().join("server/admin.key")).unwrap();
    let mut mint = case
        .world
        .mesa(&["token", "create", "--scope", "read", "--repo", "local/app"]);
    case.world.token = run(mint.env("MESA_API_KEY", key.trim())).success().text();
    case.world.mount();
    let reader = Reader::start(&case);
    fs::write(app.join("edit"), "not allowed\n").unwrap();
    wait_until("it is told", DEADLINE, || {
        case.world.status()["credential"]["trouble"] == "forbidden"
    });
    assert_eq!(
        fs::read(app.join("docs/one.md")).unwrap(),
        b"one\n",
        "it may read"
    );
    let mut set_key = case.world.mesa(&["auth", "set-key"]);
    run_with_input(&mut set_key, &good).success();
    case.drains_by_itself();
    reader.finish();
}

#[test]
fn an_unknown_token_is_neither_expired_nor_revoked() {
    let mut case = Case::mount(Renewal::File, "1h");
    let app = case.world.repo("app");
    let reader = Reader::start(&case);
    fs::read_dir(app.join("docs")).unwrap().count();
    case.give("made-up");
    wait_until("it is noticed", DEADLINE, || {
        case.world.status()["credential"]["kind"] == "key"
    });
    assert_eq!(errno(&app.join("docs/one.md")), Some(libc::EKEYREJECTED));
    assert_eq!(case.world.status()["credential"]["trouble"], "unknown");
    assert_eq!(errno(&app.join("docs/two.md")), Some(libc::EKEYREJECTED));
    case.renew("1h");
    wait_until("readable", DEADLINE, || {
        fs::read(app.join("docs/two.md")).is_ok()
    });
    reader.finish();
}

#[test]
fn readers_do_not_hammer_a_server_that_has_said_no() {
    let mut case = Case::mount(Renewal::Remount, "1h");
    case.world.unmount("10s").success();
    case.world.count_requests();
    case.world.token = case.world.mint("4s", &["app"]);
    case.world.mount();
    let app = case.world.repo("app");
    let reader = Reader::start(&case);
    fs::read_dir(app.join("docs")).unwrap().count();
    case.wait_for_the_end();
    case.world.proxy().take();
    for _ in 0..300 {
        assert_eq!(errno(&app.join("docs/one.md")), Some(libc::EKEYEXPIRED));
        assert_eq!(errno(&app.join("docs/two.md")), Some(libc::EKEYEXPIRED));
    }
    let asked = case.world.proxy().take();
    assert!(
        asked.len() <= 12,
        "{} requests for 600 reads: {asked:?}",
        asked.len()
    );
    case.renew("1h");
    wait_until("readable", DEADLINE, || {
        fs::read(app.join("docs/one.md")).is_ok()
    });
    reader.finish();
}

#[test]
fn a_dead_token_in_the_environment_does_not_shadow_what_is_stored() {
    // The daemon has an expired token in its environment, and the store is only edited by hand.
    let case = Case::mount(Renewal::SetKey, "5s");
    let app = case.world.repo("app");
    case.world.local_tree("app");
    case.wait_for_the_end();
    fs::write(app.join("edit"), "waits\n").unwrap();
    let token = case.world.mint("1h", &["app"]);
    let file = case.world.data().join("secrets.plaintext.toml");
    let text = format!("version = 1\n[organizations.{ORG}.repos]\napp = \"{token}\"\n");
    // Not for others to read, or it is refused.
    fs::write(&file, &text).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(&file, mode(0o644)).unwrap();
    wait_until("it is told why not", DEADLINE, || {
        let troubles = case.world.status()["credential"]["store_troubles"].to_string();
        troubles.contains("can be read by others")
    });
    fs::set_permissions(&file, mode(0o600)).unwrap();
    wait_until("drained by itself", DEADLINE, || {
        case.world.pending("app") == 0
    });
    case.world.flush_and_compare("app");
}
