//! What is signed: a template parsed once, and put together for each request without copying the body.

use std::borrow::Cow;

use http::HeaderName;
use serde_json::Value;
use url::form_urlencoded;

use super::{Elements, SecondText};
use crate::keys::Text;
use crate::location::{Source, Sources, header_name};
use crate::request::{Request, SignedRequest};
use crate::settings::{Settings, SettingsError};
use crate::template::{self, Piece};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(Box<str>),
    Body,
    Timestamp,
    Method,
    Url,
    /// A URL that the settings fix.
    Fixed(Box<str>),
    Element(Box<str>),
    /// The values of the headers that this element names, joined by dots.
    Covered(Box<str>),
    At(Sources),
}

/// What there is to put into the holes.
pub(super) struct Scene<'s, 'a, 'e> {
    pub(super) request: &'s Request<'a>,
    pub(super) timestamp: Option<&'s str>,
    pub(super) elements: &'s Elements<'e>,
    pub(super) second: SecondText,
}

pub(super) fn parse(template: &str, settings: &Settings) -> Result<Vec<Part>, SettingsError> {
    let refused = |rule: String| SettingsError::new("config.template", rule);
    let fixed = |url: &Option<String>| url.as_deref().map_or(Part::Url, |url| Part::Fixed(url.into()));
    let part = |piece: Piece<'_>| {
        Ok(match piece {
            Piece::Text(text) => Part::Text(text.into()),
            Piece::Hole("body") => Part::Body,
            Piece::Hole("timestamp") => Part::Timestamp,
            Piece::Hole("method") => Part::Method,
            Piece::Hole("url") => Part::Url,
            Piece::Hole("notification_url") => fixed(&settings.notification_url),
            Piece::Hole("callback_url") => fixed(&settings.callback_url),
            Piece::Hole(hole) => match hole.split_once(':') {
                Some(("element", key)) => Part::Element(key.into()),
                Some(("covered", key)) => Part::Covered(key.into()),
                _ => Part::At(Sources::parse(hole).map_err(refused)?),
            },
        })
    };
    template::split(template).map_err(refused)?.into_iter().map(part).collect()
}

pub(super) fn assemble<'s>(parts: &'s [Part], scene: &Scene<'s, '_, '_>) -> Result<Text<'s>, Rejection> {
    let request = scene.request;
    let mut text = Text::new();
    for part in parts {
        text.push(match part {
            Part::Text(text) => Cow::Borrowed(text.as_bytes()),
            Part::Body if scene.second == SecondText::EscapedBody => Cow::Owned(escape(request.body)),
            Part::Body => Cow::Borrowed(request.body),
            Part::Timestamp => Cow::Borrowed(scene.timestamp.unwrap_or_default().as_bytes()),
            Part::Method => Cow::Borrowed(request.method.as_bytes()),
            Part::Url if scene.second == SecondText::DecodedUrl => Cow::Owned(decode_url(request.url)),
            Part::Url => Cow::Borrowed(request.url.as_bytes()),
            Part::Fixed(url) => Cow::Borrowed(url.as_bytes()),
            Part::Element(key) => Cow::Borrowed(scene.elements.one(key)?.as_bytes()),
            Part::Covered(key) => Cow::Owned(covered(request, scene.elements.one(key)?)?.into_bytes()),
            Part::At(sources) => match sources.find(request)? {
                Some(Cow::Borrowed(found)) => Cow::Borrowed(found.as_bytes()),
                Some(Cow::Owned(found)) => Cow::Owned(found.into_bytes()),
                None => return Err(not_there(sources.first())),
            },
        });
    }
    Ok(text)
}

