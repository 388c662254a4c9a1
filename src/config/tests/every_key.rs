//! Every setting by each of its ways, the lists in variables, and what is only told of.

use super::*;

#[test]
fn every_setting_can_be_given_by_its_variable_and_by_the_file() {
    let given = [
        (Key::ApiUrl, "http://[::1]:8/v1", "'http://[::1]:8/v1'"),
        (Key::ServiceDomain, "example.com", "'example.com'"),
        (Key::Org, "acme", "'acme'"),
        (Key::MountPoint, "/m", "'/m'"),
        (Key::DataDir, "/d", "'/d'"),
        (Key::RuntimeDir, "/r", "'/r'"),
        (Key::Uid, "7", "7"),
        (Key::Gid, "8", "8"),
        (Key::AllowOther, "yes", "true"),
        (Key::CommitInterval, "250ms", "'250ms'"),
        (Key::Publish, "merge", "'merge'"),
        (Key::Opens, "passthrough", "'passthrough'"),
        (Key::Transport, "io-uring", "'io-uring'"),
        (Key::MesaignorePath, "/i", "'/i'"),
        (Key::SecretsBackend, "plaintext-file", "'plaintext-file'"),
        (Key::SecretsCommand, "print  it", "['print', 'it']"),
        (Key::ApiKeyFile, "/k", "'/k'"),
        (Key::CacheEnabled, "off", "false"),
        (Key::CachePath, "/c", "'/c'"),
        (Key::CacheSize, "10GiB", "'10 GiB'"),
        (Key::CacheMemorySize, "1500000", "'1.5MB'"),
        (Key::PrefetchEnabled, "0", "false"),
        (Key::PrefetchMetered, "yes", "true"),
        (Key::PrefetchObjects, "100", "100"),
        (Key::PrefetchBytes, "1MiB", "'1 MiB'"),
        (Key::PrefetchDepth, "3", "3"),
        (Key::PrefetchConcurrency, "0256", "0x100"),
        (Key::PrefetchPressure, "0.5", "0.5"),
        (Key::PrefetchProfile, "no", "false"),
        (Key::PidFile, "/p", "'/p'"),
        (Key::LogLevel, "trace", "'trace'"),
        (Key::LogTarget, "/l", "'/l'"),
        (Key::LogColor, "always", "'always'"),
        (Key::CollectorUrl, "http://c:4318/", "'http://c:4318'"),
    ];
    let keys: Vec<Key> = given.iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys, Key::ALL);
    let variables: Vec<(&str, &str)> = given
        .iter()
        .map(|(key, text, _)| (key.variable(), *text))
        .collect();
    let lines = given.map(|(key, _, text)| format!("{} = {text}\n", key.place()));
    let file = load_with(Some(&lines.concat()), &[], &[]).unwrap();
    let environment = load_with(None, &variables, &[]).unwrap();
    for config in [&file, &environment] {
        assert_eq!(config.api_url.as_str(), "http://[::1]:8/v1");
        assert_eq!(config.organizations.len(), 1);
        assert_eq!((config.uid, config.gid), (7, 8));
        assert_eq!(config.allow_other, AllowOther::Everyone);
        assert_eq!(config.commit_interval, Duration::from_millis(250));
        assert_eq!(config.opens, Opens::Passthrough);
        assert_eq!(config.transport, Transport::IoUring);
        assert_eq!(config.mesaignore.as_deref(), Some(Path::new("/i")));
        let credentials = &config.credentials;
        assert_eq!(credentials.backend, Backend::PlaintextFile);
        let command = ["print".to_owned(), "it".to_owned()];
        assert_eq!(credentials.command.as_deref(), Some(&command[..]));
        assert_eq!(credentials.key_file.as_deref(), Some(Path::new("/k")));
        let cache = Cache {
            enabled: false,
            folder: "/c".into(),
            bytes_max: Some(10 << 30),
            memory_bytes_max: 1_500_000,
        };
        assert_eq!(config.cache, cache);
        assert!(!config.prefetch.enabled && config.prefetch.metered && !config.prefetch.profile);
        assert_eq!(config.prefetch.objects_max, 100);
        assert_eq!(config.prefetch.bytes_max, 1 << 20);
        assert_eq!(config.prefetch.depth_max, Some(3));
        assert_eq!(config.prefetch.concurrency_max, 256);
        assert_eq!(config.pid_file, Path::new("/p"));
        assert_eq!(config.log.target, LogTarget::File("/l".into()));
        assert_eq!(config.log.color, Color::Always);
        assert_eq!(config.telemetry.as_ref().unwrap().as_str(), "http://c:4318");
        assert_eq!(config.origins.len(), Key::ALL.len());
    }
}

