//! Circuit breaker, warnings, disabling; and that an endpoint's past survives a restart.

use std::time::Duration;

use hookpost_domain::endpoint::Disabled;
use hookpost_domain::health::Circuit;
use hookpost_domain::{DeliveryState, Reason};

use crate::world::{Reply, World, schedule};

#[tokio::test(start_paused = true)]
async fn the_circuit_opens_and_one_probe_at_a_time_closes_it() {
    let mut world = World::with(|settings| settings.retry_schedule = schedule("1s,1s,1h,1h").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.at_ms < 60_000 { 500 } else { 200 }).after_ms(20));
    for _ in 0..300 {
        world.send(app).await;
        world.pass(100).await;
    }
    let before = world.sent().len();
    let status = world.engine.lane_status(endpoint);
    assert!(matches!(status.health.circuit, Circuit::Open { .. } | Circuit::HalfOpen { .. }), "{status:?}");
    assert!(status.concurrency == 1);
    let opened_ms = 12_000;
    let probes: Vec<u64> = world.sent().iter().map(|sent| sent.at_ms).filter(|at_ms| *at_ms > opened_ms).collect();
    assert!(!probes.is_empty() && probes.len() <= 4, "5 s, 10 s, 20 s apart: {probes:?}");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 5000), "{probes:?}");

    // The circuit is as it was after a restart.
    world.stop().await;
    world.restart();
    world.pass(10).await;
    let again = world.engine.lane_status(endpoint);
    assert!(matches!(again.health.circuit, Circuit::Open { .. }), "{again:?}");
    assert_eq!(again.health.failing_since, status.health.failing_since);
    assert_eq!(world.sent().len(), before);

    world.settle(4 * 3600).await;
    let status = world.engine.lane_status(endpoint);
    assert_eq!(status.health.circuit, Circuit::Closed);
    assert_eq!(status.health.failing_since, None);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_circuit_uses_up_no_attempt() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.at_ms < 100_000 { 500 } else { 200 }));
    for _ in 0..40 {
        world.send(app).await;
        world.pass(500).await;
    }
    let message = world.send(app).await;
    world.pass(20_000).await;
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Pending);
    world.settle(2 * 3600).await;
    assert_eq!(world.attempts(message, endpoint).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_for_days_is_disabled_and_begins_anew() {
    let world = World::with(|settings| {
        settings.retry_schedule = schedule("1h,5h").unwrap();
        settings.health.disable_after = Duration::from_secs(24 * 3600);
    })
    .await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(500));
    let first_failure = world.now();
    let mut last = world.send(app).await;
    for _ in 0..40 {
        world.pass(3600 * 1000).await;
        if !world.read_endpoint(app, endpoint).await.disabled.is_disabled() {
            last = world.send(app).await;
        }
        world.pass(100).await;
    }
    world.settle(24 * 3600).await;
    let Disabled::Automatically { failing_since: Some(since) } = world.read_endpoint(app, endpoint).await.disabled else {
        panic!("not disabled")
    };
    assert!(since.since(first_failure) < Duration::from_secs(1));
    assert_eq!(world.state(last, endpoint).await, DeliveryState::Canceled { reason: Reason::EndpointDisabled });
    let attempts = world.sent().len();

    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = Disabled::No).await;
    world.send(app).await;
    world.settle(24 * 3600).await;
    assert_eq!(world.sent().len(), attempts + 3);
    assert!(!world.read_endpoint(app, endpoint).await.disabled.is_disabled(), "its time begins again");
}

#[tokio::test(start_paused = true)]
async fn gone_disables_at_once_and_stops_the_lane() {
    for reply in [
        Reply::status(410),
        Reply::status(200).header("webhook-delivery", "disable"),
        Reply::status(500).header("webhook-delivery", "disable"),
    ] {
        let world = World::new().await;
        let app = world.application().await;
        let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.concurrency = Some(2)).await;
        world.script(move |_| reply.clone());
        let mut messages = Vec::new();
        for _ in 0..100 {
            messages.push(world.send(app).await);
        }
        world.settle(5).await;
        assert!(matches!(world.read_endpoint(app, endpoint).await.disabled, Disabled::Automatically { .. }));
        assert!(world.sent().len() <= 2, "{}", world.sent().len());
        let last = world.state(messages[99], endpoint).await;
        assert_eq!(last, DeliveryState::Canceled { reason: Reason::EndpointDisabled });
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_url_is_tried_at_once() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1s,1s,1s,1s").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "old").await;
    world.script(|sent| Reply::status(if sent.path == "/old" { 500 } else { 200 }));
    for _ in 0..100 {
        world.send(app).await;
        world.pass(200).await;
    }
    assert!(matches!(world.engine.lane_status(endpoint).health.circuit, Circuit::Open { .. }));
    world.change_endpoint(app, endpoint, |endpoint| endpoint.url = "http://receiver.test/new".to_owned()).await;
    world.pass(1000).await;
    assert!(world.sent_to("new").len() > 50);
    assert_eq!(world.engine.lane_status(endpoint).health.circuit, Circuit::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_resend_does_not_wait_for_the_end_of_a_pause() {
    for status in [500, 429] {
        let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
        let app = world.application().await;
        let endpoint = world.endpoint(app, "a").await;
        world.script(move |sent| match sent.trigger.as_str() {
            "manual" if sent.at_ms > 30_000 => Reply::status(200),
            _ => Reply::status(status).header("retry-after", 3000),
        });
        let first = world.send(app).await;
        for _ in 0..60 {
            world.pass(250).await;
            world.send(app).await;
        }
        let before = world.sent().len();
        world.resend(app, first, endpoint).await;
        world.pass(100).await;
        assert_eq!(world.sent().len(), before + 1, "it is tried at once");
        world.pass(2_000).await;
        // A probe of the circuit may come in between.
        assert!(world.sent().len() <= before + 2, "and the others wait on");
        world.pass(15_000).await;
        let last = world.sent().len();
        world.resend(app, first, endpoint).await;
        world.pass(1000).await;
        assert_eq!(world.state(first, endpoint).await, DeliveryState::Delivered);
        assert!(world.sent().len() > last + 1, "its success ends the pause for all");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_pauses_for_long_holds_no_memory() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| if sent.at_ms < 60_000 { Reply::status(429).header("retry-after", 60) } else { Reply::status(200) });
    for _ in 0..400 {
        world.send(app).await;
    }
    world.pass(1000).await;
    let status = world.engine.lane_status(endpoint);
    assert!(status.in_memory == 0 && status.backlog, "{status:?}");
    world.settle(7200).await;
}
