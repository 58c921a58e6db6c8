//! Builders for what the tests are about, and the few steps that most of them begin with.

pub mod door;

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::access::{KeyReach, Scope};
use hookpost_domain::application::Metadata;
use hookpost_domain::delivery::{AttemptOutcome, ResponseBody, ResponseRecord, Transition};
use hookpost_domain::endpoint::{CustomHeader, Disabled};
use hookpost_domain::message::{ForwardedHeader, PayloadType, Routing, Skip};
use hookpost_domain::secret::{EndpointSecrets, OldSecret};
use hookpost_domain::{
    ApiKey, ApiKeyId, Application, ApplicationId, Attempt, Channel, Delivery, DeliveryKey, DeliveryState, Endpoint, EndpointId, EventType,
    EventTypeId, EventTypeName, EventTypePattern, MessageContent, MessageId, OrgId, Progress, Reason, RetrySchedule, SigningSecret, Tag,
    Timestamp, Trigger, Uid,
};

use super::Harness;
use crate::history::{Forgotten, RetentionPolicy};
use crate::queue::ClaimRequest;
use crate::{Accepted, Claimed, Cursor, IdempotencyKey, LeasedDelivery, NewMessage, Order, PageRequest, Record, Recorded, SharedStore};

pub const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);
pub const DAY: Duration = Duration::from_secs(86_400);

pub fn at(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

pub fn org(letter: char) -> OrgId {
    OrgId::parse(&format!("org_{}", letter.to_string().repeat(27))).expect("a tenant's id")
}

pub fn uid(text: &str) -> Option<Uid> {
    Some(Uid::parse(text).expect("a uid"))
}

/// Messages and receipts are kept for as long.
pub fn policy(kept: Duration) -> RetentionPolicy {
    RetentionPolicy { rows: kept, receipts: kept }
}

pub fn key(byte: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey([byte; 16]))
}

pub fn new_application(store: &SharedStore, org: OrgId) -> Application {
    Application {
        id: ApplicationId::from_row(store.new_row_id(NOW)),
        org,
        uid: None,
        name: "Acme & Söhne".into(),
        throttle_rate: Some(7),
        metadata: Metadata::from([("plan".into(), "gold".into())]),
        created_at: NOW,
        updated_at: NOW,
    }
}

/// Has something in every field, so that a store which forgets one is found out.
pub fn new_endpoint(store: &SharedStore, application: ApplicationId) -> Endpoint {
    Endpoint {
        id: EndpointId::from_row(store.new_row_id(NOW)),
        application,
        uid: None,
        url: "https://ada:pw@example.com/hook?x=1".into(),
        description: "first\nsecond".into(),
        version: 3,
        disabled: Disabled::No,
        event_types: Some(vec![
            EventTypePattern::parse("order.*").expect("a pattern"),
            EventTypePattern::parse("user.new").expect("a name"),
        ]),
        channels: Some(vec![Channel::parse("project:1").expect("a channel")]),
        throttle_rate: Some(50),
        concurrency: Some(4),
        ordered: true,
        retry_schedule: Some(RetrySchedule { waits_ms: vec![5, 50], client_errors_are_final: true }),
        headers: vec![CustomHeader { name: "X-Key".into(), value: "secret".into() }],
        secrets: EndpointSecrets {
            current: SigningSecret::Hmac256(vec![1; 24]),
            old: vec![OldSecret { secret: SigningSecret::Ed25519 { seed: [2; 32], public: [3; 32] }, expires_at: at(60) }],
        },
        metadata: Metadata::from([("a".into(), "b".into())]),
        created_at: NOW,
        updated_at: NOW,
    }
}

