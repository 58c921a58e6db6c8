//! The load: messages sent over many connections, either as fast as answers come (closed loop) or by a plan that does not
//! wait for them (open loop). Latency counts from the planned time, so that a stall is not hidden by the load waiting for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::header::{HOST, HeaderValue};
use hyper::{StatusCode, Uri};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::entrance::Entrance;
use crate::http::Connection;
use crate::payload::{Payload, Stamp};
use crate::sink::{Window, new_histogram};

/// An open loop sends in groups this far apart: finer than any latency that matters here, and 5000 wake-ups a second only.
const TICK: Duration = Duration::from_micros(200);

/// Where to send.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    /// Connection number n goes to the (n modulo their number)th.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) entrance: Entrance,
    /// Where the messages of the applications or sources come in; message number n goes to the (n modulo their number)th.
    pub(crate) uris: Vec<Uri>,
    pub(crate) payload: Payload,
    pub(crate) epoch: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The next message when the one before was answered, on each connection.
    Closed,
    Open {
        per_second: f64,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Messages(u64),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    pub(crate) first_sequence: u64,
    pub(crate) window: Window,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) accepted: u64,
    pub(crate) accepted_in_window: u64,
    pub(crate) accepted_by_application: Vec<u64>,
    /// Answers that refuse, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) next_sequence: u64,
    /// From the planned time to the answer, of messages planned within the window.
    pub(crate) ack_us: Histogram<u32>,
    /// From the planned time until the thread that keeps the pace was awake: what this machine's scheduling adds, whatever is measured. Empty in a
    /// closed loop.
    pub(crate) pace_late_us: Histogram<u32>,
    pub(crate) took: Duration,
}

/// Sends by the plan, on this thread, to its end.
pub(crate) fn send(producer: &Producer, plan: Plan) -> Result<Sent> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let started = Instant::now();
        let run = Rc::new(Run {
            producer: producer.clone(),
            plan,
            next_sequence: Cell::new(plan.first_sequence),
            sent: RefCell::new(Sent {
                accepted: 0,
                accepted_in_window: 0,
                accepted_by_application: vec![0; producer.uris.len()],
                refused: BTreeMap::new(),
                next_sequence: plan.first_sequence,
                ack_us: new_histogram(),
                pace_late_us: new_histogram(),
                took: Duration::ZERO,
            }),
        });
        let mut connections = Vec::new();
        for &address in producer.addresses.iter().cycle().take(plan.connections) {
            connections.push(Line::open(address).await?);
        }
        match plan.pace {
            Pace::Closed => run_all(connections, |connection| closed_loop(Rc::clone(&run), connection)).await?,
            Pace::Open { per_second } => {
                let queue = Arc::new(Queue { stamps: Mutex::default(), ready: Semaphore::new(0) });
                let pacing = std::thread::Builder::new().name("pace".into()).spawn({
                    let (queue, epoch) = (Arc::clone(&queue), producer.epoch);
                    move || keep_pace(&queue, epoch, plan, per_second)
                })?;
                run_all(connections, |connection| open_loop(Rc::clone(&run), connection, Arc::clone(&queue))).await?;
                let (next, late_us) = pacing.join().ok().context("the thread that keeps the pace failed")?;
                run.next_sequence.set(next);
                run.sent.borrow_mut().pace_late_us = late_us;
            }
        }
        let run = Rc::into_inner(run).context("a connection is still under way")?;
        let mut sent = run.sent.into_inner();
        sent.next_sequence = run.next_sequence.get();
        sent.took = started.elapsed();
        Ok(sent)
    })
}

async fn run_all<F, Fut>(connections: Vec<Line>, run: F) -> Result<()>
where
    F: Fn(Line) -> Fut,
    Fut: Future<Output = Result<()>> + 'static,
{
    let tasks: Vec<_> = connections.into_iter().map(|connection| tokio::task::spawn_local(run(connection))).collect();
    for task in tasks {
        task.await.context("a connection of the load")??;
    }
    Ok(())
}

struct Run {
    producer: Producer,
    plan: Plan,
    next_sequence: Cell<u64>,
    sent: RefCell<Sent>,
}

/// A connection that is opened again when the server closes it.
struct Line {
    address: SocketAddr,
    host: HeaderValue,
    connection: Connection,
}

impl Line {
    async fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self { address, host: HeaderValue::from_str(&address.to_string())?, connection: Connection::open(address).await? })
    }
}

