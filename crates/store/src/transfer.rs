//! Moving everything from one store to another of any kind: in sections, in pieces, resumable, and compared at the end.
//!
//! What is moved is what cannot be made from anything else: configuration, messages, deliveries, attempts, receipts, the keys of repeated requests and
//! events, logs, and what was counted of messages that may be gone. Lists, other counters, due times and backlogs are made by the importing store from the rows. Leases are not moved: nobody works on either store meanwhile.
//!
//! The rows of a piece and the [`Cursor`] behind them are one transaction of the target, so that a move that was cut short goes on where it was.
//! [`run`] says what is done in which order; a store only reads, writes and says where it is.

pub mod key;
mod row;
mod run;
mod tally;

use async_trait::async_trait;
use hookpost_domain::MessageId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use row::{MessageRow, MovedAttempt, MovedDelivery, MovedDocument, ReceiptRow, Row};
pub use run::{Move, Moved, Phase, Progress, transfer};
pub use tally::{Kind, Tally};

use crate::codec::Unreadable;
use crate::rows::RowError;
use crate::vault::WrongMasterKey;

/// Messages with all they have, or other rows, that are moved at once.
pub const BATCH_ROWS_MAX: usize = 500;
/// A batch ends with the payload that brings it here.
pub const BATCH_PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// What is moved, in this order: what others refer to comes first. The numbers are stored in cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Section {
    Applications,
    Endpoints,
    EventTypes,
    ApiKeys,
    Revocations,
    Health,
    Tasks,
    /// Messages, each with its deliveries and attempts.
    History,
    IdempotencyKeys,
    KeptAnswers,
    Sources,
    SourceStates,
    Receipts,
    EventKeys,
    Documents,
    Progress,
    Logs,
    /// As sums, whatever a store keeps besides.
    Usage,
}

impl Section {
    pub const ALL: [Self; 18] = [
        Self::Applications,
        Self::Endpoints,
        Self::EventTypes,
        Self::ApiKeys,
        Self::Revocations,
        Self::Health,
        Self::Tasks,
        Self::History,
        Self::IdempotencyKeys,
        Self::KeptAnswers,
        Self::Sources,
        Self::SourceStates,
        Self::Receipts,
        Self::EventKeys,
        Self::Documents,
        Self::Progress,
        Self::Logs,
        Self::Usage,
    ];

    fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }
}

/// Where a row stands in its section: see [`key`]. Only the store that gave it knows its order.
pub type Key = Vec<u8>;

/// A piece of a section.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: Vec<Row>,
    /// Where the next piece begins; `None`: the section ends here.
    pub next: Option<Key>,
}

impl Batch {
    /// Of the rows that a store looked at, some of which may be nothing to others. As many as were asked for: there may be more.
    pub fn of(rows: Vec<(Key, Option<Row>)>, asked_for: usize) -> Self {
        let next = if rows.len() < asked_for { None } else { rows.last().map(|(key, _)| key.clone()) };
        Self { rows: rows.into_iter().filter_map(|(_, row)| row).collect(), next }
    }
}

/// How far a move has come: kept by the target, until everything was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The place that the rows come from.
    pub source: String,
    /// `None`: everything is there.
    pub section: Option<Section>,
    pub after: Option<Key>,
    /// The highest row id that was moved: new ones must be higher.
    pub last_row_id: u64,
}

impl Cursor {
    pub fn begin(source: String) -> Self {
        Self { source, section: Some(Section::Applications), after: None, last_row_id: 0 }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a cursor can be written to memory")
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TransferError> {
        postcard::from_bytes(bytes).map_err(|error| Unreadable { what: "move", why: error.to_string() }.into())
    }
}

/// The key of the public ids: who has it understands the ids that were handed out.
pub type PublicIdKey = [u8; 16];

/// One end of a move, held by whoever has it: no server may run on it.
#[async_trait]
pub trait Transfer: Send {
    /// What an operator calls it, without any password.
    fn place(&self) -> String;

    /// Asked at the beginning and again at the end: that no server runs here.
    async fn check_unused(&mut self) -> Result<(), TransferError>;

    async fn public_id_key(&mut self) -> Result<PublicIdKey, TransferError>;

    /// The first and the last message, for progress.
    async fn messages_span(&mut self) -> Result<Option<(MessageId, MessageId)>, TransferError>;

    /// The rows of a section behind a key, in an order of this store's own.
    async fn export(&mut self, section: Section, after: Option<&Key>) -> Result<Batch, TransferError>;

    /// Makes this the target of a move: from then on no server opens it until [`Self::complete`]. Where this very move was begun before, says how far it
    /// came. Refuses what has data of another kind.
    async fn begin(&mut self, source: String, key: PublicIdKey) -> Result<Cursor, TransferError>;

    /// The rows and the cursor behind them, in one transaction.
    async fn import(&mut self, batch: Batch, cursor: &Cursor) -> Result<(), TransferError>;

    /// Makes what could not be made row by row. May be cut short, and is then called again.
    async fn finish(&mut self, cursor: &Cursor) -> Result<(), TransferError>;

    /// Everything was compared: servers may open it.
    async fn complete(&mut self) -> Result<(), TransferError>;
}

/// Why nothing was moved (any more). The source is as it was.
#[derive(Debug, Error)]
pub enum TransferError {
    #[error("{place} is in use by {by}: stop it, and run the same command again")]
    InUse { place: String, by: String },
    #[error("there is no data in {0}")]
    NoData(String),
    #[error("{0} has data that is not of this move: move into an empty one")]
    NotEmpty(String),
    #[error("{place} has half a move from {other}: finish that one with the same command, or empty {place} first")]
    OfAnotherMove { place: String, other: String },
    #[error("{kind} differ: {} in {source_place}, {} in {target_place}. {}", differ.0, differ.1, COMPARE_REMEDY)]
    Different { kind: &'static str, differ: (u64, u64), source_place: String, target_place: String },
    #[error("the public ids of {0} are of another store: empty it, and move again")]
    OtherIds(String),
    #[error(transparent)]
    WrongMasterKey(#[from] WrongMasterKey),
    #[error(transparent)]
    Row(#[from] RowError),
    /// In the words of the store.
    #[error("{place}: {why}")]
    Store { place: String, why: String },
}

const COMPARE_REMEDY: &str = "Was one of them changed meanwhile? Empty the target, and move again";

impl From<Unreadable> for TransferError {
    fn from(error: Unreadable) -> Self {
        Self::Row(error.into())
    }
}
