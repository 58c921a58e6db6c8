//! A whole server without a socket: the router over the memory store, an engine whose deliveries go to a receiver in memory, and time that
//! passes only when everything waits for it (use `#[tokio::test(start_paused = true)]`).

mod held_store;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Rejection, Verdict};
use hookpost_domain::{ApplicationId, Clock, Entropy, EventType, EventTypeName, OrgId, PublicIds, RetrySchedule, Timestamp};
use hookpost_engine::metrics::EngineMetrics;
use hookpost_engine::{Answer as Received, Engine, EngineSettings, OutgoingRequest, Transport, TransportError};
use hookpost_store::SharedStore;
use hookpost_store::intake::{NewReceipt, NewReceiptOutcome};
use hookpost_store::memory::MemoryStore;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use self::held_store::{Held, HeldStore};
use crate::auth::portal::{self, NewSession};
use crate::state::Api;
use crate::{ApiMetrics, ApiSettings, ApiState, TokenSecret, org_token};

pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_767_323_045_678);
pub(crate) const OTHER_ORG: &str = "org_2aBcDeFgHiJkLmNoPqRsTuVwXyZ";

/// Time as tokio's paused clock has it.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        START + self.0.elapsed()
    }
}

/// Bytes that differ from call to call, and are the same in every run.
#[derive(Debug, Default)]
struct Counting(Mutex<u64>);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock();
        for byte in buffer {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 33) as u8;
        }
    }
}

/// Keeps what it gets, and answers as it was told to, in the end with 200.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) requests: Mutex<Vec<OutgoingRequest>>,
    answers: Mutex<VecDeque<Result<Received, TransportError>>>,
}

impl Receiver {
    pub(crate) fn will_answer(&self, status_code: u16, body: &'static str) {
        let headers = [(http::header::SERVER, "receiver".parse().unwrap())].into_iter().collect();
        self.answers.lock().push_back(Ok(Received { status_code, headers, body: Bytes::from_static(body.as_bytes()) }));
    }

    pub(crate) fn will_fail(&self, error: TransportError) {
        self.answers.lock().push_back(Err(error));
    }

    /// The payloads that arrived, as text.
    pub(crate) fn payloads(&self) -> Vec<String> {
        self.requests.lock().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }
}

#[async_trait]
impl Transport for Receiver {
    async fn send(&self, request: OutgoingRequest) -> Result<Received, TransportError> {
        self.requests.lock().push(request);
        let answer = self.answers.lock().pop_front();
        answer.unwrap_or_else(|| Ok(Received { status_code: 200, headers: HeaderMap::new(), body: Bytes::from_static(b"thanks") }))
    }

    async fn fetch(&self, request: OutgoingRequest) -> Result<Received, TransportError> {
        self.send(request).await
    }
}

