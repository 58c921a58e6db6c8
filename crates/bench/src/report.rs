//! The figures, for people and (as JSON) for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::scenario::Run;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) raw_per_second: Figure,
    pub(crate) goals: Vec<Goal>,
    pub(crate) runs: Vec<Run>,
    pub(crate) notes: Vec<String>,
    /// Outside the runs.
    pub(crate) lost: u64,
}

/// The median of some rounds, with its bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    scenario: String,
    what: String,
    unit: &'static str,
    value: Figure,
    at_least: f64,
    aim: f64,
    higher_is_better: bool,
}

impl Figure {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Self { median, min, max, rounds: sorted.len() }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.rounds > 1 {
            write!(f, "{} ({}–{})", number(self.median), number(self.min), number(self.max))
        } else {
            f.write_str(&number(self.median))
        }
    }
}

impl Goal {
    pub(crate) fn at_least(scenario: &str, what: &str, unit: &'static str, value: Figure, at_least: f64, aim: f64) -> Self {
        Self { scenario: scenario.to_owned(), what: what.to_owned(), unit, value, at_least, aim, higher_is_better: true }
    }

    pub(crate) fn at_most(scenario: &str, what: &str, unit: &'static str, value: Figure, at_most: f64, aim: f64) -> Self {
        Self { scenario: scenario.to_owned(), what: what.to_owned(), unit, value, at_least: at_most, aim, higher_is_better: false }
    }

    fn verdict(&self) -> &'static str {
        let reaches = |bound: f64| if self.higher_is_better { self.value.median >= bound } else { self.value.median <= bound };
        match (reaches(self.at_least), reaches(self.aim)) {
            (true, true) => "yes, and the aim",
            (true, false) => "yes",
            (false, _) => "NO",
        }
    }
}

impl Report {
    pub(crate) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether something that was acknowledged did not arrive, or not as it was sent.
    pub(crate) fn is_broken(&self) -> bool {
        self.lost > 0 || self.runs.iter().any(|run| run.subject == "hookpost" && run.lost + run.malformed + run.signatures_bad > 0)
    }

    pub(crate) fn for_people(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}\n", self.machine);
        let forwarder = self.runs.iter().filter(|run| run.scenario == "S1" && run.subject == "forwarder");
        let forwarder = Figure::of(&forwarder.map(|run| run.delivered_per_second).collect::<Vec<_>>());
        let _ = writeln!(text, "hyper, client to server, nothing else   {}/s", self.raw_per_second);
        if forwarder.rounds > 0 {
            let share = forwarder.median / self.raw_per_second.median;
            let _ = writeln!(text, "bare forwarder at S1                    {forwarder}/s, {share:.2} of hyper");
        }

        let _ = writeln!(text, "\n{:<8} {:<72} {:<26} {:>8} {:>6}  reached", "scenario", "goal", "measured", "bound", "aim");
        for goal in &self.goals {
            let measured = format!("{} {}", goal.value, goal.unit);
            let _ = writeln!(
                text,
                "{:<8} {:<72} {measured:<26} {:>8} {:>6}  {}",
                goal.scenario,
                goal.what,
                number(goal.at_least),
                number(goal.aim),
                goal.verdict()
            );
        }

        if !self.runs.is_empty() {
            let _ = writeln!(
                text,
                "\n{:<8} {:<9} {:>10} {:>11} {:>27} {:>27} {:>8} {:>9} {:>7} {:>5} {:>5} {:>8}",
                "scenario",
                "program",
                "accepted/s",
                "delivered/s",
                "answer p50/p99/p99.9/max ms",
                "end to end, the same, ms",
                "CPU s/M",
                "cores s+h",
                "peak MB",
                "lost",
                "twice",
                "foreign"
            );
        }
        for run in &self.runs {
            let latency =
                |l: &crate::scenario::Latency| format!("{}/{}/{}/{}", number(l.p50), number(l.p99), number(l.p999), number(l.max));
            let _ = writeln!(
                text,
                "{:<8} {:<9} {:>10} {:>11} {:>27} {:>27} {:>8.1} {:>9} {:>7.0} {:>5} {:>5} {:>6.1} %{}",
                run.scenario,
                run.subject,
                number(run.accepted_per_second),
                number(run.delivered_per_second),
                latency(&run.ack_ms),
                latency(&run.end_to_end_ms),
                run.cpu_seconds_per_million_deliveries,
                format!("{:.2}+{:.2}", run.cpu_cores, run.harness_cpu_cores),
                run.peak_mb,
                run.lost,
                run.duplicates,
                run.foreign_share * 100.0,
                remarks(run),
            );
        }
        for run in self.runs.iter().filter(|run| run.subject == "hookpost") {
            let slowest = run.delivered_per_second_by_tenth.iter().copied().fold(f64::INFINITY, f64::min);
            let last = run.delivered_per_second_by_tenth.last().copied().unwrap_or_default();
            let _ = writeln!(text, "{}: slowest tenth of the time {}/s, last tenth {}/s", run.scenario, number(slowest), number(last));
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

fn remarks(run: &Run) -> String {
    let mut text = String::new();
    if run.disturbed {
        text.push_str("  disturbed");
    }
    if !run.refused.is_empty() {
        let _ = write!(text, "  refused {:?}", run.refused);
    }
    if run.signatures_bad > 0 {
        let _ = write!(text, "  bad signatures {} of {}", run.signatures_bad, run.signatures_verified);
    }
    if run.malformed > 0 {
        let _ = write!(text, "  changed payloads {}", run.malformed);
    }
    text
}

/// Three significant digits, and no more than are known.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_verdicts() {
        assert_eq!(Figure::of(&[3.0, 1.0, 2.0]).to_string(), "2.00 (1.00–3.00)");
        assert_eq!(Figure::of(&[40_000.0, 41_000.0]).to_string(), "40500 (40000–41000)");
        assert_eq!(Figure::of(&[12.34]).to_string(), "12.3");
        for (value, expected) in [(0.3, "NO"), (0.4, "yes"), (0.6, "yes, and the aim")] {
            assert_eq!(Goal::at_least("S1", "", "", Figure::of(&[value]), 0.38, 0.55).verdict(), expected);
        }
        for (value, expected) in [(30.0, "NO"), (20.0, "yes"), (8.0, "yes, and the aim")] {
            assert_eq!(Goal::at_most("S3", "", "", Figure::of(&[value]), 25.0, 8.0).verdict(), expected);
        }
    }
}
