//! A request as it arrived, and as it is to be sent. Reads headers, query and form; never decides whether to believe them.

use std::borrow::Cow;
use std::net::IpAddr;

use hookpost_domain::multipart::{Part, Parts};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded;

use crate::verdict::{Rejection, RejectionCode};

/// A request exactly as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// In upper case, as on the wire.
    pub method: &'a str,
    /// As the sender wrote it, with scheme and host: behind a proxy, the public one.
    pub url: &'a str,
    /// A header that came twice is in here twice.
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// Who opened the connection; only the allowlist of addresses asks for it.
    pub peer_ip: Option<IpAddr>,
}

/// A request that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct UnsignedRequest<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// A request that verifies: what was unsigned, with what the scheme adds, wherever it adds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    pub method: String,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl SignedRequest {
    pub fn as_request(&self) -> Request<'_> {
        Request { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body, peer_ip: None }
    }

    pub(crate) fn from_unsigned(unsigned: &UnsignedRequest<'_>) -> Self {
        Self {
            method: unsigned.method.to_owned(),
            url: unsigned.url.to_owned(),
            headers: unsigned.headers.clone(),
            body: unsigned.body.to_vec(),
        }
    }

    /// Puts a header in the place of any other of its name. What cannot stand in a header is left out, so it will not verify.
    pub(crate) fn set_header(&mut self, name: &HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.insert(name, value);
        }
    }
}

impl<'a> Request<'a> {
    /// The value of a header, without the white space around it, which is not part of it. One that came several times with
    /// different values says nothing for certain, and is refused.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Option<&'a str>, Rejection> {
        let mut values = self.headers.get_all(name).iter();
        let Some(first) = values.next() else { return Ok(None) };
        if values.any(|other| other != first) {
            let detail = format!("The header `{name}` came more than once, with different values.");
            return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
        }
        text(name, first).map(Some)
    }

    pub(crate) fn required_header(&self, name: &HeaderName) -> Result<&'a str, Rejection> {
        self.header(name)?.ok_or_else(|| Rejection::missing_header(name))
    }

    /// All values of a header that is a list, in the order they came.
    pub(crate) fn header_values(&self, name: &HeaderName) -> impl Iterator<Item = Result<&'a str, Rejection>> {
        let name = name.clone();
        self.headers.get_all(&name).iter().map(move |value| text(&name, value))
    }

    /// The part of the URL between `?` and `#`.
    pub(crate) fn query(&self) -> Option<&'a str> {
        let url = self.url.split_once('#').map_or(self.url, |(before, _)| before);
        url.split_once('?').map(|(_, query)| query)
    }

    /// The path of the URL, as it was written.
    pub(crate) fn path(&self) -> &'a str {
        let before_query = self.url.split_once(['?', '#']).map_or(self.url, |(before, _)| before);
        let after_scheme = before_query.split_once("://").map_or(before_query, |(_, rest)| rest);
        after_scheme.find('/').map_or("/", |at| &after_scheme[at..])
    }

    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    pub(crate) fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the body is a form, or may be one because nothing says what it is.
    pub(crate) fn is_form(&self) -> bool {
        self.media_type().is_none_or(|media_type| media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    }

    pub(crate) fn media_type(&self) -> Option<&'a str> {
        let value = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split_once(';').map_or(value, |(media_type, _)| media_type).trim())
    }

    pub(crate) fn form_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        form_urlencoded::parse(if self.is_form() { self.body } else { b"" })
    }

    /// A field of a form, whichever of the two kinds of form it is. Files are no fields.
    pub(crate) fn form_value(&self, name: &str) -> Option<Cow<'a, str>> {
        if self.media_type().is_some_and(|media_type| media_type.eq_ignore_ascii_case("multipart/form-data")) {
            let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
            let is_wanted = |part: &Part<'_>| !part.is_file && part.name == name;
            let part = Parts::of(content_type, self.body).ok()?.map_while(Result::ok).find(is_wanted)?;
            return std::str::from_utf8(part.value).ok().map(Cow::Borrowed);
        }
        self.form_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Rejection> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map(|text| text.trim_matches([' ', '\t']))
        .map_err(|_| Rejection::new(RejectionCode::MalformedHeader, format!("The header `{name}` is not UTF-8.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_in_both_kinds_of_form() {
        let parts = "--B\r\nContent-Disposition: form-data; name=\"id\"; filename=\"id\"\r\n\r\na file\r\n\
            --B\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n1 2\r\n--B--\r\n";
        for (content_type, body, found) in [
            (Some("multipart/form-data; boundary=B"), parts, Some("1 2")),
            (Some("Multipart/Form-Data; boundary=\"B\""), parts, Some("1 2")),
            (Some("multipart/form-data"), parts, None),
            (Some("multipart/form-data; boundary=B"), "id=1", None),
            (Some("application/x-www-form-urlencoded"), "x=0&id=1+2&id=3", Some("1 2")),
            (None, "id=1%202", Some("1 2")),
            (Some("application/json"), "id=1", None),
        ] {
            let headers = content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).into_iter().collect();
            let request = Request { method: "POST", url: "/", headers: &headers, body: body.as_bytes(), peer_ip: None };
            assert_eq!(request.form_value("id").as_deref(), found, "{content_type:?} {body}");
        }
    }

    #[test]
    fn finds_path_and_query() {
        let cases = [
            ("https://a.example/in/x?b=1&c=2#d", "/in/x", Some("b=1&c=2")),
            ("https://a.example", "/", None),
            ("https://a.example?b=/c", "/", Some("b=/c")),
            ("https://a.example/?b=c/d", "/", Some("b=c/d")),
            ("/in/x", "/in/x", None),
            ("", "/", None),
        ];
        let headers = HeaderMap::new();
        for (url, path, query) in cases {
            let request = Request { method: "POST", url, headers: &headers, body: b"", peer_ip: None };
            assert_eq!((request.path(), request.query()), (path, query), "{url}");
        }
    }
}
