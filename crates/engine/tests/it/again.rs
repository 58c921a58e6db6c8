//! Sending again: by hand, and by background tasks.

use std::time::Duration;

use hookpost_domain::delivery::Trigger;
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::message::Routing;
use hookpost_domain::task::{DeliveryStatus, ReplayFilter, TaskStatus, TaskWork};
use hookpost_domain::{DeliveryState, EndpointId, EventTypeName, EventTypePattern, Invalid, RowId, Timestamp};

use crate::world::{Reply, World, schedule};

#[tokio::test(start_paused = true)]
async fn a_resend_leaves_the_chain_alone() {
    let world = World::with(|settings| settings.retry_schedule = schedule("10s,10s").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(500));
    let message = world.send(app).await;
    world.pass(1000).await;
    world.resend(app, message, endpoint).await;
    world.settle(60).await;
    let attempts = world.attempts(message, endpoint).await;
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(attempts.iter().filter(|attempt| attempt.trigger == Trigger::Manual).count(), 1);
    let sent = world.sent();
    assert!(sent[2].at_ms >= 8_000 && sent[2].at_ms <= 12_010, "the schedule is as it was: {}", sent[2].at_ms);
}

#[tokio::test(start_paused = true)]
async fn a_resend_that_succeeds_ends_the_chain_and_one_of_what_was_delivered_is_only_sent() {
    let world = World::with(|settings| settings.retry_schedule = schedule("10s").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|sent| Reply::status(if sent.attempt == 1 || sent.attempt == 3 { 500 } else { 200 }));
    let message = world.send(app).await;
    world.pass(1000).await;
    world.resend(app, message, endpoint).await;
    world.pass(1000).await;
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered);
    world.resend(app, message, endpoint).await;
    world.pass(60_000).await;
    assert_eq!(world.sent().len(), 3);
    assert_eq!(world.state(message, endpoint).await, DeliveryState::Delivered, "a failure by hand takes nothing back");
}

