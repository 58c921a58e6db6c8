//! A point in time, in whole milliseconds since 1970-01-01T00:00:00Z: what ids, schedules and rows are made of.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self((1 << 42) - 1);

    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339 (`2026-01-02T03:04:05.678901Z`, any offset); fractions below a millisecond are dropped.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(timestamp.as_millisecond()).ok().map(Self).filter(|t| *t <= Self::MAX)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with six digits of fraction, the form the API writes.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match timestamp {
            Some(timestamp) => write!(f, "{timestamp:.6}"),
            None => write!(f, "{} ms after 1970", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc3339() {
        let timestamp = Timestamp::from_unix_ms(1_767_323_045_678);
        assert_eq!(timestamp.to_string(), "2026-01-02T03:04:05.678000Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-01-02T03:04:05.678901Z"), Some(timestamp));
        assert_eq!(Timestamp::parse_rfc3339("2026-01-02T04:04:05.678+01:00"), Some(timestamp));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }
}
