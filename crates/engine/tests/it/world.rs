//! An engine with everything around it made up: the reference store, receivers that follow a script, a clock that runs with tokio's paused
//! time, and repeatable randomness.

mod network;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::application::Metadata;
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::message::PayloadType;
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{
    Application, ApplicationId, Attempt, BackgroundTask, Channel, Clock, Delivery, DeliveryKey, DeliveryState, Endpoint, EndpointId,
    Entropy, EventTypeName, MessageContent, MessageId, OrgId, PublicIds, RetrySchedule, RowId, SigningSecret, TaskId, Timestamp, Uid,
    routing,
};
use hookpost_engine::{Engine, EngineMetrics, EngineSettings};
use hookpost_store::history::AttemptFilter;
use hookpost_store::memory::MemoryStore;
use hookpost_store::queue::{LaneState, News, NewsSender, ReadyReceiver};
use hookpost_store::{NewMessage, Order, PageRequest, SharedStore};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::network::Line;
pub(crate) use self::network::{Network, Reply, Sent};
use crate::faulty::{Faults, Faulty, FaultyStore};

const BEGIN: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);

#[derive(Debug)]
struct TestClock {
    began: Instant,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        BEGIN + self.began.elapsed()
    }
}

/// A stream of numbers that is the same for the same seed.
#[derive(Debug)]
pub(crate) struct Seeded(pub(crate) AtomicU64);

