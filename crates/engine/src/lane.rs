//! A lane: the queue of one endpoint, as a plain state machine. Every function is synchronous and says what its caller shall do ([`Plan`], [`Next`]);
//! nothing here waits, spawns or talks to the store.
//!
//! - What fits is held in memory, leased; the rest is on disk. Once a lane has given something back to the disk it gives back everything new
//!   until it has claimed all of it again, so that nothing overtakes.
//! - A worker (a task of the shell) takes one delivery after the other; there are at most [`Lane::limit`] of them.
//! - What stops a lane (circuit, pause, rate limit, order, an empty queue) stops all its workers; a plan made later starts them again.
//! - A lane in strict order has one worker, and holds back everything younger than its barrier: the message that waits for its retry.

mod claims;
mod concurrency;
mod order;
mod pace;
mod place;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::health::{Circuit, Health, HealthEvents, HealthPolicy, Permit};
use hookpost_domain::{DeliveryState, EndpointId, MessageId, Reason, Timestamp, Trigger};
use hookpost_store::queue::{ClaimRequest, Claimed, LeasedDelivery};

use self::claims::{Appetite, Claims};
use self::order::Order;
use self::pace::Pace;
use self::place::Place;
use self::queue::Queue;
pub(crate) use self::queue::Work;
use crate::budget::Shared;
use crate::settings::EngineSettings;
use crate::status::LaneStatus;
use crate::target::Target;

/// A lane that pauses for longer gives its memory to others.
const PAUSE_HELD_IN_MEMORY: Duration = Duration::from_secs(10);
/// Deliveries that go by hand in spite of a pause.
const BY_HAND_MAX: u8 = 8;
/// After a delivery that could not be attempted (a panic), so that it is not tried again and again without a rest.
const ABANDONED_PAUSE: Duration = Duration::from_secs(1);
/// A lane that was found idle so often is forgotten.
const IDLE_ROUNDS_MAX: u8 = 12;
/// An endpoint that has been failing for this long will be known as failing after a restart.
const FAILURE_STORED_AFTER: Duration = Duration::from_secs(60);

/// What the shell shall do now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// So many workers, which are counted already.
    pub(crate) start: usize,
    pub(crate) claim: Option<ClaimRequest>,
    /// Make another plan at this time.
    pub(crate) wake_at: Option<Timestamp>,
    /// Put what is in memory back on disk ([`Lane::give_back`]): nothing of it will be attempted for long.
    pub(crate) give_back: bool,
}

/// What a worker shall do now.
#[derive(Debug)]
pub(crate) enum Next {
    Attempt(Work, Arc<Target>),
    /// Look the endpoint up (it is not known yet, or the catalogue has changed) and ask again.
    LookUp,
    /// End; the worker is no longer counted.
    Stop,
}

/// What the lane wants to know of an attempt that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) message: MessageId,
    pub(crate) started_at: Timestamp,
    pub(crate) trigger: Trigger,
    pub(crate) state: DeliveryState,
    pub(crate) result: EndedResult,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum EndedResult {
    Success,
    Failure {
        timed_out: bool,
        slow_down: bool,
        retry_after: Option<Duration>,
        jitter: f64,
    },
    /// It was not tried at all.
    NotTried,
}

/// What follows from it for the endpoint.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Consequences {
    pub(crate) events: HealthEvents,
    /// To be stored with the outcome.
    pub(crate) health: Option<Health>,
    pub(crate) failing_since: Option<Timestamp>,
    /// [`Lane::recorded`] must be called also if nothing is due again.
    pub(crate) report_record: bool,
}

#[derive(Debug)]
pub(crate) struct Lane {
    endpoint: EndpointId,
    queue: Queue,
    claims: Claims,
    pace: Pace,
    /// Only endpoints in strict order have this.
    order: Option<Order>,
    health: Health,
    /// As the store has it.
    stored_health: Health,
    /// What the catalogue said, and its version.
    target: Option<Arc<Target>>,
    target_version: u64,

    /// Tasks of this lane; those in flight have a delivery, the others are about to take one.
    workers: usize,
    in_flight: usize,
    /// Nothing is attempted or claimed while somebody works on the endpoint or its deliveries.
    holds: u32,
    place: Place,
    disabling: bool,
    closed: bool,

