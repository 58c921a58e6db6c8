//! The public door: `/in/{token}`, where providers deliver. [`receive`] reads as the order of work.
//!
//! Nothing is answered with yes before it is on disk, nothing that was refused is lost without a trace (a receipt, or at least a count), and no
//! request waits for more than it brings itself: what takes time happens after the answer. Who may knock is said by the token and by what the
//! provider signs, never by our own keys and tokens.

mod answer;
mod arrival;
mod body;
mod diagnosis;
mod event;
mod handshake;
mod limits;
mod metrics;
mod peer;
mod prepared;
mod presets;
mod receipt;
mod refusal;
pub(crate) mod replay;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookpost_domain::limits::{DIAGNOSES_AT_ONCE_MAX, RECEIPTS_WAITING_MAX, SOURCE_ANSWER_DEADLINE};
use hookpost_domain::receipt::{ReceiptTiming, VerdictKind};
use hookpost_domain::{MessageId, ReceiptId};
use hookpost_engine::schema::Misfit;
use hookpost_providers::{Answer, Event};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) use metrics::DoorMetrics;
pub use peer::PeerAddress;
pub(crate) use prepared::{PreparedSource, provider_of};
pub use presets::AddressPresets;

use self::arrival::Arrival;
use self::limits::{Held, Place};
use self::prepared::Doorways;
use self::refusal::Refusal;
use crate::state::Api;

/// Everything below it is a source's.
pub(crate) const PATH: &str = "/in/";

/// What the door remembers between requests.
#[derive(Debug)]
pub(crate) struct Door {
    doorways: Doorways,
    /// Receipts that are written after their answer.
    receipts_waiting: Arc<Semaphore>,
    diagnosing: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        Self {
            doorways: Doorways::new(body_bytes_max),
            receipts_waiting: Arc::new(Semaphore::new(RECEIPTS_WAITING_MAX)),
            diagnosing: Arc::new(Semaphore::new(DIAGNOSES_AT_ONCE_MAX)),
        }
    }
}

/// What became of a request that was taken.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is a message, on disk; `repeated`: it was one before.
    Message {
        receipt: ReceiptId,
        message: MessageId,
        repeated: bool,
        event: Event,
    },
    /// It is a receipt, on disk, because it does not fit its schema.
    Quarantined {
        receipt: ReceiptId,
        detail: String,
        event: Event,
    },
    Handshake(Answer),
}

impl Outcome {
    fn verdict(&self) -> VerdictKind {
        match self {
            Self::Message { repeated: false, .. } => VerdictKind::Accepted,
            Self::Message { repeated: true, .. } => VerdictKind::Duplicate,
            Self::Quarantined { .. } => VerdictKind::Quarantined,
            Self::Handshake(_) => VerdictKind::Handshake,
        }
    }
}

/// Answers a request at a source.
pub(crate) async fn receive(api: &Api, request: Request) -> Response {
    let started = Instant::now();
    let (parts, mut body) = request.into_parts();
    let arrival = match Arrival::find(api, parts, api.now()).await {
        Ok(arrival) => arrival,
        Err(refusal) => {
            body::throw_away(api, body);
            return refusal.into_response();
        }
    };
    let mut held = arrival.hold_bytes(api);
    let (bytes, _place) = match admit(api, &arrival, &mut body, &mut held).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            let kept = receipt::Rejected::unread(arrival, &body, started.elapsed());
            if refusal.reads_on() {
                body::throw_away(api, body);
            }
            return kept.turn_away(api, refusal);
        }
    };
    let timing = ReceiptTiming { read: started.elapsed(), verify: std::time::Duration::ZERO };
    match tokio::time::timeout(SOURCE_ANSWER_DEADLINE, take_in(api, &arrival, &bytes, timing))
        .await
        .unwrap_or_else(|_| Err(Refusal::too_slow()))
    {
        Ok(outcome) => {
            api.metrics.door.taken(outcome.verdict(), started);
            answer::respond(api, &arrival, &bytes, &outcome)
        }
        Err(refusal) => receipt::Rejected::read(arrival, bytes, held, timing).turn_away(api, refusal),
    }
}

/// Size, rate, requests at a time: what can be said before the body is read. Then its bytes.
async fn admit(api: &Api, arrival: &Arrival, body: &mut Body, held: &mut Held) -> Result<(Bytes, Place), Refusal> {
    let bytes_max = arrival.prepared.body_bytes_max(api.settings.request_body_bytes_max);
    arrival.check_enabled()?;
    body::check_headers(&arrival.headers)?;
    body::check_announced(&arrival.headers, body, bytes_max)?;
    let place = arrival.doorway.usage.enter(&arrival.prepared, arrival.received_at)?;
    let bytes = body::read(body, bytes_max, held).await?;
    Ok((bytes, place))
}

/// Address, handshake, signature and its time, parts of the body, schema; then what is new is made durable. Replays come in here too.
async fn take_in(api: &Api, arrival: &Arrival, body: &Bytes, timing: ReceiptTiming) -> Result<Outcome, Refusal> {
    let started = Instant::now();
    arrival.check_address(&api.settings.address_presets)?;
    let proof = match verify::verify(api, arrival, body)? {
        verify::Believed::Handshake(handshake) => return handshake::answer(api, arrival, body, timing, handshake).await,
        verify::Believed::Event(proof) => proof,
    };
    let (mapped, misfit) = {
        let incoming = arrival.incoming(api, body);
        let mapped = event::map(api, arrival, &incoming, body, &proof.event)?;
        let (source, schemas) = (arrival.source(), &arrival.prepared.schemas);
        let misfit = schemas.check(&*api.store, &source.org, source.rules.schema, &incoming, &mapped.content.event_type).await?;
        (mapped, misfit)
    };
    let timing = ReceiptTiming { verify: started.elapsed(), ..timing };
    match misfit {
        Some(Misfit::Rejected(detail)) => Err(Refusal::schema_mismatch(detail)),
        Some(Misfit::Quarantined(detail)) => receipt::quarantine(api, arrival, body, timing, proof, detail).await,
        None => receipt::make_message(api, arrival, mapped, timing, proof).await,
    }
}
