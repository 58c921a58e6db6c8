//! How fast a receiver is served: as many attempts at a time as it takes, its rate limit, and pauses when it asks for them.

use std::time::Duration;

use hookpost_domain::Timestamp;
use hookpost_domain::throttle::Throttle;

use super::concurrency::Concurrency;

/// How often a receiver may ask to slow down, without a success in between, before the lane pauses.
const STRIKES_BEFORE_PAUSE: u32 = 2;
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Beyond this it is the circuit's matter.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A receiver that asks for more than this with `Retry-After` gets its deliveries later (that is the schedule's matter), but the lane tries again.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Pace {
    concurrency: Concurrency,
    pub(super) concurrency_max: usize,
    pub(super) throttle: Throttle,
    /// By the rate limit.
    pub(super) throttled_until: Timestamp,
    paused_until: Timestamp,
    pause_set_at: Timestamp,
    strikes: u32,
}

impl Pace {
    pub(super) fn new(concurrency_max: usize) -> Self {
        Self {
            concurrency: Concurrency::new(),
            concurrency_max,
            throttle: Throttle::default(),
            throttled_until: Timestamp::ZERO,
            paused_until: Timestamp::ZERO,
            pause_set_at: Timestamp::ZERO,
            strikes: 0,
        }
    }

    /// Forgets what was learnt, but not the rate that was used up.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { throttle: self.throttle, throttled_until: self.throttled_until, ..Self::new(self.concurrency_max) };
    }

    pub(super) fn limit(&self) -> usize {
        self.concurrency.limit(self.concurrency_max)
    }

    /// Nothing is attempted before this time.
    pub(super) fn until(&self) -> Timestamp {
        self.throttled_until.max(self.paused_until)
    }

    pub(super) fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(until);
    }

    pub(super) fn succeeded(&mut self) {
        self.concurrency.succeeded(self.concurrency_max);
        self.strikes = 0;
    }

    /// Somebody tried by hand in spite of a pause, and it went well.
    pub(super) fn end_pause(&mut self, started_at: Timestamp, now: Timestamp) {
        if started_at >= self.pause_set_at {
            self.paused_until = now;
        }
    }

    pub(super) fn timed_out(&mut self, started_at: Timestamp, now: Timestamp) {
        self.concurrency.overloaded(started_at, now, self.concurrency_max);
    }

    /// The receiver asked to slow down: for so long if it said, else a little longer each time.
    pub(super) fn slow_down(&mut self, started_at: Timestamp, retry_after: Option<Duration>, now: Timestamp) {
        self.concurrency.overloaded(started_at, now, self.concurrency_max);
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
        self.pause(now + pause);
    }
}
