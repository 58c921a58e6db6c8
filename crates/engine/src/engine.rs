//! The running engine: owns the lanes and the tasks that serve them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hookpost_domain::{ApplicationId, Clock, EndpointId, Entropy, RetrySchedule, SinkId, limits};
use hookpost_store::queue::{LeasedDelivery, News, NewsReceiver, ReadyReceiver};
use hookpost_store::{SharedStore, Unavailable};
use hookpost_threads::PerThread;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt_log::AttemptLog;
use crate::budget::Shared;
use crate::lanes::{LaneCell, Lanes};
use crate::listeners::{Listener, Listeners};
use crate::metrics::EngineMetrics;
use crate::operational::{EVENTS_WAITING_MAX, Waiting};
use crate::placement::Placement;
use crate::recorder::Recorder;
use crate::settings::EngineSettings;
use crate::status::LaneStatus;
use crate::timer::Timer;
use crate::transport::Transport;

const RESTORE_RETRY: Duration = Duration::from_millis(500);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(5);

/// What became ready by commits, by the thread that hands it over.
type Ready = PerThread<Mutex<ReadyReceiver>>;

/// Who waits for messages of an application; see [`Listener`].
pub type Arrival = Listener<ApplicationId>;

#[derive(Debug)]
pub struct Engine {
    pub(crate) store: SharedStore,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: EngineSettings,
    pub(crate) metrics: EngineMetrics,
    pub(crate) default_schedule: Arc<RetrySchedule>,

    pub(crate) lanes: Lanes,
    pub(crate) placement: Placement,
    pub(crate) shared: Arc<Shared>,
    pub(crate) timer: Timer,
    pub(crate) recorder: Recorder,
    pub(crate) events: mpsc::Sender<Waiting>,
    pub(crate) attempt_log: AttemptLog,
    events_waiting: Mutex<Option<mpsc::Receiver<Waiting>>>,
    pub(crate) tasks_changed: Notify,
    pub(crate) sources_changed: Notify,
    pub(crate) sinks_changed: Notify,
    pub(crate) arrivals: Arc<Listeners<ApplicationId>>,
    /// How far a sink came was changed by somebody else than the sink.
    pub(crate) sinks_moved: Arc<Listeners<SinkId>>,

    /// Workers, claims and other short work on behalf of lanes.
    pub(crate) tracker: TaskTracker,
    /// The three steps of a shutdown: nothing new is begun; attempts in flight are cut off; what is left to be recorded is the last.
    pub(crate) closing: CancellationToken,
    pub(crate) attempts_end: CancellationToken,
    pub(crate) recording_ends: CancellationToken,
}

impl Engine {
    /// In a runtime; workers run on the threads that the caller runs on.
    pub fn new(
        store: SharedStore,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: EngineSettings,
        metrics: EngineMetrics,
    ) -> Arc<Self> {
        let (events, events_waiting) = mpsc::channel(EVENTS_WAITING_MAX);
        Arc::new(Self {
            default_schedule: Arc::new(settings.retry_schedule.clone()),
            shared: Arc::new(Shared::new(settings.attempts_in_flight_max, limits::LANES_BYTES_IN_MEMORY_MAX)),
            store,
            transport,
            clock,
            entropy,
            settings,
            metrics,
            lanes: Lanes::default(),
            placement: Placement::here(),
            timer: Timer::default(),
            recorder: Recorder::default(),
            events,
            attempt_log: AttemptLog::default(),
            events_waiting: Mutex::new(Some(events_waiting)),
            tasks_changed: Notify::new(),
            sources_changed: Notify::new(),
            sinks_changed: Notify::new(),
            arrivals: Arc::default(),
            sinks_moved: Arc::default(),
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            attempts_end: CancellationToken::new(),
            recording_ends: CancellationToken::new(),
        })
    }

