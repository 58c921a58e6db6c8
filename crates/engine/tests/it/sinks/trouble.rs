//! Crashes, shutdowns, other nodes, and many sinks.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::{MINUTE, numbers};
use crate::world::{Reply, Seeded, World, schedule};

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_loses_nothing_and_repeats_with_the_same_id() {
    for (batch_size, steps) in [(1, 4), (4, 6)] {
        for step in 0..steps {
            let mut world = World::new().await;
            let app = world.application().await;
            world.sink(app, "s", |sink| sink.batch_size = batch_size).await;
            world.faults.lock().advances_left = Some(step);
            world.send_numbers(app, 0..3).await;
            world.pass(500).await;
            // What comes now would change what is in a batch that was not written down.
            world.send_numbers(app, 3..9).await;
            world.faults.lock().advances_left = None;
            world.crash().await;
            world.pass(2000).await;
            let sent = world.sent_to("s");
            let mut by_id: Vec<(String, Bytes)> = Vec::new();
            for one in &sent {
                let id = one.headers["webhook-id"].to_str().unwrap().to_owned();
                match by_id.last().filter(|(last, _)| *last == id) {
                    Some((_, body)) => assert_eq!(*body, one.body, "the same again"),
                    None => by_id.push((id, one.body.clone())),
                }
            }
            let all: Vec<u32> = if batch_size == 1 {
                by_id.iter().map(|(_, body)| String::from_utf8_lossy(body).parse().unwrap()).collect()
            } else {
                let mut batches = world.batches("s");
                batches.dedup();
                batches.concat()
            };
            assert_eq!(all, (0..9).collect::<Vec<_>>(), "batches of {batch_size}, step {step}");
            assert!(sent.len() <= by_id.len() + 1, "one is repeated at most");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_after_the_answer_makes_no_second_request() {
    let world = World::new().await;
    let app = world.application().await;
    world.sink(app, "s", |_| {}).await;
    world.script(|_| Reply::status(200).after_ms(500));
    world.send_numbers(app, 0..1).await;
    world.pass(100).await;
    world.faults.lock().ledger_is_away = true;
    world.pass(30_000).await;
    world.faults.lock().ledger_is_away = false;
    world.pass(5000).await;
    world.send_numbers(app, 1..2).await;
    world.pass(2000).await;
    assert_eq!(world.bodies("s"), ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn one_node_sends_and_finds_what_others_accept() {
    let world = World::new().await;
    let app = world.application().await;
    world.faults.lock().sinks_are_elsewhere = true;
    world.sink(app, "s", |_| {}).await;
    world.send(app).await;
    world.pass(30_000).await;
    assert!(world.sent().is_empty());
    world.faults.lock().sinks_are_elsewhere = false;
    world.pass(10_500).await;
    assert_eq!(world.sent_to("s").len(), 1, "taken over");
    world.send_elsewhere(app, "order.paid", |_| {}).await;
    world.pass(1100).await;
    assert_eq!(world.sent_to("s").len(), 2);
    world.pass(5 * MINUTE).await;
    world.send_elsewhere(app, "order.paid", |_| {}).await;
    world.pass(5100).await;
    assert_eq!(world.sent_to("s").len(), 3, "a little later when nothing came for long");
    world.send(app).await;
    world.pass(50).await;
    assert_eq!(world.sent_to("s").len(), 4, "at once where it is told");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_sinks_cost_next_to_nothing_and_one_of_them_is_still_quick() {
    let world = World::new().await;
    let idle = world.application().await;
    for number in 0..1000 {
        world.create_sink(idle, &format!("idle-{number}"), |_| {}).await;
    }
    let app = world.application().await;
    world.sink(app, "s", |_| {}).await;
    world.pass(2 * MINUTE).await;
    let before = world.faults.lock().feeds_read;
    world.pass(MINUTE).await;
    let per_second = (world.faults.lock().feeds_read - before) / 60;
    assert!(per_second <= 1001 / 4, "{per_second} looks per second on a shared store");
    let (asked, began) = (world.faults.lock().feeds_read, world.elapsed_ms());
    world.send(app).await;
    world.pass(20).await;
    assert_eq!(world.sent_to("s").len(), 1);
    assert!(world.faults.lock().feeds_read - asked < 20 && world.elapsed_ms() - began <= 20, "nobody else was woken");
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_other_nodes_nothing_is_looked_for() {
    let mut world = World::new().await;
    world.stop().await;
    world.shared_store = false;
    world.restart();
    let app = world.application().await;
    let mut sinks = Vec::new();
    for number in 0..100 {
        sinks.push(world.create_sink(app, &format!("s{number}"), |_| {}).await);
    }
    world.engine.wake_sinks();
    world.pass(100).await;
    let before = world.faults.lock().feeds_read;
    world.pass(10 * MINUTE).await;
    assert!(world.faults.lock().feeds_read - before <= 100 * 15, "each once a minute or so");
    world.send_numbers(app, 0..1).await;
    world.pass(50).await;
    assert_eq!(world.sent().len(), 100, "at once");
    // Retries come in their time, and who moves a sink says so.
    world.script(|sent| Reply::status(if sent.path == "/s0" { 500 } else { 200 }));
    let ids = world.send_numbers(app, 1..3).await;
    world.pass(6100).await;
    assert_eq!(world.bodies("s0"), ["0", "1", "1"]);
    let (skipped, now) = (ids[0], world.now());
    world.move_sink(sinks[0], move |progress| progress.skip_to(skipped, now)).await;
    world.engine.wake_sink(sinks[0]);
    world.pass(50).await;
    assert_eq!(world.bodies("s0"), ["0", "1", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn hanging_sinks_do_not_delay_the_others() {
    let world = World::new().await;
    let app = world.application().await;
    for number in 0..100 {
        world.sink(app, &format!("hangs-{number}"), |_| {}).await;
    }
    world.sink(app, "s", |_| {}).await;
    world.script(|sent| if sent.path == "/s" { Reply::status(200) } else { Reply::never() });
    world.send_numbers(app, 0..10).await;
    world.pass(500).await;
    assert_eq!(world.bodies("s"), numbers(0..10));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_is_under_way_and_begins_nothing() {
    let mut world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    world.script(|_| Reply::status(200).after_ms(3000));
    world.send_numbers(app, 0..3).await;
    world.pass(100).await;
    let began = world.elapsed_ms();
    world.stop().await;
    assert!(world.elapsed_ms() - began < 3500);
    assert_eq!((world.bodies("s").len(), world.sink_attempts(sink).await.len()), (1, 1));
    world.restart();
    world.pass(10_000).await;
    assert_eq!(world.bodies("s"), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn random_receivers_crashes_and_failures_leave_the_order_whole() {
    for seed in 0..6 {
        let random = Seeded(AtomicU64::new(seed * 77 + 5));
        println!("seed {seed}");
        let mut world = World::with(|settings| settings.retry_schedule = schedule("200ms,1s,2s").expect("a schedule")).await;
        let app = world.application().await;
        for (path, size, wait) in [("a", 1, 0), ("b", 7, 0), ("c", 5, 2)] {
            world.sink(app, path, |sink| (sink.batch_size, sink.max_wait_s) = (size, wait)).await;
        }
        let moods = Seeded(AtomicU64::new(seed));
        world.script(move |_| match moods.below(10) {
            0..3 => Reply::status(500).after_ms(moods.below(50)),
            mood => Reply::status(200).after_ms(mood * 7),
        });
        let mut sent = 0;
        for _ in 0..60 {
            let more = random.below(6) as u32;
            world.send_numbers(app, sent..sent + more).await;
            sent += more;
            match random.below(15) {
                0 => world.crash().await,
                1 => world.faults.lock().ledger_is_away = true,
                2 => world.faults.lock().advances_left = Some(random.below(5) as usize),
                3 => {
                    world.faults.lock().advances_left = None;
                    world.crash().await;
                }
                _ => world.faults.lock().ledger_is_away = false,
            }
            world.pass(random.below(800)).await;
        }
        (world.faults.lock().advances_left, world.faults.lock().ledger_is_away) = (None, false);
        world.crash().await;
        world.pass(5 * MINUTE).await;
        let mut singles: Vec<u32> = world.bodies("a").iter().map(|body| body.parse().expect("a number")).collect();
        singles.dedup();
        assert_eq!(singles, (0..sent).collect::<Vec<_>>());
        for path in ["b", "c"] {
            let mut batches = world.batches(path);
            batches.dedup();
            assert_eq!(batches.concat(), (0..sent).collect::<Vec<_>>(), "{path}: {batches:?}");
        }
    }
}
