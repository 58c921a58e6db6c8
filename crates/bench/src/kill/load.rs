//! The producer of the kill test: sends with idempotency keys, remembers what was acknowledged, and sends again what was not.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::future::join_all;
use hyper::Uri;
use hyper::header::{HOST, HeaderValue};

use super::{Arguments, application_of};
use crate::entrance::{Entrance, Place};
use crate::http::Connection;
use crate::payload::{Payload, Stamp};

/// Ids by number.
pub(super) type Acknowledged = BTreeMap<u64, String>;

pub(super) struct Work {
    payload: Payload,
    connections: usize,
    /// One for the whole test: the server tells idempotency keys apart by who sent them, and that is the token.
    entrance: Entrance,
    /// By the number of the application.
    uris: Vec<Uri>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_sequence: u64,
    /// Sent, and not answered before the server died.
    unanswered: VecDeque<u64>,
    acknowledged: Acknowledged,
    repeated: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// First what was not answered, then new ones, for ever.
    Everything,
    OnlyUnanswered,
}

impl Work {
    pub(super) fn new(payload: Payload, arguments: &Arguments, places: &[Place]) -> Result<Self> {
        let uris = places.iter().map(|place| place.uri.clone()).collect();
        let entrance = arguments.through.entrance()?;
        Ok(Self { payload, connections: arguments.connections, entrance, uris, state: Mutex::default() })
    }

    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.state().acknowledged.clone()
    }

    pub(super) fn repeated(&self) -> u64 {
        self.state().repeated
    }

    fn take(&self, what: What) -> Option<u64> {
        let mut state = self.state();
        if let Some(sequence) = state.unanswered.pop_front() {
            state.repeated += 1;
            return Some(sequence);
        }
        if what == What::OnlyUnanswered {
            return None;
        }
        let sequence = state.next_sequence;
        state.next_sequence += 1;
        Some(sequence)
    }

    fn acknowledge(&self, sequence: u64, id: &str) -> Result<()> {
        match self.state().acknowledged.insert(sequence, id.to_owned()) {
            Some(before) if before != id => bail!("number {sequence} was acknowledged as {before} and as {id}"),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until the connections break.
pub(super) fn send_until_dead(work: &Work, address: SocketAddr) -> Result<()> {
    send(work, address, What::Everything)
}

/// Until everything that was ever sent is acknowledged.
pub(super) fn send_until_done(work: &Work, address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    while !work.state().unanswered.is_empty() {
        ensure!(started.elapsed() < Duration::from_secs(60), "the server does not take what was unanswered");
        send(work, address, What::OnlyUnanswered)?;
    }
    Ok(())
}

fn send(work: &Work, address: SocketAddr, what: What) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let host = HeaderValue::from_str(&address.to_string())?;
    runtime.block_on(async {
        let senders = (0..work.connections).map(|_| one_connection(work, address, what, &host));
        for outcome in join_all(senders).await {
            outcome?;
        }
        Ok(())
    })
}

async fn one_connection(work: &Work, address: SocketAddr, what: What, host: &HeaderValue) -> Result<()> {
    // A server that is dead already is what this test is about.
    let Ok(mut connection) = Connection::open(address).await else { return Ok(()) };
    while connection.is_open() {
        let Some(sequence) = work.take(what) else { return Ok(()) };
        let (stamp, key) = (Stamp { sequence, sent_us: 0 }, format!("kill-{sequence}"));
        let mut request = work.entrance.request(&work.uris[application_of(sequence)], &work.payload, stamp, Some(&key))?;
        request.headers_mut().insert(HOST, host.clone());
        match connection.send(request).await {
            Ok((status, body)) if work.entrance.is_accepted(status) => work.acknowledge(sequence, &work.entrance.message_id(&body)?)?,
            Ok((status, body)) => bail!("number {sequence} was answered with {status}: {}", String::from_utf8_lossy(&body)),
            Err(_) => {
                work.state().unanswered.push_back(sequence);
                return Ok(());
            }
        }
    }
    Ok(())
}
