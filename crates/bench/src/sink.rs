//! The receiving side: notes what arrives, when, how often and whether its signature is right; and fails, hangs or waits as
//! the path of the endpoint says.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ring::hmac;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;

use crate::payload::Payload;

/// The secret that the endpoints of the bench are created with.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Every so many signatures one is verified.
const VERIFIED_EVERY: u64 = 100;

/// How an endpoint behaves, by the first part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    /// Answers after ten seconds.
    Hangs,
    /// The first two attempts at each message.
    FailsTwice,
    /// Answers when it is told to.
    Waits,
}

impl Manner {
    fn path(self) -> &'static str {
        match self {
            Self::Answers => "ok",
            Self::Hangs => "hang",
            Self::FailsTwice => "fail2",
            Self::Waits => "wait",
        }
    }

    fn parse(path: &str) -> Option<Self> {
        [Self::Answers, Self::Hangs, Self::FailsTwice, Self::Waits].into_iter().find(|manner| manner.path() == path)
    }
}

/// What arrived. Times are in microseconds since the epoch of the bench.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    /// Deliveries that arrived for the first time and were answered with success, in all and within the window.
    pub(crate) unique: u64,
    pub(crate) unique_in_window: u64,
    /// Deliveries that had arrived already.
    pub(crate) duplicates: u64,
    /// At endpoints that hang; not among the others.
    pub(crate) after_hanging: u64,
    pub(crate) refused_on_purpose: u64,
    pub(crate) malformed: u64,
    pub(crate) signatures_verified: u64,
    pub(crate) signatures_bad: u64,
    /// From the planned time of sending, of messages planned within the window.
    pub(crate) end_to_end_us: Histogram<u32>,
    pub(crate) last_at_us: u64,
    /// Those in the window, by the tenth of the window: a rate that is not held shows here.
    pub(crate) unique_by_tenth: [u64; 10],
}

/// The window in which rates are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

impl Window {
    pub(crate) const ALWAYS: Self = Self { from_us: 0, to_us: u64::MAX };

    pub(crate) fn holds(self, at_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&at_us)
    }

    fn tenth(self, at_us: u64) -> usize {
        let (since, whole) = (u128::from(at_us - self.from_us), u128::from(self.to_us - self.from_us));
        (since * 10 / whole) as usize
    }
}

pub(crate) fn new_histogram() -> Histogram<u32> {
    // 1 µs to 10 minutes, three digits. The bounds are constants, so it cannot fail.
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds")
}

/// Listens until it is dropped, on a thread of its own.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    gate: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    epoch: Instant,
    payload: Payload,
    key: hmac::Key,
    /// Deliveries of one message.
    fan_out: u64,
    state: Mutex<State>,
}

struct State {
    arrivals: Arrivals,
    window: Window,
    seen: Bits,
    attempts: std::collections::HashMap<u64, u8>,
}

impl Sink {
    pub(crate) fn start(epoch: Instant, payload: &Payload, fan_out: u64) -> Result<Self> {
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).context("the secret")?;
        let state =
            State { arrivals: no_arrivals(), window: Window::ALWAYS, seen: Bits::default(), attempts: std::collections::HashMap::new() };
        let shared = Arc::new(Shared {
            epoch,
            payload: payload.clone(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            fan_out,
            state: Mutex::new(state),
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (gate, open) = watch::channel(false);
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sink".into()).spawn(move || {
            let answering = move |request| answer(Arc::clone(&serving), open.clone(), request);
            if let Err(error) = serve_until(listener, stopped, answering) {
                eprintln!("the sink stopped: {error:#}");
            }
        })?;
        Ok(Self { address, shared, gate, stop: Some(stop), thread: Some(thread) })
    }

    /// Where an endpoint of this manner, the `index`th of its application, receives.
    pub(crate) fn url(&self, manner: Manner, index: u64) -> String {
        format!("http://{}/{}/{index}", self.address, manner.path())
    }

    pub(crate) fn set_window(&self, window: Window) {
        self.state().window = window;
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        self.state().arrivals.clone()
    }

