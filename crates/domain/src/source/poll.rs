//! Poll sources: what is asked of an address that cannot call us, how often, and where in the answer the items, the cursor and the next page are.
//!
//! Paths and templates are text here; the engine, which evaluates them, reads them before they are taken up. Nothing in here asks anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use super::mistake::Mistake;
use super::secret::ApiSecret;
use crate::limits;
use crate::name::Invalid;
use crate::request::is_sensitive;

/// Asks an address for new items again and again; each item becomes one message. URL, headers and body are templates that know `cursor` and `page`; since
/// they may hold secrets, they are not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Poll {
    pub url: String,
    #[serde(default)]
    pub method: PollMethod,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub auth: Option<PollAuth>,
    #[serde(default)]
    pub body: Option<String>,
    /// Seconds between two polls; the moment within is spread.
    pub every_s: u32,
    /// JSON path of the items: an array, or one item. `None`: the whole answer, which is one item where it is no JSON array.
    #[serde(default)]
    pub items: Option<String>,
    /// JSON path, within an item, of what tells it from the others. `None`: a hash of the whole item, so that an item that changes is a new one.
    #[serde(default)]
    pub item_id: Option<String>,
    /// What is remembered from one poll to the next.
    #[serde(default)]
    pub cursor: Option<PollCursor>,
    /// How one poll goes on to the next page. `None`: with the new cursor, where each page names one.
    #[serde(default)]
    pub next_page: Option<NextPage>,
    /// Pages that one poll asks for. With a cursor, the next poll goes on where the last one stopped.
    #[serde(default = "pages_max_default")]
    pub pages_max: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PollMethod {
    #[default]
    Get,
    Post,
}

