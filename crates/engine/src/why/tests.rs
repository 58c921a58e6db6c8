use bytes::Bytes;
use hookpost_domain::application::Metadata;
use hookpost_domain::delivery::{Progress, ResponseRecord, TransportErrorKind, Trigger};
use hookpost_domain::health::Health;
use hookpost_domain::message::{MessageContent, PayloadType, Routing, Skip};
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{ApplicationId, Channel, DeliveryKey, EndpointId, EventTypeName, EventTypePattern, RowId, SigningSecret};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_045_000);

fn seconds(from_now: i64) -> Timestamp {
    Timestamp::from_unix_ms(NOW.unix_ms().saturating_add_signed(from_now * 1000))
}

fn message() -> Message {
    let content = MessageContent {
        event_type: EventTypeName::parse("invoice.paid").unwrap(),
        event_id: None,
        channels: vec![],
        tags: vec![],
        payload: Some(Bytes::from_static(b"{}")),
        content_type: PayloadType::Json,
        headers: Vec::new(),
        ordering_key: None,
        payload_expires_at: Timestamp::MAX,
        deliver_at: None,
        routing: Routing::default(),
    };
    Message {
        id: hookpost_domain::MessageId::from_row(RowId::first_at(seconds(-60))),
        application: app(),
        content,
        created_at: seconds(-60),
    }
}

fn app() -> ApplicationId {
    ApplicationId::from_row(RowId::from_raw(1))
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_row(RowId::from_raw(2)),
        application: app(),
        uid: None,
        url: "https://example.com".into(),
        description: String::new(),
        version: 1,
        disabled: Disabled::No,
        event_types: None,
        channels: None,
        throttle_rate: None,
        concurrency: None,
        ordered: false,
        retry_schedule: None,
        headers: vec![],
        secrets: EndpointSecrets::new(SigningSecret::Hmac256(vec![1; 24])),
        metadata: Metadata::new(),
        created_at: seconds(-3600),
        updated_at: seconds(-3600),
    }
}

fn attempt(number: u32, status_code: u16, body: &str) -> Attempt {
    Attempt {
        number,
        trigger: Trigger::Scheduled,
        started_at: seconds(-10),
        duration_ms: 12,
        url: "https://example.com".into(),
        signature: String::new(),
        outcome: AttemptOutcome::Response(ResponseRecord { status_code, headers: vec![], body: ResponseBody::Text(body.into()) }),
    }
}

/// What is asked, with everything usual filled in.
struct Case {
    message: Message,
    endpoint: Option<Endpoint>,
    state: Option<DeliveryState>,
    attempts: u32,
    last: Option<Attempt>,
    lane: LaneStatus,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            message: message(),
            endpoint: Some(endpoint()),
            state: None,
            attempts: 0,
            last: None,
            lane: LaneStatus { concurrency: 64, ..LaneStatus::default() },
        }
    }
}

impl Case {
    fn why(&self) -> Why {
        let delivery = self.state.map(|state| Delivery {
            key: DeliveryKey { message: self.message.id, endpoint: endpoint().id },
            state,
            progress: Progress { attempts: self.attempts, scheduled_attempts: self.attempts },
        });
        explain(Facts {
            message: &self.message,
            endpoint: self.endpoint.as_ref(),
            delivery: delivery.as_ref(),
            last_attempt: self.last.as_ref(),
            schedule: &RetrySchedule::default(),
            lane: self.lane,
            now: NOW,
            ids: &PublicIds::new([7; 16]),
        })
    }
}

#[track_caller]
fn check(case: &Case, code: &str, explanation: &str) {
    let why = case.why();
    assert_eq!((why.code(), why.explanation.as_str()), (code, explanation));
}

fn skipped(reason: Reason, endpoint: Endpoint) -> Case {
    let mut case = Case { endpoint: Some(endpoint), ..Case::default() };
    case.message.content.routing.skips = vec![Skip { endpoint: self::endpoint().id, reason }];
    case
}

fn wanting(event_types: &[&str], channels: Option<&str>) -> Endpoint {
    let event_types = (!event_types.is_empty()).then(|| event_types.iter().map(|one| EventTypePattern::parse(one).unwrap()).collect());
    Endpoint { event_types, channels: channels.map(|one| vec![Channel::parse(one).unwrap()]), ..endpoint() }
}

