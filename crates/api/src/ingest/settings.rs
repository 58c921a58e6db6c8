//! Settings that come as JSON and are read by somebody else: mistakes in them by field and rule, and the secrets in them.
//!
//! A secret that is shown as [`WITHHELD`] may come back as that: it means the one that is there. So who reads, changes and writes back loses nothing.

use hookpost_domain::request::WITHHELD;
use hookpost_domain::source::Mistake;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::extract::in_plain_words;

/// Reads settings; names the field where they cannot be read.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Mistake> {
    serde_path_to_error::deserialize(value).map_err(|error| mistake(&error))
}

fn mistake(error: &serde_path_to_error::Error<serde_json::Error>) -> Mistake {
    let mut place: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect();
    let text = error.inner().to_string();
    let named = |prefix: &str| Some(text.strip_prefix(prefix)?.split('`').next()?.to_owned());
    let rule = if let Some(missing) = named("missing field `") {
        place.push(missing);
        "This field is required.".to_owned()
    } else if let Some(unknown) = named("unknown field `") {
        // Depending on where it is noticed, the path has it already.
        if place.last() != Some(&unknown) {
            place.push(unknown);
        }
        "is not a field that is known here".to_owned()
    } else {
        without_value(in_plain_words(&text))
    };
    Mistake::new(place.join("."), rule)
}

/// `must be a string, not integer` instead of `…, not integer 5`: what stands in the wrong place may be a secret.
fn without_value(mut rule: String) -> String {
    if let Some(found) = rule.rfind(", not ") {
        let kind_end = rule[found + 6..].find([' ', '`', '"']).filter(|_| !rule[found + 6..].starts_with("a")).map(|end| found + 6 + end);
        rule.truncate(kind_end.unwrap_or(rule.len()));
    }
    rule
}

/// Puts in the place of what was withheld what is there now. `None`: it was never there.
pub(super) fn with_secrets(mut new: Value, old: &Value) -> Option<Value> {
    match &mut new {
        Value::String(text) if text == WITHHELD => return old.is_string().then(|| old.clone()),
        Value::Object(fields) => {
            for (name, field) in fields {
                *field = with_secrets(field.take(), &old[name.as_str()])?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                *item = with_secrets(item.take(), &old[index])?;
            }
        }
        _ => {}
    }
    Some(new)
}

/// Withholds the string at `pointer`, if there is one.
pub(super) fn withhold(value: &mut Value, pointer: &str) {
    if let Some(secret) = value.pointer_mut(pointer).filter(|secret| secret.is_string()) {
        *secret = WITHHELD.into();
    }
}

/// `timestamp_header` as `timestampHeader`: settings are written as everything else in this API.
pub(super) fn to_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

/// The other way round.
pub(super) fn to_snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_withheld_comes_back() {
        let old = json!({ "auth": { "bearer": "secret" }, "headers": { "a": "1" } });
        let given = json!({ "auth": { "bearer": "(withheld)" }, "headers": { "b": "2" } });
        assert_eq!(with_secrets(given, &old), Some(json!({ "auth": { "bearer": "secret" }, "headers": { "b": "2" } })));
        assert_eq!(with_secrets(json!({ "password": "(withheld)" }), &old), None);
        assert_eq!(with_secrets(json!(["(withheld)", 1]), &json!(["x"])), Some(json!(["x", 1])));
    }

    #[test]
    fn mistakes_name_their_field() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Outer {
            #[expect(dead_code, reason = "only read")]
            inner: Vec<Inner>,
        }
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[expect(dead_code, reason = "only read")]
            number: u16,
        }
        for (given, field, rule) in [
            (json!({ "inner": [{}] }), "inner.0.number", "This field is required."),
            (json!({ "inner": [{ "number": "x" }] }), "inner.0.number", "must be a whole number from 0 to 65535, not string"),
            (json!({ "inner": [{ "number": 1, "numbr": 2 }] }), "inner.0.numbr", "is not a field that is known here"),
            (json!({ "inner": [], "other": 1 }), "other", "is not a field that is known here"),
            (json!({ "inner": 1 }), "inner", "must be a list, not integer"),
        ] {
            let found = read::<Outer>(given.clone()).unwrap_err();
            assert_eq!((found.field.as_str(), found.rule.as_str()), (field, rule), "{given}");
        }
    }

    #[test]
    fn names_are_written_both_ways() {
        for (snake, camel) in [("secret", "secret"), ("timestamp_header", "timestampHeader"), ("event_id", "eventId")] {
            assert_eq!((to_camel(snake).as_str(), to_snake(camel).as_str()), (camel, snake));
        }
    }
}
