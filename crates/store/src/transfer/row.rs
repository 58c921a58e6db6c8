//! The rows of a move, and the one form in which both stores must have them.

use hookpost_domain::{
    ApiKey, Application, ApplicationId, AttemptId, BackgroundTask, DeliveryState, EndpointId, EventType, Message, MessageId, Progress,
    ReceiptId, RowId, SourceId, Timestamp,
};

use super::TransferError;
use super::tally::{Fields, Kind, Tally};
use crate::codec::{StateColumns, Unreadable, decode_message};
use crate::documents::Shelf;
use crate::rows::from_json;
use crate::usage::{Usage, UsageCounts};
use crate::{IdempotencyKey, MadeOnce, ProgressKey};

/// One row, or a message with all it has. What stores keep as JSON or in the form of the codec is moved byte by byte; so is what is sealed, because both
/// stores have the same master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    Application {
        data: Vec<u8>,
    },
    Endpoint {
        id: EndpointId,
        data: Vec<u8>,
        sealed: Vec<u8>,
    },
    EventType {
        data: Vec<u8>,
    },
    ApiKey {
        data: Vec<u8>,
    },
    Revocation {
        target: Vec<u8>,
        at: Timestamp,
        forget_at: Timestamp,
    },
    Health {
        endpoint: EndpointId,
        data: Vec<u8>,
    },
    Task {
        data: Vec<u8>,
    },
    Message(MessageRow),
    IdempotencyKey {
        key: IdempotencyKey,
        message: MessageId,
        created_at: Timestamp,
    },
    KeptAnswer {
        key: IdempotencyKey,
        kept_at: Timestamp,
        status: u16,
        body: Vec<u8>,
    },
    Source {
        id: SourceId,
        data: Vec<u8>,
        sealed: Vec<u8>,
    },
    SourceState {
        source: SourceId,
        data: Vec<u8>,
    },
    Receipt(ReceiptRow),
    EventKey {
        key: IdempotencyKey,
        made: MadeOnce,
    },
    Document(MovedDocument),
    Progress {
        key: ProgressKey,
        data: Vec<u8>,
    },
    /// The log as stores keep it: see [`crate::LogName::key`].
    LogEntry {
        log: String,
        id: RowId,
        data: Vec<u8>,
    },
    Usage {
        application: ApplicationId,
        usage: Usage,
    },
}

/// See [`crate::rows::seal_document`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedDocument {
    pub shelf: Shelf,
    pub id: RowId,
    pub name: Option<String>,
    pub sealed: Vec<u8>,
    pub forget_at: Option<Timestamp>,
}

/// Without a body where that is the payload of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    pub id: ReceiptId,
    pub source: SourceId,
    pub data: Vec<u8>,
    pub body: Option<Vec<u8>>,
}

