//! What Hookpost asks of a store: six traits, one per actor, and the promises behind them.
//!
//! - [`Intake`]: the producer's side. One transaction per accepted message, durable before the answer.
//! - [`Queue`]: the engine's side. Claims, records, reschedules, cancels.
//! - [`Catalog`]: what is configured: applications, endpoints, event types, keys, tasks.
//! - [`History`]: what happened: lists, states, statistics, retention.
//! - [`Documents`]: what is configured beside the way of a message: integrations, streams, sinks, settings.
//! - [`Ledger`]: how far sinks and consumers came; logs.
//!
//! [`memory::MemoryStore`] is the reference: short enough to be read as a specification, and the model that property tests hold
//! the others against. [`conformance`] is the suite that every store passes.
//!
//! A store never decides: states, schedules and routings come in decided by `hookpost-domain`.

pub mod altered;
pub mod cache;
pub mod catalog;
pub mod codec;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod documents;
pub mod history;
pub mod intake;
pub mod ledger;
pub mod memory;
pub mod page;
pub mod queue;
pub mod receipt;
pub mod rows;
pub mod transfer;
pub mod usage;
pub mod vault;
#[cfg(feature = "conformance")]
pub mod write_rate;

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::{Invalid, PublicIds, RowId, Timestamp};
use thiserror::Error;

pub use catalog::{ApplicationView, Catalog, Change, Reference};
pub use documents::{Document, Documents, Named};
pub use history::{Feed, FeedLimits, History};
pub use intake::{AcceptError, Accepted, IdempotencyKey, Intake, MadeOnce, NewMessage, NewReceipt, NewReceiptOutcome, Once, Received};
pub use ledger::{Ledger, LogEntry, LogName, ProgressKey};
pub use page::{Cursor, Listed, Order, PageRequest};
pub use queue::{Claimed, LeaseId, LeasedDelivery, Queue, Record, Recorded};

/// Never the hash of a key, so that asking for it finds nothing.
const NO_KEY: [u8; 32] = [0; 32];

/// A whole store.
#[async_trait]
pub trait Store: Intake + Queue + Catalog + History + Documents + Ledger {
    /// The next row id: strictly greater than every one before it.
    fn new_row_id(&self, now: Timestamp) -> RowId;

    fn public_ids(&self) -> &PublicIds;

    /// Whether the data can be reached at this moment, asked anew and not remembered: for load balancers, which ask every few seconds.
    async fn reach(&self) -> Result<(), Unavailable> {
        self.api_key_by_hash(NO_KEY).await.map(drop)
    }
}

pub type SharedStore = Arc<dyn Store>;

/// The store cannot do it now and nothing was changed: the disk is full or read-only, the database is away, we are closing. Producers get 503.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub String);

/// Why a change to the catalogue was not made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    #[error("not found")]
    NotFound,
    /// Another row has this value of a unique field (`uid`, `name`).
    #[error("another one with this {field} exists")]
    Conflict { field: &'static str },
    #[error("{0}")]
    LimitReached(String),
    /// The change itself refused what it found.
    #[error(transparent)]
    Refused(#[from] Invalid),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Told after each commit; for metrics.
pub trait CommitObserver: Send + Sync + std::fmt::Debug {
    fn committed(&self, commit: CommitFacts);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitFacts {
    pub operations: usize,
    pub duration: std::time::Duration,
}
