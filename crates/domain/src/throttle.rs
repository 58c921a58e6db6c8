//! How fast an endpoint may be served: a token bucket as a value.

use crate::time::Timestamp;

/// Allows `per_second` on average and a burst of one second's worth. (Kept as the time at which the bucket is full again:
/// the "generic cell rate algorithm".)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle {
    full_at_us: u64,
}

const SECOND_US: u64 = 1_000_000;

impl Throttle {
    /// Takes one token, or says from when on there is one. A rate of 0 counts as 1: whoever wants nothing delivered disables
    /// the endpoint.
    pub fn take(&mut self, per_second: u16, now: Timestamp) -> Result<(), Timestamp> {
        let token_us = SECOND_US / u64::from(per_second.max(1));
        let now_us = now.min(Timestamp::MAX).unix_ms() * 1000;
        // A clock that jumped back, or a rate that was lower before, must not lock the bucket for longer than a second.
        self.full_at_us = self.full_at_us.clamp(now_us, now_us + SECOND_US);
        let missing_us = (self.full_at_us + token_us).saturating_sub(now_us + SECOND_US);
        if missing_us > 0 {
            return Err(Timestamp::from_unix_ms((now_us + missing_us).div_ceil(1000)));
        }
        self.full_at_us += token_us;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    #[test]
    fn allows_a_burst_of_one_second_and_then_the_rate() {
        let mut throttle = Throttle::default();
        let burst = (0..20).filter(|_| throttle.take(10, START).is_ok()).count();
        assert_eq!(burst, 10);
        assert_eq!(throttle.take(10, START), Err(START + Duration::from_millis(100)));
        assert_eq!(throttle.take(10, START + Duration::from_millis(100)), Ok(()));
        assert_eq!(throttle.take(10, START + Duration::from_millis(100)), Err(START + Duration::from_millis(200)));
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(1, START), Ok(()));
        assert_eq!(throttle.take(1, START), Err(START + Duration::from_secs(1)));
    }

    #[test]
    fn promises_no_time_that_is_too_early() {
        let mut throttle = Throttle::default();
        while throttle.take(3, START).is_ok() {}
        // A third of a second is no whole number of milliseconds.
        assert_eq!(throttle.take(3, START), Err(START + Duration::from_millis(334)));
        assert_eq!(throttle.take(3, START + Duration::from_millis(334)), Ok(()));
    }

    #[test]
    fn a_rate_of_nothing_is_the_lowest() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(0, START), Ok(()));
        assert_eq!(throttle.take(0, START), Err(START + Duration::from_secs(1)));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_lock_it() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take(1, START + Duration::from_secs(3600)), Ok(()));
        assert_eq!(throttle.take(1, START), Err(START + Duration::from_secs(1)));
        assert_eq!(throttle.take(1, START + Duration::from_secs(1)), Ok(()));
    }

    proptest! {
        #[test]
        fn never_exceeds_the_rate_and_the_promised_time_holds(per_second in prop_oneof![1_u16..30, 1_u16..2000], steps_ms in prop::collection::vec(0_u64..400, 1..200)) {
            let (mut throttle, mut now, mut taken) = (Throttle::default(), START, 0_u64);
            for step_ms in steps_ms {
                now = now + Duration::from_millis(step_ms);
                match throttle.take(per_second, now) {
                    Ok(()) => taken += 1,
                    Err(at) => {
                        prop_assert!(at > now && at.since(now) <= Duration::from_secs(1));
                        prop_assert_eq!(throttle.take(per_second, at), Ok(()));
                        taken += 1;
                        now = at;
                    }
                }
                let allowed = u64::from(per_second) + u64::from(per_second) * (now.since(START).as_millis() as u64 + 1) / 1000 + 1;
                prop_assert!(taken <= allowed + allowed / 100, "{taken} of {allowed}");
            }
        }
    }
}
