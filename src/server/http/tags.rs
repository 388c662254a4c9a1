//! Labels of repositories: what may be one, and filters by them in both of the contract's forms.
//!
//! `lang:rust,team:core` wants every label with its value. A JSON object wants the same of each of its
//! members, where a value is text or an object of operators, and `$and`, `$or` and `$not` hold other
//! objects. A filter is bounded before it is read, so matching it costs little, however it is built.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::failure::Failure;

/// Most labels of one repository, and the bytes of a name and of a value.
const TAGS_MAX: usize = 64;
const TAG_NAME_BYTES_MAX: usize = 64;
const TAG_VALUE_BYTES_MAX: usize = 256;
/// What a filter may be: more than anybody writes, and less than what a request line may hold.
const FILTER_BYTES_MAX: usize = 8 << 10;
const FILTER_DEPTH_MAX: usize = 8;
const FILTER_CONDITIONS_MAX: usize = 200;

pub(super) type Tags = BTreeMap<String, String>;

/// Refuses labels that cannot be.
pub(super) fn check(tags: &Tags) -> Result<(), Failure> {
    let is_good = tags.len() <= TAGS_MAX
        && tags.iter().all(|(name, value)| {
            (1..=TAG_NAME_BYTES_MAX).contains(&name.len())
                && !name.starts_with('$')
                && value.len() <= TAG_VALUE_BYTES_MAX
        });
    match is_good {
        true => Ok(()),
        false => Err(Failure::invalid(
            "tags: at most 64, names of 1 to 64 bytes without a leading $, values up to 256",
        )),
    }
}

/// Which repositories are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Label(String, Test),
}

/// What is wanted of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    OneOf(Vec<String>),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Exists(bool),
}

impl Filter {
    /// Reads a filter in either form.
    pub(super) fn parse(text: &str) -> Result<Filter, Failure> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(refusal("the filter is over 8 KiB"));
        }
        if !text.trim_start().starts_with('{') {
            let labels = text.split(',').map(|pair| {
                let (name, value) = pair
                    .split_once(':')
                    .filter(|(name, _)| !name.is_empty())
                    .ok_or_else(|| refusal("want name:value,name:value or a JSON object"))?;
                let test = Test::OneOf(vec![value.to_owned()]);
                Ok(Filter::Label(name.to_owned(), test))
            });
            return labels.collect::<Result<_, _>>().map(Filter::All);
        }
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| refusal(&format!("no JSON: {error}")))?;
        let mut left = FILTER_CONDITIONS_MAX;
        object_filter(&object, FILTER_DEPTH_MAX, &mut left)
    }

    /// Whether labels are as wanted.
    pub(super) fn matches(&self, tags: &Tags) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|filter| filter.matches(tags)),
            Filter::Any(filters) => filters.iter().any(|filter| filter.matches(tags)),
            Filter::Not(filter) => !filter.matches(tags),
            Filter::Label(name, test) => test.passes(tags.get(name).map(String::as_str)),
        }
    }
}

impl Test {
    fn passes(&self, value: Option<&str>) -> bool {
        match self {
            Test::OneOf(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::Contains(part) => value.is_some_and(|value| value.contains(part.as_str())),
            Test::StartsWith(part) => value.is_some_and(|value| value.starts_with(part.as_str())),
            Test::EndsWith(part) => value.is_some_and(|value| value.ends_with(part.as_str())),
            Test::Exists(wanted) => value.is_some() == *wanted,
        }
    }
}

fn refusal(what: &str) -> Failure {
    Failure::invalid(format!("tags: {what}"))
}

fn object_filter(
    object: &Map<String, Value>,
    depth: usize,
    left: &mut usize,
) -> Result<Filter, Failure> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| refusal("the filter is over 8 levels deep"))?;
    let mut all = Vec::new();
    for (name, value) in object {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| refusal("the filter has over 200 conditions"))?;
        all.push(match name.as_str() {
            "$and" => Filter::All(list(name, value, depth, left)?),
            "$or" => Filter::Any(list(name, value, depth, left)?),
            "$not" => {
                let object = value
                    .as_object()
                    .ok_or_else(|| refusal("$not: want an object"))?;
                Filter::Not(Box::new(object_filter(object, depth, left)?))
            }
            name if name.starts_with('$') || name.is_empty() => {
                return Err(refusal(&format!("{name:?} is no operator and no label")));
            }
            name => label(name, value, left)?,
        });
    }
    Ok(Filter::All(all))
}

fn list(name: &str, value: &Value, depth: usize, left: &mut usize) -> Result<Vec<Filter>, Failure> {
    let wrong = || refusal(&format!("{name}: want a list of objects, at least one"));
    let items = value.as_array().filter(|items| !items.is_empty());
    let filters = items.ok_or_else(wrong)?.iter().map(|item| {
        let object = item.as_object().ok_or_else(wrong)?;
        object_filter(object, depth, left)
    });
    filters.collect()
}

