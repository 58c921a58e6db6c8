//! S5 and S6: receivers that hang, and receivers that fail.

use anyhow::Result;

use super::{Bench, Shape, Subject};
use crate::report::{Figure, Goal};
use crate::sink::Manner;

const APPLICATIONS: u64 = 50;
const HANGING: u64 = 5;

impl Bench {
    /// At a quarter of S1, so that the machine has room and what is measured is the isolation.
    pub(super) fn s5(&mut self) -> Result<()> {
        let rate = self.s1_per_second()? / 4.0;
        let server = self.server();
        let mut ratios = Vec::new();
        for _ in 0..self.options.rounds {
            let calm = Shape::open(APPLICATIONS, rate, self.options.seconds);
            let noisy = Shape { manner: |application| if application < HANGING { Manner::Hangs } else { Manner::Answers }, ..calm };
            let calm = self.measure("S5 calm", Subject::Server(&server), calm)?;
            let noisy = self.measure("S5", Subject::Server(&server), noisy)?;
            ratios.push(noisy.end_to_end_ms.p99 / calm.end_to_end_ms.p99);
        }
        let what = "p99 of healthy endpoints beside hanging ones, of the same without";
        self.report.goal(Goal::at_most("S5", what, "×", Figure::of(&ratios), 1.3, 1.1));
        Ok(())
    }

    /// Every message needs three attempts; nothing may be lost on the way.
    pub(super) fn s6(&mut self) -> Result<()> {
        let rate = self.s1_per_second()? / 8.0;
        let server = self.server().with("HOOKPOST_RETRY_SCHEDULE", "200ms,400ms,1s,1s,1s,5s,5s,5s");
        let shape = Shape { manner: |_| Manner::FailsTwice, ..Shape::open(1, rate, self.options.seconds) };
        self.measure("S6", Subject::Server(&server), shape).map(drop)
    }
}
