//! A request as rules see it. Its body is decoded and parsed when the first rule asks for it; most requests are never parsed.

use std::borrow::Cow;
use std::sync::OnceLock;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::Value;
use url::form_urlencoded;

use crate::encoding::{self, Unreadable};
use crate::form;
use crate::path::JsonPath;
use crate::template::Found;

#[derive(Debug)]
pub struct Incoming<'a> {
    pub method: &'a str,
    /// What follows the address of the source: `/orders`, or nothing.
    pub path: &'a str,
    /// Without the `?`.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// As it arrived.
    pub body: &'a [u8],
    /// How large the body may become by decoding.
    decoded_bytes_max: usize,
    document: OnceLock<Result<Option<Value>, Unreadable>>,
}

impl<'a> Incoming<'a> {
    pub fn new(headers: &'a HeaderMap, body: &'a [u8], decoded_bytes_max: usize) -> Self {
        Self { method: "POST", path: "", query: "", headers, body, decoded_bytes_max, document: OnceLock::new() }
    }

    /// The first value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The body without its content encoding.
    pub fn decoded(&self) -> Result<Cow<'a, [u8]>, Unreadable> {
        if !self.headers.contains_key(CONTENT_ENCODING) {
            return Ok(Cow::Borrowed(self.body));
        }
        let encodings: Vec<_> =
            self.headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        encoding::decoded(&encodings.join(","), self.body, self.decoded_bytes_max)
    }

    /// The body as a document that paths lead into; `None` where it is nothing of the kind: XML, text, a picture, nothing at all.
    pub fn document(&self) -> Result<Option<&Value>, &Unreadable> {
        self.document.get_or_init(|| self.parse()).as_ref().map(Option::as_ref)
    }

    /// What a path leads to: for templates, where what cannot be read is nothing.
    pub fn find_in_body(&self, path: &JsonPath) -> Found<'_> {
        match self.document() {
            Ok(Some(document)) => Found::of_json(path.first(document)),
            _ if path.is_root() => {
                self.decoded().map_or(Found::Nothing, |body| Found::Text(Cow::Owned(String::from_utf8_lossy(&body).into_owned())))
            }
            _ => Found::Nothing,
        }
    }

    fn parse(&self) -> Result<Option<Value>, Unreadable> {
        let body = self.decoded()?;
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match Form::of(content_type) {
            Form::UrlEncoded => Ok(Some(form::url_encoded(&body))),
            Form::Multipart => form::multipart(content_type, &body).map(Some),
            Form::Json => serde_json::from_slice(without_mark(&body)).map(Some).map_err(|error| Unreadable::NotJson(error.to_string())),
            // Much JSON comes as text/plain, or as nothing in particular.
            Form::Other if without_mark(&body).iter().find(|c| !c.is_ascii_whitespace()).is_some_and(|c| matches!(c, b'{' | b'[')) => {
                Ok(serde_json::from_slice(without_mark(&body)).ok())
            }
            Form::Other => Ok(None),
        }
    }
}

/// Some senders on Windows put a byte order mark before their JSON.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

enum Form {
    Json,
    UrlEncoded,
    Multipart,
    Other,
}

impl Form {
    fn of(content_type: &str) -> Self {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is = |wanted: &str| media_type.eq_ignore_ascii_case(wanted);
        let ends_with = |end: &str| {
            let start = media_type.len().checked_sub(end.len());
            start.and_then(|start| media_type.get(start..)).is_some_and(|own| own.eq_ignore_ascii_case(end))
        };
        if is("application/json") || is("text/json") || ends_with("+json") {
            Self::Json
        } else if is("application/x-www-form-urlencoded") {
            Self::UrlEncoded
        } else if is("multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn document(content_type: Option<&'static str>, body: &[u8]) -> String {
        let headers = content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).into_iter().collect();
        match Incoming::new(&headers, body, 1000).document() {
            Ok(Some(document)) => document.to_string(),
            Ok(None) => "nothing".to_owned(),
            Err(unreadable) => unreadable.code().to_owned(),
        }
    }

    #[test]
    fn a_body_is_read_by_what_it_says_it_is() {
        for (content_type, body, expected) in [
            (Some("application/json"), &b"{\"a\":1}"[..], r#"{"a":1}"#),
            (Some("application/JSON; charset=utf-8"), b" [1]", "[1]"),
            (Some("application/cloudevents+json"), b"\xef\xbb\xbf{}", "{}"),
            (Some("application/json"), b"7", "7"),
            (Some("application/json"), b"{", "malformed_body"),
            (Some("application/json"), b"", "malformed_body"),
            (Some("application/json"), b"\xff\xfe", "malformed_body"),
            (Some("application/x-www-form-urlencoded"), b"a=1", r#"{"a":"1"}"#),
            (Some("multipart/form-data"), b"", "malformed_body"),
            (Some("text/plain; charset=UTF-8"), b"{\"Type\":\"Notification\"}", r#"{"Type":"Notification"}"#),
            (Some("text/plain"), b"{hello}", "nothing"),
            (Some("application/xml"), b"<a/>", "nothing"),
            (None, b"[]", "[]"),
            (None, b"\x00\x01", "nothing"),
        ] {
            assert_eq!(document(content_type, body), expected, "{content_type:?} {body:?}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        assert_eq!(document(Some("application/json"), &b"[".repeat(100_000)), "malformed_body");
    }

    #[test]
    fn a_query_is_decoded() {
        let headers = HeaderMap::new();
        let incoming = Incoming { query: "a=1&b=x%20y&a=2", ..Incoming::new(&headers, b"", 10) };
        assert_eq!(incoming.query_value("b").as_deref(), Some("x y"));
        assert_eq!(incoming.query_value("a").as_deref(), Some("1"));
        assert_eq!(incoming.query_value("c"), None);
    }
}
