//! A lane: the queue of one endpoint, as a plain state machine. Every function is synchronous and says what its caller shall do ([`Plan`], [`Next`]);
//! nothing here waits, spawns or talks to the store.
//!
//! - What fits is held in memory, leased; the rest is on disk. Once a lane has given something back to the disk it gives back everything new
//!   until it has claimed all of it again, so that nothing overtakes.
//! - A worker (a task of the shell) takes one delivery after the other; there are at most [`Lane::limit`] of them.
//! - What stops a lane (circuit, pause, rate limit, order, an empty queue) stops all its workers; a plan made later starts them again.
//! - A lane in strict order has one worker, and holds back everything younger than its `barrier`: the message that waits for its retry.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::health::{Circuit, Health, HealthEvents, HealthPolicy, Permit};
use hookpost_domain::throttle::Throttle;
use hookpost_domain::{DeliveryState, EndpointId, MessageId, Reason, Timestamp, Trigger, limits};
use hookpost_store::queue::{ClaimRequest, Claimed, LeasedDelivery};

use crate::budget::Shared;
use crate::concurrency::Concurrency;
use crate::settings::EngineSettings;
use crate::status::LaneStatus;
use crate::target::Target;

/// A lane that has fewer than this in memory claims more.
const CLAIM_BELOW: usize = limits::LANE_DELIVERIES_IN_MEMORY_MAX / 2;
/// What a lane may hold even when the memory of all lanes is used up.
const DELIVERIES_ALWAYS_HELD: usize = 8;
/// Between two claims that bring little: what is due within the same few milliseconds comes in one.
const CLAIM_SPACING: Duration = Duration::from_millis(2);
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
const CLAIM_RETRY: Duration = Duration::from_millis(250);
/// How often a receiver may ask to slow down, without a success in between, before the lane pauses.
const STRIKES_BEFORE_PAUSE: u32 = 2;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Beyond this it is the circuit's matter.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A receiver that asks for more than this with `Retry-After` gets its deliveries later (that is the schedule's matter), but the lane tries again.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(3600);

/// A delivery in the memory of a lane.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) leased: LeasedDelivery,
    /// The public id of the message, written out once for all its deliveries.
    pub(crate) message_id: Arc<str>,
}

impl Work {
    pub(crate) fn bytes(&self) -> usize {
        self.leased.message.content.payload.as_ref().map_or(0, bytes::Bytes::len)
    }

    fn is_manual(&self) -> bool {
        self.leased.trigger == Trigger::Manual
    }
}

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

#[derive(Debug)]
pub(crate) struct Lane {
    endpoint: EndpointId,
    queue: VecDeque<Work>,
    queue_bytes: usize,
    /// Tasks of this lane; those in flight have a delivery, the others are about to take one.
    workers: usize,
    in_flight: usize,

    target: Option<Arc<Target>>,
    target_version: u64,
    concurrency: Concurrency,
    concurrency_max: usize,
    health: Health,
    /// As the store has it.
    stored_health: Health,
    throttle: Throttle,
    throttled_until: Timestamp,
    paused_until: Timestamp,
    pause_set_at: Timestamp,
    strikes: u32,
    /// Nothing is attempted or claimed while somebody works on the endpoint or its deliveries.
    holds: u32,
    disabling: bool,
    closed: bool,

    on_disk: bool,
    next_due: Option<Timestamp>,
    claim: ClaimState,
    releases_under_way: usize,

