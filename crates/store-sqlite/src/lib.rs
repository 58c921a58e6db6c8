//! The embedded store: one SQLite file, one thread that writes, a few that read.
//!
//! - Accepting writes one row, and is answered after the fsync of its group ([`writer`]).
//! - A pending delivery has no row: it is implied by its message, and found again after a crash by the low-water mark ([`leases`], [`recovery`]).
//! - Lists, counters and keys of repeated requests collect in memory, journaled with each commit, and are written in sorted runs ([`tail`],
//!   [`flush`], [`posting`], [`keys`]).
//! - A million deliveries that wait cost a cursor per endpoint ([`claim`]).
//! - Memory follows the disk: it changes after the commit, or not at all.

mod backup;
mod cancel;
mod catalog;
mod checkpoint;
mod claim;
mod command;
mod counters;
mod documents;
mod error;
mod flush;
mod history;
mod intake;
mod keys;
mod leases;
mod ledger;
mod lock;
mod messages;
mod posting;
mod queue;
mod readers;
mod receipts;
mod receive;
mod recovery;
mod retention;
mod rows;
mod schema;
mod shared;
mod sources;
mod tail;
mod tasks;
mod transfer;
mod usage;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::thread::JoinHandle;

use hookpost_domain::id::RowIds;
use hookpost_domain::{Entropy, PublicIds, RowId, Timestamp};
use hookpost_store::queue::ReadySender;
use hookpost_store::vault::Vault;
use hookpost_store::{CommitObserver, Store, Unavailable};
use hookpost_threads::{PerThread, Threads};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use tokio::task::JoinSet;

pub use backup::{BackupError, BackupProgress, OnProgress, RestoreError, restore};
pub use error::OpenError;
pub use transfer::SqliteTransfer;

use crate::checkpoint::Checkpoints;
use crate::command::{Command, Completed};
use crate::error::StoreError;
use crate::keys::KeyIndex;
use crate::lock::DataDirLock;
use crate::readers::Readers;
use crate::schema::meta;
use crate::shared::{Completions, RunLimits, Shared};
use crate::writer::Writer;
use hookpost_store::cache::CatalogCache;

pub(crate) type FastHash = foldhash::fast::RandomState;

/// The name of the database in the data directory.
pub const DATABASE_FILE: &str = "hookpost.db";

/// Sealed at the first start; opens with the same master key only.
const CANARY: &[u8] = b"hookpost";
/// Row ids of the embedded store: there is one node.
const NODE: u8 = 0;

#[derive(Debug)]
pub struct SqliteOptions {
    pub data_dir: PathBuf,
    pub vault: Vault,
    /// Where deliveries go that became ready by a commit.
    pub ready: ReadySender,
    /// For the key of the public ids, drawn once.
    pub entropy: Arc<dyn Entropy>,
    pub observer: Option<Arc<dyn CommitObserver>>,
}

#[derive(Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    readers: Readers,
    writer: Mutex<Option<JoinHandle<()>>>,
    answers: Mutex<JoinSet<()>>,
    ready: ReadySender,
    _lock: DataDirLock,
}

impl SqliteStore {
    /// Opens the store of a data directory, or makes it. To be called within a tokio runtime: callers are answered on the threads that it is called on.
    pub fn open(options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        let data_dir = options.data_dir.clone();
        Self::open_unnamed(options).map_err(|error| error.in_directory(&data_dir))
    }

