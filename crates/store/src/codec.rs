//! The bytes of rows, the same in every store on disk. Every blob starts with a version; the shapes here are the stores' own, so that the
//! vocabulary of the domain can change without changing what old rows say.

mod message;
mod receipt;

use hookpost_domain::delivery::{ResponseBody, ResponseRecord, TransportErrorKind};
use hookpost_domain::{
    Attempt, AttemptId, AttemptOutcome, DeliveryState, EndpointId, MessageId, Progress, Reason, RowId, Timestamp, Trigger,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Numbers once given to a variant stay with it.
macro_rules! numbered {
    ($vis:vis $to:ident, $from_vis:vis $from:ident, $type:ident, $what:literal: $($number:literal $variant:ident,)*) => {
        $vis fn $to(value: $type) -> u8 {
            match value { $($type::$variant => $number,)* }
        }

        $from_vis fn $from(number: u8) -> Result<$type, Unreadable> {
            match number {
                $($number => Ok($type::$variant),)*
                other => Err(unreadable($what, format_args!("number {other} is not known"))),
            }
        }
    };
}

use numbered;

pub use message::{CREATED_AT_BYTES, decode_created_at, decode_message, encode_header};
pub use receipt::{decode_receipt, encode_receipt, received_at_and_kind, verdict_number, verdict_of_number};

const DELIVERY_VERSION: u8 = 1;
const ATTEMPT_VERSION: u8 = 1;

/// A row that this program cannot read: damaged, or from a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a stored {what} cannot be read: {why}")]
pub struct Unreadable {
    pub what: &'static str,
    pub why: String,
}

fn unreadable(what: &'static str, why: impl std::fmt::Display) -> Unreadable {
    Unreadable { what, why: why.to_string() }
}

fn split_version<'a>(what: &'static str, version: u8, bytes: &'a [u8]) -> Result<&'a [u8], Unreadable> {
    match bytes.split_first() {
        Some((&found, rest)) if found == version => Ok(rest),
        Some((found, _)) => Err(unreadable(what, format_args!("it has format {found}, this version of Hookpost knows {version}"))),
        None => Err(unreadable(what, "it is empty")),
    }
}

/// A delivery row: its state, and the last attempt as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub state: DeliveryState,
    pub progress: Progress,
    pub last: Option<(AttemptId, Vec<u8>)>,
}

/// `last`: the id of the last attempt and its encoded form.
pub fn encode_delivery(state: DeliveryState, progress: Progress, last: Option<(AttemptId, &[u8])>, into: &mut Vec<u8>) {
    into.clear();
    into.push(DELIVERY_VERSION);
    match state {
        DeliveryState::Pending => into.push(0),
        DeliveryState::Waiting { at } => {
            into.push(1);
            put_varint(into, at.unix_ms());
        }
        DeliveryState::Delivered => into.push(2),
        DeliveryState::Dead { reason } => into.extend([3, reason_number(reason)]),
        DeliveryState::Canceled { reason } => into.extend([4, reason_number(reason)]),
    }
    put_varint(into, progress.attempts.into());
    put_varint(into, progress.scheduled_attempts.into());
    if let Some((id, attempt)) = last {
        into.extend(id.row().raw().to_le_bytes());
        into.extend(attempt);
    }
}

pub fn decode_delivery(bytes: &[u8]) -> Result<DeliveryRow, Unreadable> {
    let (state, progress, last) = split_delivery(bytes)?;
    let last = match last {
        [] => None,
        rest => {
            let (id, attempt) = rest.split_first_chunk().ok_or_else(|| unreadable("delivery", "it ends early"))?;
            Some((AttemptId::from_row(RowId::from_raw(u64::from_le_bytes(*id))), attempt.to_vec()))
        }
    };
    Ok(DeliveryRow { state, progress, last })
}

/// Without the copy of the attempt.
pub fn decode_delivery_state(bytes: &[u8]) -> Result<(DeliveryState, Progress), Unreadable> {
    split_delivery(bytes).map(|(state, progress, _)| (state, progress))
}

fn split_delivery(bytes: &[u8]) -> Result<(DeliveryState, Progress, &[u8]), Unreadable> {
    let mut rest = split_version("delivery", DELIVERY_VERSION, bytes)?;
    let ends_early = || unreadable("delivery", "it ends early");
    let state = match take_byte(&mut rest).ok_or_else(ends_early)? {
        0 => DeliveryState::Pending,
        1 => DeliveryState::Waiting { at: Timestamp::from_unix_ms(take_varint(&mut rest).ok_or_else(ends_early)?) },
        2 => DeliveryState::Delivered,
        3 => DeliveryState::Dead { reason: reason_of_number(take_byte(&mut rest).ok_or_else(ends_early)?)? },
        4 => DeliveryState::Canceled { reason: reason_of_number(take_byte(&mut rest).ok_or_else(ends_early)?)? },
        other => return Err(unreadable("delivery", format_args!("state {other} is not known"))),
    };
    let mut count = || take_varint(&mut rest).and_then(|count| u32::try_from(count).ok()).ok_or_else(ends_early);
    let progress = Progress { attempts: count()?, scheduled_attempts: count()? };
    Ok((state, progress, rest))
}

