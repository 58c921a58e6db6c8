//! More due rows than are taken into memory at a time (here: a few), in another order than their messages.

use hookpost_domain::{DeliveryState, MessageId, Reason};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::*;
use hookpost_store::queue::{CancelFilter, Canceled, ClaimRequest};

use super::harness::SqliteHarness;

/// Messages that wait for their retry, the oldest the longest.
async fn youngest_due_first(harness: &mut SqliteHarness, scene: &Scene) -> Vec<MessageId> {
    let mut messages = Vec::new();
    for number in 0..7 {
        let leased = accept_leased(harness, scene.message(), at(number)).await.remove(0);
        record_one(harness.store(), tried(&leased, 500, DeliveryState::Waiting { at: at(60 - number) }, at(number)), at(number)).await;
        messages.push(leased.key.message);
    }
    messages
}

#[tokio::test]
async fn canceling_finds_all_that_is_due() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let messages = youngest_due_first(&mut harness, &scene).await;
    let cancel = async |which: CancelFilter, limit| {
        harness.store().cancel(scene.endpoints[0], which, Reason::CanceledByUser, limit, at(10)).await.unwrap()
    };
    let of = |message| CancelFilter { messages: Some(vec![message]), ..CancelFilter::default() };
    assert_eq!(cancel(of(messages[0]), 9).await, Canceled { count: 1, more: false });
    assert_eq!(cancel(of(messages[6]), 9).await, Canceled { count: 1, more: false });
    assert_eq!(cancel(CancelFilter::default(), 3).await, Canceled { count: 3, more: true });
    let left = claim(harness.store(), scene.endpoints[0], at(99)).await;
    assert_eq!(messages_of(&left), messages[4..6].iter().rev().copied().collect::<Vec<_>>(), "the oldest were canceled");
}

#[tokio::test]
async fn a_lane_that_became_ordered_begins_with_its_oldest_message() {
    let mut harness = SqliteHarness::open().await;
    let scene = scene(harness.store(), 1).await;
    let messages = youngest_due_first(&mut harness, &scene).await;
    let mut order = Vec::new();
    loop {
        let request = ClaimRequest { endpoint: scene.endpoints[0], limit: 2, bytes_max: usize::MAX, ordered: true };
        let claimed = harness.store().claim(request, at(99)).await.unwrap();
        for delivery in &claimed.deliveries {
            order.push(delivery.key.message);
            record_one(harness.store(), tried(delivery, 200, DeliveryState::Delivered, at(99)), at(99)).await;
        }
        if !claimed.more {
            break;
        }
    }
    assert_eq!(order, messages);
}
