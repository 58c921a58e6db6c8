//! A disk that is full, read-only or broken: clear errors, nothing lost, and work goes on when it is mended.

use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::{DeliveryState, MessageContent};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::{AcceptError, NewMessage, Reference, Unavailable};
use rusqlite::{ErrorCode, ffi, params};

use super::harness::SqliteHarness;
use crate::command::{Failed, WriteContext};

fn unavailable(why: &str) -> Unavailable {
    Unavailable(why.to_owned())
}

async fn set_pages_max(harness: &SqliteHarness, pages: i64) {
    harness
        .in_writer(move |context| {
            context.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_and_recovers() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let leased = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    set_pages_max(&harness, 120).await;
    let large = MessageContent { payload: Some(Bytes::from(vec![b'x'; 50_000])), ..content(&scene.endpoints) };
    let large = NewMessage { application: scene.application, content: large, idempotency_key: None };
    let mut accepted = Vec::new();
    let refused = loop {
        match harness.store().accept(large.clone(), NOW).await {
            Ok(message) => {
                accepted.push(message.id);
                assert_eq!(next_group(&mut harness).await.len(), 1);
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, AcceptError::Unavailable(unavailable("the disk is full")));
    assert!(!accepted.is_empty());
    assert_nothing_was_handed_over(&mut harness).await;

    // A record that does not fit leaves its lease as it is; the same records are written once there is space.
    let mut record = tried(&leased, 500, DeliveryState::Delivered, NOW);
    record.attempt.as_mut().unwrap().url = "x".repeat(300_000);
    let records = Arc::new(vec![record]);
    assert_eq!(harness.store().record(records.clone(), NOW).await, Err(unavailable("the disk is full")));
    assert_eq!(state_of(harness.store(), leased.key).await, DeliveryState::Pending);

    set_pages_max(&harness, 1_000_000).await;
    assert!(matches!(harness.store().record(records, NOW).await.unwrap()[..], [hookpost_store::Recorded::Done { attempt: Some(_) }]));
    accepted.push(accept(harness.store(), large, NOW).await.id);
    harness.reopen().await;
    assert_eq!(messages_of(&claim(harness.store(), scene.endpoints[0], NOW).await), accepted);
    assert_eq!(state_of(harness.store(), leased.key).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_read_only_file_refuses_clearly_and_recovers() {
    let harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 0).await;
    let refused = harness.in_writer(|context| Ok(context.connection.pragma_update(None, "query_only", true)?)).await;
    assert_eq!(refused, Err(unavailable("the database file is read-only")));
    // It was opened again, and can be written by now.
    accept(harness.store(), scene.message(), NOW).await;
}

#[tokio::test]
async fn after_an_io_error_the_file_is_opened_again() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let leased = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    let broken =
        || rusqlite::Error::SqliteFailure(ffi::Error { code: ErrorCode::SystemIoFailure, extended_code: ffi::SQLITE_IOERR_FSYNC }, None);
    let failed = harness.in_writer(move |_| Err(Failed::from(broken()))).await.unwrap_err();
    assert!(failed.0.starts_with("the disk reports an error"), "{failed}");
    record_one(harness.store(), tried(&leased, 200, DeliveryState::Delivered, NOW), NOW).await;
    let accepted = accept(harness.store(), scene.message(), NOW).await;
    assert!(harness.store().message(scene.application, Reference::Id(accepted.id)).await.unwrap().is_some());
}

/// A row that stands in the way of one record (it cannot, but if it does) must not take its neighbours with it.
#[tokio::test]
async fn one_operation_does_not_spoil_its_batch() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let spoiled = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    let fine = accept_leased(&mut harness, scene.message(), NOW).await.remove(0);
    let (message, endpoint) = (spoiled.key.message.row().as_i64(), spoiled.key.endpoint.row().as_i64());
    let (go_on, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let in_the_way = move |context: &mut WriteContext<'_>| {
        context.connection.execute("INSERT INTO delivery (message, endpoint, data) VALUES (?1, ?2, x'01')", params![message, endpoint])?;
        Ok(())
    };
    harness.in_writer(in_the_way).await.unwrap();
    // Keeps the writer busy until all the others are queued.
    let blocker = harness.in_writer(move |_| {
        let _ = wait.recv();
        Ok(())
    });
    let store = harness.store();
    let spoiled_records = Arc::new(vec![tried(&spoiled, 200, DeliveryState::Delivered, NOW)]);
    let fine_records = Arc::new(vec![tried(&fine, 200, DeliveryState::Delivered, NOW)]);
    let (_, spoiled_answer, fine_answer, accepted, ()) = tokio::join!(
        biased;
        blocker,
        store.record(spoiled_records, NOW),
        store.record(fine_records, NOW),
        store.accept(scene.message(), NOW),
        async move { go_on.send(()).unwrap() },
    );
    assert!(spoiled_answer.unwrap_err().0.contains("UNIQUE"));
    assert!(matches!(fine_answer.unwrap()[..], [hookpost_store::Recorded::Done { attempt: Some(_) }]));
    assert!(accepted.is_ok());
    assert_eq!(state_of(store, fine.key).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn after_close_everyone_is_told() {
    let harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 0).await;
    accept(harness.store(), scene.message(), NOW).await;
    harness.sqlite().close().await;
    let closed = unavailable("the store is closed");
    assert_eq!(harness.store().accept(scene.message(), NOW).await, Err(AcceptError::Unavailable(closed.clone())));
    assert_eq!(harness.store().lanes().await, Err(closed));
}
