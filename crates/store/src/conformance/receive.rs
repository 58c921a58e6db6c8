//! Receiving: a receipt and its message in one, once.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{ReceivedBody, Verdict};
use hookpost_domain::{Message, MessageContent, limits};
use tokio::task::JoinSet;

use super::Harness;
use super::fixture::door::*;
use super::fixture::*;
use crate::{AcceptError, Accepted, NewMessage, NewReceipt, Order, PageRequest, Reference};

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

fn all<C>() -> PageRequest<C> {
    PageRequest::first(99, Order::Ascending)
}

pub async fn a_message_is_made_with_its_receipt(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 2).await;
    let source = source_of(harness.store(), &scene).await.id;
    let content = full_content(&scene.endpoints[..1], scene.endpoints[1]);
    let message = NewMessage { application: scene.application, content: content.clone(), idempotency_key: None };
    let new = genuine(source, message, None);
    let received = receive(harness.store(), new.clone(), at(5)).await;
    let accepted = received.message.expect("a message");
    assert_eq!((accepted.created_at, accepted.repeated), (at(5), false));
    let group = next_group(harness).await;
    assert_eq!((group.len(), group[0].key.message, group[0].key.endpoint), (1, accepted.id, scene.endpoints[0]));
    let expected = Message { id: accepted.id, application: scene.application, content: content.clone(), created_at: at(5) };
    assert_eq!(*group[0].message, expected);

    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(store.message(scene.application, Reference::Id(accepted.id)).await.unwrap(), Some(expected.clone()));
        let stored = receipt(store, source, received.receipt).await;
        let verdict = Verdict::Accepted { message: accepted.id };
        let mut whole = NewReceipt { received_at: at(5), ..new.clone() }.split().0.listed(received.receipt, verdict, 11);
        whole.request.body = ReceivedBody::Bytes(content.payload.clone().expect("a payload"));
        assert_eq!(stored, whole);
        harness.reopen().await;
    }
    assert_eq!(messages_of(&claim(harness.store(), scene.endpoints[0], at(9)).await), [accepted.id]);
}

pub async fn what_is_refused_is_kept_and_makes_nothing(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let source = source_of(harness.store(), &scene).await.id;
    let quarantined = Verdict::Quarantined { detail: "`$.id` is no number".into() };
    for verdict in [rejected("bad_signature"), quarantined, Verdict::Handshake] {
        let new = settled(source, verdict.clone(), b"\0body");
        let received = receive(harness.store(), new.clone(), NOW).await;
        assert_eq!(received.message, None);
        let mut whole = new.split().0.listed(received.receipt, verdict, 5);
        whole.request.body = ReceivedBody::Bytes(Bytes::from_static(b"\0body"));
        assert_eq!(receipt(harness.store(), source, received.receipt).await, whole);
        harness.reopen().await;
        assert_eq!(receipt(harness.store(), source, received.receipt).await, whole);
    }
    // A body that was never read.
    let mut unread = settled(source, rejected("too_large"), b"");
    unread.request.body = ReceivedBody::NotKept { bytes: 1 << 40 };
    let received = receive(harness.store(), unread, NOW).await;
    let stored = receipt(harness.store(), source, received.receipt).await;
    assert_eq!(stored.request.body, ReceivedBody::NotKept { bytes: 1 << 40 });
    assert_nothing_was_handed_over(harness).await;
    let messages = harness.store().messages(scene.application, Default::default(), all()).await.unwrap();
    assert!(messages.items.is_empty());
}

pub async fn a_body_that_is_not_the_payload_is_kept_beside_it(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let mut new = genuine(source, scene.message(), None);
    new.request.body = ReceivedBody::Bytes(Bytes::from_static(b"as it came"));
    let received = receive(harness.store(), new, NOW).await;
    let stored = receipt(harness.store(), source, received.receipt).await;
    assert_eq!(stored.request.body, ReceivedBody::Bytes(Bytes::from_static(b"as it came")));
}

