//! Crashes, shutdowns, and a store that is away.

use std::collections::HashMap;
use std::time::Duration;

use hookpost_domain::DeliveryState;

use crate::world::{Reply, World, schedule};

#[tokio::test(start_paused = true)]
async fn a_crash_loses_nothing_and_repeats_only_what_was_under_way() {
    let mut world = World::with(|settings| settings.retry_schedule = schedule("300ms,300ms,1s").unwrap()).await;
    world.faults.lock().latency = Duration::from_millis(2);
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if (sent.message.row().raw() >> 8) % 4 == 0 && sent.attempt < 3 { 500 } else { 200 }).after_ms(5));
    let mut messages = Vec::new();
    for round in 0..10 {
        for _ in 0..200 {
            messages.push(world.send(app).await);
        }
        world.pass(10 + 17 * round).await;
        world.crash().await;
    }
    world.settle(3600).await;
    let mut successes: HashMap<_, usize> = HashMap::new();
    for message in &messages {
        let state = world.state(*message, endpoint).await;
        assert_eq!(state, DeliveryState::Delivered);
        let attempts = world.attempts(*message, endpoint).await;
        assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), (1..=attempts.len() as u32).collect::<Vec<_>>());
        *successes.entry(attempts.iter().filter(|attempt| attempt.outcome.is_success()).count()).or_default() += 1;
    }
    assert_eq!(successes, HashMap::from([(1, messages.len())]), "what is recorded as delivered is not attempted again");
    // At most what was in flight or unrecorded at each crash went out twice.
    let recorded: usize = world.sent().len();
    assert!(recorded <= messages.len() * 2, "{recorded} requests for {} messages", messages.len());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_records_what_ends_in_time_and_releases_the_rest() {
    let mut world = World::with(|settings| settings.shutdown_grace = Duration::from_secs(2)).await;
    world.faults.lock().latency = Duration::from_millis(2);
    let app = world.application().await;
    let quick = world.endpoint_with(app, "quick", |endpoint| endpoint.concurrency = Some(4)).await;
    let slow = world.endpoint(app, "slow").await;
    world.script(|sent| if sent.path == "/slow" { Reply::status(200).after_ms(10_000) } else { Reply::status(200).after_ms(1000) });
    let mut messages = Vec::new();
    for _ in 0..20 {
        messages.push(world.send(app).await);
    }
    world.pass(500).await;
    let begun = world.elapsed_ms();
    world.stop().await;
    let took = world.elapsed_ms() - begun;
    assert!((2000..2100).contains(&took), "{took} ms");
    let mut delivered = 0;
    for message in &messages {
        delivered += usize::from(world.state(*message, quick).await == DeliveryState::Delivered);
        assert_eq!(world.state(*message, slow).await, DeliveryState::Pending);
    }
    assert_eq!(delivered, 4, "those that were in flight");
    let claimed = hookpost_store::Queue::claim(
        &world.store.inner,
        hookpost_store::queue::ClaimRequest { endpoint: quick, limit: 100, bytes_max: 1 << 20, ordered: false },
        world.now(),
    );
    assert_eq!(claimed.await.unwrap().deliveries.len(), 16, "all leases were given back");
    assert!(took >= 2000 && world.sent_to("quick").len() == 4, "nothing was begun after the shutdown");
}

#[tokio::test(start_paused = true)]
async fn outcomes_wait_for_a_store_that_is_away_and_stay_bounded() {
    let world = World::new().await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    for _ in 0..100 {
        world.send(app).await;
    }
    world.settle(5).await;
    world.faults.lock().queue_is_away = true;
    for _ in 0..20_000 {
        world.send(app).await;
        if world.sent().len() % 400 == 0 {
            world.pass(1).await;
        }
    }
    world.pass(60_000).await;
    let sent = world.sent().len();
    assert!(sent <= 100 + 8192 + 64 + 1, "{sent}");
    world.pass(60_000).await;
    assert_eq!(world.sent().len(), sent, "nothing is sent whose outcome could not be kept");
    world.faults.lock().queue_is_away = false;
    world.settle(120).await;
    assert_eq!(world.sent().len(), 20_100, "and nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_start_with_a_store_that_is_away_waits_for_it() {
    let mut world = World::new().await;
    let app = world.application().await;
    world.endpoint(app, "a").await;
    world.stop().await;
    world.send(app).await;
    world.faults.lock().queue_is_away = true;
    world.restart();
    world.pass(10_000).await;
    assert_eq!(world.sent().len(), 0);
    world.faults.lock().queue_is_away = false;
    world.settle(10).await;
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_million_pending_would_cost_disk_and_not_memory() {
    let mut world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.stop().await;
    for _ in 0..20_000 {
        world.send(app).await;
    }
    world.restart();
    let mut most = 0;
    while hookpost_store::Queue::backlog(&*world.store).deliveries > 0 {
        most = most.max(world.engine.lane_status(endpoint).in_memory);
        world.pass(1).await;
    }
    assert!(most <= hookpost_domain::limits::LANE_DELIVERIES_IN_MEMORY_MAX, "{most}");
    assert_eq!(world.sent().len(), 20_000);
}
