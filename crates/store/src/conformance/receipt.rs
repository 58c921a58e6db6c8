//! Receipts: what is shown of them, to whom, and for how long.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{ReceivedBody, Verdict, VerdictKind};
use hookpost_domain::{MessageContent, Receipt, ReceiptId, SourceId, Timestamp, limits};

use super::Harness;
use super::fixture::door::*;
use super::fixture::*;
use crate::history::{Forgotten, ReceiptCounts, ReceiptFilter, RetentionPolicy};
use crate::{NewMessage, NewReceipt, Order, PageRequest, SharedStore};

fn first_nine<C>() -> PageRequest<C> {
    PageRequest::first(9, Order::Ascending)
}

async fn listed(store: &SharedStore, source: SourceId, filter: ReceiptFilter) -> Vec<Receipt> {
    let page = store.receipts(source, filter, first_nine()).await.unwrap();
    assert!(page.done);
    page.items
}

async fn ids(store: &SharedStore, source: SourceId, filter: ReceiptFilter) -> Vec<ReceiptId> {
    listed(store, source, filter).await.into_iter().map(|receipt| receipt.id).collect()
}

pub async fn receipts_are_seen_at_their_source_only(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let (own, other) = (source_of(harness.store(), &scene).await.id, source_of(harness.store(), &scene).await.id);
    let id = receive(harness.store(), settled(own, rejected("bad_signature"), b"x"), NOW).await.receipt;
    let accepted = receive(harness.store(), genuine(own, scene.message(), None), NOW).await.receipt;
    for _ in 0..2 {
        let store = harness.store();
        for id in [id, accepted] {
            assert_eq!(store.receipt(other, id).await.unwrap(), None);
            assert!(store.receipt(own, id).await.unwrap().is_some());
        }
        assert!(listed(store, other, ReceiptFilter::default()).await.is_empty());
        assert_eq!(ids(store, own, ReceiptFilter::default()).await, [id, accepted]);
        assert_eq!(store.receipt(own, ReceiptId::from_row(store.new_row_id(NOW))).await.unwrap(), None);
        assert_eq!(store.receipt_counts(other, NOW, at(60)).await.unwrap(), ReceiptCounts::default());
        harness.reopen().await;
    }
}

pub async fn receipts_are_listed_in_pages(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let (source, other) = (source_of(harness.store(), &scene).await.id, source_of(harness.store(), &scene).await.id);
    let mut ids = Vec::new();
    for index in 0..6 {
        let new = match index % 3 {
            0 => genuine(source, scene.message(), None),
            1 => settled(source, Verdict::Handshake, b"x"),
            _ => settled(source, rejected("expired"), b"x"),
        };
        ids.push(receive(harness.store(), new, at(index)).await.receipt);
        receive(harness.store(), settled(other, Verdict::Handshake, b"y"), at(index)).await;
    }
    let store = harness.store();
    check_pages(&ids, &[], async |page| {
        let page = store.receipts(source, ReceiptFilter::default(), page).await.unwrap();
        (page.items.into_iter().map(|receipt| receipt.id).collect(), page.done)
    })
    .await;
    harness.reopen().await;
    let newest = harness.store().receipts(source, ReceiptFilter::default(), PageRequest::first(2, Order::Descending)).await.unwrap();
    assert_eq!(newest.items.iter().map(|receipt| receipt.id).collect::<Vec<_>>(), [ids[5], ids[4]]);
    // Without bodies, wherever they are.
    assert_eq!(newest.items[0].request.body, ReceivedBody::NotKept { bytes: 1 });
    let accepted = listed(harness.store(), source, ReceiptFilter::default()).await.remove(0);
    assert_eq!(accepted.request.body, ReceivedBody::NotKept { bytes: 11 });
}

