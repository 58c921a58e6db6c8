//! Conversations with addresses, as data: what is asked, what is answered, what is made of it and what is remembered. No IO.

use bytes::Bytes;
use hookpost_domain::source::Poll;
use hookpost_domain::{Timestamp, limits};
use http::{HeaderName, HeaderValue};

use super::answer::Read;
use super::progress::{NextRef, PollProgress};
use super::settings::PreparedPoll;
use crate::transport::Answer;

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);

fn prepare(settings: &str) -> PreparedPoll {
    let poll: Poll = serde_json::from_str(settings).unwrap_or_else(|problem| panic!("{settings}: {problem}"));
    PreparedPoll::new(&poll).unwrap_or_else(|mistake| panic!("{mistake}"))
}

fn answer(status_code: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let header = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    Answer { status_code, headers: headers.iter().map(header).collect(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Asks with what is known, and takes the answer: the URL asked, and what came of it as text.
fn step(poll: &PreparedPoll, progress: &mut PollProgress, answer: &Answer) -> (String, String) {
    progress.of_list(poll);
    let asked = poll.ask(progress, "Hookpost").unwrap_or_else(|failure| panic!("{}", failure.detail));
    let url = asked.request.uri.to_string();
    match poll.read(&asked, answer, NOW) {
        Ok(Read::Unchanged) => (url, "unchanged".to_owned()),
        Ok(Read::Page(page)) => {
            let known = progress.remembered.known();
            let new = page.items.iter().filter(|item| !known.contains(&item.mark));
            let texts: Vec<_> = new.map(|item| String::from_utf8_lossy(&item.body).into_owned()).collect();
            let goes_on = progress.took(poll, &page, asked.validators_of(answer));
            (url, format!("{}{}", texts.join(" "), if goes_on { " …" } else { "" }))
        }
        Err(failure) => (url, format!("failed: {}", failure.detail)),
    }
}

fn check(settings: &str, conversation: &[(&str, Answer, &str)]) -> PollProgress {
    let poll = prepare(settings);
    let mut progress = PollProgress::default();
    for (number, (url, answer, outcome)) in conversation.iter().enumerate() {
        let (asked, came) = step(&poll, &mut progress, answer);
        assert_eq!((asked.as_str(), came.as_str()), (*url, *outcome), "step {number}");
        // As a crash and a start between any two pages have it.
        progress = serde_json::from_str(&serde_json::to_string(&progress).unwrap()).unwrap();
    }
    progress
}

fn ok(body: &str) -> Answer {
    answer(200, &[], body)
}

#[test]
fn a_list_without_a_cursor_gives_what_was_not_seen() {
    check(
        r#"{"url": "https://a.test/list", "everyS": 60, "items": "$.data", "itemId": "$.id"}"#,
        &[
            ("https://a.test/list", ok(r#"{"data": [{"id": 2, "v": 1.50}, {"id": 1}]}"#), r#"{"id": 2, "v": 1.50} {"id": 1}"#),
            ("https://a.test/list", ok(r#"{"data": [{"id": 3}, {"id": 2, "v": 9}]}"#), r#"{"id": 3}"#),
            // An item that left the list for a moment.
            ("https://a.test/list", ok(r#"{"data": [{"id": 1}]}"#), ""),
            ("https://a.test/list", ok("{}"), ""),
            ("https://a.test/list", ok(r#"{"data": null}"#), ""),
            ("https://a.test/list", answer(204, &[], ""), ""),
        ],
    );
}

#[test]
fn without_an_id_an_item_that_changes_is_a_new_one() {
    check(
        r#"{"url": "https://a.test/", "everyS": 60}"#,
        &[
            ("https://a.test/", ok(r#"[{"a": 1}, {"a": 1}, 7, "x"]"#), r#"{"a": 1} {"a": 1} 7 "x""#),
            ("https://a.test/", ok(r#"[{"a": 2}, 7]"#), r#"{"a": 2}"#),
            ("https://a.test/", ok(r#" {"all": "of it"} "#), r#"{"all": "of it"}"#),
            ("https://a.test/", answer(200, &[("content-type", "text/xml")], "<a/>"), "<a/>"),
            ("https://a.test/", answer(200, &[("content-type", "text/xml")], "<a/>"), ""),
            ("https://a.test/", ok(""), ""),
        ],
    );
}

#[test]
fn a_cursor_in_the_answer_leads_from_page_to_page_and_from_poll_to_poll() {
    let settings = |from: &str| {
        format!(
            r#"{{"url": "https://a.test/?after={{{{cursor}}}}", "everyS": 60, "items": "$.d", "cursor": {{"from": {from}, "first": "a b"}}}}"#
        )
    };
    let first = "https://a.test/?after=a%20b";
    check(
        &settings(r#"{"path": "$.next"}"#),
        &[
            (first, ok(r#"{"d": [1], "next": "x&y"}"#), "1 …"),
            ("https://a.test/?after=x%26y", ok(r#"{"d": [2], "next": 12345678901234567890123}"#), "2 …"),
            ("https://a.test/?after=12345678901234567890123", ok(r#"{"d": [], "next": "z"}"#), ""),
            ("https://a.test/?after=z", ok(r#"{"d": [3], "next": null}"#), "3"),
            ("https://a.test/?after=z", ok(r#"{"d": [3, 4], "next": "z"}"#), "4"),
        ],
    );
    check(
        &settings(r#"{"header": "x-next"}"#),
        &[
            (first, answer(200, &[("x-next", "2")], r#"{"d": [1]}"#), "1 …"),
            ("https://a.test/?after=2", answer(200, &[], r#"{"d": [2]}"#), "2"),
        ],
    );
    check(
        &settings(r#"{"lastItem": "$.id"}"#),
        &[
            (first, ok(r#"{"d": [{"id": 5}, {"id": 4}]}"#), r#"{"id": 5} {"id": 4} …"#),
            ("https://a.test/?after=4", ok(r#"{"d": []}"#), ""),
            ("https://a.test/?after=4", ok(r#"{"d": [{"id": 4}]}"#), ""),
        ],
    );
}

#[test]
fn the_greatest_of_all_pages_is_the_next_cursor() {
    let progress = check(
        r#"{"url": "https://a.test/?since={{cursor}}", "everyS": 60, "cursor": {"from": {"greatestItem": "$.at"}}, "nextPage": "link"}"#,
        &[
            (
                "https://a.test/?since=",
                answer(200, &[("link", r#"</?since=&p=2>; rel="next""#)], r#"[{"at": 9}, {"at": 10}]"#),
                r#"{"at": 9} {"at": 10} …"#,
            ),
            ("https://a.test/?since=&p=2", ok(r#"[{"at": 3}]"#), r#"{"at": 3}"#),
            ("https://a.test/?since=10", ok(r#"[{"at": 10}, {"at": 2}]"#), r#"{"at": 2}"#),
            ("https://a.test/?since=10", ok("[]"), ""),
        ],
    );
    assert_eq!(progress.cursor.as_deref(), Some("10"));
}

#[test]
fn pages_are_named_by_links_urls_and_tokens() {
    check(
        r#"{"url": "https://a.test/l", "everyS": 60, "items": "$.d", "nextPage": {"url": "$.next"}}"#,
        &[
            ("https://a.test/l", ok(r#"{"d": [1], "next": "?page=2"}"#), "1 …"),
            ("https://a.test/l?page=2", ok(r#"{"d": [2], "next": "https://a.test/l?page=2"}"#), "2"),
            ("https://a.test/l", ok(r#"{"d": [3], "next": ""}"#), "3"),
        ],
    );
    check(
        r#"{"url": "https://a.test/?t={{page}}", "everyS": 60, "items": "$.d", "nextPage": {"token": "$.next"}}"#,
        &[
            ("https://a.test/?t=", ok(r#"{"d": [1], "next": "a=b"}"#), "1 …"),
            ("https://a.test/?t=a%3Db", ok(r#"{"d": [], "next": "c"}"#), " …"),
            ("https://a.test/?t=c", ok(r#"{"d": [2]}"#), "2"),
            ("https://a.test/?t=", ok(r#"{"d": [1]}"#), ""),
        ],
    );
}

#[test]
fn nothing_of_the_credentials_goes_to_another_host() {
    let settings = r#"{"url": "https://a.test/l", "everyS": 60, "nextPage": "link", "auth": {"bearer": "s3cret"}}"#;
    let to = |link: &str| answer(200, &[("link", &format!("<{link}>; rel=next"))], "[1]");
    for elsewhere in ["https://evil.test/l", "http://a.test/l", "https://a.test:444/l", "https://x@a.test/l"] {
        let refused = "failed: The answer names a next page with another host, which is not asked.";
        check(settings, &[("https://a.test/l", to(elsewhere), refused)]);
    }
    // A place that was remembered for other settings.
    let poll = prepare(settings);
    let mut progress = PollProgress::default();
    step(&poll, &mut progress, &to("https://a.test/2"));
    if let Some(walk) = &mut progress.walk {
        walk.next = Some(NextRef::Url("https://evil.test/".into()));
    }
    assert!(poll.ask(&progress, "Hookpost").unwrap_err().detail.contains("another host"));
    let moved = prepare(&settings.replace("a.test", "b.test"));
    progress.of_list(&moved);
    assert_eq!(moved.ask(&progress, "Hookpost").unwrap().request.uri.to_string(), "https://b.test/l");
}

#[test]
fn news_only_are_asked_for_where_the_address_can_tell() {
    let poll = prepare(r#"{"url": "https://a.test/", "everyS": 60, "nextPage": "link"}"#);
    let mut progress = PollProgress::default();
    let condition = |progress: &PollProgress| {
        let asked = poll.ask(progress, "Hookpost").unwrap();
        let headers = asked.request.headers;
        ["if-none-match", "if-modified-since"].map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
    };
    assert_eq!(condition(&progress), [None, None]);
    assert_eq!(step(&poll, &mut progress, &answer(304, &[], "")).1, "failed: The address answered 304.", "nobody asked that");
    step(&poll, &mut progress, &answer(200, &[("etag", "\"1\""), ("last-modified", "Fri, 02 Jan 2026 03:00:00 GMT")], "[1]"));
    assert_eq!(condition(&progress), [Some("\"1\"".into()), Some("Fri, 02 Jan 2026 03:00:00 GMT".into())]);
    assert_eq!(step(&poll, &mut progress, &answer(304, &[], "")).1, "unchanged");
    assert_eq!(condition(&progress)[0].as_deref(), Some("\"1\""));
    // Of several pages the first says nothing about the others.
    step(&poll, &mut progress, &answer(200, &[("etag", "\"2\""), ("link", "</2>; rel=next")], "[2]"));
    step(&poll, &mut progress, &answer(200, &[("etag", "\"3\"")], "[3]"));
    assert_eq!(condition(&progress), [None, None]);
    // What is said of one request holds for no other.
    step(&poll, &mut progress, &answer(200, &[("etag", "\"4\"")], "[4]"));
    let other = prepare(r#"{"url": "https://a.test/", "everyS": 60, "nextPage": "link", "headers": {"x-tenant": "b"}}"#);
    assert!(!other.ask(&progress, "Hookpost").unwrap().is_conditional);
}

#[test]
fn what_cannot_be_used_is_said() {
    let settings = r#"{"url": "https://a.test/", "everyS": 60, "items": "$.d", "itemId": "$.id", "cursor": {"from": {"path": "$.c"}}}"#;
    let long = format!(r#"{{"c": "{}"}}"#, "x".repeat(limits::POLL_CURSOR_BYTES_MAX + 1));
    let many = format!(r#"{{"d": [{}{{"id": 1}}]}}"#, r#"{"id": 1},"#.repeat(limits::POLL_ITEMS_MAX));
    for (answer, expected) in [
        (answer(500, &[], "no"), "failed: The address answered 500."),
        (answer(302, &[("location", "/b")], ""), "failed: The address answered 302."),
        (ok("<html>"), "failed: The answer is not JSON"),
        (ok(r#"{"d": "x"}"#), "failed: Where the items should be is neither an array nor an object."),
        (ok(r#"{"d": [{"no": 1}]}"#), "failed: An item has nothing where its id should be."),
        (ok(r#"{"d": [{"id": {}}]}"#), "failed: An item has nothing where its id should be."),
        (ok(&long), "failed: The cursor of the answer is longer than"),
        (ok(&many), "failed: The answer has 10001 items"),
    ] {
        let mut progress = PollProgress::default();
        let (_, came) = step(&prepare(settings), &mut progress, &answer);
        assert!(came.starts_with(expected), "{came}");
        assert_eq!((progress.cursor, progress.walk), (None, None));
    }
}

#[test]
fn a_bound_of_pages_pauses_a_walk_with_a_cursor_and_ends_one_without() {
    for (cursor, goes_on) in [("", false), (r#", "cursor": {"from": {"greatestItem": "$"}}"#, true)] {
        let poll = prepare(&format!(r#"{{"url": "https://a.test/", "everyS": 60, "nextPage": "link"{cursor}}}"#));
        let mut progress = PollProgress::default();
        step(&poll, &mut progress, &answer(200, &[("link", "</2>; rel=next")], "[1]"));
        assert_eq!(progress.paused(&poll), goes_on);
        assert_eq!(step(&poll, &mut progress, &ok("[2]")).0, if goes_on { "https://a.test/2" } else { "https://a.test/" });
    }
}

#[test]
fn a_request_says_what_its_settings_say() {
    let poll = prepare(
        r#"{"url": "https://a.test/q#top", "method": "POST", "everyS": 60, "body": "{\"after\": {{cursor | json}}}",
            "headers": {"x-after": "{{cursor}}"}, "auth": {"bearer": "s3cret"}, "cursor": {"from": {"path": "$.c"}, "first": "a\"b"}}"#,
    );
    let asked = poll.ask(&PollProgress::default(), "Hookpost/1").unwrap();
    assert_eq!(asked.request.body, r#"{"after": "a\"b"}"#);
    assert_eq!(asked.request.uri.to_string(), "https://a.test/q");
    let mut lines: Vec<_> = asked.request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept: application/json, */*;q=0.5",
            "authorization: Bearer s3cret",
            "content-type: application/json",
            "user-agent: Hookpost/1",
            "x-after: a\"b"
        ]
    );
    let mut broken = PollProgress::default();
    broken.cursor = Some("a\nb".into());
    assert!(poll.ask(&broken, "Hookpost/1").unwrap_err().detail.contains("The header `x-after`"));
}

#[test]
fn reading_any_answer_never_panics() {
    use proptest::prelude::*;
    let poll = prepare(
        r#"{"url": "https://a.test/", "everyS": 60, "items": "$.d[*].e", "itemId": "$.id", "cursor": {"from": {"greatestItem": "$.at"}},
            "nextPage": {"url": "$.next"}}"#,
    );
    proptest!(|(body in r#"[\{\}\[\]",:dei1a. nextul-]{0,60}|\PC{0,40}"#, link in "\\PC{0,30}")| {
        let asked = poll.ask(&PollProgress::default(), "x").unwrap();
        let mut came = ok(&body);
        if let Ok(link) = HeaderValue::from_str(&link) {
            came.headers.insert("link", link);
        }
        let _ = poll.read(&asked, &came, NOW);
    });
}
