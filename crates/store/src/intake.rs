//! The producer's side: acknowledged means durable.

use async_trait::async_trait;
use hookpost_domain::{ApplicationId, MessageContent, MessageId, Timestamp};
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
