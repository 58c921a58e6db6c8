//! The settings of a poll with their paths and templates read: what can be asked without a mistake being found on the way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::Invalid;
use hookpost_domain::source::{CursorPlace, Mistake, NextPage, Poll, PollAuth};
use hookpost_shaping::{JsonPath, Template};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use ring::digest::{SHA256, digest};
use url::Url;

/// How far we are.
pub(super) const CURSOR: &str = "cursor";
/// What the last page said of the next.
pub(super) const PAGE: &str = "page";

#[derive(Debug)]
pub(crate) struct PreparedPoll {
    pub(super) method: Method,
    pub(super) url: Template,
    /// The URL as it is written, to tell who is asked.
    pub(super) home: Url,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) auth: Option<(HeaderName, HeaderValue)>,
    pub(super) body: Option<Template>,
    pub(super) items: Option<JsonPath>,
    pub(super) item_id: Option<JsonPath>,
    pub(super) cursor: Option<PreparedCursor>,
    pub(super) paging: Option<Paging>,
    pub(super) pages_max: u16,
    /// Names the list and the way through it: a cursor of another one means nothing here.
    pub(super) list: String,
}

#[derive(Debug)]
pub(super) struct PreparedCursor {
    pub(super) from: CursorPath,
    pub(super) first: String,
}

#[derive(Debug)]
pub(super) enum CursorPath {
    Path(JsonPath),
    Header(HeaderName),
    LastItem(JsonPath),
    GreatestItem(JsonPath),
}

#[derive(Debug)]
pub(super) enum Paging {
    Cursor,
    Link,
    Url(JsonPath),
    Token(JsonPath),
}

impl PreparedPoll {
    pub(crate) fn new(poll: &Poll) -> Result<Self, Mistake> {
        poll.check()?;
        let names = known_names(poll);
        let template = |field: &str, text: &str| Template::parse(text, names).map_err(Mistake::at(field));
        let mut headers = Vec::with_capacity(poll.headers.len() + 2);
        for (name, value) in &poll.headers {
            let field = format!("headers.{name}");
            headers.push((header_name(&field, name)?, template(&field, value)?));
        }
        for (name, value) in missing_headers(poll) {
            headers.push((name, template("headers", value)?));
        }
        Ok(Self {
            method: Method::from_bytes(poll.method.as_str().as_bytes()).map_err(|_| Mistake::new("method", "is no method"))?,
            url: template("url", &poll.url)?,
            home: Url::parse(&poll.url).map_err(|_| Mistake::new("url", "is not a valid URL"))?,
            headers,
            auth: poll.auth.as_ref().map(authorization).transpose()?,
            body: poll.body.as_deref().map(|body| template("body", body)).transpose()?,
            items: poll.items.as_deref().map(|items| path("items", items)).transpose()?,
            item_id: poll.item_id.as_deref().map(|item_id| path("itemId", item_id)).transpose()?,
            cursor: cursor(poll)?,
            paging: poll.paging().map(paging).transpose()?,
            pages_max: poll.pages_max,
            list: list_name(poll),
        })
    }
}

/// A template that means nothing here is refused instead of being written as nothing.
fn known_names(poll: &Poll) -> &'static [&'static str] {
    match (&poll.cursor, matches!(poll.next_page, Some(NextPage::Token(_)))) {
        (Some(_), true) => &[CURSOR, PAGE],
        (Some(_), false) => &[CURSOR],
        (None, true) => &[PAGE],
        (None, false) => &[],
    }
}

/// What is said where the settings say nothing.
fn missing_headers(poll: &Poll) -> Vec<(HeaderName, &'static str)> {
    let said = |wanted: &HeaderName| poll.headers.keys().any(|name| name.eq_ignore_ascii_case(wanted.as_str()));
    let body_type = poll.body.as_ref().map(|body| match body.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain",
    });
    let defaults = [(ACCEPT, Some("application/json, */*;q=0.5")), (CONTENT_TYPE, body_type)];
    defaults.into_iter().filter_map(|(name, value)| Some((name, value?))).filter(|(name, _)| !said(name)).collect()
}

