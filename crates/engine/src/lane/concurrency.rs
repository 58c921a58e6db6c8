//! How many attempts a lane may have in flight: grows while the receiver keeps up, halves when it does not (slow start, then additive increase,
//! multiplicative decrease). A hanging endpoint is down to one after a few time-outs.

use hookpost_domain::Timestamp;

/// What a lane that nobody knows yet may have in flight: a hanging endpoint never gets hold of more.
const START: f32 = 8.0;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Concurrency {
    limit: f32,
    /// Below this the limit grows by one per success, above by one per round.
    slow_start_until: f32,
    cut_at: Timestamp,
}

impl Concurrency {
    pub(crate) fn new() -> Self {
        Self { limit: START, slow_start_until: f32::INFINITY, cut_at: Timestamp::ZERO }
    }

    pub(crate) fn limit(&self, max: usize) -> usize {
        (self.limit as usize).clamp(1, max.max(1))
    }

    pub(crate) fn succeeded(&mut self, max: usize) {
        let step = if self.limit < self.slow_start_until { 1.0 } else { 1.0 / self.limit };
        self.limit = (self.limit + step).min(max.max(1) as f32);
    }

    /// The receiver timed out or asked us to slow down. One cut per round: attempts that were under way before the last cut say nothing new.
    pub(crate) fn overloaded(&mut self, started_at: Timestamp, now: Timestamp, max: usize) {
        if started_at < self.cut_at {
            return;
        }
        self.limit = (self.limit.min(max.max(1) as f32) / 2.0).max(1.0);
        self.slow_start_until = self.limit;
        self.cut_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(unix_ms)
    }

    #[test]
    fn grows_to_the_maximum_while_all_is_well() {
        let mut concurrency = Concurrency::new();
        for _ in 0..60 {
            concurrency.succeeded(64);
        }
        assert_eq!(concurrency.limit(64), 64);
        assert_eq!(concurrency.limit(10), 10, "the endpoint's own limit holds at once");
    }

    #[test]
    fn one_cut_per_round_and_down_to_one() {
        let mut concurrency = Concurrency::new();
        for _ in 0..8 {
            concurrency.overloaded(at(1000), at(16_000), 64);
        }
        assert_eq!(concurrency.limit(64), 4, "eight attempts of one round are one sign");
        concurrency.overloaded(at(16_000), at(31_000), 64);
        concurrency.overloaded(at(31_000), at(46_000), 64);
        concurrency.overloaded(at(46_000), at(61_000), 64);
        assert_eq!(concurrency.limit(64), 1);
        concurrency.succeeded(64);
        assert_eq!(concurrency.limit(64), 2, "and recovers on success");
    }
}
