//! One exchange: a connection from the pool or a new one, the request on it, the bounded answer from it.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use hookpost_domain::limits;
use hookpost_engine::{Answer, OutgoingRequest, Transport, TransportError};
use hookpost_threads::{PerThread, Threads};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::Connector;
use crate::error::{Phase, exchange_failed, invalid_url, protocol, timed_out};
use crate::http1::Http1Connection;
use crate::http2::{Http2Connection, Tasks};
use crate::pool::{Host, Pool, Pooled};
use crate::settings::TransportSettings;
use crate::target::Target;

/// The client. Cheap to share; dropping the last one closes its connections. Each thread keeps its own.
pub struct HttpTransport {
    connector: Connector,
    pools: PerThread<Arc<Pool>>,
    tasks: Tasks,
}

impl HttpTransport {
    /// In a runtime: requests are made on the threads that it is called on.
    pub fn new(settings: TransportSettings) -> Self {
        let tracker = TaskTracker::new();
        let threads = Threads::current().iter().count();
        let pools = PerThread::new(|| Arc::new(Pool::new(&settings, threads)));
        let connector = Connector::new(settings, tracker.clone());
        Self { connector, pools, tasks: Tasks { tracker, stop: CancellationToken::new() } }
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("connector", &self.connector).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let body_bytes_kept = request.body_bytes_kept.min(limits::RESPONSE_BODY_BYTES_READ_MAX);
        let room = Room { body_bytes_kept, body_bytes_read_max: limits::RESPONSE_BODY_BYTES_READ_MAX, whole: false };
        self.exchange_in_time(request, room).await
    }

    async fn fetch(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        let room = Room { body_bytes_kept: request.body_bytes_kept, body_bytes_read_max: request.body_bytes_kept, whole: true };
        self.exchange_in_time(request, room).await
    }
}

impl HttpTransport {
    async fn exchange_in_time(&self, request: OutgoingRequest, room: Room) -> Result<Answer, TransportError> {
        let timeout = request.timeout;
        let progress = Progress::new();
        match tokio::time::timeout(timeout, self.exchange(request, room, &progress)).await {
            Ok(answer) => answer,
            Err(_) => Err(timed_out(progress.phase(), timeout)),
        }
    }

    async fn exchange(&self, outgoing: OutgoingRequest, room: Room, progress: &Progress) -> Result<Answer, TransportError> {
        let target = Target::of(&outgoing.uri)?;
        let pool = self.pools.here();
        let host = pool.host(&target, &self.tasks).ok_or_else(|| invalid_url("The URL names no valid host"))?;
        let mut exchange = Exchange { pool, host: &host, target: &target, progress, request: Pending::new(outgoing), room };

        // Idle connections may have been closed by the receiver just now. If nothing was sent on one, the next may do.
        while let Some(pooled) = pool.take(&host) {
            if let Some(ended) = exchange.on(pooled).await {
                return ended;
            }
        }
        progress.reach(Phase::Connecting);
        // Opening is rare and its future is large: it is not carried along by every delivery.
        let opened = Box::pin(self.open(&target, &host)).await?;
        exchange.on(opened).await.unwrap_or_else(|| Err(protocol("The receiver closed the connection before the request was sent")))
    }

    async fn open(&self, target: &Target, host: &Host) -> Result<Pooled, TransportError> {
        let _opening = if target.https && host.may_speak_http2() {
            let opening = host.opening.lock().await;
            // Someone else may have opened one while we waited.
            if let Some(pooled) = self.pools.here().take(host) {
                return Ok(pooled);
            }
            host.may_speak_http2().then_some(opening)
        } else {
            None
        };
        let (stream, http2) = self.connector.connect(target).await?;
        if http2 {
            let connection = Http2Connection::handshake(stream, &self.tasks).await.map_err(|error| exchange_failed(&error))?;
            host.found_http2(&connection);
            Ok(Pooled::Http2(connection))
        } else {
            host.found_http1();
            Ok(Pooled::Http1(Http1Connection::handshake(stream).await.map_err(|error| exchange_failed(&error))?))
        }
    }
}

struct Exchange<'a> {
    pool: &'a Pool,
    host: &'a Host,
    target: &'a Target,
    progress: &'a Progress,
    request: Pending,
    room: Room,
}

