//! The producer's side: acknowledged means durable.

use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::receipt::{ReceiptTiming, ReceivedRequest, Rejection, Verdict};
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
    ///
    /// Calls for one application that one task polls for the first time in an order get ids in that order, as long as the store has the application ready: it
    /// was asked for it just before, and nobody changes it meanwhile. What is refused leaves a gap; those behind it may be taken.
    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError>;

    /// Puts the receipt of a request at a source on disk, with the message that is made of it, in one transaction, and returns after the fsync.
    ///
    /// Everything that is said of [`Self::accept`] holds for the message. If its [`Once`] is known, also when two come at the same moment, on several
    /// nodes and after a restart, no message is made: the receipt says [`Verdict::Duplicate`] of the one that was made, and keeps its own body.
    ///
    /// Where the message is refused there is no receipt either. A source need not exist (any more): whoever asks has looked.
    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError>;

    /// Which of these would make no message now, in their order: asked by whoever has a long list of which most is known. Nothing is promised: what is unknown
    /// now may be known when it is received.
    async fn known_once(&self, keys: &[Once], _now: Timestamp) -> Result<Vec<bool>, Unavailable> {
        Ok(vec![false; keys.len()])
    }

    /// Puts a mark on disk that a `POST` other than creating a message is about to run, unless something stands under its key within the idempotency
    /// window: then that is returned, and nothing is changed. Of several who begin at the same moment, on whatever node, one gets `None`.
    ///
    /// Whoever finds a mark ([`KeptAnswer::is_begun`]) knows that the first may have done its work, and must not do it again.
    async fn begin_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;

    /// Takes the mark away: nothing was done.
    async fn release_answer(&self, key: IdempotencyKey) -> Result<(), Unavailable>;

    /// The answer, or mark, that stands under a key.
    async fn kept_answer(&self, key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;

    /// Keeps an answer for the idempotency window, in the place of the mark. The first one kept under a key stays.
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
    /// Why it is not believed, where its source takes it all the same.
    pub unverified: Option<Rejection>,
    pub replay_of: Option<ReceiptId>,
    pub outcome: NewReceiptOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most requests become messages, and a box is an allocation for each")]
pub enum NewReceiptOutcome {
    /// It becomes a message, unless `once` is known, which stands in the place of an idempotency key: `message` has none. Where the payload is the body of
    /// the request, that says [`ReceivedBody::InMessage`](hookpost_domain::receipt::ReceivedBody), and is kept once.
    Message { message: NewMessage, once: Option<Once> },
    /// No message is made of it: a handshake, a quarantined or rejected request.
    Settled(Verdict),
}

/// What a provider may send again and again within the window to make one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Over source and event id, or whatever the source tells its events by. Never meets one that is the key of a request to the API.
    pub key: IdempotencyKey,
    /// At most [`hookpost_domain::limits::DEDUPLICATION_WINDOW_MAX`]; counts in whole seconds.
    pub window: Duration,
}

/// The message that a [`Once`] made, for as long as its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeOnce {
    pub message: MessageId,
    pub created_at: Timestamp,
    pub window_s: u32,
}

impl Once {
    pub fn window_s(self) -> u32 {
        let window = self.window.min(hookpost_domain::limits::DEDUPLICATION_WINDOW_MAX);
        u32::try_from(window.as_secs()).unwrap_or(u32::MAX)
    }

    pub fn made(self, message: MessageId, created_at: Timestamp) -> MadeOnce {
        MadeOnce { message, created_at, window_s: self.window_s() }
    }
}

impl MadeOnce {
    /// From then on it is as if it had never been.
    pub fn until(self) -> Timestamp {
        self.created_at + Duration::from_secs(self.window_s.into())
    }

    /// Whether it still answers one that comes now. Where the window of a source was changed meanwhile, the shorter one counts.
    pub fn answers(self, once: Once, now: Timestamp) -> bool {
        now.since(self.created_at) < Duration::from_secs(self.window_s.min(once.window_s()).into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl KeptAnswer {
    /// What stands there until the answer does. No answer has this status.
    pub const BEGUN: Self = Self { status: 0, body: Vec::new() };

    pub fn is_begun(&self) -> bool {
        self.status == Self::BEGUN.status
    }
}
