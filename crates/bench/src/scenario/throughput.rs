//! S1, S2 and S4: how much goes through, in rounds that alternate with what it is compared to.

use anyhow::Result;

use super::{Bench, Run, Shape, Subject};
use crate::child::DatabaseKind;
use crate::report::{Figure, Goal};

impl Bench {
    pub(super) fn s1(&mut self) -> Result<()> {
        let ratios = self.against_forwarder("S1", Shape::closed(1, 1, self.options.seconds))?;
        let (at_least, aim) = match self.database() {
            DatabaseKind::Sqlite => (0.38, 0.55),
            DatabaseKind::Postgres => (0.18, 0.30),
        };
        self.report.goal(Goal::at_least("S1", "throughput, of the bare forwarder", "×", ratios.0, at_least, aim));
        self.s1_per_second = Some(ratios.1.median);
        Ok(())
    }

    /// What is printed for every run says it: the slowest tenth of the time, and the last.
    pub(super) fn hold(&mut self) -> Result<()> {
        let server = self.server();
        self.measure("hold", Subject::Server(&server), Shape::closed(1, 1, self.options.seconds)).map(drop)
    }

    pub(super) fn s2(&mut self) -> Result<()> {
        let ratios = self.against_forwarder("S2", Shape::closed(1, 10, self.options.seconds))?;
        let (at_least, aim) = match self.database() {
            DatabaseKind::Sqlite => (0.45, 0.65),
            DatabaseKind::Postgres => (0.30, 0.45),
        };
        self.report.goal(Goal::at_least("S2", "deliveries at fan-out 10, of the bare forwarder", "×", ratios.0, at_least, aim));
        Ok(())
    }

    pub(super) fn s4(&mut self) -> Result<()> {
        let server = self.server();
        let mut ratios = Vec::new();
        for _ in 0..self.options.rounds {
            let one = self.measure("S1", Subject::Server(&server), Shape::closed(1, 1, self.options.seconds))?;
            let hundred = self.measure("S4", Subject::Server(&server), Shape::closed(100, 1, self.options.seconds))?;
            ratios.push(throughput(&hundred) / throughput(&one));
        }
        self.report.goal(Goal::at_least("S4", "100 applications, of S1", "×", Figure::of(&ratios), 0.95, 1.0));
        Ok(())
    }

    /// The ratios of adjacent runs, and the rates of the server.
    fn against_forwarder(&mut self, scenario: &str, shape: Shape) -> Result<(Figure, Figure)> {
        let server = self.server();
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            let forwarder = self.measure(scenario, Subject::Forwarder, shape)?;
            let hookpost = self.measure(scenario, Subject::Server(&server), shape)?;
            ratios.push(throughput(&hookpost) / throughput(&forwarder));
            rates.push(throughput(&hookpost));
        }
        Ok((Figure::of(&ratios), Figure::of(&rates)))
    }
}

/// Deliveries a second that can go on for ever: neither what was accepted and piled up counts, nor what a pile gave.
pub(super) fn throughput(run: &Run) -> f64 {
    run.delivered_per_second.min(run.accepted_per_second * run.fan_out as f64)
}
