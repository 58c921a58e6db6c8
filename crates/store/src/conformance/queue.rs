//! Claims, leases and records.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::delivery::{AttemptOutcome, TransportErrorKind};
use hookpost_domain::health::{Circuit, Health};
use hookpost_domain::{DeliveryState, EndpointId, MessageContent, MessageId, Reason, Timestamp, Trigger};
use tokio::task::JoinSet;

use super::Harness;
use super::fixture::*;
use crate::queue::{Backlog, ClaimRequest, LaneState};
use crate::{Claimed, NewMessage, Order, PageRequest, Record, Recorded, SharedStore};

fn waits(seconds: u64) -> DeliveryState {
    DeliveryState::Waiting { at: at(seconds) }
}

async fn claim_ordered_all(store: &SharedStore, endpoint: EndpointId, now: Timestamp) -> Claimed {
    store.claim(ClaimRequest { endpoint, limit: 9, bytes_max: usize::MAX, ordered: true }, now).await.unwrap()
}

/// A message that was tried once and waits until `seconds`.
async fn accept_failed(harness: &mut dyn Harness, scene: &Scene, seconds: u64) -> MessageId {
    let leased = accept_leased(harness, scene.message(), NOW).await;
    let records = leased.iter().map(|one| tried(one, 500, waits(seconds), NOW)).collect();
    record(harness.store(), records, NOW).await;
    leased[0].key.message
}

pub async fn due_comes_before_backlog_and_old_before_new(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let late = accept_failed(harness, &scene, 300).await;
    let third = accept_failed(harness, &scene, 30).await;
    let second = accept_failed(harness, &scene, 20).await;
    let mut backlog = Vec::new();
    for _ in 0..3 {
        // Claimed at once each time, or the next would join the backlog instead of being handed over.
        backlog.push(accept(harness.store(), scene.message(), NOW).await.id);
    }
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.extend(next_group(harness).await.into_iter().map(|one| (one.key, one.lease)));
    }
    harness.store().release(leases).await.unwrap();

    let store = harness.store();
    let claimed = claim(store, endpoint, at(30)).await;
    assert_eq!(messages_of(&claimed), [&[second, third], backlog.as_slice()].concat());
    assert_eq!((claimed.more, claimed.next_due, claimed.held_by), (false, Some(at(300)), None));
    assert_eq!((claimed.deliveries[0].state, claimed.deliveries[0].progress.attempts), (waits(20), 1));
    assert_eq!(messages_of(&claim(store, endpoint, at(300)).await), [late]);
    let nothing = claim(store, endpoint, at(9999)).await;
    assert_eq!((nothing.deliveries.len(), nothing.more, nothing.next_due), (0, false, None));
}

pub async fn claims_keep_their_bounds(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let due = accept_failed(harness, &scene, 10).await;
    let later = accept_failed(harness, &scene, 100).await;
    let mut ids = vec![due];
    for _ in 0..6 {
        let content = MessageContent { payload: Some(Bytes::from(vec![b'x'; 1000])), ..content(&scene.endpoints) };
        let message = NewMessage { application: scene.application, content, idempotency_key: None };
        ids.push(if ids.len() == 1 { accept_backlog(harness, message, NOW).await } else { accept(harness.store(), message, NOW).await.id });
    }
    let store = harness.store();
    let request = |limit, bytes_max| ClaimRequest { endpoint, limit, bytes_max, ordered: false };

    let nothing = store.claim(request(0, usize::MAX), at(10)).await.unwrap();
    assert_eq!((nothing.deliveries.len(), nothing.more, nothing.next_due), (0, true, Some(at(100))));
    let two = store.claim(request(2, usize::MAX), at(10)).await.unwrap();
    assert_eq!((messages_of(&two), two.more, two.next_due), (ids[..2].to_vec(), true, Some(at(100))));
    // However small the bound, there is one; and then about as much as was asked for.
    let one = store.claim(request(9, 0), at(10)).await.unwrap();
    assert_eq!((messages_of(&one), one.more), (ids[2..3].to_vec(), true));
    let some = store.claim(request(9, 2500), at(10)).await.unwrap();
    assert!((2..=3).contains(&some.deliveries.len()) && some.more, "{some:?}");
    let rest = store.claim(request(9, usize::MAX), at(10)).await.unwrap();
    assert_eq!((messages_of(&rest), rest.more), (ids[3 + some.deliveries.len()..].to_vec(), false));
    assert_eq!(messages_of(&claim(store, endpoint, at(100)).await), [later]);
}

