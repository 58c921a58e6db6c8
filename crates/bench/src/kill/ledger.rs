//! The receiver of the kill test: writes down every arrival, with its time and the id it came under.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use crate::payload::Payload;
use crate::sink::{answer_with, serve_until};

/// What lay in the buffers of a dying connection is still read after the kill.
const STILL_UNDER_WAY: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By the number of the message and of the endpoint.
    pub(super) arrivals: HashMap<(u64, u64), Arrival>,
    pub(super) changed: u64,
    pub(super) refused_on_purpose: u64,
    pub(super) kills: Vec<Instant>,
    attempts: u64,
}

#[derive(Debug, Default)]
pub(super) struct Arrival {
    pub(super) at: Vec<Instant>,
    /// More than one is a message that was made twice.
    pub(super) message_ids: Vec<String>,
}

impl Ledger {
    /// Which kill explains that the same arrived at both times.
    pub(super) fn kill_between(&self, first: Instant, second: Instant) -> Option<usize> {
        self.kills.iter().position(|&kill| first <= kill + STILL_UNDER_WAY && kill < second)
    }
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    pub(super) fn start(payload: &Payload) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ledger = Arc::<Mutex<Ledger>>::default();
        let (stop, stopped) = oneshot::channel();
        let (shared, payload) = (Arc::clone(&ledger), payload.clone());
        let thread = std::thread::Builder::new().name("receiver".into()).spawn(move || {
            let answering = move |request| answer(Arc::clone(&shared), payload.clone(), request);
            if let Err(error) = serve_until(listener, stopped, answering) {
                eprintln!("the receiver stopped: {error:#}");
            }
        })?;
        Ok(Self { address, ledger, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn note_kill(&self) {
        self.ledger().kills.push(Instant::now());
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(ledger: Arc<Mutex<Ledger>>, payload: Payload, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // Cut off by a kill: this attempt did not arrive.
    let Ok(body) = body.collect().await else { return answer_with(StatusCode::BAD_REQUEST) };
    let mut path = head.uri.path().trim_start_matches('/').split('/');
    let flaky = path.next() == Some("flaky");
    let Some(endpoint) = path.next().and_then(|index| index.parse().ok()) else { return answer_with(StatusCode::NOT_FOUND) };
    let id = head.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();

    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(stamp) = payload.read(&body.to_bytes()).filter(|stamp| stamp.sent_us == 0) else {
        ledger.changed += 1;
        return answer_with(StatusCode::OK);
    };
    ledger.attempts += 1;
    if flaky && ledger.attempts.is_multiple_of(5) {
        ledger.refused_on_purpose += 1;
        return answer_with(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let arrival = ledger.arrivals.entry((stamp.sequence, endpoint)).or_default();
    arrival.at.push(Instant::now());
    if !arrival.message_ids.iter().any(|known| known == id) {
        arrival.message_ids.push(id.to_owned());
    }
    answer_with(StatusCode::OK)
}
