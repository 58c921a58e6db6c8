//! Reads YAML (of which JSON is a part) into JSON, as far as JSON goes. It comes from clients, so it is bounded in depth and in what aliases make of it.

use std::collections::HashMap;

use hookpost_domain::Invalid;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

const DEPTH_MAX: usize = 100;
/// Values that a document may have, those that aliases repeat counted each time.
const VALUES_MAX: usize = 200_000;

/// The first document of the text.
pub(super) fn parse(text: &str) -> Result<Value, Invalid> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| Invalid::new(format!("is neither YAML nor JSON: {error}")))?;
        if let Some(document) = reader.take(event)? {
            return Ok(document);
        }
    }
    Ok(Value::Null)
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    values: usize,
}

/// With how many values and how deep it is, for whoever repeats it.
#[derive(Clone)]
struct Anchored {
    value: Value,
    values: usize,
    depth: usize,
}

/// What has begun and not ended.
struct Open {
    anchor: usize,
    kind: Kind,
    values_before: usize,
    /// Below it.
    depth: usize,
}

enum Kind {
    List(Vec<Value>),
    Object { fields: Map<String, Value>, key: Option<String> },
}

impl Reader {
    /// The document, when it is complete.
    fn take(&mut self, event: Event<'_>) -> Result<Option<Value>, Invalid> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.count(1)?;
                let is_key = matches!(self.open.last(), Some(Open { kind: Kind::Object { key: None, .. }, .. }));
                let value = if style == ScalarStyle::Plain && !is_key { plain(&text) } else { Value::String(text.into_owned()) };
                Ok(self.put(value, anchor, 1, 0)?)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, Kind::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, Kind::Object { fields: Map::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned().ok_or_else(|| Invalid::new("has an alias that contains itself"))?;
                self.count(known.values)?;
                if self.open.len() + known.depth > DEPTH_MAX {
                    return Err(too_deep());
                }
                self.put(known.value, 0, known.values, known.depth)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(None),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), Invalid> {
        self.values += values;
        if self.values > VALUES_MAX { Err(Invalid::new(format!("has more than {VALUES_MAX} values"))) } else { Ok(()) }
    }

    fn begin(&mut self, anchor: usize, kind: Kind) -> Result<Option<Value>, Invalid> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep());
        }
        let values_before = self.values;
        self.count(1)?;
        self.open.push(Open { anchor, kind, values_before, depth: 0 });
        Ok(None)
    }

    fn end(&mut self) -> Result<Option<Value>, Invalid> {
        let Some(open) = self.open.pop() else { return Ok(None) };
        let value = match open.kind {
            Kind::List(items) => Value::Array(items),
            Kind::Object { fields, .. } => Value::Object(fields),
        };
        self.put(value, open.anchor, self.values - open.values_before, open.depth + 1)
    }

    /// Puts a complete value where it belongs.
    fn put(&mut self, value: Value, anchor: usize, values: usize, depth: usize) -> Result<Option<Value>, Invalid> {
        if anchor > 0 {
            // Kept beside the document, so it counts again.
            self.count(values)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), values, depth });
        }
        let Some(parent) = self.open.last_mut() else { return Ok(Some(value)) };
        parent.depth = parent.depth.max(depth);
        match &mut parent.kind {
            Kind::List(items) => items.push(value),
            Kind::Object { fields, key } => match key.take() {
                None => match value {
                    Value::String(name) => *key = Some(name),
                    _ => return Err(Invalid::new("has a key that is no text")),
                },
                Some(name) if name == "<<" => merge(fields, value),
                Some(name) => {
                    fields.insert(name, value);
                }
            },
        }
        Ok(None)
    }
}

/// What stands there already goes before what is merged in.
fn merge(fields: &mut Map<String, Value>, value: Value) {
    match value {
        Value::Object(more) => {
            for (name, value) in more {
                fields.entry(name).or_insert(value);
            }
        }
        Value::Array(items) => items.into_iter().for_each(|item| merge(fields, item)),
        _ => {}
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let looks_like_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if looks_like_number {
        if let Ok(whole) = text.parse::<i64>() {
            return Value::Number(whole.into());
        }
        if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()).and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

fn too_deep() -> Invalid {
    Invalid::new(format!("is nested more than {DEPTH_MAX} deep"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_json_has() {
        let text = "
a: &x {b: [1, -2.5, yes, 'no', \"1\", ~, true]}
c: *x
d: |
  two
  lines
3.1: key
e: {<<: *x, f: 1}
";
        let expected = json!({
            "a": { "b": [1, -2.5, "yes", "no", "1", null, true] },
            "c": { "b": [1, -2.5, "yes", "no", "1", null, true] },
            "d": "two\nlines\n",
            "3.1": "key",
            "e": { "b": [1, -2.5, "yes", "no", "1", null, true], "f": 1 },
        });
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(r#"{"a": [1, {"b": "ü"}], "c": false}"#), Ok(json!({ "a": [1, { "b": "ü" }], "c": false })));
        assert_eq!(parse(""), Ok(Value::Null));
    }

    #[test]
    fn refuses_what_would_grow_without_bound() {
        let laughs = (1..12).fold("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned(), |text, n| {
            let before = n - 1;
            let items = vec![format!("*a{before}"); 10].join(", ");
            format!("{text}a{n}: &a{n} [{items}]\n")
        });
        assert_eq!(parse(&laughs), Err(Invalid::new("has more than 200000 values")));
        assert!(parse(&"[".repeat(5000)).is_err());
        assert_eq!(parse(&"- ".repeat(DEPTH_MAX + 1)), Err(too_deep()));
        let chain = (1..60).fold("- &a0 [[1]]\n".to_owned(), |text, n| format!("{text}- &a{n} [[[*a{}]]]\n", n - 1));
        assert_eq!(parse(&chain), Err(too_deep()));
        assert!(parse("a: &a [*a]").is_err());
        assert!(parse("a: [1").is_err());
        assert!(parse("{[1]: 2}").is_err());
    }
}
