//! Paths into documents that are kept as they are written, for whoever passes parts of them on: `1.50` stays `1.50`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{JsonPath, Step};

impl JsonPath {
    /// The values that the path leads to, as they are written, in the order of the document; the first `count_max` of them.
    pub fn all_raw<'v>(&self, document: &'v RawValue, count_max: usize) -> Vec<&'v RawValue> {
        let mut found = Vec::new();
        visit(document, &self.steps, count_max, &mut found);
        found
    }
}

fn visit<'v>(value: &'v RawValue, steps: &[Step], count_max: usize, found: &mut Vec<&'v RawValue>) {
    if found.len() >= count_max {
        return;
    }
    let Some((step, rest)) = steps.split_first() else { return found.push(value) };
    match (step, value.get().as_bytes().first()) {
        (Step::Name(name), Some(b'{')) => {
            // Of a name that stands twice the last counts, as it does everywhere else.
            if let Some(value) = fields(value).iter().rev().find(|(own, _)| *own == **name).map(|(_, value)| *value) {
                visit(value, rest, count_max, found);
            }
        }
        (Step::Place(place), Some(b'[')) => {
            let items = items(value);
            let place = if *place < 0 { items.len().checked_sub(place.unsigned_abs() as usize) } else { usize::try_from(*place).ok() };
            if let Some(value) = place.and_then(|place| items.get(place)) {
                visit(value, rest, count_max, found);
            }
        }
        (Step::All, Some(b'[')) => items(value).into_iter().for_each(|value| visit(value, rest, count_max, found)),
        (Step::All, Some(b'{')) => fields(value).into_iter().for_each(|(_, value)| visit(value, rest, count_max, found)),
        _ => {}
    }
}

fn items(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

fn fields(object: &RawValue) -> Vec<(String, &RawValue)> {
    serde_json::from_str::<Fields<'_>>(object.get()).map(|fields| fields.0).unwrap_or_default()
}

/// An object in the order in which it is written.
struct Fields<'v>(Vec<(String, &'v RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn raw(path: &str, document: &str) -> Vec<String> {
        let document: &RawValue = serde_json::from_str(document).unwrap();
        JsonPath::parse(path).unwrap().all_raw(document, 100).into_iter().map(|value| value.get().to_owned()).collect()
    }

    #[test]
    fn values_stay_as_they_are_written() {
        let document = r#" {"data" : [{"n": 1.50, "b": "\u0041"}, {"n":  12345678901234567890123}], "a": {"y": 1, "x": [ ]}, "a": {"y": 2, "x": null}} "#;
        for (path, found) in [
            ("$.data[*].n", &["1.50", "12345678901234567890123"][..]),
            ("$.data[0].b", &[r#""\u0041""#]),
            ("$.data[-1]", &[r#"{"n":  12345678901234567890123}"#]),
            ("$.a.*", &["2", "null"]),
            ("$.data[2]", &[]),
            ("$.data.n", &[]),
            ("$.no", &[]),
        ] {
            assert_eq!(raw(path, document), found, "{path}");
        }
        assert_eq!(raw("$", document), [document.trim()]);
        let three: &RawValue = serde_json::from_str("[1,2,3]").unwrap();
        assert_eq!(JsonPath::parse("$[*]").unwrap().all_raw(three, 2).len(), 2);
    }

    proptest! {
        #[test]
        fn leads_where_the_path_leads_in_the_parsed_document(
            path in r"\$(\.[ab]|\[[0-2]\]|\[-1\]|\[\*\]){0,4}", document in r#"[\[\]\{\}"ab:,12 ]{0,40}"#
        ) {
            let (Ok(path), Ok(value), Ok(text)) =
                (JsonPath::parse(&path), serde_json::from_str::<Value>(&document), serde_json::from_str::<&RawValue>(&document)) else { return Ok(()) };
            let parsed: Vec<Value> = path.all(&value, 100).into_iter().cloned().collect();
            let raw: Vec<Value> = path.all_raw(text, 100).into_iter().map(|value| serde_json::from_str(value.get()).unwrap()).collect();
            prop_assert_eq!(raw, parsed);
        }
    }
}
