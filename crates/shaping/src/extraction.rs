//! One value of a request, by the rule that says where it stands.

use std::borrow::Cow;

use hookpost_domain::Invalid;
use hookpost_domain::source::Extraction;
use http::HeaderName;
use serde_json::Value;

use crate::encoding::Unreadable;
use crate::incoming::Incoming;
use crate::path::JsonPath;
use crate::template::{Found, Template, Variables};

/// Values that one rule gives; a wildcard could give thousands.
const VALUES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 1024;

/// What the provider itself calls an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'a> {
    pub event_id: Option<&'a str>,
    pub event_type: Option<&'a str>,
}

/// An [`Extraction`] that was checked, ready to be used many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompiledExtraction {
    Header(HeaderName),
    Query(String),
    Path(JsonPath),
    Template(Template),
    Value(String),
}

impl CompiledExtraction {
    pub fn compile(extraction: &Extraction) -> Result<Self, Invalid> {
        Ok(match extraction {
            Extraction::Header(name) => Self::Header(header_name(name)?),
            Extraction::Query(name) if name.is_empty() => return Err(Invalid::new("must name a parameter of the query")),
            Extraction::Query(name) => Self::Query(name.clone()),
            Extraction::Path(path) => Self::Path(JsonPath::parse(path)?),
            Extraction::Template(template) => Self::Template(Template::parse(template, RequestVariables::NAMES)?),
            Extraction::Value(value) if value.is_empty() => return Err(Invalid::new("must not be empty")),
            Extraction::Value(value) => Self::Value(value.clone()),
        })
    }

    /// The first value that is not empty.
    pub fn first(&self, incoming: &Incoming<'_>, said: Said<'_>) -> Result<Option<String>, Unreadable> {
        Ok(self.values(incoming, said)?.into_iter().next())
    }

    /// All values, without empty ones. An array stands for its items; what has parts is written as JSON.
    pub fn values(&self, incoming: &Incoming<'_>, said: Said<'_>) -> Result<Vec<String>, Unreadable> {
        let mut values: Vec<String> = match self {
            Self::Header(name) => {
                let texts = incoming.headers.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
                texts.take(VALUES_MAX).map(str::to_owned).collect()
            }
            Self::Query(name) => incoming.query_value(name).map(Cow::into_owned).into_iter().collect(),
            Self::Path(path) => incoming.document().map_err(Clone::clone)?.map(|document| texts_at(path, document)).unwrap_or_default(),
            Self::Template(template) => {
                if template.mentions("body") {
                    incoming.document().map_err(Clone::clone)?;
                }
                // What is too long for any value is none.
                template.render(&RequestVariables { incoming, said }).into_iter().collect()
            }
            Self::Value(value) => vec![value.clone()],
        };
        values.retain(|value| !value.trim().is_empty() && value.len() <= VALUE_BYTES_MAX);
        Ok(values)
    }
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Invalid::new(format!("names the header {name:?}, which is no name of a header")))
}

fn texts_at(path: &JsonPath, document: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    for value in path.all(document, VALUES_MAX) {
        match value {
            Value::Array(items) => texts.extend(items.iter().map(text_of)),
            value => texts.push(text_of(value)),
        }
    }
    texts.truncate(VALUES_MAX);
    texts
}

fn text_of(value: &Value) -> String {
    Found::of_json(Some(value)).into_text().into_owned()
}

/// What every template about a request can say.
#[derive(Debug)]
pub struct RequestVariables<'a> {
    pub incoming: &'a Incoming<'a>,
    pub said: Said<'a>,
}

impl RequestVariables<'_> {
    pub const NAMES: &'static [&'static str] = &["method", "path", "query", "headers", "body", "event"];
}

impl Variables for RequestVariables<'_> {
    fn find(&self, name: &str, path: &JsonPath) -> Found<'_> {
        let text = |text: Option<Cow<'_, str>>| text.map_or(Found::Nothing, |text| Found::Text(Cow::Owned(text.into_owned())));
        let incoming = self.incoming;
        match (name, path.as_name()) {
            ("body", _) => incoming.find_in_body(path),
            ("headers", Some(header)) => text(incoming.header(header).map(Cow::Borrowed)),
            ("query", Some(parameter)) => text(incoming.query_value(parameter)),
            ("query", None) if path.is_root() => text(Some(Cow::Borrowed(incoming.query))),
            ("method", None) if path.is_root() => text(Some(Cow::Borrowed(incoming.method))),
            ("path", None) if path.is_root() => text(Some(Cow::Borrowed(incoming.path))),
            ("event", Some("id")) => text(self.said.event_id.map(Cow::Borrowed)),
            ("event", Some("type")) => text(self.said.event_type.map(Cow::Borrowed)),
            _ => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn request() -> (HeaderMap, &'static [u8]) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        headers.append("x-topic", "orders/create".parse().unwrap());
        headers.append("x-topic", "second".parse().unwrap());
        (
            headers,
            br#"{"data": {"id": 7, "labels": [{"name": "a"}, {"name": "b"}], "tags": ["x", null, "y"], "none": null, "at": {"k": 1}}}"#,
        )
    }

    fn values(extraction: &Extraction) -> Vec<String> {
        let (headers, body) = request();
        let mut incoming = Incoming::new(&headers, body, 1000);
        (incoming.query, incoming.path) = ("tenant=a%2Fb", "/orders");
        let said = Said { event_id: Some("evt_1"), event_type: Some("order.paid") };
        CompiledExtraction::compile(extraction).unwrap().values(&incoming, said).unwrap()
    }

    #[test]
    fn values_are_found_everywhere_in_a_request() {
        use Extraction::{Header, Path, Query, Template, Value};
        for (extraction, expected) in [
            (Header("X-Topic".into()), &["orders/create", "second"][..]),
            (Header("x-other".into()), &[]),
            (Query("tenant".into()), &["a/b"]),
            (Query("other".into()), &[]),
            (Path("$.data.id".into()), &["7"]),
            (Path("$.data.labels[*].name".into()), &["a", "b"]),
            (Path("$.data.tags".into()), &["x", "y"]),
            (Path("$.data.at".into()), &[r#"{"k":1}"#]),
            (Path("$.data.none".into()), &[]),
            (Template("{{ body.data.id }}-{{ headers.x-topic }}-{{ query.tenant }}{{ path }}".into()), &["7-orders/create-a/b/orders"]),
            (Template("{{ event.type }}:{{ event.id }}:{{ method }}:{{ query }}".into()), &["order.paid:evt_1:POST:tenant=a%2Fb"]),
            (Template("{{ body.nothing }} ".into()), &[]),
            (Value("fixed".into()), &["fixed"]),
        ] {
            assert_eq!(values(&extraction), expected, "{extraction:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_taken_for_nothing() {
        let headers: HeaderMap = [(CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect();
        let incoming = Incoming::new(&headers, b"{", 1000);
        for (extraction, fails) in [
            (Extraction::Path("$.a".into()), true),
            (Extraction::Template("{{ body.a }}".into()), true),
            (Extraction::Template("{{ headers.content-type }}".into()), false),
            (Extraction::Value("a".into()), false),
        ] {
            assert_eq!(CompiledExtraction::compile(&extraction).unwrap().values(&incoming, Said::default()).is_err(), fails);
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for extraction in [
            Extraction::Header("a b".into()),
            Extraction::Query(String::new()),
            Extraction::Path("$..".into()),
            Extraction::Template("{{ x }}".into()),
            Extraction::Value(String::new()),
        ] {
            assert!(CompiledExtraction::compile(&extraction).is_err(), "{extraction:?}");
        }
    }
}
