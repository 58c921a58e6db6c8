//! The kill test: load, `kill -9` at random moments, start again, many times; then every message that was acknowledged must be
//! listed, and must have arrived with its bytes unchanged at every endpoint it was meant for.
//!
//! Every message has an idempotency key, or the provider's event id where it comes in by a source. What was not answered when
//! the server died is sent again with the same key, and must not become a second message. What arrives twice must have arrived before a kill and again after it: it was delivered, and
//! the server died before that was on disk. That is the price of "at least once", and the only one that is accepted here.

mod ledger;
mod load;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use self::ledger::{Ledger, Receiver};
use self::load::{Acknowledged, Work, send_until_dead, send_until_done};
use crate::api::Api;
use crate::child::{Process, Server};
use crate::entrance::{Door, Place};
use crate::payload::{Payload, Stamp};

/// The applications and how many endpoints each has. At the last one every fifth attempt fails.
const APPLICATIONS: [(&str, u64); 3] = [("kill-one", 1), ("kill-pair", 2), ("kill-flaky", 1)];
const PAYLOAD_BYTES: usize = 300;
/// Deliveries that do not come for this long do not come at all.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// How often the server is killed
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// The longest that it lives
    #[arg(long, default_value_t = 2.0)]
    seconds_per_round: f64,
    /// Which way the messages come in
    #[arg(long, value_enum, default_value = "api")]
    through: Door,
    /// Connections that send
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Decides the moments of the kills [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Where the data goes, and stays for inspection [default: a temporary directory]
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
struct Findings {
    lost: Vec<String>,
    unlisted: Vec<String>,
    changed: u64,
    second_messages: Vec<String>,
    unexplained_duplicates: u64,
    duplicates: u64,
    duplicates_of_one_kill_max: u64,
    listed: u64,
}

/// Whether nothing was lost.
pub(crate) fn run(arguments: &Arguments, server: &Server, directory: &std::path::Path) -> Result<bool> {
    let seed = arguments.seed.unwrap_or(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let through = match arguments.through {
        Door::Api => "the API",
        Door::Source => "sources",
    };
    println!("kill test through {through}: {} rounds of up to {} s, seed {seed}", arguments.rounds, arguments.seconds_per_round);
    let temporary = tempfile::Builder::new().prefix("kill-").tempdir_in(directory)?;
    let data = arguments.keep.clone().unwrap_or_else(|| temporary.path().join("data"));
    let server = server.with("HOOKPOST_RETRY_SCHEDULE", "50ms,100ms,200ms,400ms,1s,1s,1s,1s,1s,1s,1s,1s,2s,2s,2s,2s");

    let payload = Payload::of_bytes(PAYLOAD_BYTES);
    let receiver = Receiver::start(&payload)?;
    let mut random = Random(seed);
    let mut recoveries_ms = Vec::new();

    let (process, _) = server.start(&data)?;
    let places = create(arguments.through, &process, &receiver)?;
    let work = Work::new(payload.clone(), arguments, &places)?;
    let mut next = Some(process);
    let progress =
        ProgressBar::new(u64::from(arguments.rounds)).with_style(ProgressStyle::with_template("kill {pos}/{len} {wide_bar} {msg}")?);
    for round in 0..arguments.rounds {
        let process = match next.take() {
            Some(process) => process,
            None if round % 8 == 7 => {
                // In the middle of its recovery, too.
                let process = server.spawn(&data)?;
                std::thread::sleep(Duration::from_micros(random.below(30_000)));
                process.kill()?;
                receiver.note_kill();
                continue;
            }
            None => {
                let (process, took) = server.start(&data).with_context(|| format!("starting again, round {round}, seed {seed}"))?;
                recoveries_ms.push(took.as_secs_f64() * 1000.0);
                process
            }
        };
        let life = Duration::from_micros(20_000 + random.below((arguments.seconds_per_round * 1e6) as u64));
        let address = process.address;
        std::thread::scope(|scope| {
            let load = scope.spawn(|| send_until_dead(&work, address));
            std::thread::sleep(life);
            let killed = process.kill();
            receiver.note_kill();
            load.join().ok().context("the load failed")??;
            killed
        })?;
        progress.set_message(format!("{} acknowledged", work.acknowledged().len()));
        progress.inc(1);
    }
    progress.finish_and_clear();

    let (process, took) = server.start(&data)?;
    recoveries_ms.push(took.as_secs_f64() * 1000.0);
    send_until_done(&work, process.address)?;
    let acknowledged = work.acknowledged();
    let expected: u64 = acknowledged.keys().map(|&sequence| endpoints_of(sequence)).sum();
    wait_for_rest(&receiver, &acknowledged);
    let ledger = receiver.ledger();
    let mut findings = examine(&ledger, &acknowledged);
    list_all(&process, &places, &payload, &acknowledged, &mut findings)?;

    recoveries_ms.sort_by(f64::total_cmp);
    report(arguments, &work, &ledger, &findings, expected, &recoveries_ms);
    Ok(findings.is_clean())
}

fn application_of(sequence: u64) -> usize {
    (sequence % APPLICATIONS.len() as u64) as usize
}

fn endpoints_of(sequence: u64) -> u64 {
    APPLICATIONS[application_of(sequence)].1
}

fn create(through: Door, process: &Process, receiver: &Receiver) -> Result<Vec<Place>> {
    let mut api = Api::new(process.address)?;
    let create = |(name, endpoints)| {
        let manner = if name == "kill-flaky" { "flaky" } else { "ok" };
        let urls = (0..endpoints).map(|endpoint| format!("http://{}/{manner}/{endpoint}", receiver.address));
        through.create(&mut api, name, urls)
    };
    APPLICATIONS.into_iter().map(create).collect()
}

fn wait_for_rest(receiver: &Receiver, acknowledged: &Acknowledged) {
    let missing = || {
        let ledger = receiver.ledger();
        let deliveries = acknowledged.keys().flat_map(|&sequence| (0..endpoints_of(sequence)).map(move |endpoint| (sequence, endpoint)));
        deliveries.filter(|delivery| !ledger.arrivals.contains_key(delivery)).count()
    };
    let mut left = missing();
    let mut progress_at = Instant::now();
    while left > 0 && progress_at.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
        let now = missing();
        if now < left {
            (left, progress_at) = (now, Instant::now());
        }
    }
    // Whatever comes twice without a reason has its time to come.
    std::thread::sleep(Duration::from_secs(1));
}

fn examine(ledger: &Ledger, acknowledged: &Acknowledged) -> Findings {
    let mut findings = Findings { changed: ledger.changed, ..Findings::default() };
    for (&sequence, id) in acknowledged {
        for endpoint in 0..endpoints_of(sequence) {
            match ledger.arrivals.get(&(sequence, endpoint)) {
                None => {
                    findings.lost.push(format!("message {id} (number {sequence}) never arrived at endpoint {endpoint} of its application"));
                }
                Some(arrival) => {
                    for other in arrival.message_ids.iter().filter(|other| *other != id) {
                        findings.second_messages.push(format!("number {sequence} was acknowledged as {id} and arrived as {other}"));
                    }
                }
            }
        }
    }
    let mut by_kill = vec![0_u64; ledger.kills.len()];
    for arrival in ledger.arrivals.values() {
        for pair in arrival.at.windows(2) {
            findings.duplicates += 1;
            match ledger.kill_between(pair[0], pair[1]) {
                Some(kill) => by_kill[kill] += 1,
                None => findings.unexplained_duplicates += 1,
            }
        }
    }
    findings.duplicates_of_one_kill_max = by_kill.into_iter().max().unwrap_or_default();
    findings
}

/// What the API lists has to be exactly what was acknowledged.
fn list_all(process: &Process, places: &[Place], payload: &Payload, acknowledged: &Acknowledged, findings: &mut Findings) -> Result<()> {
    let mut api = Api::new(process.address)?;
    let mut listed = BTreeSet::new();
    for Place { application, .. } in places {
        let mut iterator: Option<String> = None;
        loop {
            let from = iterator.map(|iterator| format!("&iterator={iterator}")).unwrap_or_default();
            let page = api.get(&format!("/api/v1/app/{application}/msg/?limit=250{from}"))?;
            for message in page["data"].as_array().context("a list without data")? {
                let id = message["id"].as_str().context("a message without id")?.to_owned();
                let sequence = message["payload"]["sequence"].as_str().and_then(|text| text.parse().ok());
                let unchanged = sequence.is_some_and(|sequence| {
                    let sent: Option<Value> = serde_json::from_slice(&payload.delivered(Stamp { sequence, sent_us: 0 })).ok();
                    sent.as_ref() == Some(&message["payload"])
                });
                if !unchanged {
                    findings.changed += 1;
                }
                if sequence.and_then(|sequence| acknowledged.get(&sequence)) != Some(&id) {
                    findings
                        .second_messages
                        .push(format!("{id} is listed, but its number {sequence:?} was acknowledged as another or not at all"));
                }
                ensure!(listed.insert(id), "the list names a message twice");
            }
            iterator = page["iterator"].as_str().map(ToOwned::to_owned);
            if page["done"].as_bool() != Some(false) || iterator.is_none() {
                break;
            }
        }
    }
    findings.listed = listed.len() as u64;
    findings.unlisted = acknowledged.values().filter(|id| !listed.contains(*id)).map(|id| format!("message {id} is not listed")).collect();
    Ok(())
}

impl Findings {
    fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.unlisted.is_empty()
            && self.changed == 0
            && self.second_messages.is_empty()
            && self.unexplained_duplicates == 0
    }
}

