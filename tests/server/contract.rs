//! Holds every answer that the tests of the server get to the document that the server shows.
//!
//! It knows the keywords that the document's answers use, and no other: a new one fails until it is
//! judged, too. An object has what is described and nothing else, so that a field which nobody
//! described is found here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mesa::remote::api::parse_date;
use reqwest::Method;
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../src/server/openapi.json")).unwrap());

/// The operation that a path belongs to; a fixed segment goes before a name in the same place.
fn operation<'a>(method: &Method, path: &str) -> Option<&'a Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let names = |template: &str| template.matches('{').count();
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let fits = |template: &str| {
        let own: Vec<&str> = template.split('/').collect();
        let mut pairs = own.iter().zip(&segments);
        own.len() == segments.len() && pairs.all(|(own, one)| own.starts_with('{') || own == one)
    };
    paths
        .filter(|(template, _)| fits(template))
        .filter_map(|(template, verbs)| {
            let verb = verbs.get(method.as_str().to_ascii_lowercase())?;
            Some((names(template), verb))
        })
        .min_by_key(|(names, _)| *names)
        .map(|(_, verb)| verb)
}

/// Panics if an answer is not what the document says about it.
#[track_caller]
pub fn check(method: &Method, path: &str, status: u16, kind: Option<&str>, body: &[u8]) {
    // Git has its own protocol, and a body that was cut off or left out is no answer.
    if method == Method::HEAD || !(path.starts_with("/v1/") || path == "/healthz") {
        return;
    }
    let operation = operation(method, path);
    let answer = match operation {
        Some(operation) => {
            let answers = &operation["responses"];
            let range = format!("{}XX", status / 100);
            answers
                .get(status.to_string())
                .or_else(|| answers.get(range))
        }
        None if status >= 400 => Some(&DOCUMENT["components"]["responses"]["Refused"]),
        None => None,
    };
    let answer = answer.unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
    let contents = resolved(answer).get("content");
    let kind = kind.map(|kind| kind.split(';').next().unwrap().trim().to_ascii_lowercase());
    let (Some(contents), Some(kind)) = (contents, kind) else {
        assert!(
            contents.is_none() || body.is_empty(),
            "{method} {path}: no type"
        );
        return;
    };
    let content = contents.get(&kind);
    let content = content.unwrap_or_else(|| panic!("{method} {path}: {kind} is not described"));
    if kind == "application/json" {
        let value: Value = serde_json::from_slice(body).unwrap();
        if let Err(error) = judge(&content["schema"], &value, "$") {
            panic!("{method} {path}: {error}: {value}");
        }
    }
}

fn resolved(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(name) => resolved(DOCUMENT.pointer(&name[1..]).unwrap()),
        None => value,
    }
}

fn judge(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(schema).as_object().unwrap();
    for (keyword, wanted) in schema {
        let is_good = match keyword.as_str() {
            "description" | "required" | "additionalProperties" | "default" => true,
            "type" => is_of_type(wanted, value),
            "const" => wanted == value,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value
                .as_i64()
                .is_none_or(|value| Some(value) >= wanted.as_i64()),
            "format" => is_of_format(wanted.as_str().unwrap(), value),
            "pattern" => value
                .as_str()
                .is_none_or(|text| fits(wanted.as_str().unwrap(), text)),
            "contentEncoding" => value
                .as_str()
                .is_none_or(|text| STANDARD.decode(text).is_ok()),
            "properties" => {
                judge_object(schema, value, at)?;
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(wanted, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "oneOf" => {
                let options = wanted.as_array().unwrap().iter();
                let results: Vec<_> = options.map(|option| judge(option, value, at)).collect();
                let good = results.iter().filter(|result| result.is_ok()).count();
                if good != 1 {
                    return Err(format!("{at}: {good} of: {results:?}"));
                }
                true
            }
            other => panic!("{at}: the document says {other:?}, which nobody judges"),
        };
        if !is_good {
            return Err(format!("{at}: {keyword} {wanted} is not {value}"));
        }
    }
    if !schema.contains_key("properties")
        && let (Some(every), Some(object)) = (schema.get("additionalProperties"), value.as_object())
    {
        for (name, value) in object {
            judge(every, value, &format!("{at}.{name}"))?;
        }
    }
    Ok(())
}

fn judge_object(
    schema: &serde_json::Map<String, Value>,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    for (name, value) in object {
        let described = schema["properties"].get(name);
        let described = described.ok_or_else(|| format!("{at}: {name:?} is not described"))?;
        judge(described, value, &format!("{at}.{name}"))?;
    }
    Ok(())
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other:?}"),
    };
    match wanted.as_array() {
        Some(any) => any.iter().any(is),
        None => is(wanted),
    }
}

fn is_of_format(format: &str, value: &Value) -> bool {
    match format {
        "date-time" => value.as_str().is_none_or(|text| parse_date(text).is_ok()),
        other => panic!("no format {other:?}"),
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[k-z]{32}$" => text.len() == 32 && text.bytes().all(|byte| (b'k'..=b'z').contains(&byte)),
        "^[0-9a-f]{40}$" => {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.len() == 40 && text.bytes().all(is_digit)
        }
        other => panic!("no pattern {other:?}"),
    }
}

#[test]
fn the_judge_finds_what_is_wrong() {
    let body = |value: &str| {
        let path = "/v1/local/app/bookmarks/merge";
        let judged = std::panic::catch_unwind(|| {
            check(
                &Method::GET,
                path,
                200,
                Some("application/json"),
                value.as_bytes(),
            );
        });
        judged.is_ok()
    };
    let good =
        r#"{"name":"merge","change_id":"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz","is_default":false}"#;
    assert!(body(good));
    for (from, to) in [
        ("\"merge\"", "1"),
        ("zz", "z"),
        ("z\"", "a\""),
        (",\"is_default\":false", ""),
        ("false", "null"),
        ("false", "false,\"more\":1"),
    ] {
        assert!(!body(&good.replacen(from, to, 1)), "{to}");
    }
}
