//! When a source that asks is asked again: after an answer, after a failure, after its settings were changed. A value; reads no clock, draws no number.

use std::time::Duration;

use hookpost_domain::{Timestamp, limits};
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// The first wait after a failure, where the source does not wait less by itself.
const BACK_OFF_FIRST: Duration = Duration::from_secs(60);
/// How long the next piece of what was too much for one look waits: others have their turn in between.
const GO_ON_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rhythm {
    next_at: Timestamp,
    /// As the source was when `next_at` was decided: whoever changes it wants to see what comes of it.
    updated_at: Timestamp,
    failures_in_a_row: u32,
    failure_kept_at: Option<Timestamp>,
}

/// What every decision about the next look depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// `0.0..1.0`
    pub(super) jitter: f64,
    /// Of the source.
    pub(super) updated_at: Timestamp,
}

impl Rhythm {
    pub(super) fn due_at(&self, updated_at: Timestamp) -> Timestamp {
        if updated_at == self.updated_at { self.next_at } else { Timestamp::ZERO }
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    /// The address answered, and asked for no look before `pause` has passed. `more`: this look was not the end.
    pub(super) fn answered(&mut self, every: Duration, more: bool, pause: Option<Duration>, at: Moment) {
        let wait = if more { GO_ON_AFTER } else { spread(every, at.jitter) };
        *self = Self { next_at: at.now + wait.max(bounded(pause)), updated_at: at.updated_at, failures_in_a_row: 0, failure_kept_at: None };
    }

    /// Whether a receipt of the failure is to be kept: the first in a row, and then one from time to time.
    pub(super) fn failed(&mut self, every: Duration, failure: &Failure, at: Moment) -> bool {
        let doublings = self.failures_in_a_row.min(16);
        let longest = limits::PULL_BACK_OFF_MAX.max(every);
        let wait = (every.min(BACK_OFF_FIRST) * 2_u32.pow(doublings)).min(longest);
        self.next_at = at.now + spread(wait, at.jitter).max(bounded(failure.wait));
        self.updated_at = at.updated_at;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let keep = self.failure_kept_at.is_none_or(|kept_at| at.now.since(kept_at) >= limits::PULL_FAILURE_RECEIPT_EVERY);
        if keep {
            self.failure_kept_at = Some(at.now);
        }
        keep
    }
}

/// Stretched or shrunk by up to a tenth, so that sources made in one go do not ask in one go.
fn spread(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(0.9 + 0.2 * jitter)
}

fn bounded(asked: Option<Duration>) -> Duration {
    asked.unwrap_or_default().min(limits::PULL_RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn moment(now: Timestamp) -> Moment {
        Moment { now, jitter: 0.5, updated_at: Timestamp::ZERO }
    }

    fn failure(wait_s: Option<u64>) -> Failure {
        Failure { wait: wait_s.map(Duration::from_secs), ..Failure::of("it failed") }
    }

    fn waits(every: Duration, failures: usize) -> Vec<u64> {
        let mut rhythm = Rhythm::default();
        (0..failures)
            .map(|_| {
                rhythm.failed(every, &failure(None), moment(NOW));
                rhythm.next_at.since(NOW).as_secs()
            })
            .collect()
    }

    #[test]
    fn an_answer_is_followed_by_the_next_in_time_or_at_once_where_there_is_more() {
        let mut rhythm = Rhythm::default();
        rhythm.answered(MINUTE, false, None, moment(NOW));
        assert_eq!(rhythm.due_at(Timestamp::ZERO), NOW + MINUTE);
        rhythm.answered(MINUTE, true, None, moment(NOW));
        assert_eq!(rhythm.due_at(Timestamp::ZERO), NOW + GO_ON_AFTER);
        rhythm.answered(MINUTE, true, Some(MINUTE * 5), moment(NOW));
        assert_eq!(rhythm.due_at(Timestamp::ZERO), NOW + MINUTE * 5);
        assert_eq!(rhythm.due_at(NOW), Timestamp::ZERO, "the source was changed");
        for (jitter, earliest) in [(0.0, 54), (0.999_999, 65)] {
            rhythm.answered(MINUTE, false, None, Moment { jitter, ..moment(NOW) });
            assert_eq!(rhythm.next_at.since(NOW).as_secs(), earliest);
        }
    }

    #[test]
    fn failures_in_a_row_make_it_slower_up_to_a_bound() {
        assert_eq!(waits(MINUTE, 8), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(waits(Duration::from_secs(1), 3), [1, 2, 4]);
        assert_eq!(waits(MINUTE * 600, 2), [60, 120], "a source of every ten hours is tried again sooner");
        assert_eq!(waits(MINUTE * 600, 40)[39], 36_000);
        let mut rhythm = Rhythm::default();
        rhythm.failed(MINUTE, &failure(None), moment(NOW));
        rhythm.answered(MINUTE, false, None, moment(NOW));
        assert_eq!(rhythm.failures_in_a_row(), 0);
    }

    #[test]
    fn an_address_can_ask_for_a_longer_wait_only_and_not_for_any() {
        for (asked_s, waits_s) in [(1, 60), (300, 300), (10 * 86_400, 86_400)] {
            let mut rhythm = Rhythm::default();
            rhythm.failed(MINUTE, &failure(Some(asked_s)), moment(NOW));
            assert_eq!(rhythm.next_at.since(NOW).as_secs(), waits_s);
        }
    }

    #[test]
    fn one_failure_an_hour_is_kept() {
        let mut rhythm = Rhythm::default();
        let kept: Vec<u64> =
            (0..180).filter(|minute| rhythm.failed(MINUTE, &failure(None), moment(NOW + MINUTE * *minute as u32))).collect();
        assert_eq!(kept, [0, 60, 120]);
        rhythm.answered(MINUTE, false, None, moment(NOW));
        assert!(rhythm.failed(MINUTE, &failure(None), moment(NOW)), "the first after a success");
    }
}
