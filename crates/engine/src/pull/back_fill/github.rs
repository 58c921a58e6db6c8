//! GitHub's list of the deliveries of a hook: `GET /repos/{owner}/{repository}/hooks/{id}/deliveries`, newest first, kept for a few days. The list says how a
//! delivery ended; its headers and payload are asked for one by one.
//!
//! GitHub does not try again by itself, so a delivery that failed is missing unless a later one of the same event did not.

use std::collections::BTreeMap;

use bytes::Bytes;
use hookpost_domain::Timestamp;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::{Url, form_urlencoded};

use super::progress::{Toward, Window};
use super::{Content, ListPage, Listed, Place};
use crate::pull::failure::Failure;
use crate::pull::link::next_link;
use crate::transport::Answer;

pub(super) const BASE_URL: &str = "https://api.github.com";
const PAGE_DELIVERIES: usize = 100;
const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
/// What GitHub sends when a hook is made; the door answers it and makes nothing of it.
const PING: &str = "ping";

#[derive(Deserialize)]
struct Delivery {
    id: u64,
    guid: String,
    delivered_at: String,
    status_code: i64,
    event: String,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    request: DetailRequest<'a>,
}

#[derive(Deserialize)]
struct DetailRequest<'a> {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

pub(super) fn headers() -> Vec<(HeaderName, String)> {
    vec![(ACCEPT, "application/vnd.github+json".to_owned()), (API_VERSION, "2022-11-28".to_owned())]
}

pub(super) fn list(hook: &str, place: Option<Place<'_>>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("per_page", &PAGE_DELIVERIES.to_string());
    if let Some(place) = place {
        query.append_pair("cursor", place.cursor);
    }
    format!("{hook}/deliveries?{}", query.finish())
}

pub(super) fn read_list(hook: &str, answer: &Answer, window: Window, now: Timestamp) -> Result<ListPage, Failure> {
    if !(200..300).contains(&answer.status_code) {
        return Err(refusal(answer, now));
    }
    let deliveries: Vec<Delivery> = serde_json::from_slice(&answer.body)
        .map_err(|problem| Failure::unusable(answer, format!("The answer is no list of GitHub's deliveries: {problem}.")))?;
    let mut events = Vec::with_capacity(deliveries.len());
    let mut is_past_window = false;
    for delivery in deliveries {
        let at = Timestamp::parse_rfc3339(&delivery.delivered_at)
            .ok_or_else(|| Failure::unusable(answer, "A delivery in GitHub's list has no time."))?;
        is_past_window |= at.unix_seconds() < window.since.unix_seconds();
        if delivery.event != PING {
            events.push(Listed {
                event_id: delivery.guid,
                event_type: delivery.event,
                at,
                is_delivered: (200..300).contains(&delivery.status_code),
                content: Content::At(format!("{hook}/deliveries/{}", delivery.id)),
            });
        }
    }
    let next = next_cursor(&answer.headers).filter(|_| !is_past_window);
    Ok(ListPage { events, next: next.map(|cursor| (Toward::Older, cursor)) })
}

/// The link to the next page names its cursor; the link itself is not followed, because it may lead elsewhere.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let url = Url::parse(BASE_URL).ok()?.join(next_link(headers)?).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned())
}

/// The headers and the payload of a delivery, as it was sent. `None`: it is not kept any more.
pub(super) fn read_detail(answer: &Answer, now: Timestamp) -> Result<Option<(HeaderMap, Bytes)>, Failure> {
    match answer.status_code {
        404 | 410 => return Ok(None),
        200..=299 => {}
        _ => return Err(Failure::of_answer(answer, now)),
    }
    let detail: Detail<'_> = serde_json::from_slice(&answer.body)
        .map_err(|problem| Failure::unusable(answer, format!("The answer is no delivery of GitHub's: {problem}.")))?;
    let Some(payload) = detail.request.payload.filter(|payload| payload.get() != "null") else { return Ok(None) };
    let mut headers = HeaderMap::new();
    for (name, value) in &detail.request.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    // The payload comes as JSON, also where the hook sends a form.
    for name in [CONTENT_LENGTH, CONTENT_ENCODING, HOST] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Some((headers, Bytes::copy_from_slice(payload.get().as_bytes()))))
}

fn refusal(answer: &Answer, now: Timestamp) -> Failure {
    let failure = Failure::of_answer(answer, now);
    match answer.status_code {
        401 | 403 | 404 => failure.hint("The key of `backFill.apiKey` must be one that may read the webhooks of `backFill.resource`."),
        _ => failure,
    }
}
