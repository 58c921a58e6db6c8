//! What was sent, counted: on its way to the table, after a crash, in another directory, and when it is old.

use std::path::Path;
use std::time::Duration;

use hookpost_domain::{DeliveryState, EventTypeName, Timestamp};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::usage::{COARSE_S, FINE_FOR_S, FINE_S, UsageCounts};
use hookpost_store::{NewMessage, SharedStore, WriteError};

use super::harness::{SqliteHarness, open};
use super::moving::move_in_pieces;
use crate::DATABASE_FILE;
use crate::command::Failed;

const MESSAGES: u64 = 12;
/// Two in a fine span, all in one hour.
const PAUSE_S: u64 = FINE_S / 2;

fn copy_files(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = format!("{DATABASE_FILE}{suffix}");
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn of_type(scene: &Scene, number: u64) -> NewMessage {
    let mut message = scene.message();
    message.content.event_type = EventTypeName::parse(["a", "b", "c"][number as usize % 3]).unwrap();
    message
}

async fn sum(store: &SharedStore, scene: &Scene) -> UsageCounts {
    let mut sum = UsageCounts::default();
    let usage = store.usage(scene.application, Timestamp::ZERO, Timestamp::MAX).await.unwrap();
    usage.iter().for_each(|one| sum.add(one.counts));
    sum
}

async fn rows(harness: &SqliteHarness) -> i64 {
    let count = harness.sqlite().read(|connection, _| Ok(connection.query_row("SELECT count(*) FROM usage", [], |row| row.get(0))?));
    count.await.unwrap()
}

/// Applications whose counts are written in slices of their own, each with messages that are delivered to one of their two endpoints.
async fn filled(harness: &mut SqliteHarness) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for _ in 0..4 {
        scenes.push(scene(harness.store(), 2).await);
    }
    for number in 0..MESSAGES {
        for scene in &scenes {
            let leased = accept_leased(harness, of_type(scene, number), at(number * PAUSE_S)).await;
            let record = tried(&leased[0], 200, DeliveryState::Delivered, at(number * PAUSE_S));
            record_one(harness.store(), record, at(number * PAUSE_S)).await;
        }
    }
    scenes
}

const EACH: UsageCounts = UsageCounts { messages: MESSAGES, deliveries: 2 * MESSAGES, success: MESSAGES, failure: 0, canceled: 0 };

/// Nothing is missed and nothing counted twice, whenever somebody looks, whenever the machine loses power, and whenever all is moved elsewhere.
#[tokio::test]
async fn the_way_to_the_table_shows_at_no_moment() {
    let mut harness = SqliteHarness::open().await;
    let scenes = filled(&mut harness).await;
    let mut steps = 0;
    loop {
        harness.sqlite().shared.limits.store_small();
        harness.in_writer(|_| Ok(())).await.unwrap();
        for scene in &scenes {
            assert_eq!(sum(harness.store(), scene).await, EACH, "step {steps}");
        }
        if steps % 6 == 3 {
            let (copy, moved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            copy_files(harness.directory.path(), copy.path());
            move_in_pieces(copy.path(), moved.path()).await;
            for directory in [copy, moved] {
                let (store, _ready) = open(directory.path());
                let store: SharedStore = store;
                for scene in &scenes {
                    assert_eq!(sum(&store, scene).await, EACH, "step {steps}");
                }
            }
        }
        steps += 1;
        let tails = harness.sqlite().shared.tails.read();
        if tails.frozen.is_none() && tails.live.weight == 0 && steps > 30 {
            break;
        }
    }
    assert!(rows(&harness).await > 0);
    harness.reopen().await;
    assert_eq!(sum(harness.store(), &scenes[0]).await, EACH);
}

/// What an operation journaled before it was refused goes with it.
#[tokio::test]
async fn what_was_refused_counts_for_nothing() {
    let harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 0).await;
    let application = scene.application;
    let refused: Result<(), WriteError> = harness
        .sqlite()
        .shared
        .write(move |context| {
            let event_type = EventTypeName::parse("a").expect("a name");
            context.journal.usage(application, &event_type, NOW, UsageCounts { messages: 1, ..UsageCounts::default() });
            Err::<crate::command::Written<()>, _>(Failed::Refused(WriteError::NotFound))
        })
        .await;
    assert_eq!(refused, Err(WriteError::NotFound));
    assert_eq!(sum(harness.store(), &scene).await, UsageCounts::default());
}

#[tokio::test]
async fn old_spans_become_rows_of_hours_and_go() {
    let mut harness = SqliteHarness::open().await;
    let scenes = filled(&mut harness).await;
    harness.sqlite().shared.limits.store_small();
    for _ in 0..100 {
        harness.in_writer(|_| Ok(())).await.unwrap();
    }
    let fine = rows(&harness).await;
    let later = at(FINE_FOR_S + 2 * COARSE_S);
    forget_all(harness.store(), 30 * DAY, later).await;
    assert_eq!(fine, 4 * MESSAGES as i64);
    assert_eq!(rows(&harness).await, 4 * 3, "of each application and event type one");
    for _ in 0..2 {
        for scene in &scenes {
            assert_eq!(sum(harness.store(), scene).await, EACH);
        }
        harness.reopen().await;
    }
    let end = NOW + 30 * DAY + Duration::from_secs(COARSE_S);
    forget_all(harness.store(), 30 * DAY, end).await;
    assert_eq!((sum(harness.store(), &scenes[0]).await, rows(&harness).await), (UsageCounts::default(), 0));
}
