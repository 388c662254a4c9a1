//! What is shown, generated and described is what is parsed.

use serde_json::Value as Json;

use super::*;

fn json(text: &str) -> Json {
    toml::from_str(text).unwrap()
}

/// The template of the user whom the other tests load as.
fn template() -> String {
    super::super::template(1000, 100, None).unwrap()
}

/// The template with every default as a setting.
fn uncommented() -> String {
    let settings = template();
    let lines = settings.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase()) => rest,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The organizations that the template shows as an example.
fn example() -> String {
    let template = template();
    let lines = template
        .lines()
        .filter_map(|line| line.strip_prefix("#     "));
    let lines = lines.filter(|line| !line.starts_with("MESA_"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Why a schema refuses a document: where, and by which of its words. It knows the words that our
/// schema has, and no others: one that it does not know is a failure, not a yes.
fn refusal(schema: &Json, document: &Json) -> Option<String> {
    let number = |value: &Json| value.as_f64().unwrap();
    let length = |value: &Json| value.as_u64().unwrap() as usize;
    schema
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(word, wants)| {
            let fits = match (word.as_str(), document) {
                ("$schema" | "title" | "description" | "patternProperties", _) => true,
                ("type", _) => match wants.as_str().unwrap() {
                    "object" => document.is_object(),
                    "string" => document.is_string(),
                    "boolean" => document.is_boolean(),
                    "integer" => document.is_i64() || document.is_u64(),
                    "number" => document.is_number(),
                    "array" => document.is_array(),
                    other => panic!("type {other}"),
                },
                ("enum", _) => wants.as_array().unwrap().contains(document),
                ("const", _) => wants == document,
                ("anyOf", _) => {
                    let mut ways = wants.as_array().unwrap().iter();
                    ways.any(|way| refusal(way, document).is_none())
                }
                ("minimum", Json::Number(_)) => number(document) >= number(wants),
                ("exclusiveMinimum", Json::Number(_)) => number(document) > number(wants),
                ("maximum", Json::Number(_)) => number(document) <= number(wants),
                ("minLength", Json::String(text)) => text.len() >= length(wants),
                ("maxLength", Json::String(text)) => text.len() <= length(wants),
                ("minProperties", Json::Object(table)) => table.len() >= length(wants),
                ("maxProperties", Json::Object(table)) => table.len() <= length(wants),
                ("pattern", Json::String(text)) => matches(wants.as_str().unwrap(), text),
                ("items", Json::Array(items)) => {
                    items.iter().all(|item| refusal(wants, item).is_none())
                }
                // With it come the properties: those that are named, those that a pattern names.
                ("additionalProperties", Json::Object(table)) => {
                    assert_eq!(wants, false);
                    return table.iter().find_map(|(name, value)| {
                        let named = schema["properties"].get(name);
                        let patterns = schema["patternProperties"].as_object();
                        let mut patterns = patterns.into_iter().flatten();
                        let of_pattern = patterns.find(|(pattern, _)| matches(pattern, name));
                        match named.or(of_pattern.map(|(_, property)| property)) {
                            Some(property) => Some(format!("{name}.{}", refusal(property, value)?)),
                            None => Some(format!("{name} is no property")),
                        }
                    });
                }
                ("properties", _) => {
                    assert_eq!(schema["additionalProperties"], false);
                    true
                }
                (
                    "minimum"
                    | "exclusiveMinimum"
                    | "maximum"
                    | "minLength"
                    | "maxLength"
                    | "minProperties"
                    | "maxProperties"
                    | "pattern"
                    | "items"
                    | "additionalProperties",
                    _,
                ) => true,
                (other, _) => panic!("{other} in {schema}"),
            };
            (!fits).then(|| word.clone())
        })
}

/// Whether a pattern of the schema matches, told by the parser's own words for the same.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        schema::ORGANIZATION => is_organization(text),
        schema::REPOSITORY => is_repository(text),
        schema::CHANGE => Revision::of("change-id", text).is_some(),
        schema::SIZE => text.parse::<bytesize::ByteSize>().is_ok(),
        schema::DURATION => humantime::parse_duration(text).is_ok(),
        other => panic!("pattern {other}"),
    }
}

