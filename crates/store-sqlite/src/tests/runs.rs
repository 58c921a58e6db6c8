//! Lists, counters and keys on their way from the tail to the tables.

use hookpost_domain::{DeliveryState, MessageId};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::history::EndpointCounts;
use hookpost_store::{NewMessage, Order, PageRequest};

use super::harness::SqliteHarness;

/// At every step of a flush, and after a crash at every step: nothing is missed, nothing counted twice.
#[tokio::test]
async fn a_flush_shows_at_no_moment() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 3).await;
    let mut ids: Vec<MessageId> = Vec::new();
    for second in 0..40 {
        let leased = accept_leased(&mut harness, NewMessage { idempotency_key: key(second), ..scene.message() }, at(second.into())).await;
        ids.push(leased[0].key.message);
        record_one(harness.store(), tried(&leased[0], 200, DeliveryState::Delivered, NOW), NOW).await;
    }
    let mut steps = 0;
    loop {
        harness.sqlite().shared.limits.store_small();
        harness.in_writer(|_| Ok(())).await.unwrap();
        check(&harness, &scene, &ids).await;
        if steps % 5 == 3 {
            harness.reopen().await;
            check(&harness, &scene, &ids).await;
        }
        steps += 1;
        let tails = harness.sqlite().shared.tails.read();
        if tails.frozen.is_none() && tails.live.weight == 0 && steps > 30 {
            break;
        }
    }
    harness.reopen().await;
    check(&harness, &scene, &ids).await;
}

async fn check(harness: &SqliteHarness, scene: &Scene, ids: &[MessageId]) {
    let store = harness.store();
    for order in [Order::Ascending, Order::Descending] {
        let page = store.messages(scene.application, Default::default(), PageRequest::first(100, order)).await.unwrap();
        let mut found: Vec<MessageId> = page.items.iter().map(|message| message.id).collect();
        if order == Order::Descending {
            found.reverse();
        }
        assert_eq!(found, ids);
        let attempts = store.attempts_of_endpoint(scene.endpoints[0], Default::default(), PageRequest::first(100, order)).await.unwrap();
        assert_eq!(attempts.items.len(), ids.len());
    }
    let counts = store.endpoint_counts(scene.endpoints[0], NOW, at(60)).await.unwrap();
    assert_eq!(counts, EndpointCounts { success: 40, ..EndpointCounts::default() });
    let counts = store.endpoint_counts(scene.endpoints[1], NOW, at(60)).await.unwrap();
    assert_eq!(counts, EndpointCounts { pending: 40, ..EndpointCounts::default() });
    let repeated = accept(store, NewMessage { idempotency_key: key(7), ..scene.message() }, at(100)).await;
    assert_eq!((repeated.id, repeated.repeated, repeated.created_at), (ids[7], true, at(7)));
}
