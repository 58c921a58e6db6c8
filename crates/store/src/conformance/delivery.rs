//! Sending again, and canceling.

use hookpost_domain::{Channel, DeliveryKey, DeliveryState, EventTypeName, MessageContent, MessageId, Progress, Reason, Trigger};

use super::Harness;
use super::fixture::*;
use crate::queue::{CancelFilter, Canceled};
use crate::{LeasedDelivery, NewMessage, Recorded, SharedStore};

const CANCELED: DeliveryState = DeliveryState::Canceled { reason: Reason::CanceledByUser };

/// A message to one endpoint, tried once, in this state.
async fn accept_tried(harness: &mut dyn Harness, scene: &Scene, state: DeliveryState) -> DeliveryKey {
    let leased = accept_leased(harness, new_message(scene.application, &scene.endpoints[..1]), NOW).await.remove(0);
    let status_code = if state == DeliveryState::Delivered { 200 } else { 500 };
    record_one(harness.store(), tried(&leased, status_code, state, NOW), NOW).await;
    leased.key
}

async fn claim_one(store: &SharedStore, scene: &Scene, seconds: u64) -> LeasedDelivery {
    let mut claimed = claim(store, scene.endpoints[0], at(seconds)).await.deliveries;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

pub async fn finished_deliveries_are_sent_again(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let once = Progress { attempts: 1, scheduled_attempts: 1 };
    for state in [
        DeliveryState::Delivered,
        DeliveryState::Dead { reason: Reason::RetriesExhausted },
        DeliveryState::Canceled { reason: Reason::EndpointDisabled },
    ] {
        let key = accept_tried(harness, &scene, state).await;
        let store = harness.store();
        assert!(claim(store, key.endpoint, at(99)).await.deliveries.is_empty());
        assert_eq!(store.send_again(vec![key], at(100)).await, Ok(1));
        assert_eq!(state_of(store, key).await, state);
        assert!(claim(store, key.endpoint, at(99)).await.deliveries.is_empty());

        let leased = claim_one(store, &scene, 100).await;
        assert_eq!((leased.key, leased.trigger, leased.state, leased.progress), (key, Trigger::Manual, state, once));
        assert!(matches!(record_one(store, tried(&leased, 500, state, at(100)), at(100)).await, Recorded::Done { attempt: Some(_) }));
        let after = delivery(store, key.message, key.endpoint).await;
        assert_eq!((after.state, after.progress), (state, Progress { attempts: 2, scheduled_attempts: 1 }));
        assert!(claim(store, key.endpoint, at(9999)).await.deliveries.is_empty(), "an attempt by hand is not retried");
    }
}

pub async fn sending_again_leaves_the_schedule_alone(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let waiting = DeliveryState::Waiting { at: at(50) };
    let key = accept_tried(harness, &scene, waiting).await;
    let pending = accept_backlog(harness, scene.message(), NOW).await;
    let store = harness.store();
    let pending = DeliveryKey { message: pending, endpoint: key.endpoint };
    assert_eq!(store.send_again(vec![key, pending], at(10)).await, Ok(2));
    let claimed = claim(store, key.endpoint, at(10)).await;
    assert_eq!(messages_of(&claimed), [key.message, pending.message], "each once, although both have two reasons to be tried");
    assert!(claimed.deliveries.iter().all(|one| one.trigger == Trigger::Manual));
    let records = claimed.deliveries.iter().map(|one| tried(one, 500, one.state, at(10))).collect();
    record(store, records, at(10)).await;

    let untried = claim_one(store, &scene, 49).await;
    assert_eq!(
        (untried.key, untried.trigger, untried.progress),
        (pending, Trigger::Scheduled, Progress { attempts: 1, scheduled_attempts: 0 })
    );
    let retry = claim_one(store, &scene, 50).await;
    assert_eq!((retry.key, retry.trigger, retry.progress), (key, Trigger::Scheduled, Progress { attempts: 2, scheduled_attempts: 1 }));
    assert_eq!(retry.state, waiting);
}

pub async fn what_was_never_routed_can_be_sent(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let message = accept(harness.store(), new_message(scene.application, &[]), NOW).await.id;
    let key = DeliveryKey { message, endpoint: scene.endpoints[0] };
    assert_eq!(harness.store().delivery(key).await.unwrap(), None);
    assert_eq!(harness.store().send_again(vec![key], at(1)).await, Ok(1));

    harness.reopen().await;
    let store = harness.store();
    let created = delivery(store, message, key.endpoint).await;
    assert_eq!((created.state, created.progress), (DeliveryState::Canceled { reason: Reason::NotRouted }, Progress::default()));
    let leased = claim_one(store, &scene, 1).await;
    assert_eq!((leased.key, leased.trigger, leased.state), (key, Trigger::Manual, created.state));
    record_one(store, tried(&leased, 200, DeliveryState::Delivered, at(1)), at(1)).await;
    assert_eq!(state_of(store, key).await, DeliveryState::Delivered);
}

pub async fn what_cannot_be_sent_again_is_left_out(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let [endpoint, gone] = scene.endpoints[..] else { unreachable!() };
    let elsewhere = super::fixture::scene(harness.store(), 1).await;
    let store = harness.store();
    store.delete_endpoint(scene.application, gone, NOW).await.unwrap();
    let message = accept(store, new_message(scene.application, &[]), NOW).await.id;
    let expunged = accept(store, new_message(scene.application, &[]), NOW).await.id;
    store.expunge_message(scene.application, expunged).await.unwrap();
    let unknown = MessageId::from_row(store.new_row_id(NOW));
    let keys = [(message, endpoint), (expunged, endpoint), (unknown, endpoint), (message, gone), (message, elsewhere.endpoints[0])];
    let keys = keys.map(|(message, endpoint)| DeliveryKey { message, endpoint });
    assert_eq!(store.send_again(keys.to_vec(), at(1)).await, Ok(1));
    assert_eq!(messages_of(&claim(store, endpoint, at(1)).await), [message]);
    for key in &keys[1..] {
        assert_eq!(store.delivery(*key).await.unwrap(), None, "{key:?}");
        assert!(claim(store, key.endpoint, at(9)).await.deliveries.is_empty());
    }
}

pub async fn one_request_at_a_time(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let key = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    let store = harness.store();
    for seconds in [10, 5, 20] {
        assert_eq!(store.send_again(vec![key], at(seconds)).await, Ok(1));
    }
    // The earliest of the requests counts, and they are one.
    let leased = claim_one(store, &scene, 5).await;
    // But a request that comes while its attempt is under way is another.
    assert_eq!(store.send_again(vec![key], at(30)).await, Ok(1));
    assert!(claim(store, key.endpoint, at(99)).await.deliveries.is_empty());
    record_one(store, tried(&leased, 200, DeliveryState::Delivered, at(5)), at(5)).await;
    assert!(claim(store, key.endpoint, at(29)).await.deliveries.is_empty());
    let second = claim_one(store, &scene, 30).await;
    assert_eq!((second.trigger, second.progress), (Trigger::Manual, Progress { attempts: 2, scheduled_attempts: 1 }));
}

pub async fn requests_survive_release_and_crash(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let key = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    harness.store().send_again(vec![key], at(10)).await.unwrap();
    let leased = claim_one(harness.store(), &scene, 10).await;
    harness.store().release(vec![(leased.key, leased.lease)]).await.unwrap();
    assert_eq!(claim_one(harness.store(), &scene, 10).await.trigger, Trigger::Manual);

    harness.reopen().await;
    let leased = claim_one(harness.store(), &scene, 10).await;
    assert_eq!((leased.trigger, leased.state), (Trigger::Manual, DeliveryState::Delivered));
    record_one(harness.store(), tried(&leased, 200, DeliveryState::Delivered, at(10)), at(10)).await;
    harness.reopen().await;
    assert!(claim(harness.store(), key.endpoint, at(99)).await.deliveries.is_empty());
}

pub async fn waiting_deliveries_are_canceled(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let retry = accept_tried(harness, &scene, DeliveryState::Waiting { at: at(50) }).await;
    let delivered = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    let leased = accept_leased(harness, scene.message(), NOW).await.remove(0);
    let pending = accept_backlog(harness, scene.message(), NOW).await;
    let pending = DeliveryKey { message: pending, endpoint };

    let canceled = harness.store().cancel(endpoint, CancelFilter::default(), Reason::CanceledByUser, 99, at(1)).await;
    assert_eq!(canceled, Ok(Canceled { count: 2, more: false }));
    harness.reopen().await;
    let store = harness.store();
    for (key, state) in
        [(retry, CANCELED), (pending, CANCELED), (delivered, DeliveryState::Delivered), (leased.key, DeliveryState::Pending)]
    {
        assert_eq!(state_of(store, key).await, state);
    }
    assert_eq!(claim_one(store, &scene, 99).await.key, leased.key);
    assert_eq!(delivery(store, retry.message, endpoint).await.progress, Progress { attempts: 1, scheduled_attempts: 1 });
}

pub async fn canceling_is_selective_and_comes_in_pieces(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let channel = |name: &str| Channel::parse(name).unwrap();
    let message = |event_type: &str, channels: &[&str]| {
        let event_type = EventTypeName::parse(event_type).unwrap();
        let content =
            MessageContent { event_type, channels: channels.iter().map(|name| channel(name)).collect(), ..content(&scene.endpoints) };
        NewMessage { application: scene.application, content, idempotency_key: None }
    };
    let mut ids = vec![accept_backlog(harness, message("a", &[]), at(0)).await];
    for (seconds, event_type, channels) in [(1, "a", &["x", "y"][..]), (2, "b", &["y"]), (3, "b", &[]), (4, "c", &[]), (5, "c", &[])] {
        ids.push(accept(harness.store(), message(event_type, channels), at(seconds)).await.id);
    }
    let store = harness.store();
    let nothing = CancelFilter::default();
    let event_types = |names: &[&str]| Some(names.iter().map(|name| EventTypeName::parse(name).unwrap()).collect());
    let check = async |filter: CancelFilter, limit, expected: &[usize], more| {
        let canceled = store.cancel(endpoint, filter, Reason::CanceledByUser, limit, at(9)).await.unwrap();
        assert_eq!(canceled, Canceled { count: expected.len(), more });
        for index in expected {
            assert_eq!(delivery(store, ids[*index], endpoint).await.state, CANCELED, "{index}");
        }
    };
    check(CancelFilter { messages: Some(vec![]), ..nothing.clone() }, 9, &[], false).await;
    check(CancelFilter { event_types: event_types(&["d"]), ..nothing.clone() }, 9, &[], false).await;
    check(CancelFilter { channels: Some(vec![channel("x"), channel("z")]), ..nothing.clone() }, 9, &[1], false).await;
    check(CancelFilter { messages: Some(vec![ids[0], ids[1]]), ..nothing.clone() }, 9, &[0], false).await;
    check(CancelFilter { event_types: event_types(&["a", "b"]), before: Some(at(3)), ..nothing.clone() }, 9, &[2], false).await;
    check(CancelFilter { after: Some(at(4)), ..nothing.clone() }, 9, &[5], false).await;
    check(nothing.clone(), 1, &[3], true).await;
    check(nothing.clone(), 1, &[4], false).await;
    check(nothing, 1, &[], false).await;
}

pub async fn canceling_calls_off_requests(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let key = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    let store = harness.store();
    store.send_again(vec![key], at(1)).await.unwrap();
    let canceled = store.cancel(key.endpoint, CancelFilter::default(), Reason::EndpointDisabled, 9, at(1)).await;
    assert_eq!(canceled, Ok(Canceled { count: 1, more: false }));
    assert_eq!(state_of(store, key).await, DeliveryState::Delivered);
    harness.reopen().await;
    assert!(claim(harness.store(), key.endpoint, at(9)).await.deliveries.is_empty());
}

/// Every state that a delivery can be in when its endpoint goes: what becomes of it, and that nothing is left to do.
async fn check_end(harness: &mut dyn Harness, delete: impl AsyncFn(&SharedStore, &Scene)) {
    let scene = scene(harness.store(), 2).await;
    let [endpoint, other] = scene.endpoints[..] else { unreachable!() };
    let retry = accept_tried(harness, &scene, DeliveryState::Waiting { at: at(50) }).await;
    let delivered = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    let asked_for = accept_tried(harness, &scene, DeliveryState::Delivered).await;
    harness.store().send_again(vec![asked_for], at(60)).await.unwrap();
    let leased = accept_leased(harness, scene.message(), NOW).await;
    let pending = accept_backlog(harness, new_message(scene.application, &[endpoint]), NOW).await;
    delete(harness.store(), &scene).await;

    let ended = DeliveryState::Canceled { reason: Reason::EndpointDeleted };
    let late = tried(&leased[0], 200, DeliveryState::Delivered, at(1));
    assert_eq!(record_one(harness.store(), late, at(1)).await, Recorded::LeaseLost);
    for round in 0..2 {
        let store = harness.store();
        for (message, state) in [
            (retry.message, ended),
            (delivered.message, DeliveryState::Delivered),
            (asked_for.message, DeliveryState::Delivered),
            (leased[0].key.message, ended),
            (pending, ended),
        ] {
            assert_eq!(delivery(store, message, endpoint).await.state, state, "round {round}");
        }
        let claimed = claim(store, endpoint, at(99)).await;
        assert_eq!((claimed.deliveries.len(), claimed.more, claimed.next_due), (0, false, None));
        assert!(!store.lanes().await.unwrap().iter().any(|lane| lane.endpoint == endpoint));
        harness.reopen().await;
    }
    let of_other = state_of(harness.store(), DeliveryKey { message: leased[1].key.message, endpoint: other }).await;
    let other_exists = harness.store().application_by_id(scene.application).await.unwrap().is_some();
    assert_eq!(of_other, if other_exists { DeliveryState::Pending } else { ended });
    assert_eq!(claim(harness.store(), other, at(99)).await.deliveries.len(), usize::from(other_exists));
}

pub async fn deliveries_end_with_their_endpoint(harness: &mut dyn Harness) {
    check_end(harness, async |store, scene| store.delete_endpoint(scene.application, scene.endpoints[0], NOW).await.unwrap()).await;
}

pub async fn deliveries_end_with_their_application(harness: &mut dyn Harness) {
    check_end(harness, async |store, scene| store.delete_application(scene.application, NOW).await.unwrap()).await;
}
