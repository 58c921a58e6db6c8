//! What is found after the process died at any moment.

use std::collections::BTreeSet;

use hookpost_domain::{DeliveryState, MessageId, Timestamp};
use hookpost_store::SharedStore;
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;

use super::harness::{SqliteHarness, open};
use crate::DATABASE_FILE;

/// The files as a crash of the machine would leave them: written, but never closed.
#[tokio::test]
async fn a_copy_of_the_files_of_a_live_store_has_everything_acknowledged() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 2).await;
    let mut open_messages = BTreeSet::new();
    let mut all = BTreeSet::new();
    for second in 0..60 {
        let leased = accept_leased(&mut harness, scene.message(), at(second)).await;
        all.insert(leased[0].key.message);
        // Delivered, waiting for a retry, and not yet recorded.
        let state = [DeliveryState::Delivered, DeliveryState::Waiting { at: at(1000) }, DeliveryState::Pending][second as usize % 3];
        if state != DeliveryState::Pending {
            record_one(harness.store(), tried(&leased[0], 200, state, at(second)), at(second)).await;
        }
        if state != DeliveryState::Delivered {
            open_messages.insert(leased[0].key.message);
        }
    }

    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("{DATABASE_FILE}{suffix}");
        std::fs::copy(harness.directory.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let (copied, _ready) = open(copy.path());
    let copied: SharedStore = copied;
    let first: BTreeSet<MessageId> = messages_of(&claim(&copied, scene.endpoints[0], at(5000)).await).into_iter().collect();
    assert_eq!(first, open_messages);
    let second: BTreeSet<MessageId> = messages_of(&claim(&copied, scene.endpoints[1], at(5000)).await).into_iter().collect();
    assert_eq!(second, all);
    let usage = async |store: &SharedStore| store.usage(scene.application, Timestamp::ZERO, Timestamp::MAX).await.unwrap();
    let counted = usage(&copied).await;
    assert_eq!(counted, usage(harness.store()).await);
    assert_eq!(
        counted.iter().map(|one| (one.counts.messages, one.counts.deliveries, one.counts.success)).collect::<Vec<_>>(),
        [(60, 120, 40)]
    );
}

/// A first attempt that takes longer than many others does not hold the mark back for ever, and is found again all the same.
#[tokio::test]
async fn slow_first_attempts_are_held_apart() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let slow = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    harness.sqlite().shared.leases.lock().set_mark_lag(3);
    for second in 0..10 {
        let quick = accept_leased(&mut harness, scene.message(), at(second)).await.remove(0);
        record_one(harness.store(), tried(&quick, 200, DeliveryState::Delivered, at(second)), at(second)).await;
    }
    let held = |harness: &SqliteHarness| {
        let file = harness.directory.path().join(DATABASE_FILE);
        let connection = crate::schema::open_reader(&file).unwrap();
        let held: i64 = connection.query_row("SELECT count(*) FROM held", [], |row| row.get(0)).unwrap();
        let mark: i64 = connection.query_row("SELECT mark FROM tail_log ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).unwrap();
        (held, mark > slow.key.message.row().as_i64())
    };
    assert_eq!(held(&harness), (1, true));
    harness.reopen().await;
    let again = claim(harness.store(), scene.endpoints[0], at(99)).await;
    assert_eq!(messages_of(&again), [slow.key.message]);
    record_one(harness.store(), tried(&again.deliveries[0], 200, DeliveryState::Delivered, at(99)), at(99)).await;
    harness.reopen().await;
    assert!(claim(harness.store(), scene.endpoints[0], at(99)).await.deliveries.is_empty());
}
