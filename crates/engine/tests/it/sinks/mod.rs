//! Sinks in simulated time: order, batches, retries, and whoever moves them meanwhile.

mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::sink::{HttpSink, SinkAttempt, SinkOwner, SinkProgress, SinkTarget};
use hookpost_domain::{ApplicationId, EventTypeName, MessageId, OrgId, RowId, SigningSecret, Sink, SinkId};
use hookpost_store::ledger::LogWindow;
use hookpost_store::{LogName, Order, PageRequest};

use crate::world::{Reply, World};

const MINUTE: u64 = 60_000;

impl World {
    /// Of an application, with a URL that ends in `path`.
    async fn sink(&self, log: ApplicationId, path: &str, change: impl FnOnce(&mut Sink)) -> SinkId {
        let id = self.create_sink(log, path, change).await;
        self.engine.wake_sinks();
        self.pass(10).await;
        id
    }

    async fn create_sink(&self, log: ApplicationId, path: &str, change: impl FnOnce(&mut Sink)) -> SinkId {
        let (store, now) = (self.shared(), self.now());
        let url = format!("http://receiver.test/{path}");
        let secrets = EndpointSecrets::new(SigningSecret::Hmac256(vec![1; 24]));
        let mut sink = Sink {
            id: SinkId::from_row(store.new_row_id(now)),
            org: OrgId::parse(OrgId::DEFAULT).expect("an org"),
            owner: SinkOwner::Application(log),
            log,
            uid: None,
            disabled: false,
            target: SinkTarget::Http(HttpSink { url, headers: Vec::new(), secrets }),
            batch_size: 1,
            max_wait_s: 0,
            event_types: Vec::new(),
            channels: Vec::new(),
            metadata: Default::default(),
            created_at: now,
            updated_at: now,
        };
        change(&mut sink);
        store.create(&sink).await.expect("created");
        sink.id
    }

    async fn change_sink(&self, log: ApplicationId, sink: SinkId, change: impl FnOnce(&mut Sink) + Send + 'static) {
        let (org, now) = (OrgId::parse(OrgId::DEFAULT).expect("an org"), self.now());
        let change = move |sink: &mut Sink| {
            change(sink);
            sink.updated_at = now;
            Ok(())
        };
        self.shared().update::<Sink>(&org, log.row(), sink.row(), change).await.expect("changed");
        self.engine.wake_sinks();
        self.pass(10).await;
    }

    async fn progress(&self, sink: SinkId) -> SinkProgress {
        self.shared().sink_progress(sink, "").await.expect("available")
    }

    /// As the API does it, on another node.
    async fn move_sink(&self, sink: SinkId, change: impl FnOnce(&mut SinkProgress) + Send + 'static) {
        self.shared().advance_sink(sink, "", change, Vec::new()).await.expect("available");
    }

    async fn send_numbers(&self, log: ApplicationId, numbers: std::ops::Range<u32>) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for number in numbers {
            ids.push(self.send_with(log, "order.paid", |content| content.payload = Some(number.to_string().into())).await);
        }
        ids
    }

    fn bodies(&self, path: &str) -> Vec<String> {
        self.sent_to(path).iter().map(|sent| String::from_utf8_lossy(&sent.body).into_owned()).collect()
    }

    /// The numbers of each batch.
    fn batches(&self, path: &str) -> Vec<Vec<u32>> {
        let number = |event: &serde_json::Value| event["payload"].as_u64().expect("a number") as u32;
        let batch = |body: &String| {
            let events: Vec<serde_json::Value> = serde_json::from_str(body).expect("an array");
            events.iter().map(number).collect()
        };
        self.bodies(path).iter().map(batch).collect()
    }

    /// Oldest first.
    async fn sink_attempts(&self, sink: SinkId) -> Vec<SinkAttempt> {
        let page = PageRequest::first(250, Order::Ascending);
        let listed = self.shared().log(&LogName::AttemptsOfSink(sink), LogWindow::default(), page).await.expect("available");
        listed.items.iter().map(|entry| entry.read().expect("an attempt")).collect()
    }
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

/// Fails until it is told otherwise.
fn failing(world: &World) -> Arc<AtomicBool> {
    let fails = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&fails);
    world.script(move |_| Reply::status(if told.load(Ordering::Relaxed) { 503 } else { 200 }));
    fails
}