fn authorization(auth: &PollAuth) -> Result<(HeaderName, HeaderValue), Mistake> {
    let (field, name, value) = match auth {
        PollAuth::Basic(basic) => {
            let credentials = format!("{}:{}", basic.user, basic.password.as_str());
            ("auth.basic", AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)))
        }
        PollAuth::Bearer(token) => ("auth.bearer", AUTHORIZATION, format!("Bearer {}", token.as_str())),
        PollAuth::Header(header) => ("auth.header", header_name("auth.header.name", &header.name)?, header.value.as_str().to_owned()),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| Mistake::new(field, "cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn cursor(poll: &Poll) -> Result<Option<PreparedCursor>, Mistake> {
    let Some(cursor) = &poll.cursor else { return Ok(None) };
    let from = match &cursor.from {
        CursorPlace::Path(text) => CursorPath::Path(path("cursor.from.path", text)?),
        CursorPlace::Header(name) => CursorPath::Header(header_name("cursor.from.header", name)?),
        CursorPlace::LastItem(text) => CursorPath::LastItem(path("cursor.from.lastItem", text)?),
        CursorPlace::GreatestItem(text) => CursorPath::GreatestItem(path("cursor.from.greatestItem", text)?),
    };
    Ok(Some(PreparedCursor { from, first: cursor.first.clone() }))
}

fn paging(next: &NextPage) -> Result<Paging, Mistake> {
    Ok(match next {
        NextPage::Cursor => Paging::Cursor,
        NextPage::Link => Paging::Link,
        NextPage::Url(text) => Paging::Url(path("nextPage.url", text)?),
        NextPage::Token(text) => Paging::Token(path("nextPage.token", text)?),
    })
}

fn path(field: &str, text: &str) -> Result<JsonPath, Mistake> {
    JsonPath::parse(text).map_err(Mistake::at(field))
}

fn header_name(field: &str, name: &str) -> Result<HeaderName, Mistake> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Mistake::at(field)(Invalid::new("is not the name of a header")))
}

fn list_name(poll: &Poll) -> String {
    let way = serde_json::to_vec(&(&poll.url, &poll.body, &poll.cursor, &poll.next_page)).unwrap_or_default();
    STANDARD.encode(&digest(&SHA256, &way).as_ref()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(json: &str) -> Result<PreparedPoll, String> {
        let poll: Poll = serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"));
        PreparedPoll::new(&poll).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn reads_what_can_be_asked() {
        let poll = prepare(
            r#"{"url": "https://example.com/a?after={{cursor}}&t={{page}}", "method": "POST", "everyS": 5, "body": "{\"a\": {{cursor | json}}}",
                "headers": {"Accept": "application/xml", "x-since": "{{cursor}}"}, "items": "$.data", "itemId": "$.id",
                "cursor": {"from": {"header": "x-next"}}, "nextPage": {"token": "$.next"},
                "auth": {"basic": {"user": "ada", "password": "love"}}}"#,
        )
        .unwrap();
        let names: Vec<_> = poll.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["accept", "x-since", "content-type"]);
        let (name, value) = poll.auth.unwrap();
        assert_eq!((name, value.to_str().unwrap(), value.is_sensitive()), (AUTHORIZATION, "Basic YWRhOmxvdmU=", true));
    }

    #[test]
    fn every_path_and_template_that_is_wrong_is_named() {
        for (settings, expected) in [
            (r#""items": "$..""#, "`items` is not a path"),
            (r#""itemId": """#, "`itemId` must be a path"),
            (r#""cursor": {"from": {"path": "$["}}"#, "`cursor.from.path` is not a path"),
            (r#""cursor": {"from": {"lastItem": "$["}}"#, "`cursor.from.lastItem` is not a path"),
            (r#""cursor": {"from": {"greatestItem": "$["}}"#, "`cursor.from.greatestItem` is not a path"),
            (r#""nextPage": {"url": "$["}"#, "`nextPage.url` is not a path"),
            (r#""nextPage": {"token": "$["}"#, "`nextPage.token` is not a path"),
            (r#""headers": {"x-a": "{{cursor}}"}"#, "`headers.x-a` "),
            (r#""method": "POST", "body": "{{page}}""#, "`body` "),
            (r#""headers": {"x-a": "{{"}"#, "`headers.x-a` "),
        ] {
            let problem = prepare(&format!(r#"{{"url": "https://example.com/", "everyS": 5, {settings}}}"#)).expect_err(settings);
            assert!(problem.starts_with(expected), "{settings}: {problem}");
        }
        let problem = prepare(r#"{"url": "https://example.com/?a={{cursor}}", "everyS": 5}"#).unwrap_err();
        assert!(problem.starts_with("`url` "), "{problem}");
    }

    #[test]
    fn another_list_has_another_name_and_another_key_has_not() {
        let list = |url: &str, extra: &str| prepare(&format!(r#"{{"url": "{url}", "everyS": 5, {extra}}}"#)).unwrap().list;
        let one = list("https://example.com/a", r#""auth": {"bearer": "a"}"#);
        assert_eq!(one, list("https://example.com/a", r#""auth": {"bearer": "b"}"#));
        assert_ne!(one, list("https://example.com/b", r#""auth": {"bearer": "a"}"#));
    }
}