    timer_at: Option<Timestamp>,
    pub(crate) waits_for_slot: bool,
    /// Somebody asked to look again; maybe because the endpoint was changed.
    pub(crate) woken: bool,
    /// Somebody asked to look again, maybe for one of the deliveries that are leased: a claim finds those only after they are recorded.
    look_again: bool,
    /// So many deliveries that were asked for by hand may go although the lane pauses.
    by_hand: u8,
    /// How many times in a row it was found idle.
    idle_rounds: u8,
    shared: Arc<Shared>,
}

enum Gate {
    Open,
    Until(Timestamp),
    /// Something will happen that makes a new plan.
    Event,
}

impl Lane {
    pub(crate) fn new(endpoint: EndpointId, settings: &EngineSettings, shared: Arc<Shared>) -> Self {
        Self {
            endpoint,
            queue: Queue::new(Arc::clone(&shared)),
            claims: Claims::default(),
            pace: Pace::new(settings.lane_concurrency),
            order: None,
            health: Health::default(),
            stored_health: Health::default(),
            target: None,
            target_version: 0,
            workers: 0,
            in_flight: 0,
            holds: 0,
            place: Place::default(),
            disabling: false,
            closed: false,
            timer_at: None,
            waits_for_slot: false,
            woken: false,
            look_again: false,
            by_hand: 0,
            idle_rounds: 0,
            shared,
        }
    }

    /// A delivery from a commit. Given back if there is no room, if older ones are on disk, or if another node serves the lane: the caller releases it, and says so with
    /// [`Self::released`] when it is done.
    pub(crate) fn offer(&mut self, work: Work) -> Result<(), Work> {
        if self.closed || self.place.elsewhere || self.claims.on_disk || !self.queue.has_room_for(&work) {
            self.claims.giving_back(1);
            return Err(work);
        }
        self.push(work);
        Ok(())
    }

    /// So many that were given back are in the store again.
    pub(crate) fn released(&mut self, count: usize) {
        self.claims.given_back(count);
    }

