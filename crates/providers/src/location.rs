//! Where a value is in a request: a header, a place in the JSON body, a form field. Reads; never decides what a value means.
//!
//! Written as `header:x-id`, `query:id`, `form:id`, `$.path.0.in.the.body`, `form-json:payload:$.type`; `number:$.path` is a
//! JSON number and no string. Further: `key:*_events` (the first key of the body with this end), `key:!update_id` (the first
//! that is another one), `cloudevent:id`, `xml:Id` and `xml-type:sObject` (SOAP), `signed-id` (the id that the signature covers).
//! Alternatives are separated by ` | `, and `{…}` composes: `{$.object}.{$.action}`.

use std::borrow::Cow;

use http::HeaderName;

use crate::cloudevents;
use crate::json::{self, Path};
use crate::request::Request;
use crate::schemes::soap;
use crate::template::{self, Piece};
use crate::verdict::Rejection;

#[derive(Debug, Clone)]
pub(crate) enum Source {
    Header(HeaderName),
    Query(Box<str>),
    Form(Box<str>),
    FormJson(Box<str>, Path),
    Json(Path),
    JsonNumber(Path),
    KeyEndingIn(Box<str>),
    KeyOtherThan(Box<str>),
    CloudEvent(Box<str>),
    Xml(Box<str>),
    XmlType(Box<str>),
    SignedId,
}

/// The sources of one value, the best first.
#[derive(Debug, Clone)]
pub(crate) struct Sources(Vec<Source>);

/// Where an event id or type is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Location(Vec<Alternative>);

#[derive(Debug, Clone)]
enum Alternative {
    One(Source),
    Composed(Vec<Part>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(Box<str>),
    Source(Source),
}

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let path = |path: &str| Path::parse(path).ok_or_else(|| format!("has a path that is not like `$.data.id`: `{path}`"));
        if text == "signed-id" {
            return Ok(Self::SignedId);
        }
        if text.starts_with('$') {
            return path(text).map(Self::Json);
        }
        match text.split_once(':') {
            Some(("header", name)) => header_name(name).map(Self::Header),
            Some(("query", name)) => Ok(Self::Query(name.into())),
            Some(("form", name)) => Ok(Self::Form(name.into())),
            Some(("form-json", rest)) => {
                let (name, rest) = rest.split_once(':').ok_or_else(|| format!("is not like `form-json:payload:$.type`: `{text}`"))?;
                Ok(Self::FormJson(name.into(), path(rest)?))
            }
            Some(("number", rest)) => path(rest).map(Self::JsonNumber),
            Some(("key", pattern)) => match (pattern.strip_prefix('*'), pattern.strip_prefix('!')) {
                (Some(end), _) => Ok(Self::KeyEndingIn(end.into())),
                (_, Some(other)) => Ok(Self::KeyOtherThan(other.into())),
                _ => Err(format!("is not like `key:*_events` or `key:!id`: `{text}`")),
            },
            Some(("cloudevent", attribute)) => Ok(Self::CloudEvent(attribute.into())),
            Some(("xml", element)) => Ok(Self::Xml(element.into())),
            Some(("xml-type", element)) => Ok(Self::XmlType(element.into())),
            _ => Err(format!("has a place that is neither `header:…`, `$.…`, `form:…` nor `query:…`: `{text}`")),
        }
    }

    /// The value, if it is there. A header that contradicts itself is refused.
    pub(crate) fn find<'a>(&self, request: &Request<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
        Ok(match self {
            Self::Header(name) => request.header(name)?.map(Cow::Borrowed),
            Self::Query(name) => request.query_value(name),
            Self::Form(name) => request.form_value(name),
            Self::FormJson(name, path) => {
                let field = request.form_value(name);
                field.and_then(|field| path.find(field.as_bytes()).map(|scalar| Cow::Owned(scalar.text.into_owned())))
            }
            Self::Json(path) => path.find(request.body).map(|scalar| scalar.text),
            Self::JsonNumber(path) => path.find(request.body).filter(|scalar| scalar.is_number).map(|scalar| scalar.text),
            Self::KeyEndingIn(end) => json::top_level_keys(request.body).into_iter().find(|key| key.ends_with(&**end)).map(Cow::Owned),
            Self::KeyOtherThan(other) => json::top_level_keys(request.body).into_iter().find(|key| **key != **other).map(Cow::Owned),
            Self::CloudEvent(attribute) => cloudevents::attribute(request, attribute),
            Self::Xml(element) => soap::element_text(request.body, element).map(Cow::Owned),
            Self::XmlType(element) => soap::element_type(request.body, element).map(Cow::Owned),
            Self::SignedId => None,
        })
    }

    /// As people call the place.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Header(name) => format!("The header `{name}`"),
            Self::Query(name) => format!("The query parameter `{name}`"),
            Self::Form(name) => format!("The form field `{name}`"),
            Self::Json(path) | Self::JsonNumber(path) | Self::FormJson(_, path) => {
                let keys: Vec<_> = path.keys().collect();
                format!("The field `{}` of the JSON body", keys.join("."))
            }
            _ => "The value in the body".to_owned(),
        }
    }
}

impl Sources {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        text.split('|').map(Source::parse).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn find<'a>(&self, request: &Request<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
        for source in &self.0 {
            if let Some(value) = source.find(request)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    pub(crate) fn first(&self) -> &Source {
        self.0.first().expect("splitting makes at least one, and each was parsed")
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|source| match source {
            Source::Header(name) => Some(name),
            _ => None,
        })
    }
}

impl Location {
    /// The empty text is nowhere.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split('|').map(Alternative::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The value, if any of the places has one that is not empty.
    pub(crate) fn find(&self, request: &Request<'_>, signed_id: Option<&str>) -> Option<String> {
        self.0.iter().find_map(|alternative| alternative.find(request, signed_id).filter(|value| !value.is_empty()))
    }

    /// The header that holds the value, if that is where it is looked for first.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self.0.first() {
            Some(Alternative::One(Source::Header(name))) => Some(name),
            _ => None,
        }
    }
}

impl Alternative {
    fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('{') {
            return Source::parse(text).map(Self::One);
        }
        let part = |piece: Piece<'_>| match piece {
            Piece::Text(text) => Ok(Part::Text(text.into())),
            Piece::Hole(source) => Source::parse(source).map(Part::Source),
        };
        template::split(text.trim())?.into_iter().map(part).collect::<Result<_, _>>().map(Self::Composed)
    }

    fn find(&self, request: &Request<'_>, signed_id: Option<&str>) -> Option<String> {
        let find = |source: &Source| match source {
            Source::SignedId => signed_id.map(str::to_owned),
            source => source.find(request).ok().flatten().map(Cow::into_owned),
        };
        match self {
            Self::One(source) => find(source),
            Self::Composed(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => Some(text.as_ref().to_owned()),
                    Part::Source(source) => find(source),
                })
                .collect(),
        }
    }
}

pub(crate) fn header_name(name: &str) -> Result<HeaderName, String> {
    name.trim().parse().map_err(|_| format!("is not the name of a header: `{name}`"))
}
