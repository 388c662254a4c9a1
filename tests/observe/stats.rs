//! `mesa stats`: every format parses, the figures are those of what was done, and gauges come back.

use std::collections::BTreeMap;
use std::fs;

use crate::support::process::run;
use crate::support::world::World;
use crate::until;

/// A series: its name, and its labels as they stand.
type Series = (String, BTreeMap<String, String>);

/// What a Prometheus server reads from the text format 0.0.4, or why it would not.
fn parse(text: &str) -> BTreeMap<Series, f64> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !kinds.contains_key(name), "{line}");
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "HELP and TYPE stand together");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (labelled, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match labelled.split_once('{') {
                Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap())),
                None => (labelled, BTreeMap::new()),
            };
            let legal = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
            assert!(name.chars().all(legal), "{line}");
            let family = match kinds[&current].as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name),
                _ => name,
            };
            assert_eq!(family, current, "outside of its family: {line}");
            let earlier = series.insert((name.to_owned(), labels), value.parse().unwrap());
            assert_eq!(earlier, None, "twice: {line}");
        }
    }
    series
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().unwrap() {
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    letter @ ('\\' | '"') => letter,
                    other => panic!("no such escape: {other}"),
                }),
                (at, '"') => break at,
                (_, letter) => value.push(letter),
            }
        };
        assert_eq!(found.insert(key.to_owned(), value), None, "{text}");
        rest = after[end + 1..]
            .strip_prefix(',')
            .unwrap_or(&after[end + 1..]);
    }
    found
}

