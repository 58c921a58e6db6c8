//! How every store keeps a receipt: what there is to say of a request in one piece, and its body apart, unless that is the payload of a message.

use bytes::Bytes;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Verdict};
use hookpost_domain::{Receipt, ReceiptId, SourceId, Timestamp};

use crate::{NewReceipt, NewReceiptOutcome};

/// The body as it is kept with the receipt itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnBody<'a> {
    /// `None`: it is the payload of the message that was made, or not kept at all.
    pub body: Option<&'a Bytes>,
    /// How long it was, wherever it is.
    pub bytes: u64,
}

impl<'a> OwnBody<'a> {
    /// `payload`: of the message that was, or would have been, made of it.
    pub fn of(request: &'a ReceivedRequest, verdict: &Verdict, payload: Option<&'a Bytes>) -> Self {
        match (&request.body, verdict) {
            (ReceivedBody::Bytes(body), _) => Self { body: Some(body), bytes: body.len() as u64 },
            (ReceivedBody::NotKept { bytes }, _) => Self { body: None, bytes: *bytes },
            (ReceivedBody::InMessage, Verdict::Accepted { .. }) => Self { body: None, bytes: length(payload) },
            // No message has it.
            (ReceivedBody::InMessage, _) => Self { body: payload, bytes: length(payload) },
        }
    }
}

fn length(payload: Option<&Bytes>) -> u64 {
    payload.map_or(0, |payload| payload.len() as u64)
}

/// What there is to say of a request, whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub source: SourceId,
    pub received_at: Timestamp,
    pub request: ReceivedRequest,
    pub status_code: u16,
    pub timing: ReceiptTiming,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub replay_of: Option<ReceiptId>,
}

impl NewReceipt {
    pub fn split(self) -> (Arrival, NewReceiptOutcome) {
        let Self { source, received_at, request, status_code, timing, event_id, event_type, replay_of, outcome } = self;
        (Arrival { source, received_at, request, status_code, timing, event_id, event_type, replay_of }, outcome)
    }
}

impl Arrival {
    /// What of it is in memory for as long as it waits to be written, without the payload of its message.
    pub fn bytes(&self) -> usize {
        let body = match &self.request.body {
            ReceivedBody::Bytes(body) => body.len(),
            ReceivedBody::InMessage | ReceivedBody::NotKept { .. } => 0,
        };
        let headers = self.request.headers.iter().map(|(name, value)| name.len() + value.len());
        body + self.request.url.len() + headers.sum::<usize>()
    }

    /// As it is read back in a list: without its body.
    pub fn listed(self, id: ReceiptId, verdict: Verdict, body_bytes: u64) -> Receipt {
        let Self { source, received_at, request, status_code, timing, event_id, event_type, replay_of } = self;
        let request = ReceivedRequest { body: ReceivedBody::NotKept { bytes: body_bytes }, ..request };
        Receipt { id, source, received_at, request, verdict, status_code, timing, event_id, event_type, replay_of }
    }
}

/// Puts back what was kept apart: the body of its own, or the payload of its message.
pub fn with_body(mut receipt: Receipt, own: Option<Bytes>, payload: Option<Bytes>) -> Receipt {
    let payload = payload.filter(|_| matches!(receipt.verdict, Verdict::Accepted { .. }));
    if let Some(body) = own.or(payload) {
        receipt.request.body = ReceivedBody::Bytes(body);
    }
    receipt
}
