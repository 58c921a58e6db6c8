//! What many stored messages cost: lists among a million, throughput after two million.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Bench, CONNECTIONS, Latency, Shape, application};
use crate::load::{Pace, Plan, Until, send};
use crate::machine::Sample;
use crate::report::{Figure, Goal};
use crate::sink::{Sink, Window, new_histogram};

const APPLICATIONS: u64 = 100;
const LISTS: u64 = 300;

impl Bench {
    pub(super) fn volume(&mut self) -> Result<()> {
        let sink = Sink::start(self.epoch, &self.payload, 1)?;
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.options.directory)?;
        let (running, _) = self.options.server.start_all(directory.path())?;
        let producer = self.create(&running, &sink, Shape::closed(APPLICATIONS, 1, 0.0))?;

        let mut stored = 0;
        let mut lost = 0;
        let mut foreign: f64 = 0.0;
        let mut fill = |bench: &Self, messages: u64| -> Result<f64> {
            bench.say("volume", &format!("from {stored} to {} messages", stored + messages));
            let before = Sample::take(&running.pids())?;
            let plan = Plan {
                connections: CONNECTIONS,
                pace: Pace::Closed,
                until: Until::Messages(messages),
                first_sequence: stored,
                window: Window::ALWAYS,
            };
            let sent = send(&producer, plan)?;
            ensure!(sent.accepted == messages, "{} of {messages} messages were accepted: {:?}", sent.accepted, sent.refused);
            stored += messages;
            foreign = foreign.max(before.until(Sample::take(&running.pids())?).foreign_share);
            lost = stored.saturating_sub(bench.wait_for_rest(&sink, stored).unique);
            Ok(messages as f64 / sent.took.as_secs_f64())
        };

        let (quarter, three_quarters, million) = (self.volume_of(250_000), self.volume_of(750_000), self.volume_of(1_000_000));
        // Connections, caches and files have to come into being before the first 250,000 count.
        fill(self, self.volume_of(20_000))?;
        let first = fill(self, quarter)?;
        fill(self, three_quarters)?;

        self.say("volume", "listing");
        let mut api = running.api()?;
        let mut list_us = new_histogram();
        for index in 0..LISTS {
            let path = format!("/api/v1/app/{}/msg/?limit=50", application(index * 37 % APPLICATIONS));
            let started = Instant::now();
            let list = api.get(&path)?;
            list_us.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            ensure!(
                list["data"].as_array().is_some_and(|list| list.len() == 50),
                "{path} lists {:?}",
                list["data"].as_array().map(Vec::len)
            );
        }
        let list_ms = Latency::of(&list_us);

        fill(self, million)?;
        let last = fill(self, quarter)?;

        let one = |value: f64| Figure::of(&[value]);
        let what = format!("newest 50 of an application among {million} messages, p50");
        self.report.goal(Goal::at_most("volume", &what, "ms", one(list_ms.p50), 5.0, 1.0));
        let what = format!("throughput after {} messages, of the first {quarter}", 2 * million);
        self.report.goal(Goal::at_least("volume", &what, "×", one(last / first), 0.9, 1.0));
        self.report.note(format!(
            "volume: {first:.0}/s for the first {quarter}, {last:.0}/s after {}; lists p50 {:.2} p99 {:.2} max {:.2} ms; lost {lost}, foreign CPU up to {:.1} %",
            2 * million,
            list_ms.p50,
            list_ms.p99,
            list_ms.max,
            foreign * 100.0
        ));
        self.report.lost += lost;
        Ok(())
    }
}