#[test]
fn an_empty_value_is_none_in_the_file_as_in_the_environment() {
    let file = "org = ''\nsecrets.command = []\ntelemetry.collector-url = ''\nmount-point = ''\n";
    let empty = load_with(Some(file), &[("MESA_UID", ""), ("MESA_ORGS", "")], &[]);
    let empty = empty.unwrap();
    assert!(empty.origins.is_empty() && empty.organizations.is_empty());
}

#[test]
fn the_lists_of_the_environment_are_tables_and_credentials() {
    let id = "zyxwvutsrqponmlkzyxwvutsrqponmlk";
    let revisions = format!("acme/app=bookmark:v=2:x, acme/b=change-id:{id},");
    let variables = [
        ("MESA_REPO_REVS", revisions.as_str()),
        ("MESA_ORGS", "acme:t1, beta:a:b"),
    ];
    let file = "[organizations.acme.repos.app]\nrev.bookmark = 'main'\npublish = 'merge'\nread-only = true\n";
    let config = load_with(Some(file), &variables, &[]).unwrap();
    let acme = &config.organizations["acme"];
    assert_eq!(acme.mount, MountMode::Explicit);
    let app = &acme.repositories["app"];
    assert_eq!(app.revision, Revision::Bookmark("v=2:x".into()));
    assert_eq!(app.publish, Some(Publish::Merge));
    assert!(config.is_read_only("acme", "app") && !config.is_read_only("acme", "b"));
    assert_eq!(
        acme.repositories["b"].revision.to_string(),
        format!("change-id:{id}")
    );
    let tokens = &config.credentials.organizations;
    assert_eq!(tokens["beta"].expose(), "a:b");
    let beta = Scope::Organization {
        organization: "beta",
    };
    assert_eq!(
        config.secrets.find(beta).unwrap().credential.expose(),
        "a:b"
    );
    assert!(!format!("{config:?}").contains("a:b"));
    // Named by their credentials alone, organizations are mounted whole.
    let config = load_with(None, &variables[1..], &[]).unwrap();
    let names: Vec<&String> = config.organizations.keys().collect();
    assert_eq!(names, ["acme", "beta"]);
    for wrong in [
        "app=bookmark:x",
        "acme/app=tag:x",
        "acme/app=bookmark:",
        "a/b=change-id:x",
    ] {
        let found = problems(load_with(None, &[("MESA_REPO_REVS", wrong)], &[]));
        let reason = Reason::RepositoryRevision(1);
        assert_eq!(found, [("MESA_REPO_REVS".to_owned(), reason)], "{wrong}");
    }
}

#[test]
fn variables_that_nobody_knows_are_told_of() {
    let variables = [
        ("MESA_LOGLEVEL", "debug"),
        ("MESA_SHADERS", "1"),
        ("OTHER", "1"),
    ];
    let config = load_with(None, &variables, &[]).unwrap();
    assert_eq!(
        config.notes.unknown_variables,
        [
            ("MESA_LOGLEVEL".to_owned(), Some("MESA_LOG_LEVEL")),
            ("MESA_SHADERS".to_owned(), None),
        ]
    );
}

#[test]
fn a_mount_for_another_user_lets_others_in() {
    let access = |text: &str| load_with(Some(text), &[], &[]).unwrap().allow_other;
    assert_eq!(access("uid = 1000"), AllowOther::Owner);
    assert_eq!(access("uid = 1001"), AllowOther::Everyone);
    assert_eq!(access("uid = 1001\nallow-other = false"), AllowOther::Owner);
    assert_eq!(access("allow-other = true"), AllowOther::Everyone);
}