impl Seeded {
    pub(crate) fn next(&self) -> u64 {
        // SplitMix64.
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) struct World {
    pub(crate) settings: EngineSettings,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) network: Arc<Network>,
    pub(crate) engine: Arc<Engine>,
    clock: Arc<TestClock>,
    entropy: Arc<Seeded>,
    line: Arc<Line>,
    news: NewsSender,
    shutdown: CancellationToken,
    running: JoinSet<()>,
    ready_groups: usize,
    /// Other nodes have the same store; takes effect at the next start.
    pub(crate) shared_store: bool,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut EngineSettings)) -> Self {
        Self::with_channel(1024, change).await
    }

    pub(crate) async fn with_channel(ready_groups: usize, change: impl FnOnce(&mut EngineSettings)) -> Self {
        let began = Instant::now();
        let ids = PublicIds::new([7; 16]);
        let mut settings = EngineSettings { operational_webhooks: false, ..EngineSettings::default() };
        change(&mut settings);
        let faults = Arc::new(Mutex::new(Faults::default()));
        let (sender, ready) = tokio::sync::mpsc::channel(ready_groups);
        let store = Arc::new(Faulty::around(MemoryStore::new(ids.clone(), sender.into()), Arc::clone(&faults)));
        let network = Arc::new(Network {
            script: Mutex::new(Box::new(|_| Reply::status(200))),
            sent: Mutex::default(),
            in_flight: Mutex::default(),
            api: crate::pull::Api::default(),
            ids,
            began,
        });
        let clock = Arc::new(TestClock { began });
        let entropy = Arc::new(Seeded(AtomicU64::new(1)));
        let line = Arc::new(Line { network: Arc::clone(&network), cut: AtomicBool::new(false) });
        let engine = new_engine(&store, &line, &clock, &entropy, &settings);
        let mut world = Self {
            settings,
            store,
            faults,
            network,
            engine,
            clock,
            entropy,
            line,
            news: tokio::sync::mpsc::channel(1).0,
            shutdown: CancellationToken::new(),
            running: JoinSet::new(),
            ready_groups,
            shared_store: true,
        };
        world.run(ready);
        world
    }

    fn run(&mut self, ready: ReadyReceiver) {
        self.shutdown = CancellationToken::new();
        let engine = Arc::clone(&self.engine);
        let shutdown = self.shutdown.clone();
        let (sender, news) = tokio::sync::mpsc::channel(16);
        self.news = sender;
        self.running.spawn(engine.run(ready.into(), self.shared_store.then_some(news), shutdown));
    }

    /// As by `kill -9`, and a new start on what the store has.
    pub(crate) async fn crash(&mut self) {
        self.line.cut.store(true, Ordering::Relaxed);
        self.running.shutdown().await;
        self.restart();
    }

    /// In good order.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.expect("the engine ends without a panic");
        }
    }

    pub(crate) fn restart(&mut self) {
        let (sender, ready) = tokio::sync::mpsc::channel(self.ready_groups);
        self.store = Arc::new(Faulty::around(self.store.inner.restarted(sender.into()), Arc::clone(&self.faults)));
        self.line = Arc::new(Line { network: Arc::clone(&self.network), cut: AtomicBool::new(false) });
        self.engine = new_engine(&self.store, &self.line, &self.clock, &self.entropy, &self.settings);
        self.run(ready);
    }

    pub(crate) fn shared(&self) -> SharedStore {
        self.store.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.clock.began.elapsed().as_millis() as u64
    }

    pub(crate) fn script(&self, script: impl Fn(&Sent) -> Reply + Send + Sync + 'static) {
        *self.network.script.lock() = Box::new(script);
    }

    pub(crate) async fn application(&self) -> ApplicationId {
        self.application_with(|_| {}).await
    }

    pub(crate) async fn application_with(&self, change: impl FnOnce(&mut Application)) -> ApplicationId {
        let store = self.shared();
        let now = self.now();
        let mut application = Application {
            id: ApplicationId::from_row(store.new_row_id(now)),
            org: OrgId::parse(OrgId::DEFAULT).expect("an org"),
            uid: None,
            name: "acme".into(),
            throttle_rate: None,
            metadata: Metadata::new(),
            created_at: now,
            updated_at: now,
        };
        change(&mut application);
        let id = application.id;
        store.create_application(application).await.expect("created");
        id
    }

    /// An endpoint whose URL ends in `path`.
    pub(crate) async fn endpoint(&self, application: ApplicationId, path: &str) -> EndpointId {
        self.endpoint_with(application, path, |_| {}).await
    }

    pub(crate) async fn endpoint_with(&self, application: ApplicationId, path: &str, change: impl FnOnce(&mut Endpoint)) -> EndpointId {
        let store = self.shared();
        let now = self.now();
        let mut endpoint = Endpoint {
            id: EndpointId::from_row(store.new_row_id(now)),
            application,
            uid: None,
            url: format!("http://receiver.test/{path}"),
            description: String::new(),
            version: 1,
            disabled: Disabled::No,
            event_types: None,
            channels: None,
            throttle_rate: None,
            concurrency: None,
            ordered: false,
            retry_schedule: None,
            headers: Vec::new(),
            secrets: EndpointSecrets::new(SigningSecret::Hmac256(vec![1; 24])),
            metadata: Metadata::new(),
            created_at: now,
            updated_at: now,
        };
        change(&mut endpoint);
        let id = endpoint.id;
        store.create_endpoint(endpoint).await.expect("created");
        id
    }

    pub(crate) async fn change_endpoint(
        &self,
        application: ApplicationId,
        endpoint: EndpointId,
        change: impl FnOnce(&mut Endpoint) + Send + 'static,
    ) {
        let change = Box::new(move |endpoint: &mut Endpoint| {
            change(endpoint);
            Ok(())
        });
        self.shared().update_endpoint(application, endpoint, change).await.expect("changed");
        self.engine.wake(application, endpoint);
    }

    pub(crate) async fn read_endpoint(&self, application: ApplicationId, endpoint: EndpointId) -> Arc<Endpoint> {
        let view = self.shared().application_by_id(application).await.expect("available").expect("exists");
        Arc::clone(view.endpoint(endpoint).expect("exists"))
    }

    pub(crate) async fn send(&self, application: ApplicationId) -> MessageId {
        self.send_with(application, "order.paid", |_| {}).await
    }

    pub(crate) async fn send_with(
        &self,
        application: ApplicationId,
        event_type: &str,
        change: impl FnOnce(&mut MessageContent),
    ) -> MessageId {
        let id = self.send_elsewhere(application, event_type, change).await;
        self.engine.arrived(application);
        id
    }

    /// As if another node had accepted it.
    pub(crate) async fn send_elsewhere(
        &self,
        application: ApplicationId,
        event_type: &str,
        change: impl FnOnce(&mut MessageContent),
    ) -> MessageId {
        let store = self.shared();
        let view = store.application_by_id(application).await.expect("available").expect("exists");
        let event_type = EventTypeName::parse(event_type).expect("a name");
        let now = self.now();
        let mut content = MessageContent {
            routing: routing::fan_out(&view.endpoints, &event_type, &[]),
            event_type,
            event_id: None,
            channels: Vec::<Channel>::new(),
            tags: Vec::new(),
            payload: Some(Bytes::from_static(br#"{"n": 1.50}"#)),
            content_type: PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: now + Duration::from_secs(90 * 86_400),
            deliver_at: None,
        };
        change(&mut content);
        let later = content.deliver_at.is_some();
        let targets = content.routing.targets.clone();
        let accepted = store.accept(NewMessage { application, content, idempotency_key: None }, now).await.expect("accepted");
        if later {
            targets.into_iter().for_each(|endpoint| self.engine.wake(application, endpoint));
        }
        accepted.id
    }

    /// As the API does it.
    pub(crate) async fn resend(&self, application: ApplicationId, message: MessageId, endpoint: EndpointId) {
        let sent = self.shared().send_again(vec![DeliveryKey { message, endpoint }], self.now()).await.expect("available");
        assert_eq!(sent, 1);
        self.engine.wake(application, endpoint);
    }

    pub(crate) async fn task(&self, application: impl Into<Option<ApplicationId>>, work: hookpost_domain::task::TaskWork) -> TaskId {
        let now = self.now();
        let id = TaskId::from_row(self.store.inner_row_id(now));
        let task = BackgroundTask {
            id,
            org: OrgId::parse(OrgId::DEFAULT).expect("an org"),
            application: application.into(),
            work,
            status: hookpost_domain::task::TaskStatus::Running,
            result: None,
            progress: hookpost_domain::task::TaskProgress::default(),
            created_at: now,
            updated_at: now,
        };
        self.shared().create_task(task).await.expect("created");
        self.engine.wake_tasks();
        id
    }

    /// As from a store that other nodes share.
    pub(crate) async fn tell(&self, news: News) {
        self.news.send(news).await.expect("the engine runs");
    }

    pub(crate) async fn tell_of(&self, application: ApplicationId, endpoint: EndpointId, change: impl FnOnce(&mut LaneState)) {
        let health = hookpost_domain::health::Health::default();
        let mut lane = LaneState { application, endpoint, ready: false, next_due: None, health, elsewhere: false };
        change(&mut lane);
        self.tell(News::Lanes(vec![lane])).await;
    }

    pub(crate) async fn read_task(&self, id: TaskId) -> BackgroundTask {
        self.shared().task(id).await.expect("available").expect("exists")
    }

    pub(crate) async fn delivery(&self, message: MessageId, endpoint: EndpointId) -> Delivery {
        self.shared().delivery(DeliveryKey { message, endpoint }).await.expect("available").expect("a delivery")
    }

    pub(crate) async fn state(&self, message: MessageId, endpoint: EndpointId) -> DeliveryState {
        self.delivery(message, endpoint).await.state
    }

    /// Oldest first.
    pub(crate) async fn attempts(&self, message: MessageId, endpoint: EndpointId) -> Vec<Attempt> {
        let filter = AttemptFilter { endpoint: Some(endpoint), ..AttemptFilter::default() };
        let page = self.shared().attempts_of_message(message, filter, PageRequest::first(250, Order::Ascending)).await.expect("available");
        page.items.into_iter().map(|stored| stored.attempt).collect()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.network.sent.lock().clone()
    }

    pub(crate) fn sent_to(&self, path: &str) -> Vec<Sent> {
        let path = format!("/{path}");
        self.sent().into_iter().filter(|sent| sent.path == path).collect()
    }

    /// The most attempts that were in flight to a receiver at a time.
    pub(crate) fn most_in_flight(&self, path: &str) -> usize {
        self.network.in_flight.lock().get(&format!("/{path}")).map_or(0, |(_, most)| *most)
    }

    pub(crate) async fn pass(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Until every delivery has ended, and at most for `seconds` of the test's time.
    pub(crate) async fn settle(&self, seconds: u64) {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(seconds);
        while hookpost_store::Queue::backlog(&*self.store).deliveries > 0 {
            assert!(
                Instant::now() < end,
                "{} deliveries have not ended after {seconds} s",
                hookpost_store::Queue::backlog(&*self.store).deliveries
            );
            self.pass(if begin.elapsed() < Duration::from_secs(5) { 20 } else { 1000 }).await;
        }
        // What was asked for by hand is no backlog, and releases may be under way.
        self.pass(100).await;
    }
}

impl Faulty {
    fn inner_row_id(&self, now: Timestamp) -> RowId {
        hookpost_store::Store::new_row_id(&self.inner, now)
    }
}

fn new_engine(
    store: &Arc<FaultyStore>,
    line: &Arc<Line>,
    clock: &Arc<TestClock>,
    entropy: &Arc<Seeded>,
    settings: &EngineSettings,
) -> Arc<Engine> {
    let store: SharedStore = store.clone();
    Engine::new(store, line.clone(), clock.clone(), entropy.clone(), settings.clone(), EngineMetrics::default())
}

pub(crate) fn schedule(text: &str) -> Option<RetrySchedule> {
    Some(RetrySchedule::parse(text).expect("a schedule"))
}

pub(crate) fn uid(text: &str) -> Option<Uid> {
    Some(Uid::parse(text).expect("a uid"))
}