/// A state as the columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateColumns {
    pub state: i16,
    pub reason: Option<i16>,
    pub due_at_ms: Option<i64>,
}

impl StateColumns {
    pub fn of(state: DeliveryState) -> Self {
        let columns = |state, reason: Option<Reason>, due: Option<Timestamp>| Self {
            state,
            reason: reason.map(|reason| reason_number(reason).into()),
            due_at_ms: due.map(|at| at.unix_ms() as i64),
        };
        match state {
            DeliveryState::Pending => columns(0, None, None),
            DeliveryState::Waiting { at } => columns(1, None, Some(at)),
            DeliveryState::Delivered => columns(2, None, None),
            DeliveryState::Dead { reason } => columns(3, Some(reason), None),
            DeliveryState::Canceled { reason } => columns(4, Some(reason), None),
        }
    }

    pub fn decode(self) -> Result<DeliveryState, Unreadable> {
        let reason = || {
            let number = self.reason.and_then(|number| u8::try_from(number).ok());
            number.map_or_else(|| Err(unreadable("delivery", "it has no reason")), reason_of_number)
        };
        match (self.state, self.due_at_ms) {
            (0, _) => Ok(DeliveryState::Pending),
            (1, Some(due_at_ms)) => Ok(DeliveryState::Waiting { at: time(due_at_ms) }),
            (1, None) => Err(unreadable("delivery", "it waits for no time")),
            (2, _) => Ok(DeliveryState::Delivered),
            (3, _) => Ok(DeliveryState::Dead { reason: reason()? }),
            (4, _) => Ok(DeliveryState::Canceled { reason: reason()? }),
            (other, _) => Err(unreadable("delivery", format_args!("state {other} is not known"))),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct AttemptFacts<S> {
    number: u32,
    trigger: u8,
    started_at: Timestamp,
    duration_ms: u32,
    url: S,
    signature: S,
}

#[derive(Serialize, Deserialize)]
enum OutcomeFacts<S, H> {
    Text { status_code: u16, headers: H, body: S },
    Base64 { status_code: u16, headers: H, body: S },
    Expunged { status_code: u16, headers: H },
    Error { kind: u8, message: S },
}

pub fn encode_attempt(attempt: &Attempt, into: &mut Vec<u8>) {
    into.clear();
    into.push(ATTEMPT_VERSION);
    let facts = AttemptFacts {
        number: attempt.number,
        trigger: trigger_number(attempt.trigger),
        started_at: attempt.started_at,
        duration_ms: attempt.duration_ms,
        url: attempt.url.as_str(),
        signature: attempt.signature.as_str(),
    };
    let outcome = match &attempt.outcome {
        AttemptOutcome::Response(ResponseRecord { status_code, headers, body }) => match body {
            ResponseBody::Text(body) => OutcomeFacts::Text { status_code: *status_code, headers, body: body.as_str() },
            ResponseBody::Base64(body) => OutcomeFacts::Base64 { status_code: *status_code, headers, body: body.as_str() },
            ResponseBody::Expunged => OutcomeFacts::Expunged { status_code: *status_code, headers },
        },
        AttemptOutcome::Error { kind, message } => OutcomeFacts::Error { kind: error_kind_number(*kind), message: message.as_str() },
    };
    extend(&(facts, outcome), into);
}

type OwnedOutcome = OutcomeFacts<String, Vec<(String, String)>>;

pub fn decode_attempt(bytes: &[u8]) -> Result<Attempt, Unreadable> {
    let bytes = split_version("attempt", ATTEMPT_VERSION, bytes)?;
    let (facts, outcome): (AttemptFacts<String>, OwnedOutcome) =
        postcard::from_bytes(bytes).map_err(|error| unreadable("attempt", error))?;
    let response = |status_code, headers, body| AttemptOutcome::Response(ResponseRecord { status_code, headers, body });
    let outcome = match outcome {
        OutcomeFacts::Text { status_code, headers, body } => response(status_code, headers, ResponseBody::Text(body)),
        OutcomeFacts::Base64 { status_code, headers, body } => response(status_code, headers, ResponseBody::Base64(body)),
        OutcomeFacts::Expunged { status_code, headers } => response(status_code, headers, ResponseBody::Expunged),
        OutcomeFacts::Error { kind, message } => AttemptOutcome::Error { kind: error_kind_of_number(kind)?, message },
    };
    Ok(Attempt {
        number: facts.number,
        trigger: trigger_of_number(facts.trigger)?,
        started_at: facts.started_at,
        duration_ms: facts.duration_ms,
        url: facts.url,
        signature: facts.signature,
        outcome,
    })
}

/// The same attempt without the body of the response.
pub fn expunge_attempt(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut attempt = decode_attempt(bytes)?;
    if let AttemptOutcome::Response(response) = &mut attempt.outcome {
        response.body = ResponseBody::Expunged;
    }
    let mut expunged = Vec::new();
    encode_attempt(&attempt, &mut expunged);
    Ok(expunged)
}

/// Postcard writes to memory, which does not fail.
fn extend(value: &impl Serialize, into: &mut Vec<u8>) {
    let taken = std::mem::take(into);
    *into = postcard::to_extend(value, taken).expect("the shapes of rows can be written to memory");
}

pub fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

pub fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// Ids and times as columns have them.
pub fn message_id(raw: i64) -> MessageId {
    MessageId::from_row(RowId::from_i64(raw))
}

pub fn endpoint_id(raw: i64) -> EndpointId {
    EndpointId::from_row(RowId::from_i64(raw))
}

pub fn time(unix_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(unix_ms as u64)
}

pub fn trigger_number(trigger: Trigger) -> u8 {
    match trigger {
        Trigger::Scheduled => 0,
        Trigger::Manual => 1,
    }
}

pub fn trigger_of_number(number: u8) -> Result<Trigger, Unreadable> {
    match number {
        0 => Ok(Trigger::Scheduled),
        1 => Ok(Trigger::Manual),
        other => Err(unreadable("trigger", format_args!("number {other} is not known"))),
    }
}

numbered! { reason_number, reason_of_number, Reason, "reason":
    0 EventTypeNotSubscribed, 1 ChannelNotSubscribed, 2 EndpointDisabled, 3 EndpointCreatedLater, 4 RetriesExhausted, 5 ReceiverRefused,
    6 EndpointDeleted, 7 PayloadExpunged, 8 CanceledByUser, 9 NotYetDue, 10 RetryScheduled, 11 Throttled, 12 CircuitOpen,
    13 WaitingForOrder, 14 Queued, 15 NotRouted,
}

numbered! { error_kind_number, error_kind_of_number, TransportErrorKind, "transport error":
    0 BlockedAddress, 1 Dns, 2 Connect, 3 Tls, 4 Timeout, 5 Protocol, 6 InvalidUrl,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use hookpost_domain::{ApplicationId, ReceiptId, SourceId};

    use super::*;

    fn attempt(outcome: AttemptOutcome) -> Attempt {
        Attempt {
            number: 3,
            trigger: Trigger::Manual,
            started_at: Timestamp::from_unix_ms(1_767_323_045_678),
            duration_ms: 17,
            url: "https://example.com/hook".to_owned(),
            signature: "v1,abc".to_owned(),
            outcome,
        }
    }

    #[test]
    fn attempts_and_deliveries_come_back() {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        let response = |body| AttemptOutcome::Response(ResponseRecord { status_code: 502, headers: headers.clone(), body });
        for outcome in [
            response(ResponseBody::Text("no".to_owned())),
            response(ResponseBody::Base64("bm8=".to_owned())),
            response(ResponseBody::Expunged),
            AttemptOutcome::Error { kind: TransportErrorKind::Timeout, message: "no answer within 15 s".to_owned() },
        ] {
            let (mut bytes, mut row) = (Vec::new(), Vec::new());
            let attempt = attempt(outcome);
            encode_attempt(&attempt, &mut bytes);
            assert_eq!(decode_attempt(&bytes).as_ref(), Ok(&attempt));

            let state = DeliveryState::Dead { reason: Reason::ReceiverRefused };
            let progress = Progress { attempts: 300, scheduled_attempts: 2 };
            let id = AttemptId::from_row(RowId::from_raw(77));
            encode_delivery(state, progress, Some((id, &bytes)), &mut row);
            assert_eq!(decode_delivery(&row), Ok(DeliveryRow { state, progress, last: Some((id, bytes)) }));
        }
    }

    #[test]
    fn states_come_back_from_columns() {
        let reason = Reason::RetriesExhausted;
        for state in [
            DeliveryState::Pending,
            DeliveryState::Waiting { at: Timestamp::from_unix_ms(1_767_323_045_678) },
            DeliveryState::Delivered,
            DeliveryState::Dead { reason },
            DeliveryState::Canceled { reason },
        ] {
            assert_eq!(StateColumns::of(state).decode(), Ok(state));
        }
        let unknown = StateColumns { state: 5, reason: None, due_at_ms: None };
        assert_eq!(unknown.decode().unwrap_err().to_string(), "a stored delivery cannot be read: state 5 is not known");
        assert!(StateColumns { state: 1, ..unknown }.decode().is_err());
        assert!(StateColumns { state: 3, ..unknown }.decode().is_err());
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = decode_attempt(&[9, 1, 2]).unwrap_err();
        assert_eq!(error.to_string(), "a stored attempt cannot be read: it has format 9, this version of Hookpost knows 1");
    }

    proptest! {
        #[test]
        fn varints_come_back(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(take_varint(&mut bytes.as_slice()), Some(value));
        }

        #[test]
        fn damaged_rows_are_errors(bytes: Vec<u8>) {
            let _ = decode_attempt(&bytes);
            let _ = decode_delivery(&bytes);
            let _ = decode_receipt(ReceiptId::from_row(RowId::MIN), SourceId::from_row(RowId::MIN), &bytes);
            let _ = decode_message(MessageId::from_row(RowId::MIN), ApplicationId::from_row(RowId::MIN), &bytes, None);
        }
    }
}
