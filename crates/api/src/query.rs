//! Reads query strings into structs, with the name of each wrong parameter.
//!
//! Lists may be given as `a,b`, repeated, or with indexes (`k[]=a`, `k[0]=a`): all spellings that clients use. Of a parameter that is no list the last
//! one counts; an empty one counts as absent.

use std::borrow::Cow;
use std::cell::Cell;

use serde::de::value::{Error, SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::problem::{FieldError, MISSING, VALUE_ERROR};

type Parameter<'a> = (Cow<'a, str>, Vec<Cow<'a, str>>);

pub(crate) fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Vec<FieldError>> {
    let mut parameters = parameters(query);
    let mut errors = Vec::new();
    loop {
        let current = Cell::new(None);
        let result = T::deserialize(Map { parameters: &parameters, next: 0, current: &current });
        match (result, current.get()) {
            (Ok(value), _) if errors.is_empty() => return Ok(value),
            (Ok(_), _) => return Err(errors),
            (Err(error), Some(index)) => {
                // Without this one the others can be judged too.
                let (name, _) = parameters.remove(index);
                errors.push(wrong(&name, error.to_string(), VALUE_ERROR));
            }
            (Err(error), None) => {
                let text = error.to_string();
                match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
                    // It may be missing because it was wrong.
                    Some(name) if errors.iter().any(|known| known.loc[1] == name) => {}
                    Some(name) => errors.push(wrong(name, "This parameter is required.".to_owned(), MISSING)),
                    None => errors.push(wrong("?", text, VALUE_ERROR)),
                }
                return Err(errors);
            }
        }
    }
}

fn wrong(name: &str, msg: String, r#type: &'static str) -> FieldError {
    FieldError { loc: vec!["query".to_owned(), name.to_owned()], msg, r#type }
}

fn parameters(query: &str) -> Vec<Parameter<'_>> {
    let mut parameters: Vec<Parameter<'_>> = Vec::new();
    for (mut name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if let Some(bracket) = name.find('[').filter(|_| name.ends_with(']')) {
            name = name[..bracket].to_owned().into();
        }
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            _ if value.is_empty() => {}
            Some((_, values)) => values.push(value),
            None => parameters.push((name, vec![value])),
        }
    }
    parameters
}

struct Map<'a> {
    parameters: &'a [Parameter<'a>],
    next: usize,
    /// Whose value is being read, so that an error knows its parameter.
    current: &'a Cell<Option<usize>>,
}

impl<'de> serde::Deserializer<'de> for Map<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Map<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, _)) = self.parameters.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let index = self.next;
        self.next += 1;
        self.current.set(Some(index));
        let value = seed.deserialize(Values(&self.parameters[index].1))?;
        self.current.set(None);
        Ok(value)
    }
}

/// What was given for one parameter; never empty.
struct Values<'a>(&'a [Cow<'a, str>]);

impl Values<'_> {
    fn last(&self) -> &str {
        self.0.last().map_or("", AsRef::as_ref)
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty;)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number: $type = self.last().parse().map_err(|_| Error::custom(format!("must be a whole number, not `{}`", short(self.last()))))?;
            visitor.$visit(number)
        }
    )* };
}

impl<'de> serde::Deserializer<'de> for Values<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.last())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.last() {
            "true" | "True" | "1" => visitor.visit_bool(true),
            "false" | "False" | "0" => visitor.visit_bool(false),
            other => Err(Error::custom(format!("must be `true` or `false`, not `{}`", short(other)))),
        }
    }

    whole_numbers! {
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = self.0.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: StrDeserializer<'_, Error> = self.last().into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Asked {
        limit: Option<u64>,
        with_content: Option<bool>,
        order: Option<Order>,
        #[serde(default)]
        event_types: Vec<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Ascending,
    }

    #[test]
    fn reads_every_spelling_of_a_list() {
        for query in
            ["event_types=a,b", "event_types=a&event_types=b", "event_types[]=a&event_types[]=b", "event_types%5B0%5D=a&event_types[1]=b"]
        {
            let asked: Asked = parse(query).unwrap();
            assert_eq!(asked.event_types, ["a", "b"], "{query}");
        }
    }

    #[test]
    fn reads_scalars() {
        let asked: Asked = parse("limit=3&with_content=false&order=ascending&other=1&limit=4&iterator=").unwrap();
        let expected = Asked { limit: Some(4), with_content: Some(false), order: Some(Order::Ascending), event_types: vec![] };
        assert_eq!(asked, expected);
    }

    #[test]
    fn names_everything_that_is_wrong() {
        let errors = parse::<Asked>("limit=-1&with_content=perhaps&order=up").unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.loc.join("."), error.msg)).collect();
        assert_eq!(
            found,
            [
                "query.limit: must be a whole number, not `-1`",
                "query.with_content: must be `true` or `false`, not `perhaps`",
                "query.order: unknown variant `up`, expected `ascending`",
            ]
        );
    }
}
