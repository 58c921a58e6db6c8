//! A message at every time of a schedule, once, whatever happens to the nodes.

use hookpost_domain::receipt::Origin;
use hookpost_domain::source::{Cron, Extraction, SourceKind, SourceRules};

use super::{MINUTE, assert_origin};
use crate::world::World;

fn every_minute() -> SourceKind {
    SourceKind::Cron(Cron { schedule: "* * * * *".into(), payload: r#"{"n": 1.50}"#.into(), content_type: None })
}

/// The test begins at 03:03:20.
const UNTIL_FIRST: u64 = 40_000;

#[tokio::test(start_paused = true)]
async fn fires_at_every_time_of_its_schedule() {
    let world = World::new().await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    let rules = SourceRules { channels: vec![Extraction::Value("ticks".into())], ..SourceRules::default() };
    let source = world.source(app, every_minute(), rules).await;
    world.pass(UNTIL_FIRST - 100).await;
    assert!(world.payloads(app).await.is_empty());
    world.pass(3 * MINUTE + 200).await;
    assert_eq!(world.payloads(app).await, [r#"{"n": 1.50}"#; 4], "byte for byte");
    let receipts = world.receipts(source).await;
    let ids: Vec<_> = receipts.iter().map(|receipt| receipt.event_id.clone().unwrap_or_default()).collect();
    assert_eq!(ids[..2], ["2026-01-02T03:04:00.000000Z", "2026-01-02T03:05:00.000000Z"]);
    assert_origin(&receipts, Origin::Cron);
    // It goes the way of every message.
    let sent = world.sent_to("a");
    assert_eq!(sent.len(), 4);
    assert!(sent[0].at_ms < UNTIL_FIRST + 1000, "{:?}", sent[0].at_ms);
}

#[tokio::test(start_paused = true)]
async fn a_crash_makes_none_twice_and_the_last_missed_one_is_made_up_for() {
    let mut world = World::new().await;
    let app = world.application().await;
    let source = world.source(app, every_minute(), SourceRules::default()).await;
    world.pass(UNTIL_FIRST + 100).await;
    for _ in 0..3 {
        world.crash().await;
        world.pass(1000).await;
    }
    assert_eq!(world.payloads(app).await.len(), 1);
    world.stop().await;
    world.pass(10 * MINUTE + 30_000).await;
    world.restart();
    world.pass(1000).await;
    assert_eq!(world.payloads(app).await.len(), 2, "of ten that were missed");
    let ids: Vec<_> = world.receipts(source).await.into_iter().filter_map(|receipt| receipt.event_id).collect();
    assert_eq!(ids, ["2026-01-02T03:04:00.000000Z", "2026-01-02T03:14:00.000000Z"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_fired_and_not_remembered_is_known_by_its_key() {
    let mut world = World::new().await;
    let app = world.application().await;
    let source = world.source(app, every_minute(), SourceRules::default()).await;
    world.faults.lock().states_are_lost = true;
    world.pass(UNTIL_FIRST + 100).await;
    world.faults.lock().states_are_lost = false;
    world.crash().await;
    world.pass(5000).await;
    assert_eq!(world.payloads(app).await.len(), 1);
    assert_eq!(world.verdicts(source).await, ["accepted", "duplicate"]);
}

#[tokio::test(start_paused = true)]
async fn one_node_fires_and_another_takes_over() {
    let world = World::new().await;
    let app = world.application().await;
    world.faults.lock().sources_are_elsewhere = true;
    world.source(app, every_minute(), SourceRules::default()).await;
    world.pass(UNTIL_FIRST + 5000).await;
    assert!(world.payloads(app).await.is_empty());
    world.faults.lock().sources_are_elsewhere = false;
    world.pass(15_000).await;
    assert_eq!(world.payloads(app).await.len(), 1, "the one that the other node left undone");
}

#[tokio::test(start_paused = true)]
async fn changes_are_followed_and_a_disabled_source_misses_nothing() {
    let world = World::new().await;
    let app = world.application().await;
    let source = world.source(app, every_minute(), SourceRules::default()).await;
    world.change_source(source, |source| source.disabled = true).await;
    world.pass(10 * MINUTE).await;
    assert!(world.payloads(app).await.is_empty());
    world.change_source(source, |source| source.disabled = false).await;
    world.pass(1000).await;
    assert!(world.payloads(app).await.is_empty(), "nothing is made up for");
    world.pass(MINUTE).await;
    assert_eq!(world.payloads(app).await.len(), 1);
    world
        .change_source(source, |source| {
            source.kind = SourceKind::Cron(Cron {
                schedule: "*/10 * * * * *".into(),
                payload: "tick".into(),
                content_type: Some("text/plain".into()),
            });
        })
        .await;
    world.pass(MINUTE).await;
    let payloads = world.payloads(app).await;
    assert!((6..=7).contains(&(payloads.len() - 1)), "{payloads:?}");
    assert_eq!(payloads.last().map(String::as_str), Some("tick"));
    world.shared().delete_source(source, world.now()).await.expect("deleted");
    world.pass(5 * MINUTE).await;
    assert_eq!(world.payloads(app).await.len(), payloads.len());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_delays_and_loses_nothing() {
    let world = World::new().await;
    let app = world.application().await;
    world.source(app, every_minute(), SourceRules::default()).await;
    world.pass(UNTIL_FIRST - 1000).await;
    world.faults.lock().intake_is_away = true;
    world.pass(20_000).await;
    assert!(world.payloads(app).await.is_empty());
    world.faults.lock().intake_is_away = false;
    world.pass(5000).await;
    assert_eq!(world.payloads(app).await.len(), 1);
}