impl Exchange<'_> {
    /// `None`: nothing was sent, and the request is still there for another connection.
    async fn on(&mut self, pooled: Pooled) -> Option<Result<Answer, TransportError>> {
        match pooled {
            Pooled::Http1(connection) => self.on_http1(connection).await,
            Pooled::Http2(connection) => self.on_http2(connection).await,
        }
    }

    async fn on_http1(&mut self, mut connection: Http1Connection) -> Option<Result<Answer, TransportError>> {
        let request = self.request.for_http1(self.host);
        self.progress.reach(Phase::Answer);
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(Unsent { request: Some(request), .. }) => {
                self.request.take_back(*request);
                return None;
            }
            Err(Unsent { error, .. }) => return Some(Err(exchange_failed(&error))),
        };
        self.progress.reach(Phase::Body);
        let (head, body) = response.into_parts();
        let mut kept = AnswerBody::new(self.room);
        match connection.read_body(body, &mut kept).await {
            Ok(complete) => {
                if complete && connection.settle().await {
                    self.pool.give_back(self.host, connection);
                }
                Some(kept.into_answer(head))
            }
            Err(error) => Some(Err(exchange_failed(&error))),
        }
    }

    async fn on_http2(&mut self, mut connection: Http2Connection) -> Option<Result<Answer, TransportError>> {
        let request = match self.request.for_http2(self.target) {
            Ok(request) => request,
            Err(error) => return Some(Err(error)),
        };
        // A connection that went silent is not reported by anyone: whoever is not answered in time takes it out of use.
        let distrust = ForgetOnDrop { host: self.host, armed: true };
        self.progress.reach(Phase::Answer);
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(Unsent { request: Some(request), .. }) => {
                self.request.take_back(*request);
                return None;
            }
            Err(Unsent { error, .. }) => return Some(Err(exchange_failed(&error))),
        };
        self.progress.reach(Phase::Body);
        let (head, body) = response.into_parts();
        let mut kept = AnswerBody::new(self.room);
        let read = connection.read_body(body, &mut kept).await;
        distrust.disarm();
        Some(match read {
            Ok(()) => kept.into_answer(head),
            Err(error) => Err(exchange_failed(&error)),
        })
    }
}

/// The request while it is not sent.
struct Pending {
    uri: Uri,
    method: Method,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Pending {
    fn new(outgoing: OutgoingRequest) -> Self {
        let OutgoingRequest { method, uri, mut headers, body, timeout: _, body_bytes_kept: _ } = outgoing;
        // A POST without a body says so; a GET needs not.
        if !body.is_empty() || !matches!(method, Method::GET | Method::DELETE | Method::HEAD | Method::OPTIONS) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Self { uri, method, headers, body }
    }

    fn for_http1(&mut self, host: &Host) -> Request<Full<Bytes>> {
        self.headers.insert(header::HOST, host.host_header.clone());
        self.build(Uri::from(self.path_and_query()))
    }

    fn for_http2(&mut self, target: &Target) -> Result<Request<Full<Bytes>>, TransportError> {
        self.headers.remove(header::HOST);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if target.https { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(target.authority.clone());
        parts.path_and_query = Some(self.path_and_query());
        let uri = Uri::from_parts(parts).map_err(|_| invalid_url("The URL is not valid"))?;
        Ok(self.build(uri))
    }

    fn path_and_query(&self) -> PathAndQuery {
        self.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
    }

    /// The body is shared, not copied; the headers travel, and come back by `take_back`.
    fn build(&mut self, uri: Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = std::mem::take(&mut self.headers);
        request
    }

    fn take_back(&mut self, request: Request<Full<Bytes>>) {
        self.headers = request.into_parts().0.headers;
    }
}

/// A request that got no answer; it is there if nothing of it was sent.
pub(crate) struct Unsent {
    error: hyper::Error,
    request: Option<Box<Request<Full<Bytes>>>>,
}

impl From<TrySendError<Request<Full<Bytes>>>> for Unsent {
    fn from(mut error: TrySendError<Request<Full<Bytes>>>) -> Self {
        let request = error.take_message().map(Box::new);
        Self { error: error.into_error(), request }
    }
}

/// How much of the body of an answer is kept and read.
#[derive(Clone, Copy)]
struct Room {
    body_bytes_kept: usize,
    body_bytes_read_max: usize,
    /// What does not fit is an error, not cut.
    whole: bool,
}

/// What is kept of the body of an answer, and how much of it was read.
pub(crate) struct AnswerBody {
    kept: BytesMut,
    room: Room,
    bytes_read: usize,
}

impl AnswerBody {
    fn new(room: Room) -> Self {
        Self { kept: BytesMut::new(), room, bytes_read: 0 }
    }

    /// Copies, so that the buffer of the connection is free for the next answer.
    pub(crate) fn push(&mut self, data: &[u8]) -> ControlFlow<()> {
        let wanted = data.len().min(self.room.body_bytes_kept - self.kept.len());
        self.kept.extend_from_slice(&data[..wanted]);
        self.bytes_read = self.bytes_read.saturating_add(data.len());
        if self.bytes_read > self.room.body_bytes_read_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn into_answer(self, head: http::response::Parts) -> Result<Answer, TransportError> {
        if self.room.whole && self.bytes_read > self.room.body_bytes_kept {
            return Err(protocol(format!("The answer has more than the {} bytes that are read of one", self.room.body_bytes_kept)));
        }
        Ok(Answer { status_code: head.status.as_u16(), headers: head.headers, body: self.kept.freeze() })
    }
}

/// How far an exchange has come, for the sentence that is said if it ends by timeout.
struct Progress(AtomicU8);

impl Progress {
    fn new() -> Self {
        Self(AtomicU8::new(Phase::Connecting as u8))
    }

    fn reach(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Connecting,
            1 => Phase::Answer,
            _ => Phase::Body,
        }
    }
}

struct ForgetOnDrop<'a> {
    host: &'a Host,
    armed: bool,
}

impl ForgetOnDrop<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.host.forget_http2();
        }
    }
}
