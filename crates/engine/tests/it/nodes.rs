//! One node among several: what the store says of the others, and what this one does with it.

use std::collections::HashSet;
use std::time::Duration;

use hookpost_domain::health::{Circuit, Health};
use hookpost_domain::task::{TaskStatus, TaskWork};
use hookpost_domain::{DeliveryKey, DeliveryState, MessageId, Reason, Timestamp};
use hookpost_store::queue::News;

use crate::world::{Reply, World, schedule};

fn sent_messages(world: &World) -> Vec<MessageId> {
    world.sent().iter().map(|sent| sent.message).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_goes_elsewhere_gives_back_what_it_holds_and_records_what_is_under_way() {
    for ordered in [false, true] {
        let world = World::new().await;
        let app = world.application().await;
        let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.ordered = ordered).await;
        world.script(|_| Reply::status(200).after_ms(100));
        let mut messages = Vec::new();
        for _ in 0..200 {
            messages.push(world.send(app).await);
        }
        world.pass(50).await;
        let under_way = world.sent().len();
        assert!((1..100).contains(&under_way));
        world.tell_of(app, endpoint, |lane| lane.elsewhere = true).await;
        world.pass(10_000).await;
        assert_eq!(world.sent().len(), under_way, "nothing more is attempted");
        assert_eq!(world.engine.lane_status(endpoint).in_memory, 0);
        for message in sent_messages(&world) {
            assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered);
        }
        // What comes now is given back too.
        messages.push(world.send(app).await);
        world.pass(10_000).await;
        assert_eq!(world.sent().len(), under_way);
        let claims = world.faults.lock().claims;

        world.tell_of(app, endpoint, |lane| lane.ready = true).await;
        world.settle(60).await;
        assert!(world.faults.lock().claims > claims);
        let mut sent = sent_messages(&world);
        if !ordered {
            sent.sort_unstable();
        }
        assert_eq!(sent, messages, "each once, ordered: {ordered}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_wakes_a_lane_that_is_elsewhere_makes_it_ask_the_store() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.tell_of(app, endpoint, |lane| lane.elsewhere = true).await;
    world.pass(10).await;
    world.send(app).await;
    world.pass(60_000).await;
    assert!(world.sent().is_empty());
    world.engine.wake(app, endpoint);
    world.settle(10).await;
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lane_takes_the_health_that_the_store_tells_until_it_knows_better() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    let open = |until: Timestamp| Health {
        failing_since: Some(world.now()),
        consecutive_failures: 30,
        warned: false,
        circuit: Circuit::Open { until, cool_down_ms: 5000 },
    };
    let until = world.now() + Duration::from_secs(10);
    world.tell_of(app, endpoint, |lane| lane.health = open(until)).await;
    world.pass(10).await;
    world.send(app).await;
    world.pass(9_900).await;
    assert!(world.sent().is_empty());
    world.settle(10).await;
    assert_eq!(world.engine.lane_status(endpoint).health, Health::default());
    // The news is older than what the lane has seen.
    world.tell_of(app, endpoint, |lane| lane.health = open(Timestamp::MAX)).await;
    world.send(app).await;
    world.settle(10).await;
    // But it counts if another node has served the lane since then.
    let until = world.now() + Duration::from_secs(10);
    world.tell_of(app, endpoint, |lane| lane.elsewhere = true).await;
    world.tell_of(app, endpoint, |lane| lane.health = open(until)).await;
    world.pass(10).await;
    world.send(app).await;
    world.pass(9_900).await;
    assert_eq!(world.sent().len(), 2);
    world.settle(10).await;
    assert_eq!(world.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_claim_brings_the_health_that_another_node_left() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.tell_of(app, endpoint, |lane| lane.elsewhere = true).await;
    world.pass(10).await;
    for _ in 0..5 {
        world.send(app).await;
    }
    // The probe of the other node ended with it: one is tried at once, and the others after it.
    world.script(|sent| Reply::status(if sent.at_ms < 1000 { 500 } else { 200 }));
    let health = Health { consecutive_failures: 30, circuit: Circuit::HalfOpen { cool_down_ms: 5000 }, ..Health::default() };
    world.faults.lock().taken_over = Some(health);
    world.tell_of(app, endpoint, |lane| lane.ready = true).await;
    world.pass(5_000).await;
    assert_eq!(world.sent().len(), 1);
    world.settle(60).await;
    assert!(world.sent()[1].at_ms >= 10_000, "the cool-down went on from where it was");
}

#[tokio::test(start_paused = true)]
async fn lost_leases_are_dropped_and_looked_for_again() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(200).after_ms(100));
    for _ in 0..200 {
        world.send(app).await;
    }
    world.pass(50).await;
    let under_way: HashSet<_> = sent_messages(&world).into_iter().collect();
    world.faults.lock().leases_are_lost = true;
    world.tell(News::LeasesLost).await;
    world.pass(80).await;
    world.faults.lock().leases_are_lost = false;
    world.tell_of(app, endpoint, |lane| lane.ready = true).await;
    world.settle(60).await;
    let sent = sent_messages(&world);
    let all: HashSet<_> = sent.iter().copied().collect();
    assert_eq!(all.len(), 200);
    for message in &all {
        let times = sent.iter().filter(|other| *other == message).count();
        assert!(times == 1 || (times == 2 && under_way.contains(message)), "{times} times");
        assert_eq!(world.attempts(*message, endpoint).await.len(), 1, "what came too late is not recorded");
    }
}

