//! Takes up what was kept of a request that made no message, with the settings of today and the time of its arrival: a signature that was in time then
//! is in time now. Rates and numbers of requests do not count. Each replay leaves a receipt of its own.

use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::limits::RECEIPTS_REPLAYED_AT_ONCE_MAX;
use hookpost_domain::receipt::{Origin, Receipt, ReceiptTiming, ReceivedBody, Verdict};
use hookpost_domain::source::{Source, SourceToken};
use hookpost_domain::{ReceiptId, Timestamp};
use hookpost_engine::pull::NotReplayed;
use hookpost_store::history::ReceiptFilter;
use hookpost_store::intake::NewReceiptOutcome;
use hookpost_store::{Cursor, Order, PageRequest};
use http::Method;

use super::arrival::{Arrival, TOKEN_PLACEHOLDER};
use super::prepared::{Doorway, PreparedSource};
use super::refusal::Refusal;
use super::{Outcome, diagnosis, take_in};
use crate::problem::Problem;
use crate::state::Api;

/// What a replay made of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// The receipt of the replay; none where it turned out to be a handshake, whose time is over.
    pub(crate) receipt: Option<ReceiptId>,
    pub(crate) verdict: Verdict,
}

/// What a step of a replay of many did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReplayedMany {
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    /// Quarantined or rejected again.
    pub(crate) refused: u64,
    /// Nothing is left of them that could be replayed.
    pub(crate) skipped: u64,
    /// Where the next step goes on; `None`: this was the last.
    pub(crate) next: Option<ReceiptId>,
}

/// Replays one receipt.
pub(crate) async fn replay(api: &Api, source: &Arc<Source>, receipt: ReceiptId) -> Result<Replayed, Problem> {
    let receipt = api.store.receipt(source.id, receipt).await?.ok_or(Problem::NotFound("Receipt not found"))?;
    if !receipt.verdict.left_something() {
        return Err(Problem::conflict("Nothing is left to replay: only rejected and quarantined requests can be."));
    }
    if receipt.is_failed_look() {
        return Err(Problem::conflict(
            "Nobody called: this receipt says that asking the provider failed, and it is asked again by itself.",
        ));
    }
    let body = kept_body(&receipt).ok_or_else(|| Problem::conflict("The body of this request was not kept, so it cannot be replayed."))?;
    if receipt.request.origin() != Origin::Door {
        return replay_pulled(api, source, &receipt, body).await;
    }
    let doorway = api.door.doorways.of(source);
    let prepared = doorway.prepared(source).map_err(|wrong| Problem::conflict(format!("The source cannot be used: {wrong}.")))?;
    if source.disabled || prepared.verifier.is_none() {
        return Err(Problem::conflict("The source is disabled, or takes no requests."));
    }
    match take_in_by_any_token(api, &prepared, &doorway, &receipt, &body).await {
        Ok(outcome) => Ok(replayed(outcome)),
        Err((refusal, _)) if !refusal.leaves_receipt() => Err(Problem::Unavailable),
        Err((refusal, arrival)) => refused(api, *arrival, body, refusal).await,
    }
}

/// One that nobody sent: it was fetched, or its time had come.
async fn replay_pulled(api: &Api, source: &Arc<Source>, receipt: &Receipt, body: Bytes) -> Result<Replayed, Problem> {
    if source.disabled {
        return Err(Problem::conflict("The source is disabled."));
    }
    match api.engine.replay_pulled(source, receipt, body).await {
        Ok((receipt, verdict)) => Ok(Replayed { receipt: Some(receipt), verdict }),
        Err(NotReplayed::Unavailable(problem)) => Err(problem.into()),
        Err(NotReplayed::Impossible(detail)) => Err(Problem::conflict(detail)),
    }
}

