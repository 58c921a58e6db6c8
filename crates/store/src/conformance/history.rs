//! Lists, counts, and forgetting.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::delivery::{AttemptOutcome, ResponseBody, TransportErrorKind};
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{
    AttemptId, Channel, DeliveryKey, DeliveryState, EventTypeName, MessageContent, MessageId, Reason, Tag, Timestamp, limits,
};

use super::Harness;
use super::fixture::*;
use crate::history::{AttemptFilter, DeliveryFilter, EndpointCounts, MessageFilter, StoredAttempt};
use crate::{AcceptError, NewMessage, Order, PageRequest, Recorded, Reference, SharedStore};

const DEAD: DeliveryState = DeliveryState::Dead { reason: Reason::RetriesExhausted };

fn waits(seconds: u64) -> DeliveryState {
    DeliveryState::Waiting { at: at(seconds) }
}

fn event_type(name: &str) -> EventTypeName {
    EventTypeName::parse(name).unwrap()
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn first_nine<C>() -> PageRequest<C> {
    PageRequest::first(9, Order::Ascending)
}

fn with(scene: &Scene, content: MessageContent) -> NewMessage {
    NewMessage { application: scene.application, content, idempotency_key: None }
}

pub async fn messages_are_found_by_id_and_event_id(harness: &mut dyn Harness) {
    let store = harness.store();
    let (one, other) = (scene(store, 0).await, scene(store, 0).await);
    let id = accept(store, with(&one, MessageContent { event_id: uid("e-1"), ..content(&[]) }), NOW).await.id;
    let find = async |scene: &Scene, reference| store.message(scene.application, reference).await.unwrap().map(|message| message.id);
    assert_eq!(find(&one, Reference::Id(id)).await, Some(id));
    assert_eq!(find(&one, Reference::Uid("e-1")).await, Some(id));
    assert_eq!(find(&one, Reference::Uid("e-2")).await, None);
    assert_eq!(find(&one, Reference::Id(MessageId::from_row(store.new_row_id(NOW)))).await, None);
    assert_eq!(find(&other, Reference::Id(id)).await, None);
    assert_eq!(find(&other, Reference::Uid("e-1")).await, None);
}

pub async fn messages_are_filtered(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let mut ids = Vec::new();
    for (seconds, name, channels, tags) in
        [(0, "a", &["x"][..], &[][..]), (10, "b", &["x", "y"], &["red"]), (20, "a", &[], &["red", "blue"]), (30, "c", &["y"], &[])]
    {
        let channels = channels.iter().map(|name| channel(name)).collect();
        let tags = tags.iter().map(|name| Tag::parse(name).unwrap()).collect();
        let content = MessageContent { event_type: event_type(name), channels, tags, ..content(&[]) };
        ids.push(accept(harness.store(), with(&scene, content), at(seconds)).await.id);
    }
    let check = async |harness: &dyn Harness, filter: MessageFilter, expected: &[usize]| {
        let page = harness.store().messages(scene.application, filter.clone(), first_nine()).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|index| ids[*index]).collect();
        assert_eq!(page.items.iter().map(|message| message.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert!(page.done && page.next.is_none());
    };
    let all = MessageFilter::default;
    for _ in 0..2 {
        check(harness, all(), &[0, 1, 2, 3]).await;
        check(harness, MessageFilter { event_types: Some(vec![event_type("a"), event_type("c")]), ..all() }, &[0, 2, 3]).await;
        check(harness, MessageFilter { event_types: Some(vec![]), ..all() }, &[]).await;
        check(harness, MessageFilter { channel: Some(channel("y")), ..all() }, &[1, 3]).await;
        check(harness, MessageFilter { tag: Some(Tag::parse("red").unwrap()), ..all() }, &[1, 2]).await;
        check(harness, MessageFilter { before: Some(at(10)), ..all() }, &[0]).await;
        check(harness, MessageFilter { after: Some(at(10)), ..all() }, &[2, 3]).await;
        check(harness, MessageFilter { after: Some(at(5)), before: Some(at(25)), channel: Some(channel("x")), ..all() }, &[1]).await;
        harness.reopen().await;
    }
}

pub async fn messages_are_listed_in_pages(harness: &mut dyn Harness) {
    let (one, other) = (scene(harness.store(), 0).await, scene(harness.store(), 0).await);
    let (mut all, mut paid) = (Vec::new(), Vec::new());
    for index in 0..9 {
        accept(harness.store(), with(&other, content(&[])), NOW).await;
        let name = if index % 2 == 0 { "paid" } else { "other" };
        let id = accept(harness.store(), with(&one, MessageContent { event_type: event_type(name), ..content(&[]) }), NOW).await.id;
        all.push(id);
        paid.extend((name == "paid").then_some(id));
    }
    for _ in 0..2 {
        let store = harness.store();
        let list = async |filter, page| {
            let page = store.messages(one.application, filter, page).await.unwrap();
            (page.items.iter().map(|message| message.id).collect(), page.done)
        };
        check_pages(&all, &[], async |page| list(MessageFilter::default(), page).await).await;
        let only_paid = MessageFilter { event_types: Some(vec![event_type("paid")]), ..MessageFilter::default() };
        check_pages(&paid, &[all[1]], async |page| list(only_paid.clone(), page).await).await;
        harness.reopen().await;
    }
}

pub async fn deliveries_of_a_message_are_listed_in_pages(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 6).await;
    let leased = accept_leased(harness, new_message(scene.application, &scene.endpoints[..5]), NOW).await;
    let states = [DeliveryState::Delivered, waits(5), DEAD];
    let records = leased.iter().zip(states).map(|(one, state)| tried(one, 500, state, NOW)).collect();
    record(harness.store(), records, NOW).await;
    // A message that goes nowhere, and one that comes after.
    let nowhere = accept(harness.store(), new_message(scene.application, &[]), NOW).await.id;
    accept_leased(harness, scene.message(), NOW).await;
    for _ in 0..2 {
        let store = harness.store();
        let message = leased[0].key.message;
        check_pages(&scene.endpoints[..5], &[scene.endpoints[5]], async |page| {
            let listed = store.deliveries_of_message(message, page).await.unwrap();
            (listed.items.iter().map(|delivery| delivery.key.endpoint).collect(), listed.done)
        })
        .await;
        let listed = store.deliveries_of_message(message, first_nine()).await.unwrap();
        let expected = states.into_iter().chain([DeliveryState::Pending; 2]).collect::<Vec<_>>();
        assert_eq!(listed.items.iter().map(|delivery| delivery.state).collect::<Vec<_>>(), expected);
        let none = store.deliveries_of_message(nowhere, first_nine()).await.unwrap();
        assert!(none.items.is_empty() && none.done);
        harness.reopen().await;
    }
}

/// One message per status, then one that was routed elsewhere; in this order.
async fn one_of_each_status(harness: &mut dyn Harness, scene: &Scene) -> Vec<MessageId> {
    let mut ids = Vec::new();
    let canceled = DeliveryState::Canceled { reason: Reason::CanceledByUser };
    for (seconds, state) in
        [(0, Some(DeliveryState::Delivered)), (60, Some(waits(500))), (120, Some(DEAD)), (180, Some(canceled)), (240, None)]
    {
        let content = MessageContent { event_type: event_type(&format!("type{seconds}")), ..content(&scene.endpoints[..1]) };
        let leased = accept_leased(harness, with(scene, content), at(seconds)).await.remove(0);
        if let Some(state) = state {
            record_one(harness.store(), tried(&leased, 500, state, at(seconds)), at(seconds)).await;
        }
        ids.push(leased.key.message);
    }
    accept_leased(harness, new_message(scene.application, &scene.endpoints[1..]), at(300)).await;
    ids
}

pub async fn messages_of_an_endpoint_are_filtered(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let ids = one_of_each_status(harness, &scene).await;
    let check = async |store: &SharedStore, filter: DeliveryFilter, expected: &[usize]| {
        let page = store.messages_of_endpoint(scene.endpoints[0], filter.clone(), first_nine()).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|index| ids[*index]).collect();
        assert_eq!(page.items.iter().map(|(message, _)| message.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert!(page.done);
        for (message, delivery) in &page.items {
            assert_eq!(delivery.key, DeliveryKey { message: message.id, endpoint: scene.endpoints[0] });
            assert_eq!(Some(message), store.message(scene.application, Reference::Id(message.id)).await.unwrap().as_ref());
            assert_eq!(Some(delivery), store.delivery(delivery.key).await.unwrap().as_ref());
        }
    };
    let all = DeliveryFilter::default;
    for _ in 0..2 {
        let store = harness.store();
        check(store, all(), &[0, 1, 2, 3, 4]).await;
        check(store, DeliveryFilter { attempted: true, ..all() }, &[0, 1, 2, 3]).await;
        for (status, index) in [
            (DeliveryStatus::Success, 0),
            (DeliveryStatus::Sending, 1),
            (DeliveryStatus::Fail, 2),
            (DeliveryStatus::Canceled, 3),
            (DeliveryStatus::Pending, 4),
        ] {
            check(store, DeliveryFilter { status: Some(status), ..all() }, &[index]).await;
        }
        let message = MessageFilter { event_types: Some(vec![event_type("type0"), event_type("type120")]), ..MessageFilter::default() };
        check(store, DeliveryFilter { message: message.clone(), ..all() }, &[0, 2]).await;
        check(store, DeliveryFilter { message, status: Some(DeliveryStatus::Fail), attempted: true }, &[2]).await;
        let message = MessageFilter { after: Some(at(60)), before: Some(at(200)), ..MessageFilter::default() };
        check(store, DeliveryFilter { message, ..all() }, &[2, 3]).await;
        harness.reopen().await;
    }
}

pub async fn messages_of_an_endpoint_are_listed_in_pages(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let (mut all, mut dead) = (Vec::new(), Vec::new());
    for index in 0..10 {
        accept_leased(harness, new_message(scene.application, &scene.endpoints[1..]), NOW).await;
        let leased = accept_leased(harness, new_message(scene.application, &scene.endpoints[..1]), NOW).await.remove(0);
        let state = if index % 2 == 0 { DEAD } else { DeliveryState::Delivered };
        // The last two stay in flight.
        if index < 8 {
            record_one(harness.store(), tried(&leased, 500, state, NOW), NOW).await;
            dead.extend((state == DEAD).then_some(leased.key.message));
        }
        all.push(leased.key.message);
    }
    for _ in 0..2 {
        let store = harness.store();
        let list = async |filter, page| {
            let page = store.messages_of_endpoint(scene.endpoints[0], filter, page).await.unwrap();
            (page.items.iter().map(|(message, _)| message.id).collect(), page.done)
        };
        check_pages(&all, &[], async |page| list(DeliveryFilter::default(), page).await).await;
        let failed = DeliveryFilter { status: Some(DeliveryStatus::Fail), ..DeliveryFilter::default() };
        check_pages(&dead, &[all[1]], async |page| list(failed.clone(), page).await).await;
        harness.reopen().await;
    }
}

/// Attempts at two messages by two endpoints, numbered as they were made.
async fn some_attempts(harness: &mut dyn Harness, scene: &Scene) -> (Vec<MessageId>, Vec<AttemptId>) {
    let (mut messages, mut attempts) = (Vec::new(), Vec::new());
    for (index, statuses) in [(0, [[200, 0], [404, 500]]), (1, [[503, 301], [429, 204]])] {
        let content = MessageContent {
            event_type: event_type(["a", "b"][index]),
            channels: vec![channel(["x", "y"][index])],
            ..content(&scene.endpoints)
        };
        let leased = accept_leased(harness, with(scene, content), at(100 * index as u64)).await;
        messages.push(leased[0].key.message);
        for (one, statuses) in leased.into_iter().zip(statuses) {
            let endpoint = one.key.endpoint;
            let mut one = one;
            for (number, status) in statuses.into_iter().enumerate() {
                let now = at(attempts.len() as u64 * 10);
                let mut record = tried(&one, status, if number == 0 { waits(0) } else { DEAD }, now);
                if status == 0 {
                    let error = AttemptOutcome::Error { kind: TransportErrorKind::Timeout, message: "no answer".into() };
                    record.attempt.as_mut().unwrap().outcome = error;
                }
                let Recorded::Done { attempt: Some(id) } = record_one(harness.store(), record, now).await else { panic!("not recorded") };
                attempts.push(id);
                if number == 0 {
                    one = claim(harness.store(), endpoint, at(1000)).await.deliveries.remove(0);
                }
            }
        }
    }
    assert!(attempts.is_sorted());
    (messages, attempts)
}

pub async fn attempts_are_filtered(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let (messages, attempts) = some_attempts(harness, &scene).await;
    let ids = |items: &[StoredAttempt]| items.iter().map(|one| one.id).collect::<Vec<_>>();
    let of = |indexes: &[usize]| indexes.iter().map(|index| attempts[*index]).collect::<Vec<_>>();
    let by_message = async |store: &SharedStore, message: usize, filter: AttemptFilter, expected: &[usize]| {
        let page = store.attempts_of_message(messages[message], filter.clone(), first_nine()).await.unwrap();
        assert_eq!((ids(&page.items), page.done), (of(expected), true), "{filter:?}");
    };
    let by_endpoint = async |store: &SharedStore, filter: AttemptFilter, expected: &[usize]| {
        let page = store.attempts_of_endpoint(scene.endpoints[0], filter.clone(), first_nine()).await.unwrap();
        assert_eq!((ids(&page.items), page.done), (of(expected), true), "{filter:?}");
    };
    let all = AttemptFilter::default;
    for _ in 0..2 {
        let store = harness.store();
        by_message(store, 0, all(), &[0, 1, 2, 3]).await;
        by_message(store, 1, all(), &[4, 5, 6, 7]).await;
        by_message(store, 0, AttemptFilter { endpoint: Some(scene.endpoints[1]), ..all() }, &[2, 3]).await;
        by_message(store, 0, AttemptFilter { success: Some(true), ..all() }, &[0]).await;
        by_message(store, 0, AttemptFilter { success: Some(false), ..all() }, &[1, 2, 3]).await;
        for (class, expected) in [(0, &[1][..]), (100, &[]), (200, &[0]), (300, &[]), (400, &[2]), (500, &[3])] {
            by_message(store, 0, AttemptFilter { status_code_class: Some(class), ..all() }, expected).await;
        }
        by_message(store, 1, AttemptFilter { after: Some(at(40)), before: Some(at(70)), ..all() }, &[5, 6]).await;
        by_endpoint(store, all(), &[0, 1, 4, 5]).await;
        by_endpoint(store, AttemptFilter { success: Some(false), status_code_class: Some(500), ..all() }, &[4]).await;
        let message = MessageFilter { event_types: Some(vec![event_type("b")]), ..MessageFilter::default() };
        by_endpoint(store, AttemptFilter { message, ..all() }, &[4, 5]).await;
        let message = MessageFilter { channel: Some(channel("x")), ..MessageFilter::default() };
        by_endpoint(store, AttemptFilter { message, ..all() }, &[0, 1]).await;

        let stored = store.attempt(messages[0], attempts[3]).await.unwrap().unwrap();
        assert_eq!((stored.id, stored.attempt.number, stored.attempt.outcome.status_code()), (attempts[3], 2, 500));
        assert_eq!(stored.key, DeliveryKey { message: messages[0], endpoint: scene.endpoints[1] });
        assert_eq!(store.attempt(messages[1], attempts[3]).await.unwrap(), None, "of another message");
        harness.reopen().await;
    }
}

pub async fn attempts_are_listed_in_pages(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let (messages, attempts) = some_attempts(harness, &scene).await;
    let pick = |indexes: [usize; 4]| indexes.map(|index| attempts[index]);
    for _ in 0..2 {
        let store = harness.store();
        check_pages(&pick([4, 5, 6, 7]), &attempts[..2], async |page| {
            let page = store.attempts_of_message(messages[1], AttemptFilter::default(), page).await.unwrap();
            (page.items.iter().map(|one| one.id).collect(), page.done)
        })
        .await;
        check_pages(&pick([2, 3, 6, 7]), &attempts[4..5], async |page| {
            let page = store.attempts_of_endpoint(scene.endpoints[1], AttemptFilter::default(), page).await.unwrap();
            (page.items.iter().map(|one| one.id).collect(), page.done)
        })
        .await;
        harness.reopen().await;
    }
}

pub async fn deliveries_are_counted_by_status_and_minute(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    // NOW is not the beginning of a minute; these are.
    let minute = |index: u64| Timestamp::from_unix_ms((NOW.unix_ms() / 60_000 + index) * 60_000);
    let ids = one_of_each_status(harness, &scene).await;
    let counts =
        async |harness: &dyn Harness, since, until| harness.store().endpoint_counts(scene.endpoints[0], since, until).await.unwrap();
    let everything = EndpointCounts { success: 1, pending: 1, sending: 1, fail: 1, canceled: 1 };
    let none = EndpointCounts::default();
    let success = EndpointCounts { success: 1, ..none };
    for _ in 0..2 {
        assert_eq!(counts(harness, Timestamp::ZERO, at(9999)).await, everything);
        assert_eq!(counts(harness, minute(0), minute(1)).await, success);
        let ms = Duration::from_millis(1);
        assert_eq!(counts(harness, minute(1) - ms, minute(1) + ms).await, EndpointCounts { success: 1, sending: 1, ..none });
        assert_eq!(counts(harness, minute(2), minute(4)).await, EndpointCounts { fail: 1, canceled: 1, ..none });
        assert_eq!(counts(harness, minute(5), at(9999)).await, none);
        harness.reopen().await;
    }
    // They follow what happens later, at the minute of the message.
    let leased = claim(harness.store(), scene.endpoints[0], at(5000)).await.deliveries;
    let records = leased.iter().map(|one| tried(one, 200, DeliveryState::Delivered, at(5000))).collect();
    record(harness.store(), records, at(5000)).await;
    let key = DeliveryKey { message: ids[2], endpoint: scene.endpoints[0] };
    harness.store().send_again(vec![key], at(5000)).await.unwrap();
    let expected = EndpointCounts { success: 3, fail: 1, canceled: 1, ..none };
    assert_eq!(counts(harness, minute(0), minute(5)).await, expected);
    assert_eq!(counts(harness, minute(5), at(9999)).await, none);
    harness.reopen().await;
    assert_eq!(counts(harness, minute(0), minute(5)).await, expected);
}

pub async fn payloads_are_expunged(harness: &mut dyn Harness) {
    let (one, other) = (scene(harness.store(), 1).await, scene(harness.store(), 0).await);
    let in_flight = accept_leased(harness, one.message(), NOW).await.remove(0);
    let waiting = accept_backlog(harness, one.message(), NOW).await;
    for id in [in_flight.key.message, waiting] {
        assert_eq!(harness.store().expunge_message(other.application, id).await, Ok(false));
        assert_eq!(harness.store().expunge_message(one.application, id).await, Ok(true));
        assert_eq!(harness.store().expunge_message(one.application, id).await, Ok(true));
    }
    let unknown = MessageId::from_row(harness.store().new_row_id(NOW));
    assert_eq!(harness.store().expunge_message(one.application, unknown).await, Ok(false));
    for _ in 0..2 {
        let stored = harness.store().message(one.application, Reference::Id(waiting)).await.unwrap().unwrap();
        assert_eq!(stored.content, MessageContent { payload: None, ..content(&one.endpoints) });
        let claimed = claim(harness.store(), one.endpoints[0], NOW).await.deliveries;
        assert!(claimed.iter().all(|leased| leased.message.content.payload.is_none()));
        assert!(claimed.iter().any(|leased| leased.key.message == waiting));
        harness.reopen().await;
    }
}

pub async fn responses_are_expunged(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let (messages, attempts) = some_attempts(harness, &scene).await;
    let store = harness.store();
    assert_eq!(store.expunge_attempt(messages[1], attempts[2]).await, Ok(false));
    assert_eq!(store.expunge_attempt(messages[0], AttemptId::from_row(store.new_row_id(NOW))).await, Ok(false));
    // One with a body, and one without an answer at all.
    for index in [2, 1] {
        let before = store.attempt(messages[0], attempts[index]).await.unwrap().unwrap();
        assert_eq!(store.expunge_attempt(messages[0], attempts[index]).await, Ok(true));
        let mut expected = before;
        if let AttemptOutcome::Response(response) = &mut expected.attempt.outcome {
            response.body = ResponseBody::Expunged;
        }
        assert_eq!(store.attempt(messages[0], attempts[index]).await.unwrap(), Some(expected));
    }
    harness.reopen().await;
    let stored = harness.store().attempt(messages[0], attempts[2]).await.unwrap().unwrap();
    let AttemptOutcome::Response(response) = stored.attempt.outcome else { panic!("had an answer") };
    assert_eq!((response.body, response.status_code), (ResponseBody::Expunged, 404));
}

pub async fn expired_payloads_are_forgotten(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let expiring = |seconds| with(&scene, MessageContent { payload_expires_at: at(seconds), ..content(&[]) });
    let mut ids = Vec::new();
    for seconds in [30, 10, 20] {
        ids.push(accept(harness.store(), expiring(seconds), NOW).await.id);
    }
    let kept = async |harness: &dyn Harness| {
        let page = harness.store().messages(scene.application, MessageFilter::default(), first_nine()).await.unwrap();
        assert_eq!(page.items.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
        page.items.iter().map(|message| message.content.payload.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(forget_all(harness.store(), DAY, at(9)).await, (0, 0));
    assert_eq!(kept(harness).await, [true, true, true]);
    assert_eq!(forget_all(harness.store(), DAY, at(20)).await, (0, 2));
    assert_eq!(kept(harness).await, [true, false, false]);
    assert_eq!(forget_all(harness.store(), DAY, at(20)).await, (0, 0));
    harness.reopen().await;
    assert_eq!(kept(harness).await, [true, false, false]);
    assert_eq!(forget_all(harness.store(), DAY, at(30)).await, (0, 1));
}

pub async fn old_messages_are_forgotten_with_all_they_had(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let expiring = |event_id| {
        let content = MessageContent { event_id: uid(event_id), payload_expires_at: at(1), ..content(&scene.endpoints) };
        NewMessage { application: scene.application, content, idempotency_key: None }
    };
    // Delivered, to be retried, in flight; and one that is young enough.
    let delivered = accept_leased(harness, expiring("e-1"), NOW).await.remove(0);
    let answer = record_one(harness.store(), tried(&delivered, 200, DeliveryState::Delivered, NOW), NOW).await;
    let Recorded::Done { attempt: Some(attempt) } = answer else { panic!("not recorded") };
    let retry = accept_leased(harness, expiring("e-2"), NOW).await.remove(0);
    record_one(harness.store(), tried(&retry, 500, waits(90_000), NOW), NOW).await;
    let in_flight = accept_leased(harness, expiring("e-3"), NOW).await.remove(0);
    let young = accept_leased(harness, expiring("e-4"), at(5)).await.remove(0);

    let time = NOW + DAY;
    assert_eq!(forget_all(harness.store(), DAY, time - Duration::from_millis(1)).await.0, 0);
    assert_eq!(forget_all(harness.store(), DAY, time).await.0, 3);
    let late = tried(&in_flight, 200, DeliveryState::Delivered, time);
    assert_eq!(record_one(harness.store(), late, time).await, Recorded::LeaseLost);
    for _ in 0..2 {
        let store = harness.store();
        for leased in [&delivered, &retry, &in_flight] {
            assert_eq!(store.message(scene.application, Reference::Id(leased.key.message)).await.unwrap(), None);
            assert_eq!(store.delivery(leased.key).await.unwrap(), None);
        }
        assert_eq!(store.message(scene.application, Reference::Uid("e-1")).await.unwrap(), None);
        assert_eq!(store.attempt(delivered.key.message, attempt).await.unwrap(), None);
        let listed = store.messages_of_endpoint(endpoint, DeliveryFilter::default(), first_nine()).await.unwrap();
        assert_eq!(listed.items.iter().map(|(message, _)| message.id).collect::<Vec<_>>(), [young.key.message]);
        assert!(store.attempts_of_endpoint(endpoint, AttemptFilter::default(), first_nine()).await.unwrap().items.is_empty());
        assert_eq!(store.send_again(vec![delivered.key], time).await, Ok(0));
        harness.reopen().await;
    }
    let store = harness.store();
    assert_eq!(messages_of(&claim(store, endpoint, time + DAY).await), [young.key.message]);
    // The producer's id is free again.
    accept(store, expiring("e-1"), time).await;
    assert_eq!(store.accept(expiring("e-4"), time).await, Err(AcceptError::DuplicateEventId));
}

pub async fn forgetting_comes_in_pieces(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let count = limits::FORGOTTEN_AT_ONCE_MAX as u64 + 20;
    for _ in 0..count {
        let content = MessageContent { payload: Some(Bytes::from_static(b"{}")), payload_expires_at: at(1), ..content(&[]) };
        accept(harness.store(), with(&scene, content), NOW).await;
    }
    let policy = policy(DAY);
    let piece = harness.store().forget(policy, NOW + DAY).await.unwrap();
    assert!(piece.more && (1..=limits::FORGOTTEN_AT_ONCE_MAX as u64).contains(&piece.messages), "{piece:?}");
    let (messages, _) = forget_all(harness.store(), DAY, NOW + DAY).await;
    assert_eq!(piece.messages + messages, count);
}
