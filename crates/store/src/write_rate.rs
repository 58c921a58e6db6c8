//! How fast a store on disk is: the load that the `write_rate` examples of the stores put on theirs.
//!
//! Producers in a closed loop accept messages, an engine that delivers in no time records them; everything is durable before it is answered.
//! [`OPTIONS`] says what can be asked for on the command line.

mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hookpost_domain::{ApplicationId, EndpointId, Entropy, SourceId, Timestamp, limits};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::history::{MessageFilter, RetentionPolicy};
use crate::queue::{ClaimRequest, ReadySender};
use crate::{CommitFacts, CommitObserver, IdempotencyKey, LeasedDelivery, NewMessage, Order, PageRequest, Record, SharedStore};

pub const OPTIONS: &str = "\
--messages N, --in-flight N, --payload BYTES, --endpoints N (per message), --applications N, --keys (idempotency keys), --receive (as requests \
at a source, each an event of its own), --sources N, --rejected (which only leave receipts), --backlog (accept everything first, then claim and \
record it), --forget (in the end forget the keys, as if it were twelve hours later)";

const REPORTED_EVERY: usize = 250_000;
const LISTS: u32 = 100;

/// CPU seconds by whom, up to now.
pub type CpuSeconds<'a> = &'a dyn Fn() -> Vec<(&'static str, f64)>;

/// The load before it begins: what a store has to be opened with.
#[derive(Debug)]
pub struct WriteRate {
    pub ready: ReadySender,
    groups: mpsc::Receiver<Vec<LeasedDelivery>>,
    pub commits: Arc<Commits>,
    asked: Asked,
}

#[derive(Debug, Clone)]
struct Asked {
    messages: usize,
    endpoints: usize,
    keys: bool,
    receives: bool,
    rejects: bool,
    payload: Bytes,
}

#[derive(Debug, Default)]
pub struct Commits {
    count: AtomicU64,
    operations: AtomicU64,
    longest_us: AtomicU64,
}

impl CommitObserver for Commits {
    fn committed(&self, commit: CommitFacts) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(commit.operations as u64, Ordering::Relaxed);
        self.longest_us.fetch_max(commit.duration.as_micros() as u64, Ordering::Relaxed);
    }
}

/// The same bytes in every run.
#[derive(Debug)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed) as u8);
    }
}

pub fn entropy() -> Arc<dyn Entropy> {
    Arc::new(Counting(AtomicU64::new(1)))
}

#[expect(clippy::disallowed_methods, reason = "a measurement at the desk")]
fn now() -> Timestamp {
    Timestamp::from_unix_ms(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64)
}

#[expect(clippy::disallowed_methods, reason = "a measurement at the desk")]
pub fn instant() -> Instant {
    Instant::now()
}

/// The word after `name` on the command line.
pub fn text_option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

pub fn option(name: &str, default: usize) -> usize {
    text_option(name).map_or(default, |value| value.parse().expect("a number"))
}

fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// What the kernel says of the threads of this process whose names begin so.
pub fn thread_cpu_seconds(name: &str) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let stats = tasks.flatten().filter_map(|task| {
        std::fs::read_to_string(task.path().join("schedstat")).ok().zip(std::fs::read_to_string(task.path().join("comm")).ok())
    });
    stats
        .filter(|(_, comm)| comm.trim().starts_with(name))
        .filter_map(|(stat, _)| stat.split_whitespace().next()?.parse::<f64>().ok())
        .map(|nanoseconds| nanoseconds / 1e9)
        .sum()
}

/// Whose messages are made, and where they go.
type Targets = Arc<Vec<(ApplicationId, Vec<EndpointId>)>>;

impl Default for WriteRate {
    fn default() -> Self {
        let (ready, groups) = mpsc::channel(1024);
        let rejects = flag("--rejected");
        let asked = Asked {
            messages: option("--messages", 500_000),
            endpoints: option("--endpoints", 1),
            keys: flag("--keys"),
            receives: rejects || flag("--receive"),
            rejects,
            payload: Bytes::from(vec![b'x'; option("--payload", 1024)]),
        };
        Self { ready: ready.into(), groups, commits: Arc::default(), asked }
    }
}

