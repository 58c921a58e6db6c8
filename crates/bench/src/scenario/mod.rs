//! The scenarios, and the one way in which all of them measure: start the program under test, load it, look at what it used,
//! wait until everything has arrived.

mod backlog;
mod latency;
mod nodes;
mod r1;
mod rest;
mod throughput;
mod trouble;
mod volume;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use hyper::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::child::{DatabaseKind, Running, Server, start_forwarder, tail};
use crate::entrance::{Door, uri_of_application};
use crate::load::{Pace, Plan, Producer, Sent, Until, send, since_us};
use crate::machine::Sample;
use crate::payload::Payload;
use crate::report::{Figure, Report};
use crate::sink::{Arrivals, Manner, Sink, Window};

/// Deliveries that do not come for this long do not come at all.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 64;
const PAYLOAD_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// One application, one endpoint, 64 connections, closed loop
    S1,
    /// The same with ten endpoints
    S2,
    /// Open loop at half the rate of S1
    S3,
    /// The same as S1 with 100 applications
    S4,
    /// 50 applications, the endpoints of five hang for ten seconds
    S5,
    /// Endpoints fail the first two attempts at each message
    S6,
    /// One million pending deliveries, then drain
    S7,
    /// Idle memory and cold start
    S8,
    /// Lists and throughput among two million messages
    Volume,
    /// Signed events of GitHub into a source, one endpoint, 64 connections: closed loop, then open at half of that rate
    R1,
    /// S1 on one node and on two, which share a PostgreSQL and the load
    Nodes,
    /// S1 without the forwarder, for as long as `--seconds` says: whether the rate is held
    Hold,
}

impl Scenario {
    /// What is measured when nothing is named.
    pub(crate) fn usual(database: DatabaseKind) -> Vec<Self> {
        match database {
            DatabaseKind::Sqlite => Self::value_variants().iter().copied().filter(|&scenario| scenario != Self::Nodes).collect(),
            DatabaseKind::Postgres => vec![Self::S1, Self::S2, Self::S3, Self::S4, Self::S5, Self::R1, Self::Nodes],
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) rounds: usize,
    /// A tenth of the volumes.
    pub(crate) quick: bool,
    pub(crate) foreign_share_max: f64,
    pub(crate) repeats_max: usize,
    pub(crate) server: Server,
    pub(crate) directory: std::path::PathBuf,
}

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) report: Report,
    epoch: Instant,
    payload: Payload,
    progress: ProgressBar,
    /// The rate of S1, for the scenarios that are measured against it.
    s1_per_second: Option<f64>,
}

/// What is loaded.
#[derive(Debug, Clone, Copy)]
enum Subject<'a> {
    Forwarder,
    Server(&'a Server),
}

/// How it is loaded.
#[derive(Debug, Clone, Copy)]
struct Shape {
    door: Door,
    applications: u64,
    endpoints: u64,
    pace: Pace,
    connections: usize,
    seconds: f64,
    manner: fn(application: u64) -> Manner,
}

impl Shape {
    fn closed(applications: u64, endpoints: u64, seconds: f64) -> Self {
        let manner = |_| Manner::Answers;
        Self { door: Door::Api, applications, endpoints, pace: Pace::Closed, connections: CONNECTIONS, seconds, manner }
    }

    fn open(applications: u64, per_second: f64, seconds: f64) -> Self {
        // Enough that a stall is seen in the latency, and not in a load that waits for a connection.
        Self { pace: Pace::Open { per_second }, connections: 256, ..Self::closed(applications, 1, seconds) }
    }
}