    /// Its errors do not all say which database they are about.
    fn open_unnamed(options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        let SqliteOptions { data_dir, vault, ready, entropy, observer } = options;
        let lock = DataDirLock::take(&data_dir)?;
        let file = data_dir.join(DATABASE_FILE);
        let mut connection = schema::open_writer(&file)?;
        schema::migrate(&mut connection)?;
        transfer::check_not_moving(&connection, &data_dir)?;
        let public_ids = identify(&connection, &vault, &*entropy)?;
        let recovered = recovery::recover(&mut connection)?;
        let keys = KeyIndex::load(&connection)?;

        let shared = Arc::new(Shared {
            file,
            vault,
            public_ids,
            ids: Mutex::new(RowIds::after(recovered.last_row_id, NODE)),
            queue: Default::default(),
            leases: Mutex::new(recovered.leases),
            tails: RwLock::new(recovered.tails),
            catalog: CatalogCache::new(recovered.revocations),
            unfinished: AtomicI64::new(recovered.unfinished),
            counted_from: AtomicU64::new(meta::number(&connection, meta::COUNTED_FROM)? as u64),
            observer,
            completions: PerThread::new(Completions::default),
            flush_now: AtomicBool::new(false),
            reader_gate: RwLock::new(()),
            backup_request: Mutex::new(None),
            backup_running: AtomicBool::new(false),
            sweep: Mutex::default(),
            keys: Mutex::new(keys),
            limits: RunLimits::default(),
        });
        for endpoint in recovered.backlogged {
            claim::settle_backlog(&connection, &shared, endpoint)?;
        }
        let no_thread = |error: std::io::Error| OpenError::DataDir { data_dir: data_dir.clone(), why: error.to_string() };
        let readers = Readers::start(&shared).map_err(no_thread)?;
        let checkpoints = Checkpoints::start(&shared.file).map_err(no_thread)?;
        let writer = Writer::new(Arc::clone(&shared), recovered.next_seq, recovered.flush, checkpoints);
        let writer = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || writer.run_to_the_end(connection))
            .map_err(no_thread)?;
        let mut answers = JoinSet::new();
        for (_, thread) in Threads::current().iter() {
            answers.spawn_on(answer(Arc::clone(&shared), ready.clone()), thread);
        }
        Ok(Arc::new(Self { shared, readers, writer: Mutex::new(Some(writer)), answers: Mutex::new(answers), ready, _lock: lock }))
    }

    /// Writes what is queued, and ends the threads. Whoever asks afterwards is told that the store is closed.
    pub async fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            // The thread ends by itself; waiting for it must not stop the runtime that its answers need.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
        self.readers.close();
        self.answers.lock().abort_all();
        complete_all(&self.shared, &self.ready);
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let shared = Arc::clone(&self.shared);
        self.readers.read(move |connection| query(connection, &shared)).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take() {
            // It needs nobody to end: answers are only laid down.
            let _ = writer.join();
        }
        self.readers.close();
        self.answers.lock().abort_all();
        complete_all(&self.shared, &self.ready);
    }
}

impl Store for SqliteStore {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.shared.new_row_id(now)
    }

    fn public_ids(&self) -> &PublicIds {
        &self.shared.public_ids
    }
}

/// Checks that the master key is the one of this database, and reads the key of its public ids; draws both in a new one.
fn identify(connection: &Connection, vault: &Vault, entropy: &dyn Entropy) -> Result<PublicIds, OpenError> {
    if !check_master_key(connection, vault)? {
        set_master_key(connection, vault)?;
    }
    let key = match meta::bytes(connection, meta::PUBLIC_ID_KEY)? {
        Some(key) => key.try_into().map_err(|_| OpenError::Damaged("the key of the public ids has another length".to_owned()))?,
        None => {
            let mut key = [0; 16];
            entropy.fill(&mut key);
            meta::set(connection, meta::PUBLIC_ID_KEY, key)?;
            key
        }
    };
    Ok(PublicIds::new(key))
}

/// `false`: the database is new, and has none yet.
fn check_master_key(connection: &Connection, vault: &Vault) -> Result<bool, OpenError> {
    let sealed = meta::bytes(connection, meta::VAULT_CANARY)?;
    if let Some(sealed) = &sealed {
        vault.open(meta::VAULT_CANARY.as_bytes(), sealed)?;
    }
    Ok(sealed.is_some())
}

fn set_master_key(connection: &Connection, vault: &Vault) -> rusqlite::Result<()> {
    meta::set(connection, meta::VAULT_CANARY, vault.seal(meta::VAULT_CANARY.as_bytes(), CANARY))
}

/// Runs on each thread: hands over and answers, in the order of the commits, so that the writer wakes it once per commit.
async fn answer(shared: Arc<Shared>, ready: ReadySender) {
    loop {
        for completed in shared.completions.here().next().await {
            complete(&shared, &ready, completed);
        }
    }
}

fn complete_all(shared: &Shared, ready: &ReadySender) {
    for (_, completions) in shared.completions.iter() {
        for completed in completions.take() {
            complete(shared, ready, completed);
        }
    }
}

fn complete(shared: &Shared, ready: &ReadySender, completed: Completed) {
    if !completed.ready.is_empty()
        && let Err(refused) = ready.try_send(completed.ready)
    {
        // The engine does not keep up: the deliveries wait on disk, and so do those that come after them.
        let mut leases = shared.leases.lock();
        for delivery in refused.into_inner() {
            leases.release(delivery.key, delivery.lease);
        }
    }
    for command in completed.commands {
        // Who asked may have gone meanwhile: what was promised to him is kept all the same.
        match command {
            Command::Accept(accept) => {
                if let (Some(reply), Some(outcome)) = (accept.reply, accept.outcome) {
                    let _ = reply.send(outcome);
                }
            }
            Command::Receive(receive) => {
                if let (Some(reply), Some(outcome)) = (receive.reply, receive.outcome) {
                    let _ = reply.send(outcome);
                }
            }
            Command::Record(record) => {
                if let Some(reply) = record.reply {
                    let _ = reply.send(record.outcome);
                }
            }
            Command::Other(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
