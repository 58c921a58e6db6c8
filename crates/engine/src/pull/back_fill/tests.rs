//! What is asked of the lists, what they answer, and which stretch of time is looked at: as data.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::source::{BackFill, ProviderSettings, SourceKind, SourceRules, SourceToken, SourceTokens};
use hookpost_domain::{ApplicationId, OrgId, RowId, Source, SourceId, Timestamp};
use http::{HeaderMap, HeaderValue};

use super::progress::{BackFillProgress, Toward, Window};
use super::{Content, Listed, Place, github, missing, stripe};
use crate::transport::Answer;

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const SETTLE: Duration = Duration::from_secs(300);

fn back_fill(json: &str) -> BackFill {
    serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"))
}

fn source(created_at: Timestamp) -> Source {
    Source {
        id: SourceId::from_row(RowId::from_raw(1)),
        org: OrgId::parse(OrgId::DEFAULT).unwrap(),
        uid: None,
        name: String::new(),
        kind: SourceKind::Webhook { type_name: "stripe".into(), settings: ProviderSettings(String::new()) },
        application: ApplicationId::from_row(RowId::from_raw(2)),
        owns_application: false,
        tokens: SourceTokens { current: SourceToken(String::new()), old: Vec::new() },
        rules: SourceRules::default(),
        disabled: false,
        metadata: Default::default(),
        created_at,
        updated_at: created_at,
    }
}

fn answer(status_code: u16, body: &str) -> Answer {
    Answer { status_code, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn older(cursor: &str) -> Option<Place<'_>> {
    Some(Place { toward: Toward::Older, cursor })
}

fn newer(cursor: &str) -> Option<Place<'_>> {
    Some(Place { toward: Toward::Newer, cursor })
}

