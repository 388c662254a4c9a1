//! Precedence, defaults, and problems of every source.

use std::fs;

use super::*;
use crate::secrets::Scope;

mod every_key;
mod shown;

fn load_with(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(Key, &str)],
) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
    }
    let environment = |name: &str| match name {
        "MESA_NO_CONFIG_FILE" => Some("1".into()),
        _ => variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| OsString::from(value)),
    };
    let overrides = Overrides {
        config_path: file.map(|_| path),
        values: flags
            .iter()
            .map(|(key, value)| (*key, OsString::from(value)))
            .collect(),
    };
    let names: Vec<String> = variables
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let surroundings = Surroundings {
        environment: &environment,
        variables: &names,
        home: Some(Path::new("/home/me")),
        current_folder: Path::new("/work"),
        uid: 1000,
        gid: 100,
    };
    load(&overrides, &surroundings)
}

fn problems(result: Result<Config, Error>) -> Vec<(String, Reason)> {
    let Err(Error::Problems(problems)) = result else {
        panic!("expected problems, got {result:?}")
    };
    problems
        .0
        .into_iter()
        .map(|problem| match problem.origin {
            Origin::File { key, .. } => (key, problem.reason),
            Origin::Variable(name) | Origin::Flag(name) => (name.to_owned(), problem.reason),
            Origin::Default => panic!("{:?} of a default", problem.reason),
        })
        .collect()
}

#[test]
fn nothing_given_means_the_documented_defaults() {
    let config = load_with(None, &[], &[]).unwrap();
    assert_eq!(config.api_url.as_str(), "https://api.mesa.dev/v1");
    assert_eq!(config.data_folder, Path::new("/home/me/.local/share/mesa"));
    assert_eq!(config.mount_point, config.data_folder.join("mnt"));
    assert_eq!(config.cache.folder, config.data_folder.join("cache"));
    assert_eq!(config.runtime_folder, config.data_folder.join("run"));
    assert_eq!((config.uid, config.gid), (1000, 100));
    assert_eq!(config.commit_interval, Duration::from_secs(1));
    assert!(config.organizations.is_empty());
    assert_eq!(config.pid_file, config.runtime_folder.join("mesa.pid"));
    assert_eq!(config.allow_other, AllowOther::Owner);
    assert_eq!(config.cache.bytes_max, None);
    assert_eq!(config.cache.memory_bytes_max, 320_000_000);
    let prefetch = Prefetch {
        enabled: true,
        metered: false,
        objects_max: 4_096,
        bytes_max: 32 << 20,
        depth_max: None,
        concurrency_max: 8,
        cache_pressure_limit: 0.8,
        profile: true,
    };
    assert!(config.cache.enabled);
    assert_eq!(config.prefetch, prefetch);
    assert_eq!(config.log, Log::default());
    assert_eq!((config.telemetry, config.mesaignore), (None, None));
    assert_eq!(config.credentials.backend, Backend::EncryptedFile);
    assert!(config.secrets.find(Scope::Global).is_err());
    assert!(config.origins.is_empty());
    assert_eq!(config.notes, Notes::default());
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let file = r#"
        api-url = "http://file/v1"
        mount-point = "~/file"
        uid = 7
        daemon.log.level = "debug"
    "#;
    let variables = [
        ("MESA_API_URL", "http://variable:1/v1/"),
        ("MESA_MOUNT_POINT", "variable"),
        ("XDG_RUNTIME_DIR", "/run/user/1000"),
        ("MESA_GID", ""),
    ];
    let config = load_with(Some(file), &variables, &[(Key::ApiUrl, "https://flag//")]).unwrap();
    assert_eq!(config.api_url.as_str(), "https://flag");
    assert_eq!(config.mount_point, Path::new("/work/variable"));
    assert_eq!(config.runtime_folder, Path::new("/run/user/1000/mesa"));
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!((config.uid, config.gid), (7, 100));
    let config = load_with(Some(file), &[], &[]).unwrap();
    assert_eq!(config.mount_point, Path::new("/home/me/file"));
}

#[test]
fn organizations_and_their_repositories() {
    let file = r#"
        [organizations.acme]
        mount = "all"
        repos.app.rev = { bookmark = "dev" }
        [organizations.beta.repos.lib]
        [organizations.beta.repos.old]
        rev = { change-id = "zyxwvutsrqponmlkzyxwvutsrqponmlk" }
    "#;
    let config = load_with(Some(file), &[], &[]).unwrap();
    let acme = &config.organizations["acme"];
    assert_eq!(acme.mount, MountMode::All);
    let app = &acme.repositories["app"];
    assert_eq!(app.revision, Revision::Bookmark("dev".into()));
    let beta = &config.organizations["beta"];
    assert_eq!(beta.mount, MountMode::Explicit);
    assert_eq!(beta.repositories["lib"], RepositorySettings::default());
    let old = &beta.repositories["old"].revision;
    assert!(matches!(old, Revision::Change(_)));
    let config = load_with(Some(file), &[("MESA_ORG", "beta")], &[]).unwrap();
    assert_eq!(config.organizations.len(), 1);
    assert_eq!(config.organizations["beta"].repositories.len(), 2);
}

