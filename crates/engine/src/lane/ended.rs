//! What the end of an attempt means for the lane: its pace, the health of the endpoint, and the order.

use std::time::Duration;

use hookpost_domain::health::{Health, HealthEvents, HealthPolicy};
use hookpost_domain::{DeliveryState, MessageId, Reason, Timestamp, Trigger};

use super::Lane;

/// After a delivery that could not be attempted (a panic), so that it is not tried again and again without a rest.
const ABANDONED_PAUSE: Duration = Duration::from_secs(1);
/// An endpoint that has been failing for this long will be known as failing after a restart.
const FAILURE_STORED_AFTER: Duration = Duration::from_secs(60);

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

impl Lane {
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
