//! Acknowledged means durable, once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hookpost_domain::{DeliveryKey, DeliveryState, MessageContent, MessageId, Progress, Reason, Trigger, limits};
use tokio::task::JoinSet;

use super::fixture::*;
use super::{Harness, READY_GROUPS};
use crate::intake::KeptAnswer;
use crate::queue::LaneState;
use crate::{AcceptError, Accepted, NewMessage, Reference};

pub async fn accepts_and_hands_over(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 3).await;
    let (targets, skipped) = (&scene.endpoints[..2], scene.endpoints[2]);
    let content = full_content(targets, skipped);
    let new = NewMessage { application: scene.application, content: content.clone(), idempotency_key: None };
    let accepted = accept(harness.store(), new, at(5)).await;
    assert_eq!((accepted.created_at, accepted.repeated), (at(5), false));

    let group = next_group(harness).await;
    assert_eq!(group.iter().map(|one| one.key.endpoint).collect::<Vec<_>>(), targets);
    for leased in &group {
        assert!(Arc::ptr_eq(&leased.message, &group[0].message), "the message is shared");
        assert_eq!((leased.key.message, leased.application), (accepted.id, scene.application));
        assert_eq!((leased.state, leased.progress, leased.trigger), (DeliveryState::Pending, Progress::default(), Trigger::Scheduled));
        assert_eq!(state_of(harness.store(), leased.key).await, DeliveryState::Pending);
    }
    assert_ne!(group[0].lease, group[1].lease);
    let stored = harness.store().message(scene.application, Reference::Id(accepted.id)).await.unwrap().unwrap();
    assert_eq!((&stored, &stored.content), (&*group[0].message, &content));
    let unrouted = DeliveryKey { message: accepted.id, endpoint: skipped };
    assert_eq!(harness.store().delivery(unrouted).await.unwrap(), None);
}

pub async fn what_was_acknowledged_survives_a_crash(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let content = full_content(&scene.endpoints[..1], scene.endpoints[1]);
    let new = NewMessage { application: scene.application, content: content.clone(), idempotency_key: key(1) };
    let accepted = accept(harness.store(), new.clone(), NOW).await;
    let answer = KeptAnswer { status: 201, body: b"{}".to_vec() };
    harness.store().keep_answer(key(2).unwrap(), answer.clone(), NOW).await.unwrap();
    let many: Vec<MessageId> = accept_many(harness, &scene, 40).await;

    harness.reopen().await;
    let store = harness.store();
    let stored = store.message(scene.application, Reference::Id(accepted.id)).await.unwrap().unwrap();
    assert_eq!((stored.content, stored.created_at), (content, NOW));
    assert_eq!(accept(store, new.clone(), at(9)).await, Accepted { repeated: true, ..accepted });
    assert_eq!(store.accept(NewMessage { idempotency_key: None, ..new }, NOW).await, Err(AcceptError::DuplicateEventId));
    assert_eq!(store.kept_answer(key(2).unwrap(), NOW).await.unwrap(), Some(answer));
    let expected: Vec<MessageId> = std::iter::once(accepted.id).chain(many).collect();
    assert_eq!(messages_of(&claim(store, scene.endpoints[0], at(9)).await), expected);
}

async fn accept_many(harness: &mut dyn Harness, scene: &Scene, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(accept(harness.store(), new_message(scene.application, &scene.endpoints[..1]), NOW).await.id);
    }
    ids
}

pub async fn equal_keys_make_one_message(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let first = accept(harness.store(), NewMessage { idempotency_key: key(1), ..scene.message() }, NOW).await;
    assert_eq!(next_group(harness).await.len(), 1);
    // The body is not compared.
    let other = MessageContent { payload: Some(Bytes::from_static(b"{}")), ..content(&scene.endpoints) };
    let other = NewMessage { application: scene.application, content: other, idempotency_key: key(1) };
    assert_eq!(accept(harness.store(), other, at(60)).await, Accepted { repeated: true, ..first });
    let another_key = accept(harness.store(), NewMessage { idempotency_key: key(2), ..new_message(scene.application, &[]) }, at(60)).await;
    assert!(!another_key.repeated && another_key.id != first.id);
    assert_nothing_was_handed_over(harness).await;
}