pub async fn receipts_are_filtered(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let store = harness.store();
    let once = once(1, Duration::from_secs(60));
    let with = |payload: &'static [u8]| {
        let content = MessageContent { payload: Some(Bytes::from_static(payload)), ..content(&[]) };
        NewMessage { content, ..scene.message() }
    };
    let mut id = Vec::new();
    let mut arrive = async |new: NewReceipt| id.push(receive(store, new, at(10 * id.len() as u64)).await.receipt);
    arrive(genuine(source, with(b"{\"colour\": \"Red\"}"), once)).await;
    arrive(genuine(source, with(b"{\"colour\": \"blue\"}"), once)).await;
    arrive(settled(source, rejected("bad_signature"), b"green \xff")).await;
    arrive(NewReceipt { event_id: Some("evt_2".into()), event_type: None, ..settled(source, rejected("expired"), b"RED") }).await;
    let mut told = settled(source, Verdict::Handshake, b"");
    told.request.url = "https://hooks.example.com/in/?challenge=Red".into();
    arrive(told).await;
    let mut unread = settled(source, Verdict::Quarantined { detail: "no".into() }, b"");
    unread.request.body = ReceivedBody::NotKept { bytes: 7 };
    unread.request.headers.push(("X-Colour".into(), Bytes::from_static(b"infrared")));
    arrive(unread).await;

    let check = async |filter: ReceiptFilter, expected: &[usize]| {
        let expected: Vec<_> = expected.iter().map(|index| id[*index]).collect();
        assert_eq!(ids(store, source, filter.clone()).await, expected, "{filter:?}");
    };
    check(ReceiptFilter::default(), &[0, 1, 2, 3, 4, 5]).await;
    for (verdict, expected) in [
        (VerdictKind::Accepted, &[0][..]),
        (VerdictKind::Duplicate, &[1]),
        (VerdictKind::Handshake, &[4]),
        (VerdictKind::Quarantined, &[5]),
        (VerdictKind::Rejected, &[2, 3]),
    ] {
        check(ReceiptFilter { verdict: Some(verdict), ..Default::default() }, expected).await;
    }
    check(ReceiptFilter { code: Some("expired".into()), ..Default::default() }, &[3]).await;
    check(ReceiptFilter { event_id: Some("evt_2".into()), ..Default::default() }, &[3]).await;
    check(ReceiptFilter { event_type: Some("invoice.paid".into()), ..Default::default() }, &[0, 1, 2, 4, 5]).await;
    check(ReceiptFilter { before: Some(at(20)), ..Default::default() }, &[0, 1]).await;
    check(ReceiptFilter { after: Some(at(20)), ..Default::default() }, &[3, 4, 5]).await;
    let text = |text: &str| ReceiptFilter { text: Some(text.into()), ..Default::default() };
    check(text("red"), &[0, 3, 4, 5]).await;
    check(text("COLOUR"), &[0, 1, 5]).await;
    check(text("green"), &[2]).await;
    check(text("account=7"), &[0, 1, 2, 3, 5]).await;
    check(text("application/JSON"), &[0, 1, 2, 3, 4, 5]).await;
    check(text("not there"), &[]).await;
    check(ReceiptFilter { verdict: Some(VerdictKind::Rejected), ..text("red") }, &[3]).await;
}

pub async fn receipts_are_counted_by_verdict_and_minute(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let (source, other) = (source_of(harness.store(), &scene).await.id, source_of(harness.store(), &scene).await.id);
    let minute = |n: u64| Timestamp::from_unix_ms(NOW.unix_ms() / 60_000 * 60_000) + Duration::from_secs(60 * n);
    let once = once(1, Duration::from_secs(3600));
    for (n, new) in [
        (0, genuine(source, scene.message(), once)),
        (0, genuine(source, scene.message(), once)),
        (0, settled(source, rejected("expired"), b"")),
        (1, settled(source, rejected("expired"), b"")),
        (1, settled(source, Verdict::Handshake, b"")),
        (2, settled(source, Verdict::Quarantined { detail: "no".into() }, b"")),
        (1, settled(other, Verdict::Handshake, b"")),
    ] {
        receive(harness.store(), new, minute(n) + Duration::from_secs(30)).await;
    }
    for _ in 0..2 {
        let counts = async |from, until| harness.store().receipt_counts(source, from, until).await.unwrap();
        let first = ReceiptCounts { accepted: 1, duplicate: 1, rejected: 1, ..Default::default() };
        let second = ReceiptCounts { handshake: 1, rejected: 1, ..Default::default() };
        assert_eq!(counts(minute(0), minute(1)).await, first);
        assert_eq!(counts(minute(1), minute(2)).await, second);
        // From the beginning of a minute to the end of one.
        assert_eq!(counts(minute(1) + Duration::from_secs(59), minute(1) + Duration::from_secs(59)).await, second);
        let whole = ReceiptCounts { accepted: 1, duplicate: 1, handshake: 1, quarantined: 1, rejected: 2 };
        assert_eq!(counts(Timestamp::ZERO, Timestamp::MAX).await, whole);
        assert_eq!(counts(minute(3), Timestamp::MAX).await, ReceiptCounts::default());
        harness.reopen().await;
    }
}