pub fn new_event_type(store: &SharedStore, org: OrgId, name: &str) -> EventType {
    EventType {
        id: EventTypeId::from_row(store.new_row_id(NOW)),
        org,
        name: EventTypeName::parse(name).expect("a name"),
        description: "An order.".into(),
        archived: false,
        deprecated: true,
        schemas: Some(r#"{"1":{"type":"object"}}"#.into()),
        group_name: Some("orders".into()),
        feature_flags: vec!["beta".into()],
        retry_schedule: Some(RetrySchedule::default()),
        created_at: NOW,
        updated_at: NOW,
    }
}

pub fn new_api_key(store: &SharedStore, org: OrgId, byte: u8) -> ApiKey {
    ApiKey {
        id: ApiKeyId::from_row(store.new_row_id(NOW)),
        org,
        name: format!("key {byte}"),
        key_sha256: [byte; 32],
        hint: "hp_abc".into(),
        scopes: vec![Scope::Send, Scope::Read],
        reach: KeyReach::default(),
        expires_at: Some(at(3600)),
        created_at: NOW,
    }
}

pub fn content(targets: &[EndpointId]) -> MessageContent {
    MessageContent {
        event_type: EventTypeName::parse("order.paid").expect("a name"),
        event_id: None,
        channels: vec![],
        tags: vec![],
        payload: Some(Bytes::from_static(br#"{"n": 1.50}"#)),
        content_type: PayloadType::Json,
        headers: Vec::new(),
        ordering_key: None,
        payload_expires_at: NOW + 30 * DAY,
        deliver_at: None,
        routing: Routing { targets: targets.iter().copied().collect(), skips: vec![] },
    }
}

/// Has something in every field.
pub fn full_content(targets: &[EndpointId], skipped: EndpointId) -> MessageContent {
    MessageContent {
        event_id: uid("e-1"),
        channels: vec![Channel::parse("a").expect("a channel"), Channel::parse("b:c").expect("a channel")],
        tags: vec![Tag::parse("red").expect("a tag")],
        payload: Some(Bytes::from_static(b"\0\xff not JSON")),
        content_type: PayloadType::Other("application/octet-stream".into()),
        headers: vec![
            ForwardedHeader { name: "X-GitHub-Event".into(), value: Bytes::from_static(b"push") },
            ForwardedHeader { name: "x-raw".into(), value: Bytes::from_static(b"\xe9") },
        ],
        ordering_key: Some("customer 7".into()),
        routing: Routing {
            targets: targets.iter().copied().collect(),
            skips: vec![Skip { endpoint: skipped, reason: Reason::ChannelNotSubscribed }],
        },
        ..content(&[])
    }
}

pub fn new_message(application: ApplicationId, targets: &[EndpointId]) -> NewMessage {
    NewMessage { application, content: content(targets), idempotency_key: None }
}

/// An application of tenant `a` with endpoints.
#[derive(Debug)]
pub struct Scene {
    pub application: ApplicationId,
    pub endpoints: Vec<EndpointId>,
}

pub async fn scene(store: &SharedStore, endpoints: usize) -> Scene {
    let application = new_application(store, org('a'));
    let id = application.id;
    store.create_application(application).await.expect("a new application");
    let mut scene = Scene { application: id, endpoints: Vec::new() };
    for _ in 0..endpoints {
        let endpoint = new_endpoint(store, id);
        scene.endpoints.push(endpoint.id);
        store.create_endpoint(endpoint).await.expect("a new endpoint");
    }
    scene
}

impl Scene {
    pub fn message(&self) -> NewMessage {
        new_message(self.application, &self.endpoints)
    }
}

pub async fn accept(store: &SharedStore, message: NewMessage, now: Timestamp) -> Accepted {
    store.accept(message, now).await.expect("accepted")
}

/// Accepts, and takes what is handed over for it, which must be everything it was routed to.
pub async fn accept_leased(harness: &mut dyn Harness, message: NewMessage, now: Timestamp) -> Vec<LeasedDelivery> {
    let targets = message.content.routing.targets.len();
    let accepted = accept(harness.store(), message, now).await;
    let group = next_group(harness).await;
    assert!(group.len() == targets && group.iter().all(|delivery| delivery.key.message == accepted.id), "{group:?}");
    group
}

/// Leaves the deliveries of a new message as backlog.
pub async fn accept_backlog(harness: &mut dyn Harness, message: NewMessage, now: Timestamp) -> MessageId {
    let leased = accept_leased(harness, message, now).await;
    harness.store().release(leased.iter().map(|delivery| (delivery.key, delivery.lease)).collect()).await.expect("released");
    leased[0].key.message
}

/// The next group that the store hands over. The limit only ends a test that would hang.
pub async fn next_group(harness: &mut dyn Harness) -> Vec<LeasedDelivery> {
    let group = tokio::time::timeout(Duration::from_secs(20), harness.ready().recv()).await;
    group.expect("a group is handed over").expect("the store is open")
}

/// Groups come in the order of the commits: if the next one is that of a message to a new endpoint, there was none before.
pub async fn assert_nothing_was_handed_over(harness: &mut dyn Harness) {
    let witness = scene(harness.store(), 1).await;
    let message = accept(harness.store(), witness.message(), NOW).await;
    let group = next_group(harness).await;
    assert!(group.len() == 1 && group[0].key.message == message.id, "something was handed over: {group:?}");
    // So that it does not count as backlog.
    let record = ended(&group[0], DeliveryState::Delivered);
    assert_eq!(record_one(harness.store(), record, NOW).await, Recorded::Done { attempt: None });
}

pub async fn claim(store: &SharedStore, endpoint: EndpointId, now: Timestamp) -> Claimed {
    store.claim(ClaimRequest { endpoint, limit: 1000, bytes_max: usize::MAX, ordered: false }, now).await.expect("claimed")
}

pub fn messages_of(claimed: &Claimed) -> Vec<MessageId> {
    claimed.deliveries.iter().map(|delivery| delivery.key.message).collect()
}

pub fn attempt(leased: &LeasedDelivery, status_code: u16, started_at: Timestamp) -> Attempt {
    Attempt {
        number: leased.progress.attempts + 1,
        trigger: leased.trigger,
        started_at,
        duration_ms: 12,
        url: "https://example.com/hook".into(),
        signature: "v1,abc".into(),
        outcome: AttemptOutcome::Response(ResponseRecord {
            status_code,
            headers: vec![("content-type".into(), "text/plain".into())],
            body: ResponseBody::Text("thanks".into()),
        }),
    }
}

/// An attempt that led to `state`.
pub fn tried(leased: &LeasedDelivery, status_code: u16, state: DeliveryState, now: Timestamp) -> Record {
    let progress = Progress {
        attempts: leased.progress.attempts + 1,
        scheduled_attempts: leased.progress.scheduled_attempts + u32::from(leased.trigger == Trigger::Scheduled),
    };
    Record { attempt: Some(attempt(leased, status_code, now)), transition: Transition { state, progress }, ..ended(leased, state) }
}

/// An end without a try.
pub fn ended(leased: &LeasedDelivery, state: DeliveryState) -> Record {
    Record {
        key: leased.key,
        lease: leased.lease,
        application: leased.application,
        event_type: leased.message.content.event_type.clone(),
        trigger: leased.trigger,
        attempt: None,
        transition: Transition { state, progress: leased.progress },
        health: None,
    }
}

pub async fn record(store: &SharedStore, records: Vec<Record>, now: Timestamp) -> Vec<Recorded> {
    store.record(std::sync::Arc::new(records), now).await.expect("recorded")
}

pub async fn record_one(store: &SharedStore, one: Record, now: Timestamp) -> Recorded {
    record(store, vec![one], now).await[0]
}

pub async fn delivery(store: &SharedStore, message: MessageId, endpoint: EndpointId) -> Delivery {
    store.delivery(DeliveryKey { message, endpoint }).await.expect("available").expect("a delivery")
}

pub async fn state_of(store: &SharedStore, key: DeliveryKey) -> DeliveryState {
    delivery(store, key.message, key.endpoint).await.state
}

/// Lets the store forget until it says that nothing is left.
pub async fn forget_all(store: &SharedStore, rows: Duration, now: Timestamp) -> (u64, u64) {
    let (mut messages, mut payloads) = (0, 0);
    for _ in 0..1000 {
        let Forgotten { messages: m, payloads: p, more, .. } = store.forget(policy(rows), now).await.expect("available");
        (messages, payloads) = (messages + m, payloads + p);
        if !more {
            return (messages, payloads);
        }
    }
    panic!("forgetting comes to no end");
}

/// Asks for every page there can be of a list and compares; `more_cursors` are items that do not exist any more.
pub async fn check_pages<C: Ord + Clone + std::fmt::Debug>(
    ascending: &[C],
    more_cursors: &[C],
    list: impl AsyncFn(PageRequest<C>) -> (Vec<C>, bool),
) {
    assert!(ascending.is_sorted() && ascending.len() > 3, "a list worth paging");
    let all = ascending.iter().chain(more_cursors).cloned();
    let cursors: Vec<_> = all.flat_map(|item| [Some(Cursor::After(item.clone())), Some(Cursor::Before(item))]).chain([None]).collect();
    for order in [Order::Ascending, Order::Descending] {
        for limit in 1..=ascending.len() + 1 {
            for cursor in &cursors {
                // What lies in the direction of the cursor, nearest first.
                let mut beyond: Vec<C> = match (cursor, order) {
                    (None, _) => ascending.to_vec(),
                    (Some(Cursor::After(c)), Order::Ascending) | (Some(Cursor::Before(c)), Order::Descending) => {
                        ascending.iter().filter(|item| *item > c).cloned().collect()
                    }
                    (Some(Cursor::Before(c)), Order::Ascending) | (Some(Cursor::After(c)), Order::Descending) => {
                        ascending.iter().filter(|item| *item < c).cloned().collect()
                    }
                };
                let backwards = matches!(cursor, Some(Cursor::Before(_)));
                if (order == Order::Descending) != backwards {
                    beyond.reverse();
                }
                let done = beyond.len() <= limit;
                beyond.truncate(limit);
                if backwards {
                    beyond.reverse();
                }
                let page = list(PageRequest { limit, order, cursor: cursor.clone() }).await;
                assert_eq!(page, (beyond, done), "{order:?}, {limit} from {cursor:?}");
            }
        }
    }
}
