//! The network of a made-up world: receivers that follow a script, and what arrived at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookpost_domain::delivery::TransportErrorKind;
use hookpost_domain::{MessageId, PublicIds};
use hookpost_engine::{Answer, OutgoingRequest, Transport, TransportError};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    after: Duration,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), after: Duration::from_millis(1) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, format!("{value}")));
        self
    }

    pub(crate) fn after_ms(mut self, ms: u64) -> Self {
        self.after = Duration::from_millis(ms);
        self
    }

    /// Longer than any time-out.
    pub(crate) fn never() -> Self {
        Self::status(200).after_ms(3_600_000)
    }
}

/// What arrived at a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The path of the URL, which tells the endpoints apart.
    pub(crate) path: String,
    pub(crate) message: MessageId,
    pub(crate) attempt: u32,
    pub(crate) trigger: String,
    pub(crate) will_retry_after: Option<u64>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    /// Since the beginning of the test.
    pub(crate) at_ms: u64,
}

type Script = Box<dyn Fn(&Sent) -> Reply + Send + Sync>;

pub(crate) struct Network {
    pub(super) script: Mutex<Script>,
    pub(crate) sent: Mutex<Vec<Sent>>,
    pub(crate) in_flight: Mutex<std::collections::HashMap<String, (usize, usize)>>,
    /// What is asked by pull sources, and how it is answered.
    pub(crate) api: crate::pull::Api,
    pub(super) ids: PublicIds,
    pub(super) began: Instant,
}

/// What one engine has of the network; cut when the engine "crashes".
pub(super) struct Line {
    pub(super) network: Arc<Network>,
    pub(super) cut: AtomicBool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        if self.cut.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let path = request.uri.path().to_owned();
        let sent = Sent {
            path: path.clone(),
            message: {
                // A batch is named by its first and its last message.
                let id = text("webhook-id").expect("webhook-id");
                let first = id.split('-').next().unwrap_or_default();
                self.network.ids.decode(first).expect("an id of this store")
            },
            attempt: text("hookpost-attempt").expect("hookpost-attempt").parse().expect("a number"),
            trigger: text("hookpost-trigger").expect("hookpost-trigger"),
            will_retry_after: text("hookpost-will-retry-after").map(|value| value.parse().expect("seconds")),
            headers: request.headers.clone(),
            body: request.body,
            at_ms: self.network.began.elapsed().as_millis() as u64,
        };
        assert!(text("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
        let reply = (self.network.script.lock())(&sent);
        self.network.sent.lock().push(sent);
        let under_way = UnderWay::begin(&self.network, path);
        if reply.after >= request.timeout {
            tokio::time::sleep(request.timeout).await;
            return Err(TransportError { kind: TransportErrorKind::Timeout, message: "the receiver did not answer in time".into() });
        }
        tokio::time::sleep(reply.after).await;
        drop(under_way);
        let mut headers = http::HeaderMap::new();
        for (name, value) in &reply.headers {
            headers.insert(*name, value.parse().expect("a header value"));
        }
        Ok(Answer { status_code: reply.status, headers, body: Bytes::from_static(b"thanks") })
    }

    async fn fetch(&self, request: OutgoingRequest) -> Result<Answer, TransportError> {
        if self.cut.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.network.api.answer(&request, self.network.began.elapsed().as_millis() as u64)
    }
}

struct UnderWay<'a>(&'a Network, String);

impl<'a> UnderWay<'a> {
    fn begin(network: &'a Network, path: String) -> Self {
        let mut map = network.in_flight.lock();
        let (now, most) = map.entry(path.clone()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        drop(map);
        Self(network, path)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.lock().entry(self.1.clone()).or_default().0 -= 1;
    }
}