#[test]
fn the_template_says_nothing_and_uncommented_it_says_the_defaults() {
    let defaults = load_with(None, &[], &[]).unwrap();
    let commented = load_with(Some(&template()), &[], &[]).unwrap();
    assert!(commented.origins.is_empty(), "{:?}", commented.origins);
    let said = load_with(Some(&uncommented()), &[], &[]).unwrap();
    for key in Key::ALL.iter().copied() {
        assert_eq!(said.value(key), defaults.value(key), "{}", key.place());
        // What has no default is named all the same, as nothing.
        let named = uncommented().contains(&format!("\n{} =", key.setting().table_and_key().1));
        assert!(named, "{}", key.place());
        let nothing = match defaults.value(key) {
            Value::Text(text) => text.is_empty(),
            Value::Words(words) => words.is_empty(),
            _ => false,
        };
        assert_eq!(
            said.origins.contains_key(key.place()),
            !nothing,
            "{}",
            key.place()
        );
    }
    let organizations = load_with(Some(&example()), &[], &[]).unwrap().organizations;
    let acme = &organizations["acme"];
    assert_eq!(acme.mount, MountMode::Explicit);
    assert_eq!(acme.repositories["app"].publish, Some(Publish::Merge));
    assert_eq!(acme.repositories.len(), 2);
}

#[test]
fn the_schema_takes_what_the_parser_takes_and_refuses_what_it_refuses() {
    let schema = super::super::schema();
    for text in [template(), uncommented(), example(), String::new()] {
        assert_eq!(refusal(&schema, &json(&text)), None, "{text}");
    }
    for text in [
        "colour = true",
        "log-level = 'debug'",
        "cache.size = 1",
        "daemon.log.file = '/x'",
        "organizations.acme.repo = {}",
        "organizations.acme.repos.app.mode = 'rw'",
        "organizations.acme.repos.app.rev = { bookmark = 'x', change-id = 'y' }",
        "organizations.acme.repos.app.rev = { tag = 'x' }",
        "organizations.Acme = {}",
        "organizations.acme.mount = 'some'",
        "uid = 'root'",
        "uid = -1",
        "uid = 4294967295",
        "allow-other = 'yes'",
        "publish = 'always'",
        "commit-interval = 1",
        "cache = 3",
        "cache.max-size = 1",
        "cache.max-memory-size = 'much'",
        "prefetch.max-concurrency = 0",
        "prefetch.cache-pressure-limit = 1.5",
        "secrets.command = 'a program'",
        "daemon.log.level = 'loud'",
    ] {
        assert!(
            refusal(&schema, &json(text)).is_some(),
            "the schema takes {text}"
        );
        assert!(
            load_with(Some(text), &[], &[]).is_err(),
            "the parser takes {text}"
        );
    }
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let id = "zyxwvutsrqponmlkzyxwvutsrqponmlk";
    let file = format!(
        "api-url = 'http://h/v1'\ncache.max-size = '10GiB'\nsecrets.command = ['a', 'b c']\n\
         organizations.acme.repos.'a.b'.rev.bookmark = 'dev \"x\"'\n\
         organizations.acme.repos.old.rev.change-id = '{id}'\n"
    );
    let variables = [
        ("MESA_LOG_LEVEL", "debug"),
        ("MESA_API_KEY", "k-secret"),
        ("MESA_ORGS", "beta:t-secret"),
    ];
    let config = load_with(Some(&file), &variables, &[(Key::Publish, "merge")]).unwrap();
    let lines = config.lines();
    let origin = |place: &str| {
        let line = lines.iter().find(|line| line.place == place);
        line.unwrap_or_else(|| panic!("no line {place}"))
            .origin
            .clone()
    };
    assert_eq!(
        origin("daemon.log.level"),
        Origin::Variable("MESA_LOG_LEVEL")
    );
    assert_eq!(origin("publish"), Origin::Flag("publish"));
    assert_eq!(origin("mount-point"), Origin::Default);
    for (place, at) in [
        ("cache.max-size", 2),
        ("organizations.acme.repos.\"a.b\".rev", 4),
        ("organizations.acme.repos.old.rev", 5),
    ] {
        assert!(
            matches!(origin(place), Origin::File { line, .. } if line == at),
            "{place}"
        );
    }
    assert_eq!(origin("MESA_API_KEY"), Origin::Variable("MESA_API_KEY"));
    let shown = format!("{lines:?}");
    assert!(
        shown.contains("beta:(masked)") && !shown.contains("-secret"),
        "{shown}"
    );

    let text: String = lines
        .iter()
        .filter(|line| line.is_for_a_file())
        .map(|line| format!("{} = {}\n", line.place, line.value))
        .collect();
    let again = load_with(Some(&text), &[], &[]).unwrap();
    let written: Vec<_> = again
        .lines()
        .into_iter()
        .map(|line| (line.place, line.value))
        .collect();
    let expected: Vec<_> = lines
        .into_iter()
        .filter(Line::is_for_a_file)
        .map(|line| (line.place, line.value))
        .collect();
    assert_eq!(written, expected);
    assert_eq!(
        again.organizations["acme"].repositories["a.b"].revision,
        Revision::Bookmark("dev \"x\"".into())
    );
}
