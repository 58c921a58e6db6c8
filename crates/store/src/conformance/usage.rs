//! How much was sent, counted exactly.

use std::collections::BTreeMap;
use std::time::Duration;

use hookpost_domain::{ApplicationId, DeliveryState, EventTypeName, MessageContent, Reason, Timestamp};

use super::Harness;
use super::fixture::door;
use super::fixture::*;
use crate::queue::CancelFilter;
use crate::usage::{COARSE_S, FINE_FOR_S, FINE_S, UsageCounts, span_of};
use crate::{AcceptError, NewMessage, Recorded, SharedStore};

type Found = BTreeMap<(Timestamp, EventTypeName), UsageCounts>;

const DEAD: DeliveryState = DeliveryState::Dead { reason: Reason::RetriesExhausted };
const CANCELED: DeliveryState = DeliveryState::Canceled { reason: Reason::EndpointDisabled };

/// The beginning of the span of a time.
fn span(time: Timestamp, span_s: u64) -> Timestamp {
    Timestamp::from_unix_ms(span_of(time, span_s) * span_s * 1000)
}

fn event_type(name: &str) -> EventTypeName {
    EventTypeName::parse(name).unwrap()
}

fn of_type(scene: &Scene, name: &str) -> NewMessage {
    let content = MessageContent { event_type: event_type(name), ..content(&scene.endpoints) };
    NewMessage { application: scene.application, content, idempotency_key: None }
}

async fn usage(store: &SharedStore, application: ApplicationId, since: Timestamp, until: Timestamp) -> Found {
    let usage = store.usage(application, since, until).await.unwrap();
    assert!(usage.is_sorted_by_key(|one| one.at), "oldest first");
    assert!(usage.iter().all(|one| !one.counts.is_nothing()), "{usage:?}");
    let count = usage.len();
    let found: Found = usage.into_iter().map(|one| ((one.at, one.event_type), one.counts)).collect();
    assert_eq!(found.len(), count, "each span and event type once");
    found
}

/// All that is there.
async fn all(store: &SharedStore, application: ApplicationId) -> Found {
    usage(store, application, Timestamp::ZERO, Timestamp::MAX).await
}

fn expected<const N: usize>(spans: [(Timestamp, &str, UsageCounts); N]) -> Found {
    spans.into_iter().map(|(at, name, counts)| ((at, event_type(name)), counts)).collect()
}

pub async fn what_is_sent_is_counted_by_event_type(harness: &mut dyn Harness) {
    let (one, other) = (scene(harness.store(), 2).await, scene(harness.store(), 1).await);
    let time = span(NOW, FINE_S);
    let paid = accept_leased(harness, of_type(&one, "paid"), time).await;
    let records =
        vec![tried(&paid[0], 200, DeliveryState::Delivered, time), tried(&paid[1], 500, DeliveryState::Waiting { at: time }, time)];
    record(harness.store(), records, time).await;
    let again = claim(harness.store(), one.endpoints[1], time).await.deliveries.remove(0);
    record_one(harness.store(), tried(&again, 404, DEAD, time), time).await;
    let made = accept_leased(harness, of_type(&one, "made"), time).await;
    let records = vec![ended(&made[0], CANCELED), ended(&made[1], DEAD)];
    record(harness.store(), records, time).await;
    // To nobody.
    accept(harness.store(), new_message(one.application, &[]), time).await;
    accept_leased(harness, of_type(&other, "paid"), time).await;

    let counts = [
        (time, "paid", UsageCounts { messages: 1, deliveries: 2, success: 1, failure: 2, canceled: 0 }),
        (time, "made", UsageCounts { messages: 1, deliveries: 2, canceled: 1, ..UsageCounts::default() }),
        (time, "order.paid", UsageCounts { messages: 1, ..UsageCounts::default() }),
    ];
    for _ in 0..3 {
        let store = harness.store();
        assert_eq!(all(store, one.application).await, expected(counts));
        let of_other = UsageCounts { messages: 1, deliveries: 1, ..UsageCounts::default() };
        assert_eq!(all(store, other.application).await, expected([(time, "paid", of_other)]));
        assert_eq!(all(store, ApplicationId::from_row(store.new_row_id(NOW))).await, Found::new());
        harness.reopen().await;
    }
}

pub async fn attempts_count_when_they_are_recorded(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let (early, late) = (span(NOW, FINE_S), span(NOW, FINE_S) + Duration::from_secs(2 * FINE_S));
    let leased = accept_leased(harness, of_type(&scene, "a"), early).await.remove(0);
    let delivered = tried(&leased, 200, DeliveryState::Delivered, late);
    record_one(harness.store(), delivered.clone(), late).await;
    // The lease is gone: it counts for nothing.
    assert_eq!(record_one(harness.store(), delivered, late).await, Recorded::LeaseLost);
    // Called off by hand: one that waits, and of one that is delivered an attempt that was asked for.
    accept_backlog(harness, of_type(&scene, "a"), early).await;
    harness.store().send_again(vec![leased.key], late).await.unwrap();
    let canceled = harness.store().cancel(scene.endpoints[0], CancelFilter::default(), Reason::CanceledByUser, 9, late).await.unwrap();
    assert_eq!(canceled.count, 2);
    let counts = [
        (early, "a", UsageCounts { messages: 2, deliveries: 2, ..UsageCounts::default() }),
        (late, "a", UsageCounts { success: 1, canceled: 1, ..UsageCounts::default() }),
    ];
    for _ in 0..2 {
        assert_eq!(all(harness.store(), scene.application).await, expected(counts));
        harness.reopen().await;
    }
}