pub(crate) struct TestServer {
    router: Router,
    pub(crate) api: Api,
    store: Arc<HeldStore>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) stopping: CancellationToken,
    shutdown: CancellationToken,
    engine: JoinSet<()>,
    /// All rights of the default tenant.
    pub(crate) token: String,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with_settings(|_| {})
    }

    pub(crate) fn with_settings(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let (sender, ready) = tokio::sync::mpsc::channel(64);
        let held = Arc::new(Held::around(MemoryStore::new(PublicIds::new([7; 16]), sender.into())));
        let store: SharedStore = Arc::clone(&held) as SharedStore;
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
        let receiver = Arc::new(Receiver::default());
        let mut registry = Registry::default();
        let engine = Engine::new(
            Arc::clone(&store),
            Arc::clone(&receiver) as Arc<dyn Transport>,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            EngineSettings { retry_schedule: RetrySchedule::parse("10s,1h").unwrap(), ..EngineSettings::default() },
            EngineMetrics::register(&mut registry),
        );
        let mut settings = ApiSettings::new(TokenSecret::new(b"a secret for tests"));
        change(&mut settings);
        let token = org_token(&settings.token_secret, &OrgId::parse(OrgId::DEFAULT).unwrap(), clock.now());
        let metrics = ApiMetrics::register(&mut registry);
        let stopping = CancellationToken::new();
        let state = ApiState {
            store,
            engine: Arc::clone(&engine),
            clock,
            entropy,
            settings,
            metrics,
            tasks: TaskTracker::new(),
            stopping: stopping.clone(),
        };
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(engine.run(ready.into(), None, shutdown.clone()));
        let router = crate::router(state.clone(), Arc::new(registry));
        Self { router, api: Api::new(state), store: held, receiver, stopping, shutdown, engine: tasks, token }
    }

    /// While it is held, the store does not answer who wants something written.
    pub(crate) fn hold_store(&self, held: bool) {
        self.store.hold(held);
    }

    /// The same server for another tenant.
    pub(crate) fn token_of(&self, org: &str) -> String {
        org_token(&self.api.settings.token_secret, &OrgId::parse(org).unwrap(), self.api.now())
    }

    /// A token as a portal session has it.
    pub(crate) fn portal_token(&self, app: &str, change: impl FnOnce(&mut NewSession)) -> String {
        let mut session = NewSession::default();
        change(&mut session);
        let id: ApplicationId = self.api.store.public_ids().decode(app).expect("is the id of an application");
        portal::issue(&self.api, &OrgId::parse(OrgId::DEFAULT).unwrap(), id, session)
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> Answer {
        self.call_as(&self.token, method, path, body).await
    }

    pub(crate) async fn call_as(&self, token: &str, method: &str, path: &str, body: impl Into<Option<Value>>) -> Answer {
        let body: Option<Value> = body.into();
        self.send(self.request(token, method, path, body.map(|body| body.to_string()).unwrap_or_default())).await
    }

    pub(crate) fn request(&self, token: &str, method: &str, path: &str, body: impl Into<Bytes>) -> Request<Body> {
        // Paths are those below `/api/v1`, unless they say otherwise.
        let uri = if path.starts_with("/ingest/") { path.to_owned() } else { format!("/api/v1{path}") };
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
        request.header(AUTHORIZATION, format!("Bearer {token}")).body(Body::from(body.into())).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    /// Creates an application and gives its id.
    pub(crate) async fn app(&self) -> String {
        self.call("POST", "/app", json!({ "name": "Acme" })).await.id()
    }

    /// Creates an endpoint and gives its id.
    pub(crate) async fn endpoint(&self, app: &str, fields: Value) -> String {
        let mut body = json!({ "url": "https://example.com/hook" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.call("POST", &format!("/app/{app}/endpoint"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.id()
    }

    /// Creates a source, here one of GitHub's that the fields make another of, and gives the answer.
    pub(crate) async fn source(&self, fields: Value) -> Value {
        let mut body = json!({ "name": "Door", "type": "github", "config": { "secret": "what GitHub was told" } });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.call("POST", "/ingest/api/v1/source", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Writes down a receipt with such a verdict, as the door would, and gives its id.
    pub(crate) async fn receipt(&self, source: &str, verdict: &str) -> String {
        self.receipt_with(source, verdict, |_| {}).await
    }

    pub(crate) async fn receipt_with(&self, source: &str, verdict: &str, change: impl FnOnce(&mut NewReceipt)) -> String {
        let now = self.api.now();
        let body = Bytes::from_static(br#"{"a": 1}"#);
        let verdict = match verdict {
            "handshake" => Verdict::Handshake,
            "quarantined" => Verdict::Quarantined { detail: "`$.a` must be a string.".to_owned() },
            "rejected" => Verdict::Rejected(Rejection {
                code: "bad_signature".to_owned(),
                detail: "No signature matches.".to_owned(),
                hint: Some("It was made with the secret of another endpoint.".to_owned()),
            }),
            other => panic!("a receipt that is {other} comes with a message"),
        };
        let mut receipt = NewReceipt {
            source: self.api.store.public_ids().decode(source).expect("is the id of a source"),
            received_at: now,
            request: ReceivedRequest {
                method: "POST".to_owned(),
                url: "https://hooks.example.com/in/…?team=core".to_owned(),
                headers: vec![
                    ("X-GitHub-Event".to_owned(), Bytes::from_static(b"push")),
                    ("Authorization".to_owned(), Bytes::from_static(b"Bearer x")),
                ],
                body: ReceivedBody::Bytes(body),
                peer: Some([192, 0, 2, 1].into()),
            },
            status_code: 401,
            timing: ReceiptTiming { read: Duration::from_micros(1500), verify: Duration::from_micros(250) },
            event_id: Some("event-1".to_owned()),
            event_type: Some("push".to_owned()),
            unverified: None,
            replay_of: None,
            outcome: NewReceiptOutcome::Settled(verdict),
        };
        change(&mut receipt);
        let received = self.api.store.receive(receipt, now).await.unwrap();
        self.api.public(received.receipt)
    }

    /// Puts an event type into the catalogue.
    pub(crate) async fn event_type(&self, name: &str, schemas: Option<Value>) {
        let now = self.api.now();
        let event_type = EventType {
            id: self.api.new_id(now),
            org: OrgId::parse(OrgId::DEFAULT).unwrap(),
            name: EventTypeName::parse(name).unwrap(),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas: schemas.map(|schemas| schemas.to_string()),
            group_name: None,
            feature_flags: Vec::new(),
            retry_schedule: None,
            created_at: now,
            updated_at: now,
        };
        self.api.store.create_event_type(event_type).await.unwrap();
    }

    /// Creates a message and gives its id.
    pub(crate) async fn message(&self, app: &str, fields: Value) -> String {
        let mut body = json!({ "eventType": "invoice.paid", "payload": { "total": 1.5 } });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.call("POST", &format!("/app/{app}/msg"), body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.id()
    }

    /// Lets time pass, and all that is due in it happen. (Time is paused: nothing sleeps.)
    pub(crate) async fn after(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets everything happen that is due now.
    pub(crate) async fn settle(&self) {
        self.after(Duration::from_secs(1)).await;
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.engine.join_next().await {
            ended.expect("the engine ends in order");
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes), Some(&b"application/json"[..]), "{self:?}");
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("has no id: {self:?}")).to_owned()
    }

    /// One field of each item of a list.
    pub(crate) fn column(&self, field: &str) -> Vec<Value> {
        self.json()["data"].as_array().expect("is a list").iter().map(|item| item[field].clone()).collect()
    }

    /// The status with what is wrong: `422 body.uid: must …`, `404 not_found`, or the status alone.
    pub(crate) fn summary(&self) -> String {
        let body: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        let words = match (&body["detail"], &body["code"]) {
            (Value::Array(errors), _) => errors
                .iter()
                .map(|error| {
                    let loc: Vec<&str> = error["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
                    format!("{}: {}", loc.join("."), error["msg"].as_str().unwrap())
                })
                .collect::<Vec<_>>()
                .join("; "),
            (_, Value::String(code)) => code.clone(),
            _ => String::new(),
        };
        format!("{} {words}", self.status.as_u16()).trim_end().to_owned()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.bytes))
    }
}