pub async fn a_body_goes_with_the_payload_of_its_message(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let once = once(1, Duration::from_secs(3600));
    let first = receive(harness.store(), genuine(source, scene.message(), once), NOW).await;
    let duplicate = receive(harness.store(), genuine(source, scene.message(), once), at(1)).await;
    let message = first.message.expect("a message").id;
    let store = harness.store();
    let body = async |id| receipt(store, source, id).await.request.body;
    let whole = ReceivedBody::Bytes(Bytes::from_static(br#"{"n": 1.50}"#));
    assert_eq!((body(first.receipt).await, body(duplicate.receipt).await), (whole.clone(), whole.clone()));
    assert!(store.expunge_message(scene.application, message).await.unwrap());
    let gone = ReceivedBody::NotKept { bytes: 11 };
    assert_eq!((body(first.receipt).await, body(duplicate.receipt).await), (gone, whole));
    let text = ReceiptFilter { text: Some("1.50".into()), ..Default::default() };
    assert_eq!(ids(store, source, text).await, [duplicate.receipt]);
}

/// Lets the store forget until it says that nothing is left.
async fn forget_all(store: &SharedStore, receipts: Duration, now: Timestamp) -> u64 {
    let mut count = 0;
    for _ in 0..1000 {
        let policy = RetentionPolicy { rows: 90 * DAY, receipts };
        let Forgotten { receipts, more, .. } = store.forget(policy, now).await.unwrap();
        count += receipts;
        if !more {
            return count;
        }
    }
    panic!("forgetting comes to no end");
}

pub async fn old_receipts_are_forgotten(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let accepted = receive(harness.store(), genuine(source, scene.message(), None), NOW).await;
    let old = receive(harness.store(), settled(source, rejected("expired"), b"x"), at(1)).await.receipt;
    let young = receive(harness.store(), settled(source, rejected("expired"), b"x"), at(5)).await.receipt;
    let time = at(1) + DAY;
    assert_eq!(forget_all(harness.store(), DAY, NOW + DAY - Duration::from_millis(1)).await, 0);
    assert_eq!(forget_all(harness.store(), DAY, time).await, 2);
    for _ in 0..2 {
        let store = harness.store();
        for id in [accepted.receipt, old] {
            assert_eq!(store.receipt(source, id).await.unwrap(), None);
        }
        assert_eq!(ids(store, source, ReceiptFilter::default()).await, [young]);
        harness.reopen().await;
    }
    // The message has its own time.
    let message = accepted.message.expect("a message").id;
    let stored = harness.store().message(scene.application, crate::Reference::Id(message)).await.unwrap();
    assert!(stored.is_some_and(|message| message.content.payload.is_some()));
    assert_eq!(forget_all(harness.store(), DAY, time + DAY).await, 1);
}

pub async fn receipts_are_forgotten_in_pieces(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = source_of(harness.store(), &scene).await.id;
    let count = limits::FORGOTTEN_AT_ONCE_MAX as u64 + 20;
    for _ in 0..count {
        receive(harness.store(), settled(source, Verdict::Handshake, b""), NOW).await;
    }
    let piece = harness.store().forget(RetentionPolicy { rows: 90 * DAY, receipts: DAY }, NOW + DAY).await.unwrap();
    assert!(piece.more && (1..=limits::FORGOTTEN_AT_ONCE_MAX as u64).contains(&piece.receipts), "{piece:?}");
    assert_eq!(piece.receipts + forget_all(harness.store(), DAY, NOW + DAY).await, count);
    assert!(listed(harness.store(), source, ReceiptFilter::default()).await.is_empty());
}
