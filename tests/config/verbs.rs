//! `mesa config show`, `init` and `schema`, and what `mesa mount` says of settings.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::process::run;
use crate::support::world::World;

#[test]
fn every_value_says_where_it_comes_from_and_credentials_stay_hidden() {
    let world = World::serve(&[]);
    let file = world.folder().join("config.toml");
    fs::write(&file, "publish = 'merge'\n\n[cache]\nmax-size = '10GiB'\n").unwrap();
    let path = file.to_str().unwrap();
    let mesa = |arguments: &[&str]| {
        let mut command = world.mesa(arguments);
        command.env("MESA_ORGS", "beta:an-orgs-secret");
        run(&mut command).success().text()
    };
    let json: Value = serde_json::from_str(&mesa(&[
        "-c",
        path,
        "--log-level",
        "debug",
        "config",
        "show",
        "--json",
    ]))
    .unwrap();
    assert_eq!(json["file"], path);
    let setting = |key: &str| {
        let all = json["settings"].as_array().unwrap();
        let found = all.iter().find(|one| one["key"] == key);
        found
            .unwrap_or_else(|| panic!("no {key} in {json}"))
            .clone()
    };
    let size = setting("cache.max-size");
    assert_eq!(size["value"], "10GiB");
    assert_eq!(size["origin"]["source"], "file");
    assert_eq!(size["origin"]["line"], 4);
    assert_eq!(size["effective"], true);
    let url = setting("api-url");
    assert_eq!(
        (&url["value"], &url["effective"]),
        (&world.url().into(), &true.into())
    );
    assert_eq!(url["origin"]["name"], "MESA_API_URL");
    assert_eq!(setting("daemon.log.level")["origin"]["source"], "flag");
    assert_eq!(setting("uid")["origin"]["source"], "default");
    assert_eq!(setting("MESA_API_KEY")["value"], "(masked)");

    let plain = mesa(&["-c", path, "config", "show", "--origin"]);
    assert!(
        plain.contains(&format!("publish = \"merge\"  # {path}:1")),
        "{plain}"
    );
    assert!(
        plain.contains("# MESA_ORGS = \"beta:(masked)\"  # MESA_ORGS"),
        "{plain}"
    );
    for text in [plain, json.to_string()] {
        assert!(
            !text.contains(&world.token) && !text.contains("an-orgs-secret"),
            "{text}"
        );
    }
}

#[test]
fn a_file_to_begin_with_is_written_once_and_can_be_read() {
    let world = World::serve(&[]);
    let printed = run(&mut world.mesa(&["config", "init"])).success().text();
    assert!(printed.contains("#mount-point = "), "{printed}");
    let file = world.folder().join("home/.config/mesa/config.toml");
    let path = file.to_str().unwrap();
    let init = ["config", "init", "--output", path];
    run(&mut world.mesa(&init)).success();
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), printed);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // It is found without being named, and what is uncommented in it counts.
    fs::write(
        &file,
        printed.replace("#publish = \"never\"", "publish = \"merge\""),
    )
    .unwrap();
    let mut show = world.command(env!("CARGO_BIN_EXE_mesa"));
    let shown = run(show.args(["config", "show", "--origin"]))
        .success()
        .text();
    assert!(
        shown.contains(&format!("publish = \"merge\"  # {path}:")),
        "{shown}"
    );

    let refused = run(&mut world.mesa(&init)).expect(1);
    assert!(refused.errors().contains("hint: --force"), "{refused}");
    assert!(fs::read_to_string(&file).unwrap().contains("\npublish"));
    run(&mut world.mesa(&[&init[..], &["--force"]].concat())).success();
    assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), printed);
    let folder = fs::read_dir(file.parent().unwrap()).unwrap();
    assert_eq!(folder.count(), 1, "something is left behind");

    let schema = run(&mut world.mesa(&["config", "schema"])).success().text();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["cache"]["additionalProperties"], false);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let world = World::serve(&[]);
    let file = world.folder().join("config.toml");
    fs::write(&file, "mount-piont = '/x'\n[cache]\nmax-size = 'much'\n").unwrap();
    let mut mount = world.mesa(&["-c", file.to_str().unwrap(), "mount", "-d"]);
    mount.env("MESA_COMMIT_INTERVAL", "a while");
    let refused = run(&mut mount).expect(1);
    for said in [
        "config.toml, line 1: no such setting; did you mean mount-point?",
        "config.toml, line 3: want a size such as 320MB or 10GiB",
        "MESA_COMMIT_INTERVAL: want a duration such as 250ms",
    ] {
        assert!(refused.errors().contains(said), "{said} in {refused}");
    }
}

#[test]
fn a_misspelt_variable_is_said_when_mounting_and_never_else() {
    let mut world = World::serve(&[]);
    world.set("MESA_MOUNTPOINT", "/elsewhere");
    let mounted = run(&mut world.mesa(&["mount", "--daemonize"])).success();
    world.adopt();
    let said = mounted.errors();
    assert!(
        said.contains("variable MESA_MOUNTPOINT; did you mean MESA_MOUNT_POINT?"),
        "{mounted}"
    );
    let status = run(&mut world.mesa(&["status"])).success();
    assert_eq!(status.errors(), "");
    world.unmount("10s");
    // The defaults are not worth a word.
    let mut plain = World::serve(&[]);
    let mounted = run(&mut plain.mesa(&["mount", "--daemonize"])).success();
    plain.adopt();
    assert!(!mounted.errors().contains("warning"), "{mounted}");
    plain.unmount("10s");
}
