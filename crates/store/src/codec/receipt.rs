//! The bytes of receipts: everything but the body, which is kept apart or is the payload of a message.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedBody, ReceivedRequest, Rejection, Verdict, VerdictKind};
use hookpost_domain::{MessageId, Receipt, ReceiptId, RowId, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Unreadable, split_version, unreadable};
use crate::receipt::Arrival;

const RECEIPT_VERSION: u8 = 1;

/// Stands first, so that the rest need not be read for counting.
#[derive(Serialize, Deserialize)]
struct Counted {
    received_at: Timestamp,
    verdict: u8,
}

#[derive(Serialize, Deserialize)]
struct Facts<S, H, R> {
    /// Of an accepted one, or of a duplicate.
    message: Option<RowId>,
    rejection: Option<R>,
    method: S,
    url: S,
    headers: H,
    body_bytes: u64,
    peer: Option<IpAddr>,
    status_code: u16,
    read_us: u64,
    verify_us: u64,
    event_id: Option<S>,
    event_type: Option<S>,
    replay_of: Option<RowId>,
}

/// Of a quarantined one too, which has no code.
#[derive(Serialize, Deserialize)]
struct RejectionFacts<S> {
    code: S,
    detail: S,
    hint: Option<S>,
}

pub fn encode_receipt(arrival: &Arrival, verdict: &Verdict, body_bytes: u64, into: &mut Vec<u8>) {
    let request = &arrival.request;
    let rejection = match verdict {
        Verdict::Rejected(Rejection { code, detail, hint }) => Some(RejectionFacts { code: code.as_str(), detail, hint: hint.as_deref() }),
        Verdict::Quarantined { detail } => Some(RejectionFacts { code: "", detail, hint: None }),
        Verdict::Accepted { .. } | Verdict::Duplicate { .. } | Verdict::Handshake => None,
    };
    let facts = Facts {
        message: verdict.message().map(MessageId::row),
        rejection,
        method: request.method.as_str(),
        url: &request.url,
        headers: &request.headers,
        body_bytes,
        peer: request.peer,
        status_code: arrival.status_code,
        read_us: microseconds(arrival.timing.read),
        verify_us: microseconds(arrival.timing.verify),
        event_id: arrival.event_id.as_deref(),
        event_type: arrival.event_type.as_deref(),
        replay_of: arrival.replay_of.map(ReceiptId::row),
    };
    into.clear();
    into.push(RECEIPT_VERSION);
    super::extend(&(Counted { received_at: arrival.received_at, verdict: verdict_number(verdict.kind()) }, facts), into);
}

/// Without its body.
pub fn decode_receipt(id: ReceiptId, source: SourceId, bytes: &[u8]) -> Result<Receipt, Unreadable> {
    type Read = (Counted, Facts<String, Vec<(String, Bytes)>, RejectionFacts<String>>);
    let bytes = split_version("receipt", RECEIPT_VERSION, bytes)?;
    let (counted, facts): Read = postcard::from_bytes(bytes).map_err(|error| unreadable("receipt", error))?;
    let message = || facts.message.map(MessageId::from_row).ok_or_else(|| unreadable("receipt", "it names no message"));
    let verdict = match (verdict_of_number(counted.verdict)?, facts.rejection) {
        (VerdictKind::Accepted, _) => Verdict::Accepted { message: message()? },
        (VerdictKind::Duplicate, _) => Verdict::Duplicate { of: message()? },
        (VerdictKind::Handshake, _) => Verdict::Handshake,
        (VerdictKind::Quarantined, Some(RejectionFacts { detail, .. })) => Verdict::Quarantined { detail },
        (VerdictKind::Rejected, Some(RejectionFacts { code, detail, hint })) => Verdict::Rejected(Rejection { code, detail, hint }),
        (VerdictKind::Quarantined | VerdictKind::Rejected, None) => return Err(unreadable("receipt", "it does not say what was wrong")),
    };
    let body = ReceivedBody::NotKept { bytes: facts.body_bytes };
    Ok(Receipt {
        id,
        source,
        received_at: counted.received_at,
        request: ReceivedRequest { method: facts.method, url: facts.url, headers: facts.headers, body, peer: facts.peer },
        verdict,
        status_code: facts.status_code,
        timing: ReceiptTiming { read: Duration::from_micros(facts.read_us), verify: Duration::from_micros(facts.verify_us) },
        event_id: facts.event_id,
        event_type: facts.event_type,
        replay_of: facts.replay_of.map(ReceiptId::from_row),
    })
}

/// What a receipt counts for.
pub fn received_at_and_kind(bytes: &[u8]) -> Result<(Timestamp, VerdictKind), Unreadable> {
    let bytes = split_version("receipt", RECEIPT_VERSION, bytes)?;
    let (counted, _): (Counted, _) = postcard::take_from_bytes(bytes).map_err(|error| unreadable("receipt", error))?;
    Ok((counted.received_at, verdict_of_number(counted.verdict)?))
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

super::numbered! { pub verdict_number, pub verdict_of_number, VerdictKind, "verdict":
    0 Accepted, 1 Duplicate, 2 Handshake, 3 Quarantined, 4 Rejected,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_come_back() {
        let message = MessageId::from_row(RowId::from_raw(77));
        let rejection = Rejection { code: "bad_signature".into(), detail: "It does not fit.".into(), hint: Some("stale".into()) };
        let (id, source) = (ReceiptId::from_row(RowId::from_raw(5)), SourceId::from_row(RowId::from_raw(6)));
        for verdict in [
            Verdict::Accepted { message },
            Verdict::Duplicate { of: message },
            Verdict::Handshake,
            Verdict::Quarantined { detail: "`$.id` is no number".into() },
            Verdict::Rejected(rejection.clone()),
            Verdict::Rejected(Rejection { hint: None, ..rejection }),
        ] {
            let new = Arrival {
                source,
                received_at: Timestamp::from_unix_ms(1_767_323_045_678),
                request: ReceivedRequest {
                    method: "POST".into(),
                    url: "https://example.com/in/?a=b".into(),
                    headers: vec![("X-Raw".into(), Bytes::from_static(b"\xff")), ("x-raw".into(), Bytes::new())],
                    body: ReceivedBody::NotKept { bytes: 9 },
                    peer: Some([127, 0, 0, 1].into()),
                },
                status_code: 202,
                timing: ReceiptTiming { read: Duration::from_micros(7), verify: Duration::from_secs(1) },
                event_id: Some("evt_1".into()),
                event_type: None,
                replay_of: Some(id),
            };
            let mut row = Vec::new();
            encode_receipt(&new, &verdict, 9, &mut row);
            assert_eq!(received_at_and_kind(&row), Ok((new.received_at, verdict.kind())));
            assert_eq!(decode_receipt(id, source, &row), Ok(new.listed(id, verdict, 9)));
        }
    }
}