pub async fn equal_keys_at_the_same_moment_make_one_message(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let new = NewMessage { idempotency_key: key(1), ..scene.message() };
    let mut accepts = JoinSet::new();
    for _ in 0..32 {
        let (store, new) = (harness.store().clone(), new.clone());
        accepts.spawn(async move { accept(&store, new, NOW).await });
    }
    let accepted = accepts.join_all().await;
    assert!(accepted.iter().all(|one| one.id == accepted[0].id));
    assert_eq!(accepted.iter().filter(|one| !one.repeated).count(), 1);
    assert_eq!(next_group(harness).await.len(), 1);
    assert_nothing_was_handed_over(harness).await;
}

pub async fn keys_are_forgotten_after_their_window(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let new = NewMessage { idempotency_key: key(1), ..scene.message() };
    let first = accept(harness.store(), new.clone(), NOW).await;
    let end = NOW + limits::IDEMPOTENCY_WINDOW;
    assert_eq!(accept(harness.store(), new.clone(), end - Duration::from_millis(1)).await.id, first.id);
    harness.reopen().await;
    let second = accept(harness.store(), new.clone(), end).await;
    assert!(!second.repeated && second.id != first.id);
    assert_eq!(accept(harness.store(), new, end + Duration::from_secs(1)).await, Accepted { repeated: true, ..second });
}

pub async fn event_ids_are_unique_in_their_application(harness: &mut dyn Harness) {
    let (one, other) = (scene(harness.store(), 0).await, scene(harness.store(), 0).await);
    let store = harness.store();
    let with = |scene: &Scene, event_id| {
        let content = MessageContent { event_id: uid(event_id), ..content(&[]) };
        NewMessage { application: scene.application, content, idempotency_key: None }
    };
    accept(store, with(&one, "e-1"), NOW).await;
    assert_eq!(store.accept(with(&one, "e-1"), at(90_000)).await, Err(AcceptError::DuplicateEventId));
    accept(store, with(&one, "e-2"), NOW).await;
    accept(store, with(&other, "e-1"), NOW).await;
}

pub async fn event_ids_are_unique_also_at_the_same_moment(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let mut accepts = JoinSet::new();
    for _ in 0..32 {
        let store = harness.store().clone();
        let content = MessageContent { event_id: uid("e-1"), ..content(&[]) };
        let new = NewMessage { application: scene.application, content, idempotency_key: None };
        accepts.spawn(async move { store.accept(new, NOW).await });
    }
    let answers = accepts.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|error| *error == AcceptError::DuplicateEventId));
}

pub async fn a_repeated_request_is_no_duplicate_of_itself(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let content = MessageContent { event_id: uid("e-1"), ..content(&[]) };
    let new = NewMessage { application: scene.application, content, idempotency_key: key(1) };
    let first = accept(harness.store(), new.clone(), NOW).await;
    assert_eq!(harness.store().accept(new, NOW).await, Ok(Accepted { repeated: true, ..first }));
}

pub async fn what_was_refused_leaves_no_trace(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let with = |event_id, idempotency_key| {
        let content = MessageContent { event_id: uid(event_id), ..content(&[]) };
        NewMessage { application: scene.application, content, idempotency_key }
    };
    let store = harness.store();
    accept(store, with("e-1", None), NOW).await;
    let refused = NewMessage { content: MessageContent { event_id: uid("e-1"), ..content(&scene.endpoints) }, ..with("e-1", key(1)) };
    assert_eq!(store.accept(refused, NOW).await, Err(AcceptError::DuplicateEventId));
    // Its key is free, and nothing is to be delivered.
    assert!(!accept(store, with("e-2", key(1)), NOW).await.repeated);
    assert!(claim(store, scene.endpoints[0], at(9)).await.deliveries.is_empty());
    assert_nothing_was_handed_over(harness).await;
}