/// Replays the next receipts of those that match, the oldest first; called again and again with where it ended. Receipts of replays are left out: what
/// they were made of is there itself.
pub(crate) async fn replay_many(
    api: &Api,
    source: &Arc<Source>,
    filter: ReceiptFilter,
    after: Option<ReceiptId>,
) -> Result<ReplayedMany, Problem> {
    let page = PageRequest { limit: RECEIPTS_REPLAYED_AT_ONCE_MAX, order: Order::Ascending, cursor: after.map(Cursor::After) };
    let found = api.store.receipts(source.id, filter, page).await?;
    let last = found.items.last().map(|receipt| receipt.id);
    let mut many = ReplayedMany { next: if found.done { None } else { found.next.or(last) }, ..ReplayedMany::default() };
    for receipt in found.items.iter().filter(|receipt| receipt.replay_of.is_none() && receipt.verdict.left_something()) {
        match replay(api, source, receipt.id).await {
            Ok(Replayed { verdict: Verdict::Accepted { .. }, .. }) => many.accepted += 1,
            Ok(Replayed { verdict: Verdict::Duplicate { .. }, .. }) => many.duplicate += 1,
            Ok(_) => many.refused += 1,
            Err(Problem::Conflict { .. } | Problem::NotFound(_)) => many.skipped += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok(many)
}

fn kept_body(receipt: &Receipt) -> Option<Bytes> {
    match &receipt.request.body {
        ReceivedBody::Bytes(body) => Some(body.clone()),
        ReceivedBody::NotKept { bytes: 0 } => Some(Bytes::new()),
        ReceivedBody::InMessage | ReceivedBody::NotKept { .. } => None,
    }
}

/// The token is a part of the URL, some providers sign the URL, and it may have been rotated since.
async fn take_in_by_any_token(
    api: &Api,
    prepared: &Arc<PreparedSource>,
    doorway: &Arc<Doorway>,
    receipt: &Receipt,
    body: &Bytes,
) -> Result<Outcome, (Refusal, Box<Arrival>)> {
    let tokens = &prepared.source.tokens;
    let first = arrival(api, prepared, doorway, receipt, &tokens.current);
    let refusal = match take_in(api, &first, body, ReceiptTiming::default()).await {
        Err(refusal) if refusal.by_scheme.is_some() => refusal,
        taken => return taken.map_err(|refusal| (refusal, Box::new(first))),
    };
    for (old, _) in &tokens.old {
        let other = arrival(api, prepared, doorway, receipt, old);
        if let Ok(outcome) = take_in(api, &other, body, ReceiptTiming::default()).await {
            return Ok(outcome);
        }
    }
    Err((refusal, Box::new(first)))
}

fn arrival(api: &Api, prepared: &Arc<PreparedSource>, doorway: &Arc<Doorway>, receipt: &Receipt, token: &SourceToken) -> Arrival {
    let request = &receipt.request;
    Arrival {
        prepared: Arc::clone(prepared),
        doorway: Arc::clone(doorway),
        method: Method::from_bytes(request.method.as_bytes()).unwrap_or(Method::POST),
        url: request.url.replacen(TOKEN_PLACEHOLDER, &token.0, 1),
        token: token.clone(),
        headers: request.header_map(),
        peer: request.peer,
        received_at: api.now(),
        verified_at: first_received_at(receipt),
        // What is replayed of a replay is what that was made of.
        replay_of: Some(receipt.replay_of.unwrap_or(receipt.id)),
    }
}

/// Of the request itself, however often it was replayed since; a receipt is written within moments.
fn first_received_at(receipt: &Receipt) -> Timestamp {
    receipt.replay_of.map_or(receipt.received_at, ReceiptId::created_at)
}

fn replayed(outcome: Outcome) -> Replayed {
    match outcome {
        Outcome::Message { receipt, message, repeated: false, .. } => {
            Replayed { receipt: Some(receipt), verdict: Verdict::Accepted { message } }
        }
        Outcome::Message { receipt, message, repeated: true, .. } => {
            Replayed { receipt: Some(receipt), verdict: Verdict::Duplicate { of: message } }
        }
        Outcome::Quarantined { receipt, detail, .. } => Replayed { receipt: Some(receipt), verdict: Verdict::Quarantined { detail } },
        Outcome::Handshake(_) => Replayed { receipt: None, verdict: Verdict::Handshake },
    }
}

async fn refused(api: &Api, arrival: Arrival, body: Bytes, refusal: Refusal) -> Result<Replayed, Problem> {
    let arrival = Arc::new(arrival);
    let hint = match refusal.by_scheme.clone() {
        Some(rejection) => diagnosis::hint(api, &arrival, &body, rejection).await,
        None => None,
    };
    let verdict = Verdict::Rejected(refusal.rejection(hint));
    let settled = NewReceiptOutcome::Settled(verdict.clone());
    let receipt = arrival.receipt(ReceivedBody::Bytes(body), refusal.status, ReceiptTiming::default(), None, settled);
    let received = api.store.receive(receipt, api.now()).await?;
    Ok(Replayed { receipt: Some(received.receipt), verdict })
}