#[test]
fn not_routed() {
    let types = ["invoice.sent", "order.*", "user.new", "user.gone"];
    check(
        &skipped(Reason::EventTypeNotSubscribed, wanting(&types, None)),
        "event_type_not_subscribed",
        "The endpoint is not subscribed to `invoice.paid`: it takes `invoice.sent`, `order.*`, `user.new` and 1 more.",
    );
    // No stored reason: worked out again.
    check(
        &Case { endpoint: Some(wanting(&["user.new"], None)), ..Case::default() },
        "event_type_not_subscribed",
        "The endpoint is not subscribed to `invoice.paid`: it takes `user.new`.",
    );
    check(
        &Case { endpoint: Some(Endpoint { updated_at: seconds(-5), ..wanting(&["user.new"], None) }), ..Case::default() },
        "event_type_not_subscribed",
        "The endpoint is not subscribed to `invoice.paid`: it takes `user.new`. That is how it is configured now; it was changed at 2026-01-02T03:04:00.000000Z, after the message.",
    );
    check(
        &skipped(Reason::EventTypeNotSubscribed, Endpoint { updated_at: seconds(-5), ..endpoint() }),
        "event_type_not_subscribed",
        "The endpoint was not subscribed to `invoice.paid`. It was changed since (at 2026-01-02T03:04:00.000000Z), and would take the message today.",
    );
    check(
        &skipped(Reason::ChannelNotSubscribed, wanting(&[], Some("eu"))),
        "channel_not_subscribed",
        "The endpoint takes only messages with one of its channels (`eu`); this one has none.",
    );
    check(&skipped(Reason::EndpointDisabled, endpoint()), "endpoint_disabled", "The endpoint was disabled when the message was accepted.");
    check(
        &Case { endpoint: Some(Endpoint { created_at: seconds(-5), updated_at: seconds(-5), ..endpoint() }), ..Case::default() },
        "endpoint_created_later",
        "The endpoint was created at 2026-01-02T03:04:00.000000Z, after the message was accepted at 2026-01-02T03:03:05.000000Z.",
    );
    check(
        &Case { endpoint: Some(Endpoint { updated_at: seconds(-5), ..endpoint() }), ..Case::default() },
        "not_routed",
        "The message was not routed to this endpoint when it was accepted. It was changed since (at 2026-01-02T03:04:00.000000Z), and would take the message today.",
    );
    check(
        &Case { endpoint: None, ..Case::default() },
        "endpoint_deleted",
        "The endpoint was deleted, and the message had not been routed to it.",
    );
}

#[test]
fn ended() {
    let dead = |reason| Some(DeliveryState::Dead { reason });
    check(
        &Case { state: Some(DeliveryState::Delivered), last: Some(attempt(2, 200, "")), attempts: 2, ..Case::default() },
        "delivered",
        "Delivered: attempt 2 at 2026-01-02T03:03:55.000000Z was answered with 200 after 12 ms.",
    );
    check(
        &Case { state: dead(Reason::RetriesExhausted), last: Some(attempt(8, 503, "over\n  loaded")), attempts: 8, ..Case::default() },
        "retries_exhausted",
        "All 8 attempts failed; the last one failed with status 503 (\"over loaded\"). No more are scheduled.",
    );
    check(
        &Case { state: dead(Reason::RetriesExhausted), last: Some(attempt(1, 500, "")), attempts: 1, ..Case::default() },
        "retries_exhausted",
        "The only attempt failed with status 500. No more are scheduled.",
    );
    check(
        &Case { state: dead(Reason::ReceiverRefused), last: Some(attempt(1, 410, "")), attempts: 1, ..Case::default() },
        "receiver_refused",
        "Given up after attempt 1, which failed with status 410: the answer says that a retry is useless.",
    );
    let canceled = |reason| Some(DeliveryState::Canceled { reason });
    let disabled = Endpoint { disabled: Disabled::Automatically { failing_since: Some(seconds(-7)) }, ..endpoint() };
    check(
        &Case { state: canceled(Reason::EndpointDisabled), endpoint: Some(disabled), ..Case::default() },
        "endpoint_disabled",
        "The endpoint had been failing since 2026-01-02T03:03:58.000000Z and was disabled when its turn came.",
    );
    check(
        &Case { state: canceled(Reason::CanceledByUser), ..Case::default() },
        "canceled_by_user",
        "It was canceled before it was delivered.",
    );
}

