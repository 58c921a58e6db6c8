//! When a failed delivery is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::Invalid;

/// The waits between attempts, and which answers end the chain early. The first attempt is immediate and not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySchedule {
    pub waits_ms: Vec<u64>,
    /// A 4xx other than 408, 425 and 429 is final (what some receivers document for their senders).
    pub client_errors_are_final: bool,
}

impl RetrySchedule {
    /// Reads `"5s,5m,30m"`, `"200ms,1s"`, `""` and `"none"` (no retry), or the name of a preset (`stripe`, `github` …).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let _ = text;
        Err(Invalid::new("skeleton"))
    }

    pub fn attempts_max(&self) -> usize {
        self.waits_ms.len() + 1
    }

    /// The wait after attempt number `attempts_made` (1-based), stretched or shrunk by up to a fifth by `jitter` in
    /// `0.0..1.0`; `None` when the schedule has ended.
    pub fn wait_after(&self, attempts_made: u32, jitter: f64) -> Option<Duration> {
        let wait_ms = *self.waits_ms.get(usize::try_from(attempts_made).ok()?.checked_sub(1)?)?;
        Some(Duration::from_millis((wait_ms as f64 * (0.8 + 0.4 * jitter)) as u64))
    }
}

impl Default for RetrySchedule {
    /// Immediately, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: eight attempts within 28 hours.
    fn default() -> Self {
        Self {
            waits_ms: [5, 300, 1800, 7200, 18_000, 36_000, 36_000].map(|seconds| seconds * 1000).to_vec(),
            client_errors_are_final: false,
        }
    }
}
