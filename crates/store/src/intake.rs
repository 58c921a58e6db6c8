//! The producer's side: acknowledged means durable.

use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedRequest, Verdict};
use hookpost_domain::{ApplicationId, MessageContent, MessageId, ReceiptId, SourceId, Timestamp};
use thiserror::Error;

use crate::Unavailable;

#[async_trait]
pub trait Intake: Send + Sync + std::fmt::Debug {
    /// Puts the message, its targets and its idempotency key on disk in one transaction, and returns after the fsync.
    ///
    /// The deliveries that become ready by it are handed to the engine, leased, through the [`crate::queue::ReadySender`] that the store
    /// was opened with: in groups, one per commit, whether or not the caller still waits. Deliveries to an endpoint whose backlog is on
    /// disk, or whose message has a `deliver_at` in the future, are not handed over: they are claimed when their time comes.
    ///
    /// Equal idempotency keys within [`hookpost_domain::limits::IDEMPOTENCY_WINDOW`] make one message, also when they come at the same moment and after a
    /// restart; the body is not compared, and nothing else of the request is looked at.
    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError>;

    /// Puts the receipt of a request at a source on disk, with the message that is made of it, in one transaction, and returns after the fsync.
    ///
    /// Everything that is said of [`Self::accept`] holds for the message. If its [`Once`] is known, also when two come at the same moment, no message
    /// is made: the receipt says [`Verdict::Duplicate`] of the one that was made, and keeps its own body.
    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError>;

    /// The answer that was kept for a `POST` other than creating a message.
    async fn kept_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;

    /// Keeps an answer for the idempotency window. The first one kept under a key stays.
    async fn keep_answer(&self, key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub application: ApplicationId,
    pub content: MessageContent,
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A request at a source as it is to be kept; its id is given by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReceipt {
    pub source: SourceId,
    pub received_at: Timestamp,
    pub request: ReceivedRequest,
    /// What is answered if all goes well.
    pub status_code: u16,
    pub timing: ReceiptTiming,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub replay_of: Option<ReceiptId>,
    pub outcome: NewReceiptOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewReceiptOutcome {
    /// It becomes a message, unless `once` is known; the payload of the message is the body of the request, which says
    /// [`ReceivedBody::InMessage`](hookpost_domain::receipt::ReceivedBody).
    Message { message: NewMessage, once: Option<Once> },
    /// No message is made of it: a handshake, a quarantined or rejected request.
    Settled(Verdict),
}

/// What a provider may send again and again within the window to make one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Over source and event id, or whatever the source tells its events by.
    pub key: IdempotencyKey,
    /// At most [`hookpost_domain::limits::DEDUPLICATION_WINDOW_MAX`].
    pub window: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub receipt: ReceiptId,
    /// `repeated`: the receipt is a duplicate of this message.
    pub message: Option<Accepted>,
}

/// 128 bits of a hash over tenant, credentials, path and the client's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub id: MessageId,
    pub created_at: Timestamp,
    /// The idempotency key was known: this is the message that it made the first time.
    pub repeated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The application has a message with this `eventId`.
    #[error("a message with this eventId exists")]
    DuplicateEventId,
    #[error("the application does not exist")]
    ApplicationNotFound,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    pub body: Vec<u8>,
}