#[tokio::test(start_paused = true)]
async fn a_resend_during_an_attempt_is_not_lost() {
    let world = World::new().await;
    world.faults.lock().latency = Duration::from_millis(20);
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.script(|_| Reply::status(200).after_ms(100));
    for wait_ms in [50, 110] {
        let message = world.send(app).await;
        world.pass(wait_ms).await;
        world.resend(app, message, endpoint).await;
        world.pass(1000).await;
        assert_eq!(world.attempts(message, endpoint).await.len(), 2, "after {wait_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn recover_sends_what_failed_and_what_was_canceled_by_disabling() {
    let world = World::with(|settings| settings.retry_schedule = schedule("none").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    let since = world.now();
    world.script(|sent| Reply::status(if sent.at_ms < 10_000 { 400 } else { 200 }));
    for _ in 0..700 {
        world.send(app).await;
    }
    world.settle(5).await;
    let disabled = world.send(app).await;
    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = Disabled::ByUser).await;
    world.settle(5).await;
    world.pass(10_000).await;
    let until = world.now();
    world.change_endpoint(app, endpoint, |endpoint| endpoint.disabled = Disabled::No).await;
    let good = world.send(app).await;
    world.settle(5).await;
    let before = world.sent().len();

    let task = world.task(app, TaskWork::Recover { endpoint, since, until }).await;
    world.pass(60_000).await;
    let task = world.read_task(task).await;
    assert_eq!((task.status, task.progress.affected, task.progress.looked_at), (TaskStatus::Finished, 701, 701));
    assert_eq!(task.progress.estimate, 701);
    assert_eq!(world.sent().len() - before, 701);
    assert_eq!(world.state(disabled, endpoint).await, DeliveryState::Delivered);
    assert_eq!(world.attempts(good, endpoint).await.len(), 1);

    let again = world.task(app, TaskWork::Recover { endpoint, since, until }).await;
    world.pass(10_000).await;
    assert_eq!(world.read_task(again).await.progress.affected, 0, "nothing is left to recover");
}

#[tokio::test(start_paused = true)]
async fn replay_missing_sends_what_never_went_and_would_go_today() {
    let world = World::new().await;
    let app = world.application().await;
    let since = world.now();
    world.pass(1000).await;
    for _ in 0..300 {
        world.send_with(app, "order.paid", |_| {}).await;
        world.send_with(app, "user.new", |_| {}).await;
    }
    // For an endpoint alone that is not there any more.
    let tried = EndpointId::from_row(RowId::from_raw(1));
    world.send_elsewhere(app, "order.paid", |content| content.routing = Routing::trial(tried)).await;
    world.pass(1000).await;
    let endpoint =
        world.endpoint_with(app, "a", |endpoint| endpoint.event_types = Some(vec![EventTypePattern::parse("order.*").unwrap()])).await;
    let present = world.send(app).await;
    world.settle(5).await;
    let task = world.task(app, TaskWork::ReplayMissing { endpoint, since, until: world.now() }).await;
    world.pass(30_000).await;
    let task = world.read_task(task).await;
    assert_eq!((task.status, task.progress.affected, task.progress.looked_at), (TaskStatus::Finished, 300, 602));
    assert_eq!(world.sent().len(), 301);
    assert_eq!(world.attempts(present, endpoint).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bulk_replay_sends_what_matches() {
    let world = World::with(|settings| settings.retry_schedule = schedule("none").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    let since = world.now();
    world.script(|sent| Reply::status(if sent.attempt > 1 { 200 } else { [200, 404, 500][sent.message.row().raw() as usize / 256 % 3] }));
    for _ in 0..90 {
        world.send_with(app, "order.paid", |_| {}).await;
        world.send_with(app, "user.new", |_| {}).await;
    }
    world.settle(5).await;
    let failed = |class: u16| {
        world.sent().iter().filter(|sent| [200, 404, 500][sent.message.row().raw() as usize / 256 % 3] / 100 * 100 == class).count() as u64
    };
    let until = world.now();
    let name = EventTypeName::parse("order.paid").unwrap();
    let cases = [
        (ReplayFilter { status_code_class: Some(400), ..ReplayFilter::default() }, failed(400)),
        (ReplayFilter { status: Some(DeliveryStatus::Fail), ..ReplayFilter::default() }, failed(500)),
        (ReplayFilter { event_types: Some(vec![name]), ..ReplayFilter::default() }, 90),
        (ReplayFilter::default(), 180),
    ];
    for (filter, expected) in cases {
        let before = world.sent().len() as u64;
        let task = world.task(app, TaskWork::BulkReplay { endpoint, since, until, filter: filter.clone() }).await;
        world.pass(30_000).await;
        let task = world.read_task(task).await;
        assert_eq!((task.status, task.progress.affected), (TaskStatus::Finished, expected), "{filter:?}");
        assert_eq!(world.sent().len() as u64 - before, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_can_be_canceled_and_goes_on_after_a_crash() {
    let mut world = World::with(|settings| settings.retry_schedule = schedule("none").unwrap()).await;
    let app = world.application().await;
    let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.concurrency = Some(1)).await;
    world.script(|sent| Reply::status(if sent.trigger == "scheduled" { 500 } else { 200 }).after_ms(1));
    let since = world.now();
    for _ in 0..1500 {
        world.send(app).await;
    }
    world.settle(3600).await;
    let until = world.now();
    world.script(|_| Reply::status(200).after_ms(20));

    let first = world.task(app, TaskWork::Recover { endpoint, since, until }).await;
    world.pass(6_000).await;
    let progress = world.read_task(first).await.progress;
    assert!(progress.affected >= 200 && progress.affected <= 800, "it does not run ahead of the receiver: {progress:?}");
    world.crash().await;
    world.pass(10_000).await;
    let later = world.read_task(first).await.progress;
    assert!(later.affected > progress.affected, "{later:?}");

    let cancel = Box::new(|task: &mut hookpost_domain::BackgroundTask| -> Result<(), Invalid> {
        task.status = TaskStatus::Canceled;
        Ok(())
    });
    world.shared().update_task(first, cancel).await.unwrap();
    world.engine.wake_tasks();
    world.pass(60_000).await;
    let stopped = world.read_task(first).await;
    assert_eq!(stopped.status, TaskStatus::Canceled);
    assert!(stopped.progress.affected < 1500);

    let second = world.task(app, TaskWork::Recover { endpoint, since, until }).await;
    world.pass(120_000).await;
    assert_eq!(world.read_task(second).await.status, TaskStatus::Finished);
    let manual = world.sent().iter().filter(|sent| sent.trigger == "manual").count();
    assert!((1500..=1502).contains(&manual), "{manual}: once each, but for what was under way at the crash");
}

#[tokio::test(start_paused = true)]
async fn a_task_for_an_endpoint_that_is_gone_fails() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    world.shared().delete_endpoint(app, endpoint, world.now()).await.unwrap();
    let task = world.task(app, TaskWork::Recover { endpoint, since: Timestamp::ZERO, until: world.now() }).await;
    world.pass(1000).await;
    assert_eq!(world.read_task(task).await.status, TaskStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn expunging_removes_payloads_and_answers() {
    let world = World::new().await;
    let app = world.application().await;
    let endpoint = world.endpoint(app, "a").await;
    let mut messages = Vec::new();
    for _ in 0..450 {
        messages.push(world.send(app).await);
    }
    world.settle(5).await;
    let task = world.task(app, TaskWork::ExpungeAllContents { application: app }).await;
    world.pass(30_000).await;
    assert_eq!(world.read_task(task).await.progress.affected, 450);
    for message in messages {
        let reference = hookpost_store::Reference::Id(message);
        let stored = world.shared().message(app, reference).await.unwrap().unwrap();
        assert_eq!(stored.content.payload, None);
        assert!(format!("{:?}", world.attempts(message, endpoint).await[0].outcome).contains("Expunged"));
    }
}

#[tokio::test(start_paused = true)]
async fn canceling_ends_what_waits_wherever_it_waits() {
    let world = World::with(|settings| settings.retry_schedule = schedule("1h").unwrap()).await;
    world.faults.lock().latency = Duration::from_millis(2);
    let app = world.application().await;
    let endpoint = world.endpoint_with(app, "a", |endpoint| endpoint.concurrency = Some(1)).await;
    world.script(|_| Reply::status(503).header("retry-after", 3600));
    let mut messages = Vec::new();
    for _ in 0..700 {
        messages.push(world.send(app).await);
    }
    world.pass(50).await;
    let which = hookpost_store::queue::CancelFilter::default();
    assert_eq!(world.engine.cancel(app, endpoint, which).await, Ok(700), "retries, memory and disk");
    world.pass(7_200_000).await;
    assert_eq!(world.sent().len(), 1);
    let canceled = DeliveryState::Canceled { reason: hookpost_domain::Reason::CanceledByUser };
    for message in messages {
        assert_eq!(world.state(message, endpoint).await, canceled);
    }
    // The lane goes on with what is new.
    world.script(|_| Reply::status(200));
    let new = world.send(app).await;
    world.settle(10).await;
    assert_eq!(world.state(new, endpoint).await, DeliveryState::Delivered);
}
