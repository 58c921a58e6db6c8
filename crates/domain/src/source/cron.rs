//! Cron sources: a message at every time of a schedule.
//!
//! Schedules are UTC: one that followed the clock of a place would come twice or not at all when that clock is changed. Which time is due is decided
//! here; nothing reads a clock.

use std::sync::Arc;

use croner::parser::{CronParser, Year};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::mistake::Mistake;
use crate::limits;
use crate::name::Invalid;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cron {
    /// As [`CronSchedule::parse`] reads it.
    pub schedule: String,
    pub payload: String,
    /// `None`: JSON.
    #[serde(default)]
    pub content_type: Option<String>,
}

impl Cron {
    /// Every rule that the settings have to keep; the schedule that they name.
    pub fn check(&self) -> Result<CronSchedule, Mistake> {
        let schedule = CronSchedule::parse(&self.schedule).map_err(Mistake::at("schedule"))?;
        if self.payload.len() > limits::REQUEST_BODY_BYTES_MAX {
            let rule = format!("has {} bytes; at most {} are allowed", self.payload.len(), limits::REQUEST_BODY_BYTES_MAX);
            return Err(Mistake::new("payload", rule));
        }
        match &self.content_type {
            Some(content_type) => check_content_type(content_type).map_err(Mistake::at("contentType"))?,
            None if serde_json::from_str::<serde::de::IgnoredAny>(&self.payload).is_err() => {
                return Err(Mistake::new("contentType", "must be set, because the payload is not JSON"));
            }
            None => {}
        }
        Ok(schedule)
    }
}

fn check_content_type(text: &str) -> Result<(), Invalid> {
    let is_line = !text.is_empty() && text.len() <= limits::CONTENT_TYPE_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let rule = || Invalid::new(format!("must be 1 to {} visible ASCII characters, such as `text/plain`", limits::CONTENT_TYPE_BYTES_MAX));
    if is_line && text.contains('/') { Ok(()) } else { Err(rule()) }
}

/// The times at which a cron source makes its messages. At least one of them is to come.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    /// Large: one place for every field of the pattern.
    times: Arc<croner::Cron>,
}

/// What a cron source has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronStep {
    /// A message for this time of the schedule, which is not after now.
    Fire(Timestamp),
    /// Nothing before then.
    Wait(Timestamp),
    /// Nothing any more.
    End,
}

impl CronSchedule {
    /// Reads five fields (minute, hour, day of the month, month, day of the week), six with seconds in front, or a name such as `@hourly`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > limits::CRON_SCHEDULE_BYTES_MAX {
            return Err(Invalid::new(format!("is longer than {} bytes", limits::CRON_SCHEDULE_BYTES_MAX)));
        }
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let times = parser.parse(text).map_err(|problem| Invalid::new(format!("is no schedule: {}", sentence(&problem))))?;
        let schedule = Self { times: Arc::new(times) };
        // `0 0 30 2 *` is well written and never comes.
        match schedule.next_after(ALWAYS_AHEAD) {
            Some(_) => Ok(schedule),
            None => Err(Invalid::new("names no time that ever comes")),
        }
    }

    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        timestamp(self.times.find_next_occurrence(&civil(time)?, false).ok()?)
    }

    /// The last one that is not after `time`.
    pub fn last_until(&self, time: Timestamp) -> Option<Timestamp> {
        timestamp(self.times.find_previous_occurrence(&civil(time)?, true).ok()?)
    }

    /// What is to be done at `now`, where everything up to `done` is done.
    ///
    /// Whoever is a little late makes up for every time that has passed. After [`limits::CRON_CAUGHT_UP_WITHIN`] (we were down) only the last one counts, and
    /// after [`limits::CRON_MADE_UP_WITHIN`] that neither: a message about last week's midnight would mislead.
    pub fn step(&self, done: Timestamp, now: Timestamp) -> CronStep {
        // A clock that once was far ahead must not silence the source until that time has come.
        let done = if done.since(now) > limits::CRON_MADE_UP_WITHIN { now } else { done };
        let Some(next) = self.next_after(done) else { return CronStep::End };
        if next > now {
            return CronStep::Wait(next);
        }
        if now.since(next) <= limits::CRON_CAUGHT_UP_WITHIN {
            return CronStep::Fire(next);
        }
        match self.last_until(now) {
            Some(last) if now.since(last) <= limits::CRON_MADE_UP_WITHIN => CronStep::Fire(last),
            _ => self.next_after(now).map_or(CronStep::End, CronStep::Wait),
        }
    }
}

const ALWAYS_AHEAD: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

fn civil(time: Timestamp) -> Option<DateTime> {
    let unix_ms = i64::try_from(time.unix_ms()).ok()?;
    Some(Offset::UTC.to_datetime(jiff::Timestamp::from_millisecond(unix_ms).ok()?))
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    let unix_ms = Offset::UTC.to_timestamp(time).ok()?.as_millisecond();
    u64::try_from(unix_ms).ok().map(Timestamp::from_unix_ms).filter(|time| *time <= Timestamp::MAX)
}