pub async fn unknown_applications_are_refused(harness: &mut dyn Harness) {
    let gone = scene(harness.store(), 1).await;
    let never = hookpost_domain::ApplicationId::from_row(harness.store().new_row_id(NOW));
    harness.store().delete_application(gone.application, NOW).await.unwrap();
    for application in [gone.application, never] {
        let refused = harness.store().accept(new_message(application, &gone.endpoints), NOW).await;
        assert_eq!(refused, Err(AcceptError::ApplicationNotFound));
    }
    assert_nothing_was_handed_over(harness).await;
}

pub async fn the_first_answer_kept_stays(harness: &mut dyn Harness) {
    let store = harness.store();
    let answer = |status| KeptAnswer { status, body: format!("\0{status}").into_bytes() };
    let key = key(1).unwrap();
    assert_eq!(store.kept_answer(key, NOW).await.unwrap(), None);
    store.keep_answer(key, answer(201), NOW).await.unwrap();
    store.keep_answer(key, answer(409), at(1)).await.unwrap();
    assert_eq!(store.kept_answer(key, at(2)).await.unwrap(), Some(answer(201)));
    let end = NOW + limits::IDEMPOTENCY_WINDOW;
    assert_eq!(store.kept_answer(key, end).await.unwrap(), None);
    store.keep_answer(key, answer(200), end).await.unwrap();
    assert_eq!(store.kept_answer(key, end).await.unwrap(), Some(answer(200)));
}

pub async fn later_messages_wait_for_their_time(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let later = |seconds| {
        let content = MessageContent { deliver_at: Some(at(seconds)), ..content(&scene.endpoints) };
        NewMessage { application: scene.application, content, idempotency_key: None }
    };
    let last = accept(harness.store(), later(200), NOW).await.id;
    let first = accept(harness.store(), later(100), NOW).await.id;
    assert_nothing_was_handed_over(harness).await;
    assert_eq!(delivery(harness.store(), last, endpoint).await.state, DeliveryState::Waiting { at: at(200) });
    // What is later holds nobody up.
    accept_leased(harness, later(0), NOW).await;

    harness.reopen().await;
    let store = harness.store();
    assert_eq!(claim(store, endpoint, NOW).await.deliveries.len(), 1, "the one whose lease the crash ended");
    let claimed = claim(store, endpoint, at(99)).await;
    assert_eq!((messages_of(&claimed), claimed.more, claimed.next_due), (vec![], false, Some(at(100))));
    let claimed = claim(store, endpoint, at(100)).await;
    assert_eq!((messages_of(&claimed), claimed.next_due), (vec![first], Some(at(200))));
    assert_eq!((claimed.deliveries[0].progress, claimed.deliveries[0].trigger), (Progress::default(), Trigger::Scheduled));
    assert_eq!(messages_of(&claim(store, endpoint, at(200)).await), [last]);
}

pub async fn whoever_comes_after_a_backlog_joins_it(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let [slow, fast] = scene.endpoints[..] else { unreachable!() };
    let first = accept_backlog(harness, new_message(scene.application, &[slow]), NOW).await;
    let second = accept(harness.store(), scene.message(), at(1)).await.id;
    let handed_over = next_group(harness).await;
    assert_eq!(handed_over.iter().map(|one| one.key.endpoint).collect::<Vec<_>>(), [fast], "only that endpoint has a backlog");
    let claimed = claim(harness.store(), slow, at(2)).await;
    assert_eq!((messages_of(&claimed), claimed.more), (vec![first, second], false));
    // With the backlog in the hands of the engine, what follows is handed over again.
    assert_eq!(accept_leased(harness, scene.message(), at(3)).await.len(), 2);
}