pub async fn usage_has_a_window(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let begin = span(NOW, FINE_S);
    let times = [0, 1, 2, 3].map(|index| begin + Duration::from_secs(index * FINE_S));
    for time in times {
        // In the middle of its span, and at its very end.
        accept(harness.store(), of_type(&scene, "a"), time + Duration::from_secs(9)).await;
        accept(harness.store(), of_type(&scene, "a"), time + Duration::from_secs(FINE_S) - Duration::from_millis(1)).await;
    }
    let two = UsageCounts { messages: 2, ..UsageCounts::default() };
    for _ in 0..2 {
        let store = harness.store();
        let check = async |since: Timestamp, until: Timestamp, spans: &[usize]| {
            let found = usage(store, scene.application, since, until).await;
            let expected: Found = spans.iter().map(|index| ((times[*index], event_type("a")), two)).collect();
            assert_eq!(found, expected, "{since:?} to {until:?}");
        };
        check(Timestamp::ZERO, Timestamp::MAX, &[0, 1, 2, 3]).await;
        check(times[1], times[3], &[1, 2]).await;
        check(times[1] + Duration::from_millis(1), times[3] + Duration::from_millis(1), &[2, 3]).await;
        check(times[2], times[2], &[]).await;
        check(times[3], times[0], &[]).await;
        harness.reopen().await;
    }
}

pub async fn what_makes_no_message_counts_for_nothing(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let source = door::source_of(harness.store(), &scene).await.id;
    let store = harness.store();
    let repeated = NewMessage { idempotency_key: key(1), ..of_type(&scene, "key") };
    let once = door::genuine(source, of_type(&scene, "event"), door::once(1, DAY));
    let content = MessageContent { event_id: uid("e-1"), ..of_type(&scene, "id").content };
    let named = NewMessage { content, ..of_type(&scene, "id") };
    for round in 0..3 {
        assert_eq!(accept(store, repeated.clone(), NOW).await.repeated, round > 0);
        door::receive(store, once.clone(), NOW).await;
        let accepted = store.accept(named.clone(), NOW).await;
        assert_eq!(accepted.err(), (round > 0).then_some(AcceptError::DuplicateEventId));
    }
    door::receive(store, door::settled(source, door::rejected("expired"), b"late"), NOW).await;
    let one = UsageCounts { messages: 1, ..UsageCounts::default() };
    let time = span(NOW, FINE_S);
    for _ in 0..2 {
        assert_eq!(all(harness.store(), scene.application).await, expected([(time, "key", one), (time, "event", one), (time, "id", one)]));
        harness.reopen().await;
    }
}

/// How it is told apart then is up to the store; no number is lost.
pub async fn old_usage_is_exact_by_the_hour(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 1).await;
    let hour = span(NOW, COARSE_S);
    let minutes = |minutes: u64| hour + Duration::from_secs(60 * minutes);
    for minute in [0, 7, 33, 59, 60, 61, 119] {
        let leased = accept_leased(harness, of_type(&scene, "a"), minutes(minute)).await.remove(0);
        record_one(harness.store(), tried(&leased, 200, DeliveryState::Delivered, minutes(minute)), minutes(minute)).await;
    }
    let later = minutes(0) + Duration::from_secs(FINE_FOR_S + 3 * COARSE_S);
    let young = span(later, FINE_S);
    accept_leased(harness, of_type(&scene, "a"), young).await;
    let of = |count| UsageCounts { messages: count, deliveries: count, success: count, ..UsageCounts::default() };
    for round in 0..3 {
        let store = harness.store();
        let mut by_hour = [UsageCounts::default(); 2];
        for (index, sum) in by_hour.iter_mut().enumerate() {
            let begin = minutes(60 * index as u64);
            let found = usage(store, scene.application, begin, begin + Duration::from_secs(COARSE_S)).await;
            found.values().for_each(|counts| sum.add(*counts));
        }
        assert_eq!(by_hour, [of(4), of(3)], "round {round}");
        let found = usage(store, scene.application, young, Timestamp::MAX).await;
        assert_eq!(found, expected([(young, "a", UsageCounts { success: 0, ..of(1) })]), "what is young stays fine");
        if round == 1 {
            harness.reopen().await;
        } else {
            forget_all(store, 30 * DAY, later).await;
        }
    }
    // What comes late, by a clock that was behind, counts where it belongs.
    accept(harness.store(), of_type(&scene, "a"), minutes(90)).await;
    forget_all(harness.store(), 30 * DAY, later + Duration::from_secs(COARSE_S)).await;
    let mut sum = UsageCounts::default();
    usage(harness.store(), scene.application, minutes(60), minutes(120)).await.values().for_each(|counts| sum.add(*counts));
    assert_eq!(sum, UsageCounts { success: 3, ..of(4) });
}

pub async fn old_usage_is_forgotten(harness: &mut dyn Harness) {
    let scene = scene(harness.store(), 0).await;
    let hour = span(NOW, COARSE_S);
    let (old, young) = (hour, hour + Duration::from_secs(5 * COARSE_S));
    accept(harness.store(), of_type(&scene, "a"), old).await;
    accept(harness.store(), of_type(&scene, "a"), young).await;
    let one = UsageCounts { messages: 1, ..UsageCounts::default() };
    let both = expected([(old, "a", one), (young, "a", one)]);
    forget_all(harness.store(), DAY, old + DAY).await;
    assert_eq!(all(harness.store(), scene.application).await, both, "it is kept as long as its hour");
    forget_all(harness.store(), DAY, young + DAY).await;
    for _ in 0..2 {
        assert_eq!(all(harness.store(), scene.application).await, expected([(young, "a", one)]));
        harness.reopen().await;
    }
}
