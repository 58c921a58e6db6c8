//! Two nodes on one PostgreSQL, beside one: whether they get in each other's way.

use anyhow::{Result, ensure};

use super::throughput::throughput;
use super::{Bench, Shape, Subject};
use crate::child::DatabaseKind;
use crate::report::{Figure, Goal};

impl Bench {
    /// On one machine a second node brings no processor with it: what is looked for is that it takes none away.
    pub(super) fn nodes(&mut self) -> Result<()> {
        ensure!(self.database() == DatabaseKind::Postgres, "several nodes need --database postgres");
        let shape = Shape::closed(1, 1, self.options.seconds);
        let (one, two) = (self.server(), self.server().with_nodes(2));
        let (mut ratios, mut twice) = (Vec::new(), 0);
        for _ in 0..self.options.rounds {
            let alone = self.measure("1 node", Subject::Server(&one), shape)?;
            let both = self.measure("2 nodes", Subject::Server(&two), shape)?;
            ratios.push(throughput(&both) / throughput(&alone));
            twice += both.duplicates;
        }
        self.report.goal(Goal::at_least("nodes", "two nodes on one database, of one", "×", Figure::of(&ratios), 1.0, 1.2));
        self.report.goal(Goal::at_most("nodes", "deliveries that came twice from two nodes", "", Figure::of(&[twice as f64]), 0.0, 0.0));
        Ok(())
    }
}
