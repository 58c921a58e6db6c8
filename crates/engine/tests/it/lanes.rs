//! Lanes beside each other: what one endpoint does is its own affair.

use std::time::Duration;

use hookpost_domain::{DeliveryState, MessageId, limits};

use crate::world::{Reply, World, schedule};

#[tokio::test(start_paused = true)]
async fn hanging_receivers_delay_nobody_and_end_with_one_slot() {
    let world = World::with(|settings| settings.attempts_in_flight_max = 200).await;
    let mut apps = Vec::new();
    for number in 0..50 {
        let app = world.application().await;
        world.endpoint(app, &format!("{}{number}", if number < 20 { "hangs" } else { "well" })).await;
        apps.push(app);
    }
    world.script(|sent| if sent.path.starts_with("/hangs") { Reply::never() } else { Reply::status(200).after_ms(5) });
    // Two minutes of load: each application every 100 ms.
    for _ in 0..1200 {
        for app in &apps {
            world.send(*app).await;
        }
        world.pass(100).await;
    }
    world.pass(100).await;
    let sent = world.sent();
    let well: Vec<_> = sent.iter().filter(|sent| sent.path.starts_with("/well")).collect();
    assert_eq!(well.len(), 30 * 1200);
    let latest = well.iter().map(|sent| sent.at_ms - (sent.message.created_at().unix_ms() - begin_ms(&world))).max().unwrap();
    assert!(latest <= 10, "a healthy delivery waited for {latest} ms");
    for number in 0..20 {
        let path = format!("hangs{number}");
        assert!(world.most_in_flight(&path) <= 8, "{} at a time", world.most_in_flight(&path));
        let late = world.sent_to(&path).iter().filter(|sent| sent.at_ms > 90_000).count();
        assert!(late <= 4, "{late} attempts in the last half minute");
    }
}

fn begin_ms(world: &World) -> u64 {
    world.now().unix_ms() - world.elapsed_ms()
}