pub async fn nothing_is_leased_twice(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    accept_backlog(harness, scene.message(), NOW).await;
    for _ in 1..40 {
        accept(harness.store(), scene.message(), NOW).await;
    }
    let mut claims = JoinSet::new();
    for _ in 0..8 {
        let store = harness.store().clone();
        let request = ClaimRequest { endpoint, limit: 7, bytes_max: usize::MAX, ordered: false };
        claims.spawn(async move { store.claim(request, NOW).await.unwrap() });
    }
    let mut claimed: Vec<Claimed> = claims.join_all().await;
    // What one of them took and put back, because others had been before it, is found by the next.
    for _ in 0..8 {
        claimed.push(claim(harness.store(), endpoint, NOW).await);
    }
    let leased: Vec<_> = claimed.iter().flat_map(|claimed| &claimed.deliveries).collect();
    assert_eq!(leased.len(), 40);
    assert_eq!(leased.iter().map(|one| one.key).collect::<HashSet<_>>().len(), 40);
    assert_eq!(leased.iter().map(|one| one.lease).collect::<HashSet<_>>().len(), 40);
    assert!(claim(harness.store(), endpoint, at(9)).await.deliveries.is_empty());
}

pub async fn released_deliveries_are_as_they_were(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let retry = accept_failed(harness, &scene, 10).await;
    let pending = accept_backlog(harness, scene.message(), NOW).await;
    let store = harness.store();
    let before = claim(store, endpoint, at(10)).await;
    assert_eq!(messages_of(&before), [retry, pending]);
    let leases: Vec<_> = before.deliveries.iter().map(|one| (one.key, one.lease)).collect();
    store.release(leases.clone()).await.unwrap();
    let after = claim(store, endpoint, at(10)).await;
    let facts =
        |claimed: &Claimed| claimed.deliveries.iter().map(|one| (one.key, one.state, one.progress, one.trigger)).collect::<Vec<_>>();
    assert_eq!(facts(&after), facts(&before));
    // A lease that is over gives nothing back.
    store.release(leases).await.unwrap();
    assert!(claim(store, endpoint, at(10)).await.deliveries.is_empty());
}

pub async fn records_are_written(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 4).await;
    let leased = accept_leased(harness, scene.message(), NOW).await;
    let dead = DeliveryState::Dead { reason: Reason::ReceiverRefused };
    let error = AttemptOutcome::Error { kind: TransportErrorKind::Dns, message: "no such host".into() };
    let mut records = vec![
        tried(&leased[0], 200, DeliveryState::Delivered, NOW),
        tried(&leased[1], 500, waits(10), NOW),
        tried(&leased[2], 410, dead, NOW),
        tried(&leased[3], 0, waits(20), NOW),
    ];
    records[3].attempt.as_mut().unwrap().outcome = error;
    let answers = record(harness.store(), records.clone(), at(1)).await;
    let store = harness.store();
    for ((record, recorded), leased) in records.iter().zip(&answers).zip(&leased) {
        let Recorded::Done { attempt: Some(id) } = recorded else { panic!("not recorded: {recorded:?}") };
        let stored = store.attempt(leased.key.message, *id).await.unwrap().unwrap();
        assert_eq!((stored.id, stored.key, Some(&stored.attempt)), (*id, leased.key, record.attempt.as_ref()));
        let delivery = delivery(store, leased.key.message, leased.key.endpoint).await;
        assert_eq!((delivery.state, delivery.progress), (record.transition.state, record.transition.progress));
    }
    let due = |endpoint: EndpointId, time: Timestamp| async move { claim(store, endpoint, time).await.deliveries.len() };
    assert_eq!([due(leased[0].key.endpoint, at(9999)).await, due(leased[2].key.endpoint, at(9999)).await], [0, 0]);
    assert_eq!([due(leased[1].key.endpoint, at(9)).await, due(leased[1].key.endpoint, at(10)).await], [0, 1]);
}

pub async fn a_lost_lease_changes_nothing(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let lost = accept_leased(harness, scene.message(), NOW).await.remove(0);
    harness.store().release(vec![(lost.key, lost.lease)]).await.unwrap();
    let store = harness.store();
    let held = claim(store, endpoint, NOW).await.deliveries.remove(0);
    let unhealthy = Health { consecutive_failures: 9, ..Health::default() };
    let stale = Record { health: Some(unhealthy), ..tried(&lost, 200, DeliveryState::Delivered, NOW) };

    let answers = record(store, vec![stale, tried(&held, 500, waits(10), NOW)], NOW).await;
    assert!(matches!(answers[..], [Recorded::LeaseLost, Recorded::Done { attempt: Some(_) }]), "{answers:?}");
    assert_eq!(state_of(store, held.key).await, waits(10));
    let attempts = store.attempts_of_message(held.key.message, Default::default(), PageRequest::first(9, Order::Ascending)).await.unwrap();
    assert_eq!(attempts.items.iter().map(|one| one.attempt.outcome.status_code()).collect::<Vec<_>>(), [500]);
    assert_eq!(store.lanes().await.unwrap()[0].health, Health::default());

    // A lease ends with its record.
    assert_eq!(record_one(store, tried(&held, 200, DeliveryState::Delivered, NOW), NOW).await, Recorded::LeaseLost);
    assert_eq!(state_of(store, held.key).await, waits(10));
}