#[test]
fn still_waiting() {
    let refused = Attempt {
        outcome: AttemptOutcome::Error { kind: TransportErrorKind::Connect, message: "the connection was refused".into() },
        ..attempt(3, 0, "")
    };
    let waiting = |from_now| Some(DeliveryState::Waiting { at: seconds(from_now) });
    let lane = LaneStatus { concurrency: 64, ..LaneStatus::default() };
    check(
        &Case { state: waiting(60), last: Some(refused.clone()), attempts: 3, ..Case::default() },
        "retry_scheduled",
        "Attempt 3 of 8 failed: the connection was refused; the next one is at 2026-01-02T03:05:05.000000Z.",
    );
    check(&Case { state: waiting(60), ..Case::default() }, "not_yet_due", "The message is to be delivered at 2026-01-02T03:05:05.000000Z.");
    let health = Health {
        failing_since: Some(seconds(-30)),
        consecutive_failures: 21,
        warned: false,
        circuit: Circuit::Open { until: seconds(5), cool_down_ms: 5000 },
    };
    check(
        &Case { state: waiting(-1), last: Some(refused), attempts: 3, lane: LaneStatus { health, ..lane }, ..Case::default() },
        "circuit_open",
        "Attempt 3 of 8 failed: the connection was refused. The endpoint failed 21 times in a row since 2026-01-02T03:03:35.000000Z and is given a rest until 2026-01-02T03:04:10.000000Z; then one delivery is tried.",
    );
    let pending = Some(DeliveryState::Pending);
    let slow = Endpoint { throttle_rate: Some(5), ..endpoint() };
    let throttled = LaneStatus { throttled_until: Some(seconds(1)), ..lane };
    check(
        &Case { state: pending, endpoint: Some(slow), lane: throttled, ..Case::default() },
        "throttled",
        "It was not attempted yet. The endpoint is throttled to 5 deliveries a second; the next one goes at 2026-01-02T03:04:06.000000Z.",
    );
    let older = hookpost_domain::MessageId::from_row(RowId::first_at(seconds(-100)));
    let case = Case { state: pending, lane: LaneStatus { held_by: Some(older), ..lane }, ..Case::default() };
    assert_eq!(case.why().code(), "waiting_for_order");
    let younger = hookpost_domain::MessageId::from_row(RowId::first_at(seconds(-1)));
    let case = Case { state: pending, lane: LaneStatus { held_by: Some(younger), ..lane }, ..Case::default() };
    assert_eq!(case.why().code(), "queued");
    check(
        &Case { state: pending, lane: LaneStatus { in_flight: 64, in_memory: 512, backlog: true, ..lane }, ..Case::default() },
        "queued",
        "It was not attempted yet; it waits for its turn or is under way: 64 of 64 attempts are in flight, 512 and more on disk wait.",
    );
}

/// Whatever is known, there is a sentence, and where it did not arrive a reason.
#[test]
fn there_is_always_an_answer() {
    use Reason::*;
    let reasons = [
        EventTypeNotSubscribed,
        ChannelNotSubscribed,
        EndpointDisabled,
        EndpointCreatedLater,
        NotRouted,
        RetriesExhausted,
        ReceiverRefused,
        EndpointDeleted,
        PayloadExpunged,
        CanceledByUser,
        NotYetDue,
        RetryScheduled,
        Throttled,
        CircuitOpen,
        WaitingForOrder,
        Queued,
    ];
    let mut states = vec![None, Some(DeliveryState::Pending), Some(DeliveryState::Delivered)];
    states.extend([-60, 60].map(|from_now| Some(DeliveryState::Waiting { at: seconds(from_now) })));
    states.extend(reasons.map(|reason| Some(DeliveryState::Dead { reason })));
    states.extend(reasons.map(|reason| Some(DeliveryState::Canceled { reason })));
    let disabled = Endpoint { disabled: Disabled::ByUser, ..endpoint() };
    let endpoints = [None, Some(endpoint()), Some(disabled), Some(wanting(&["x"], None)), Some(wanting(&[], Some("x")))];
    for state in states {
        for endpoint in &endpoints {
            for skip in reasons.map(Some).into_iter().chain([None]) {
                for last in [None, Some(attempt(1, 200, "")), Some(attempt(1, 500, "no"))] {
                    let mut case = skip.map_or_else(Case::default, |reason| skipped(reason, self::endpoint()));
                    case.endpoint.clone_from(endpoint);
                    (case.state, case.last, case.attempts) = (state, last.clone(), u32::from(last.is_some()));
                    let why = case.why();
                    assert!(why.explanation.ends_with('.') && why.explanation.len() > 8, "{}", why.explanation);
                    assert!(!why.explanation.contains(".."), "{}", why.explanation);
                    assert_eq!(why.reason.is_none(), state == Some(DeliveryState::Delivered));
                    let needs_advice = matches!(why.state, "dead" | "canceled" | "not_routed") && endpoint.is_some();
                    assert!(!needs_advice || why.advice.is_some(), "{why:?}");
                }
            }
        }
    }
}
