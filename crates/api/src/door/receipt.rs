//! What is kept of a request: with its message in one transaction where it is one, before the answer where yes is said, after it where no was.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookpost_domain::limits::SOURCE_HEADERS_MAX;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Verdict};
use hookpost_domain::{MessageContent, routing};
use hookpost_providers::Event;
use hookpost_shaping::Mapped;
use hookpost_store::intake::{NewReceipt, NewReceiptOutcome, Once};
use hookpost_store::{IdempotencyKey, NewMessage};
use http::StatusCode;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::limits::Held;
use super::refusal::Refusal;
use super::verify::Proof;
use super::{Outcome, answer, body, diagnosis, event};
use crate::state::Api;
use crate::tenant::{self, Wanted};

/// Routes the message and puts it on disk with its receipt, unless it is there already.
pub(super) async fn make_message(
    api: &Api,
    arrival: &Arrival,
    mapped: Mapped,
    timing: ReceiptTiming,
    proof: Proof,
) -> Result<Outcome, Refusal> {
    let application = arrival.source().application;
    let view = api.store.application_by_id(application).await?.ok_or_else(Refusal::application_gone)?;
    let Mapped { mut content, once } = mapped;
    hold_to_rules(api, arrival, &mut content).await?;
    content.routing = routing::fan_out(&view.endpoints, &content.event_type, &content.channels);
    let message = NewMessage { application, content, idempotency_key: None };
    let once = once.map(|once| Once { key: IdempotencyKey(once.hash), window: once.window });
    let outcome = NewReceiptOutcome::Message { message, once: arrival.once_of_replay(once) };
    let status = answer::status(arrival, proof.event.answer.as_ref());
    let mut receipt = arrival.receipt(ReceivedBody::InMessage, status, timing, Some(&proof.event), outcome);
    let unverified = proof.unverified.is_some();
    receipt.unverified = proof.unverified;
    let started = Instant::now();
    let received = api.store.receive(receipt, api.now()).await?;
    api.metrics.accept_seconds.observe(started.elapsed().as_secs_f64());
    let Some(accepted) = received.message else { return Err(Refusal::application_gone()) };
    let counted = if accepted.repeated { &api.metrics.messages_repeated } else { &api.metrics.messages_accepted };
    counted.inc();
    api.engine.arrived(application);
    tracing::debug!(
        target: "hookpost::receive",
        org = %arrival.source().org,
        source = api.public(arrival.source().id),
        receipt = api.public(received.receipt),
        message = api.public(accepted.id),
        repeated = accepted.repeated,
        unverified,
        "a request was taken"
    );
    Ok(Outcome::Message { receipt: received.receipt, message: accepted.id, repeated: accepted.repeated, event: proof.event })
}

/// The limits of the tenant, which are asked of memory. What somebody replays does not count against the rate.
async fn hold_to_rules(api: &Api, arrival: &Arrival, content: &mut MessageContent) -> Result<(), Refusal> {
    let wanted = Wanted {
        payload: content.payload.as_deref().unwrap_or_default(),
        fits: None,
        counted: usize::from(arrival.replay_of.is_none()),
        asked_hours: None,
        keep_until: content.payload_expires_at,
    };
    content.payload_expires_at = tenant::admit(api, &arrival.source().org, api.now(), wanted).await.map_err(Refusal::by_rules)?;
    Ok(())
}

/// Puts a genuine request on disk that must not become a message as it is.
pub(super) async fn quarantine(
    api: &Api,
    arrival: &Arrival,
    body: &Bytes,
    timing: ReceiptTiming,
    proof: Proof,
    detail: String,
) -> Result<Outcome, Refusal> {
    let settled = NewReceiptOutcome::Settled(Verdict::Quarantined { detail: detail.clone() });
    let status = answer::status(arrival, proof.event.answer.as_ref());
    let mut receipt = arrival.receipt(ReceivedBody::Bytes(body.clone()), status, timing, Some(&proof.event), settled);
    receipt.unverified = proof.unverified;
    let received = api.store.receive(receipt, api.now()).await?;
    Ok(Outcome::Quarantined { receipt: received.receipt, detail, event: proof.event })
}

/// A request that is being turned away, with what is there of it.
#[derive(Debug)]
pub(super) struct Rejected {
    arrival: Arc<Arrival>,
    body: ReceivedBody,
    timing: ReceiptTiming,
    /// The memory of the body, until the receipt is written.
    _held: Option<Held>,
}