pub async fn deliveries_may_end_without_a_try(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let leased = accept_leased(harness, scene.message(), NOW).await.remove(0);
    let canceled = DeliveryState::Canceled { reason: Reason::EndpointDisabled };
    assert_eq!(record_one(harness.store(), ended(&leased, canceled), NOW).await, Recorded::Done { attempt: None });
    harness.reopen().await;
    let delivery = delivery(harness.store(), leased.key.message, leased.key.endpoint).await;
    assert_eq!((delivery.state, delivery.progress), (canceled, leased.progress));
    let attempts = PageRequest::first(9, Order::Ascending);
    let attempts = harness.store().attempts_of_message(leased.key.message, Default::default(), attempts).await.unwrap();
    assert!(attempts.items.is_empty() && attempts.done);
    assert!(claim(harness.store(), leased.key.endpoint, at(99)).await.deliveries.is_empty());
}

pub async fn what_was_recorded_survives_a_crash(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let leased = accept_leased(harness, scene.message(), NOW).await;
    let health = Health {
        failing_since: Some(NOW),
        consecutive_failures: 20,
        warned: true,
        circuit: Circuit::Open { until: at(9), cool_down_ms: 5000 },
    };
    let failed = Record { health: Some(health), ..tried(&leased[0], 500, waits(10), NOW) };
    let answers = record(harness.store(), vec![failed.clone(), tried(&leased[1], 204, DeliveryState::Delivered, NOW)], NOW).await;
    let Recorded::Done { attempt: Some(id) } = answers[0] else { panic!("not recorded") };

    harness.reopen().await;
    let store = harness.store();
    let stored = store.attempt(leased[0].key.message, id).await.unwrap().unwrap();
    assert_eq!((stored.key, Some(stored.attempt)), (leased[0].key, failed.attempt));
    assert_eq!(state_of(store, leased[1].key).await, DeliveryState::Delivered);
    assert!(claim(store, leased[1].key.endpoint, at(99)).await.deliveries.is_empty());
    let lane = LaneState {
        application: scene.application,
        endpoint: leased[0].key.endpoint,
        ready: false,
        next_due: Some(at(10)),
        health,
        elsewhere: false,
    };
    assert_eq!(store.lanes().await.unwrap(), [lane]);
    let again = claim(store, leased[0].key.endpoint, at(10)).await.deliveries.remove(0);
    assert_eq!((again.state, again.progress), (failed.transition.state, failed.transition.progress));
    assert_eq!(*again.message, *leased[0].message);
}

pub async fn leases_do_not_survive_a_crash(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let retry = accept_failed(harness, &scene, 10).await;
    let leased = accept_leased(harness, scene.message(), NOW).await.remove(0);
    assert_eq!(messages_of(&claim(harness.store(), endpoint, at(10)).await), [retry]);

    harness.reopen().await;
    let store = harness.store();
    assert_eq!(messages_of(&claim(store, endpoint, at(10)).await), [retry, leased.key.message]);
    assert!(claim(store, endpoint, at(10)).await.deliveries.is_empty(), "each is found once");
}

pub async fn an_ordered_lane_keeps_its_order(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let claim_ordered = async |store: &SharedStore, limit, time| {
        let claimed = store.claim(ClaimRequest { endpoint, limit, bytes_max: usize::MAX, ordered: true }, time).await.unwrap();
        (messages_of(&claimed), claimed.more, claimed.next_due, claimed.held_by)
    };
    let later = MessageContent { deliver_at: Some(at(500)), ..content(&scene.endpoints) };
    let later = NewMessage { application: scene.application, content: later, idempotency_key: None };
    let scheduled = accept(harness.store(), later, NOW).await.id;
    let first = accept_backlog(harness, scene.message(), NOW).await;
    let failed = {
        // The older message of the backlog is handed out and fails while a younger one waits.
        let second = accept(harness.store(), scene.message(), NOW).await.id;
        let leased = claim(harness.store(), endpoint, NOW).await.deliveries;
        assert_eq!(leased.iter().map(|one| one.key.message).collect::<Vec<_>>(), [first, second]);
        harness.store().release(vec![(leased[0].key, leased[0].lease)]).await.unwrap();
        record_one(harness.store(), tried(&leased[1], 500, waits(10), NOW), NOW).await;
        second
    };
    let third = accept(harness.store(), scene.message(), NOW).await.id;

    harness.reopen().await;
    let store = harness.store();
    // What is older than the retry goes on, what is younger waits for it; a message for later holds nobody up.
    let leased = claim_ordered_all(store, endpoint, NOW).await;
    assert_eq!((messages_of(&leased), leased.more, leased.next_due, leased.held_by), (vec![first], false, Some(at(10)), Some(failed)));
    assert_eq!(claim_ordered(store, 9, at(9)).await, (vec![], false, Some(at(10)), Some(failed)));
    // Also where what is due is younger than what is not: the oldest first.
    store.release(vec![(leased.deliveries[0].key, leased.deliveries[0].lease)]).await.unwrap();
    assert_eq!(claim_ordered(store, 1, at(10)).await, (vec![first], true, Some(at(500)), None));
    assert_eq!(claim_ordered(store, 1, at(10)).await, (vec![failed], true, Some(at(500)), None));
    assert_eq!(claim_ordered(store, 9, at(10)).await, (vec![third], false, Some(at(500)), None));
    assert_eq!(claim_ordered(store, 9, at(500)).await, (vec![scheduled], false, None, None));
}