/// Everything measured in one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) subject: String,
    pub(crate) fan_out: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) delivered_per_second_by_tenth: Vec<f64>,
    pub(crate) ack_ms: Latency,
    pub(crate) end_to_end_ms: Latency,
    /// How late the load itself was, of an open loop; part of the two above.
    pub(crate) pace_late_ms: Option<Latency>,
    pub(crate) cpu_seconds_per_million_deliveries: f64,
    /// Of one core: 1.5 is one and a half.
    pub(crate) cpu_cores: f64,
    pub(crate) harness_cpu_cores: f64,
    pub(crate) peak_mb: f64,
    pub(crate) accepted: u64,
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) malformed: u64,
    pub(crate) signatures_verified: u64,
    pub(crate) signatures_bad: u64,
    pub(crate) foreign_share: f64,
    pub(crate) disturbed: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latency {
    fn of(histogram: &hdrhistogram::Histogram<u32>) -> Self {
        let ms = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999), max: histogram.max() as f64 / 1000.0 }
    }
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        let progress = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        progress.enable_steady_tick(Duration::from_millis(200));
        let payload = Payload::of_bytes(PAYLOAD_BYTES);
        Self { options, report: Report::default(), epoch: Instant::now(), payload, progress, s1_per_second: None }
    }

    pub(crate) fn run(&mut self, scenarios: &[Scenario]) -> Result<()> {
        self.raw_rate()?;
        for &scenario in scenarios {
            match scenario {
                Scenario::S1 => self.s1(),
                Scenario::S2 => self.s2(),
                Scenario::S3 => self.s3(),
                Scenario::S4 => self.s4(),
                Scenario::S5 => self.s5(),
                Scenario::S6 => self.s6(),
                Scenario::S7 => self.s7(),
                Scenario::S8 => self.s8(),
                Scenario::R1 => self.r1(),
                Scenario::Volume => self.volume(),
                Scenario::Hold => self.hold(),
                Scenario::Nodes => self.nodes(),
            }
            .with_context(|| format!("scenario {scenario:?}"))?;
        }
        self.progress.finish_and_clear();
        Ok(())
    }

    /// What hyper itself carries on this machine, so that the forwarder can be judged.
    fn raw_rate(&mut self) -> Result<()> {
        let rates = (0..self.options.rounds)
            .map(|_| {
                self.say("hyper", "the raw rate of hyper");
                let running = Running::from(start_forwarder(&["--answer-only".to_owned()])?);
                let producer = self.producer(&running, 1)?;
                let plan = self.plan(Shape::closed(1, 1, self.options.seconds.min(5.0)));
                let sent = send(&producer, plan)?;
                Ok(sent.accepted_in_window as f64 / seconds_of(plan.window))
            })
            .collect::<Result<Vec<f64>>>()?;
        self.report.raw_per_second = Figure::of(&rates);
        Ok(())
    }

    /// Repeats a run that others disturbed, and in the end keeps the least disturbed one.
    fn measure(&mut self, scenario: &str, subject: Subject<'_>, shape: Shape) -> Result<Run> {
        let mut best: Option<Run> = None;
        for _ in 0..=self.options.repeats_max {
            let run = self.measure_once(scenario, subject, shape)?;
            if best.as_ref().is_none_or(|best| run.foreign_share < best.foreign_share) {
                best = Some(run);
            }
            if best.as_ref().is_some_and(|best| !best.disturbed) {
                break;
            }
        }
        let run = best.context("nothing was measured")?;
        self.report.runs.push(run.clone());
        Ok(run)
    }

    fn measure_once(&self, scenario: &str, subject: Subject<'_>, shape: Shape) -> Result<Run> {
        let sink = Sink::start(self.epoch, &self.payload, shape.endpoints)?;
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.options.directory)?;
        let (name, running, producer) = match subject {
            Subject::Forwarder => {
                let arguments = ["--to".to_owned(), sink.address.to_string(), "--fan-out".to_owned(), shape.endpoints.to_string()];
                let running = Running::from(start_forwarder(&arguments)?);
                let producer = self.producer(&running, shape.applications)?;
                ("forwarder", running, producer)
            }
            Subject::Server(server) => {
                let (running, _) = server.start_all(directory.path())?;
                let producer = self.create(&running, &sink, shape)?;
                ("hookpost", running, producer)
            }
        };
        self.say(scenario, name);
        // The time of creating things is not part of the plan.
        let plan = self.plan(shape);
        sink.set_window(plan.window);
        let loaded = self.load(&running, &producer, plan);
        let (sent, usage) =
            loaded.with_context(|| format!("the load on {name}, which said: {}", tail(&directory.path().join("data.log"))))?;
        let arrivals = self.wait_for_rest(&sink, expected(&sent, shape));
        let lost = expected(&sent, shape).saturating_sub(arrivals.unique);
        let seconds = seconds_of(plan.window);
        Ok(Run {
            scenario: scenario.to_owned(),
            subject: name.to_owned(),
            fan_out: shape.endpoints,
            accepted_per_second: sent.accepted_in_window as f64 / seconds,
            delivered_per_second: arrivals.unique_in_window as f64 / seconds,
            delivered_per_second_by_tenth: arrivals.unique_by_tenth.iter().map(|&count| count as f64 / (seconds / 10.0)).collect(),
            ack_ms: Latency::of(&sent.ack_us),
            end_to_end_ms: Latency::of(&arrivals.end_to_end_us),
            pace_late_ms: (!sent.pace_late_us.is_empty()).then(|| Latency::of(&sent.pace_late_us)),
            cpu_seconds_per_million_deliveries: usage.child_cpu_s / (arrivals.unique_in_window.max(1) as f64) * 1e6,
            cpu_cores: usage.child_cpu_s / usage.wall.as_secs_f64(),
            harness_cpu_cores: usage.own_cpu_s / usage.wall.as_secs_f64(),
            peak_mb: running.memory()?.peak_mb,
            accepted: sent.accepted,
            refused: sent.refused,
            lost,
            duplicates: arrivals.duplicates,
            malformed: arrivals.malformed,
            signatures_verified: arrivals.signatures_verified,
            signatures_bad: arrivals.signatures_bad,
            foreign_share: usage.foreign_share,
            disturbed: usage.foreign_share > self.options.foreign_share_max,
        })
    }

    /// Sends, and samples the machine at the edges of the window.
    fn load(&self, running: &Running, producer: &Producer, plan: Plan) -> Result<(Sent, crate::machine::Usage)> {
        let pids = running.pids();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| send(producer, plan));
            let sample_at = |at_us: u64| {
                std::thread::sleep(Duration::from_micros(at_us.saturating_sub(since_us(self.epoch))));
                Sample::take(&pids)
            };
            let samples = sample_at(plan.window.from_us).and_then(|first| Ok((first, sample_at(plan.window.to_us)?)));
            let sent = load.join().ok().context("the load failed")??;
            let (first, last) = samples?;
            Ok((sent, first.until(last)))
        })
    }

    fn plan(&self, shape: Shape) -> Plan {
        let from_us = since_us(self.epoch) + (self.options.warm_up_seconds * 1e6) as u64;
        let to_us = from_us + (shape.seconds * 1e6) as u64;
        let until = Until::Time(Duration::from_secs_f64(self.options.warm_up_seconds + shape.seconds));
        Plan { connections: shape.connections, pace: shape.pace, until, first_sequence: 0, window: Window { from_us, to_us } }
    }

    /// Of messages for applications, for programs that need not know them before.
    fn producer(&self, running: &Running, applications: u64) -> Result<Producer> {
        let uris = (0..applications).map(|index| uri_of_application(&application(index))).collect::<Result<_>>()?;
        self.producer_for(running, Door::Api, uris)
    }

    fn producer_for(&self, running: &Running, door: Door, uris: Vec<Uri>) -> Result<Producer> {
        let entrance = door.entrance()?;
        Ok(Producer { addresses: running.addresses(), entrance, uris, payload: self.payload.clone(), epoch: self.epoch })
    }

    /// Creates what the shape says, and a producer for it.
    fn create(&self, running: &Running, sink: &Sink, shape: Shape) -> Result<Producer> {
        let mut api = running.api()?;
        let mut uris = Vec::new();
        for index in 0..shape.applications {
            let endpoints = (0..shape.endpoints).map(|endpoint| sink.url((shape.manner)(index), endpoint));
            uris.push(shape.door.create(&mut api, &application(index), endpoints)?.uri);
        }
        self.producer_for(running, shape.door, uris)
    }

    fn wait_for_rest(&self, sink: &Sink, expected: u64) -> Arrivals {
        let mut seen = sink.unique();
        let mut progress_at = Instant::now();
        while seen < expected && progress_at.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
            let now = sink.unique();
            if now > seen {
                (seen, progress_at) = (now, Instant::now());
            }
        }
        // Whatever came twice has had its time to come.
        std::thread::sleep(Duration::from_millis(200));
        sink.arrivals()
    }

    fn server(&self) -> Server {
        self.options.server.clone()
    }

    fn database(&self) -> DatabaseKind {
        self.options.server.database
    }

    /// Measured if nobody asked for it before.
    fn s1_per_second(&mut self) -> Result<f64> {
        if let Some(rate) = self.s1_per_second {
            return Ok(rate);
        }
        let server = self.server();
        let run = self.measure("S1", Subject::Server(&server), Shape::closed(1, 1, self.options.seconds))?;
        self.s1_per_second = Some(run.delivered_per_second);
        Ok(run.delivered_per_second)
    }

    fn volume_of(&self, messages: u64) -> u64 {
        if self.options.quick { messages / 10 } else { messages }
    }

    fn say(&self, scenario: &str, what: &str) {
        self.progress.set_message(format!("{scenario}: {what}"));
    }
}

/// Deliveries that have to arrive: those of endpoints that hang are not waited for.
fn expected(sent: &Sent, shape: Shape) -> u64 {
    let healthy = sent.accepted_by_application.iter().zip(0..).filter(|&(_, application)| (shape.manner)(application) != Manner::Hangs);
    healthy.map(|(accepted, _)| accepted * shape.endpoints).sum()
}

fn application(index: u64) -> String {
    format!("bench-{index}")
}

fn seconds_of(window: Window) -> f64 {
    (window.to_us - window.from_us) as f64 / 1e6
}
