//! The health of an endpoint: circuit breaker, warning, auto-disable.
//!
//! The breaker spares a receiver that is down and the slots that its attempts would hold. It must not touch light traffic: a
//! single message with a fast schedule fails a few times within a second and is none of its business, so the circuit opens
//! only after many failures in a row that also took a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::time::Timestamp;

/// What is kept of an endpoint's recent past; a value, changed only by the functions here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// The first failure since the last success.
    pub failing_since: Option<Timestamp>,
    pub consecutive_failures: u32,
    pub warned: bool,
    pub circuit: Circuit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Circuit {
    #[default]
    Closed,
    /// Nothing is attempted before `until`; then one delivery is tried as a probe.
    Open { until: Timestamp, cool_down_ms: u64 },
    /// The probe is under way.
    HalfOpen { cool_down_ms: u64 },
}

/// What the tenant should be told, or the engine do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthEvent {
    CircuitOpened { until: Timestamp },
    CircuitClosed,
    DisableWarning { failing_since: Timestamp, disable_at: Timestamp },
    Disable { failing_since: Timestamp },
}

pub type HealthEvents = SmallVec<[HealthEvent; 2]>;

/// Whether the lane may try a delivery now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    Go,
    /// One delivery may be tried, as a probe: take over this health first.
    Probe(Health),
    /// A probe is under way: wait for its end.
    AwaitProbe,
    NotBefore(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Failures in a row, over at least `circuit_window`, that open the circuit. 0: never.
    pub circuit_failures: u32,
    pub circuit_window: Duration,
    pub cool_down_min: Duration,
    pub cool_down_max: Duration,
    /// An endpoint that failed for this long is disabled when a delivery is given up. Zero: never.
    pub disable_after: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            circuit_failures: 20,
            circuit_window: Duration::from_secs(10),
            cool_down_min: Duration::from_secs(5),
            cool_down_max: Duration::from_secs(300),
            disable_after: Duration::from_secs(5 * 24 * 3600),
        }
    }
}

impl Health {
    pub fn permit(self, now: Timestamp) -> Permit {
        match self.circuit {
            Circuit::Closed => Permit::Go,
            Circuit::Open { until, .. } if now < until => Permit::NotBefore(until),
            Circuit::Open { cool_down_ms, .. } => Permit::Probe(Self { circuit: Circuit::HalfOpen { cool_down_ms }, ..self }),
            Circuit::HalfOpen { .. } => Permit::AwaitProbe,
        }
    }

    /// The probe ended without an answer to learn from (its delivery was canceled, or shutdown came first): the next one may go at once.
    pub fn probe_abandoned(self, now: Timestamp) -> Self {
        match self.circuit {
            Circuit::HalfOpen { cool_down_ms } => Self { circuit: Circuit::Open { until: now, cool_down_ms }, ..self },
            _ => self,
        }
    }

    /// Any success makes an endpoint healthy, also one of an attempt that began before the circuit opened.
    pub fn on_success(self) -> (Self, HealthEvents) {
        let events = if self.circuit == Circuit::Closed { HealthEvents::new() } else { [HealthEvent::CircuitClosed].into_iter().collect() };
        (Self::default(), events)
    }

    /// `jitter` in `0.0..1.0` stretches the cool-down by up to a tenth, so that endpoints on one host do not come back as one.
    pub fn on_failure(mut self, policy: &HealthPolicy, now: Timestamp, jitter: f64) -> (Self, HealthEvents) {
        let mut events = HealthEvents::new();
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let failing_since = *self.failing_since.get_or_insert(now);

        let cool_down = match self.circuit {
            Circuit::Closed => self.has_failed_enough(policy, failing_since, now).then_some(policy.cool_down_min),
            Circuit::HalfOpen { cool_down_ms } => Some(Duration::from_millis(cool_down_ms.saturating_mul(2))),
            // An attempt that began before the circuit opened; the cool-down runs already.
            Circuit::Open { .. } => None,
        };
        if let Some(cool_down) = cool_down {
            let cool_down = cool_down.clamp(policy.cool_down_min, policy.cool_down_max.max(policy.cool_down_min));
            let until = now + cool_down.mul_f64(1.0 + 0.1 * jitter);
            if self.circuit == Circuit::Closed {
                events.push(HealthEvent::CircuitOpened { until });
            }
            self.circuit = Circuit::Open { until, cool_down_ms: u64::try_from(cool_down.as_millis()).unwrap_or(u64::MAX) };
        }

        if !self.warned && !policy.disable_after.is_zero() && now.since(failing_since) >= policy.disable_after / 2 {
            self.warned = true;
            events.push(HealthEvent::DisableWarning { failing_since, disable_at: failing_since + policy.disable_after });
        }
        (self, events)
    }

    /// A delivery was given up because its schedule ended: the moment at which an endpoint that has failed for too long is disabled. Its
    /// health starts afresh with that, so that it gets its full time again once it is enabled.
    pub fn on_given_up(self, policy: &HealthPolicy, now: Timestamp) -> (Self, Option<HealthEvent>) {
        match self.failing_since {
            Some(failing_since) if !policy.disable_after.is_zero() && now.since(failing_since) >= policy.disable_after => {
                (Self::default(), Some(HealthEvent::Disable { failing_since }))
            }
            _ => (self, None),
        }
    }