pub async fn attempts_by_hand_stand_outside_the_order(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let failed = accept_failed(harness, &scene, 100).await;
    let younger = accept_leased(harness, scene.message(), NOW).await.remove(0);
    record_one(harness.store(), tried(&younger, 200, DeliveryState::Delivered, NOW), NOW).await;
    let store = harness.store();
    assert_eq!(store.send_again(vec![younger.key], at(5)).await, Ok(1));
    let claimed = claim_ordered_all(store, endpoint, at(5)).await;
    assert_eq!((messages_of(&claimed), claimed.held_by), (vec![younger.key.message], Some(failed)));
    assert_eq!(claimed.deliveries[0].trigger, Trigger::Manual);

    // Nor does one that is to be made later hold anybody up.
    let retry = claim_ordered_all(store, endpoint, at(100)).await.deliveries.remove(0);
    record_one(store, tried(&retry, 200, DeliveryState::Delivered, at(100)), at(100)).await;
    store.send_again(vec![retry.key], at(200)).await.unwrap();
    let next = accept_backlog(harness, scene.message(), at(101)).await;
    let claimed = claim_ordered_all(harness.store(), endpoint, at(101)).await;
    assert_eq!((messages_of(&claimed), claimed.held_by, claimed.next_due), (vec![next], None, Some(at(200))));
}

pub async fn lanes_are_found_again_at_start(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 6).await;
    let leased = accept_leased(harness, scene.message(), NOW).await;
    let unhealthy = Health { failing_since: Some(NOW), consecutive_failures: 3, ..Health::default() };
    let dead = DeliveryState::Dead { reason: Reason::RetriesExhausted };
    let records = vec![
        tried(&leased[0], 200, DeliveryState::Delivered, NOW),
        tried(&leased[1], 500, waits(10), NOW),
        Record { health: Some(unhealthy), ..tried(&leased[2], 500, dead, NOW) },
        tried(&leased[3], 500, dead, NOW),
        Record { health: Some(unhealthy), ..tried(&leased[5], 500, waits(7), NOW) },
    ];
    record(harness.store(), records, NOW).await;
    harness.store().send_again(vec![leased[3].key], at(20)).await.unwrap();
    harness.store().delete_endpoint(scene.application, leased[5].key.endpoint, NOW).await.unwrap();

    harness.reopen().await;
    let mut lanes = harness.store().lanes().await.unwrap();
    lanes.sort_by_key(|lane| lane.endpoint);
    let lane = |index: usize, ready, next_due, health| LaneState {
        application: scene.application,
        endpoint: scene.endpoints[index],
        ready,
        next_due,
        health,
        elsewhere: false,
    };
    let healthy = Health::default();
    // Number 4 was leased when the process died, so it waits for its first attempt.
    let expected = [
        lane(1, false, Some(at(10)), healthy),
        lane(2, false, None, unhealthy),
        lane(3, false, Some(at(20)), healthy),
        lane(4, true, None, healthy),
    ];
    assert_eq!(lanes, expected);

    // A lane that is well and idle again is not one of them.
    let leased = claim(harness.store(), scene.endpoints[4], NOW).await.deliveries.remove(0);
    record_one(harness.store(), tried(&leased, 200, DeliveryState::Delivered, NOW), NOW).await;
    assert_eq!(harness.store().lanes().await.unwrap().len(), 3);
}

pub async fn the_backlog_is_counted(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    assert_eq!(harness.store().backlog(), Backlog::default());
    let leased = accept_leased(harness, scene.message(), at(5)).await.remove(0);
    let Backlog { deliveries, oldest_pending_at } = harness.store().backlog();
    assert!(deliveries >= 1 && oldest_pending_at.is_some_and(|oldest| at(5).since(oldest) <= Duration::from_secs(60)));
    record_one(harness.store(), tried(&leased, 200, DeliveryState::Delivered, NOW), NOW).await;
    assert_eq!(harness.store().backlog(), Backlog::default());
}
