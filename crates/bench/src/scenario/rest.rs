//! S8: a server that has nothing to do.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::report::{Figure, Goal};

impl Bench {
    pub(super) fn s8(&mut self) -> Result<()> {
        self.say("S8", "starting and resting");
        let (mut cold_start_ms, mut idle_mb) = (Vec::new(), Vec::new());
        for round in 0..self.options.rounds.max(3) {
            let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.options.directory)?;
            let (running, took) = self.options.server.start_all(directory.path())?;
            cold_start_ms.push(took.as_secs_f64() * 1000.0);
            if round < self.options.rounds {
                std::thread::sleep(Duration::from_secs(5));
                idle_mb.push(running.memory()?.now_mb);
            }
        }
        self.report.goal(Goal::at_most("S8", "memory after five idle seconds", "MB", Figure::of(&idle_mb), 30.0, 15.0));
        self.report.goal(Goal::at_most("S8", "cold start to the first answer", "ms", Figure::of(&cold_start_ms), 100.0, 30.0));
        Ok(())
    }
}
