//! Timestamps as schemes write them, and how far they may be away. `now` is an argument.

use hookpost_domain::time::Timestamp;

use crate::verdict::{Rejection, RejectionCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Rfc3339,
}

/// What becomes of a timestamp that is ahead of our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Future {
    /// Believed: the provider's own library looks at the age only.
    Any,
    /// Believed within the tolerance.
    Within,
    /// Not believed at all.
    Never,
}

/// A moment in milliseconds since 1970; anyone can write anything, so it may be before that or far away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    ms: i128,
    unit: Unit,
}

impl Unit {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "s" => Some(Self::Seconds),
            "ms" => Some(Self::Millis),
            "rfc3339" | "iso8601" => Some(Self::Rfc3339),
            _ => None,
        }
    }

    pub(crate) fn read(self, text: &str) -> Option<Moment> {
        let ms = match self {
            Self::Seconds => i128::from(integer(text)?) * 1000,
            Self::Millis => i128::from(integer(text)?),
            Self::Rfc3339 => i128::from(Timestamp::parse_rfc3339(text)?.unix_ms()),
        };
        Some(Moment { ms, unit: self })
    }

    pub(crate) fn write(self, timestamp: Timestamp) -> String {
        match self {
            Self::Seconds => timestamp.unix_seconds().to_string(),
            Self::Millis => timestamp.unix_ms().to_string(),
            Self::Rfc3339 => timestamp.to_string(),
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Seconds => "a whole number of seconds since 1970",
            Self::Millis => "a whole number of milliseconds since 1970",
            Self::Rfc3339 => "a time like `2026-01-02T03:04:05Z`",
        }
    }
}

impl Moment {
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        u64::try_from(self.ms).ok().map(Timestamp::from_unix_ms).filter(|timestamp| *timestamp <= Timestamp::MAX)
    }

    /// Refuses what is too old or too far ahead. Without a tolerance every moment is fine.
    pub(crate) fn check(self, now: Timestamp, tolerance: Option<u64>, future: Future) -> Result<(), Rejection> {
        let Some(tolerance) = tolerance else { return Ok(()) };
        let age_ms = self.age_ms(now);
        let tolerance_ms = i128::from(tolerance) * 1000;
        if age_ms > tolerance_ms {
            let detail = format!("The timestamp is {} old, allowed are {}.", span(age_ms), span(tolerance_ms));
            return Err(Rejection::new(RejectionCode::StaleTimestamp, detail));
        }
        let ahead_allowed = match future {
            Future::Any => return Ok(()),
            Future::Within => tolerance_ms,
            Future::Never => 0,
        };
        if -age_ms > ahead_allowed {
            let detail = format!("The timestamp is {} in the future, allowed are {}.", span(-age_ms), span(ahead_allowed));
            return Err(Rejection::new(RejectionCode::FutureTimestamp, detail));
        }
        Ok(())
    }

    /// How old it is, in the unit it was written in: of a timestamp in seconds the milliseconds are not known.
    pub(crate) fn age_ms(self, now: Timestamp) -> i128 {
        match self.unit {
            Unit::Seconds => i128::from(now.unix_seconds()) * 1000 - self.ms,
            Unit::Millis | Unit::Rfc3339 => i128::from(now.unix_ms()) - self.ms,
        }
    }
}

/// Digits, with a minus before them at most: what a language's own parser takes beyond that is not a timestamp.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `7 min 12 s`, `1 h`, `400 ms`: the two largest units.
pub(crate) fn span(ms: i128) -> String {
    const UNITS: [(i128, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
    let Some(largest) = UNITS.iter().position(|(size, _)| ms >= *size) else { return "0 s".to_owned() };
    let (size, name) = UNITS[largest];
    let rest = ms % size;
    match UNITS.get(largest + 1) {
        Some((smaller, smaller_name)) if rest >= *smaller && *smaller > 1 => {
            format!("{} {name} {} {smaller_name}", ms / size, rest / smaller)
        }
        _ => format!("{} {name}", ms / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let now = Timestamp::from_unix_ms(1_767_323_045_000);
        for unit in [Unit::Seconds, Unit::Millis, Unit::Rfc3339] {
            assert_eq!(unit.read(&unit.write(now)).and_then(Moment::timestamp), Some(now));
        }
        for (unit, text) in [
            (Unit::Seconds, ""),
            (Unit::Seconds, "soon"),
            (Unit::Seconds, "+1767323045"),
            (Unit::Seconds, "1767323045.5"),
            (Unit::Seconds, "99999999999999999999"),
            (Unit::Millis, "-"),
            (Unit::Rfc3339, "1767323045"),
        ] {
            assert_eq!(unit.read(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_old_and_future() {
        let now = Timestamp::from_unix_ms(1_767_323_045_999);
        let check = |ahead: i64, future| {
            let moment = Unit::Seconds.read(&(1_767_323_045 + ahead).to_string()).unwrap();
            moment.check(now, Some(300), future).err().map(|rejection| rejection.code)
        };
        assert_eq!([check(0, Future::Never), check(-300, Future::Any), check(300, Future::Within)], [None; 3]);
        assert_eq!(check(-301, Future::Any), Some(RejectionCode::StaleTimestamp));
        assert_eq!(check(301, Future::Within), Some(RejectionCode::FutureTimestamp));
        assert_eq!(check(1, Future::Never), Some(RejectionCode::FutureTimestamp));
        assert_eq!(check(1_000_000, Future::Any), None);
        let stale = Unit::Seconds.read("-9223372036854775808").unwrap().check(now, Some(300), Future::Any);
        assert_eq!(stale.unwrap_err().code, RejectionCode::StaleTimestamp);
    }

    #[test]
    fn writes_spans() {
        let cases = [(432_000, "7 min 12 s"), (300_000, "5 min"), (3_600_000, "1 h"), (90_000_000, "1 d 1 h"), (400, "400 ms"), (0, "0 s")];
        for (ms, expected) in cases {
            assert_eq!(span(ms), expected);
        }
    }
}