    /// Takes up what the store has, serves what becomes ready, and runs background tasks, pull sources, sinks and retention, until `shutdown`; then stops claiming, gives attempts
    /// in flight the grace period, records them and releases the rest. `news`: of other nodes, where the store is shared. To be called once.
    pub async fn run(self: Arc<Self>, ready: PerThread<ReadyReceiver>, news: Option<NewsReceiver>, shutdown: CancellationToken) {
        let mut services = JoinSet::new();
        if let Some(events) = self.events_waiting.lock().take() {
            services.spawn(Arc::clone(&self).serve_publisher(events));
        }
        services.spawn(Arc::clone(&self).serve_attempt_log());
        services.spawn(Arc::clone(&self).serve_timer());
        services.spawn(Arc::clone(&self).keep_house());
        services.spawn(Arc::clone(&self).serve_retention());
        services.spawn(Arc::clone(&self).serve_tasks());
        services.spawn(Arc::clone(&self).serve_pull());
        services.spawn(Arc::clone(&self).serve_sinks(news.is_some()));
        let mut recorder = JoinSet::new();
        recorder.spawn(Arc::clone(&self).serve_recorder());

        let ready: Arc<Ready> = Arc::new(ready.into_iter().map(|(_, receiver)| Mutex::new(receiver)).collect());
        let mut serving = JoinSet::new();
        tokio::select! {
            () = self.serve(&ready, news, &mut serving) => {}
            () = shutdown.cancelled() => {}
        }
        serving.shutdown().await;
        self.close(&ready).await;
        join(services).await;
        self.recording_ends.cancel();
        join(recorder).await;
    }

    /// Something of this endpoint may be due earlier than the lane knows: after a resend, a cancellation, or a change of the endpoint.
    pub fn wake(&self, application: ApplicationId, endpoint: EndpointId) {
        let cell = self.lane(application, endpoint);
        cell.lane.lock().wake_by_hand(self.clock.now());
        self.look_at(cell);
    }

    /// For what nobody waits for in person.
    pub(crate) fn wake_in_passing(&self, application: ApplicationId, endpoint: EndpointId) {
        let cell = self.lane(application, endpoint);
        {
            let mut lane = cell.lane.lock();
            lane.expect_backlog();
            lane.wake(self.clock.now());
        }
        self.look_at(cell);
    }

    fn look_at(&self, cell: Arc<LaneCell>) {
        self.timer.set(self.clock.now(), cell.endpoint);
        self.recorder.wake_after(cell);
    }

    /// A background task was created, or asked to stop.
    pub fn wake_tasks(&self) {
        self.tasks_changed.notify_one();
    }

    /// A message was accepted there, on this node.
    pub fn arrived(&self, application: ApplicationId) {
        self.arrivals.tell(application);
    }

    /// For whoever waits for messages of an application: to be asked for before its feed is looked at.
    pub fn arrival(&self, application: ApplicationId) -> Arrival {
        Listeners::listen(&self.arrivals, application)
    }

    /// A sink was made, changed or deleted here. (What other nodes do is noticed by the version of the catalogue.)
    pub fn wake_sinks(&self) {
        self.sinks_changed.notify_one();
    }

    /// How far a sink came was changed here: skipped, or set back. (What other nodes do is noticed soon.)
    pub fn wake_sink(&self, sink: SinkId) {
        self.sinks_moved.tell(sink);
    }

    /// Tries a sink now that waits for a retry, whichever node serves it.
    pub async fn force_sink(&self, sink: SinkId) -> Result<(), Unavailable> {
        let now = self.clock.now();
        self.store.advance_sink(sink, "", move |progress| progress.force(now), Vec::new()).await?;
        self.wake_sink(sink);
        Ok(())
    }

    pub fn lane_status(&self, endpoint: EndpointId) -> LaneStatus {
        match self.lanes.get(endpoint) {
            Some(cell) => cell.lane.lock().status(self.clock.now()),
            None => LaneStatus { concurrency: self.settings.lane_concurrency, ..LaneStatus::default() },
        }
    }

    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Makes lanes for all that the store has to do.
    async fn take_up(self: &Arc<Self>, with_health: bool) {
        loop {
            match self.store.lanes().await {
                Ok(lanes) => return self.restore(lanes, with_health),
                Err(problem) => {
                    tracing::warn!(%problem, "cannot read what there is to deliver; trying again");
                    tokio::time::sleep(RESTORE_RETRY).await;
                }
            }
        }
    }

    async fn serve(self: &Arc<Self>, ready: &Arc<Ready>, mut news: Option<NewsReceiver>, serving: &mut JoinSet<()>) {
        self.take_up(true).await;
        for (_, thread) in self.placement.threads().iter() {
            serving.spawn_on(Arc::clone(self).serve_ready(Arc::clone(ready)), thread);
        }
        loop {
            tokio::select! {
                biased;
                Some(news) = next_news(&mut news) => self.take_note(news, ready),
                Some(Err(problem)) = serving.join_next() => panic!("a thread does not deliver any more: {problem}"),
                else => return std::future::pending().await,
            }
        }
    }