    order: Option<Order>,
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

#[derive(Debug, Default)]
struct ClaimState {
    under_way: bool,
    not_before: Timestamp,
    /// Something was given back to the store while a claim was under way: its answer may not know of it.
    outdated: bool,
    /// The last claim found nothing because what was given back was not written yet.
    waits_for_release: bool,
    due_meanwhile: Option<Timestamp>,
}

/// Only endpoints in strict order have this.
#[derive(Debug, Default)]
struct Order {
    /// The oldest message that was attempted and waits; nothing younger is attempted.
    barrier: Option<MessageId>,
    /// The barrier was set while a claim was under way, whose answer cannot know of it.
    barrier_is_newer_than_claim: bool,
    /// Outcomes that are on their way to the store; until they are there nothing is attempted.
    unrecorded: usize,
    /// Nothing is attempted before the store was asked once.
    ask_first: bool,
}

impl Order {
    /// The next one waits until the outcome of the one before it is on disk: otherwise a crash could bring that one once more, after its successor.
    fn stands_still(&self) -> bool {
        self.ask_first || self.unrecorded > 0
    }
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
            queue: VecDeque::new(),
            queue_bytes: 0,
            workers: 0,
            in_flight: 0,
            target: None,
            target_version: 0,
            concurrency: Concurrency::new(),
            concurrency_max: settings.lane_concurrency,
            health: Health::default(),
            stored_health: Health::default(),
            throttle: Throttle::default(),
            throttled_until: Timestamp::ZERO,
            paused_until: Timestamp::ZERO,
            pause_set_at: Timestamp::ZERO,
            strikes: 0,
            holds: 0,
            disabling: false,
            closed: false,
            on_disk: false,
            next_due: None,
            claim: ClaimState::default(),
            releases_under_way: 0,
            order: None,
            timer_at: None,
            waits_for_slot: false,
            woken: false,
            look_again: false,
            by_hand: 0,
            idle_rounds: 0,
            shared,
        }
    }

    /// What the store says of it, at start or after the ready channel was full.
    pub(crate) fn restore(&mut self, ready: bool, next_due: Option<Timestamp>, health: Option<Health>) {
        self.on_disk |= ready;
        self.due_at(next_due);
        if let Some(health) = health {
            // The probe that was under way ended with the process.
            self.health = health.probe_abandoned(Timestamp::ZERO);
            self.stored_health = self.health;
        }
    }

    /// A delivery from a commit. Given back if there is no room, or if older ones are on disk: the caller releases it, and says so with
    /// [`Self::released`] when it is done.
    pub(crate) fn offer(&mut self, work: Work) -> Result<(), Work> {
        if self.closed || self.on_disk || !self.has_room_for(work.bytes()) {
            self.on_disk = true;
            self.claim.outdated |= self.claim.under_way;
            self.releases_under_way += 1;
            return Err(work);
        }
        self.push(work);
        Ok(())
    }

    /// So many that were given back are in the store again.
    pub(crate) fn released(&mut self, count: usize) {
        self.releases_under_way -= count;
        self.claim.outdated |= self.claim.under_way;
        self.claim.waits_for_release = false;
    }

    /// What to do now. To be asked after everything that happened to the lane.
    pub(crate) fn plan(&mut self, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if self.closed {
            return plan;
        }
        let mut wake_at = None;
        let gate = self.gate(now);
        match gate {
            Gate::Open => {
                let waiting = self.attemptable().saturating_sub(self.workers - self.in_flight);
                // As much as is left free, so that hanging lanes cannot take all; one in any case.
                let room = self.limit().min(self.shared.slots.free().max(1)).saturating_sub(self.workers);
                plan.start = waiting.min(room);
                self.workers += plan.start;
            }
            Gate::Until(time) => {
                wake_at = self.has_anything().then_some(time);
                self.plan_by_hand(now, &mut plan);
                plan.give_back = self.by_hand == 0 && self.queue.len() > DELIVERIES_ALWAYS_HELD && time.since(now) > PAUSE_HELD_IN_MEMORY;
            }
            Gate::Event => {}
        }
        if !matches!(gate, Gate::Until(_)) {
            match self.claim_at(now) {
                Some(time) if time <= now => plan.claim = Some(self.begin_claim()),
                Some(time) => wake_at = Some(wake_at.map_or(time, |other: Timestamp| other.min(time))),
                None => {}
            }
        }
        if let Some(time) = wake_at.filter(|time| self.timer_at.is_none_or(|set| *time < set)) {
            self.timer_at = Some(time);
            plan.wake_at = Some(time);
        }
        plan
    }

    /// What somebody has just asked for by hand does not wait for the end of a pause: it is tried, one at a time, and if it succeeds the pause is over.
    fn plan_by_hand(&mut self, now: Timestamp, plan: &mut Plan) {
        if !self.goes_by_hand(now) || self.claim.under_way {
            return;
        }
        if self.queue.iter().any(Work::is_manual) {
            plan.start = usize::from(self.workers == 0);
            self.workers += plan.start;
        } else if self.next_due.is_some_and(|due| due <= now) {
            plan.claim = Some(self.begin_claim());
        } else {
            self.by_hand = 0;
        }
    }

    fn goes_by_hand(&self, now: Timestamp) -> bool {
        self.by_hand > 0
            && self.in_flight == 0
            && self.throttled_until <= now
            && self.holds == 0
            && !self.shared.is_halted()
            && !self.order.as_ref().is_some_and(Order::stands_still)
            && !matches!(self.health.permit(now), Permit::AwaitProbe)
    }

    /// The timer that was set for `at` has gone off.
    pub(crate) fn timer_fired(&mut self, at: Timestamp) {
        if self.timer_at == Some(at) {
            self.timer_at = None;
        }
    }

    /// What the worker that asks shall do. `give_way`: other lanes wait for its slot.
    pub(crate) fn next(&mut self, now: Timestamp, catalog_version: u64, give_way: bool) -> Next {
        let by_hand = match self.gate(now) {
            _ if self.closed || give_way || self.workers > self.limit() => return self.stop(),
            Gate::Open if self.attemptable() > 0 => None,
            Gate::Until(_) if self.goes_by_hand(now) => self.queue.iter().position(Work::is_manual),
            _ => return self.stop(),
        };
        if by_hand.is_none() && !matches!(self.gate(now), Gate::Open) {
            return self.stop();
        }
        let target = match &self.target {
            Some(target) if self.target_version == catalog_version => Arc::clone(target),
            _ => return Next::LookUp,
        };
        if let Err(until) = target.take_tokens(self.endpoint, &mut self.throttle, now) {
            self.throttled_until = until;
            return self.stop();
        }
        self.by_hand -= u8::from(by_hand.is_some());
        let work = self.take(by_hand.unwrap_or(0)).expect("there is something to attempt");
        self.in_flight += 1;
        if let Permit::Probe(health) = self.health.permit(now) {
            self.health = health;
        }
        Next::Attempt(work, target)
    }

    /// What the catalogue says now. An endpoint that is in strict order from now on asks the store first: what waits there comes before.
    pub(crate) fn looked_up(&mut self, target: Arc<Target>, version: u64, settings: &EngineSettings) {
        self.concurrency_max = target.concurrency().unwrap_or(settings.lane_concurrency);
        if self.target.as_ref().is_some_and(|before| target.begins_anew(before)) {
            self.health = Health::default();
            self.concurrency = Concurrency::new();
            self.paused_until = Timestamp::ZERO;
            self.strikes = 0;
        }
        match (target.is_ordered(), &self.order) {
            (true, None) => {
                self.order = Some(Order { ask_first: true, ..Order::default() });
                self.queue.make_contiguous().sort_by_key(|work| (!work.is_manual(), work.leased.key.message));
            }
            (false, Some(_)) => {
                self.order = None;
                // What the order held back is due again at its own time, or now.
                self.on_disk = true;
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
                self.concurrency.succeeded(self.concurrency_max);
                self.strikes = 0;
                if ended.trigger == Trigger::Manual && ended.started_at >= self.pause_set_at {
                    self.paused_until = now;
                }
                if self.health != Health::default() {
                    (self.health, events) = self.health.on_success();
                }
            }
            EndedResult::Failure { timed_out, slow_down, retry_after, jitter } => {
                if timed_out || slow_down {
                    self.concurrency.overloaded(ended.started_at, now, self.concurrency_max);
                }
                if slow_down {
                    self.slow_down(ended.started_at, retry_after, now);
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
        self.keep_order(&ended);
        Consequences {
            events,
            health: self.health_to_store(now),
            failing_since: self.health.failing_since,
            report_record: self.order.is_some() || self.look_again,
        }
    }

    fn keep_order(&mut self, ended: &Ended) {
        let Some(order) = &mut self.order else { return };
        order.unrecorded += 1;
        if order.barrier == Some(ended.message) && ended.state.is_final() {
            // Sent by hand while it held up the others: the store knows what comes next.
            order.barrier = None;
            order.ask_first = true;
        } else if matches!(ended.state, DeliveryState::Waiting { .. }) && ended.trigger == Trigger::Scheduled {
            order.barrier = Some(order.barrier.map_or(ended.message, |other| other.min(ended.message)));
            order.barrier_is_newer_than_claim |= self.claim.under_way;
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

    /// An outcome is in the store (or its lease was lost); the delivery is due again at `due`, if at all.
    pub(crate) fn recorded(&mut self, due: Option<Timestamp>, now: Timestamp) {
        if let Some(order) = &mut self.order {
            order.unrecorded = order.unrecorded.saturating_sub(1);
        }
        self.due_at(due);
        if self.look_again {
            self.due_at(Some(now));
            self.look_again = self.in_flight > 0 || !self.queue.is_empty();
        }
    }

    /// A person has done something: a resend, maybe.
    pub(crate) fn wake_by_hand(&mut self, now: Timestamp) {
        self.by_hand = (self.by_hand + 1).min(BY_HAND_MAX);
        self.wake(now);
    }

    /// There may be something new for this lane, of which only the store knows.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        self.due_at(Some(now));
        self.woken = true;
        self.look_again = self.in_flight > 0 || !self.queue.is_empty();
    }

    /// The attempt was not made or not finished (shutdown, a panic): its delivery goes back to the store.
    pub(crate) fn abandoned(&mut self, now: Timestamp) {
        self.in_flight -= 1;
        self.health = self.health.probe_abandoned(now);
        self.pause(now + ABANDONED_PAUSE);
        self.on_disk = true;
        self.releases_under_way += 1;
    }

    /// A worker ended without having asked [`Self::next`].
    pub(crate) fn worker_lost(&mut self) {
        self.workers -= 1;
    }

    pub(crate) fn claimed(&mut self, claimed: Claimed, message_ids: &mut dyn FnMut(&LeasedDelivery) -> Arc<str>, now: Timestamp) {
        self.claim.under_way = false;
        let count = claimed.deliveries.len();
        for leased in claimed.deliveries {
            let message_id = message_ids(&leased);
            self.push(Work { leased, message_id });
        }
        self.on_disk = claimed.more || self.claim.outdated || self.releases_under_way > 0;
        self.claim.waits_for_release = count == 0 && !claimed.more && self.releases_under_way > 0;
        self.next_due = claimed.next_due;
        let due_meanwhile = self.claim.due_meanwhile.take();
        self.due_at(due_meanwhile);
        if count < 16 {
            self.claim.not_before = now + CLAIM_SPACING;
        }
        if let Some(order) = &mut self.order {
            order.ask_first = false;
            if !std::mem::take(&mut order.barrier_is_newer_than_claim) {
                order.barrier = claimed.held_by;
            }
        }
    }

    pub(crate) fn claim_failed(&mut self, now: Timestamp) {
        self.claim.under_way = false;
        self.claim.not_before = now + CLAIM_RETRY;
        let due_meanwhile = self.claim.due_meanwhile.take();
        self.due_at(due_meanwhile);
    }

    /// Something may be due at `time`.
    pub(crate) fn due_at(&mut self, time: Option<Timestamp>) {
        let Some(time) = time else { return };
        let earliest = |other: Option<Timestamp>| Some(other.map_or(time, |other| other.min(time)));
        self.next_due = earliest(self.next_due);
        if self.claim.under_way {
            self.claim.due_meanwhile = earliest(self.claim.due_meanwhile);
        }
    }

    /// Something was put on disk for this lane.
    pub(crate) fn expect_backlog(&mut self) {
        self.on_disk = true;
        self.claim.outdated |= self.claim.under_way;
    }

    /// Nothing is attempted before `until`.
    pub(crate) fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
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

    pub(crate) fn is_claiming(&self) -> bool {
        self.claim.under_way
    }

    /// Takes everything that waits in memory, to be given back to the store.
    pub(crate) fn give_back(&mut self) -> Vec<Work> {
        self.shared.memory.give_back(std::mem::take(&mut self.queue_bytes));
        self.releases_under_way += self.queue.len();
        self.expect_backlog();
        self.queue.drain(..).collect()
    }

    /// Takes everything that is in memory; from now on nothing is taken in.
    pub(crate) fn close(&mut self) -> Vec<Work> {
        self.closed = true;
        self.give_back()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Asked now and then: whether the lane has had nothing to do for long, and nothing would be lost by forgetting it.
    pub(crate) fn may_be_forgotten(&mut self) -> bool {
        self.idle_rounds = if self.is_idle() { self.idle_rounds.saturating_add(1) } else { 0 };
        self.idle_rounds > IDLE_ROUNDS_MAX
    }

    /// Nothing would be lost by forgetting this lane.
    fn is_idle(&self) -> bool {
        !self.has_anything()
            && self.workers == 0
            && self.next_due.is_none()
            && !self.claim.under_way
            && self.releases_under_way == 0
            && self.holds == 0
            && self.health == Health::default()
            && self.order.as_ref().is_none_or(|order| order.unrecorded == 0)
    }

    pub(crate) fn target(&self) -> Option<&Arc<Target>> {
        self.target.as_ref()
    }

    pub(crate) fn knows(&self, catalog_version: u64) -> bool {
        self.target.is_some() && self.target_version == catalog_version
    }

    pub(crate) fn status(&self, now: Timestamp) -> LaneStatus {
        let until = self.throttled_until.max(self.paused_until);
        LaneStatus {
            health: self.health,
            in_flight: self.in_flight,
            in_memory: self.queue.len(),
            backlog: self.on_disk,
            throttled_until: (until > now).then_some(until),
            concurrency: self.limit(),
            held_by: self.order.as_ref().and_then(|order| order.barrier),
        }
    }

    /// How many attempts may be in flight.
    pub(crate) fn limit(&self) -> usize {
        if self.order.is_some() || self.health.circuit != Circuit::Closed { 1 } else { self.concurrency.limit(self.concurrency_max) }
    }

    fn stop(&mut self) -> Next {
        self.workers -= 1;
        Next::Stop
    }

    fn gate(&self, now: Timestamp) -> Gate {
        if self.ends_untried() && !self.shared.is_halted() && self.holds == 0 {
            return Gate::Open;
        }
        if self.holds > 0 || self.shared.is_halted() || self.order.as_ref().is_some_and(Order::stands_still) {
            return Gate::Event;
        }
        let mut until = self.throttled_until.max(self.paused_until);
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

    /// The endpoint is gone or disabled: deliveries only end, and nothing that protects the receiver holds them up.
    fn ends_untried(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.ends_untried())
    }

    fn has_anything(&self) -> bool {
        !self.queue.is_empty() || self.on_disk || self.next_due.is_some()
    }

    /// Deliveries in memory that may be attempted as far as order is concerned.
    fn attemptable(&self) -> usize {
        let Some(order) = self.order.as_ref().filter(|_| !self.ends_untried()) else { return self.queue.len() };
        let free = |work: &Work| work.is_manual() || order.barrier.is_none_or(|barrier| work.leased.key.message < barrier);
        usize::from(self.queue.front().is_some_and(free))
    }

    /// When to ask the store for more: now, later, or not before something happens.
    fn claim_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.claim.under_way
            || self.order.as_ref().is_some_and(|order| order.unrecorded > 0 && (order.barrier.is_some() || order.ask_first))
        {
            return None;
        }
        let ask_first = self.order.as_ref().is_some_and(|order| order.ask_first);
        let held_back = self.order.as_ref().is_some_and(|order| order.barrier.is_some());
        let has_room = self.queue.len() < CLAIM_BELOW && self.has_room_for(0);
        let backlog = self.on_disk && !held_back && !self.claim.waits_for_release && has_room;
        // The one that holds up all others must come, however full the memory is.
        let due = self.next_due.filter(|_| has_room || held_back);
        let time = if backlog || ask_first { Some(now) } else { due };
        time.map(|time| time.max(self.claim.not_before))
    }

    fn begin_claim(&mut self) -> ClaimRequest {
        self.claim.under_way = true;
        self.claim.outdated = false;
        self.claim.due_meanwhile = None;
        ClaimRequest {
            endpoint: self.endpoint,
            limit: limits::LANE_DELIVERIES_IN_MEMORY_MAX.saturating_sub(self.queue.len()).max(1),
            bytes_max: limits::LANE_BYTES_IN_MEMORY_MAX.min(self.shared.memory.free()).saturating_sub(self.queue_bytes),
            ordered: self.target.as_ref().is_none_or(|target| target.is_ordered()),
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        let bytes = self.queue_bytes + bytes;
        self.queue.len() < DELIVERIES_ALWAYS_HELD
            || (self.queue.len() < limits::LANE_DELIVERIES_IN_MEMORY_MAX
                && bytes <= limits::LANE_BYTES_IN_MEMORY_MAX.min(self.shared.memory.free()))
    }

    fn push(&mut self, work: Work) {
        self.idle_rounds = 0;
        let bytes = work.bytes();
        self.queue_bytes += bytes;
        self.shared.memory.take(bytes);
        let message = work.leased.key.message;
        if self.order.is_none()
            || self.queue.back().is_none_or(|last| !last.is_manual() && last.leased.key.message < message && !work.is_manual())
        {
            self.queue.push_back(work);
        } else {
            // Manual ones stand outside the order and go first.
            let place = (!work.is_manual(), message);
            let index = self.queue.partition_point(|other| (!other.is_manual(), other.leased.key.message) <= place);
            self.queue.insert(index, work);
        }
    }

    fn take(&mut self, place: usize) -> Option<Work> {
        let work = if place == 0 { self.queue.pop_front() } else { self.queue.remove(place) }?;
        self.queue_bytes -= work.bytes();
        self.shared.memory.give_back(work.bytes());
        Some(work)
    }

    fn slow_down(&mut self, started_at: Timestamp, retry_after: Option<Duration>, now: Timestamp) {
        let pause = match retry_after {
            Some(asked) => asked.min(PAUSE_ASKED_MAX),
            // Attempts that were under way before the last pause say nothing new.
            None if started_at < self.pause_set_at => return,
            None => {
                self.strikes += 1;
                match self.strikes.checked_sub(STRIKES_BEFORE_PAUSE + 1) {
                    None => Duration::ZERO,
                    Some(doublings) => PAUSE_FIRST.saturating_mul(1 << doublings.min(16)).min(PAUSE_MAX),
                }
            }
        };
        self.pause_set_at = now;
        self.paused_until = self.paused_until.max(now + pause);
    }
}