fn report(arguments: &Arguments, work: &Work, ledger: &Ledger, findings: &Findings, expected: u64, recoveries_ms: &[f64]) {
    let acknowledged = work.acknowledged().len();
    let recovery = |share: f64| recoveries_ms.get(((recoveries_ms.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    println!("  killed                      {} times", ledger.kills.len());
    println!("  acknowledged                {acknowledged} messages, {expected} deliveries");
    println!("  unanswered, sent again      {}", work.repeated());
    println!("  listed afterwards           {}", findings.listed);
    println!("  lost                        {}", findings.lost.len() + findings.unlisted.len());
    println!("  changed on the way          {}", findings.changed);
    println!("  became two messages         {}", findings.second_messages.len());
    println!(
        "  delivered twice             {} ({:.3} %), at most {} by one kill: delivered, and not yet recorded when the server died",
        findings.duplicates - findings.unexplained_duplicates,
        100.0 * findings.duplicates as f64 / expected.max(1) as f64,
        findings.duplicates_of_one_kill_max,
    );
    println!("  twice without a kill        {}", findings.unexplained_duplicates);
    println!("  failed on purpose           {}", ledger.refused_on_purpose);
    println!("  start to first answer       median {:.0} ms, longest {:.0} ms", recovery(0.5), recovery(1.0));
    for finding in findings.lost.iter().chain(&findings.unlisted).chain(&findings.second_messages).take(10) {
        println!("  ! {finding}");
    }
    let verdict = if findings.is_clean() { "nothing acknowledged was lost" } else { "FAILED" };
    println!("{verdict} in {} rounds", arguments.rounds);
}

/// SplitMix64: repeatable, and good enough to choose moments.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
