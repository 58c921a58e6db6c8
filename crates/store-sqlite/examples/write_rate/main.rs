//! How fast the store is, and what the writer's thread costs per message: `cargo run --release -p hookpost-store-sqlite --example write_rate`.
//!
//! Producers in a closed loop accept messages, an engine that delivers in no time records them; everything is durable before it is answered.
//! Options: `--messages N`, `--in-flight N`, `--payload BYTES`, `--endpoints N` (per message), `--applications N`, `--keys` (idempotency keys), `--receive`
//! (as requests at a source, each an event of its own), `--sources N`, `--rejected` (which only leave receipts), `--backlog` (accept
//! everything first, then claim and record it), `--forget` (in the end forget the keys, as if it were twelve hours later).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hookpost_domain::delivery::{ResponseBody, ResponseRecord, Transition};
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::message::{PayloadType, Routing};
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Rejection, Verdict};
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{
    Application, ApplicationId, Attempt, AttemptOutcome, DeliveryState, Endpoint, EndpointId, Entropy, EventTypeName, MessageContent,
    OrgId, Progress, SigningSecret, SourceId, Timestamp, limits,
};
use hookpost_store::history::{MessageFilter, RetentionPolicy};
use hookpost_store::queue::ClaimRequest;
use hookpost_store::vault::Vault;
use hookpost_store::{
    Catalog as _, CommitFacts, CommitObserver, History as _, IdempotencyKey, Intake as _, LeasedDelivery, NewMessage, NewReceipt,
    NewReceiptOutcome, Once, Order, PageRequest, Queue as _, Record, Store as _,
};
use hookpost_store_sqlite::{SqliteOptions, SqliteStore};
use tokio::task::JoinSet;

#[derive(Debug)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed) as u8);
    }
}

#[derive(Debug, Default)]
struct Commits {
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

#[expect(clippy::disallowed_methods, reason = "a measurement at the desk")]
fn now() -> Timestamp {
    Timestamp::from_unix_ms(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64)
}

#[expect(clippy::disallowed_methods, reason = "a measurement at the desk")]
fn instant() -> Instant {
    Instant::now()
}

fn option(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |value| value.parse().expect("a number"))
}

fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// CPU seconds of the threads by name, from the kernel.
fn cpu_seconds(name: &str) -> f64 {
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

fn record_of(leased: &LeasedDelivery, time: Timestamp) -> Record {
    let response = ResponseRecord {
        status_code: 200,
        headers: vec![("content-type".into(), "text/plain".into()), ("date".into(), "Thu, 01 Jan 2026 00:00:00 GMT".into())],
        body: ResponseBody::Text("ok".into()),
    };
    Record {
        key: leased.key,
        lease: leased.lease,
        application: leased.application,
        trigger: leased.trigger,
        attempt: Some(Attempt {
            number: 1,
            trigger: leased.trigger,
            started_at: time,
            duration_ms: 1,
            url: "https://receiver.example.com/webhooks/orders".into(),
            signature: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".into(),
            outcome: AttemptOutcome::Response(response),
        }),
        transition: Transition { state: DeliveryState::Delivered, progress: Progress { attempts: 1, scheduled_attempts: 1 } },
        health: None,
    }
}

/// As a provider sends it: a dozen headers, of which two hold signatures.
fn receipt_of(source: SourceId, message: NewMessage, event: [u8; 16], rejected: bool, time: Timestamp) -> NewReceipt {
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    let payload = message.content.payload.clone().unwrap_or_default();
    let (body, outcome) = if rejected {
        let rejection = Rejection { code: "bad_signature".into(), detail: "The signature does not fit.".into(), hint: None };
        (ReceivedBody::Bytes(payload), NewReceiptOutcome::Settled(Verdict::Rejected(rejection)))
    } else {
        let once = Some(Once { key: IdempotencyKey(event), window: Duration::from_secs(7 * 86_400) });
        (ReceivedBody::InMessage, NewReceiptOutcome::Message { message, once })
    };
    NewReceipt {
        source,
        received_at: time,
        request: ReceivedRequest {
            method: "POST".into(),
            url: "https://hooks.example.com/in/".into(),
            headers: vec![
                header("Host", "hooks.example.com"),
                header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
                header("Content-Type", "application/json; charset=utf-8"),
                header("Content-Length", "1024"),
                header("Accept", "*/*; q=0.5, application/xml"),
                header("Cache-Control", "no-cache"),
                header("X-Forwarded-For", "192.0.2.17"),
                header("X-Forwarded-Proto", "https"),
                header("Accept-Encoding", "gzip"),
                header("Stripe-Signature", "t=1767323045,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"),
            ],
            body,
            peer: Some([192, 0, 2, 17].into()),
        },
        status_code: if rejected { 401 } else { 200 },
        timing: ReceiptTiming::default(),
        event_id: Some("evt_1NG8Du2eZvKYlo2CUI79vXWy".into()),
        event_type: Some("invoice.paid".into()),
        replay_of: None,
        unverified: None,
        outcome,
    }
}

async fn make_applications(store: &SqliteStore, applications: usize, endpoints: usize) -> Vec<(ApplicationId, Vec<EndpointId>)> {
    let mut made = Vec::new();
    for _ in 0..applications {
        let id = ApplicationId::from_row(store.new_row_id(now()));
        let org = OrgId::parse(OrgId::DEFAULT).expect("a tenant");
        let application = Application {
            id,
            org,
            uid: None,
            name: "load".into(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at: now(),
            updated_at: now(),
        };
        store.create_application(application).await.expect("an application");
        let mut targets = Vec::new();
        for _ in 0..endpoints {
            let endpoint = Endpoint {
                id: EndpointId::from_row(store.new_row_id(now())),
                application: id,
                uid: None,
                url: "https://receiver.example.com/webhooks/orders".into(),
                description: String::new(),
                version: 1,
                disabled: Disabled::No,
                event_types: None,
                channels: None,
                throttle_rate: None,
                concurrency: None,
                ordered: false,
                retry_schedule: None,
                headers: vec![],
                secrets: EndpointSecrets { current: SigningSecret::Hmac256(vec![1; 24]), old: vec![] },
                metadata: Default::default(),
                created_at: now(),
                updated_at: now(),
            };
            targets.push(endpoint.id);
            store.create_endpoint(endpoint).await.expect("an endpoint");
        }
        made.push((id, targets));
    }
    made
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let messages = option("--messages", 500_000);
    let in_flight = option("--in-flight", 64);
    let endpoints = option("--endpoints", 1);
    let backlog = flag("--backlog");
    let with_keys = flag("--keys");
    let (receives, rejects) = (flag("--receive") || flag("--rejected"), flag("--rejected"));
    let payload = Bytes::from(vec![b'x'; option("--payload", 1024)]);

    let directory = tempfile::tempdir_in(".").expect("a directory");
    let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(1)));
    let (ready, mut groups) = tokio::sync::mpsc::channel::<Vec<LeasedDelivery>>(1024);
    let commits = Arc::new(Commits::default());
    let options = SqliteOptions {
        data_dir: directory.path().to_owned(),
        vault: Vault::new(&[7; 32], Arc::clone(&entropy)),
        ready,
        entropy,
        observer: Some(commits.clone()),
    };
    let store = SqliteStore::open(options).expect("a store");
    let targets = Arc::new(make_applications(&store, option("--applications", 1), endpoints).await);
    let sources: Arc<Vec<SourceId>> = Arc::new((0..option("--sources", 1)).map(|_| SourceId::from_row(store.new_row_id(now()))).collect());

    let started = instant();
    let writer_before = cpu_seconds("store-write");
    let next = Arc::new(AtomicUsize::new(0));
    let slowest_us = Arc::new(AtomicU64::new(0));
    let mut producers = JoinSet::new();
    for _ in 0..in_flight {
        let (store, next, targets, payload, slowest_us) =
            (store.clone(), next.clone(), targets.clone(), payload.clone(), slowest_us.clone());
        let sources = sources.clone();
        producers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= messages {
                    return;
                }
                let (application, endpoints) = &targets[number % targets.len()];
                let time = now();
                let content = MessageContent {
                    event_type: EventTypeName::parse("order.paid").expect("a name"),
                    event_id: None,
                    channels: vec![],
                    tags: vec![],
                    payload: Some(payload.clone()),
                    content_type: PayloadType::Json,
                    headers: Vec::new(),
                    ordering_key: None,
                    payload_expires_at: time + Duration::from_secs(90 * 86_400),
                    deliver_at: None,
                    routing: Routing { targets: endpoints.iter().copied().collect(), skips: vec![] },
                };
                // Spread like the hashes that keys are.
                let mixed = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let idempotency_key = with_keys.then_some(IdempotencyKey(mixed.to_be_bytes()));
                let asked = instant();
                let message = NewMessage { application: *application, content, idempotency_key };
                if receives {
                    let new = receipt_of(sources[number % sources.len()], message, mixed.to_be_bytes(), rejects, time);
                    store.receive(new, time).await.expect("received");
                } else {
                    store.accept(message, time).await.expect("accepted");
                }
                slowest_us.fetch_max(asked.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
        });
    }
    let mut recorded = 0;
    let mut report_at = 250_000;
    let mut report_since = (instant(), 0);
    if backlog {
        // The engine takes one group and gives it back: from now on everything waits on disk.
        let first = groups.recv().await.expect("the store is open");
        store.release(first.iter().map(|one| (one.key, one.lease)).collect()).await.expect("released");
        while producers.join_next().await.is_some() {}
        while let Ok(group) = groups.try_recv() {
            store.release(group.iter().map(|one| (one.key, one.lease)).collect()).await.expect("released");
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("accepted {messages} in {seconds:.2} s: {:.0}/s", messages as f64 / seconds);
        print_memory();
        let drain = instant();
        let endpoint = targets[0].1[0];
        loop {
            let request = ClaimRequest { endpoint, limit: 448, bytes_max: 4 << 20, ordered: false };
            let claimed = store.claim(request, now()).await.expect("claimed");
            if claimed.deliveries.is_empty() {
                break;
            }
            let time = now();
            recorded += claimed.deliveries.len();
            for chunk in claimed.deliveries.chunks(64) {
                let records = Arc::new(chunk.iter().map(|leased| record_of(leased, time)).collect());
                store.record(records, time).await.expect("recorded");
            }
        }
        let seconds = drain.elapsed().as_secs_f64();
        println!("drained {recorded} in {seconds:.2} s: {:.0}/s", recorded as f64 / seconds);
        print_memory();
    } else {
        while !rejects && recorded < messages * endpoints {
            let mut records: Vec<Record> = Vec::new();
            let time = now();
            let mut group = groups.recv().await;
            while let Some(deliveries) = group.take() {
                records.extend(deliveries.iter().map(|leased| record_of(leased, time)));
                if let Ok(more) = groups.try_recv() {
                    group = Some(more);
                }
            }
            recorded += records.len();
            store.record(Arc::new(records), time).await.expect("recorded");
            if recorded >= report_at * endpoints {
                let rate = (recorded - report_since.1) as f64 / report_since.0.elapsed().as_secs_f64();
                println!("{recorded}: {rate:.0} deliveries/s, slowest answer {} us", slowest_us.swap(0, Ordering::Relaxed));
                report_since = (instant(), recorded);
                report_at += 250_000;
            }
        }
        while producers.join_next().await.is_some() {}
    }
    let seconds = started.elapsed().as_secs_f64();
    let writer_us = (cpu_seconds("store-write") - writer_before) * 1e6 / messages as f64;
    let process_us = (cpu_seconds("")) * 1e6 / messages as f64;
    let count = commits.count.load(Ordering::Relaxed);
    println!(
        "{messages} messages, {recorded} deliveries in {seconds:.2} s: {:.0} messages/s; writer {writer_us:.2} us CPU/message, process {process_us:.2}; \
         {:.1} operations/commit; longest commit {} us; slowest answer {} us",
        messages as f64 / seconds,
        commits.operations.load(Ordering::Relaxed) as f64 / count as f64,
        commits.longest_us.load(Ordering::Relaxed),
        slowest_us.load(Ordering::Relaxed),
    );
    let list = instant();
    let application = targets[0].0;
    for _ in 0..if rejects { 0 } else { 100 } {
        let page = store.messages(application, MessageFilter::default(), PageRequest::first(50, Order::Descending)).await.expect("a page");
        assert_eq!(page.items.len(), 50);
    }
    println!("newest 50 of an application: {} us", list.elapsed().as_micros() / 100);
    if flag("--forget") {
        forget_keys(&store, messages).await;
    }
    let closing = instant();
    store.close().await;
    println!("closed in {} ms; {:.0} bytes/message on disk", closing.elapsed().as_millis(), disk_bytes(directory.path()) / messages as f64);
}

/// Ends when a call has nothing more to do. The messages stay.
async fn forget_keys(store: &SqliteStore, keys: usize) {
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

fn disk_bytes(directory: &std::path::Path) -> f64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len() as f64).sum()
}

fn print_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("{line}");
    }
}
