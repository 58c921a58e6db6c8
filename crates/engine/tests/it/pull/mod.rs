//! Pull sources in simulated time: against addresses that are functions, with crashes and other nodes.

mod back_fill;
mod cron;
mod poll;
mod providers;
mod schemas;

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{Origin, ReceivedBody, Verdict};
use hookpost_domain::source::{ProviderSettings, SourceKind, SourceRules, SourceToken, SourceTokens};
use hookpost_domain::{ApplicationId, OrgId, Receipt, Source, SourceId};
use hookpost_engine::{Answer, OutgoingRequest, TransportError};
use hookpost_store::history::{MessageFilter, ReceiptFilter};
use hookpost_store::{Order, PageRequest};
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::world::World;

type Answering = Box<dyn FnMut(&OutgoingRequest) -> Result<Answer, TransportError> + Send>;

/// Whatever a pull source asks.
pub(crate) struct Api {
    answering: Mutex<Answering>,
    asked: Mutex<Vec<Asked>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) at_ms: u64,
    /// Path and query.
    pub(crate) what: String,
}

impl Default for Api {
    fn default() -> Self {
        Self { answering: Mutex::new(Box::new(|_| Ok(answer(404, &[], "")))), asked: Mutex::default() }
    }
}

impl Api {
    pub(crate) fn answer(&self, request: &OutgoingRequest, at_ms: u64) -> Result<Answer, TransportError> {
        let what = request.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        self.asked.lock().push(Asked { at_ms, what });
        (self.answering.lock())(request)
    }
}

fn answer(status_code: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let header = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
    Answer { status_code, headers: headers.iter().map(header).collect(), body: Bytes::copy_from_slice(body.as_bytes()) }
}

impl World {
    fn api(&self, answering: impl FnMut(&OutgoingRequest) -> Result<Answer, TransportError> + Send + 'static) {
        *self.network.api.answering.lock() = Box::new(answering);
    }

    fn asked(&self) -> Vec<Asked> {
        self.network.api.asked.lock().clone()
    }

    async fn source(&self, application: ApplicationId, kind: SourceKind, rules: SourceRules) -> SourceId {
        let store = self.shared();
        let now = self.now();
        let id = SourceId::from_row(store.new_row_id(now));
        let source = Source {
            id,
            org: OrgId::parse(OrgId::DEFAULT).expect("an org"),
            uid: None,
            name: "source".into(),
            kind,
            application,
            owns_application: false,
            tokens: SourceTokens { current: SourceToken(format!("token-{id:?}")), old: Vec::new() },
            rules,
            disabled: false,
            metadata: Default::default(),
            created_at: now,
            updated_at: now,
        };
        store.create_source(source, None).await.expect("created");
        self.engine.wake_sources();
        id
    }

    async fn change_source(&self, id: SourceId, change: impl FnOnce(&mut Source) + Send + 'static) {
        let now = self.now();
        let change = Box::new(move |source: &mut Source| {
            change(source);
            source.updated_at = now;
            Ok(())
        });
        self.shared().update_source(id, change).await.expect("changed");
        self.engine.wake_sources();
    }

    /// The payloads of the messages, oldest first.
    async fn payloads(&self, application: ApplicationId) -> Vec<String> {
        let page = PageRequest::first(250, Order::Ascending);
        let found = self.shared().messages(application, MessageFilter::default(), page).await.expect("available");
        let text = |payload: Option<Bytes>| payload.map(|payload| String::from_utf8_lossy(&payload).into_owned()).unwrap_or_default();
        found.items.into_iter().map(|message| text(message.content.payload)).collect()
    }

    /// Oldest first.
    async fn receipts(&self, source: SourceId) -> Vec<Receipt> {
        let page = PageRequest::first(250, Order::Ascending);
        self.shared().receipts(source, ReceiptFilter::default(), page).await.expect("available").items
    }

    /// What became of everything that came, in short.
    async fn verdicts(&self, source: SourceId) -> Vec<String> {
        let line = |receipt: &Receipt| match &receipt.verdict {
            Verdict::Rejected(rejection) => format!("{}: {}", rejection.code, rejection.detail),
            other => other.kind().as_str().to_owned(),
        };
        self.receipts(source).await.iter().map(line).collect()
    }
}

fn webhook(type_name: &str) -> SourceKind {
    SourceKind::Webhook { type_name: type_name.to_owned(), settings: ProviderSettings("{}".to_owned()) }
}

fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|problem| panic!("{json}: {problem}"))
}

const MINUTE: u64 = 60_000;

fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(60) * minutes
}

fn assert_origin(receipts: &[Receipt], origin: Origin) {
    for receipt in receipts {
        assert_eq!(receipt.request.origin(), origin, "{receipt:?}");
        assert!(!matches!(receipt.request.body, ReceivedBody::InMessage));
    }
}