fn scrape(world: &World) -> BTreeMap<Series, f64> {
    let output = run(&mut world.mesa(&["stats", "--format", "prometheus"])).success();
    parse(&String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn value(scraped: &BTreeMap<Series, f64>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter();
    let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let series = (name.to_owned(), labels.collect());
    let found = scraped.get(&series);
    *found.unwrap_or_else(|| panic!("no {series:?} in {scraped:#?}"))
}

#[test]
fn prometheus_can_read_it_and_it_tells_what_was_done() {
    let mut world = World::small();
    // Else nobody tells of what is open.
    world.unmount("10s").success();
    world.set("MESA_OPENS", "plain");
    world.mount();
    let app = world.repo("app");
    world.local_tree("app");
    let before = scrape(&world);
    let repo = [("repo", "local/app")];
    for number in 0..10 {
        fs::write(app.join(format!("file-{number}")), vec![b'x'; 1000]).unwrap();
    }
    let held = fs::File::open(app.join("file-0")).unwrap();
    world.flush();
    let after = scrape(&world);
    let grown =
        |name, labels: &[(&str, &str)]| value(&after, name, labels) - value(&before, name, labels);
    let creates = [("kind", "create")];
    assert!((grown("mesa_fuse_requests_total", &creates) - 10.0).abs() < 0.1);
    assert!(grown("mesa_fuse_requests_total", &[("kind", "write")]) >= 10.0);
    // Histograms: cumulative, and the last bucket is the count.
    let name = "mesa_fuse_request_duration_seconds";
    let buckets = after.iter().filter(|((found, labels), _)| {
        *found == format!("{name}_bucket") && labels["kind"] == "create"
    });
    let mut by_bound: Vec<(f64, f64)> = buckets
        .map(|((_, labels), count)| (labels["le"].parse().unwrap_or(f64::INFINITY), *count))
        .collect();
    by_bound.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(
        by_bound.is_sorted_by(|one, other| one.1 <= other.1),
        "{by_bound:?}"
    );
    assert_eq!(by_bound.last().unwrap().0, f64::INFINITY);
    let count = value(&after, &format!("{name}_count"), &creates);
    assert_eq!(by_bound.last().unwrap().1, count);
    assert!((count - 10.0).abs() < 0.1, "{count}");
    assert!(value(&after, &format!("{name}_sum"), &creates) > 0.0);

    assert!(
        value(
            &after,
            "mesa_remote_sent_bytes_total",
            &[("kind", "changes_patched")]
        ) > 0.0
            || value(
                &after,
                "mesa_remote_sent_bytes_total",
                &[("kind", "changes_created")]
            ) > 0.0
    );
    let listings = [("kind", "snapshots"), ("outcome", "success")];
    assert!(value(&after, "mesa_remote_outcomes_total", &listings) >= 1.0);
    assert!(
        value(
            &after,
            "mesa_remote_received_bytes_total",
            &[("kind", "snapshots")]
        ) > 0.0
    );
    assert!(value(&after, "mesa_remote_up", &[]) > 0.0);
    let accepted = [("repo", "local/app"), ("outcome", "accepted")];
    assert!(grown("mesa_pushes_total", &accepted) >= 1.0);
    assert!(grown("mesa_journal_head", &repo) >= 10.0);
    assert!(value(&after, "mesa_journal_bytes", &repo) > 0.0);
    let missed = [("repo", "local/app"), ("what", "object")];
    assert!(value(&after, "mesa_cache_misses_total", &missed) >= 1.0);
    assert!(value(&after, "process_resident_memory_bytes", &[]) > 1e6);

    // What is held is given back.
    assert!(value(&after, "mesa_open_files", &repo) >= 1.0);
    drop(held);
    until("nothing is open, pending or on its way", || {
        let now = scrape(&world);
        [
            "mesa_open_files",
            "mesa_pending_operations",
            "mesa_journal_unsynced_records",
        ]
        .iter()
        .all(|name| value(&now, name, &repo) == 0.0)
            && value(&now, "mesa_fuse_requests_in_flight", &[]) == 0.0
            && value(&now, "mesa_remote_requests_in_flight", &[]) == 0.0
    });
}

#[test]
fn a_server_that_is_gone_shows_in_the_figures() {
    let mut world = World::small();
    world.local_tree("app");
    world.stop_server();
    fs::write(world.repo("app").join("edit"), "edit\n").unwrap();
    until("a push backs off", || {
        let now = scrape(&world);
        let backoff = [("repo", "local/app"), ("outcome", "backoff")];
        value(&now, "mesa_pushes_total", &backoff) >= 1.0
            && value(&now, "mesa_pending_operations", &[("repo", "local/app")]) > 0.0
    });
    let now = scrape(&world);
    let vain = now.iter().filter(|((name, labels), _)| {
        name == "mesa_remote_outcomes_total" && labels["outcome"] == "unreachable"
    });
    assert!(vain.map(|(_, count)| count).sum::<f64>() >= 1.0, "{now:#?}");
}

#[test]
fn a_daemon_is_found_by_its_process_number_and_other_formats_are_whole() {
    let world = World::small();
    world.local_tree("app");
    let pid = world.status()["pid"].to_string();
    let elsewhere = |arguments: &[&str]| {
        let mut command = world.mesa(arguments);
        command
            .env("MESA_RUNTIME_DIR", world.folder().join("nothing-here"))
            .env("MESA_DATA_DIR", world.folder().join("nor-here"));
        run(&mut command)
    };
    elsewhere(&["stats"]).expect(1);
    let json = elsewhere(&["stats", "--format", "json", "--pid", &pid]).success();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let families = json["families"].as_array().unwrap();
    for family in families {
        for key in ["name", "type", "help", "samples"] {
            assert!(family.get(key).is_some(), "{key} in {family}");
        }
    }
    assert!(
        families
            .iter()
            .any(|family| family["name"] == "mesa_fuse_requests_total")
    );
    let file = world.folder().join("pid");
    fs::write(&file, format!("{pid}\n")).unwrap();
    let table = elsewhere(&["stats", "--pid-file", file.to_str().unwrap()]).success();
    assert!(table.text().contains("mesa_open_repositories"), "{table}");
    let nobody = elsewhere(&["stats", "--pid", "1"]).expect(1);
    assert!(nobody.errors().contains("hint: "), "{nobody}");
}
