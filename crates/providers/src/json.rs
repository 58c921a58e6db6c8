//! Reads single values out of a JSON body without building the rest of it.
//!
//! The first value of the body is read, so that JSON lines are read too; of a repeated key the last one counts, as in most
//! languages. A body that is not JSON has no values; it is never an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Keys and indexes from the root to a value. A number is an index in an array and a key in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    key: Box<str>,
    index: Option<usize>,
}

/// A string or a number, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) is_number: bool,
}

impl Path {
    /// Reads `$.a.0.b`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps = text.strip_prefix("$.")?;
        let step = |key: &str| (!key.is_empty()).then(|| Step { key: key.into(), index: key.parse().ok() });
        steps.split('.').map(step).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|step| &*step.key)
    }

    /// The string or number at this place of a body; nothing else is a value.
    pub(crate) fn find<'a>(&self, body: &'a [u8]) -> Option<Scalar<'a>> {
        let mut found = None;
        let mut deserializer = serde_json::Deserializer::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
        Find { steps: &self.0, found: &mut found }.deserialize(&mut deserializer).ok()?;
        scalar(found?)
    }

    /// How many elements the array at this place has.
    pub(crate) fn count(&self, body: &[u8]) -> Option<usize> {
        let mut found = None;
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        Find { steps: &self.0, found: &mut found }.deserialize(&mut deserializer).ok()?;
        serde_json::from_str::<Vec<IgnoredAny>>(found?.get()).ok().map(|elements| elements.len())
    }
}

/// The keys of the object that the body is, in order.
pub(crate) fn top_level_keys(body: &[u8]) -> Vec<String> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    serde_json::Deserializer::from_slice(body).deserialize_map(Keys).unwrap_or_default()
}

fn scalar(raw: &RawValue) -> Option<Scalar<'_>> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' if !text.contains('\\') => Some(Scalar { text: Cow::Borrowed(&text[1..text.len() - 1]), is_number: false }),
        b'"' => serde_json::from_str(text).ok().map(|text: String| Scalar { text: Cow::Owned(text), is_number: false }),
        b'-' | b'0'..=b'9' => Some(Scalar { text: Cow::Borrowed(text), is_number: true }),
        _ => None,
    }
}

struct Find<'p, 'f, 'de> {
    steps: &'p [Step],
    found: &'f mut Option<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for Find<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.steps.is_empty() {
            *self.found = Some(serde::Deserialize::deserialize(deserializer)?);
            return Ok(());
        }
        // What an earlier value of a repeated key had is forgotten: the last one counts.
        *self.found = None;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.steps else { return Ok(()) };
        while let Some(is_wanted) = map.next_key_seed(KeyIs(&step.key))? {
            if is_wanted {
                map.next_value_seed(Find { steps: rest, found: &mut *self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.steps else { return Ok(()) };
        for index in 0.. {
            let element = if step.index == Some(index) {
                seq.next_element_seed(Find { steps: rest, found: &mut *self.found })?
            } else {
                seq.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if element.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Compares a key where it lies, so that passing over an object allocates nothing.
struct KeyIs<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str, body: &str) -> Option<String> {
        Path::parse(path).unwrap().find(body.as_bytes()).map(|scalar| scalar.text.into_owned())
    }

    #[test]
    fn finds_strings_and_numbers() {
        let body = r#"{"a":[{"b":"x"},{"b":{"c-d":"\u00e9\n"}}],"n":12345678901234567890123,"z":null,"t":true,"0":"zero"}"#;
        let cases = [
            ("$.a.0.b", Some("x")),
            ("$.a.1.b.c-d", Some("é\n")),
            ("$.n", Some("12345678901234567890123")),
            ("$.0", Some("zero")),
            ("$.z", None),
            ("$.t", None),
            ("$.a", None),
            ("$.a.2.b", None),
            ("$.a.b", None),
            ("$.n.x", None),
        ];
        for (path, expected) in cases {
            assert_eq!(find(path, body).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn takes_the_last_of_repeated_keys_and_the_first_of_several_values() {
        assert_eq!(find("$.a", r#"{"a":"1","a":"2"}"#).as_deref(), Some("2"));
        assert_eq!(find("$.a.b", r#"{"a":{"b":"1"},"a":{"c":"2"}}"#), None);
        assert_eq!(find("$.a", "{\"a\":\"1\"}\n{\"a\":\"2\"}\n").as_deref(), Some("1"));
        assert_eq!(find("$.a", "\u{feff}{\"a\":\"1\"}").as_deref(), Some("1"));
    }

    #[test]
    fn finds_nothing_in_what_is_no_json() {
        for body in ["", "hello", "{\"a\":\"1\"", "{\"a\":\"1\",}", "<a/>"] {
            assert_eq!(find("$.a", body), None, "{body}");
        }
        assert_eq!(find("$.a", &"[".repeat(100_000)), None);
    }

    #[test]
    fn counts_and_lists() {
        assert_eq!(Path::parse("$.a").unwrap().count(br#"{"a":[1,{},[]]}"#), Some(3));
        assert_eq!(Path::parse("$.a").unwrap().count(br#"{"a":{}}"#), None);
        assert_eq!(top_level_keys(br#"{"b":1,"a":{"c":2}}"#), ["b", "a"]);
        assert!(top_level_keys(b"[]").is_empty());
    }
}