impl WriteRate {
    /// Puts the load on the store, prints what came of it, and returns how many messages there were.
    pub async fn run(mut self, store: &SharedStore, cpu: CpuSeconds<'_>) -> usize {
        let targets: Targets = Arc::new(rows::make_applications(store, option("--applications", 1), self.asked.endpoints, now()).await);
        let started = instant();
        let before = cpu();
        let slowest_us = Arc::new(AtomicU64::new(0));
        let mut producers = self.produce(store, &targets, &slowest_us);
        let recorded = if flag("--backlog") {
            self.let_wait_on_disk(store, &mut producers, started).await;
            drain(store, targets[0].1[0]).await
        } else {
            self.record_at_once(store, &slowest_us).await
        };
        while producers.join_next().await.is_some() {}
        self.report(started.elapsed(), recorded, &slowest_us, before.into_iter().zip(cpu()));
        if !self.asked.rejects {
            list_newest(store, targets[0].0).await;
        }
        if flag("--forget") {
            forget_keys(store, self.asked.messages).await;
        }
        self.asked.messages
    }

    fn produce(&self, store: &SharedStore, targets: &Targets, slowest_us: &Arc<AtomicU64>) -> JoinSet<()> {
        let next = Arc::new(AtomicUsize::new(0));
        let sources: Arc<Vec<SourceId>> =
            Arc::new((0..option("--sources", 1)).map(|_| SourceId::from_row(store.new_row_id(now()))).collect());
        let mut producers = JoinSet::new();
        for _ in 0..option("--in-flight", 64) {
            let (store, asked, targets, sources) = (store.clone(), self.asked.clone(), targets.clone(), sources.clone());
            let (next, slowest_us) = (next.clone(), slowest_us.clone());
            producers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= asked.messages {
                        return;
                    }
                    let took = asked.put(&store, number, &targets, sources[number % sources.len()]).await;
                    slowest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                }
            });
        }
        producers
    }

    /// The engine takes one group and gives it back: from then on everything waits on disk.
    async fn let_wait_on_disk(&mut self, store: &SharedStore, producers: &mut JoinSet<()>, started: Instant) {
        let first = self.groups.recv().await.expect("the store is open");
        give_back(store, &first).await;
        while producers.join_next().await.is_some() {}
        while let Ok(group) = self.groups.try_recv() {
            give_back(store, &group).await;
        }
        let (messages, seconds) = (self.asked.messages, started.elapsed().as_secs_f64());
        println!("accepted {messages} in {seconds:.2} s: {:.0}/s", messages as f64 / seconds);
        print_memory();
    }

    /// Returns how many deliveries there were.
    async fn record_at_once(&mut self, store: &SharedStore, slowest_us: &AtomicU64) -> usize {
        let deliveries = if self.asked.rejects { 0 } else { self.asked.messages * self.asked.endpoints };
        let mut recorded = 0;
        let mut report_at = REPORTED_EVERY;
        let mut report_since = (instant(), 0);
        while recorded < deliveries {
            let mut records: Vec<Record> = Vec::new();
            let time = now();
            let mut group = self.groups.recv().await;
            while let Some(deliveries) = group.take() {
                records.extend(deliveries.iter().map(|leased| rows::delivered(leased, time)));
                if let Ok(more) = self.groups.try_recv() {
                    group = Some(more);
                }
            }
            recorded += records.len();
            store.record(Arc::new(records), time).await.expect("recorded");
            if recorded >= report_at * self.asked.endpoints {
                let rate = (recorded - report_since.1) as f64 / report_since.0.elapsed().as_secs_f64();
                println!("{recorded}: {rate:.0} deliveries/s, slowest answer {} us", slowest_us.swap(0, Ordering::Relaxed));
                report_since = (instant(), recorded);
                report_at += REPORTED_EVERY;
            }
        }
        recorded
    }

    fn report(
        &self,
        took: Duration,
        recorded: usize,
        slowest_us: &AtomicU64,
        cpu: impl Iterator<Item = ((&'static str, f64), (&'static str, f64))>,
    ) {
        let (messages, seconds) = (self.asked.messages, took.as_secs_f64());
        let cpu: Vec<_> =
            cpu.map(|((whose, before), (_, after))| format!("{whose} {:.2} us", (after - before) * 1e6 / messages as f64)).collect();
        println!(
            "{messages} messages, {recorded} deliveries in {seconds:.2} s: {:.0} messages/s; CPU per message: {}; \
             {:.1} operations/commit; longest commit {} us; slowest answer {} us",
            messages as f64 / seconds,
            cpu.join(", "),
            self.commits.operations.load(Ordering::Relaxed) as f64 / self.commits.count.load(Ordering::Relaxed) as f64,
            self.commits.longest_us.load(Ordering::Relaxed),
            slowest_us.load(Ordering::Relaxed),
        );
    }
}

