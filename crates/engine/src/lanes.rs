//! All lanes, and the carrying out of what they plan: workers, claims, timers.
//!
//! Locks are taken in the order map, lane, rate limit, and never held over an `await`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookpost_domain::{ApplicationId, EndpointId, MessageId, RetrySchedule, Timestamp};
use hookpost_store::queue::{ClaimRequest, LaneState, LeasedDelivery};
use hookpost_store::{ApplicationView, Unavailable};
use parking_lot::Mutex;

use crate::attempt::Worker;
use crate::engine::Engine;
use crate::lane::{Lane, Plan, Work};
use crate::target::{ApplicationBucket, ReadyEndpoint, Target};

/// After the store could not say what an endpoint is.
const LOOK_UP_RETRY: std::time::Duration = std::time::Duration::from_millis(250);

/// A lane where all can reach it.
#[derive(Debug)]
pub(crate) struct LaneCell {
    pub(crate) application: ApplicationId,
    pub(crate) endpoint: EndpointId,
    pub(crate) lane: Mutex<Lane>,
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    map: Mutex<HashMap<EndpointId, Arc<LaneCell>>>,
    /// Lanes that have something to do and found no free slot, served in turn.
    waiting: Mutex<VecDeque<Arc<LaneCell>>>,
    waiting_count: AtomicUsize,
    buckets: Mutex<HashMap<ApplicationId, Arc<Mutex<ApplicationBucket>>>>,
}

impl Lanes {
    pub(crate) fn get(&self, endpoint: EndpointId) -> Option<Arc<LaneCell>> {
        self.map.lock().get(&endpoint).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LaneCell>> {
        self.map.lock().values().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.map.lock().len()
    }

    pub(crate) fn others_wait(&self) -> bool {
        self.waiting_count.load(Ordering::Relaxed) > 0
    }

    /// Lanes without anything to remember are made again when they are needed.
    pub(crate) fn forget_idle(&self) {
        self.map.lock().retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.lane.lock().may_be_forgotten());
        self.buckets.lock().retain(|_, bucket| Arc::strong_count(bucket) > 1);
    }
}

impl Engine {
    /// A group of deliveries from one commit.
    pub(crate) fn offer(self: &Arc<Self>, group: Vec<LeasedDelivery>) {
        let now = self.clock.now();
        let mut message_id: Option<(MessageId, Arc<str>)> = None;
        let mut plans = Vec::new();
        let mut given_back = Vec::new();
        let mut map = self.lanes.map.lock();
        for leased in group {
            let message_id = match &message_id {
                Some((message, text)) if *message == leased.key.message => Arc::clone(text),
                _ => Arc::clone(&message_id.insert((leased.key.message, self.public_id(leased.key.message))).1),
            };
            let cell = map.entry(leased.key.endpoint).or_insert_with(|| Arc::new(self.new_lane(leased.application, leased.key.endpoint)));
            let mut lane = cell.lane.lock();
            match lane.offer(Work { leased, message_id }) {
                Ok(()) => {
                    let plan = lane.plan(now);
                    drop(lane);
                    if plan != Plan::default() {
                        plans.push((Arc::clone(cell), plan));
                    }
                }
                Err(work) => given_back.push((Arc::clone(cell), work)),
            }
        }
        drop(map);
        for (cell, plan) in plans {
            self.carry_out(&cell, plan);
        }
        self.recorder.release(given_back);
    }

    /// The lane of an endpoint, made if there is none yet.
    pub(crate) fn lane(&self, application: ApplicationId, endpoint: EndpointId) -> Arc<LaneCell> {
        let mut map = self.lanes.map.lock();
        Arc::clone(map.entry(endpoint).or_insert_with(|| Arc::new(self.new_lane(application, endpoint))))
    }

    fn new_lane(&self, application: ApplicationId, endpoint: EndpointId) -> LaneCell {
        LaneCell { application, endpoint, lane: Mutex::new(Lane::new(endpoint, &self.settings, Arc::clone(&self.shared))) }
    }

    /// Takes over what the store has to do, or gives back what others do.
    pub(crate) fn restore(self: &Arc<Self>, lanes: Vec<LaneState>, with_health: bool) {
        for state in lanes {
            let cell = self.lane(state.application, state.endpoint);
            cell.lane.lock().restore(&state, with_health);
            self.plan(&cell);
        }
    }

    pub(crate) fn plan(self: &Arc<Self>, cell: &Arc<LaneCell>) {
        let plan = cell.lane.lock().plan(self.clock.now());
        self.carry_out(cell, plan);
    }

    pub(crate) fn carry_out(self: &Arc<Self>, cell: &Arc<LaneCell>, plan: Plan) {
        if let Some(at) = plan.wake_at {
            self.timer.set(at, cell.endpoint);
        }
        for _ in 0..plan.start {
            self.start_worker(cell);
        }
        if plan.give_back {
            let given_back = cell.lane.lock().give_back();
            self.recorder.release(given_back.into_iter().map(|work| (Arc::clone(cell), work)).collect());
        }
        if let Some(request) = plan.claim {
            let engine = Arc::clone(self);
            let cell = Arc::clone(cell);
            self.tracker.spawn(async move { engine.claim(&cell, request).await });
        }
    }