#[test]
fn publishing_is_told_by_repository_and_a_variable_is_meant_for_all() {
    let file = r#"
        [organizations.acme]
        mount = "all"
        repos.app.publish = "merge"
        repos.lib.rev = { bookmark = "dev" }
    "#;
    let modes = |variables: &[(&str, &str)], flags: &[(Key, &str)]| {
        let config = load_with(Some(file), variables, flags).unwrap();
        ["app", "lib", "other"].map(|name| config.publish("acme", name))
    };
    let (never, forward, merge) = (Publish::Never, Publish::FastForward, Publish::Merge);
    assert_eq!(modes(&[], &[]), [merge, never, never]);
    let variable = [("MESA_PUBLISH", "fast-forward")];
    assert_eq!(modes(&variable, &[]), [forward; 3]);
    assert_eq!(modes(&variable, &[(Key::Publish, "never")]), [never; 3]);
}

#[test]
fn every_problem_of_every_source_is_listed() {
    let file = r#"
        colour = true
        uid = "root"
        data-dir = "relative"
        cache-path = "/a"
        cache.max-size = "1MB"
        cache.size = 3
        prefetch = true
        prefetch-max-depth = 3
        daemon.log = "x"
        secrets.command = "a program"
        [organizations.Acme]
        [organizations.acme]
        mount = "some"
        repos.app.rev = { tag = "x" }
        repos.app.mode = "rw"
        repos.app.publish = true
    "#;
    let variables = [
        ("MESA_LOG_LEVEL", "loud"),
        ("MESA_API_KEY", "two words"),
        ("MESA_ORGS", "acme:a,token,acme:b"),
        ("MESA_REPO_REVS", "app"),
    ];
    let flags = [(Key::ApiUrl, "ftp://x"), (Key::CommitInterval, "2 days")];
    let mut found = problems(load_with(Some(file), &variables, &flags));
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "MESA_API_KEY",
            "MESA_LOG_LEVEL",
            "MESA_ORGS",
            "MESA_ORGS",
            "MESA_REPO_REVS",
            "api-url",
            "cache-path",
            "cache.max-size",
            "cache.size",
            "colour",
            "commit-interval",
            "daemon.log",
            "data-dir",
            "organizations.Acme",
            "organizations.acme.mount",
            "organizations.acme.repos.app.mode",
            "organizations.acme.repos.app.publish",
            "organizations.acme.repos.app.rev",
            "prefetch",
            "prefetch-max-depth",
            "secrets.command",
            "uid",
        ]
    );
    assert!(found.contains(&("colour".into(), Reason::Unknown(None))));
    let meant = Reason::Unknown(Some("cache.path"));
    assert!(found.contains(&("cache-path".into(), meant)));
    let number = Reason::Want(Key::Uid.setting().kind);
    assert!(found.contains(&("uid".into(), number)));
    assert!(found.contains(&("MESA_ORGS".into(), Reason::OrganizationToken(2))));
    assert!(found.contains(&("MESA_ORGS".into(), Reason::Twice(3))));
}

#[test]
fn problems_name_their_line_and_never_a_credential() {
    let file = "# settings\n\n[cache]\npath = 3\n";
    let result = load_with(Some(file), &[("MESA_ORGS", "acme:t0p,s3cret")], &[]);
    let said = result.unwrap_err().to_string();
    assert!(said.contains("config.toml, line 4: want a path"), "{said}");
    assert!(
        said.contains("MESA_ORGS: entry 2: want ORG:TOKEN"),
        "{said}"
    );
    assert!(!said.contains("s3cret") && !said.contains("t0p"), "{said}");
}

#[test]
fn addresses_that_could_send_a_credential_astray_are_refused() {
    for (text, reason) in [
        ("api.mesa.dev", Reason::Scheme),
        ("file:///etc", Reason::Scheme),
        ("https://", Reason::Scheme),
        ("https:///v1", Reason::Address),
        ("https://:80/v1", Reason::Address),
        ("https://me:secret@host/v1", Reason::Address),
        ("https://host/v1?x=1", Reason::Address),
        ("https://ho st", Reason::Address),
    ] {
        assert_eq!(ApiUrl::try_from(text), Err(reason), "{text}");
    }
}

#[test]
fn the_credential_is_found_and_never_shown() {
    let variables = [
        ("MESA_ACCESS_TOKEN", "alias"),
        ("MESA_API_KEY", "very-secret"),
    ];
    let config = load_with(None, &variables, &[]).unwrap();
    assert_eq!(
        config
            .secrets
            .find(Scope::Global)
            .unwrap()
            .credential
            .expose(),
        "very-secret"
    );
    assert!(!format!("{config:#?}").contains("very-secret"));
    let bad = load_with(None, &[("MESA_API_KEY", "very secret")], &[]);
    assert!(!format!("{bad:?}").contains("very"));
}

#[test]
fn a_file_that_was_asked_for_must_exist_and_be_toml() {
    let overrides = Overrides {
        config_path: Some("missing.toml".into()),
        ..Overrides::default()
    };
    let surroundings = Surroundings {
        environment: &|_| None,
        variables: &[],
        home: None,
        current_folder: Path::new("/nonexistent"),
        uid: 0,
        gid: 0,
    };
    let missing = load(&overrides, &surroundings);
    assert!(matches!(missing, Err(Error::Unreadable { .. })));
    let syntax = load_with(Some("a = = b"), &[], &[]);
    assert!(matches!(syntax, Err(Error::Syntax { .. })));
}
