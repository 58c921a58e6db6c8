//! Stripe's list of events: `GET /v1/events`, newest first, a hundred a page, with the event itself as it was when it happened.
//!
//! Messages are to come in the order of the events, and nobody knows where the oldest stands. So a window of several pages is walked twice: down to its oldest
//! page (`starting_after`), of which nothing but the place is kept, and from there up (`ending_before`), page by page, each taken in oldest first.

use bytes::Bytes;
use hookpost_domain::Timestamp;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::progress::{Toward, Window};
use super::{Content, ListPage, Listed, Place};
use crate::pull::failure::Failure;
use crate::transport::Answer;

pub(super) const BASE_URL: &str = "https://api.stripe.com";
const EVENTS: &str = "v1/events";
const PAGE_EVENTS: usize = 100;
const ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");

#[derive(Deserialize)]
struct EventList<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    r#type: String,
    created: u64,
}

pub(super) fn headers(account: Option<&str>) -> Vec<(HeaderName, String)> {
    account.map(|account| (ACCOUNT, account.to_owned())).into_iter().collect()
}

pub(super) fn list(window: Window, place: Option<Place<'_>>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE_EVENTS.to_string());
    query.append_pair("created[gte]", &window.since.unix_seconds().to_string());
    query.append_pair("created[lte]", &window.until.unix_seconds().to_string());
    if let Some(place) = place {
        let name = match place.toward {
            Toward::Older => "starting_after",
            Toward::Newer => "ending_before",
        };
        query.append_pair(name, place.cursor);
    }
    format!("{EVENTS}?{}", query.finish())
}

/// Where one event can be looked at.
pub(super) fn place(event_id: &str) -> String {
    format!("{EVENTS}/{event_id}")
}

pub(super) fn read_list(answer: &Answer, place: Option<Place<'_>>, now: Timestamp) -> Result<ListPage, Failure> {
    if !(200..300).contains(&answer.status_code) {
        return Err(refusal(answer, now));
    }
    let unreadable =
        |problem: serde_json::Error| Failure::unusable(answer, format!("The answer is no list of Stripe's events: {problem}."));
    let list: EventList<'_> = serde_json::from_slice(&answer.body).map_err(unreadable)?;
    let events = list.data.iter().map(|event| listed(event)).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let broken = || Failure::unusable(answer, "Stripe's list of events ends where it said that it goes on.");
    if list.has_more && events.is_empty() {
        return Err(broken());
    }
    let id = |event: Option<&Listed>| event.map(|event| event.event_id.clone());
    let (newest, oldest) = (id(events.first()), id(events.last()));
    let (is_at_bottom, next) = match place.map(|place| place.toward) {
        // The window has one page.
        None if !list.has_more => (true, None),
        None | Some(Toward::Older) if list.has_more => (false, oldest.map(|oldest| (Toward::Older, oldest))),
        None | Some(Toward::Older) => {
            let newest = newest.ok_or_else(broken)?;
            (true, Some((Toward::Newer, newest)))
        }
        Some(Toward::Newer) => (true, newest.filter(|_| list.has_more).map(|newest| (Toward::Newer, newest))),
    };
    Ok(ListPage { events: if is_at_bottom { events } else { Vec::new() }, next })
}

fn listed(text: &RawValue) -> serde_json::Result<Listed> {
    let event: Event = serde_json::from_str(text.get())?;
    Ok(Listed {
        event_id: event.id,
        event_type: event.r#type,
        at: Timestamp::from_unix_ms(event.created.saturating_mul(1000)),
        // Whether all of its webhooks came through is not said; ours is known here.
        is_delivered: false,
        content: Content::Here(Bytes::copy_from_slice(text.get().as_bytes())),
    })
}

fn refusal(answer: &Answer, now: Timestamp) -> Failure {
    let failure = Failure::of_answer(answer, now);
    match answer.status_code {
        401 | 403 => failure.hint("The key of `backFill.apiKey` must be one that may read events."),
        _ => failure,
    }
}

/// As the event would have come.
pub(super) fn headers_of_event() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}
