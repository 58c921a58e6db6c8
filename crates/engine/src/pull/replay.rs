//! Lets in again what made no message when it was fetched, or when its time came: after the schema or the rules were mended. With the rules of today, and a
//! receipt of its own; the one that it is made of stays as it is.

use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::receipt::{Origin, Receipt, Verdict};
use hookpost_domain::{ReceiptId, Source, limits};
use hookpost_store::intake::{NewReceiptOutcome, Once};
use hookpost_store::{IdempotencyKey, Unavailable};
use ring::digest::{SHA256, digest};

use super::take_in::{Intaker, Pulled, refused};
use super::{Stop, cron, poll};
use crate::engine::Engine;

/// Why nothing was let in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReplayed {
    Unavailable(Unavailable),
    /// A sentence for whoever asked.
    Impossible(String),
}

impl From<Stop> for NotReplayed {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Unavailable(problem) => Self::Unavailable(problem),
            Stop::Failure(failure) => Self::Impossible(failure.detail),
            Stop::Elsewhere | Stop::Closing => Self::Unavailable(Unavailable("the server is closing".to_owned())),
        }
    }
}

/// What tells a replay of this receipt from a second one, where the event itself has nothing to be told by.
pub fn once_of_replay(receipt: ReceiptId) -> Once {
    let hash = digest(&SHA256, format!("hookpost replay {}", receipt.row().raw()).as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.as_ref()[..16]);
    Once { key: IdempotencyKey(key), window: limits::DEDUPLICATION_WINDOW_MAX }
}

impl Engine {
    /// Of a receipt that no door wrote. Answers with the receipt of the replay, and what came of it.
    pub async fn replay_pulled(&self, source: &Arc<Source>, receipt: &Receipt, body: Bytes) -> Result<(ReceiptId, Verdict), NotReplayed> {
        // What is replayed of a replay is what that was made of.
        let first = receipt.replay_of.unwrap_or(receipt.id);
        let pulled = pulled_of(receipt, first, body);
        let intaker = match pulled.origin {
            Origin::Door | Origin::BackFill => Intaker::by_rules(self, Arc::clone(source)).await?,
            Origin::Cron | Origin::Poll => Intaker::by_key(self, Arc::clone(source)).await?,
        };
        let now = self.clock.now();
        let mut new = intaker.receipt(self, pulled, now).await.map_err(Stop::Unavailable)?;
        let settled = match &mut new.outcome {
            NewReceiptOutcome::Settled(verdict) => Some(verdict.clone()),
            NewReceiptOutcome::Message { once, .. } => {
                once.get_or_insert_with(|| once_of_replay(first));
                None
            }
        };
        let received = self.store.receive(new, now).await.map_err(refused)?;
        self.arrived(source.application);
        let verdict = match (settled, received.message) {
            (Some(verdict), _) => verdict,
            (None, Some(message)) if message.repeated => Verdict::Duplicate { of: message.id },
            (None, Some(message)) => Verdict::Accepted { message: message.id },
            (None, None) => return Err(NotReplayed::Impossible("The application of the source is gone.".to_owned())),
        };
        Ok((received.receipt, verdict))
    }
}

/// As it was when it came.
fn pulled_of(receipt: &Receipt, first: ReceiptId, body: Bytes) -> Pulled {
    let request = &receipt.request;
    let id = receipt.event_id.as_deref();
    let origin = request.origin();
    let key = match origin {
        Origin::Cron => id.map(cron::key_of),
        Origin::Poll => Some(poll::key_of(id, &body)),
        Origin::Door | Origin::BackFill => id.map(str::to_owned),
    };
    Pulled {
        origin,
        url: request.url.clone(),
        status_code: receipt.status_code,
        headers: request.header_map(),
        body,
        key,
        event_id: receipt.event_id.clone(),
        event_type: receipt.event_type.clone(),
        replay_of: Some(first),
    }
}