    pub(crate) fn unique(&self) -> u64 {
        self.state().arrivals.unique
    }

    /// Those that wait are answered, and nobody has to wait any more.
    pub(crate) fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves HTTP/1.1 on this thread until `stop` is sent or dropped.
pub(crate) fn serve_until<F, Fut>(listener: std::net::TcpListener, stop: oneshot::Receiver<()>, answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::from_std(listener)?;
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                tokio::task::spawn_local(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .pipeline_flush(true)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stop => {}
        }
        Ok(())
    })
}

pub(crate) fn answer_with(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

async fn answer(shared: Arc<Shared>, mut open: watch::Receiver<bool>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return answer_with(StatusCode::BAD_REQUEST) };
    let body = body.to_bytes();
    let mut path = head.uri.path().trim_start_matches('/').split('/');
    let manner = path.next().and_then(Manner::parse);
    let endpoint = path.next().and_then(|index| index.parse::<u64>().ok());
    let (Some(manner), Some(endpoint)) = (manner, endpoint) else { return answer_with(StatusCode::NOT_FOUND) };
    match manner {
        Manner::Answers | Manner::FailsTwice => {}
        Manner::Hangs => tokio::time::sleep(Duration::from_secs(10)).await,
        Manner::Waits => {
            if open.wait_for(|open| *open).await.is_err() {
                return answer_with(StatusCode::SERVICE_UNAVAILABLE);
            }
        }
    }
    answer_with(shared.note(manner, endpoint, &head.headers, &body))
}

impl Shared {
    fn note(&self, manner: Manner, endpoint: u64, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let at_us = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let arrivals = &mut state.arrivals;
        let Some(stamp) = self.payload.read(body) else {
            arrivals.malformed += 1;
            return StatusCode::OK;
        };
        if manner == Manner::Hangs {
            arrivals.after_hanging += 1;
            return StatusCode::OK;
        }
        let delivery = stamp.sequence * self.fan_out + endpoint;
        if manner == Manner::FailsTwice {
            let attempts = state.attempts.entry(delivery).or_default();
            *attempts = attempts.saturating_add(1);
            if *attempts <= 2 {
                arrivals.refused_on_purpose += 1;
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
        }
        if !state.seen.insert(delivery) {
            arrivals.duplicates += 1;
            return StatusCode::OK;
        }
        arrivals.unique += 1;
        arrivals.last_at_us = at_us;
        if state.window.holds(at_us) {
            arrivals.unique_in_window += 1;
            arrivals.unique_by_tenth[state.window.tenth(at_us)] += 1;
        }
        if state.window.holds(stamp.sent_us) {
            arrivals.end_to_end_us.saturating_record(at_us.saturating_sub(stamp.sent_us).max(1));
        }
        if arrivals.unique.is_multiple_of(VERIFIED_EVERY) {
            arrivals.signatures_verified += 1;
            if !signature_is_right(&self.key, headers, body) {
                arrivals.signatures_bad += 1;
            }
        }
        StatusCode::OK
    }
}

/// As the Standard Webhooks specification asks a receiver to.
pub(crate) fn signature_is_right(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).map(hyper::header::HeaderValue::as_bytes);
    let (Some(id), Some(timestamp), Some(signatures)) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return false;
    };
    let signed = [id, b".", timestamp, b".", body].concat();
    std::str::from_utf8(signatures).unwrap_or_default().split(' ').any(|signature| {
        let tag = signature.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(key, &signed, &tag).is_ok())
    })
}

fn no_arrivals() -> Arrivals {
    Arrivals {
        unique: 0,
        unique_in_window: 0,
        duplicates: 0,
        after_hanging: 0,
        refused_on_purpose: 0,
        malformed: 0,
        signatures_verified: 0,
        signatures_bad: 0,
        end_to_end_us: new_histogram(),
        last_at_us: 0,
        unique_by_tenth: [0; 10],
    }
}

/// Which of many numbers were seen, one bit each.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}
