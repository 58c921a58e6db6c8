//! When a failed delivery is tried again.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::name::Invalid;

/// The waits between attempts, and which answers end the chain early. The first attempt is immediate and not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySchedule {
    pub waits_ms: Vec<u64>,
    /// A 4xx other than 408, 425 and 429 is final (what some receivers document for their senders).
    pub client_errors_are_final: bool,
}

/// Schedules that receivers know from the senders they have met; what each stands for is the second part.
pub const PRESETS: &[(&str, &str)] = &[
    ("default", DEFAULT),
    ("svix", DEFAULT),
    ("standard", "5s,5m,30m,2h,5h,10h,14h,20h,24h"),
    ("stripe", "5m,25m,30m,1h,2h,4h,8h,8h,12h,12h,12h,12h"),
    ("hubspot", "1m,9m,50m,1h,4h,6h,12h,24h,24h,no-4xx"),
    ("segment", "10s,1m,10m,49m,1h,2h,4h,8h,8h"),
    ("shopify", "1m,2m,4m,8m,15m,30m,1h,2h"),
    ("slack", "1s,1m,5m"),
    ("github", "none"),
];

const DEFAULT: &str = "5s,5m,30m,2h,5h,10h,10h";
const NONE: &str = "none";
const CLIENT_ERRORS_ARE_FINAL: &str = "no-4xx";
/// Largest first, so that writing picks the shortest form.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl RetrySchedule {
    /// Reads `"5s,5m,30m"`, `"200ms,1s"`, `""` and `"none"` (no retry), or the name of a preset (`stripe`, `github` …). The
    /// word `no-4xx` in the list makes client errors final.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let text = PRESETS.iter().find(|(name, _)| *name == text).map_or(text, |(_, waits)| waits);
        let mut schedule = Self { waits_ms: Vec::new(), client_errors_are_final: false };
        if text.is_empty() || text == NONE {
            return Ok(schedule);
        }
        for word in text.split(',').map(str::trim) {
            match word {
                CLIENT_ERRORS_ARE_FINAL => schedule.client_errors_are_final = true,
                _ => schedule.waits_ms.push(parse_wait_ms(word)?),
            }
        }
        schedule.check()?;
        Ok(schedule)
    }

    /// From waits that came as numbers.
    pub fn from_waits_ms(waits_ms: Vec<u64>) -> Result<Self, Invalid> {
        let schedule = Self { waits_ms, client_errors_are_final: false };
        schedule.check()?;
        Ok(schedule)
    }

    pub fn attempts_max(&self) -> usize {
        self.waits_ms.len() + 1
    }

    /// From the first attempt to the last, without jitter.
    pub fn span(&self) -> Duration {
        self.span_after(1)
    }

    /// The wait after attempt number `attempts_made` (1-based), stretched or shrunk by up to a fifth by `jitter` in
    /// `0.0..1.0`; `None` when the schedule has ended.
    pub fn wait_after(&self, attempts_made: u32, jitter: f64) -> Option<Duration> {
        let wait_ms = *self.waits_ms.get(usize::try_from(attempts_made).ok()?.checked_sub(1)?)?;
        Some(Duration::from_millis((wait_ms as f64 * (0.8 + 0.4 * jitter)) as u64))
    }

    /// From attempt number `attempts_made` to the last one, without jitter.
    pub fn span_after(&self, attempts_made: u32) -> Duration {
        let skip = usize::try_from(attempts_made).unwrap_or(usize::MAX).saturating_sub(1);
        Duration::from_millis(self.waits_ms.iter().skip(skip).fold(0, |sum, wait_ms| sum.saturating_add(*wait_ms)))
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.waits_ms.len() > limits::RETRY_STEPS_MAX {
            return Err(Invalid::new(format!("has {} waits; at most {} are allowed", self.waits_ms.len(), limits::RETRY_STEPS_MAX)));
        }
        if self.waits_ms.contains(&0) {
            return Err(Invalid::new("has a wait of zero; the shortest is 1ms"));
        }
        if self.span() > limits::RETRY_SPAN_MAX {
            return Err(Invalid::new(format!("takes longer than {} days in all", limits::RETRY_SPAN_MAX.as_secs() / 86_400)));
        }
        Ok(())
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

/// The form that [`RetrySchedule::parse`] reads.
impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waits_ms.is_empty() && !self.client_errors_are_final {
            return f.write_str(NONE);
        }
        let mut separator = "";
        for wait_ms in &self.waits_ms {
            let (unit, unit_ms) =
                UNITS.iter().find(|(_, unit_ms)| wait_ms.is_multiple_of(*unit_ms)).expect("every wait is whole milliseconds");
            write!(f, "{separator}{}{unit}", wait_ms / unit_ms)?;
            separator = ",";
        }
        if self.client_errors_are_final {
            write!(f, "{separator}{CLIENT_ERRORS_ARE_FINAL}")?;
        }
        Ok(())
    }
}

