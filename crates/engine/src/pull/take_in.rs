//! From something that was fetched, or whose time has come, to a receipt and a message: by the same mapping as what comes in by a door.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hookpost_domain::receipt::{Origin, ReceiptTiming, ReceivedBody, ReceivedRequest, Rejection, Verdict};
use hookpost_domain::source::{DeduplicateBy, Deduplication, SourceRules};
use hookpost_domain::{ReceiptId, Source, Timestamp, limits, routing};
use hookpost_shaping::{Incoming, Mapped, Mapping, OnceHash, Said};
use hookpost_store::intake::{NewReceipt, NewReceiptOutcome, Once};
use hookpost_store::{AcceptError, ApplicationView, IdempotencyKey, NewMessage, Unavailable};
use http::HeaderMap;
use url::Url;

use super::Stop;
use super::failure::Failure;
use super::remembered::mark_of;
use crate::engine::Engine;
use crate::schema::Schemas;

/// What would have been a request, had somebody made it.
#[derive(Debug, Clone)]
pub(super) struct Pulled {
    pub(super) origin: Origin,
    /// Where it was found; without secrets.
    pub(super) url: String,
    pub(super) status_code: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What tells it from the others of its source.
    pub(super) key: Option<String>,
    /// As its sender names it.
    pub(super) event_id: Option<String>,
    pub(super) event_type: Option<String>,
    /// The receipt that it is taken from, to be let in again.
    pub(super) replay_of: Option<ReceiptId>,
}

/// What was made of things that were taken in.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) messages: usize,
    /// The marks of the keys of those that are receipts only: rejected or quarantined.
    pub(super) set_apart: Vec<u64>,
}

/// A source, ready to take things in.
#[derive(Debug)]
pub(super) struct Intaker {
    pub(super) source: Arc<Source>,
    mapping: Mapping,
    schemas: Schemas,
    view: Arc<ApplicationView>,
}

impl Intaker {
    /// For a source whose events are told apart as its door tells them.
    pub(super) async fn by_rules(engine: &Engine, source: Arc<Source>) -> Result<Self, Stop> {
        let rules = source.rules.clone();
        Self::with_rules(engine, source, &rules).await
    }

    /// For a source that knows itself what tells its messages apart.
    pub(super) async fn by_key(engine: &Engine, source: Arc<Source>) -> Result<Self, Stop> {
        let window_s = u32::try_from(limits::DEDUPLICATION_WINDOW_MAX.as_secs()).unwrap_or(u32::MAX);
        let deduplicate = Deduplication { by: DeduplicateBy::EventId, window_s };
        let rules = SourceRules { deduplicate, ..source.rules.clone() };
        Self::with_rules(engine, source, &rules).await
    }

    async fn with_rules(engine: &Engine, source: Arc<Source>, rules: &SourceRules) -> Result<Self, Stop> {
        let mapping =
            Mapping::compile(rules).map_err(|problem| Failure::of(format!("The rules of the source cannot be used: {problem}.")))?;
        let view = engine.store.application_by_id(source.application).await?;
        let view = view.ok_or_else(|| Failure::of("The application of the source is gone."))?;
        Ok(Self { source, mapping, schemas: Schemas::default(), view })
    }

    /// What tells it from a repetition, where that can be said.
    pub(super) fn once(&self, pulled: &Pulled) -> Option<Once> {
        self.map(pulled, &pulled.incoming(), Timestamp::ZERO).ok().and_then(|mapped| mapped.once).map(once)
    }

    fn map(&self, pulled: &Pulled, incoming: &Incoming<'_>, payload_expires_at: Timestamp) -> Result<Mapped, hookpost_shaping::Unreadable> {
        let said = Said { event_id: pulled.key.as_deref(), event_type: pulled.event_type.as_deref() };
        self.mapping.message(incoming, pulled.body.clone(), said, self.source.id, payload_expires_at)
    }

    /// The message that it becomes; or why it becomes none, by the same rules and in the same words as at a door.
    async fn judge(&self, engine: &Engine, pulled: &Pulled, now: Timestamp) -> Result<Result<Mapped, Verdict>, Unavailable> {
        let incoming = pulled.incoming();
        let mapped = match self.map(pulled, &incoming, now + engine.settings.payload_retention) {
            Ok(mapped) => mapped,
            Err(unreadable) => {
                let rejection = Rejection { code: unreadable.code().to_owned(), detail: unreadable.to_string(), hint: None };
                return Ok(Err(Verdict::Rejected(rejection)));
            }
        };
        let (org, rule) = (&self.source.org, self.source.rules.schema);
        let misfit = self.schemas.check(&*engine.store, org, rule, &incoming, &mapped.content.event_type).await?;
        Ok(misfit.map_or(Ok(mapped), |misfit| Err(misfit.into())))
    }

    pub(super) async fn receipt(&self, engine: &Engine, pulled: Pulled, now: Timestamp) -> Result<NewReceipt, Unavailable> {
        let (body, outcome) = match self.judge(engine, &pulled, now).await? {
            Ok(Mapped { mut content, once: hash }) => {
                content.routing = routing::fan_out(&self.view.endpoints, &content.event_type, &content.channels);
                let message = NewMessage { application: self.view.application.id, content, idempotency_key: None };
                (ReceivedBody::InMessage, NewReceiptOutcome::Message { message, once: hash.map(once) })
            }
            Err(verdict) => (ReceivedBody::Bytes(pulled.body.clone()), NewReceiptOutcome::Settled(verdict)),
        };
        let Pulled { origin, url, status_code, headers, event_id, event_type, replay_of, .. } = pulled;
        let request = request_of(origin, url, &headers, body);
        Ok(NewReceipt { event_id, event_type, replay_of, ..receipt_of(&self.source, request, status_code, outcome, now) })
    }
}