#[tokio::test(start_paused = true)]
async fn where_all_slots_are_taken_lanes_take_turns() {
    let world = World::with(|settings| settings.attempts_in_flight_max = 4).await;
    let mut apps = Vec::new();
    for number in 0..12 {
        let app = world.application().await;
        world.endpoint(app, &format!("a{number}")).await;
        apps.push(app);
    }
    world.script(|_| Reply::status(200).after_ms(100));
    for app in &apps {
        for _ in 0..20 {
            world.send(*app).await;
        }
    }
    world.pass(3000).await;
    // 4 slots, 10 attempts a second each: 120 of 240 are done, and everybody has about a twelfth.
    for number in 0..12 {
        let count = world.sent_to(&format!("a{number}")).len();
        assert!((7..=13).contains(&count), "a{number} got {count} of 120");
    }
    world.settle(10).await;
    assert_eq!(world.sent().len(), 240);
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_own_concurrency_holds() {
    let world = World::new().await;
    let app = world.application().await;
    world.endpoint_with(app, "two", |endpoint| endpoint.concurrency = Some(2)).await;
    world.endpoint(app, "many").await;
    world.script(|_| Reply::status(200).after_ms(50));
    for _ in 0..400 {
        world.send(app).await;
    }
    world.settle(60).await;
    assert_eq!(world.most_in_flight("two"), 2);
    assert_eq!(world.most_in_flight("many"), limits::LANE_CONCURRENCY_DEFAULT);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_bound_waits_on_disk_and_comes_in_order() {
    for latency_ms in [0, 3] {
        let world = World::new().await;
        world.faults.lock().latency = Duration::from_millis(latency_ms);
        let app = world.application().await;
        let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.concurrency = Some(1)).await;
        world.script(|_| Reply::status(200).after_ms(1));
        let total = 5 * limits::LANE_DELIVERIES_IN_MEMORY_MAX;
        let mut messages = Vec::new();
        for number in 0..total {
            messages.push(world.send(app).await);
            if number % 7 == 0 {
                world.pass(1).await;
            }
            let status = world.engine.lane_status(endpoint);
            assert!(status.in_memory <= limits::LANE_DELIVERIES_IN_MEMORY_MAX, "{status:?}");
        }
        world.settle(60).await;
        let sent: Vec<MessageId> = world.sent().iter().map(|sent| sent.message).collect();
        assert_eq!(sent, messages, "nothing overtakes and nothing is sent twice");
        assert!(world.faults.lock().claims < 60, "claims come by the hundred: {:?}", world.faults.lock());
    }
}

#[tokio::test(start_paused = true)]
async fn large_payloads_are_bounded_in_bytes() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.concurrency = Some(1)).await;
    world.script(|_| Reply::status(200).after_ms(10));
    for _ in 0..30 {
        world.send_with(app, "large", |content| content.payload = Some(vec![b'x'; 1 << 20].into())).await;
    }
    world.pass(5).await;
    assert!(world.engine.lane_status(endpoint).in_memory <= 9, "{:?}", world.engine.lane_status(endpoint));
    world.settle(10).await;
    assert_eq!(world.sent().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_the_ready_channel_could_not_take_is_found() {
    let world = World::with_channel(1, |_| {}).await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world.endpoint(app, "b").await;
    for _ in 0..50 {
        // The engine gets no turn in between.
        world.send(app).await;
    }
    world.settle(10).await;
    assert_eq!(world.sent().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_kept_exactly() {
    let world = World::new().await;
    let app = world.application().await;
    world.endpoint_with(app, "slow", |endpoint| endpoint.throttle_rate = Some(20)).await;
    world.endpoint(app, "fast").await;
    for _ in 0..100 {
        world.send(app).await;
    }
    world.settle(30).await;
    assert!(world.sent_to("fast").iter().all(|sent| sent.at_ms < 100));
    let times: Vec<u64> = world.sent_to("slow").iter().map(|sent| sent.at_ms).collect();
    // A burst of one second's worth, then one every 50 ms.
    assert!(times[19] < 10, "{times:?}");
    for (number, at_ms) in times.iter().enumerate().skip(20) {
        let due_ms = (number as u64 - 19) * 50;
        assert!(at_ms.abs_diff(due_ms) <= 5, "delivery {number} at {at_ms} instead of {due_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_an_application_is_shared_fairly() {
    let world = World::new().await;
    let app = world.application_with(|app| app.throttle_rate = Some(30)).await;
    for number in 0..3 {
        world.endpoint(app, &format!("a{number}")).await;
    }
    for _ in 0..60 {
        world.send(app).await;
    }
    world.pass(3000).await;
    let counts: Vec<usize> = (0..3).map(|number| world.sent_to(&format!("a{number}")).len()).collect();
    let total: usize = counts.iter().sum();
    assert!((115..=121).contains(&total), "30 at once and 30 a second: {total}");
    assert!(counts.iter().all(|count| (30..=50).contains(count)), "{counts:?}");
    world.settle(30).await;
    assert_eq!(world.sent().len(), 180);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_it_is_left_alone() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1s,1s,1s,1h").unwrap()).await;
    let app = world.application().await;
    let busy = world.endpoint(app, "busy").await;
    world.endpoint(app, "idle").await;
    world.script(|sent| {
        if sent.path == "/busy" && sent.at_ms < 10_000 { Reply::status(429).header("retry-after", 10) } else { Reply::status(200) }
    });
    let first = world.send(app).await;
    world.pass(100).await;
    assert!(world.engine.lane_status(busy).throttled_until.is_some());
    for _ in 0..50 {
        world.send(app).await;
    }
    world.pass(9_000).await;
    assert_eq!(world.sent_to("busy").len(), 1, "the whole lane waits");
    assert_eq!(world.sent_to("idle").len(), 51, "and no other");
    world.settle(60).await;
    assert_eq!(world.sent_to("busy").len(), 52);
    assert_eq!(world.state(first, busy).await, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_only_says_503_gets_fewer_and_fewer() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1s,2s,4s,8s,16s,1h").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| if sent.at_ms < 30_000 { Reply::status(503).after_ms(10) } else { Reply::status(200) });
    for _ in 0..200 {
        world.send(app).await;
    }
    world.pass(30_000).await;
    let early = world.sent().len();
    assert!(early < 300, "{early} attempts in half a minute");
    assert_eq!(world.engine.lane_status(endpoint).concurrency, 1);
    world.settle(3 * 3600).await;
}

#[tokio::test(start_paused = true)]
async fn failures_of_some_messages_do_not_slow_the_others() {
    let world = World::with(|settings| settings.retry_schedule = schedule("100ms,100ms,100ms").unwrap()).await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.attempt <= 2 { 500 } else { 200 }).after_ms(1));
    for _ in 0..3000 {
        world.send(app).await;
        if world.elapsed_ms() < 1 {
            world.pass(1).await;
        }
    }
    world.settle(20).await;
    assert_eq!(world.sent().len(), 9000);
    assert!(world.elapsed_ms() < 2_000, "{} ms", world.elapsed_ms());
}
