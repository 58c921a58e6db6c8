//! The request that a poll makes for its next page: templates filled in, credentials for the host of the source and for no other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookpost_domain::limits;
use hookpost_shaping::{Found, JsonPath, Template, Variables};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{Context, SHA256};
use url::Url;

use super::super::failure::Failure;
use super::super::link::same_host;
use super::progress::{NextRef, PollProgress, Validators};
use super::settings::{CURSOR, PAGE, PreparedPoll};
use crate::transport::OutgoingRequest;

const URL_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request and what is needed to read its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: OutgoingRequest,
    pub(super) url: Url,
    pub(super) cursor: String,
    pub(super) next: Option<NextRef>,
    /// Names the request among others: what an address says of one holds for no other.
    pub(super) name: String,
    /// The address may answer that nothing is new.
    pub(super) is_conditional: bool,
}

impl PreparedPoll {
    pub(super) fn ask(&self, progress: &PollProgress, user_agent: &str) -> Result<Asked, Failure> {
        let cursor = progress.cursor.clone().or_else(|| self.cursor.as_ref().map(|cursor| cursor.first.clone())).unwrap_or_default();
        let next = progress.walk.as_ref().and_then(|walk| walk.next.clone());
        let page = match &next {
            Some(NextRef::Token(token)) => token.as_str(),
            _ => "",
        };
        let values = Values { cursor: Cow::Borrowed(&cursor), page: Cow::Borrowed(page) };
        let url = self.url_of(&next, &values)?;
        let body = self.body.as_ref().map_or(Ok(Bytes::new()), |body| written("body", body, &values).map(Bytes::from))?;
        let mut headers = self.headers_of(&values, user_agent)?;
        let name = request_name(&url, &body, &headers);
        let validators = progress.validators.as_ref().filter(|validators| validators.request == name && self.method == Method::GET);
        let is_conditional =
            validators.filter(|_| progress.walk.is_none()).is_some_and(|validators| add_conditions(&mut headers, validators));
        let uri: Uri = url.as_str().parse().map_err(|_| Failure::of("The URL of the source, with its values in it, is no URL."))?;
        let request = OutgoingRequest {
            method: self.method.clone(),
            uri,
            headers,
            body,
            timeout: limits::PULL_REQUEST_TIMEOUT,
            body_bytes_kept: limits::PULL_ANSWER_BYTES_MAX,
        };
        Ok(Asked { request, url, cursor, next, name, is_conditional })
    }

    fn url_of(&self, next: &Option<NextRef>, values: &Values<'_>) -> Result<Url, Failure> {
        if let Some(NextRef::Url(url)) = next {
            return same_host(&self.home, url).ok_or_else(|| Failure::of("The next page is with another host, which is not asked."));
        }
        let text = written("URL", &self.url, &values.for_url())?;
        // Templates stand behind the host only, so what they write cannot lead to another; this makes sure.
        same_host(&self.home, &text).ok_or_else(|| Failure::of("The URL of the source, with its values in it, is no URL."))
    }

    fn headers_of(&self, values: &Values<'_>, user_agent: &str) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 4);
        if let Ok(user_agent) = HeaderValue::from_str(user_agent) {
            headers.insert(USER_AGENT, user_agent);
        }
        for (name, template) in &self.headers {
            headers.insert(name.clone(), header_value(name, &written(name.as_str(), template, values)?)?);
        }
        headers.extend(self.auth.clone());
        Ok(headers)
    }
}

fn written(what: &str, template: &Template, values: &Values<'_>) -> Result<String, Failure> {
    let text = template.render(values).ok().filter(|text| text.len() <= limits::POLL_REQUEST_BYTES_MAX);
    text.ok_or_else(|| {
        Failure::of(format!("The {what} of the request, with its values in it, is longer than {} bytes.", limits::POLL_REQUEST_BYTES_MAX))
    })
}

fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Failure> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Failure::of(format!("The header `{name}`, with its values in it, cannot be sent.")))?;
    value.set_sensitive(hookpost_domain::request::is_sensitive(name.as_str()));
    Ok(value)
}

/// Returns whether there was one.
fn add_conditions(headers: &mut HeaderMap, validators: &Validators) -> bool {
    let conditions = [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)];
    let mut any = false;
    for (name, value) in conditions {
        if let Some(Ok(value)) = value.as_ref().map(|value| HeaderValue::from_str(value)) {
            headers.insert(name, value);
            any = true;
        }
    }
    any
}

fn request_name(url: &Url, body: &[u8], headers: &HeaderMap) -> String {
    let mut context = Context::new(&SHA256);
    let mut part = |part: &[u8]| {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    };
    part(url.as_str().as_bytes());
    part(body);
    for (name, value) in headers {
        part(name.as_str().as_bytes());
        part(value.as_bytes());
    }
    STANDARD.encode(&context.finish().as_ref()[..12])
}

/// What the templates of a source know.
struct Values<'a> {
    cursor: Cow<'a, str>,
    page: Cow<'a, str>,
}

impl Values<'_> {
    /// Within a URL a value is one value, whatever characters it has.
    fn for_url(&self) -> Values<'static> {
        let encoded = |text: &str| Cow::Owned(utf8_percent_encode(text, URL_SAFE).to_string());
        Values { cursor: encoded(&self.cursor), page: encoded(&self.page) }
    }
}

impl Variables for Values<'_> {
    fn find(&self, name: &str, path: &JsonPath) -> Found<'_> {
        match name {
            _ if !path.is_root() => Found::Nothing,
            CURSOR => Found::Text(Cow::Borrowed(&self.cursor)),
            PAGE => Found::Text(Cow::Borrowed(&self.page)),
            _ => Found::Nothing,
        }
    }
}
