//! R1: what comes in by a source. Each event is signed as GitHub signs, verified, de-duplicated by its id, kept with its receipt, and delivered.

use anyhow::Result;

use super::throughput::throughput;
use super::{Bench, Shape, Subject};
use crate::entrance::Door;
use crate::report::{Figure, Goal};

impl Bench {
    pub(super) fn r1(&mut self) -> Result<()> {
        let server = self.server();
        let bare = Shape::closed(1, 1, self.options.seconds);
        let through_source = Shape { door: Door::Source, ..bare };
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            let forwarder = self.measure("R1", Subject::Forwarder, bare)?;
            let hookpost = self.measure("R1", Subject::Server(&server), through_source)?;
            ratios.push(throughput(&hookpost) / throughput(&forwarder));
            rates.push(throughput(&hookpost));
        }
        self.report.goal(Goal::at_least("R1", "received and delivered, of the bare forwarder", "×", Figure::of(&ratios), 0.30, 0.50));

        let half = Figure::of(&rates).median / 2.0;
        let open = Shape { door: Door::Source, ..Shape::open(1, half, self.options.seconds) };
        let mut answers_ms = Vec::new();
        for _ in 0..self.options.rounds {
            answers_ms.push(self.measure("R1/2", Subject::Server(&server), open)?.ack_ms.p99);
        }
        self.report.goal(Goal::at_most("R1", "answer p99 at half of R1", "ms", Figure::of(&answers_ms), 15.0, 10.0));
        Ok(())
    }
}
