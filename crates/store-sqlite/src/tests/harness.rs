//! A store in a directory of its own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::Entropy;
use hookpost_store::conformance::{Harness, READY_GROUPS};
use hookpost_store::queue::ReadyReceiver;
use hookpost_store::vault::Vault;
use hookpost_store::{SharedStore, Unavailable};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::command::{Failed, WriteContext, Written};
use crate::{OpenError, SqliteOptions, SqliteStore};

/// Repeatable: counts.
#[derive(Debug, Default)]
pub(super) struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

pub(super) fn open_with_key(data_dir: &Path, master_key: &[u8; 32]) -> Result<(Arc<SqliteStore>, ReadyReceiver), OpenError> {
    let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
    let (ready, receiver) = mpsc::channel(READY_GROUPS);
    let vault = Vault::new(master_key, Arc::clone(&entropy));
    let options = SqliteOptions { data_dir: data_dir.to_owned(), vault, ready: ready.into(), entropy, observer: None };
    Ok((SqliteStore::open(options)?, receiver))
}

pub(super) fn open(data_dir: &Path) -> (Arc<SqliteStore>, ReadyReceiver) {
    open_with_key(data_dir, &[5; 32]).expect("the store opens")
}

pub(super) struct SqliteHarness {
    pub(super) directory: TempDir,
    pub(super) store: Option<Arc<SqliteStore>>,
    shared: Option<SharedStore>,
    ready: ReadyReceiver,
}

impl SqliteHarness {
    pub(super) async fn open() -> Self {
        Self::open_in(tempfile::tempdir().expect("a directory"))
    }

    pub(super) fn open_in(directory: TempDir) -> Self {
        let (store, ready) = open(directory.path());
        Self { directory, shared: Some(store.clone()), store: Some(store), ready }
    }

    /// As a crash does.
    pub(super) fn drop_store(&mut self) {
        (self.shared, self.store) = (None, None);
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    fn store(&self) -> &SharedStore {
        self.shared.as_ref().expect("the store is open")
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        &mut self.ready
    }

    async fn reopen(&mut self) {
        self.drop_store();
        let (store, ready) = open(self.directory.path());
        self.shared = Some(store.clone());
        (self.store, self.ready) = (Some(store), ready);
    }
}

/// Writes its tail to the tables after each commit, and one item of it with each.
pub(super) struct FlushingHarness(SqliteHarness);

impl FlushingHarness {
    pub(super) async fn open() -> Self {
        let harness = SqliteHarness::open().await;
        harness.flush_always();
        Self(harness)
    }
}

#[async_trait]
impl Harness for FlushingHarness {
    fn store(&self) -> &SharedStore {
        self.0.store()
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        self.0.ready()
    }

    async fn reopen(&mut self) {
        self.0.reopen().await;
        self.0.flush_always();
    }
}

impl SqliteHarness {
    pub(super) fn sqlite(&self) -> &Arc<SqliteStore> {
        self.store.as_ref().expect("the store is open")
    }

    fn flush_always(&self) {
        self.sqlite().shared.limits.store_small();
    }

    /// Runs something in the writer, as an operation of its own.
    pub(super) async fn in_writer(
        &self,
        operation: impl FnOnce(&mut WriteContext<'_>) -> Result<(), Failed<Unavailable>> + Send + 'static,
    ) -> Result<(), Unavailable> {
        self.sqlite().shared.write(move |context| operation(context).map(Written::new)).await
    }
}
