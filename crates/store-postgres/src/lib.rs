//! The store of many nodes: one PostgreSQL database, no leader.
//!
//! - Accepting inserts one row, and is answered after the commit of its group ([`batch`], [`accept`]). Recording inserts, or changes, what the
//!   attempt came to ([`record`]). Each is one pipelined transaction for all who came during the one before.
//! - A node lives as long as it renews its row ([`node`]). Leases name their holder, so that nothing has to be renewed per delivery; every write of a node
//!   holds its row, and a node whose row was taken away cannot write.
//! - A delivery that is pending in the hands of the node that accepted its message has no row: it is implied ([`leases`]). What stays so for more than a
//!   moment is written down, so that little has to be looked through when a node dies.
//! - What must hold across nodes (order, rates, concurrency, an open circuit) is served by one of them ([`owners`]); everything else by whichever node
//!   is nearest.
//! - Nodes learn of each other by asking once in a while; NOTIFY makes it sooner ([`hints`], [`changes`]).
//! - Time is an argument where deliveries are concerned; the life of nodes goes by the clock of the database.

// The parts are being filled in.
#![allow(dead_code, unused_imports)]

mod accept;
mod batch;
mod cancel;
mod catalog;
mod changes;
mod claim;
mod connect;
mod counts;
mod error;
mod hints;
mod history;
mod intake;
mod lanes;
mod leases;
mod node;
mod owners;
mod partitions;
mod queue;
mod record;
mod release;
mod resend;
mod retention;
mod schema;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{Entropy, PublicIds, RowId, Timestamp};
use hookpost_store::queue::{NewsSender, ReadySender};
use hookpost_store::vault::Vault;
use hookpost_store::{CommitObserver, Store};

pub use connect::DatabaseUrl;
pub use error::OpenError;
pub use schema::{Migration, migrate};

use crate::shared::Shared;

#[derive(Debug)]
pub struct PostgresOptions {
    pub url: DatabaseUrl,
    pub vault: Vault,
    /// Where deliveries go that became ready by a commit of this node.
    pub ready: ReadySender,
    /// Where it is said what other nodes did.
    pub news: NewsSender,
    /// For the key of the public ids, drawn once per database.
    pub entropy: Arc<dyn Entropy>,
    pub observer: Option<Arc<dyn CommitObserver>>,
    /// Shown to operators; a node that starts with the name of another ends the leases of that one at once.
    pub node_name: Option<String>,
    /// How long a silent node keeps what it holds.
    pub lease: Duration,
    /// How often it is asked what other nodes did, at least.
    pub poll_every: Duration,
    /// LISTEN and NOTIFY, so that others need not wait for their poll. Off where a pooler or the engine does not carry them.
    pub notify: bool,
    /// For everything but accepting and recording, which have connections of their own.
    pub connections_max: usize,
    /// History comes in partitions of this length.
    pub partition: Duration,
}

/// One node's door to the database. Made within a tokio runtime, on which its services run until it is closed or dropped.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

impl PostgresStore {
    /// Connects, brings the schema up to date, and registers this node.
    pub async fn open(_options: PostgresOptions) -> Result<Arc<Self>, OpenError> {
        Err(OpenError::Unfinished)
    }

    /// Writes what is queued, gives back what this node holds, and takes its row away. Whoever asks afterwards is told that the store is closed.
    pub async fn close(&self) {}
}

impl Store for PostgresStore {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.shared.new_row_id(now)
    }

    fn public_ids(&self) -> &PublicIds {
        &self.shared.public_ids
    }
}