#[tokio::test(start_paused = true)]
async fn takes_all_messages_in_their_order_signed_and_each_as_it_is() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    let ids = world.send_numbers(app, 0..20).await;
    world.pass(100).await;
    assert_eq!(world.bodies("s"), numbers(0..20));
    let sent = world.sent_to("s");
    assert_eq!(sent.iter().map(|sent| sent.message).collect::<Vec<_>>(), ids);
    assert_eq!((sent[0].attempt, sent[0].will_retry_after), (1, Some(5)));
    assert!(sent[0].headers.contains_key("svix-signature"));
    assert!(world.most_in_flight("s") == 1);
    let progress = world.progress(sink).await;
    assert_eq!((progress.after, progress.last_taken, progress.failing), (Some(ids[19]), Some(ids[19]), None));
    let attempts = world.sink_attempts(sink).await;
    assert_eq!((attempts.len(), attempts[0].first, attempts[0].events, attempts[0].success), (20, ids[0], 1, true));
    assert_eq!(attempts[0].response, "thanks");
}

#[tokio::test(start_paused = true)]
async fn never_goes_past_a_batch_that_was_not_taken() {
    let mut world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    // The third message fails five times; then all is well.
    world.script(move |sent| {
        let fails = &sent.body[..] == b"2" && counted.fetch_add(1, Ordering::Relaxed) < 5;
        Reply::status(if fails { 500 } else { 200 })
    });
    world.send_numbers(app, 0..5).await;
    world.pass(2000).await;
    world.crash().await;
    world.pass(6 * MINUTE).await;
    world.stop().await;
    world.restart();
    world.pass(4 * 60 * MINUTE).await;
    let mut expected = vec!["0", "1"];
    expected.extend(["2"; 6]);
    expected.extend(["3", "4"]);
    assert_eq!(world.bodies("s"), expected);
    // Immediately, then 5 s, 5 min, 30 min, 1 h and 1 h, each a fifth more or less.
    let at: Vec<u64> = world.sent_to("s").iter().filter(|sent| &sent.body[..] == b"2").map(|sent| sent.at_ms / 1000).collect();
    for (pair, wait) in at.windows(2).zip([5, 300, 1800, 3600, 3600]) {
        let gap = pair[1] - pair[0];
        assert!((wait * 8 / 10..=wait * 12 / 10 + 1).contains(&gap), "{gap} s instead of {wait}");
    }
    let attempts = world.sink_attempts(sink).await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.status_code == 500).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn says_since_when_and_why_it_fails_and_waits_as_long_as_it_is_asked_to() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    world.script(|_| Reply::status(429).header("retry-after", 600));
    let began = world.now();
    world.send(app).await;
    world.pass(500).await;
    let failing = world.progress(sink).await.failing.expect("it fails");
    assert_eq!((failing.attempts, failing.reason.as_str()), (1, "the sink answered 429"));
    assert!(failing.since >= began && failing.next_at.since(began) >= Duration::from_secs(600));
    world.script(|_| Reply::never());
    world.pass(11 * MINUTE).await;
    let failing = world.progress(sink).await.failing.expect("it fails");
    assert_eq!((failing.attempts, failing.reason.as_str()), (2, "the receiver did not answer in time"));
    assert_eq!(world.sent_to("s")[1].attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_has_waited_long_enough() {
    let world = World::new().await;
    let app = world.application().await;
    world.sink(app, "s", |sink| (sink.batch_size, sink.max_wait_s) = (10, 20)).await;
    world.send_numbers(app, 0..25).await;
    world.pass(3000).await;
    assert_eq!(world.batches("s"), [(0..10).collect::<Vec<_>>(), (10..20).collect()]);
    world.pass(10_000).await;
    world.send_numbers(app, 25..27).await;
    world.pass(5000).await;
    assert_eq!(world.batches("s").len(), 2, "they wait");
    world.pass(3000).await;
    assert_eq!(world.batches("s")[2], (20..27).collect::<Vec<_>>());
    let id = world.sent_to("s")[2].headers["webhook-id"].to_str().unwrap().to_owned();
    assert_eq!(id.matches("msg_").count(), 2, "{id}");
    // What fills up while it waits does not wait.
    world.send_numbers(app, 27..30).await;
    world.pass(5000).await;
    world.send_numbers(app, 30..37).await;
    world.pass(3000).await;
    assert_eq!(world.batches("s")[3], (27..37).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_failed_stays_as_it_was_to_the_byte() {
    let mut world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |sink| sink.batch_size = 10).await;
    let fails = failing(&world);
    world.send_numbers(app, 0..3).await;
    world.pass(1000).await;
    world.send_numbers(app, 3..9).await;
    world
        .change_sink(app, sink, |sink| (sink.batch_size, sink.event_types) = (2, vec![EventTypeName::parse("none").expect("a name")]))
        .await;
    world.change_sink(app, sink, |sink| sink.event_types = Vec::new()).await;
    world.crash().await;
    world.pass(10 * MINUTE).await;
    fails.store(false, Ordering::Relaxed);
    world.pass(60 * MINUTE).await;
    let sent = world.sent_to("s");
    let retries: Vec<_> = sent.iter().filter(|one| one.message == sent[0].message).collect();
    assert!(retries.len() > 3);
    for retry in retries {
        assert_eq!((&retry.body, &retry.headers["webhook-id"]), (&sent[0].body, &sent[0].headers["webhook-id"]));
    }
    let batches = world.batches("s");
    assert_eq!(batches[batches.len() - 3..], [vec![3, 4], vec![5, 6], vec![7, 8]]);
}

#[tokio::test(start_paused = true)]
async fn skipping_and_seeking_stand_whatever_is_under_way() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    let fails = failing(&world);
    let ids = world.send_numbers(app, 0..6).await;
    world.pass(10 * MINUTE).await;
    // While it waits for its retry.
    let (skipped, now) = (ids[2], world.now());
    world.move_sink(sink, move |progress| progress.skip_to(skipped, now)).await;
    fails.store(false, Ordering::Relaxed);
    world.pass(2000).await;
    let mut bodies = world.bodies("s");
    bodies.dedup();
    assert_eq!(bodies, ["0", "3", "4", "5"], "found within a second, and not only when the retry is due");
    // While a request is under way: it is taken, and everything comes again all the same.
    world.script(|_| Reply::status(200).after_ms(1000));
    world.send_numbers(app, 6..7).await;
    world.pass(500).await;
    world.move_sink(sink, |progress| progress.seek(None)).await;
    world.pass(20_000).await;
    assert_eq!(world.bodies("s")[bodies_before(&world, "6")..], numbers(0..7));
}

/// Where what comes after the first request with this body begins.
fn bodies_before(world: &World, body: &str) -> usize {
    world.bodies("s").iter().position(|own| own == body).expect("sent") + 1
}

#[tokio::test(start_paused = true)]
async fn a_retry_can_be_forced_also_from_another_node() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    let fails = failing(&world);
    world.send(app).await;
    world.pass(60 * MINUTE).await;
    let tried = world.sent_to("s").len();
    world.engine.force_sink(sink).await.expect("available");
    world.pass(50).await;
    assert_eq!(world.sent_to("s").len(), tried + 1, "at once");
    fails.store(false, Ordering::Relaxed);
    let now = world.now();
    world.move_sink(sink, move |progress| progress.force(now)).await;
    world.pass(1100).await;
    assert_eq!(world.sent_to("s").len(), tried + 2, "within a second");
    assert_eq!(world.progress(sink).await.failing, None);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_wanted_and_still_there_is_sent() {
    let world = World::new().await;
    let app = world.application().await;
    let wanted = EventTypeName::parse("order.paid").expect("a name");
    let sink = world.sink(app, "s", |sink| (sink.event_types, sink.batch_size) = (vec![wanted], 3)).await;
    world.change_sink(app, sink, |sink| sink.disabled = true).await;
    for number in 0..40_u32 {
        let name = if number % 10 == 9 { "order.paid" } else { "order.seen" };
        let id = world.send_with(app, name, |content| content.payload = Some(number.to_string().into())).await;
        if number == 19 {
            world.shared().expunge_message(app, id).await.expect("available");
        }
    }
    world.change_sink(app, sink, |sink| sink.disabled = false).await;
    world.pass(1000).await;
    assert_eq!(world.batches("s"), [vec![9, 29, 39]]);
    let last = world.send_with(app, "order.seen", |_| {}).await;
    world.pass(1000).await;
    assert_eq!(world.progress(sink).await.after, Some(last), "what is not wanted counts as taken");
}

#[tokio::test(start_paused = true)]
async fn what_is_expunged_while_it_waits_for_its_retry_holds_nobody_up() {
    let world = World::new().await;
    let app = world.application().await;
    world.sink(app, "s", |_| {}).await;
    let fails = failing(&world);
    let ids = world.send_numbers(app, 0..2).await;
    world.pass(1000).await;
    world.shared().expunge_message(app, ids[0]).await.expect("available");
    fails.store(false, Ordering::Relaxed);
    world.pass(10_000).await;
    assert_eq!(world.bodies("s"), ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_its_own_time_is_sent_then_and_before_others() {
    let mut world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    let at = world.now() + Duration::from_secs(60);
    world.send_with(app, "order.paid", |content| (content.payload, content.deliver_at) = (Some("later".into()), Some(at))).await;
    world.send_numbers(app, 0..2).await;
    world.pass(1000).await;
    assert_eq!(world.bodies("s"), ["0", "1"]);
    assert_eq!(world.progress(sink).await.deferred.len(), 1);
    world.crash().await;
    let fails = failing(&world);
    world.pass(30_000).await;
    world.send_numbers(app, 2..4).await;
    world.pass(40_000).await;
    fails.store(false, Ordering::Relaxed);
    world.pass(10 * MINUTE).await;
    let mut bodies = world.bodies("s");
    bodies.dedup();
    assert_eq!(bodies, ["0", "1", "2", "later", "3"], "after the batch that was begun");
    assert!(world.sent_to("s").iter().find(|sent| &sent.body[..] == b"later").expect("sent").at_ms >= 60_000);
    assert!(world.progress(sink).await.deferred.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stops_at_once_when_it_is_disabled_or_deleted() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    world.script(|_| Reply::status(200).after_ms(5000));
    world.send_numbers(app, 0..3).await;
    world.pass(100).await;
    world.change_sink(app, sink, |sink| sink.disabled = true).await;
    world.pass(60_000).await;
    assert_eq!((world.bodies("s"), world.progress(sink).await.after), (vec!["0".to_owned()], None));
    world.change_sink(app, sink, |sink| sink.disabled = false).await;
    world.pass(10_500).await;
    assert_eq!(world.bodies("s"), ["0", "0", "1", "2"], "what was cut off is sent again");
    let org = OrgId::parse(OrgId::DEFAULT).expect("an org");
    world.shared().delete::<Sink>(&org, app.row(), sink.row()).await.expect("deleted");
    world.pass(1100).await;
    world.send_numbers(app, 3..5).await;
    world.pass(60_000).await;
    assert_eq!(world.bodies("s").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_changed_sink_is_tried_at_once() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |_| {}).await;
    world.script(|sent| Reply::status(if sent.path == "/s" { 500 } else { 200 }));
    world.send_numbers(app, 0..2).await;
    world.pass(20 * MINUTE).await;
    world
        .change_sink(app, sink, |sink| {
            let SinkTarget::Http(http) = &mut sink.target else { panic!("it is called") };
            http.url = "http://receiver.test/mended".into();
        })
        .await;
    world.pass(200).await;
    assert_eq!(world.bodies("mended"), ["0", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_seek_far_back_meets_what_was_deferred_once() {
    let world = World::new().await;
    let app = world.application().await;
    let sink = world.sink(app, "s", |sink| sink.batch_size = 2).await;
    let at = world.now() + Duration::from_secs(30);
    world.send_with(app, "order.paid", |content| (content.payload, content.deliver_at) = (Some("7".into()), Some(at))).await;
    world.send_numbers(app, 0..2).await;
    world.pass(1000).await;
    world.move_sink(sink, |progress| progress.seek(Some(MessageId::from_row(RowId::MIN)))).await;
    world.engine.wake_sink(sink);
    world.pass(60_000).await;
    assert_eq!(world.batches("s"), [vec![0, 1], vec![0, 1], vec![7]]);
}
