//! The engine's pull sources over real connections: a list with pages, and the lists of Stripe and GitHub as their documentation has them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{Origin, Verdict};
use hookpost_domain::source::{ProviderSettings, Source, SourceKind, SourceRules, SourceToken, SourceTokens};
use hookpost_domain::{Application, ApplicationId, Clock, Entropy, OrgId, PublicIds, SourceId, Timestamp};
use hookpost_engine::{Engine, EngineMetrics, EngineSettings};
use hookpost_store::history::{MessageFilter, ReceiptFilter};
use hookpost_store::memory::MemoryStore;
use hookpost_store::{Order, PageRequest, SharedStore};
use hookpost_transport::{AddressPolicy, HttpTransport, TransportSettings};
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::local;
use crate::receiver::Receiver;

const BEGIN: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct RunningClock(Instant);

impl Clock for RunningClock {
    fn now(&self) -> Timestamp {
        BEGIN + self.0.elapsed()
    }
}

#[derive(Debug)]
struct Always;

impl Entropy for Always {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// One engine with one source, until the value goes.
struct Running {
    store: SharedStore,
    application: ApplicationId,
    source: SourceId,
    shutdown: CancellationToken,
    engine: JoinSet<()>,
}

impl Running {
    async fn start(transport: TransportSettings, kind: SourceKind, rules: SourceRules) -> Self {
        let (sender, ready) = tokio::sync::mpsc::channel(64);
        let store: SharedStore = Arc::new(MemoryStore::new(PublicIds::new([7; 16]), sender.into()));
        let org = OrgId::parse(OrgId::DEFAULT).expect("an org");
        // As if it had been there for an hour.
        let created_at = BEGIN - HOUR;
        let application = ApplicationId::from_row(store.new_row_id(created_at));
        let source = SourceId::from_row(store.new_row_id(created_at));
        let own = Application {
            id: application,
            org: org.clone(),
            uid: None,
            name: "acme".into(),
            throttle_rate: None,
            metadata: Default::default(),
            created_at,
            updated_at: created_at,
        };
        let tokens = SourceTokens { current: SourceToken("token".into()), old: Vec::new() };
        let source_row = Source {
            id: source,
            org,
            uid: None,
            name: "source".into(),
            kind,
            application,
            owns_application: true,
            tokens,
            rules,
            disabled: false,
            metadata: Default::default(),
            created_at,
            updated_at: created_at,
        };
        store.create_source(source_row, Some(own)).await.expect("created");
        let engine = Engine::new(
            Arc::clone(&store),
            Arc::new(HttpTransport::new(transport)),
            Arc::new(RunningClock(Instant::now())),
            Arc::new(Always),
            EngineSettings::default(),
            EngineMetrics::default(),
        );
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(engine.run(ready.into(), None, shutdown.clone()));
        Self { store, application, source, shutdown, engine: running }
    }

