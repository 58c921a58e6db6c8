//! Polls: each item once, in order, at a rhythm that failures slow down.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_domain::receipt::Origin;
use hookpost_domain::source::{Extraction, SourceKind, SourceRules};
use hookpost_engine::TransportError;

use super::{MINUTE, answer, assert_origin, from_json};
use crate::world::World;

fn poll(json: &str) -> SourceKind {
    SourceKind::Poll(from_json(json))
}

const LIST: &str = r#"{"url": "http://api.test/list?after={{cursor}}", "everyS": 60, "itemId": "$.id",
    "cursor": {"from": {"lastItem": "$.id"}, "first": "0"}}"#;

/// A list from which two items a page can be asked for.
fn serve_list(world: &World, count: &Arc<AtomicUsize>) {
    let count = Arc::clone(count);
    world.api(move |request| {
        let after: usize =
            request.uri.query().and_then(|query| query.strip_prefix("after=")).and_then(|after| after.parse().ok()).expect("after");
        let items: Vec<_> = (after + 1..=count.load(Ordering::Relaxed)).take(2).map(|id| format!(r#"{{"id": {id}}}"#)).collect();
        Ok(answer(200, &[], &format!("[{}]", items.join(","))))
    });
}

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|id| format!(r#"{{"id": {id}}}"#)).collect()
}

#[tokio::test(start_paused = true)]
async fn takes_in_every_item_once_and_in_order() {
    let world = World::new().await;
    let app = world.application().await;
    let count = Arc::new(AtomicUsize::new(5));
    serve_list(&world, &count);
    let rules = SourceRules { event_type: Some(Extraction::Template("item.{{body.id}}".into())), ..SourceRules::default() };
    let source = world.source(app, poll(LIST), rules).await;
    world.pass(1000).await;
    assert_eq!(world.payloads(app).await, numbers(5));
    let receipts = world.receipts(source).await;
    assert_origin(&receipts, Origin::Poll);
    assert_eq!(receipts[4].event_id.as_deref(), Some("5"));
    assert_eq!(receipts[4].request.url, "http://api.test/list?after=4");
    count.store(6, Ordering::Relaxed);
    world.pass(2 * MINUTE).await;
    assert_eq!(world.payloads(app).await, numbers(6));
    let asked: Vec<_> = world.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked[..5], ["/list?after=0", "/list?after=2", "/list?after=4", "/list?after=5", "/list?after=5"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_loses_nothing_and_makes_nothing_twice() {
    for crash_after in 0..8 {
        let mut world = World::new().await;
        let app = world.application().await;
        let count = Arc::new(AtomicUsize::new(9));
        serve_list(&world, &count);
        world.faults.lock().receives_left = Some(crash_after);
        world.source(app, poll(LIST), SourceRules::default()).await;
        world.pass(1000).await;
        world.faults.lock().receives_left = None;
        world.crash().await;
        world.pass(3 * MINUTE).await;
        let mut payloads = world.payloads(app).await;
        payloads.sort_unstable();
        assert_eq!(payloads, numbers(9), "crash after {crash_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_that_was_lost_makes_no_message_twice_and_no_receipt() {
    let mut world = World::new().await;
    let app = world.application().await;
    let count = Arc::new(AtomicUsize::new(4));
    serve_list(&world, &count);
    world.faults.lock().states_are_lost = true;
    let source = world.source(app, poll(LIST), SourceRules::default()).await;
    world.pass(1000).await;
    world.faults.lock().states_are_lost = false;
    world.crash().await;
    world.pass(2 * MINUTE).await;
    assert_eq!(world.payloads(app).await, numbers(4));
    assert_eq!(world.verdicts(source).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn failures_slow_it_down_and_show_once_an_hour() {
    let world = World::new().await;
    let app = world.application().await;
    world.api(|_| Ok(answer(500, &[], "secret")));
    let source = world.source(app, poll(r#"{"url": "http://api.test/list?api_key=s3cret", "everyS": 60}"#), SourceRules::default()).await;
    world.pass(3 * 60 * MINUTE).await;
    let asked = world.asked();
    assert!((7..=10).contains(&asked.len()), "{asked:?}");
    let waits: Vec<u64> = asked.windows(2).map(|pair| (pair[1].at_ms - pair[0].at_ms) / 1000).collect();
    assert!(waits[0] >= 54 && waits[1] >= 108 && waits.iter().all(|wait| *wait <= 3961), "{waits:?}");
    let verdicts = world.verdicts(source).await;
    assert!((2..=3).contains(&verdicts.len()), "{verdicts:?}");
    assert_eq!(verdicts[0], "poll_failed: The address answered 500.");
    let receipt = &world.receipts(source).await[0];
    assert_eq!((receipt.status_code, receipt.request.url.as_str()), (500, "http://api.test/list?api_key=withheld"));
    // Whoever mends the settings sees at once whether it helped.
    world.api(|_| Ok(answer(200, &[], "[1]")));
    world.change_source(source, |source| source.name = "mended".into()).await;
    world.pass(2000).await;
    assert_eq!(world.payloads(app).await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_asks_for_a_pause_gets_it() {
    let world = World::new().await;
    let app = world.application().await;
    let times = AtomicUsize::new(0);
    world.api(move |_| match times.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(answer(429, &[("retry-after", "600")], "")),
        1 => Err(TransportError { kind: TransportErrorKind::BlockedAddress, message: "10.0.0.1 is a private address".into() }),
        _ => Ok(answer(200, &[], "[7]")),
    });
    let source = world.source(app, poll(r#"{"url": "http://api.test/", "everyS": 60}"#), SourceRules::default()).await;
    world.pass(10 * MINUTE - 1000).await;
    assert_eq!(world.asked().len(), 1);
    world.pass(2000).await;
    assert_eq!(world.asked().len(), 2);
    world.pass(5 * MINUTE).await;
    assert_eq!(world.payloads(app).await, ["7"]);
    assert_eq!(world.verdicts(source).await, ["poll_failed: The address answered 429.", "accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_nothing_costs_one_small_request() {
    let world = World::new().await;
    let app = world.application().await;
    let unchanged = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unchanged);
    world.api(move |request| {
        if request.headers.get("if-none-match").is_some_and(|etag| etag == "\"1\"") {
            counted.fetch_add(1, Ordering::Relaxed);
            return Ok(answer(304, &[], ""));
        }
        Ok(answer(200, &[("etag", "\"1\"")], "[1,2]"))
    });
    world.source(app, poll(r#"{"url": "http://api.test/", "everyS": 60}"#), SourceRules::default()).await;
    world.pass(5 * MINUTE).await;
    assert!((4..=5).contains(&unchanged.load(Ordering::Relaxed)));
    assert_eq!(world.payloads(app).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn more_than_one_look_can_carry_is_carried_by_the_next() {
    let world = World::new().await;
    let app = world.application().await;
    let count = Arc::new(AtomicUsize::new(50));
    serve_list(&world, &count);
    let few_pages = LIST.replace("\"everyS\": 60", "\"everyS\": 60, \"pagesMax\": 3");
    world.source(app, poll(&few_pages), SourceRules::default()).await;
    world.pass(500).await;
    assert_eq!(world.payloads(app).await.len(), 6);
    world.pass(30_000).await;
    assert_eq!(world.payloads(app).await, numbers(50));
}

#[tokio::test(start_paused = true)]
async fn a_source_is_asked_by_one_node_and_ends_with_the_engine() {
    let mut world = World::new().await;
    let app = world.application().await;
    world.api(|_| Ok(answer(200, &[], "[1]")));
    world.faults.lock().sources_are_elsewhere = true;
    world.source(app, poll(r#"{"url": "http://api.test/", "everyS": 60}"#), SourceRules::default()).await;
    world.pass(5 * MINUTE).await;
    assert!(world.asked().is_empty());
    world.faults.lock().sources_are_elsewhere = false;
    world.pass(15_000).await;
    assert_eq!(world.asked().len(), 1);
    world.stop().await;
    world.pass(10 * MINUTE).await;
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_used_are_a_failure_that_is_seen() {
    let world = World::new().await;
    let app = world.application().await;
    let source = world.source(app, poll(r#"{"url": "http://api.test/", "everyS": 60, "items": "$.."}"#), SourceRules::default()).await;
    world.pass(1000).await;
    let verdicts = world.verdicts(source).await;
    assert!(verdicts[0].starts_with("poll_failed: The settings of the source cannot be used: `items` is not a path"), "{verdicts:?}");
    assert!(world.asked().is_empty());
}