/// Whether the engine is told or not: it asks before each attempt.
#[tokio::test(start_paused = true)]
async fn what_another_node_canceled_is_not_begun_and_what_is_under_way_is_not_repeated() {
    for (ordered, told) in [(false, true), (false, false), (true, true), (true, false)] {
        let world = World::with(|settings| settings.retry_schedule = schedule("1h,1h").unwrap()).await;
        let app = world.application().await;
        let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.ordered = ordered).await;
        world.script(|_| Reply::status(500).after_ms(100));
        let mut messages = Vec::new();
        for _ in 0..100 {
            messages.push(world.send(app).await);
        }
        world.pass(50).await;
        let under_way = world.sent().len();
        assert!((1..100).contains(&under_way));
        let keys = messages.iter().map(|message| DeliveryKey { message: *message, endpoint });
        world.faults.lock().recalled.extend(keys);
        if told {
            world.tell(News::Recalled { application: app, endpoint }).await;
        }
        world.pass(30_000_000).await;
        assert_eq!(world.sent().len(), under_way, "ordered: {ordered}, told: {told}");
        for message in &messages {
            assert_eq!(world.state(*message, endpoint).await, DeliveryState::Canceled { reason: Reason::CanceledByUser });
        }
        for message in sent_messages(&world) {
            assert_eq!(world.attempts(message, endpoint).await.len(), 1, "what was under way is kept");
        }
        // The lane goes on with what is new, and at once.
        world.script(|_| Reply::status(200));
        let new = world.send(app).await;
        world.settle(10).await;
        assert_eq!(world.state(new, endpoint).await, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_attempted_while_it_is_not_certain_that_the_leases_hold() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.faults.lock().leases_are_doubtful = true;
    let message = world.send(app).await;
    world.pass(10_000).await;
    // Not by hand either.
    world.resend(app, message, endpoint).await;
    world.pass(10_000).await;
    assert!(world.sent().is_empty());
    world.faults.lock().leases_are_doubtful = false;
    world.pass(150).await;
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_node_works_on_is_left_to_it() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    for _ in 0..450 {
        world.send(app).await;
    }
    world.settle(60).await;
    world.faults.lock().tasks_are_elsewhere = true;
    let work = TaskWork::ExpungeAllContents { application: app };
    let task = world.task(app, work).await;
    world.pass(4_000).await;
    assert_eq!((world.read_task(task).await.progress.looked_at, world.faults.lock().tasks_asked_for), (0, 1));
    // Asked again by itself,
    world.pass(2_000).await;
    assert_eq!(world.faults.lock().tasks_asked_for, 2);
    // and when there is news.
    world.tell(News::Tasks).await;
    world.pass(10).await;
    assert_eq!(world.faults.lock().tasks_asked_for, 3);
    world.faults.lock().tasks_are_elsewhere = false;
    world.tell(News::Tasks).await;
    world.pass(10_000).await;
    assert_eq!(world.read_task(task).await.status, TaskStatus::Finished);
    assert!(world.shared().application_by_id(app).await.unwrap().unwrap().endpoint(endpoint).is_some());
}