    /// The payloads, once there are so many.
    async fn payloads(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = PageRequest::first(99, Order::Ascending);
            let found = self.store.messages(self.application, MessageFilter::default(), page).await.expect("available").items;
            if found.len() >= count || Instant::now() > deadline {
                let text = |payload: Bytes| String::from_utf8_lossy(&payload).into_owned();
                return found.into_iter().filter_map(|message| message.content.payload).map(text).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The origins and verdicts, once there are so many.
    async fn receipts(&self, count: usize) -> Vec<(Origin, Verdict)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = PageRequest::first(99, Order::Ascending);
            let found = self.store.receipts(self.source, ReceiptFilter::default(), page).await.expect("available").items;
            if found.len() >= count || Instant::now() > deadline {
                return found.into_iter().map(|receipt| (receipt.request.origin(), receipt.verdict)).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.engine.join_next().await {
            ended.expect("the engine ends without a panic");
        }
    }
}

fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"))
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let builder = headers.iter().fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    builder.body(Full::from(body.to_owned())).expect("valid")
}

fn is_authorized(request: &Request<Bytes>, value: &str) -> bool {
    request.headers().get("authorization").is_some_and(|own| own.as_bytes() == value.as_bytes())
}

fn webhook(type_name: &str) -> SourceKind {
    SourceKind::Webhook { type_name: type_name.to_owned(), settings: ProviderSettings("{}".to_owned()) }
}

/// Two pages by `Link`, to whoever has the password.
fn list(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    if !is_authorized(request, "Basic YWRhOmxvdmU=") {
        return answer(401, &[], "");
    }
    match request.uri().query() {
        None => answer(200, &[("link", r#"</list?page=2>; rel="next""#)], r#"{"items": [{"id": 1, "n": 1.50}, {"id": 2}]}"#),
        Some(_) => answer(200, &[], r#"{"items": [{"id": 3}, {"id": 1}]}"#),
    }
}

#[tokio::test]
async fn a_list_is_polled_page_by_page() {
    let receiver = Receiver::answering(|request| list(&request)).await;
    let poll = format!(
        r#"{{"url": "http://127.0.0.1:{}/list", "everyS": 1, "items": "$.items", "itemId": "$.id", "nextPage": "link",
            "auth": {{"basic": {{"user": "ada", "password": "love"}}}}}}"#,
        receiver.port
    );
    let running = Running::start(local(), SourceKind::Poll(from_json(&poll)), SourceRules::default()).await;
    let expected = [r#"{"id": 1, "n": 1.50}"#, r#"{"id": 2}"#, r#"{"id": 3}"#];
    assert_eq!(running.payloads(3).await, expected);
    assert!(running.receipts(3).await.iter().all(|(origin, _)| *origin == Origin::Poll));
    running.end().await;
}

#[tokio::test]
async fn what_deliveries_may_not_reach_polls_may_not_reach() {
    let receiver = Receiver::answering(|request| list(&request)).await;
    let poll = format!(r#"{{"url": "http://127.0.0.1:{}/list?secret", "everyS": 60}}"#, receiver.port);
    let guarded = TransportSettings { addresses: AddressPolicy::default(), ..local() };
    let running = Running::start(guarded, SourceKind::Poll(from_json(&poll)), SourceRules::default()).await;
    let receipts = running.receipts(1).await;
    let Some((Origin::Poll, Verdict::Rejected(rejection))) = receipts.first() else { panic!("{receipts:?}") };
    assert_eq!(rejection.code, "poll_failed");
    assert!(rejection.detail.contains("loopback address"), "{}", rejection.detail);
    assert_eq!(receiver.connections(), 0);
    running.end().await;
}

/// `GET /v1/events`, newest first, two pages on the way down and one on the way up.
fn stripe(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/v1/events" || !is_authorized(request, "Bearer rk_1") {
        return answer(401, &[], r#"{"error": {"type": "invalid_request_error"}}"#);
    }
    let event = |id: &str| format!(r#"{{"id": "{id}", "object": "event", "type": "invoice.paid", "created": 1767322000, "data": {{}}}}"#);
    let query = request.uri().query().unwrap_or_default();
    let newer = [event("evt_3"), event("evt_2")].join(", ");
    let (more, events) = if query.contains("starting_after=evt_2") {
        (false, event("evt_1"))
    } else if query.contains("ending_before=evt_1") {
        (false, newer)
    } else {
        (true, newer)
    };
    answer(200, &[], &format!(r#"{{"object": "list", "url": "/v1/events", "has_more": {more}, "data": [{events}]}}"#))
}

#[tokio::test]
async fn missing_events_are_fetched_from_stripe() {
    let receiver = Receiver::answering(|request| stripe(&request)).await;
    let back_fill = format!(r#"{{"apiKey": "rk_1", "baseUrl": "http://127.0.0.1:{}"}}"#, receiver.port);
    let rules = SourceRules { back_fill: Some(from_json(&back_fill)), ..SourceRules::default() };
    let running = Running::start(local(), webhook("stripe"), rules).await;
    let payloads = running.payloads(3).await;
    let ids: Vec<_> = payloads.iter().map(|payload| payload.split('"').nth(3).unwrap_or_default()).collect();
    assert_eq!(ids, ["evt_1", "evt_2", "evt_3"], "oldest first");
    assert!(running.receipts(3).await.iter().all(|(origin, verdict)| *origin == Origin::BackFill && verdict.message().is_some()));
    running.end().await;
}

/// Deliveries of a hook, and one of them.
fn github(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    if !is_authorized(request, "Bearer ghp_1") || !request.headers().contains_key("user-agent") {
        return answer(401, &[], r#"{"message": "Bad credentials"}"#);
    }
    let delivery = |id: u32, guid: &str, status_code: u16| {
        format!(
            r#"{{"id": {id}, "guid": "{guid}", "delivered_at": "2026-01-02T02:50:00Z", "redelivery": false, "duration": 0.3, "status": "x",
                "status_code": {status_code}, "event": "issues", "action": "opened", "installation_id": null, "repository_id": 1}}"#
        )
    };
    match request.uri().path() {
        "/repos/ada/engine/hooks/7/deliveries" => {
            answer(200, &[], &format!("[{}, {}, {}]", delivery(3, "a", 200), delivery(2, "b", 502), delivery(1, "a", 502)))
        }
        "/repos/ada/engine/hooks/7/deliveries/2" => {
            let detail = r#"{"id": 2, "guid": "b", "request": {"headers": {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "b"},
                "payload": {"action": "opened"}}, "response": {"headers": {}, "payload": "bad gateway"}}"#;
            answer(200, &[], detail)
        }
        other => panic!("{other} was asked for"),
    }
}

#[tokio::test]
async fn a_failed_delivery_is_fetched_from_github() {
    let receiver = Receiver::answering(|request| github(&request)).await;
    let back_fill = format!(r#"{{"apiKey": "ghp_1", "resource": "ada/engine/hooks/7", "baseUrl": "http://127.0.0.1:{}/"}}"#, receiver.port);
    let rules = SourceRules { back_fill: Some(from_json(&back_fill)), ..SourceRules::default() };
    let running = Running::start(local(), webhook("github"), rules).await;
    assert_eq!(running.payloads(1).await, [r#"{"action": "opened"}"#]);
    assert_eq!(running.receipts(1).await.len(), 1);
    running.end().await;
}
