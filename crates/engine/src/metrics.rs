//! Everything the engine counts, registered once in the registry of the process. Nothing here takes a lock for longer than an addition.

use std::time::Duration;

use hookpost_domain::delivery::{AttemptOutcome, DeliveryState, TransportErrorKind, Trigger};
use hookpost_store::{CommitFacts, CommitObserver};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Clones count together.
#[derive(Debug, Clone)]
pub struct EngineMetrics {
    delivered: Counter,
    failed: Counter,
    retried: Counter,
    dead: Counter,
    canceled: Counter,
    manual: Counter,
    blocked: Counter,
    lease_lost: Counter,
    operational_events_dropped: Counter,
    forgotten: Counter,
    cron_fired: Counter,
    polls: Counter,
    polls_failed: Counter,
    polled: Counter,
    back_fills_failed: Counter,
    back_filled: Counter,
    sink_batches_taken: Counter,
    sink_batches_failed: Counter,
    sink_events_taken: Counter,
    in_flight: Gauge,
    lanes: Gauge,
    backlog: Gauge,
    oldest_pending_s: Gauge<f64, std::sync::atomic::AtomicU64>,
    accept_to_attempt: Histogram,
    attempt: Histogram,
    accept_to_delivered: Histogram,
    record: Histogram,
    record_batch: Histogram,
    commit: Histogram,
    commit_batch: Histogram,
}

const SECONDS: [f64; 16] = [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 4.0, 15.0, 60.0];
/// Also for what waits for retries.
const LONG_SECONDS: [f64; 18] =
    [0.000_5, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0, 3600.0, 36_000.0];
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];

