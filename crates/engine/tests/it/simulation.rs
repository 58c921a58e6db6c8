//! Thousands of deliveries with random receivers, crashes and a failing store, checked against the invariants of the domain. Everything
//! follows from a seed; a failure prints it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hookpost_domain::{ApplicationId, DeliveryState, EndpointId, MessageId, Timestamp};

use crate::world::{Reply, Seeded, Sent, World, schedule};

const SEEDS: u64 = 12;

#[tokio::test(start_paused = true)]
async fn the_invariants_hold_whatever_happens() {
    for seed in 0..SEEDS {
        // The panic of an assertion comes after this line.
        println!("seed {seed}");
        simulate(seed).await;
    }
}

/// Its ordered lane stood still for ever: it had stopped claiming for a message that waited for its retry, and nothing looked again when the
/// time of that one came.
#[tokio::test(start_paused = true)]
async fn seed_30_an_ordered_lane_goes_on_when_a_retry_is_due() {
    simulate(30).await;
}

struct Subscriber {
    app: ApplicationId,
    endpoint: EndpointId,
    path: String,
    ordered: bool,
}

async fn simulate(seed: u64) {
    let random = Seeded(AtomicU64::new(seed.wrapping_mul(0x1234_5678_9abc_def1)));
    let mut world = World::with(|settings| {
        settings.retry_schedule = schedule("100ms,400ms,1s,3s,10s").unwrap();
        settings.request_timeout = Duration::from_secs(2);
        settings.attempts_in_flight_max = 5 + random.below(100) as usize;
        settings.health.circuit_window = Duration::from_secs(2);
        settings.health.cool_down_max = Duration::from_secs(20);
    })
    .await;
    {
        let mut faults = world.faults.lock();
        faults.latency = Duration::from_millis(random.below(4));
        faults.failures = random.below(3) * 40;
    }
    let begin = world.now() - Duration::from_millis(world.elapsed_ms());
    let mut subscribers = Vec::new();
    for app_number in 0..4 {
        let app = world.application().await;
        for number in 0..=random.below(3) {
            let ordered = random.below(3) == 0;
            let path = format!("{app_number}-{number}-{}", random.below(4));
            let throttle = (random.below(4) == 0).then(|| 20 + random.below(100) as u16);
            let endpoint = world
                .endpoint_with(app, &path, |endpoint| {
                    endpoint.ordered = ordered;
                    endpoint.throttle_rate = throttle;
                })
                .await;
            subscribers.push(Subscriber { app, endpoint, path, ordered });
        }
    }
    let moods = Seeded(AtomicU64::new(seed + 77));
    world.script(move |sent| receiver(sent, &moods));

    let mut messages: Vec<(ApplicationId, MessageId)> = Vec::new();
    for _ in 0..120 {
        for _ in 0..random.below(12) {
            let app = subscribers[random.below(subscribers.len() as u64) as usize].app;
            messages.push((app, world.send(app).await));
        }
        match random.below(60) {
            0 => world.crash().await,
            1 => {
                world.stop().await;
                world.restart();
            }
            2 => {
                let one = &subscribers[random.below(subscribers.len() as u64) as usize];
                if let Some((_, message)) = messages.iter().rev().find(|(app, _)| *app == one.app) {
                    world.resend(one.app, *message, one.endpoint).await;
                }
            }
            3 => world.faults.lock().queue_is_away = true,
            _ => world.faults.lock().queue_is_away = false,
        }
        world.pass(random.below(60)).await;
    }
    world.faults.lock().queue_is_away = false;
    world.settle(3600).await;
    check(&world, begin, &subscribers, &messages).await;
}

/// By the last digit of its path: healthy, moody, failing for a while, hanging now and then.
fn receiver(sent: &Sent, moods: &Seeded) -> Reply {
    let mood = moods.below(100);
    match sent.path.as_bytes()[sent.path.len() - 1] {
        b'0' => Reply::status(200).after_ms(mood % 10),
        b'1' => match mood {
            0..30 => Reply::status(500),
            30..35 => Reply::status(429).header("retry-after", 1),
            35..40 => Reply::status(503),
            _ => Reply::status(204).after_ms(mood % 20),
        },
        b'2' if sent.at_ms % 4000 < 2500 => Reply::status(502).after_ms(3),
        b'3' if mood < 3 => Reply::never(),
        _ => Reply::status(200).after_ms(mood),
    }
}

async fn check(world: &World, begin: Timestamp, subscribers: &[Subscriber], messages: &[(ApplicationId, MessageId)]) {
    for subscriber in subscribers {
        let sent = world.sent_to(&subscriber.path);
        let mut arrived: HashMap<MessageId, Vec<&Sent>> = HashMap::new();
        for one in &sent {
            arrived.entry(one.message).or_default().push(one);
        }
        let own = messages.iter().filter(|(app, _)| *app == subscriber.app).map(|(_, message)| *message);
        for message in own {
            let delivery = world.delivery(message, subscriber.endpoint).await;
            let attempts = world.attempts(message, subscriber.endpoint).await;
            // 1 and 2: nothing is forgotten, everything has come to an end.
            assert!(delivery.state.is_final(), "{delivery:?}");
            assert!(!attempts.is_empty());
            // 5: numbered without gaps, and the counters agree.
            let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
            assert_eq!(numbers, (1..=attempts.len() as u32).collect::<Vec<_>>());
            assert_eq!(delivery.progress.attempts as usize, attempts.len());
            // 4: after a success nothing is scheduled any more.
            let success = attempts.iter().position(|attempt| attempt.outcome.is_success());
            assert_eq!(delivery.state == DeliveryState::Delivered, success.is_some());
            if let Some(success) = success {
                let scheduled_after = attempts[success + 1..].iter().filter(|a| a.trigger == hookpost_domain::Trigger::Scheduled).count();
                assert_eq!(scheduled_after, 0, "{attempts:?}");
            }
            // 6: `Retry-After` is kept, and the schedule.
            let scheduled: Vec<_> = attempts.iter().filter(|attempt| attempt.trigger == hookpost_domain::Trigger::Scheduled).collect();
            for (pair, wait_ms) in scheduled.windows(2).zip([100, 400, 1000, 3000, 10_000]) {
                let ended = pair[0].started_at + Duration::from_millis(u64::from(pair[0].duration_ms));
                let asked = if pair[0].outcome.status_code() == 429 { 1000 } else { 0 };
                let gap = pair[1].started_at.since(ended).as_millis() as u64;
                assert!(gap + 1 >= (wait_ms * 8 / 10).max(asked), "{gap} ms after attempt {}", pair[0].number);
            }
            // Every recorded attempt was really made.
            let requests = arrived.get(&message).map_or(0, Vec::len);
            assert!(requests >= attempts.len(), "{requests} requests, {} attempts", attempts.len());
            assert!(attempts[0].started_at >= begin);
        }
        // 9: in order, but for what was sent by hand.
        if subscriber.ordered {
            let scheduled: Vec<&Sent> = sent.iter().filter(|sent| sent.trigger == "scheduled").collect();
            for pair in scheduled.windows(2) {
                assert!(pair[0].message <= pair[1].message, "{}: {pair:?}", subscriber.path);
            }
        }
    }
}