async fn closed_loop(run: Rc<Run>, mut connection: Line) -> Result<()> {
    let started = Instant::now();
    loop {
        let sequence = run.next_sequence.get();
        let over = match run.plan.until {
            Until::Time(duration) => started.elapsed() >= duration,
            Until::Messages(count) => sequence - run.plan.first_sequence >= count,
        };
        if over {
            return Ok(());
        }
        run.next_sequence.set(sequence + 1);
        let sent_us = since_us(run.producer.epoch);
        run.exchange(&mut connection, Stamp { sequence, sent_us }).await?;
    }
}

async fn open_loop(run: Rc<Run>, mut connection: Line, queue: Arc<Queue>) -> Result<()> {
    // The semaphore is closed when the plan is fulfilled; what waits then is still sent.
    loop {
        let permit = queue.ready.acquire().await;
        let stamp = queue.stamps.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match (permit, stamp) {
            (Ok(permit), stamp) => {
                permit.forget();
                if let Some(stamp) = stamp {
                    run.exchange(&mut connection, stamp).await?;
                }
            }
            (Err(_), Some(stamp)) => run.exchange(&mut connection, stamp).await?,
            (Err(_), None) => return Ok(()),
        }
    }
}

/// Planned messages that no connection has taken yet.
struct Queue {
    stamps: Mutex<VecDeque<Stamp>>,
    ready: Semaphore,
}

/// Returns the sequence number after the last, and how late the messages of the window were handed over.
fn keep_pace(queue: &Queue, epoch: Instant, plan: Plan, per_second: f64) -> (u64, Histogram<u32>) {
    let started = Instant::now();
    let mut late_us = new_histogram();
    let mut planned = 0;
    for tick in 0_u32.. {
        let due_at = TICK * tick;
        let (over, due) = match plan.until {
            Until::Time(duration) => (due_at >= duration, u64::MAX),
            Until::Messages(count) => (planned >= count, count),
        };
        if over {
            break;
        }
        let due = due.min((per_second * due_at.as_secs_f64()) as u64);
        if due > planned {
            let sent_us = u64::try_from((started + due_at - epoch).as_micros()).unwrap_or(u64::MAX);
            let count = u32::try_from(due - planned).unwrap_or(u32::MAX);
            let stamps = (0..u64::from(count)).map(|index| Stamp { sequence: plan.first_sequence + planned + index, sent_us });
            if let Some(early) = due_at.checked_sub(started.elapsed()) {
                std::thread::sleep(early);
            }
            if plan.window.holds(sent_us) {
                late_us.saturating_record_n(since_us(epoch).saturating_sub(sent_us).max(1), count);
            }
            queue.stamps.lock().unwrap_or_else(PoisonError::into_inner).extend(stamps);
            queue.ready.add_permits(count as usize);
            planned = due;
        }
    }
    queue.ready.close();
    (plan.first_sequence + planned, late_us)
}

impl Run {
    async fn exchange(&self, line: &mut Line, stamp: Stamp) -> Result<()> {
        let application = (stamp.sequence % self.producer.uris.len() as u64) as usize;
        let mut request = self.producer.entrance.request(&self.producer.uris[application], &self.producer.payload, stamp, None)?;
        request.headers_mut().insert(HOST, line.host.clone());
        let (status, body) = line.connection.send(request).await.context("sending a message")?;
        let answered_us = since_us(self.producer.epoch);

        self.note(stamp, answered_us, application, status, &body);
        if !line.connection.is_open() {
            line.connection = Connection::open(line.address).await?;
        }
        Ok(())
    }

    fn note(&self, stamp: Stamp, answered_us: u64, application: usize, status: StatusCode, body: &Bytes) {
        let mut sent = self.sent.borrow_mut();
        if self.plan.window.holds(stamp.sent_us) {
            sent.ack_us.saturating_record(answered_us.saturating_sub(stamp.sent_us).max(1));
        }
        if self.producer.entrance.is_accepted(status) {
            sent.accepted += 1;
            sent.accepted_by_application[application] += 1;
            if self.plan.window.holds(answered_us) {
                sent.accepted_in_window += 1;
            }
        } else {
            let count = sent.refused.entry(status.as_u16()).or_default();
            *count += 1;
            if *count == 1 {
                eprintln!("a message was answered with {status}: {}", excerpt(body));
            }
        }
    }
}

pub(crate) fn since_us(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn excerpt(body: &Bytes) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}
