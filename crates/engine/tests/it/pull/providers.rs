//! The lists of Stripe and GitHub as their documentation describes them, from memory and with a rate limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use hookpost_domain::Timestamp;
use hookpost_engine::{Answer, OutgoingRequest};
use parking_lot::Mutex;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer;

fn query(request: &OutgoingRequest) -> BTreeMap<String, String> {
    form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

fn is_bearer(request: &OutgoingRequest, key: &str) -> bool {
    request.headers.get("authorization").is_some_and(|value| value.as_bytes() == format!("Bearer {key}").as_bytes())
}

/// `GET /v1/events`.
#[derive(Debug, Clone, Default)]
pub(super) struct Stripe {
    /// Oldest first.
    events: Arc<Mutex<Vec<Value>>>,
    /// Answers 429 to so many requests.
    pub(super) refusals: Arc<Mutex<usize>>,
    /// At most so many a page, whatever is asked.
    pub(super) page_events_max: Arc<Mutex<usize>>,
}

pub(super) const STRIPE_KEY: &str = "rk_test_1";

impl Stripe {
    pub(super) fn happened(&self, id: &str, event_type: &str, at: Timestamp) {
        let event = json!({
            "id": id, "object": "event", "api_version": "2026-08-26", "created": at.unix_seconds(), "type": event_type,
            "data": {"object": {"id": "in_1", "object": "invoice", "amount": 1250}}, "livemode": true, "pending_webhooks": 1,
            "request": {"id": null, "idempotency_key": null}
        });
        self.events.lock().push(event);
    }

    pub(super) fn event(&self, id: &str) -> String {
        self.events.lock().iter().find(|event| event["id"] == id).expect("happened").to_string()
    }

    pub(super) fn answer(&self, request: &OutgoingRequest) -> Answer {
        let refusals = &mut *self.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            return answer(
                429,
                &[("retry-after", "30")],
                r#"{"error": {"message": "Too many requests", "type": "invalid_request_error"}}"#,
            );
        }
        if !is_bearer(request, STRIPE_KEY) {
            return answer(401, &[], r#"{"error": {"message": "Invalid API Key provided", "type": "invalid_request_error"}}"#);
        }
        assert_eq!(request.uri.path(), "/v1/events");
        let query = query(request);
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let (since, until) = (number("created[gte]").unwrap_or(0), number("created[lte]").unwrap_or(u64::MAX));
        let events = self.events.lock();
        let mut matching: Vec<&Value> =
            events.iter().rev().filter(|event| event["created"].as_u64().is_some_and(|at| (since..=until).contains(&at))).collect();
        matching.sort_by_key(|event| std::cmp::Reverse(event["created"].as_u64()));
        let place = |id: &String| matching.iter().position(|event| event["id"] == **id).expect("an event of the list");
        let (after, before) = (query.get("starting_after").map(place), query.get("ending_before").map(place));
        assert!(after.is_none() || before.is_none(), "they exclude one another");
        if let Some(before) = before {
            matching.truncate(before);
        }
        if let Some(after) = after {
            matching.drain(..=after);
        }
        let page_max = Some(*self.page_events_max.lock()).filter(|max| *max > 0).unwrap_or(usize::MAX);
        let limit = usize::try_from(number("limit").unwrap_or(10).clamp(1, 100)).expect("small").min(page_max);
        let has_more = matching.len() > limit;
        if before.is_some() {
            // The page next to the place, not the newest one.
            matching.drain(..matching.len() - limit.min(matching.len()));
        }
        matching.truncate(limit);
        answer(200, &[], &json!({"object": "list", "url": "/v1/events", "has_more": has_more, "data": matching}).to_string())
    }
}

/// `GET /repos/{owner}/{repository}/hooks/{id}/deliveries` and `…/deliveries/{id}`.
#[derive(Debug, Clone, Default)]
pub(super) struct Github {
    /// Oldest first.
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    /// Requests until the limit, and when it ends.
    pub(super) limit: Arc<Mutex<Option<(usize, Timestamp)>>>,
}

#[derive(Debug, Clone)]
struct Delivery {
    id: u64,
    guid: String,
    event: String,
    at: Timestamp,
    status_code: u16,
    payload: Value,
}

pub(super) const GITHUB_KEY: &str = "ghp_1";
const HOOK: &str = "/repos/ada/engine/hooks/7/deliveries";
const PAGE_MAX: usize = 3;

impl Github {
    /// Returns the id of the delivery.
    pub(super) fn delivered(&self, guid: &str, event: &str, at: Timestamp, status_code: u16) -> u64 {
        let mut deliveries = self.deliveries.lock();
        let id = 12_345_678_901 + deliveries.len() as u64;
        let payload = json!({"action": "opened", "guid": guid});
        deliveries.push(Delivery { id, guid: guid.to_owned(), event: event.to_owned(), at, status_code, payload });
        id
    }

    pub(super) fn answer(&self, request: &OutgoingRequest) -> Answer {
        if let Some((left, reset)) = &mut *self.limit.lock() {
            if *left == 0 {
                let reset = reset.unix_seconds().to_string();
                return answer(
                    403,
                    &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)],
                    r#"{"message": "API rate limit exceeded"}"#,
                );
            }
            *left -= 1;
        }
        if !is_bearer(request, GITHUB_KEY) {
            return answer(401, &[], r#"{"message": "Bad credentials"}"#);
        }
        assert_eq!(request.headers["accept"], "application/vnd.github+json");
        assert!(request.headers.contains_key("user-agent"), "GitHub refuses requests without it");
        match request.uri.path().strip_prefix(HOOK) {
            Some("") => self.list(request),
            Some(id) => self.detail(id.trim_start_matches('/')),
            None => answer(404, &[], r#"{"message": "Not Found"}"#),
        }
    }

    fn list(&self, request: &OutgoingRequest) -> Answer {
        let deliveries = self.deliveries.lock();
        let skipped =
            query(request).get("cursor").map_or(0, |cursor| cursor.strip_prefix("v1_").and_then(|at| at.parse().ok()).expect("a cursor"));
        let newest_first: Vec<&Delivery> = deliveries.iter().rev().skip(skipped).collect();
        let page: Vec<Value> = newest_first.iter().take(PAGE_MAX).map(|delivery| delivery.listed()).collect();
        let body = Value::from(page).to_string();
        if newest_first.len() <= PAGE_MAX {
            return answer(200, &[], &body);
        }
        let next = skipped + PAGE_MAX;
        let link = format!(r#"<https://api.github.com{HOOK}?per_page=100&cursor=v1_{next}>; rel="next""#);
        answer(200, &[("link", &link)], &body)
    }

    fn detail(&self, id: &str) -> Answer {
        let deliveries = self.deliveries.lock();
        match deliveries.iter().find(|delivery| delivery.id.to_string() == id) {
            Some(delivery) => answer(200, &[], &delivery.detailed().to_string()),
            None => answer(404, &[], r#"{"message": "Not Found"}"#),
        }
    }
}

impl Delivery {
    fn listed(&self) -> Value {
        json!({
            "id": self.id, "guid": self.guid, "delivered_at": self.at.to_string(), "redelivery": false, "duration": 0.27,
            "status": if self.status_code == 200 { "OK" } else { "failed to connect to host" }, "status_code": self.status_code, "event": self.event,
            "action": "opened", "installation_id": null, "repository_id": 1, "throttled_at": null
        })
    }

    fn detailed(&self) -> Value {
        let mut detail = self.listed();
        detail["url"] = json!("https://hooks.example.com/in/abc");
        detail["request"] = json!({
            "headers": {
                "Accept": "*/*", "Content-Type": "application/json", "Content-Length": "99", "User-Agent": "GitHub-Hookshot/1",
                "X-GitHub-Delivery": self.guid, "X-GitHub-Event": self.event, "X-GitHub-Hook-ID": "7"
            },
            "payload": self.payload
        });
        detail["response"] = json!({"headers": {}, "payload": ""});
        detail
    }
}
