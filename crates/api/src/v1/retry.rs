//! Retry schedules as clients write them: `"5s,5m,30m"`, the name of a preset, or a list of waits in seconds.

use hookpost_domain::{Invalid, RetrySchedule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// A schedule as it was given.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text such as `5s,5m,30m` or a list of waits in seconds")]
pub(crate) enum RetryScheduleIn {
    Text(String),
    Waits(Vec<Wait>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Wait {
    Seconds(f64),
    Duration { secs: u64, nanos: u32 },
}

impl RetryScheduleIn {
    pub(crate) fn parse(self) -> Result<RetrySchedule, Invalid> {
        match self {
            Self::Text(text) => RetrySchedule::parse(&text),
            // Whatever is out of range becomes a bound of u64 here, and is refused as too long or zero there.
            Self::Waits(waits) => RetrySchedule::from_waits_ms(waits.into_iter().map(Wait::ms).collect()),
        }
    }
}

impl Wait {
    fn ms(self) -> u64 {
        match self {
            Self::Seconds(seconds) => (seconds * 1000.0).round() as u64,
            Self::Duration { secs, nanos } => secs.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)),
        }
    }
}

impl JsonSchema for RetryScheduleIn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetryScheduleIn".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`5s,5m,30m`, the name of a preset (`stripe`, `hubspot`, `segment`, `none` …), or a list of waits in seconds.",
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "number", "exclusiveMinimum": 0 }, "maxItems": 64 }],
            "example": "5s,5m,30m",
        })
    }
}

/// A schedule as answers write it.
#[derive(Debug, Clone)]
pub(crate) struct RetryScheduleOut(pub(crate) RetrySchedule);

impl Serialize for RetryScheduleOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for RetryScheduleOut {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RetryScheduleOut".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The waits between attempts.", "example": "5s,5m,30m" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (given, expected) in [
            (r#""5s,5m""#, Ok("5s,5m")),
            (r#""none""#, Ok("none")),
            ("[]", Ok("none")),
            ("[5, 0.25]", Ok("5s,250ms")),
            (r#"[{"secs": 1, "nanos": 500000000}]"#, Ok("1500ms")),
            ("[0]", Err("has a wait of zero; the shortest is 1ms")),
            ("[-5]", Err("has a wait of zero; the shortest is 1ms")),
            ("[1e300]", Err("takes longer than 7 days in all")),
        ] {
            let input: RetryScheduleIn = serde_json::from_str(given).unwrap();
            let parsed = input.parse().map(|schedule| schedule.to_string()).map_err(|Invalid(rule)| rule);
            assert_eq!(parsed, expected.map(str::to_owned).map_err(str::to_owned), "{given}");
        }
    }
}
