//! A store in a database of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::Entropy;
use hookpost_store::SharedStore;
use hookpost_store::conformance::{Harness, READY_GROUPS};
use hookpost_store::queue::{NewsReceiver, ReadyReceiver};
use hookpost_store::vault::Vault;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::server::TestDatabase;
use crate::connect::DatabaseUrl;
use crate::{OpenError, PostgresOptions, PostgresStore};

/// One partition for everything: most tests are not about them.
pub(super) const WHOLE_HISTORY: Duration = Duration::from_secs(200 * 365 * 86_400);
pub(super) const NEWS: usize = 64;
/// Only ends a test that would hang.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Looks until it is so.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}

/// Until somebody waits for a lock in the database of this client.
pub(super) async fn until_a_statement_waits(client: &Client) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("a statement waits", || async { client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 }).await;
}

/// Repeatable: counts.
#[derive(Debug, Default)]
pub(super) struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

/// One node, and what it says.
pub(super) struct Node {
    pub(super) store: Arc<PostgresStore>,
    pub(super) ready: ReadyReceiver,
    pub(super) news: NewsReceiver,
}

/// How most tests open their store.
pub(super) struct Opening {
    pub(super) url: DatabaseUrl,
    pub(super) master_key: [u8; 32],
    pub(super) name: Option<&'static str>,
    pub(super) lease: Duration,
    pub(super) poll_every: Duration,
    pub(super) notify: bool,
    pub(super) partition: Duration,
}

impl Opening {
    pub(super) fn of(database: &TestDatabase) -> Self {
        Self::at(database.url())
    }

    pub(super) fn at(url: DatabaseUrl) -> Self {
        Self {
            url,
            master_key: [5; 32],
            name: None,
            lease: Duration::from_secs(30),
            poll_every: Duration::from_millis(500),
            notify: true,
            partition: WHOLE_HISTORY,
        }
    }

    pub(super) async fn open(self) -> Result<Node, OpenError> {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
        let (ready, ready_receiver) = mpsc::channel(READY_GROUPS);
        let (news, news_receiver) = mpsc::channel(NEWS);
        let options = PostgresOptions {
            url: self.url,
            vault: Vault::new(&self.master_key, Arc::clone(&entropy)),
            ready: ready.into(),
            news,
            entropy,
            observer: None,
            node_name: self.name.map(str::to_owned),
            lease: self.lease,
            poll_every: self.poll_every,
            notify: self.notify,
            connections_max: 4,
            partition: self.partition,
        };
        Ok(Node { store: PostgresStore::open(options).await?, ready: ready_receiver, news: news_receiver })
    }
}

pub(super) struct PostgresHarness {
    node: Option<Node>,
    shared: Option<SharedStore>,
    /// Last: dropped after those who use it.
    database: TestDatabase,
}

impl PostgresHarness {
    pub(super) async fn open() -> Self {
        let database = TestDatabase::migrated().await;
        let mut harness = Self { node: None, shared: None, database };
        harness.start().await;
        harness
    }

    /// Under a name: a node that starts ends what the one before it under this name still holds, without waiting for its leases.
    async fn start(&mut self) {
        let opening = Opening { name: Some("harness"), ..Opening::of(&self.database) };
        let node = opening.open().await.expect("the store opens");
        // Which forgets what was in memory, and shows in the version.
        until("the first look is over", || async { node.store.shared.changes.has_looked() }).await;
        self.shared = Some(node.store.clone());
        self.node = Some(node);
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    fn store(&self) -> &SharedStore {
        self.shared.as_ref().expect("the store is open")
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        &mut self.node.as_mut().expect("the store is open").ready
    }

    async fn reopen(&mut self) {
        (self.shared, self.node) = (None, None);
        self.start().await;
    }
}