#[test]
fn looks_from_where_it_was_to_what_is_old_enough() {
    let settings = back_fill(r#"{"apiKey": "k"}"#);
    let old = source(NOW - DAY * 100);
    let mut progress = BackFillProgress::default();
    let first = progress.window(&settings, &old, NOW).unwrap();
    assert_eq!(first, Window { since: NOW - DAY * 3, until: NOW - SETTLE });
    // A walk goes on in the same stretch, whatever the time is.
    progress.read(first, Some((Toward::Newer, "evt_9".into())));
    assert_eq!((progress.window(&settings, &old, NOW + HOUR), progress.place()), (Some(first), newer("evt_9")));
    progress.read(first, None);
    let second = progress.window(&settings, &old, NOW + HOUR).unwrap();
    assert_eq!((second, progress.place()), (Window { since: first.until, until: NOW + HOUR - SETTLE }, None));
    // Down for long: not further back than it is told; and an old walk is pointless.
    progress.read(second, Some((Toward::Older, "evt_1".into())));
    assert_eq!(progress.window(&settings, &old, NOW + DAY * 30).unwrap().since, NOW + DAY * 27);
    assert_eq!(progress.place(), None);
    // Another list begins anew.
    let other = back_fill(r#"{"apiKey": "k", "resource": "acct_2"}"#);
    assert_eq!(progress.window(&other, &old, NOW).unwrap().since, NOW - DAY * 3);
    // What was before the source was made never was to arrive here.
    let new = source(NOW - HOUR);
    assert_eq!(BackFillProgress::default().window(&settings, &new, NOW).unwrap().since, NOW - HOUR);
    assert_eq!(BackFillProgress::default().window(&settings, &source(NOW), NOW), None);
    let text = serde_json::to_string(&progress).unwrap();
    assert_eq!(serde_json::from_str::<BackFillProgress>(&text).unwrap(), progress);
}

#[test]
fn asks_as_the_documentation_says() {
    let window = Window { since: NOW - HOUR, until: NOW };
    assert_eq!(stripe::list(window, None), "v1/events?limit=100&created%5Bgte%5D=1767319400&created%5Blte%5D=1767323000");
    assert!(stripe::list(window, older("evt_1&x")).ends_with("&starting_after=evt_1%26x"));
    assert!(stripe::list(window, newer("evt_1")).ends_with("&ending_before=evt_1"));
    assert_eq!(github::list("repos/a/b/hooks/1", None), "repos/a/b/hooks/1/deliveries?per_page=100");
    assert!(github::list("repos/a/b/hooks/1", older("v1_2")).ends_with("?per_page=100&cursor=v1_2"));
}

#[test]
fn reads_the_list_of_stripe() {
    let body = r#"{"object": "list", "has_more": false, "data": [
        {"id": "evt_2", "type": "invoice.paid", "created": 1767323000, "data": {"amount": 1.50}},
        {"id": "evt_1", "type": "charge.failed", "created": 1767322000}]}"#;
    let page = stripe::read_list(&answer(200, body), None, NOW).unwrap();
    assert_eq!(page.next, None);
    assert_eq!((page.events[0].event_id.as_str(), page.events[0].event_type.as_str(), page.events[0].at), ("evt_2", "invoice.paid", NOW));
    assert!(matches!(&page.events[0].content, Content::Here(body) if body.ends_with(br#""data": {"amount": 1.50}}"#)));
    for (status, body, words) in [
        (200, "{}", "no list of Stripe's events"),
        (200, r#"{"data": [{"id": 1}], "has_more": false}"#, "no list of Stripe's events"),
        (500, body, "The address answered 500."),
    ] {
        let failure = stripe::read_list(&answer(status, body), None, NOW).unwrap_err();
        assert!(failure.detail.contains(words), "{}", failure.detail);
    }
}

#[test]
fn a_long_list_of_stripe_is_walked_down_in_passing_and_up_taking_it_in() {
    let page = |has_more: bool| {
        let body = format!(
            r#"{{"has_more": {has_more}, "data": [{{"id": "evt_2", "type": "a", "created": 2}}, {{"id": "evt_1", "type": "a", "created": 1}}]}}"#
        );
        answer(200, &body)
    };
    for (place, has_more, taken, next) in [
        (None, false, 2, None),
        (None, true, 0, Some((Toward::Older, "evt_1"))),
        (older("evt_3"), true, 0, Some((Toward::Older, "evt_1"))),
        (older("evt_3"), false, 2, Some((Toward::Newer, "evt_2"))),
        (newer("evt_0"), true, 2, Some((Toward::Newer, "evt_2"))),
        (newer("evt_0"), false, 2, None),
    ] {
        let page = stripe::read_list(&page(has_more), place, NOW).unwrap();
        let next = next.map(|(toward, id)| (toward, id.to_owned()));
        assert_eq!((page.events.len(), page.next), (taken, next), "{place:?} {has_more}");
    }
    // Its oldest events went away while it was walked.
    for (place, has_more) in [(older("evt_3"), false), (older("evt_3"), true), (newer("evt_3"), true), (None, true)] {
        let body = format!(r#"{{"has_more": {has_more}, "data": []}}"#);
        assert!(stripe::read_list(&answer(200, &body), place, NOW).is_err(), "{place:?} {has_more}");
    }
    let empty = stripe::read_list(&answer(200, r#"{"has_more": false, "data": []}"#), newer("evt_3"), NOW).unwrap();
    assert_eq!(empty.next, None);
}

#[test]
fn reads_the_list_of_github_as_far_as_the_window_goes() {
    let body = |at: &str| {
        format!(
            r#"[{{"id": 3, "guid": "c", "delivered_at": "2026-01-02T03:03:20.5Z", "status": "OK", "status_code": 200, "event": "push", "action": null}},
                {{"id": 2, "guid": "p", "delivered_at": "2026-01-02T03:03:10Z", "status": "x", "status_code": 502, "event": "ping", "action": null}},
                {{"id": 1, "guid": "b", "delivered_at": "{at}", "status": "timed out", "status_code": 0, "event": "issues", "action": "opened"}}]"#
        )
    };
    let window = Window { since: NOW - HOUR, until: NOW };
    let read = |at: &str| {
        let mut answer = answer(200, &body(at));
        answer
            .headers
            .insert("link", HeaderValue::from_static(r#"<https://api.github.com/x/deliveries?per_page=100&cursor=v1_99>; rel="next""#));
        github::read_list("repos/a/b/hooks/1", &answer, window, NOW).unwrap()
    };
    let page = read("2026-01-02T03:00:00Z");
    let events: Vec<_> = page.events.iter().map(|event| (event.event_id.as_str(), event.is_delivered)).collect();
    assert_eq!(events, [("c", true), ("b", false)]);
    assert_eq!(page.events[1].content, Content::At("repos/a/b/hooks/1/deliveries/1".into()));
    assert_eq!(page.next, Some((Toward::Older, "v1_99".to_owned())));
    assert_eq!(read("2026-01-01T00:00:00Z").next, None, "the rest is older than what is looked for");
}

#[test]
fn reads_a_delivery_of_github() {
    let detail = r#"{"id": 1, "request": {"headers": {"X-GitHub-Event": "issues", "Content-Length": "9", "Content-Type": "application/x-www-form-urlencoded",
        "bad name": "x"}, "payload": {"n":  1.50}}, "response": {}}"#;
    let (headers, body) = github::read_detail(&answer(200, detail), NOW).unwrap().unwrap();
    assert_eq!(body, r#"{"n":  1.50}"#);
    let mut names: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type: application/json", "x-github-event: issues"]);
    for (status, body) in [(404, ""), (410, ""), (200, r#"{"request": {"headers": {}, "payload": null}}"#)] {
        assert_eq!(github::read_detail(&answer(status, body), NOW).unwrap(), None);
    }
    assert!(github::read_detail(&answer(200, "[]"), NOW).is_err());
}

#[test]
fn only_what_should_have_come_and_did_not_is_missing() {
    let event = |id: &str, minutes_ago: u32, is_delivered: bool| Listed {
        event_id: id.to_owned(),
        event_type: "push".to_owned(),
        at: NOW - Duration::from_secs(60) * minutes_ago,
        is_delivered,
        content: Content::At(String::new()),
    };
    let window = Window { since: NOW - HOUR, until: NOW - SETTLE };
    let mut settled = HashSet::new();
    let page = vec![
        event("young", 1, false),
        event("again", 2, true),
        event("lost", 10, false),
        event("again", 11, false),
        event("lost", 20, false),
        event("old", 70, false),
    ];
    let ids = |listed: Vec<Listed>| listed.into_iter().map(|event| (event.event_id, event.at)).collect::<Vec<_>>();
    let settings = back_fill(r#"{"apiKey": "k", "eventTypes": ["push"]}"#);
    assert_eq!(ids(missing(page, &settings, window, &mut settled)), [("lost".to_owned(), NOW - Duration::from_secs(600))]);
    // What a newer page said holds for the next.
    assert!(missing(vec![event("again", 30, false), event("lost", 30, false)], &settings, window, &mut settled).is_empty());
    let others = back_fill(r#"{"apiKey": "k", "eventTypes": ["issues"]}"#);
    assert!(missing(vec![event("new", 30, false)], &others, window, &mut settled).is_empty());
}