impl Asked {
    /// Accepts or receives message number n, and says how long its answer took.
    async fn put(&self, store: &SharedStore, number: usize, targets: &Targets, source: SourceId) -> Duration {
        let (application, endpoints) = &targets[number % targets.len()];
        let time = now();
        // Spread like the hashes that keys are.
        let mixed = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
        let message = NewMessage {
            application: *application,
            content: rows::content(self.payload.clone(), endpoints, time),
            idempotency_key: self.keys.then_some(IdempotencyKey(mixed)),
        };
        let asked = instant();
        if self.receives {
            let new = rows::receipt(source, message, mixed, self.rejects, time);
            store.receive(new, time).await.expect("received");
        } else {
            store.accept(message, time).await.expect("accepted");
        }
        asked.elapsed()
    }
}

async fn give_back(store: &SharedStore, group: &[LeasedDelivery]) {
    store.release(group.iter().map(|one| (one.key, one.lease)).collect()).await.expect("released");
}

/// Returns how many deliveries waited.
async fn drain(store: &SharedStore, endpoint: EndpointId) -> usize {
    let started = instant();
    let mut recorded = 0;
    loop {
        let request = ClaimRequest { endpoint, limit: 448, bytes_max: 4 << 20, ordered: false };
        let claimed = store.claim(request, now()).await.expect("claimed");
        if claimed.deliveries.is_empty() {
            break;
        }
        let time = now();
        recorded += claimed.deliveries.len();
        for chunk in claimed.deliveries.chunks(64) {
            let records = Arc::new(chunk.iter().map(|leased| rows::delivered(leased, time)).collect());
            store.record(records, time).await.expect("recorded");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("drained {recorded} in {seconds:.2} s: {:.0}/s", recorded as f64 / seconds);
    print_memory();
    recorded
}

async fn list_newest(store: &SharedStore, application: ApplicationId) {
    let started = instant();
    for _ in 0..LISTS {
        let page = store.messages(application, MessageFilter::default(), PageRequest::first(50, Order::Descending)).await.expect("a page");
        assert_eq!(page.items.len(), 50);
    }
    println!("newest 50 of an application: {} us", (started.elapsed() / LISTS).as_micros());
}

/// Ends when a call has nothing more to do. The messages stay.
async fn forget_keys(store: &SharedStore, keys: usize) {
    let policy = RetentionPolicy { rows: Duration::from_secs(90 * 86_400), receipts: limits::RECEIPT_RETENTION_DEFAULT };
    let later = now() + limits::IDEMPOTENCY_WINDOW;
    let started = instant();
    let (mut calls, mut longest) = (0, Duration::ZERO);
    loop {
        let call = instant();
        let more = store.forget(policy, later).await.expect("forgotten").more;
        longest = longest.max(call.elapsed());
        calls += 1;
        if !more {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("forgot {keys} keys in {seconds:.3} s: {:.0}/s; {calls} calls, longest {} us", keys as f64 / seconds, longest.as_micros());
}

fn print_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("{line}");
    }
}