    /// What to do now. To be asked after everything that happened to the lane.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if self.closed {
            return plan;
        }
        if self.place.elsewhere {
            plan.give_back = !self.queue.is_empty();
            return plan;
        }
        let mut wake_at = None;
        let gate = self.gate(now);
        if let Gate::Until(time) = gate {
            wake_at = self.has_anything().then_some(time);
            self.plan_by_hand(now, &mut plan);
            plan.give_back = self.by_hand == 0 && self.queue.is_more_than_a_few() && time.since(now) > PAUSE_HELD_IN_MEMORY;
        } else {
            if matches!(gate, Gate::Open) {
                plan.start = self.workers_to_start();
            }
            match self.claim_time(now) {
                Some(time) if time <= now => plan.claim = Some(self.begin_claim()),
                time => wake_at = time,
            }
        }
        self.workers += plan.start;
        if let Some(time) = wake_at.filter(|time| self.timer_at.is_none_or(|set| *time < set)) {
            self.timer_at = Some(time);
            plan.wake_at = Some(time);
        }
        plan
    }

    /// The timer that was set for `at` has gone off.
    pub(crate) fn timer_fired(&mut self, at: Timestamp) {
        if self.timer_at == Some(at) {
            self.timer_at = None;
        }
    }

    /// What the worker that asks shall do. `give_way`: other lanes wait for its slot.
    pub(crate) fn next(&mut self, now: Timestamp, catalog_version: u64, give_way: bool) -> Next {
        if self.closed || self.place.elsewhere || give_way || self.workers > self.limit() {
            return self.stop();
        }
        let (place, by_hand) = match self.gate(now) {
            Gate::Open if self.attemptable() > 0 => (0, false),
            Gate::Until(_) if self.goes_by_hand(now) => match self.queue.place_of_manual() {
                Some(place) => (place, true),
                None => return self.stop(),
            },
            _ => return self.stop(),
        };
        let target = match &self.target {
            Some(target) if self.target_version == catalog_version => Arc::clone(target),
            _ => return Next::LookUp,
        };
        if let Err(until) = target.take_tokens(self.endpoint, &mut self.pace.throttle, now) {
            self.pace.throttled_until = until;
            return self.stop();
        }
        let Some(work) = self.queue.take(place) else { return self.stop() };
        self.by_hand -= u8::from(by_hand);
        self.in_flight += 1;
        self.place.served = true;
        if let Permit::Probe(health) = self.health.permit(now) {
            self.health = health;
        }
        Next::Attempt(work, target)
    }

    /// What the catalogue says now. An endpoint that is in strict order from now on asks the store first: what waits there comes before.
    pub(crate) fn looked_up(&mut self, target: Arc<Target>, version: u64, settings: &EngineSettings) {
        self.pace.concurrency_max = target.concurrency().unwrap_or(settings.lane_concurrency);
        if self.target.as_ref().is_some_and(|before| target.begins_anew(before)) {
            self.health = Health::default();
            self.pace.begin_anew();
        }
        match (target.is_ordered(), &self.order) {
            (true, None) => {
                self.order = Some(Order::begin());
                self.queue.put_in_order();
            }
            (false, Some(_)) => {
                self.order = None;
                // What the order held back may go now.
                self.claims.expect_backlog();
            }
            _ => {}
        }
        self.target = Some(target);
        self.target_version = version;
    }

    /// An attempt has ended; its outcome is recorded after this.
    pub(crate) fn ended(&mut self, ended: Ended, policy: &HealthPolicy, now: Timestamp) -> Consequences {
        self.in_flight -= 1;
        let mut events = HealthEvents::new();
        match ended.result {
            EndedResult::Success => {
                self.pace.succeeded();
                if ended.trigger == Trigger::Manual {
                    self.pace.end_pause(ended.started_at, now);
                }
                if self.health != Health::default() {
                    (self.health, events) = self.health.on_success();
                }
            }
            EndedResult::Failure { timed_out, slow_down, retry_after, jitter } => {
                if timed_out {
                    self.pace.timed_out(ended.started_at, now);
                }
                if slow_down {
                    self.pace.slow_down(ended.started_at, retry_after, now);
                }
                (self.health, events) = self.health.on_failure(policy, now, jitter);
                if ended.trigger == Trigger::Scheduled && ended.state == (DeliveryState::Dead { reason: Reason::RetriesExhausted }) {
                    let (health, event) = self.health.on_given_up(policy, now);
                    self.health = health;
                    events.extend(event);
                }
            }
            EndedResult::NotTried => self.health = self.health.probe_abandoned(now),
        }
        if let Some(order) = &mut self.order {
            order.ended(&ended, self.claims.under_way);
        }
        Consequences {
            events,
            health: self.health_to_store(now),
            failing_since: self.health.failing_since,
            report_record: self.order.is_some() || self.look_again,
        }
    }

    /// An outcome is in the store (or its lease was lost); the delivery is due again at `due`, if at all.
    pub(crate) fn recorded(&mut self, due: Option<Timestamp>, now: Timestamp) {
        if let Some(order) = &mut self.order {
            order.recorded();
        }
        self.claims.due_at(due);
        if self.look_again {
            self.claims.due_at(Some(now));
            self.look_again = self.has_leases();
        }
    }

    pub(crate) fn claimed(&mut self, claimed: Claimed, message_ids: &mut dyn FnMut(&LeasedDelivery) -> Arc<str>, now: Timestamp) {
        self.claims.succeeded(claimed.deliveries.len(), claimed.more, claimed.next_due, now);
        if let Some(health) = claimed.taken_over {
            self.take_over(health);
        }
        for leased in claimed.deliveries {
            let message_id = message_ids(&leased);
            self.push(Work { leased, message_id });
        }
        if let Some(order) = &mut self.order {
            order.claimed(claimed.held_by);
        }
    }

    pub(crate) fn claim_failed(&mut self, now: Timestamp) {
        self.claims.failed(now);
    }

    /// The attempt was not made or not finished (shutdown, a panic): its delivery goes back to the store.
    pub(crate) fn abandoned(&mut self, now: Timestamp) {
        self.in_flight -= 1;
        self.health = self.health.probe_abandoned(now);
        self.pace.pause(now + ABANDONED_PAUSE);
        self.claims.giving_back(1);
    }

    /// The delivery that a worker was to attempt was canceled meanwhile: it goes back to the store, which knows.
    pub(crate) fn recalled(&mut self, now: Timestamp) {
        self.in_flight -= 1;
        self.health = self.health.probe_abandoned(now);
        self.claims.giving_back(1);
    }

    /// A worker ended without having asked [`Self::next`].
    pub(crate) fn worker_lost(&mut self) {
        self.workers -= 1;
    }

    /// A person has done something: a resend, maybe.
    pub(crate) fn wake_by_hand(&mut self, now: Timestamp) {
        self.by_hand = (self.by_hand + 1).min(BY_HAND_MAX);
        self.wake(now);
    }

    /// There may be something new for this lane, of which only the store knows.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        // The store knows whether it is still served elsewhere.
        self.place.elsewhere = false;
        self.claims.due_at(Some(now));
        self.woken = true;
        self.look_again = self.has_leases();
    }

    /// Something may be due at `time`.
    pub(crate) fn due_at(&mut self, time: Timestamp) {
        self.claims.due_at(Some(time));
    }

    /// Something was put on disk for this lane.
    pub(crate) fn expect_backlog(&mut self) {
        self.claims.expect_backlog();
    }

    /// Nothing is attempted before `until`.
    pub(crate) fn pause(&mut self, until: Timestamp) {
        self.pace.pause(until);
    }

    /// Until [`Self::let_go`], which must follow.
    pub(crate) fn hold(&mut self) {
        self.holds += 1;
    }

    pub(crate) fn let_go(&mut self) {
        self.holds -= 1;
    }

    /// Whether the caller is the one to disable the endpoint.
    pub(crate) fn begin_disabling(&mut self) -> bool {
        !std::mem::replace(&mut self.disabling, true)
    }

    pub(crate) fn end_disabling(&mut self) {
        self.disabling = false;
    }

    /// Takes everything that waits in memory, to be given back to the store.
    pub(crate) fn give_back(&mut self) -> Vec<Work> {
        let works = self.queue.take_all();
        self.claims.giving_back(works.len());
        works
    }

    /// Takes everything that is in memory; from now on nothing is taken in.
    pub(crate) fn close(&mut self) -> Vec<Work> {
        self.closed = true;
        self.give_back()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_claiming(&self) -> bool {
        self.claims.under_way
    }

    /// Asked now and then: whether the lane has had nothing to do for long, and nothing would be lost by forgetting it.
    pub(crate) fn may_be_forgotten(&mut self) -> bool {
        let is_at_rest = self.queue.is_empty() && self.workers == 0 && self.holds == 0 && self.order.as_ref().is_none_or(Order::is_idle);
        let has_nothing = self.claims.is_idle() && self.health == Health::default();
        let is_idle = is_at_rest && (has_nothing || (self.place.elsewhere && self.claims.nothing_is_under_way()));
        self.idle_rounds = if is_idle { self.idle_rounds.saturating_add(1) } else { 0 };
        self.idle_rounds > IDLE_ROUNDS_MAX
    }

    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        self.target.as_ref()
    }

    pub(crate) fn knows(&self, catalog_version: u64) -> bool {
        self.target.is_some() && self.target_version == catalog_version
    }

    pub(crate) fn status(&self, now: Timestamp) -> LaneStatus {
        LaneStatus {
            health: self.health,
            in_flight: self.in_flight,
            in_memory: self.queue.len(),
            backlog: self.claims.on_disk,
            throttled_until: Some(self.pace.until()).filter(|until| *until > now),
            concurrency: self.limit(),
            held_by: self.order.as_ref().and_then(|order| order.barrier),
        }
    }

    /// How many attempts may be in flight.
    fn limit(&self) -> usize {
        if self.order.is_some() || self.health.circuit != Circuit::Closed { 1 } else { self.pace.limit() }
    }

    fn stop(&mut self) -> Next {
        self.workers -= 1;
        Next::Stop
    }

    /// Whether deliveries may be attempted at all.
    fn gate(&self, now: Timestamp) -> Gate {
        if self.stands_still() {
            return Gate::Event;
        }
        if self.place.leases_doubted_until > now {
            return Gate::Until(self.place.leases_doubted_until);
        }
        if self.ends_untried() {
            return Gate::Open;
        }
        let mut until = self.pace.until();
        match self.health.permit(now) {
            Permit::Go => {}
            Permit::NotBefore(time) => until = until.max(time),
            // What was under way when the circuit opened ends first, so that its failures are not taken for the probe's.
            Permit::Probe(_) if self.in_flight > 0 => return Gate::Event,
            Permit::Probe(_) => {}
            Permit::AwaitProbe => return Gate::Event,
        }
        if until > now { Gate::Until(until) } else { Gate::Open }
    }

    fn stands_still(&self) -> bool {
        let by_order = self.order.as_ref().is_some_and(Order::stands_still);
        self.holds > 0 || self.shared.is_halted() || (by_order && !self.ends_untried())
    }

    /// The endpoint is gone or disabled: deliveries only end, and nothing that protects the receiver holds them up.
    fn ends_untried(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.ends_untried())
    }

    fn has_anything(&self) -> bool {
        !self.queue.is_empty() || self.claims.on_disk || self.claims.next_due.is_some()
    }

    fn has_leases(&self) -> bool {
        self.in_flight > 0 || !self.queue.is_empty()
    }

    /// Deliveries in memory that may be attempted as far as order is concerned.
    fn attemptable(&self) -> usize {
        let Some(order) = self.order.as_ref().filter(|_| !self.ends_untried()) else { return self.queue.len() };
        let free = |work: &Work| work.is_manual() || order.allows(work.leased.key.message);
        usize::from(self.queue.first().is_some_and(free))
    }

    fn workers_to_start(&self) -> usize {
        let waiting = self.attemptable().saturating_sub(self.workers - self.in_flight);
        // As much as is left free, so that hanging lanes cannot take all; one in any case.
        let room = self.limit().min(self.shared.slots.free().max(1)).saturating_sub(self.workers);
        waiting.min(room)
    }

    /// What somebody has just asked for by hand does not wait for the end of a pause: it is tried, one at a time, and if it succeeds the pause is over.
    fn plan_by_hand(&mut self, now: Timestamp, plan: &mut Plan) {
        if !self.goes_by_hand(now) || self.claims.under_way {
            return;
        }
        if self.queue.place_of_manual().is_some() {
            plan.start = usize::from(self.workers == 0);
        } else if self.claims.next_due.is_some_and(|due| due <= now) {
            plan.claim = Some(self.begin_claim());
        } else {
            self.by_hand = 0;
        }
    }

    fn goes_by_hand(&self, now: Timestamp) -> bool {
        self.by_hand > 0
            && self.in_flight == 0
            && self.pace.throttled_until <= now
            && self.place.leases_doubted_until <= now
            && !self.stands_still()
            && self.health.permit(now) != Permit::AwaitProbe
    }

    fn claim_time(&self, now: Timestamp) -> Option<Timestamp> {
        if self.holds > 0 || self.order.as_ref().is_some_and(Order::must_not_claim) {
            return None;
        }
        let appetite = Appetite {
            has_room: self.queue.is_below_half(),
            held_back: self.order.as_ref().is_some_and(|order| order.barrier.is_some()),
            ask_first: self.order.as_ref().is_some_and(|order| order.ask_first),
        };
        self.claims.time(appetite, now)
    }

    fn begin_claim(&mut self) -> ClaimRequest {
        self.claims.begin();
        if let Some(order) = &mut self.order {
            order.claim_begins();
        }
        let (limit, bytes_max) = self.queue.room();
        ClaimRequest { endpoint: self.endpoint, limit, bytes_max, ordered: self.target.as_ref().is_none_or(|target| target.is_ordered()) }
    }

    fn push(&mut self, work: Work) {
        self.idle_rounds = 0;
        match self.order {
            None => self.queue.push(work),
            Some(_) => self.queue.push_in_order(work),
        }
    }

    /// A change of health that must outlive the process. A failure that is over within a minute is not worth a write.
    fn health_to_store(&mut self, now: Timestamp) -> Option<Health> {
        let (new, stored) = (&self.health, &self.stored_health);
        let fails_for_long = new.failing_since.is_some_and(|since| now.since(since) >= FAILURE_STORED_AFTER);
        let changed = new.circuit != stored.circuit
            || new.warned != stored.warned
            || (new.failing_since != stored.failing_since && (stored.failing_since.is_some() || fails_for_long));
        if !changed {
            return None;
        }
        self.stored_health = self.health;
        Some(self.health)
    }
}
