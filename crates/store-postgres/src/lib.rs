//! The store of many nodes: one PostgreSQL database, no leader.
//!
//! - Accepting inserts one row, and is answered after the commit of its group ([`batch`], [`accept`]). Recording inserts, or changes, what the
//!   attempt came to ([`record`]). Each is one pipelined transaction for all who came during the one before.
//! - A node lives as long as it renews its row ([`node`]). Leases name their holder, so that nothing has to be renewed per delivery; every write of a node
//!   holds its row, and a node whose row was taken away cannot write.
//! - A delivery that is pending in the hands of the node that accepted its message has no row: it is implied ([`leases`]). What stays so for more than a
//!   moment is written down, so that little has to be looked through when a node dies.
//! - What must hold across nodes (order, rates, concurrency, an open circuit, a source that is asked) is served by one of them ([`owners`]); everything else by whichever node
//!   is nearest.
//! - Nodes learn of each other by asking once in a while; NOTIFY makes it sooner ([`hints`], [`changes`]).
//! - Time is an argument where deliveries are concerned; the life of nodes goes by the clock of the database.

mod accept;
mod batch;
mod cancel;
mod catalog;
mod changes;
mod claim;
mod connect;
mod counts;
mod documents;
mod error;
mod feed;
mod hints;
mod history;
mod intake;
mod lanes;
mod leases;
mod ledger;
mod node;
mod owners;
mod partitions;
mod queue;
mod recall;
mod record;
mod release;
mod resend;
mod retention;
mod schema;
mod services;
mod shared;
mod statements;
mod transfer;
mod usage;
mod write_down;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::{Entropy, PublicIds, RowId, Timestamp};
use hookpost_store::cache::CatalogCache;
use hookpost_store::queue::{NewsSender, ReadySender};
use hookpost_store::vault::Vault;
use hookpost_store::{CommitObserver, Store, Unavailable};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_postgres::Client;

pub use connect::DatabaseUrl;
pub use error::OpenError;
pub use schema::{Migration, check, migrate};
pub use transfer::PostgresTransfer;

use crate::batch::Waiting;
use crate::changes::{Changes, Turns};
use crate::connect::{Connections, connect_first};
use crate::error::StoreError;
use crate::hints::Hints;
use crate::node::{NodeLife, OldLives};
use crate::partitions::Partitions;
use crate::recall::Recalled;
use crate::services::Services;
use crate::shared::Shared;

/// Commands that wait for the next group; whoever comes after them waits for a place.
const WAITING_MAX: usize = 4096;
/// Whoever asks whether the database can be reached gives up soon, too.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);

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
    services: Mutex<Option<Services>>,
}

impl PostgresStore {
    /// Connects, brings the schema up to date, and registers this node.
    pub async fn open(options: PostgresOptions) -> Result<Arc<Self>, OpenError> {
        let mut first = connect_first(&options.url).await?;
        schema::migrate_by(&mut first.client, &options.url, &schema::SCHEMA).await?;
        let (url, connections) = (options.url.clone(), Connections::new(&options.url, options.connections_max)?);
        connections.check_room().await.map_err(|error| OpenError::explain(error, &url))?;
        let shared = match begin(&mut first.client, connections, options).await {
            Ok(shared) => Arc::new(shared),
            Err(error) => return Err(schema::explain_rights(&first.client, &url, error, "what is in the schema hookpost").await),
        };
        let services = Mutex::new(Some(Services::start(&shared)));
        Ok(Arc::new(Self { shared, services }))
    }

    /// Writes what is queued, gives back what this node holds, and takes its row away. Whoever asks afterwards is told that the store is closed.
    pub async fn close(&self) {
        let services = self.services.lock().take();
        let Some(services) = services else { return };
        self.shared.changes.finish().await;
        services.finish().await;
        if let Err(error) = leave(&self.shared).await {
            tracing::warn!("this node could not say that it leaves, others will wait for it: {error}");
        }
        self.shared.connections.close();
    }
}

/// Everything that needs the tables.
async fn begin(client: &mut Client, connections: Connections, options: PostgresOptions) -> Result<Shared, StoreError> {
    let public_ids = schema::identify(client, &options.vault, &*options.entropy).await?;
    let partitions = Partitions::new(partitions::HISTORY, options.partition);
    partitions.make_ahead(client).await?;
    let receipt_partitions = Partitions::new(partitions::RECEIPTS, options.partition);
    receipt_partitions.make_ahead(client).await?;
    let name = options.node_name.unwrap_or_default();
    let sent_at = Instant::now();
    let registered = node::register(client, &name, options.lease, OldLives::Bury, RowId::MIN).await?;
    let shared = Shared {
        connections,
        vault: options.vault,
        public_ids,
        ids: Mutex::new(registered.ids.clone()),
        node: NodeLife::new(name, options.lease),
        partitions,
        receipt_partitions,
        leases: Mutex::default(),
        owned: Mutex::default(),
        hints: Hints::new(options.notify),
        catalog: CatalogCache::new(catalog::load_revocations(client).await?),
        reading: Turns::default(),
        changes: Changes::default(),
        poll_every: options.poll_every,
        recalled: Recalled::default(),
        unhealthy: RwLock::default(),
        unfinished: AtomicI64::new(0),
        feed_asked_at: Mutex::default(),
        accepts: Waiting::new(WAITING_MAX),
        records: Waiting::new(WAITING_MAX),
        ready: options.ready,
        news: options.news,
        observer: options.observer,
    };
    shared.begin_life(&registered, sent_at);
    Ok(shared)
}

/// Nobody need wait for the leases of this node.
async fn leave(shared: &Shared) -> Result<(), StoreError> {
    let holder = shared.node.holder();
    let mut connection = shared.connections.dedicated().await?;
    let transaction = connection.client.transaction().await?;
    let last = shared.last_row_id().as_i64();
    transaction.execute("UPDATE hookpost.node SET last_row_id = $2 WHERE holder = $1", &[&holder, &last]).await?;
    node::bury(&transaction, holder).await?;
    transaction.commit().await?;
    shared.lose_everything();
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.shared.new_row_id(now)
    }

    fn public_ids(&self) -> &PublicIds {
        &self.shared.public_ids
    }

    /// The caches answer much without the database.
    async fn reach(&self) -> Result<(), Unavailable> {
        let ask = async { Ok(self.shared.connections.get().await?.simple_query("SELECT 1").await?) };
        let answer: Result<_, StoreError> = match tokio::time::timeout(REACH_TIMEOUT, ask).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Away(format!("no answer within {} s", REACH_TIMEOUT.as_secs()))),
        };
        Ok(answer.map(drop)?)
    }
}

#[cfg(test)]
mod tests;