pub async fn the_same_event_makes_one_message(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let source = source_of(harness.store(), &scene).await.id;
    let first = receive(harness.store(), genuine(source, scene.message(), once(1, WEEK)), NOW).await;
    assert_eq!(next_group(harness).await.len(), 1);
    let first_message = first.message.expect("a message");
    for seconds in [1, 60] {
        // Its bytes need not be the same, and are its own.
        let content = MessageContent { payload: Some(Bytes::from_static(b"{}")), ..content(&scene.endpoints) };
        let again = NewMessage { content, ..scene.message() };
        let repeated = receive(harness.store(), genuine(source, again, once(1, WEEK)), at(seconds)).await;
        assert_eq!(repeated.message, Some(Accepted { repeated: true, ..first_message }));
        assert_ne!(repeated.receipt, first.receipt);
        let stored = receipt(harness.store(), source, repeated.receipt).await;
        assert_eq!(stored.verdict, Verdict::Duplicate { of: first_message.id });
        assert_eq!(stored.request.body, ReceivedBody::Bytes(Bytes::from_static(b"{}")));
        harness.reopen().await;
    }
    let another = receive(harness.store(), genuine(source, new_message(scene.application, &[]), once(2, WEEK)), at(60)).await;
    assert!(another.message.is_some_and(|message| !message.repeated));
    let none = receive(harness.store(), genuine(source, new_message(scene.application, &[]), None), at(60)).await;
    assert!(none.message.is_some_and(|message| !message.repeated));
    assert_nothing_was_handed_over(harness).await;
}

pub async fn what_is_known_can_be_asked(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let minute = Duration::from_secs(60);
    for (key, window) in [(1, WEEK), (2, minute)] {
        receive(harness.store(), genuine(source, scene.message(), once(key, window)), NOW).await;
    }
    // One of a request to the API is none of an event.
    accept(harness.store(), NewMessage { idempotency_key: key(3), ..scene.message() }, NOW).await;
    let keys: Vec<_> =
        [(3, WEEK), (1, WEEK), (2, minute), (1, minute), (4, WEEK)].into_iter().filter_map(|(key, window)| once(key, window)).collect();
    for _ in 0..2 {
        let store = harness.store();
        assert_eq!(store.known_once(&keys, at(59)).await.unwrap(), [false, true, true, true, false]);
        assert_eq!(store.known_once(&keys, at(60)).await.unwrap(), [false, true, false, false, false]);
        assert_eq!(store.known_once(&[], NOW).await.unwrap(), [false; 0]);
        harness.reopen().await;
    }
}

pub async fn the_same_event_at_the_same_moment_makes_one_message(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let source = source_of(harness.store(), &scene).await.id;
    let mut receiving = JoinSet::new();
    for _ in 0..32 {
        let (store, new) = (harness.store().clone(), genuine(source, scene.message(), once(1, WEEK)));
        receiving.spawn(async move { receive(&store, new, NOW).await });
    }
    let received = receiving.join_all().await;
    let messages: Vec<Accepted> = received.iter().map(|one| one.message.expect("a message")).collect();
    assert!(messages.iter().all(|one| one.id == messages[0].id));
    assert_eq!(messages.iter().filter(|one| !one.repeated).count(), 1);
    assert_eq!(next_group(harness).await.len(), 1);
    let counts = harness.store().receipt_counts(source, NOW, at(60)).await.unwrap();
    assert_eq!((counts.accepted, counts.duplicate), (1, 31));
    let listed = harness.store().receipts(source, Default::default(), all()).await.unwrap().items;
    let of = listed.iter().filter_map(|one| one.verdict.message()).collect::<Vec<_>>();
    assert_eq!(of, vec![messages[0].id; 32]);
    assert_nothing_was_handed_over(harness).await;
}