/// Gives what is signed and not there yet a value: the id.
pub(super) fn fill(parts: &[Part], id: &str, request: &mut SignedRequest, elements: &mut Elements<'static>) -> Result<(), CannotSign> {
    for part in parts {
        match part {
            Part::At(sources) if !sources.find(&request.as_request()).is_ok_and(|found| found.is_some()) => {
                put(sources.first(), id, request)?;
            }
            Part::Element(key) => {
                let names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
                elements.push(key, &names.join(" "));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes a value to its place in a request that is being signed.
pub(super) fn put(source: &Source, value: &str, request: &mut SignedRequest) -> Result<(), CannotSign> {
    let (path, value) = match source {
        Source::Header(name) => {
            request.set_header(name, value);
            return Ok(());
        }
        Source::Query(name) => {
            let separator = if request.url.contains('?') { '&' } else { '?' };
            let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
            request.url = format!("{}{separator}{pair}", request.url);
            return Ok(());
        }
        Source::Json(path) => (path, Value::from(value)),
        Source::JsonNumber(path) => (path, value.parse::<i64>().map_or(Value::Null, Value::from)),
        other => return Err(CannotSign::new(format!("{} cannot be written here.", other.describe()))),
    };
    let refused = || CannotSign::new("The signature is part of the body here, so the body must be a JSON object.");
    let mut body: Value = serde_json::from_slice(&request.body).map_err(|_| refused())?;
    let mut place = &mut body;
    for key in path.keys() {
        place = place.as_object_mut().ok_or_else(refused)?.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    *place = value;
    request.body = body.to_string().into_bytes();
    Ok(())
}

pub(super) fn headers(parts: &[Part]) -> impl Iterator<Item = HeaderName> {
    parts.iter().filter_map(|part| match part {
        Part::At(sources) => sources.headers().next().cloned(),
        _ => None,
    })
}

fn covered(request: &Request<'_>, names: &str) -> Result<String, Rejection> {
    let value = |name| {
        let name =
            header_name(name).map_err(|rule| Rejection::new(RejectionCode::MalformedHeader, format!("The signature header {rule}.")))?;
        request.required_header(&name)
    };
    let values: Vec<_> = names.split_ascii_whitespace().map(value).collect::<Result<_, _>>()?;
    Ok(values.join("."))
}

fn not_there(source: &Source) -> Rejection {
    match source {
        Source::Header(name) => Rejection::missing_header(name),
        other => {
            Rejection::new(RejectionCode::MalformedBody, format!("{} is missing, and it is part of what is signed.", other.describe()))
        }
    }
}

/// JSON with what is not ASCII as `\uXXXX` and `/` as `\/`.
pub(crate) fn escape(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut escaped = Vec::with_capacity(body.len());
    for character in text.chars() {
        match character {
            '/' => escaped.extend_from_slice(b"\\/"),
            ascii if ascii.is_ascii() => escaped.push(ascii as u8),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    escaped.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
    escaped
}

/// The URL with those codes decoded that HubSpot lists.
fn decode_url(url: &str) -> Vec<u8> {
    const CODES: [(&str, &str); 12] = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%3F", "?"),
        ("%40", "@"),
        ("%21", "!"),
        ("%24", "$"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%2C", ","),
        ("%3B", ";"),
    ];
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let code = rest.get(at..at + 3);
        let known = code.and_then(|code| CODES.iter().find(|(written, _)| written.eq_ignore_ascii_case(code)));
        decoded.push_str(known.map_or("%", |(_, character)| character));
        rest = &rest[at + if known.is_some() { 3 } else { 1 }..];
    }
    decoded.push_str(rest);
    decoded.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_the_listed_codes_once() {
        let decoded = |url| String::from_utf8(decode_url(url)).unwrap();
        assert_eq!(decoded("https://a.example/?b=%3a%2F%40&c=%20%E6%9D%B1%2"), "https://a.example/?b=:/@&c=%20%E6%9D%B1%2");
        assert_eq!(decoded("%%3A%253A東"), "%:%253A東");
    }

    #[test]
    fn escapes_as_box_does() {
        assert_eq!(escape("{\"a\":\"/é𝄞\"}".as_bytes()), br#"{"a":"\/\u00e9\ud834\udd1e"}"#);
    }
}
