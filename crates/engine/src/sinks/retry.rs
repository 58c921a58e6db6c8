//! When a batch that was not taken is tried again: for ever, as the default schedule says and then at its last pace.

use std::time::Duration;

use hookpost_domain::{RetrySchedule, limits};

/// Where the schedule has no waits at all.
const WAIT_WITHOUT_SCHEDULE: Duration = Duration::from_secs(60);

/// The wait after failure number `failures` (1-based) in a row; `asked`: by `Retry-After`, which only ever makes it longer.
pub(super) fn wait_after(failures: u32, schedule: &RetrySchedule, asked: Option<Duration>, jitter: f64) -> Duration {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = schedule.waits_ms.get(step).or(schedule.waits_ms.last()).map_or(WAIT_WITHOUT_SCHEDULE, |ms| Duration::from_millis(*ms));
    let wait = wait.min(limits::SINK_BACK_OFF_MAX).mul_f64(0.8 + 0.4 * jitter);
    wait.max(asked.unwrap_or_default().min(limits::SINK_RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits_s(schedule: &RetrySchedule, failures: u32) -> Vec<u64> {
        (1..=failures).map(|number| wait_after(number, schedule, None, 0.5).as_secs()).collect()
    }

    #[test]
    fn goes_on_for_ever_at_the_last_pace() {
        assert_eq!(waits_s(&RetrySchedule::default(), 9), [5, 300, 1800, 3600, 3600, 3600, 3600, 3600, 3600], "an hour at most");
        assert_eq!(waits_s(&RetrySchedule::parse("1s,3s").unwrap(), 4), [1, 3, 3, 3]);
        assert_eq!(waits_s(&RetrySchedule::parse("none").unwrap(), 2), [60, 60]);
        let shortest = wait_after(1, &RetrySchedule::default(), None, 0.0);
        assert_eq!(
            (shortest, wait_after(u32::MAX, &RetrySchedule::default(), None, 0.5)),
            (Duration::from_secs(4), Duration::from_secs(3600))
        );
    }

    #[test]
    fn a_receiver_can_ask_for_more_and_not_for_less() {
        let asked = |seconds| wait_after(2, &RetrySchedule::default(), Some(Duration::from_secs(seconds)), 0.5).as_secs();
        assert_eq!((asked(1), asked(7200), asked(u64::MAX)), (300, 7200, 24 * 3600));
    }
}