impl EngineMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("hookpost");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let delivered = counter("attempts_delivered", "Attempts that were answered with 2xx");
        let failed = counter("attempts_failed", "Attempts that were not answered with 2xx");
        let retried = counter("deliveries_retried", "Failed attempts after which another one was scheduled");
        let dead = counter("deliveries_dead", "Deliveries that were given up");
        let canceled = counter("deliveries_canceled", "Deliveries that ended without a chance: endpoint disabled or deleted, payload gone");
        let manual = counter("attempts_manual", "Attempts that were asked for: resends and replays");
        let blocked = counter("attempts_blocked_address", "Attempts that would have gone to a forbidden address");
        let lease_lost = counter("leases_lost", "Outcomes that another holder of the delivery made void: possible duplicates");
        let operational_events_dropped = counter("operational_events_dropped", "Operational events that found no room");
        let forgotten = counter("messages_forgotten", "Messages and payloads removed by retention");
        let cron_fired = counter("cron_fired", "Messages made by cron sources");
        let polls = counter("polls", "Looks of poll sources that were answered");
        let polls_failed = counter("polls_failed", "Looks of poll sources that failed");
        let polled = counter("polled", "Messages made by poll sources");
        let back_fills_failed = counter("back_fills_failed", "Looks for missing events that failed");
        let back_filled = counter("back_filled", "Events that never arrived and were fetched from the provider");
        let sink_batches_taken = counter("sink_batches_taken", "Batches that sinks answered with 2xx");
        let sink_batches_failed = counter("sink_batches_failed", "Tries of batches that sinks did not take");
        let sink_events_taken = counter("sink_events_taken", "Events in batches that sinks took");

        let in_flight = Gauge::default();
        registry.register("attempts_in_flight", "Attempts under way", in_flight.clone());
        let lanes = Gauge::default();
        registry.register("lanes", "Endpoints that the engine holds in memory", lanes.clone());
        let backlog = Gauge::default();
        registry.register("backlog", "Deliveries that are not in a final state", backlog.clone());
        let oldest_pending_s = Gauge::default();
        registry.register_with_unit(
            "oldest_pending_age",
            "Age of the oldest message without a finished first attempt",
            Unit::Seconds,
            oldest_pending_s.clone(),
        );

        let mut histogram = |name: &str, help: &str, seconds: bool, bounds: &[f64]| {
            let histogram = Histogram::new(bounds.iter().copied());
            match seconds {
                true => registry.register_with_unit(name, help, Unit::Seconds, histogram.clone()),
                false => registry.register(name, help, histogram.clone()),
            }
            histogram
        };
        Self {
            accept_to_attempt: histogram("accept_to_attempt", "From acceptance to the start of the first attempt", true, &LONG_SECONDS),
            attempt: histogram("attempt", "Duration of attempts", true, &SECONDS),
            accept_to_delivered: histogram("accept_to_delivered", "From acceptance to the receiver's 2xx", true, &LONG_SECONDS),
            record: histogram("record", "From handing a batch of outcomes to the store until it is on disk", true, &SECONDS),
            record_batch: histogram("record_batch_outcomes", "Outcomes per batch", false, &COUNTS),
            commit: histogram("commit", "Duration of commits of the store", true, &SECONDS),
            commit_batch: histogram("commit_operations", "Operations per commit of the store", false, &COUNTS),
            delivered,
            failed,
            retried,
            dead,
            canceled,
            manual,
            blocked,
            lease_lost,
            operational_events_dropped,
            forgotten,
            cron_fired,
            polls,
            polls_failed,
            polled,
            back_fills_failed,
            back_filled,
            sink_batches_taken,
            sink_batches_failed,
            sink_events_taken,
            in_flight,
            lanes,
            backlog,
            oldest_pending_s,
        }
    }

    /// The first attempt of a message starts, so long after it was accepted.
    pub(crate) fn started(&self, waited: Duration) {
        self.accept_to_attempt.observe(waited.as_secs_f64());
    }

    pub(crate) fn ended(&self, outcome: &AttemptOutcome, state: DeliveryState, trigger: Trigger, duration: Duration, age: Duration) {
        self.attempt.observe(duration.as_secs_f64());
        if trigger == Trigger::Manual {
            self.manual.inc();
        }
        if outcome.is_success() {
            self.delivered.inc();
            self.accept_to_delivered.observe(age.as_secs_f64());
            return;
        }
        self.failed.inc();
        if matches!(outcome, AttemptOutcome::Error { kind: TransportErrorKind::BlockedAddress, .. }) {
            self.blocked.inc();
        }
        match state {
            DeliveryState::Waiting { .. } if trigger == Trigger::Scheduled => drop(self.retried.inc()),
            DeliveryState::Dead { .. } if trigger == Trigger::Scheduled => drop(self.dead.inc()),
            _ => {}
        }
    }

    pub(crate) fn ended_untried(&self, state: DeliveryState) {
        match state {
            DeliveryState::Dead { .. } => drop(self.dead.inc()),
            DeliveryState::Canceled { .. } => drop(self.canceled.inc()),
            _ => {}
        }
    }

    pub(crate) fn recorded(&self, outcomes: usize, took: Duration) {
        self.record.observe(took.as_secs_f64());
        self.record_batch.observe(outcomes as f64);
    }

    pub(crate) fn lease_lost(&self) {
        self.lease_lost.inc();
    }

    pub(crate) fn operational_event_dropped(&self) {
        self.operational_events_dropped.inc();
    }

    pub(crate) fn forgotten(&self, rows: u64) {
        self.forgotten.inc_by(rows);
    }

    pub(crate) fn cron_fired(&self, messages: usize) {
        self.cron_fired.inc_by(messages as u64);
    }

    pub(crate) fn polled(&self, messages: usize) {
        self.polls.inc();
        self.polled.inc_by(messages as u64);
    }

    pub(crate) fn poll_failed(&self) {
        self.polls_failed.inc();
    }

    pub(crate) fn sink_tried(&self, events: usize, success: bool) {
        if success {
            self.sink_batches_taken.inc();
            self.sink_events_taken.inc_by(events as u64);
        } else {
            self.sink_batches_failed.inc();
        }
    }

    pub(crate) fn back_filled(&self, messages: usize) {
        self.back_filled.inc_by(messages as u64);
    }

    pub(crate) fn back_fill_failed(&self) {
        self.back_fills_failed.inc();
    }

    pub(crate) fn gauges(&self, in_flight: usize, lanes: usize, backlog: u64, oldest_pending: Duration) {
        self.in_flight.set(in_flight as i64);
        self.lanes.set(lanes as i64);
        self.backlog.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        self.oldest_pending_s.set(oldest_pending.as_secs_f64());
    }
}

/// Counts, but is registered nowhere.
impl Default for EngineMetrics {
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl CommitObserver for EngineMetrics {
    fn committed(&self, commit: CommitFacts) {
        self.commit.observe(commit.duration.as_secs_f64());
        self.commit_batch.observe(commit.operations as f64);
    }
}