    fn has_failed_enough(&self, policy: &HealthPolicy, failing_since: Timestamp, now: Timestamp) -> bool {
        policy.circuit_failures > 0
            && self.consecutive_failures >= policy.circuit_failures
            && now.since(failing_since) >= policy.circuit_window
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
    const POLICY: HealthPolicy = HealthPolicy {
        circuit_failures: 3,
        circuit_window: Duration::from_secs(10),
        cool_down_min: Duration::from_secs(5),
        cool_down_max: Duration::from_secs(15),
        disable_after: Duration::from_secs(1000),
    };

    fn at(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn failed_at(seconds: &[u64]) -> (Health, HealthEvents) {
        let mut last = (Health::default(), HealthEvents::new());
        for second in seconds {
            last = last.0.on_failure(&POLICY, at(*second), 0.0);
        }
        last
    }

    #[test]
    fn opens_after_enough_failures_over_a_while() {
        for (seconds, opens) in
            [(&[0, 20][..], false), (&[0, 0, 1, 1, 2, 9], false), (&[0, 5, 10], true), (&[0, 0, 0, 0, 10], true), (&[100, 100, 100], false)]
        {
            let (health, events) = failed_at(seconds);
            let until = at(seconds.last().unwrap() + 5);
            assert_eq!(health.circuit, if opens { Circuit::Open { until, cool_down_ms: 5000 } } else { Circuit::Closed });
            assert_eq!(events.to_vec(), if opens { vec![HealthEvent::CircuitOpened { until }] } else { vec![] }, "{seconds:?}");
        }
    }

    #[test]
    fn never_opens_where_the_policy_says_so() {
        let policy = HealthPolicy { circuit_failures: 0, ..POLICY };
        let health = (0..500).fold(Health::default(), |health, second| health.on_failure(&policy, at(second), 0.5).0);
        assert_eq!(health.circuit, Circuit::Closed);
    }

    #[test]
    fn lets_one_probe_through_and_doubles_the_cool_down() {
        let (health, _) = failed_at(&[0, 5, 10]);
        assert_eq!(health.permit(at(14)), Permit::NotBefore(at(15)));
        let Permit::Probe(probing) = health.permit(at(15)) else { panic!("no probe") };
        assert_eq!(probing.permit(at(15)), Permit::AwaitProbe);
        assert_eq!(probing.probe_abandoned(at(16)).permit(at(16)), Permit::Probe(probing));

        let (again, events) = probing.on_failure(&POLICY, at(16), 0.0);
        assert_eq!((again.permit(at(16)), events.is_empty()), (Permit::NotBefore(at(26)), true));
        let Permit::Probe(probing) = again.permit(at(26)) else { panic!("no probe") };
        let (at_most, _) = probing.on_failure(&POLICY, at(26), 0.0);
        assert_eq!(at_most.permit(at(26)), Permit::NotBefore(at(41)));

        let (healthy, events) = probing.on_success();
        assert_eq!((healthy, events.to_vec()), (Health::default(), vec![HealthEvent::CircuitClosed]));
        assert_eq!(healthy.permit(at(26)), Permit::Go);
        assert!(healthy.on_success().1.is_empty());
    }

    #[test]
    fn stragglers_do_not_prolong_an_open_circuit() {
        let (health, _) = failed_at(&[0, 5, 10]);
        let (later, events) = health.on_failure(&POLICY, at(12), 0.9);
        assert_eq!((later.circuit, events.is_empty()), (health.circuit, true));
    }

    #[test]
    fn warns_once_at_half_time_and_disables_at_the_end() {
        let warning = HealthEvent::DisableWarning { failing_since: at(0), disable_at: at(1000) };
        let (health, events) = failed_at(&[0, 499]);
        assert!(events.is_empty());
        let (health, events) = health.on_failure(&POLICY, at(500), 0.0);
        assert!(events.contains(&warning));
        let (health, events) = health.on_failure(&POLICY, at(999), 0.0);
        assert!(!events.contains(&warning));

        assert_eq!(health.on_given_up(&POLICY, at(999)), (health, None));
        let (fresh, event) = health.on_given_up(&POLICY, at(1000));
        assert_eq!((fresh, event), (Health::default(), Some(HealthEvent::Disable { failing_since: at(0) })));
        assert_eq!(health.on_success().0.on_given_up(&POLICY, at(2000)), (Health::default(), None));

        let never = HealthPolicy { disable_after: Duration::ZERO, ..POLICY };
        assert_eq!(health.on_given_up(&never, at(1_000_000)).1, None);
        assert!(failed_at(&[0]).0.on_failure(&never, at(1_000_000), 0.0).1.is_empty());
    }

    proptest! {
        #[test]
        fn the_circuit_opens_only_after_the_failures_and_the_time_of_the_policy(steps in prop::collection::vec((any::<bool>(), 0_u64..5000), 1..100)) {
            let (mut health, mut now, mut failures) = (Health::default(), NOW, Vec::new());
            for (success, wait_ms) in steps {
                now = now + Duration::from_millis(wait_ms);
                let before = health;
                if let Permit::Probe(probing) = health.permit(now) {
                    health = probing;
                }
                health = if success { failures.clear(); health.on_success().0 } else { failures.push(now); health.on_failure(&POLICY, now, 0.3).0 };
                prop_assert_eq!(health.consecutive_failures as usize, failures.len());
                prop_assert_eq!(health.failing_since, failures.first().copied());
                if before.circuit == Circuit::Closed && health.circuit != Circuit::Closed {
                    prop_assert!(failures.len() >= 3 && now.since(failures[0]) >= POLICY.circuit_window);
                }
                if let Circuit::Open { until, cool_down_ms } = health.circuit {
                    prop_assert!((5000..=15_000).contains(&cool_down_ms) && until.since(now) <= Duration::from_millis(16_500));
                }
            }
        }
    }
}