    /// What is handed over by the thread that this runs on.
    async fn serve_ready(self: Arc<Self>, ready: Arc<Ready>) {
        let ready = ready.here();
        // While the channel is full the store keeps groups as backlog, of which no lane knows.
        let mut missed_some = false;
        while self.offer_next(ready, &mut missed_some).await {
            if missed_some && ready.lock().is_empty() {
                missed_some = false;
                let engine = Arc::clone(&self);
                self.tracker.spawn(async move {
                    tokio::select! {
                        () = engine.take_up(false) => {}
                        () = engine.closing.cancelled() => {}
                    }
                });
            }
        }
    }

    /// Under the lock of the channel: whoever empties that finds each group either there or in the lanes. `false`: there will be none any more.
    async fn offer_next(self: &Arc<Self>, ready: &Mutex<ReadyReceiver>, missed_some: &mut bool) -> bool {
        poll_fn(|context| {
            let mut ready = ready.lock();
            let Some(group) = std::task::ready!(ready.poll_recv(context)) else { return Poll::Ready(false) };
            *missed_some |= ready.len() + 1 >= ready.max_capacity();
            self.offer(group);
            Poll::Ready(true)
        })
        .await
    }

    /// What other nodes did.
    fn take_note(self: &Arc<Self>, news: News, ready: &Ready) {
        match news {
            News::Lanes(lanes) => self.restore(lanes, true),
            News::Tasks => self.tasks_changed.notify_one(),
            News::Recalled { application, endpoint } => {
                let cell = self.lane(application, endpoint);
                let works = cell.lane.lock().give_back();
                self.recorder.release(works.into_iter().map(|work| (Arc::clone(&cell), work)).collect());
                // What held up the lane may be gone.
                self.wake_in_passing(application, endpoint);
            }
            News::LeasesLost => {
                tracing::warn!("this node was silent for so long that others have taken over what it held");
                for (_, ready) in ready.iter() {
                    let mut ready = ready.lock();
                    while let Ok(group) = ready.try_recv() {
                        self.give_back(group);
                    }
                }
                for cell in self.lanes.all() {
                    let works = cell.lane.lock().leases_lost();
                    self.recorder.release(works.into_iter().map(|work| (Arc::clone(&cell), work)).collect());
                    self.plan(&cell);
                }
            }
        }
    }

    /// A group that no lane has seen.
    fn give_back(&self, group: Vec<LeasedDelivery>) {
        self.recorder.release_untracked(group.into_iter().map(|leased| (leased.key, leased.lease)).collect());
    }

    async fn close(self: &Arc<Self>, ready: &Ready) {
        self.closing.cancel();
        for (_, ready) in ready.iter() {
            ready.lock().close();
            while let Some(group) = poll_fn(|context| ready.lock().poll_recv(context)).await {
                self.give_back(group);
            }
        }
        for cell in self.lanes.all() {
            let works = cell.lane.lock().close();
            self.recorder.release(works.into_iter().map(|work| (Arc::clone(&cell), work)).collect());
        }
        self.tracker.close();
        if tokio::time::timeout(self.settings.shutdown_grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(attempts = self.attempts_in_flight(), "attempts in flight are cut off; they will be made again after the start");
            self.attempts_end.cancel();
            self.tracker.wait().await;
        }
    }

    async fn keep_house(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = tokio::time::sleep(HOUSEKEEPING_EVERY) => {}
            }
            self.lanes.forget_idle();
            self.refresh_gauges();
        }
    }

    /// Brings the gauges up to date: to be called before the metrics are read.
    pub fn refresh_gauges(&self) {
        let backlog = self.store.backlog();
        let oldest = backlog.oldest_pending_at.map_or(Duration::ZERO, |at| self.clock.now().since(at));
        self.metrics.gauges(self.attempts_in_flight(), self.lanes.count(), backlog.deliveries, oldest);
    }

    fn attempts_in_flight(&self) -> usize {
        self.settings.attempts_in_flight_max.saturating_sub(self.shared.slots.free())
    }
}

/// `None`: there will be none any more. Never, where nothing can come.
async fn next_news(news: &mut Option<NewsReceiver>) -> Option<News> {
    match news {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

async fn join(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(problem) = ended {
            tracing::error!(%problem, "a task of the engine ended badly");
        }
    }
}
