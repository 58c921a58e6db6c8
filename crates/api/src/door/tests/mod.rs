//! The door from outside: requests through the router, over the memory store.

mod answers;
mod bodies;
mod flood;
mod once;
mod order;
mod replays;
mod schemas;
mod senders;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use hookpost_domain::source::{ProviderSettings, SourceKind, SourceRules, SourceToken, SourceTokens};
use hookpost_domain::{Application, OrgId, Receipt, Source, SourceId, Timestamp, receipt};
use hookpost_providers::{Settings, UnsignedRequest, Verifier, provider};
use hookpost_store::history::ReceiptFilter;
use hookpost_store::{Order, PageRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::peer::PeerAddress;
use crate::ApiSettings;
use crate::testing::{Answer, TestServer};

const TOKEN: &str = "src_token_0123456789abcdef";
const SECRET: &str = "It's a Secret to Everybody";

/// A server with one source.
struct Doorstep {
    server: TestServer,
    source: SourceId,
}

/// A request that is being put together; sent with [`Doorstep::send`].
struct Knock {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    peer: Option<IpAddr>,
}

impl Doorstep {
    /// A GitHub source with the usual secret.
    async fn github(rules: SourceRules) -> Self {
        Self::of("github", &format!(r#"{{"secret": "{SECRET}"}}"#), rules).await
    }

    /// A source that nothing vouches for.
    async fn open(rules: SourceRules) -> Self {
        Self::of("generic-webhook", "{}", rules).await
    }

    async fn of(type_name: &str, settings: &str, rules: SourceRules) -> Self {
        Self::with_settings(type_name, settings, rules, |_| {}).await
    }

    async fn with_settings(type_name: &str, settings: &str, rules: SourceRules, change: impl FnOnce(&mut ApiSettings)) -> Self {
        let server = TestServer::with_settings(change);
        let source = add_source(&server, type_name, settings, rules, TOKEN).await;
        let step = Self { server, source };
        let prepared = super::PreparedSource::new(&step.stored().await);
        assert!(prepared.is_ok(), "{prepared:?}");
        step
    }

    async fn stored(&self) -> Arc<Source> {
        self.server.api.store.source_by_id(self.source).await.unwrap().unwrap()
    }

    async fn change(&self, change: impl FnOnce(&mut Source) + Send + 'static) {
        let change = |source: &mut Source| {
            change(source);
            Ok(())
        };
        self.server.api.store.update_source(self.source, Box::new(change)).await.unwrap();
    }

    async fn send(&self, knock: Knock) -> Answer {
        self.server.send(knock.into_request()).await
    }

    /// The receipts, oldest first, once all of them are written.
    async fn receipts(&self) -> Vec<Receipt> {
        self.server.settle().await;
        let page = PageRequest::first(250, Order::Ascending);
        let found = self.server.api.store.receipts(self.source, ReceiptFilter::default(), page).await.unwrap();
        let mut receipts = Vec::new();
        for listed in found.items {
            receipts.push(self.server.api.store.receipt(self.source, listed.id).await.unwrap().unwrap());
        }
        receipts
    }

    /// One word for each receipt, in alphabetical order: its verdict, or why it was rejected.
    async fn verdicts(&self) -> Vec<String> {
        let mut words: Vec<_> = self.receipts().await.iter().map(|receipt| word(&receipt.verdict)).collect();
        words.sort();
        words
    }

    /// What arrived at the endpoints.
    async fn payloads(&self) -> Vec<String> {
        self.server.settle().await;
        self.server.receiver.payloads()
    }
}

fn word(verdict: &receipt::Verdict) -> String {
    match verdict {
        receipt::Verdict::Rejected(rejection) => rejection.code.clone(),
        other => other.kind().as_str().to_owned(),
    }
}

/// A source with an application and an endpoint of its own.
async fn add_source(server: &TestServer, type_name: &str, settings: &str, rules: SourceRules, token: &str) -> SourceId {
    let api = &server.api;
    let app = server.app().await;
    server.endpoint(&app, serde_json::json!({})).await;
    let now = api.now();
    let source = Source {
        id: api.new_id(now),
        org: OrgId::parse(OrgId::DEFAULT).unwrap(),
        uid: None,
        name: format!("{type_name} of tests"),
        kind: SourceKind::Webhook { type_name: type_name.to_owned(), settings: ProviderSettings(settings.to_owned()) },
        application: api.store.public_ids().decode(&app).unwrap(),
        owns_application: false,
        tokens: SourceTokens { current: SourceToken(token.to_owned()), old: Vec::new() },
        rules,
        disabled: false,
        metadata: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
    };
    let id = source.id;
    api.store.create_source(source, None::<Application>).await.unwrap();
    id
}

fn in_door(rest: &str) -> String {
    format!("/in/{TOKEN}{rest}")
}

impl Knock {
    fn post(body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::POST, path: in_door(""), headers: HeaderMap::new(), body: body.into(), peer: None }
            .header("host", "localhost")
    }

    fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::post(body).header("content-type", "application/json")
    }

    /// As GitHub sends it.
    fn github(id: &str, event: &str, body: &str) -> Self {
        Self::json(body).header("x-github-delivery", id).header("x-github-event", event).signed("github", SECRET)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn from(mut self, peer: &str) -> Self {
        self.peer = Some(peer.parse().unwrap());
        self
    }

    fn at(mut self, rest: &str) -> Self {
        self.path = in_door(rest);
        self
    }

    fn signed(self, name: &str, secret: &str) -> Self {
        self.signed_for(name, secret, "http://localhost", crate::testing::START)
    }

    fn signed_for(mut self, name: &str, secret: &str, origin: &str, now: Timestamp) -> Self {
        let verifier = Verifier::new(provider(name).unwrap(), &Settings::with_secret(secret)).unwrap();
        let url = format!("{origin}{}", self.path);
        let unsigned = UnsignedRequest { method: self.method.as_str(), url: &url, headers: &self.headers, body: &self.body };
        let signed = verifier.sign(&unsigned, "an-id", now).unwrap();
        (self.headers, self.body) = (signed.headers, signed.body);
        self
    }

    fn into_request(self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddress(peer));
        }
        request
    }
}
