//! Endpoints in strict order: message k+1 is not attempted before k is done or given up.

use std::time::Duration;

use hookpost_domain::{ApplicationId, DeliveryState, EndpointId, MessageId, Reason};
use hookpost_store::queue::CancelFilter;

use crate::world::{Reply, Sent, World, schedule};

async fn ordered(world: &World) -> (ApplicationId, EndpointId) {
    let app = world.application().await;
    let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.ordered = true).await;
    (app, endpoint)
}

/// Each message's attempts in one piece, and the messages by age.
fn assert_in_order(sent: &[Sent]) {
    for pair in sent.windows(2) {
        assert!(pair[0].message <= pair[1].message, "{pair:?}");
    }
}

fn number_of(messages: &[MessageId], sent: &Sent) -> usize {
    messages.iter().position(|message| *message == sent.message).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_up_what_comes_after() {
    for latency_ms in [0, 2] {
        let world = World::with(|settings| settings.retry_schedule = schedule("200ms,200ms,200ms").unwrap()).await;
        world.faults.lock().latency = Duration::from_millis(latency_ms);
        let (app, endpoint) = ordered(&world).await;
        world.script(|sent| {
            let fails = match sent.message.row().raw() % 5 {
                0 => 2,
                1 => 9,
                _ => 0,
            };
            Reply::status(if sent.attempt <= fails { 500 } else { 200 }).after_ms(3)
        });
        let mut messages = Vec::new();
        for _ in 0..300 {
            messages.push(world.send(app).await);
            world.pass(17).await;
        }
        world.settle(600).await;
        let sent = world.sent();
        assert_in_order(&sent);
        assert_eq!(world.most_in_flight("a"), 1);
        for message in &messages {
            assert!(world.state(*message, endpoint).await.is_final());
        }
        assert_eq!(sent.iter().map(|sent| number_of(&messages, sent)).max(), Some(299));
    }
}

#[tokio::test(start_paused = true)]
async fn order_holds_over_a_crash_and_a_backlog() {
    let mut world = World::with(|settings| settings.retry_schedule = schedule("500ms,500ms,30s").unwrap()).await;
    world.faults.lock().latency = Duration::from_millis(1);
    let (app, _) = ordered(&world).await;
    world.script(|sent| Reply::status(if sent.message.row().raw() % 7 == 0 && sent.attempt <= 2 { 500 } else { 200 }).after_ms(2));
    for number in 0..1500 {
        world.send(app).await;
        if number % 400 == 399 {
            world.pass(150).await;
            world.crash().await;
            world.pass(1).await;
        }
    }
    world.settle(7200).await;
    // What was under way at a crash is sent again, before anything younger.
    let sent = world.sent();
    assert_in_order(&sent);
    let mut messages: Vec<MessageId> = sent.iter().map(|sent| sent.message).collect();
    messages.dedup();
    assert_eq!(messages.len(), 1500);
}

#[tokio::test(start_paused = true)]
async fn the_head_waits_for_long_and_nothing_else_is_tried() {
    let mut world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    let (app, endpoint) = ordered(&world).await;
    world.script(|sent| Reply::status(if sent.attempt == 1 && sent.at_ms < 1000 { 500 } else { 200 }));
    let head = world.send(app).await;
    world.pass(100).await;
    let second = world.send(app).await;
    world.pass(100).await;
    assert_eq!(world.engine.lane_status(endpoint).held_by, Some(head));
    world.stop().await;
    world.restart();
    world.send(app).await;
    world.pass(1_000_000).await;
    assert_eq!(world.sent().len(), 1, "also after a restart, and with new messages");
    assert_eq!(world.engine.lane_status(endpoint).held_by, Some(head));

    // Whoever does not want to wait cancels the head.
    let which = CancelFilter { messages: Some(vec![head]), ..CancelFilter::default() };
    assert_eq!(world.engine.cancel(app, endpoint, which).await, Ok(1));
    world.settle(1).await;
    assert_eq!(world.state(head, endpoint).await, DeliveryState::Canceled { reason: Reason::CanceledByUser });
    assert_eq!(world.state(second, endpoint).await, DeliveryState::Delivered);
    assert_eq!(world.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn sending_the_head_by_hand_lets_the_others_go_on() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    let (app, endpoint) = ordered(&world).await;
    world.script(|sent| Reply::status(if sent.at_ms < 1000 { 500 } else { 200 }));
    let head = world.send(app).await;
    world.pass(100).await;
    world.send(app).await;
    world.send(app).await;
    world.pass(1000).await;
    world.resend(app, head, endpoint).await;
    world.settle(1).await;
    assert_eq!(
        world.sent().iter().map(|sent| sent.trigger.as_str()).collect::<Vec<_>>(),
        ["scheduled", "manual", "scheduled", "scheduled"]
    );
    assert_in_order(&world.sent());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_can_become_ordered_and_stop_being_so() {
    let world = World::with(|settings| settings.retry_schedule = schedule("10s").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.attempt == 1 && sent.at_ms < 1000 { 500 } else { 200 }).after_ms(5));
    let old = world.send(app).await;
    world.pass(100).await;
    world.change_endpoint(app, endpoint, |endpoint| endpoint.ordered = true).await;
    let young = world.send(app).await;
    world.pass(2000).await;
    assert_eq!(world.sent().len(), 1, "the old one waits for its retry, the young one for the old one");
    world.change_endpoint(app, endpoint, |endpoint| endpoint.ordered = false).await;
    world.pass(100).await;
    assert_eq!(world.sent().last().unwrap().message, young);
    world.settle(20).await;
    assert_eq!(world.sent().last().unwrap().message, old);
}
