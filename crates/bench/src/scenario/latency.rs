//! S3: how long it takes at half of what is possible, and the longest that anyone waits for an answer in a minute.

use anyhow::Result;

use super::{Bench, Shape, Subject};
use crate::report::{Figure, Goal};

impl Bench {
    pub(super) fn s3(&mut self) -> Result<()> {
        let half = self.s1_per_second()? / 2.0;
        let server = self.server();
        let seconds = if self.options.quick { self.options.seconds } else { self.options.seconds.max(60.0) };
        // What the machine itself does to a latency at this rate: program, load and receiver share its cores in both.
        let bare = self.measure("S3", Subject::Forwarder, Shape::open(1, half, seconds))?;
        let run = self.measure("S3", Subject::Server(&server), Shape::open(1, half, seconds))?;
        let one = |value: f64| Figure::of(&[value]);
        self.report.goal(Goal::at_most("S3", "end to end p50 at half of S1", "ms", one(run.end_to_end_ms.p50), 2.0, 1.0));
        self.report.goal(Goal::at_most("S3", "end to end p99 at half of S1", "ms", one(run.end_to_end_ms.p99), 25.0, 8.0));
        if let (Some(late), Some(bare_late)) = (run.pace_late_ms, bare.pace_late_ms) {
            self.report.note(format!(
                "S3: end to end of the bare forwarder at the same rate: p50 {:.2}, p99 {:.1} ms; p99 of the load's own lateness {:.1} ms, with the forwarder {:.1} ms",
                bare.end_to_end_ms.p50, bare.end_to_end_ms.p99, late.p99, bare_late.p99
            ));
        }
        let what = format!("longest stall of an answer in {seconds:.0} s");
        self.report.goal(Goal::at_most("S3", &what, "ms", one(run.ack_ms.max), 250.0, 50.0));
        Ok(())
    }
}