/// What the library says, without its own headline.
fn sentence(problem: &croner::errors::CronError) -> String {
    use croner::errors::CronError;
    match problem {
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => text.clone(),
        CronError::EmptyPattern => "it is empty".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap_or_else(|| panic!("{text} is a time"))
    }

    fn schedule(text: &str) -> CronSchedule {
        CronSchedule::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn names_the_times_that_come() {
        for (text, from, next) in [
            ("* * * * *", "2026-01-02T03:04:05.678Z", "2026-01-02T03:05:00Z"),
            ("* * * * *", "2026-01-02T03:05:00Z", "2026-01-02T03:06:00Z"),
            ("*/15 9-17 * * MON-FRI", "2026-01-02T17:50:00Z", "2026-01-05T09:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // A day of the month or a day of the week, as cron has it where both are said.
            ("0 12 13 * FRI", "2026-01-01T00:00:00Z", "2026-01-02T12:00:00Z"),
            ("0 0 L * *", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z"),
            ("*/10 * * * * *", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:10Z"),
            ("@hourly", "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z"),
            ("@daily", "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
            ("@weekly", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"),
            (" 0  0 * * 7 ", "2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z"),
        ] {
            assert_eq!(schedule(text).next_after(at(from)), Some(at(next)), "{text} after {from}");
        }
        let hourly = schedule("0 * * * *");
        assert_eq!(hourly.last_until(at("2026-01-02T03:59:59.999Z")), Some(at("2026-01-02T03:00:00Z")));
        assert_eq!(hourly.last_until(at("2026-01-02T03:00:00Z")), Some(at("2026-01-02T03:00:00Z")));
    }

    #[test]
    fn refuses_what_is_no_schedule() {
        for (text, words) in [
            ("", "is no schedule: it is empty"),
            ("hello", "is no schedule"),
            ("* * * *", "is no schedule"),
            ("60 * * * *", "is no schedule"),
            ("0 0 0 1 1 * 2030", "is no schedule"),
            ("@reboot", "is no schedule"),
            ("0 0 30 2 *", "names no time that ever comes"),
            (&"*".repeat(300), "is longer than 256 bytes"),
        ] {
            let problem = CronSchedule::parse(text).expect_err(text).to_string();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn every_time_that_passed_a_moment_ago_is_made_up_for_and_of_others_the_last() {
        let check = |text: &str, done: &str, now: &str, expected: CronStep| {
            assert_eq!(schedule(text).step(at(done), at(now)), expected, "{text}, done {done}, now {now}");
        };
        use CronStep::{Fire, Wait};
        check("0 * * * *", "2026-01-02T03:00:00Z", "2026-01-02T03:59:59.999Z", Wait(at("2026-01-02T04:00:00Z")));
        check("0 * * * *", "2026-01-02T03:00:00Z", "2026-01-02T04:00:00Z", Fire(at("2026-01-02T04:00:00Z")));
        // Seconds late, with a schedule of seconds: each in its turn.
        check("* * * * * *", "2026-01-02T03:00:00Z", "2026-01-02T03:00:05.500Z", Fire(at("2026-01-02T03:00:01Z")));
        // Down for three hours, and for three days.
        check("0 * * * *", "2026-01-02T03:00:00Z", "2026-01-02T06:20:00Z", Fire(at("2026-01-02T06:00:00Z")));
        check("0 0 1 * *", "2026-01-01T00:00:00Z", "2026-02-01T20:00:00Z", Fire(at("2026-02-01T00:00:00Z")));
        check("0 0 1 * *", "2026-01-01T00:00:00Z", "2026-02-04T00:00:00Z", Wait(at("2026-03-01T00:00:00Z")));
        // The clock went back a little, and was once far ahead.
        check("0 * * * *", "2026-01-02T04:00:00Z", "2026-01-02T03:30:00Z", Wait(at("2026-01-02T05:00:00Z")));
        check("0 * * * *", "2036-01-02T04:00:00Z", "2026-01-02T03:30:00Z", Wait(at("2026-01-02T04:00:00Z")));
    }

    #[test]
    fn settings_say_which_field_is_wrong() {
        let cron = |schedule: &str, payload: &str, content_type: Option<&str>| Cron {
            schedule: schedule.to_owned(),
            payload: payload.to_owned(),
            content_type: content_type.map(str::to_owned),
        };
        let check = |cron: Cron| cron.check().map(drop).map_err(|mistake| mistake.to_string());
        assert_eq!(check(cron("@daily", r#"{"a": 1}"#, None)), Ok(()));
        assert_eq!(check(cron("@daily", "tick", Some("text/plain; charset=utf-8"))), Ok(()));
        assert_eq!(check(cron("@daily", "tick", None)), Err("`contentType` must be set, because the payload is not JSON".into()));
        assert!(check(cron("@daily", "tick", Some("text/plain\r\nx: y"))).unwrap_err().starts_with("`contentType` must be 1 to"));
        assert!(check(cron("never", "{}", None)).unwrap_err().starts_with("`schedule` is no schedule: "));
        assert!(check(cron("@daily", &"1".repeat(2 << 20), None)).unwrap_err().starts_with("`payload` has 2097152 bytes"));
        let unknown = serde_json::from_str::<Cron>(r#"{"schedule": "@daily", "payload": "{}", "timezone": "CET"}"#);
        assert!(unknown.unwrap_err().to_string().contains("unknown field `timezone`"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[-*/,0-9LW#?@a-zA-Z ]{0,30}|\\PC{0,30}") {
            let _ = CronSchedule::parse(&text);
        }

        #[test]
        fn whoever_does_what_is_asked_fires_each_time_once_and_in_order(
            minutes in 1_u64..30, looks in prop::collection::vec(0_u64..120_000, 1..60)
        ) {
            let schedule = schedule(&format!("*/{minutes} * * * *"));
            let begin = at("2026-01-02T00:00:00Z");
            let (mut now, mut done, mut fired) = (begin, begin, Vec::new());
            for look_ms in looks {
                now = now + Duration::from_millis(look_ms);
                while let CronStep::Fire(time) = schedule.step(done, now) {
                    prop_assert!(time > done && time <= now);
                    fired.push(time);
                    done = time;
                }
            }
            prop_assert!(fired.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(schedule.step(done, now) != CronStep::End);
        }
    }
}