impl Pulled {
    fn incoming(&self) -> Incoming<'_> {
        let mut incoming = Incoming::new(&self.headers, &self.body, limits::PULL_ANSWER_BYTES_MAX);
        incoming.method = self.origin.as_method().unwrap_or_default();
        incoming
    }
}

impl Engine {
    /// Writes all of it down, in its order, and returns when it is on disk.
    pub(super) async fn take_in(&self, intaker: &Intaker, pulled: Vec<Pulled>) -> Result<Taken, Stop> {
        let mut taken = Taken::default();
        let mut pulled = pulled.into_iter();
        loop {
            let now = self.clock.now();
            let (mut some, mut marks) = (Vec::new(), Vec::new());
            for pulled in pulled.by_ref().take(limits::PULL_ITEMS_AT_ONCE_MAX) {
                marks.push(pulled.key.as_deref().map(mark_of));
                some.push(intaker.receipt(self, pulled, now).await?);
            }
            if some.is_empty() {
                return Ok(taken);
            }
            // Stores take them in the order in which they are handed over, and as one group if they can.
            let received = join_all(some.into_iter().map(|receipt| self.store.receive(receipt, now))).await;
            for (received, mark) in received.into_iter().zip(marks) {
                match received.map_err(refused)?.message {
                    Some(message) => taken.messages += usize::from(!message.repeated),
                    None => taken.set_apart.extend(mark),
                }
            }
            self.arrived(intaker.source.application);
        }
    }

    /// Which of them are new: those that nothing is known of, or that cannot be told apart.
    pub(super) async fn unknown(&self, intaker: &Intaker, pulled: Vec<Pulled>) -> Result<Vec<Pulled>, Stop> {
        let keys: Vec<Option<Once>> = pulled.iter().map(|pulled| intaker.once(pulled)).collect();
        let asked: Vec<Once> = keys.iter().flatten().copied().collect();
        let mut known = self.store.known_once(&asked, self.clock.now()).await?.into_iter();
        let is_new = keys.iter().map(|key| key.is_none() || !known.next().unwrap_or(false));
        Ok(pulled.into_iter().zip(is_new).filter_map(|(pulled, is_new)| is_new.then_some(pulled)).collect())
    }

    /// A receipt of something that went wrong, so that whoever owns the source sees it.
    pub(super) async fn keep_failure(&self, source: &Source, origin: Origin, url: String, failure: &Failure) -> Result<(), Stop> {
        let code = origin.failure_code().unwrap_or_default().to_owned();
        let rejection = Rejection { code, detail: failure.detail.clone(), hint: failure.hint.clone() };
        let request = request_of(origin, url, &HeaderMap::new(), ReceivedBody::NotKept { bytes: 0 });
        let outcome = NewReceiptOutcome::Settled(Verdict::Rejected(rejection));
        let now = self.clock.now();
        self.store.receive(receipt_of(source, request, failure.status_code, outcome, now), now).await.map_err(refused)?;
        Ok(())
    }
}

fn once(hash: OnceHash) -> Once {
    Once { key: IdempotencyKey(hash.hash), window: hash.window }
}

pub(super) fn refused(error: AcceptError) -> Stop {
    match error {
        AcceptError::Unavailable(problem) => Stop::Unavailable(problem),
        AcceptError::ApplicationNotFound | AcceptError::DuplicateEventId => Failure::of("The application of the source is gone.").into(),
    }
}

fn request_of(origin: Origin, url: String, headers: &HeaderMap, body: ReceivedBody) -> ReceivedRequest {
    let lines = headers.iter().map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    let method = origin.as_method().unwrap_or_default().to_owned();
    ReceivedRequest { method, url, headers: lines.collect(), body, peer: None }
}

fn receipt_of(source: &Source, request: ReceivedRequest, status_code: u16, outcome: NewReceiptOutcome, now: Timestamp) -> NewReceipt {
    NewReceipt {
        source: source.id,
        received_at: now,
        request,
        status_code,
        timing: ReceiptTiming::default(),
        event_id: None,
        event_type: None,
        unverified: None,
        replay_of: None,
        outcome,
    }
}

/// As it can be shown: values of the query whose names speak of secrets are left out.
pub(super) fn shown_url(url: &Url) -> String {
    const TELLING: &[&str] = &["key", "token", "secret", "password", "auth", "signature", "sig"];
    let mut shown = url.clone();
    if url.query().is_some() {
        let is_telling = |name: &str| TELLING.iter().any(|word| name.to_ascii_lowercase().contains(word));
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| (name.to_string(), if is_telling(&name) { "withheld".to_owned() } else { value.into_owned() }))
            .collect();
        shown.query_pairs_mut().clear().extend_pairs(pairs);
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("https://example.com/a?page=2&api_key=s3cret&X-Token=t", "https://example.com/a?page=2&api_key=withheld&X-Token=withheld"),
            ("https://example.com/a", "https://example.com/a"),
        ] {
            assert_eq!(shown_url(&Url::parse(url).unwrap()), shown);
        }
    }
}