pub async fn a_full_channel_leaves_a_backlog(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let endpoint = scene.endpoints[0];
    let ids = accept_many(harness, &scene, READY_GROUPS + 3).await;
    for id in &ids[..READY_GROUPS] {
        assert_eq!(next_group(harness).await[0].key.message, *id);
    }
    let lanes = harness.store().lanes().await.unwrap();
    let expected =
        LaneState { application: scene.application, endpoint, ready: true, next_due: None, health: Default::default(), elsewhere: false };
    assert_eq!(lanes, [expected]);
    assert_eq!(messages_of(&claim(harness.store(), endpoint, NOW).await), ids[READY_GROUPS..]);
    accept_leased(harness, scene.message(), NOW).await;
}

pub async fn targets_that_are_gone_end_as_canceled(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let [kept, gone] = scene.endpoints[..] else { unreachable!() };
    harness.store().delete_endpoint(scene.application, gone, NOW).await.unwrap();
    let id = accept(harness.store(), scene.message(), NOW).await.id;
    assert_eq!(next_group(harness).await.iter().map(|one| one.key.endpoint).collect::<Vec<_>>(), [kept]);
    let canceled = DeliveryState::Canceled { reason: Reason::EndpointDeleted };
    assert_eq!(delivery(harness.store(), id, gone).await.state, canceled);
    harness.reopen().await;
    assert_eq!(delivery(harness.store(), id, gone).await.state, canceled);
    assert!(claim(harness.store(), gone, at(9)).await.deliveries.is_empty());
}

pub async fn ids_grow_whatever_the_clock_does(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let mut last = harness.store().new_row_id(at(100));
    for round in 0..4 {
        for clock in [100, 50, 200 + round, 0] {
            let message = accept(harness.store(), scene.message(), at(clock)).await;
            assert_eq!(message.created_at, at(clock));
            let row = harness.store().new_row_id(at(clock));
            assert!(message.id.row() > last && row > message.id.row());
            last = message.id.row();
        }
        harness.reopen().await;
    }
}

/// More calls than tokio polls of one task before it wants to see another.
pub async fn calls_get_ids_in_their_order(harness: &mut dyn Harness) {
    const CALLS: usize = 300;
    let scene = scene(harness.store(), 0).await;
    let store = harness.store();
    let mut last = accept(store, scene.message(), NOW).await.id;
    let calls = stream::iter((0..CALLS).map(|_| store.accept(scene.message(), NOW))).buffered(CALLS);
    for id in calls.map(|accepted| accepted.unwrap().id).collect::<Vec<_>>().await {
        assert!(id > last);
        last = id;
    }
}

pub async fn who_began_is_known(harness: &mut dyn Harness) {
    let (key, other) = (key(7).unwrap(), key(8).unwrap());
    let answer = KeptAnswer { status: 201, body: b"made".to_vec() };
    let store = harness.store();
    let (first, second) = tokio::join!(store.begin_answer(key, NOW), store.begin_answer(key, NOW));
    let begun = Some(KeptAnswer::BEGUN);
    assert!([(None, begun.clone()), (begun.clone(), None)].contains(&(first.unwrap(), second.unwrap())));
    harness.reopen().await;
    let store = harness.store();
    assert_eq!(store.begin_answer(key, at(1)).await.unwrap(), begun, "a crash does not take the mark away");
    store.keep_answer(key, answer.clone(), at(2)).await.unwrap();
    assert_eq!(store.begin_answer(key, at(3)).await.unwrap(), Some(answer.clone()));
    // What was kept is not released.
    store.release_answer(key).await.unwrap();
    assert_eq!(store.kept_answer(key, at(3)).await.unwrap(), Some(answer));
    // What was released, and what is past its window, can be begun again.
    assert_eq!(store.begin_answer(other, NOW).await.unwrap(), None);
    store.release_answer(other).await.unwrap();
    for moment in [at(1), at(2) + limits::IDEMPOTENCY_WINDOW, at(3) + limits::IDEMPOTENCY_WINDOW * 2] {
        assert_eq!(store.begin_answer(other, moment).await.unwrap(), None);
    }
    let past = at(4) + limits::IDEMPOTENCY_WINDOW;
    assert_eq!(store.begin_answer(key, past).await.unwrap(), None, "an answer past its window is none");
}
