//! One delivery: what is sent, what is recorded, when it is tried again, and when not.

use std::time::Duration;

use hookpost_domain::delivery::{AttemptOutcome, DeliveryState, ResponseBody, TransportErrorKind};
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::message::ForwardedHeader;
use hookpost_domain::{EventType, EventTypeId, EventTypeName, OrgId, Reason};
use hookpost_store::Store;

use crate::world::{Reply, World, schedule};

#[tokio::test(start_paused = true)]
async fn a_message_goes_to_every_endpoint_at_once_and_is_recorded() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoints = [world.endpoint(app, "a").await, world.endpoint(app, "b").await];
    world.script(|_| Reply::status(202).header("x-trace", "7"));
    let message = world.send(app).await;
    world.settle(1).await;

    for (endpoint, path) in endpoints.into_iter().zip(["a", "b"]) {
        let sent = world.sent_to(path);
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].attempt, sent[0].trigger.as_str(), sent[0].will_retry_after), (1, "scheduled", Some(5)));
        assert_eq!(&*sent[0].body, br#"{"n": 1.50}"#);
        assert!(sent[0].at_ms <= 2, "the first attempt waits for no poll");
        assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered);
        let attempts = world.attempts(message, endpoint).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].duration_ms, 1);
        assert_eq!(attempts[0].url, format!("http://receiver.test/{path}"));
        let AttemptOutcome::Response(response) = &attempts[0].outcome else { panic!("{:?}", attempts[0].outcome) };
        assert_eq!((response.status_code, &response.body), (202, &ResponseBody::Text("thanks".into())));
        assert_eq!(response.headers, [("x-trace".to_owned(), "7".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_with_a_message_from_outside_goes_on_with_it() {
    let world = World::new().await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world
        .send_with(app, "order.paid", |content| {
            let header = |name: &str, value: &'static [u8]| ForwardedHeader { name: name.to_owned(), value: value.into() };
            content.headers = vec![header("X-GitHub-Event", b"push"), header("webhook-id", b"forged")];
            content.ordering_key = Some("customer 7".to_owned());
        })
        .await;
    world.settle(1).await;
    let sent = world.sent_to("a").remove(0);
    let header = |name: &str| sent.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!((header("x-github-event"), header("hookpost-ordering-key")), (Some("push"), Some("customer 7")));
    assert!(header("webhook-id").is_some_and(|id| id.starts_with("msg_")));
}

#[tokio::test(start_paused = true)]
async fn retries_come_at_their_time_to_the_millisecond() {
    let world = World::with(|settings| settings.retry_schedule = schedule("200ms,1s,1m").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(500));
    let message = world.send(app).await;
    world.settle(100).await;

    let sent = world.sent();
    assert_eq!(sent.iter().map(|sent| sent.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(sent.iter().map(|sent| sent.will_retry_after).collect::<Vec<_>>(), [Some(1), Some(1), Some(60), None]);
    let attempts = world.attempts(message, endpoint).await;
    for (pair, wait_ms) in sent.windows(2).zip([200.0, 1000.0, 60_000.0]) {
        // An attempt takes a millisecond.
        let gap = (pair[1].at_ms - pair[0].at_ms - 1) as f64;
        assert!(gap >= wait_ms * 0.8 && gap <= wait_ms * 1.2 + 4.0, "{gap} for {wait_ms}");
    }
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Dead { reason: Reason::RetriesExhausted });
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_exact_after_its_time_was_written() {
    let world = World::with(|settings| settings.retry_schedule = schedule("200ms").unwrap()).await;
    world.faults.lock().latency = Duration::from_millis(1);
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.attempt == 1 { 500 } else { 200 }));
    let message = world.send(app).await;
    world.pass(20).await;
    let DeliveryState::Waiting { at } = world.state(message, endpoint).await else { panic!("it waits") };
    let due_ms = world.elapsed_ms() + at.since(world.now()).as_millis() as u64;
    world.settle(2).await;
    let second = world.sent()[1].at_ms;
    assert!(second >= due_ms && second <= due_ms + 4, "due at {due_ms}, sent at {second}");
}

#[tokio::test(start_paused = true)]
async fn the_schedule_is_the_endpoints_then_the_event_types_then_the_default() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    let app = world.application().await;
    world.endpoint(app, "default").await;
    world.endpoint_with(app, "own", |endpoint| endpoint.retry_schedule = schedule("2s")).await;
    let now = world.now();
    let event_type = EventType {
        id: EventTypeId::from_row(world.store.new_row_id(now)),
        org: OrgId::parse(OrgId::DEFAULT).unwrap(),
        name: EventTypeName::parse("fast").unwrap(),
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: None,
        group_name: None,
        feature_flags: Vec::new(),
        retry_schedule: schedule("10s,10s"),
        created_at: now,
        updated_at: now,
    };
    world.shared().create_event_type(event_type).await.unwrap();
    world.send_with(app, "fast", |_| {}).await;
    world.send_with(app, "slow", |_| {}).await;
    world.pass(100).await;
    let announced = |path: &str| world.sent_to(path).iter().map(|sent| sent.will_retry_after.unwrap()).collect::<Vec<_>>();
    assert_eq!(announced("default"), [10, 3600]);
    assert_eq!(announced("own"), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_moves_an_attempt_later_and_never_earlier() {
    for (asked, at_least_ms, at_most_ms) in [("0", 800, 1210), ("5", 5000, 5010), ("100000", 9_000, 13_000)] {
        let world = World::with(|settings| settings.retry_schedule = schedule("1s,10s").unwrap()).await;
        let app = world.application().await;
        world.endpoint(app, "a").await;
        world.script(move |sent| if sent.attempt == 1 { Reply::status(500).header("retry-after", asked) } else { Reply::status(200) });
        world.send(app).await;
        world.settle(20).await;
        let sent = world.sent();
        let gap = sent[1].at_ms - sent[0].at_ms;
        assert!(gap >= at_least_ms && gap <= at_most_ms, "Retry-After: {asked} gave {gap} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn final_answers_are_final() {
    for (reply, disables) in [(Reply::status(400).header("webhook-delivery", "abort-message"), false), (Reply::status(410), true)] {
        let world = World::new().await;
        let app = world.application().await;
        let endpoint = world.endpoint(app, "a").await;
        world.script(move |_| reply.clone());
        let message = world.send(app).await;
        world.settle(1).await;
        assert_eq!(world.state(message, endpoint).await, DeliveryState::Dead { reason: Reason::ReceiverRefused });
        assert_eq!(world.read_endpoint(app, endpoint).await.disabled.is_disabled(), disables);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_is_a_failure_after_the_time_out() {
    let world = World::with(|settings| settings.request_timeout = Duration::from_secs(3)).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| if sent.attempt == 1 { Reply::never() } else { Reply::status(200) });
    let message = world.send(app).await;
    world.settle(60).await;
    let attempts = world.attempts(message, endpoint).await;
    assert_eq!(attempts[0].duration_ms, 3000);
    assert!(matches!(attempts[0].outcome, AttemptOutcome::Error { kind: TransportErrorKind::Timeout, .. }));
    assert!(attempts[1].outcome.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_url_that_cannot_be_read_is_a_failure_without_a_request() {
    let world = World::new().await;
    let app = world.application().await;
    for (number, url) in ["not a url", "ftp://x/y", "/only/a/path", "http://"].into_iter().enumerate() {
        let endpoint = world
            .endpoint_with(app, "a", |endpoint| {
                endpoint.url = url.to_owned();
                endpoint.retry_schedule = schedule("none");
                endpoint.event_types = Some(vec![hookpost_domain::EventTypePattern::parse(&format!("only.{number}")).unwrap()]);
            })
            .await;
        let message = world.send_with(app, &format!("only.{number}"), |_| {}).await;
        world.settle(1).await;
        let attempts = world.attempts(message, endpoint).await;
        assert!(
            matches!(&attempts[0].outcome, AttemptOutcome::Error { kind: TransportErrorKind::InvalidUrl, message } if message.contains("URL"))
        );
        assert_eq!(world.state(message, endpoint).await, DeliveryState::Dead { reason: Reason::RetriesExhausted });
    }
    assert_eq!(world.sent().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_tried_ends_with_a_reason() {
    let world = World::with(|settings| settings.retry_schedule = schedule("10s").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(500));

    let disabled = world.send(app).await;
    world.pass(100).await;
    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = Disabled::ByUser).await;
    world.settle(30).await;
    assert_eq!(world.state(disabled, endpoint).await, DeliveryState::Canceled { reason: Reason::EndpointDisabled });
    assert_eq!(world.attempts(disabled, endpoint).await.len(), 1);

    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = Disabled::No).await;
    let expunged = world.send(app).await;
    world.pass(100).await;
    world.shared().expunge_message(app, expunged).await.unwrap();
    world.settle(30).await;
    assert_eq!(world.state(expunged, endpoint).await, DeliveryState::Dead { reason: Reason::PayloadExpunged });

    let later = world.send_with(app, "order.paid", |content| content.deliver_at = Some(content.payload_expires_at)).await;
    world.shared().delete_endpoint(app, endpoint, world.now()).await.unwrap();
    assert_eq!(world.state(later, endpoint).await, DeliveryState::Canceled { reason: Reason::EndpointDeleted });
    assert_eq!(world.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_later_message_waits_for_its_time() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    let at = world.now() + Duration::from_secs(3600);
    let message = world.send_with(app, "order.paid", |content| content.deliver_at = Some(at)).await;
    world.pass(3_599_000).await;
    assert_eq!(world.sent().len(), 0);
    world.settle(10).await;
    assert!(world.sent()[0].at_ms.abs_diff(3_600_000) <= 4);
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_recorded_in_batches() {
    let world = World::new().await;
    world.faults.lock().latency = Duration::from_millis(5);
    let app = world.application().await;
    world.endpoint(app, "a").await;
    for _ in 0..400 {
        world.send(app).await;
    }
    world.settle(10).await;
    let faults = world.faults.lock();
    assert!(faults.records < 60 && faults.largest_record >= 8, "{faults:?}");
}