fn label(name: &str, value: &Value, left: &mut usize) -> Result<Filter, Failure> {
    let wrong = |what: &str| refusal(&format!("{name:?}: {what}"));
    let label = |test| Filter::Label(name.to_owned(), test);
    let operators = match value {
        Value::String(text) => return Ok(label(Test::OneOf(vec![text.clone()]))),
        Value::Object(operators) if !operators.is_empty() => operators,
        _ => return Err(wrong("want text, or an object of operators")),
    };
    let mut all = Vec::new();
    for (operator, operand) in operators {
        *left = left
            .checked_sub(1)
            .ok_or_else(|| refusal("the filter has over 200 conditions"))?;
        let text = || {
            let text = operand.as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(&format!("{operator}: want text")))
        };
        all.push(match operator.as_str() {
            "$eq" => label(Test::OneOf(vec![text()?])),
            "$in" => {
                let values = operand.as_array().and_then(|values| {
                    let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
                    texts.collect::<Option<Vec<_>>>()
                });
                label(Test::OneOf(
                    values.ok_or_else(|| wrong("$in: want a list of texts"))?,
                ))
            }
            "$contains" => label(Test::Contains(text()?)),
            "$starts_with" => label(Test::StartsWith(text()?)),
            "$ends_with" => label(Test::EndsWith(text()?)),
            "$exists" => {
                let wanted = operand.as_bool();
                label(Test::Exists(
                    wanted.ok_or_else(|| wrong("$exists: want true or false"))?,
                ))
            }
            "$not" => Filter::Not(Box::new(negated(name, operand, left)?)),
            other => return Err(wrong(&format!("{other:?} is no operator"))),
        });
    }
    Ok(Filter::All(all))
}

/// What `$not` of one label holds: operators, but no other `$not`, so that nothing nests here.
fn negated(name: &str, value: &Value, left: &mut usize) -> Result<Filter, Failure> {
    let nests = value
        .as_object()
        .is_some_and(|operators| operators.contains_key("$not"));
    match nests {
        true => Err(refusal(&format!("{name:?}: $not within $not"))),
        false => label(name, value, left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn both_forms_say_what_they_mean() {
        let rust = tags(&[("lang", "rust"), ("team", "core:db"), ("empty", "")]);
        for (filter, expected) in [
            ("lang:rust", true),
            ("lang:rust,team:core:db", true),
            ("lang:rust,team:web", false),
            ("empty:", true),
            ("none:", false),
            (r"{}", true),
            (r#"{"lang":"rust","team":"core:db"}"#, true),
            (r#"{"lang":{"$eq":"go"}}"#, false),
            (r#"{"lang":{"$in":["go","rust"]}}"#, true),
            (r#"{"lang":{"$in":[]}}"#, false),
            (r#"{"lang":{"$starts_with":"ru","$ends_with":"st"}}"#, true),
            (r#"{"team":{"$contains":"e:d"}}"#, true),
            (
                r#"{"none":{"$exists":false},"lang":{"$exists":true}}"#,
                true,
            ),
            (
                r#"{"$or":[{"lang":"go"},{"team":{"$contains":"core"}}]}"#,
                true,
            ),
            (
                r#"{"$and":[{"lang":"rust"},{"$not":{"team":"core:db"}}]}"#,
                false,
            ),
            (r#"{"lang":{"$not":{"$eq":"go"}}}"#, true),
            (r#"{"none":{"$not":{"$eq":"x"}}}"#, true),
        ] {
            let parsed = Filter::parse(filter).unwrap();
            assert_eq!(parsed.matches(&rust), expected, "{filter}");
        }
    }

    #[test]
    fn what_means_nothing_or_too_much_is_refused() {
        let deep = format!("{}{{}}{}", r#"{"$not":"#.repeat(9), "}".repeat(9));
        let wide = format!(r#"{{"$or":[{}]}}"#, [r#"{"a":"b"}"#; 201].join(","));
        let long = format!("a:{}", "b".repeat(FILTER_BYTES_MAX));
        let nested = r#"{"a":{"$not":{"$not":{"$eq":"b"}}}}"#;
        for filter in [
            "",
            "lang",
            ":x",
            "a:b,",
            "{",
            r#"{"$nor":[]}"#,
            r#"{"$and":[]}"#,
            r#"{"$or":{}}"#,
            r#"{"$not":[]}"#,
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"$gt":"1"}}"#,
            r#"{"a":{"$in":"b"}}"#,
            r#"{"a":{"$in":[1]}}"#,
            r#"{"a":{"$exists":"yes"}}"#,
            nested,
            &deep,
            &wide,
            &long,
        ] {
            assert!(Filter::parse(filter).is_err(), "{filter}");
        }
    }
}
