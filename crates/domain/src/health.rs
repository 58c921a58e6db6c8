//! The health of an endpoint: circuit breaker, warning, auto-disable.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