    fn start_worker(self: &Arc<Self>, cell: &Arc<LaneCell>) {
        if self.shared.slots.free() == 0 {
            let mut lane = cell.lane.lock();
            lane.worker_lost();
            if !std::mem::replace(&mut lane.waits_for_slot, true) {
                drop(lane);
                self.lanes.waiting.lock().push_back(Arc::clone(cell));
                self.lanes.waiting_count.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let worker = Worker::new(Arc::clone(self), Arc::clone(cell));
        let thread = self.placement.handle(worker.thread());
        self.tracker.spawn_on(worker.run(), thread);
    }

    /// A worker has ended: whoever waits longest gets its slot.
    pub(crate) fn slot_freed(self: &Arc<Self>) {
        while self.lanes.others_wait() && self.shared.slots.free() > 0 {
            let Some(cell) = self.lanes.waiting.lock().pop_front() else { return };
            self.lanes.waiting_count.fetch_sub(1, Ordering::Relaxed);
            cell.lane.lock().waits_for_slot = false;
            self.plan(&cell);
        }
    }

    async fn claim(self: Arc<Self>, cell: &Arc<LaneCell>, mut request: ClaimRequest) {
        let known = cell.lane.lock().knows(self.store.version());
        if known || self.look_up(cell).await.is_ok() {
            request.ordered = cell.lane.lock().target().is_none_or(|target| target.is_ordered());
            let now = self.clock.now();
            let result = self.store.claim(request, now).await;
            let now = self.clock.now();
            let mut lane = cell.lane.lock();
            match result {
                Ok(claimed) if lane.is_closed() => {
                    drop(lane);
                    let leases = claimed.deliveries.into_iter().map(|leased| (leased.key, leased.lease)).collect();
                    self.recorder.release_untracked(leases);
                    return;
                }
                Ok(claimed) => lane.claimed(claimed, &mut |leased| self.public_id(leased.key.message), now),
                Err(Unavailable(problem)) => {
                    tracing::warn!(
                        endpoint_id = self.store.public_ids().encode(cell.endpoint),
                        problem,
                        "cannot claim deliveries; trying again"
                    );
                    lane.claim_failed(now);
                }
            }
        } else {
            cell.lane.lock().claim_failed(self.clock.now());
        }
        self.plan(cell);
    }

    async fn find_target(&self, application: ApplicationId) -> Result<(Option<Arc<ApplicationView>>, bool), Unavailable> {
        let view = self.store.application_by_id(application).await?;
        let attempts_are_logged = match &view {
            Some(view) => self.attempts_are_logged(&view.application.org).await?,
            None => false,
        };
        Ok((view, attempts_are_logged))
    }

    /// Brings a lane up to date with the catalogue.
    pub(crate) async fn look_up(self: &Arc<Self>, cell: &Arc<LaneCell>) -> Result<(), Unavailable> {
        let version = self.store.version();
        match self.find_target(cell.application).await {
            Ok((view, attempts_are_logged)) => {
                let target = Target::new(view, cell.endpoint, &self.settings, self.store.public_ids(), attempts_are_logged, || {
                    Arc::clone(self.lanes.buckets.lock().entry(cell.application).or_default())
                });
                cell.lane.lock().looked_up(Arc::new(target), version, &self.settings);
                Ok(())
            }
            Err(problem) => {
                tracing::warn!(endpoint_id = self.store.public_ids().encode(cell.endpoint), %problem, "cannot look up an endpoint; trying again");
                cell.lane.lock().pause(self.clock.now() + LOOK_UP_RETRY);
                Err(problem)
            }
        }
    }

    /// The schedule of retries that applies to a message at an endpoint.
    pub(crate) async fn schedule(&self, ready: &ReadyEndpoint, message: &hookpost_domain::Message) -> Arc<RetrySchedule> {
        let event_type = &message.content.event_type;
        if let Some(schedule) = ready.schedule(event_type) {
            return schedule;
        }
        match self.store.event_type(&ready.view.application.org, event_type.as_str()).await {
            Ok(found) => {
                let own = found.and_then(|event_type| event_type.retry_schedule.clone()).map(Arc::new);
                let schedule = own.unwrap_or_else(|| Arc::clone(&self.default_schedule));
                ready.remember_schedule(event_type, Arc::clone(&schedule));
                schedule
            }
            Err(problem) => {
                tracing::warn!(event_type = event_type.as_str(), %problem, "cannot look up the retry schedule of an event type; using the default");
                Arc::clone(&self.default_schedule)
            }
        }
    }

    /// Serves the timer until the engine closes.
    pub(crate) async fn serve_timer(self: Arc<Self>) {
        let mut due: Vec<(Timestamp, EndpointId)> = Vec::new();
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.timer.due(&*self.clock, &mut due) => {}
            }
            for (at, endpoint) in due.drain(..) {
                let Some(cell) = self.lanes.get(endpoint) else { continue };
                let mut lane = cell.lane.lock();
                lane.timer_fired(at);
                let woken = std::mem::take(&mut lane.woken);
                if woken && !lane.knows(self.store.version()) {
                    drop(lane);
                    // The endpoint may have been changed in a way that ends what the lane waits for.
                    let engine = Arc::clone(&self);
                    self.tracker.spawn(async move {
                        let _ = engine.look_up(&cell).await;
                        engine.plan(&cell);
                    });
                    continue;
                }
                let plan = lane.plan(self.clock.now());
                drop(lane);
                self.carry_out(&cell, plan);
            }
        }
    }

    fn public_id(&self, message: MessageId) -> Arc<str> {
        self.store.public_ids().encode(message).into()
    }
}