impl PollMethod {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// Who we are to the address; sent nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PollAuth {
    Basic(BasicAuth),
    Bearer(ApiSecret),
    Header(HeaderAuth),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    pub user: String,
    pub password: ApiSecret,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderAuth {
    pub name: String,
    pub value: ApiSecret,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PollCursor {
    pub from: CursorPlace,
    /// What `{{cursor}}` is before there was an answer.
    #[serde(default)]
    pub first: String,
}

/// Where an answer says how far we are. An answer that does not say leaves it as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CursorPlace {
    /// JSON path into the answer.
    Path(String),
    Header(String),
    /// JSON path into the last item: for lists that are oldest first.
    LastItem(String),
    /// JSON path into every item, of which the greatest counts once all pages were read: for lists in any order that can be asked for what is newer.
    GreatestItem(String),
}

impl CursorPlace {
    /// Whether every page has its own, so that the next page can be asked for with it.
    pub fn is_of_page(&self) -> bool {
        !matches!(self, Self::GreatestItem(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NextPage {
    /// The same request with the new cursor, until a page has no items or no new cursor.
    Cursor,
    /// `Link: <…>; rel="next"`, with the same host only.
    Link,
    /// JSON path of the URL of the next page, with the same host only.
    Url(String),
    /// JSON path of what the templates know as `page`.
    Token(String),
}

impl Poll {
    /// Everything else as it is where nothing is said.
    pub fn new(url: impl Into<String>, every_s: u32) -> Self {
        Self {
            url: url.into(),
            method: PollMethod::default(),
            headers: BTreeMap::new(),
            auth: None,
            body: None,
            every_s,
            items: None,
            item_id: None,
            cursor: None,
            next_page: None,
            pages_max: pages_max_default(),
        }
    }

    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_s.into())
    }

    /// How this poll goes on; `None`: an answer is all there is.
    pub fn paging(&self) -> Option<&NextPage> {
        let of_page = self.cursor.as_ref().is_some_and(|cursor| cursor.from.is_of_page());
        self.next_page.as_ref().or(of_page.then_some(&NextPage::Cursor))
    }

    /// Every rule that needs no path or template to be read.
    pub fn check(&self) -> Result<(), Mistake> {
        check_url(&self.url)?;
        for (name, value) in &self.headers {
            check_header(name, value).map_err(Mistake::at(&format!("headers.{name}")))?;
            if is_sensitive(name) {
                // Headers are shown to whoever may read the source.
                return Err(Mistake::new(format!("headers.{name}"), "holds a secret, for which `auth` is the place"));
            }
        }
        if let Some(auth) = &self.auth {
            self.check_auth(auth)?;
        }
        if self.body.is_some() && self.method == PollMethod::Get {
            return Err(Mistake::new("body", "must be absent where the method is `GET`"));
        }
        if self.body.as_ref().is_some_and(|body| body.len() > limits::POLL_REQUEST_BYTES_MAX) {
            return Err(Mistake::new("body", format!("must have at most {} bytes", limits::POLL_REQUEST_BYTES_MAX)));
        }
        check_every(self.every_s, limits::POLL_EVERY_S_MIN)?;
        if !(1..=limits::POLL_PAGES_MAX).contains(&self.pages_max) {
            return Err(Mistake::new("pagesMax", format!("must be between 1 and {}", limits::POLL_PAGES_MAX)));
        }
        self.check_cursor()
    }

    fn check_auth(&self, auth: &PollAuth) -> Result<(), Mistake> {
        let (field, name) = match auth {
            PollAuth::Basic(basic) => {
                if basic.user.contains(':') {
                    return Err(Mistake::new("auth.basic.user", "must not contain `:`, which ends it"));
                }
                ("auth.basic", "authorization")
            }
            PollAuth::Bearer(token) => {
                check_header("authorization", token.as_str()).map_err(Mistake::at("auth.bearer"))?;
                ("auth.bearer", "authorization")
            }
            PollAuth::Header(header) => {
                check_header_name(&header.name).map_err(Mistake::at("auth.header.name"))?;
                check_header(&header.name, header.value.as_str()).map_err(Mistake::at("auth.header.value"))?;
                ("auth.header.name", header.name.as_str())
            }
        };
        if self.headers.keys().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(Mistake::new(field, format!("says the header `{name}`, which stands among the `headers` too")));
        }
        Ok(())
    }

    fn check_cursor(&self) -> Result<(), Mistake> {
        if let Some(cursor) = &self.cursor {
            if let CursorPlace::Header(name) = &cursor.from {
                check_header_name(name).map_err(Mistake::at("cursor.from.header"))?;
            }
            if cursor.first.len() > limits::POLL_CURSOR_BYTES_MAX {
                return Err(Mistake::new("cursor.first", format!("must have at most {} bytes", limits::POLL_CURSOR_BYTES_MAX)));
            }
        }
        let of_page = self.cursor.as_ref().is_some_and(|cursor| cursor.from.is_of_page());
        if self.next_page == Some(NextPage::Cursor) && !of_page {
            return Err(Mistake::new("nextPage", "can be `cursor` only where every page names one: by `path`, `header` or `lastItem`"));
        }
        Ok(())
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("method", &self.method).field("every_s", &self.every_s).finish_non_exhaustive()
    }
}

fn pages_max_default() -> u16 {
    limits::POLL_PAGES_DEFAULT
}

/// For every source that asks at its own times.
pub(super) fn check_every(every_s: u32, min_s: u32) -> Result<(), Mistake> {
    let allowed = min_s..=limits::PULL_EVERY_S_MAX;
    let rule = || Mistake::new("everyS", format!("must be between {} and {}", allowed.start(), allowed.end()));
    if allowed.contains(&every_s) { Ok(()) } else { Err(rule()) }
}

/// The place may have templates in path and query; who is asked may not depend on an answer.
fn check_url(text: &str) -> Result<(), Mistake> {
    let wrong = |rule: &str| Err(Mistake::new("url", rule));
    if text.len() > limits::POLL_REQUEST_BYTES_MAX {
        return wrong("is too long");
    }
    let Some(origin_end) =
        text.find("://").map(|scheme| text[scheme + 3..].find(['/', '?', '#']).map_or(text.len(), |end| scheme + 3 + end))
    else {
        return wrong("must begin with `https://` or `http://`");
    };
    if text[..origin_end].contains("{{") {
        return wrong("must not have a template in its scheme or host");
    }
    let Ok(url) = Url::parse(text) else { return wrong("is not a valid URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("must begin with `https://` or `http://`");
    }
    if !url.has_host() {
        return wrong("names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must not hold a user or a password; `auth.basic` is the place for them");
    }
    Ok(())
}

/// Names that belong to the connection, or to what we make of the body.
const OWN_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn check_header_name(name: &str) -> Result<(), Invalid> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(Invalid::new("is not the name of a header"));
    }
    if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(Invalid::new("is a header that Hookpost says itself"));
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), Invalid> {
    check_header_name(name)?;
    if value.len() > limits::HEADER_VALUE_BYTES_MAX {
        return Err(Invalid::new(format!("has {} bytes; at most {} are allowed", value.len(), limits::HEADER_VALUE_BYTES_MAX)));
    }
    if HeaderValue::from_str(value).is_err() || !value.is_ascii() {
        return Err(Invalid::new("has a character that cannot stand in a header"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(json: &str) -> Poll {
        serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"))
    }

    const FULL: &str = r#"{
        "url": "https://api.example.com/events?after={{cursor}}&page={{page}}", "method": "POST",
        "headers": {"accept": "application/json", "content-type": "application/json"},
        "auth": {"header": {"name": "x-shop", "value": "hunter2"}},
        "body": "{\"since\": \"{{cursor}}\"}", "everyS": 60, "items": "$.data", "itemId": "$.id",
        "cursor": {"from": {"greatestItem": "$.updatedAt"}, "first": "1970-01-01"},
        "nextPage": {"token": "$.next"}, "pagesMax": 3
    }"#;

    #[test]
    fn is_read_as_it_is_written() {
        let full = poll(FULL);
        assert_eq!(full.check(), Ok(()));
        assert_eq!(serde_json::from_str::<Poll>(&serde_json::to_string(&full).unwrap()).unwrap(), full);
        let least = poll(r#"{"url": "http://example.com", "everyS": 1}"#);
        assert_eq!((least.check(), &least), (Ok(()), &Poll::new("http://example.com", 1)));
        assert_eq!((least.method, least.pages_max, least.paging()), (PollMethod::Get, limits::POLL_PAGES_DEFAULT, None));
        let with_cursor = poll(r#"{"url": "http://example.com", "everyS": 1, "cursor": {"from": {"lastItem": "$.id"}}}"#);
        assert_eq!(with_cursor.paging(), Some(&NextPage::Cursor));
    }

    #[test]
    fn prints_no_secret() {
        let printed = format!("{:?} {:?}", poll(FULL), poll(FULL).auth);
        assert!(!printed.contains("hunter2") && !printed.contains("example.com"), "{printed}");
    }

    #[test]
    fn every_mistake_names_its_field_and_rule() {
        let check = |change: &str, value: &str, expected: &str| {
            let mut json: serde_json::Value = serde_json::from_str(FULL).unwrap();
            json.pointer_mut(change).map(|place| *place = serde_json::from_str(value).unwrap()).expect(change);
            let outcome = serde_json::from_value::<Poll>(json).map_err(|problem| problem.to_string());
            let found = match outcome {
                Ok(poll) => poll.check().expect_err(change).to_string(),
                Err(problem) => problem,
            };
            assert!(found.contains(expected), "{change} = {value}: {found}");
        };
        check("/url", r#""example.com""#, "`url` must begin with `https://` or `http://`");
        check("/url", r#""ftp://example.com/""#, "`url` must begin with");
        check("/url", r#""https://{{cursor}}.example.com/""#, "`url` must not have a template in its scheme or host");
        check("/url", r#""https://ada:pw@example.com/""#, "`auth.basic` is the place");
        check("/url", r#""https://""#, "`url` is not a valid URL");
        check("/method", r#""get""#, "unknown variant `get`, expected `GET` or `POST`");
        check("/method", r#""GET""#, "`body` must be absent");
        check("/headers", r#"{"host": "evil"}"#, "`headers.host` is a header that Hookpost says itself");
        check("/headers", r#"{"a b": "x"}"#, "`headers.a b` is not the name of a header");
        check("/headers", r#"{"x-a": "a\r\nb"}"#, "`headers.x-a` has a character");
        check("/headers", r#"{"Authorization": "x"}"#, "`headers.Authorization` holds a secret, for which `auth` is the place");
        check("/headers", r#"{"X-Shop": "x"}"#, "`auth.header.name` says the header `x-shop`, which stands among");
        check("/auth", r#"{"basic": {"user": "a:b", "password": ""}}"#, "`auth.basic.user` must not contain `:`");
        check("/auth", r#"{"bearer": "a\nb"}"#, "`auth.bearer` has a character");
        check("/auth", r#"{"digest": {}}"#, "unknown variant `digest`");
        check("/everyS", "0", "`everyS` must be between 1 and 604800");
        check("/pagesMax", "0", "`pagesMax` must be between 1 and 100");
        check("/nextPage", r#""cursor""#, "`nextPage` can be `cursor` only where");
        check("/cursor/from", r#"{"header": "x y"}"#, "`cursor.from.header` is not the name");
        check("/cursor", r#"{"path": "$.x"}"#, "unknown field `path`");
    }
}