fn parse_wait_ms(word: &str) -> Result<u64, Invalid> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let unit_ms = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, unit_ms)| *unit_ms);
    match (number.parse::<u64>(), unit_ms) {
        (Ok(number), Some(unit_ms)) => Ok(number.saturating_mul(unit_ms)),
        _ if digits == 0 && !word.is_empty() && PRESETS.iter().any(|(name, _)| *name == word) => {
            Err(Invalid::new(format!("has the preset `{word}` among waits; a preset stands alone")))
        }
        _ => Err(Invalid::new(format!(
            "has {word:?}, which is no wait: write a number with ms, s, m, h or d (`5s,5m,30m`), `none`, or one of the presets {}",
            PRESETS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_waits_presets_and_none() {
        let waits = |text: &str| RetrySchedule::parse(text).map(|schedule| schedule.waits_ms);
        assert_eq!(waits("5s,5m,30m"), Ok(vec![5000, 300_000, 1_800_000]));
        assert_eq!(waits(" 200ms , 1s,1d "), Ok(vec![200, 1000, 86_400_000]));
        assert_eq!(waits(""), Ok(vec![]));
        assert_eq!(waits("none"), Ok(vec![]));
        assert_eq!(waits("github"), Ok(vec![]));
        assert_eq!(RetrySchedule::parse("default"), Ok(RetrySchedule::default()));
        assert_eq!(RetrySchedule::parse("svix"), Ok(RetrySchedule::default()));
        assert!(RetrySchedule::parse("hubspot").unwrap().client_errors_are_final);
        assert_eq!(RetrySchedule::parse("no-4xx"), Ok(RetrySchedule { waits_ms: vec![], client_errors_are_final: true }));
    }

    #[test]
    fn presets_span_what_their_namesakes_do() {
        let hours = |name: &str| RetrySchedule::parse(name).unwrap().span().as_secs() as f64 / 3600.0;
        for (name, expected) in [("stripe", 72.0), ("hubspot", 72.0), ("segment", 24.0), ("shopify", 4.0), ("github", 0.0), ("svix", 27.6)]
        {
            assert!((hours(name) - expected).abs() < 0.1, "{name} spans {} h", hours(name));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let refusal = |text: &str| RetrySchedule::parse(text).unwrap_err().to_string();
        assert!(refusal("5s,soon").starts_with("has \"soon\", which is no wait: write a number with ms, s, m, h or d"));
        for broken in ["5", "s", "5s,,5m", "-5s", "1.5s", "5 parsecs", ",", "99999999999999999999s"] {
            assert!(refusal(broken).contains("which is no wait"), "{broken}");
        }
        assert_eq!(refusal("5s,stripe"), "has the preset `stripe` among waits; a preset stands alone");
        assert_eq!(refusal("0s"), "has a wait of zero; the shortest is 1ms");
        assert_eq!(refusal("6d,1d,1s"), "takes longer than 7 days in all");
        assert_eq!(refusal("18446744073709551615d,18446744073709551615d"), "takes longer than 7 days in all");
        assert_eq!(refusal(&vec!["1s"; 65].join(",")), "has 65 waits; at most 64 are allowed");
        assert!(RetrySchedule::parse(&vec!["1s"; 64].join(",")).is_ok());
        assert!(RetrySchedule::parse("7d").is_ok());
    }

    #[test]
    fn ends_after_its_last_wait() {
        let schedule = RetrySchedule::parse("1s,2s").unwrap();
        let wait_ms = |attempts, jitter| schedule.wait_after(attempts, jitter).map(|wait| wait.as_millis());
        assert_eq!(
            [wait_ms(0, 0.5), wait_ms(1, 0.0), wait_ms(1, 0.5), wait_ms(2, 0.5), wait_ms(3, 0.5)],
            [None, Some(800), Some(1000), Some(2000), None]
        );
        assert_eq!([schedule.span_after(1), schedule.span_after(2), schedule.span_after(3)], [3, 2, 0].map(Duration::from_secs));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(waits_ms in prop::collection::vec(1_u64..9_000_000, 0..=64), client_errors_are_final: bool) {
            let schedule = RetrySchedule { waits_ms, client_errors_are_final };
            prop_assert_eq!(RetrySchedule::parse(&schedule.to_string()), Ok(schedule));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = RetrySchedule::parse(&text);
        }
    }
}
