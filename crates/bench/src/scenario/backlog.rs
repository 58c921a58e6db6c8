//! S7: a receiver that does not answer while a million deliveries pile up, and then does.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, CONNECTIONS, Shape, application};
use crate::load::{Pace, Plan, Until, send};
use crate::machine::Sample;
use crate::report::{Figure, Goal};
use crate::sink::{Manner, Sink, Window};

impl Bench {
    pub(super) fn s7(&mut self) -> Result<()> {
        let s1_per_second = self.s1_per_second()?;
        let messages = self.volume_of(1_000_000);
        let sink = Sink::start(self.epoch, &self.payload, 1)?;
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.options.directory)?;
        // The attempts under way shall wait for the receiver, not fail.
        let server = self.server().with("HOOKPOST_REQUEST_TIMEOUT", "1h");
        let (running, _) = server.start_all(directory.path())?;
        let shape = Shape { manner: |_| Manner::Waits, ..Shape::closed(1, 1, 0.0) };
        let producer = self.create(&running, &sink, shape)?;

        self.say("S7", "piling up");
        let plan = Plan {
            connections: CONNECTIONS,
            pace: Pace::Closed,
            until: Until::Messages(messages),
            first_sequence: 0,
            window: Window::ALWAYS,
        };
        let sent = send(&producer, plan)?;
        ensure!(sent.accepted == messages, "{} of {messages} messages were accepted: {:?}", sent.accepted, sent.refused);
        ensure!(sink.unique() == 0, "the receiver was not meant to answer yet");
        let pending = running.memory()?;

        self.say("S7", "draining");
        let before = Sample::take(&running.pids())?;
        let started = Instant::now();
        sink.open_gate();
        let arrivals = self.wait_for_rest(&sink, messages);
        let usage = before.until(Sample::take(&running.pids())?);
        let took = Duration::from_micros(arrivals.last_at_us).saturating_sub(started - self.epoch);
        let drained_per_second = arrivals.unique as f64 / took.as_secs_f64();
        let peak_mb = running.memory()?.peak_mb;
        let still_there = running.api()?.get(&format!("/api/v1/app/{}/msg/?limit=1", application(0)))?;
        ensure!(still_there["data"].as_array().is_some_and(|list| list.len() == 1), "the messages are not listed");

        let one = |value: f64| Figure::of(&[value]);
        let what = format!("peak memory with {messages} pending");
        self.report.goal(Goal::at_most("S7", &what, "MB", one(peak_mb), 250.0, 120.0));
        self.report.goal(Goal::at_least("S7", "drain, of the deliveries of S1", "×", one(drained_per_second / s1_per_second), 0.8, 1.0));
        self.report.note(format!(
            "S7: {messages} accepted in {:.1} s ({:.0}/s), {:.0} MB when all were pending; drained at {drained_per_second:.0}/s; lost {}, duplicates {}, \
             foreign CPU {:.1} %",
            sent.took.as_secs_f64(),
            sent.accepted as f64 / sent.took.as_secs_f64(),
            pending.now_mb,
            messages.saturating_sub(arrivals.unique),
            arrivals.duplicates,
            usage.foreign_share * 100.0,
        ));
        self.report.lost += messages.saturating_sub(arrivals.unique);
        Ok(())
    }
}
