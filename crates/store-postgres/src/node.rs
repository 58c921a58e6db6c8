//! The life of this node: its row, renewed while it lives; taken away from those that fell silent.
//!
//! Every transaction that writes in the name of a node locks its row (`FOR KEY SHARE`, which renewing does not hinder) and finds it gone if another has
//! buried it. A node buries only while it has itself reached the database without a break for the time of a lease: after an outage of the database
//! everybody comes back before anybody is taken for dead.

mod burial;
mod heartbeat;
mod register;

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use tokio::time::Instant;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

pub(crate) use burial::bury;
pub(crate) use heartbeat::serve;
pub(crate) use register::{OldLives, Registered, register};

use crate::error::StoreError;

/// For those who prepare it: the first statement of every transaction that writes in the name of a node. No row: the node was buried.
pub(crate) const GUARD: &str = "SELECT 1 FROM hookpost.node WHERE holder = $1 FOR KEY SHARE";

/// A transaction in the name of this life of the node.
pub(crate) async fn begin(client: &mut Object, holder: i64) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.transaction().await?;
    let guard = transaction.prepare_cached(GUARD).await?;
    if transaction.query_opt(&guard, &[&holder]).await?.is_none() {
        return Err(StoreError::NodeLost);
    }
    Ok(transaction)
}

/// No life has it.
const NOBODY: i64 = 0;

/// What is known without asking.
#[derive(Debug)]
pub(crate) struct NodeLife {
    name: String,
    lease: Duration,
    began: Instant,
    holder: AtomicI64,
    number: AtomicU8,
    /// Since `began`. Other nodes wait at least as long: it counts from before the renewal was sent.
    valid_until_us: AtomicU64,
}

impl NodeLife {
    pub(crate) fn new(name: String, lease: Duration) -> Self {
        Self {
            name,
            lease,
            began: Instant::now(),
            holder: AtomicI64::new(NOBODY),
            number: AtomicU8::new(0),
            valid_until_us: AtomicU64::new(0),
        }
    }

    /// In the leases of this life. Read once per transaction, before its guard.
    pub(crate) fn holder(&self) -> i64 {
        self.holder.load(Ordering::Acquire)
    }

    /// In the row ids.
    #[cfg(test)]
    pub(crate) fn number(&self) -> u8 {
        self.number.load(Ordering::Acquire)
    }

    /// Whether nobody can have taken this node for dead yet.
    pub(crate) fn holds(&self) -> bool {
        self.us_since_began(Instant::now()) < self.valid_until_us.load(Ordering::Acquire)
    }

    /// Keeps others from burying this node until the transaction ends, or says that one has.
    pub(crate) async fn guard(&self, client: &impl GenericClient) -> Result<(), StoreError> {
        match client.query_typed(GUARD, &[(&self.holder(), Type::INT8)]).await?.is_empty() {
            true => Err(StoreError::NodeLost),
            false => Ok(()),
        }
    }

    pub(crate) fn begin(&self, registered: &Registered, sent_at: Instant) {
        self.number.store(registered.number, Ordering::Release);
        self.holder.store(registered.holder, Ordering::Release);
        self.renewed(sent_at);
    }

    fn renewed(&self, sent_at: Instant) {
        self.valid_until_us.store(self.us_since_began(sent_at + self.lease), Ordering::Release);
    }

    /// Another took this node for dead: what it holds is not its own any more.
    pub(crate) fn end(&self) {
        self.valid_until_us.store(0, Ordering::Release);
        self.holder.store(NOBODY, Ordering::Release);
    }

    fn us_since_began(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}