impl Rejected {
    /// Its body was not read, or not to its end.
    pub(super) fn unread(arrival: Arrival, body: &Body, read: Duration) -> Self {
        let bytes = body::announced(&arrival.headers, body);
        let timing = ReceiptTiming { read, verify: Duration::ZERO };
        Self { arrival: Arc::new(arrival), body: ReceivedBody::NotKept { bytes }, timing, _held: None }
    }

    pub(super) fn read(arrival: Arrival, body: Bytes, held: Held, timing: ReceiptTiming) -> Self {
        Self { arrival: Arc::new(arrival), body: ReceivedBody::Bytes(body), timing, _held: Some(held) }
    }

    /// The answer; the receipt follows it, unless too many wait already.
    pub(super) fn turn_away(self, api: &Api, refusal: Refusal) -> Response {
        api.metrics.door.refused(&refusal.code);
        tracing::debug!(
            target: "hookpost::receive",
            org = %self.arrival.source().org,
            source = api.public(self.arrival.source().id),
            code = %refusal.code,
            status = refusal.status.as_u16(),
            "a request was turned away"
        );
        let response = refusal.clone().into_response();
        if !refusal.leaves_receipt() {
            return response;
        }
        let Some(waiting) = place_to_wait(api, &self.arrival) else { return response };
        let later = api.clone();
        api.tasks.spawn(async move {
            let api = later;
            let hint = match (&refusal.by_scheme, &self.body) {
                (Some(rejection), ReceivedBody::Bytes(body)) => diagnosis::hint(&api, &self.arrival, body, rejection.clone()).await,
                _ => None,
            };
            let settled = NewReceiptOutcome::Settled(Verdict::Rejected(refusal.rejection(hint)));
            let receipt = self.arrival.receipt(self.body.clone(), refusal.status, self.timing, None, settled);
            write(&api, receipt).await;
            drop(waiting);
        });
        response
    }
}

/// Writes a receipt after its answer, unless too many wait already.
pub(super) fn write_later(api: &Api, arrival: &Arrival, receipt: NewReceipt) {
    let Some(waiting) = place_to_wait(api, arrival) else { return };
    let later = api.clone();
    api.tasks.spawn(async move {
        write(&later, receipt).await;
        drop(waiting);
    });
}

/// `None`, and counted: the source has had its share of this second, or the store does not keep up.
fn place_to_wait(api: &Api, arrival: &Arrival) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let allowed = arrival.doorway.usage.may_keep_rejected(api.now());
    let place = allowed.then(|| Arc::clone(&api.door.receipts_waiting).try_acquire_owned().ok()).flatten();
    if place.is_none() {
        api.metrics.door.receipts_not_kept.inc();
    }
    place
}

async fn write(api: &Api, receipt: NewReceipt) {
    if let Err(error) = api.store.receive(receipt, api.now()).await {
        api.metrics.door.receipts_not_kept.inc();
        tracing::warn!(target: "hookpost::receive", %error, "a receipt could not be kept");
    }
}

impl Arrival {
    pub(super) fn receipt(
        &self,
        body: ReceivedBody,
        status: StatusCode,
        timing: ReceiptTiming,
        event: Option<&Event>,
        outcome: NewReceiptOutcome,
    ) -> NewReceipt {
        let named = |name: Option<&String>| event::bounded(name.map(String::as_str)).map(str::to_owned);
        NewReceipt {
            source: self.source().id,
            received_at: self.received_at,
            request: ReceivedRequest {
                method: self.method.as_str().to_owned(),
                url: self.url_without_token(),
                headers: self.received_headers(),
                body,
                peer: self.peer,
            },
            status_code: status.as_u16(),
            timing,
            event_id: named(event.and_then(|event| event.id.as_ref())),
            event_type: named(event.and_then(|event| event.event_type.as_ref())),
            unverified: None,
            replay_of: self.replay_of,
            outcome,
        }
    }

    /// HTTP libraries write names in lower case; the order is the one in which they came.
    fn received_headers(&self) -> Vec<(String, Bytes)> {
        let headers = self.headers.iter().take(SOURCE_HEADERS_MAX);
        headers.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect()
    }
}
