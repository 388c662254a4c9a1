//! A JSON schema of the configuration file, generated from the table: for editors, and for checks
//! where `mesa` is not installed. It knows names, types and bounds; what only the parser knows, such
//! as addresses, it leaves to the parser.

use serde_json::{Map, Value, json};

use super::kind::UNLIMITED;
use super::{Key, Kind, MountMode, Publish};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
pub(super) const SIZE: &str = "^[0-9]+(\\.[0-9]+)?\\s*[A-Za-z]*$";
pub(super) const DURATION: &str = "^(0|([0-9.]+\\s*[a-z]+\\s*)+)$";
pub(super) const ORGANIZATION: &str = "^[a-z0-9]([a-z0-9-]{0,253}[a-z0-9])?$";
pub(super) const REPOSITORY: &str = "^[^/\\u0000-\\u001f\\u007f]{1,100}$";
pub(super) const CHANGE: &str = "^[k-z]{32}$";

/// The schema.
pub fn schema() -> Value {
    let mut properties = properties("");
    properties.insert("organizations".to_owned(), organizations());
    let mut schema = object(properties);
    schema.insert("$schema".to_owned(), DIALECT.into());
    schema.insert("title".to_owned(), "mesa configuration".into());
    schema.into()
}

/// A table with these properties, and no others.
fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let shape = [
        ("type".to_owned(), "object".into()),
        ("additionalProperties".to_owned(), false.into()),
        ("properties".to_owned(), properties.into()),
    ];
    shape.into_iter().collect()
}

/// The settings of one table of the file, which is named with a dot at its end, and its tables.
fn properties(within: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for key in Key::ALL.iter().copied() {
        let Some(rest) = key.place().strip_prefix(within) else {
            continue;
        };
        match rest.split_once('.') {
            None => {
                found.insert(rest.to_owned(), setting(key).into());
            }
            Some((table, _)) => {
                let properties = || object(properties(&format!("{within}{table}."))).into();
                found.entry(table).or_insert_with(properties);
            }
        }
    }
    found
}

fn setting(key: Key) -> Map<String, Value> {
    let setting = key.setting();
    let help = setting.help.concat();
    let description = format!("{} Variable: {}", help.trim(), setting.variable);
    let mut shape = shape(setting.kind);
    shape.insert("description".to_owned(), description.into());
    shape
}

fn shape(kind: Kind) -> Map<String, Value> {
    let bounded = |min: u64, max: u64| json!({"type": "integer", "minimum": min, "maximum": max});
    // An empty value is none.
    let empty = json!({"const": ""});
    let shape = match kind {
        Kind::Text | Kind::Path => json!({"type": "string"}),
        Kind::Choice(words) => {
            let words: Vec<&str> = words.iter().copied().chain([""]).collect();
            json!({"enum": words})
        }
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Number(min, max) => bounded(min, max),
        Kind::Share => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        Kind::Words => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Duration(_) => {
            json!({"anyOf": [{"type": "string", "pattern": DURATION}, empty]})
        }
        Kind::Limit(min, max) => {
            json!({"anyOf": [bounded(min, max), {"const": UNLIMITED}, empty]})
        }
        Kind::Size(min, max) => {
            json!({"anyOf": [bounded(min, max), {"type": "string", "pattern": SIZE}, empty]})
        }
        Kind::SizeLimit(min, max) => json!({
            "anyOf": [
                bounded(min, max),
                {"type": "string", "pattern": SIZE},
                {"const": UNLIMITED},
                empty,
            ],
        }),
    };
    match shape {
        Value::Object(shape) => shape,
        // Each of the above is one.
        _ => Map::new(),
    }
}

fn organizations() -> Value {
    let named = |pattern: &str, of: Value| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "patternProperties": {pattern: of},
        })
    };
    let closed = |properties: Value| json!({"type": "object", "additionalProperties": false, "properties": properties});
    let revision = json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "bookmark": {"type": "string", "minLength": 1, "maxLength": 255},
            "change-id": {"type": "string", "pattern": CHANGE},
        },
    });
    let repository = closed(json!({
        "rev": revision,
        "publish": {"enum": Publish::NAMES},
        "read-only": {"type": "boolean"},
    }));
    let organization = closed(json!({
        "mount": {"enum": MountMode::NAMES},
        "repos": named(REPOSITORY, repository),
    }));
    named(ORGANIZATION, organization)
}