pub async fn events_are_told_apart_for_the_window_of_their_source(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let minute = Duration::from_secs(60);
    for (key, window) in [(1, minute), (2, WEEK), (3, limits::DEDUPLICATION_WINDOW_MAX)] {
        let new = || genuine(source, scene.message(), once(key, window));
        let first = receive(harness.store(), new(), NOW).await.message.expect("a message");
        harness.reopen().await;
        let store = harness.store();
        let last = receive(store, new(), NOW + window - MILLISECOND).await.message.expect("a message");
        assert_eq!(last, Accepted { repeated: true, ..first });
        // Forgetting keeps what still counts, whatever is past the window of requests to the API.
        while store.forget(policy(60 * DAY), NOW + window - MILLISECOND).await.unwrap().more {}
        assert_eq!(receive(store, new(), NOW + window - MILLISECOND).await.message, Some(last));
        let second = receive(store, new(), NOW + window).await.message.expect("a message");
        assert!(!second.repeated && second.id != first.id);
        let again = receive(store, new(), NOW + window + MILLISECOND).await.message;
        assert_eq!(again, Some(Accepted { repeated: true, ..second }));
    }
    // A window that was made shorter meanwhile counts at once.
    let long = receive(harness.store(), genuine(source, scene.message(), once(4, WEEK)), NOW).await.message.expect("a message");
    let short = receive(harness.store(), genuine(source, scene.message(), once(4, minute)), at(60)).await.message.expect("a message");
    assert!(short.id != long.id && !short.repeated);
    // One that was made longer does not bring back what is past its own.
    let longer = receive(harness.store(), genuine(source, scene.message(), once(4, WEEK)), at(120)).await.message.expect("a message");
    assert!(longer.id != short.id && !longer.repeated);
}

pub async fn events_and_requests_to_the_api_never_meet(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let accepted = accept(harness.store(), NewMessage { idempotency_key: key(1), ..scene.message() }, NOW).await;
    let received = receive(harness.store(), genuine(source, scene.message(), once(1, WEEK)), NOW).await.message.expect("a message");
    assert!(!received.repeated && received.id != accepted.id);
    harness.reopen().await;
    let store = harness.store();
    let again = accept(store, NewMessage { idempotency_key: key(1), ..scene.message() }, at(1)).await;
    assert_eq!(again, Accepted { repeated: true, ..accepted });
    let again = receive(store, genuine(source, scene.message(), once(1, WEEK)), at(1)).await.message;
    assert_eq!(again, Some(Accepted { repeated: true, ..received }));
}

pub async fn a_message_that_is_refused_leaves_no_receipt(harness: &mut dyn Harness) {
    let (gone, there) = (scene(harness.store(), 1).await, scene(harness.store(), 0).await);
    let source = source_of(harness.store(), &gone).await.id;
    let store = harness.store();
    store.delete_application(gone.application, NOW).await.unwrap();
    let refused = store.receive(genuine(source, gone.message(), once(1, WEEK)), NOW).await;
    assert_eq!(refused, Err(AcceptError::ApplicationNotFound));
    let with_event_id = |event_id| NewMessage { content: MessageContent { event_id: uid(event_id), ..content(&[]) }, ..there.message() };
    accept(store, with_event_id("e-1"), NOW).await;
    let refused = store.receive(genuine(source, with_event_id("e-1"), once(1, WEEK)), NOW).await;
    assert_eq!(refused, Err(AcceptError::DuplicateEventId));
    assert!(store.receipts(source, Default::default(), all()).await.unwrap().items.is_empty());
    assert_eq!(store.receipt_counts(source, NOW, at(60)).await.unwrap(), Default::default());
    // Its key is free.
    let received = receive(store, genuine(source, with_event_id("e-2"), once(1, WEEK)), NOW).await.message;
    assert!(received.is_some_and(|message| !message.repeated));
    // What asks for no message is kept wherever its source leads.
    assert_eq!(receive(store, settled(source, Verdict::Handshake, b""), NOW).await.message, None);
    assert_nothing_was_handed_over(harness).await;
}