/// A message with its deliveries, the pending ones too, in the order of the endpoints, and its attempts in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    pub id: MessageId,
    pub application: ApplicationId,
    pub header: Vec<u8>,
    pub payload: Option<Vec<u8>>,
    pub deliveries: Vec<MovedDelivery>,
    pub attempts: Vec<MovedAttempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedDelivery {
    pub endpoint: EndpointId,
    pub state: DeliveryState,
    pub progress: Progress,
    /// An attempt by hand is asked for.
    pub manual_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAttempt {
    pub id: AttemptId,
    pub endpoint: EndpointId,
    pub data: Vec<u8>,
}

impl MessageRow {
    /// Without the payload.
    pub fn message(&self) -> Result<Message, Unreadable> {
        decode_message(self.id, self.application, &self.header, None)
    }
}

impl Row {
    /// The highest row id in it that a store has handed out.
    pub(super) fn highest_row_id(&self) -> Result<u64, TransferError> {
        let row = match self {
            Self::Application { data } => from_json::<Application>(data)?.id.row(),
            Self::Endpoint { id, .. } => id.row(),
            Self::EventType { data } => from_json::<EventType>(data)?.id.row(),
            Self::ApiKey { data } => from_json::<ApiKey>(data)?.id.row(),
            Self::Task { data } => from_json::<BackgroundTask>(data)?.id.row(),
            Self::Message(message) => message.attempts.iter().map(|attempt| attempt.id.row()).fold(message.id.row(), Ord::max),
            Self::IdempotencyKey { message, .. } | Self::EventKey { made: MadeOnce { message, .. }, .. } => message.row(),
            Self::Source { id, .. } => id.row(),
            Self::Receipt(receipt) => receipt.id.row(),
            Self::LogEntry { id, .. } => *id,
            // Of what there is one of, the id was not handed out.
            Self::Document(document) if document.id != RowId::MAX => document.id,
            Self::Document(_)
            | Self::Revocation { .. }
            | Self::Health { .. }
            | Self::KeptAnswer { .. }
            | Self::SourceState { .. }
            | Self::Progress { .. }
            | Self::Usage { .. } => return Ok(0),
        };
        Ok(row.raw())
    }

    pub(super) fn count_in(&self, tally: &mut Tally) {
        match self {
            Self::Application { data } => tally.add(Kind::Applications, Fields::new().bytes(data)),
            Self::Endpoint { id, data, sealed } => {
                tally.add(Kind::Endpoints, Fields::new().number(id.row().raw()).bytes(data).bytes(sealed));
            }
            Self::EventType { data } => tally.add(Kind::EventTypes, Fields::new().bytes(data)),
            Self::ApiKey { data } => tally.add(Kind::ApiKeys, Fields::new().bytes(data)),
            Self::Revocation { target, at, forget_at } => {
                tally.add(Kind::Revocations, Fields::new().bytes(target).number(at.unix_ms()).number(forget_at.unix_ms()));
            }
            Self::Health { endpoint, data } => tally.add(Kind::Health, Fields::new().number(endpoint.row().raw()).bytes(data)),
            Self::Task { data } => tally.add(Kind::Tasks, Fields::new().bytes(data)),
            Self::Message(message) => count_message(message, tally),
            Self::IdempotencyKey { key, message, created_at } => {
                let fields = Fields::new().bytes(&key.0).number(message.row().raw()).number(created_at.unix_ms());
                tally.add(Kind::IdempotencyKeys, fields);
            }
            Self::KeptAnswer { key, kept_at, status, body } => {
                let fields = Fields::new().bytes(&key.0).number(kept_at.unix_ms()).number((*status).into()).bytes(body);
                tally.add(Kind::KeptAnswers, fields);
            }
            Self::Source { id, data, sealed } => tally.add(Kind::Sources, Fields::new().number(id.row().raw()).bytes(data).bytes(sealed)),
            Self::SourceState { source, data } => tally.add(Kind::SourceStates, Fields::new().number(source.row().raw()).bytes(data)),
            Self::Receipt(ReceiptRow { id, source, data, body }) => {
                let fields = Fields::new().number(id.row().raw()).number(source.row().raw()).bytes(data);
                tally.add(Kind::Receipts, fields.optional_bytes(body.as_deref()));
            }
            Self::EventKey { key, made } => {
                let fields = Fields::new().bytes(&key.0).number(made.message.row().raw());
                tally.add(Kind::EventKeys, fields.number(made.created_at.unix_ms()).number(made.window_s.into()));
            }
            Self::Document(document) => count_document(document, tally),
            Self::Progress { key, data } => {
                tally.add(Kind::Progress, Fields::new().number(key.of.raw()).bytes(key.name.as_bytes()).bytes(data));
            }
            Self::LogEntry { log, id, data } => {
                tally.add(Kind::LogEntries, Fields::new().bytes(log.as_bytes()).number(id.raw()).bytes(data));
            }
            Self::Usage { application, usage } => {
                let Usage { at, event_type, counts } = usage;
                let fields = Fields::new().number(application.row().raw()).number(at.unix_ms()).bytes(event_type.as_str().as_bytes());
                let UsageCounts { messages, deliveries, success, failure, canceled } = *counts;
                let fields = [messages, deliveries, success, failure, canceled].into_iter().fold(fields, Fields::number);
                tally.add(Kind::Usage, fields);
            }
        }
    }
}

fn count_document(document: &MovedDocument, tally: &mut Tally) {
    let MovedDocument { shelf: Shelf { kind, org, owner }, id, name, sealed, forget_at } = document;
    let fields = Fields::new().number(*kind as u64).bytes(org.as_str().as_bytes()).number(owner.raw()).number(id.raw());
    let fields = fields.optional_bytes(name.as_deref().map(str::as_bytes)).bytes(sealed);
    tally.add(Kind::Documents, fields.optional(forget_at.map(Timestamp::unix_ms)));
}

fn count_message(row: &MessageRow, tally: &mut Tally) {
    let id = row.id.row().raw();
    let payload = row.payload.as_deref();
    let fields = Fields::new().number(id).number(row.application.row().raw()).bytes(&row.header);
    tally.add(Kind::Messages, fields.optional_bytes(payload));
    for delivery in &row.deliveries {
        let StateColumns { state, reason, due_at_ms } = StateColumns::of(delivery.state);
        let fields = Fields::new()
            .number(id)
            .number(delivery.endpoint.row().raw())
            .number(state as u64)
            .optional(reason.map(|reason| reason as u64))
            .optional(due_at_ms.map(|at| at as u64))
            .number(delivery.progress.attempts.into())
            .number(delivery.progress.scheduled_attempts.into())
            .optional(delivery.manual_at.map(Timestamp::unix_ms));
        tally.add(Kind::Deliveries, fields);
    }
    for attempt in &row.attempts {
        let fields = Fields::new().number(id).number(attempt.endpoint.row().raw()).number(attempt.id.row().raw()).bytes(&attempt.data);
        tally.add(Kind::Attempts, fields);
    }
}
