//! What the writer, the readers and the callers have in common.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::Ordering;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};

use hookpost_domain::id::RowIds;
use hookpost_domain::{PublicIds, RowId, Timestamp};
use hookpost_store::CommitObserver;
use hookpost_store::vault::Vault;
use hookpost_threads::PerThread;
use parking_lot::{Mutex, RwLock};

use crate::backup::BackupRequest;
use crate::command::{CommandQueue, Completed};
use crate::flush::ROWS_PER_SLICE;
use crate::keys::KeyIndex;
use crate::leases::Leases;
use crate::retention::Sweep;
use crate::tail::{TAIL_WEIGHT_MAX, Tails};
use hookpost_store::cache::CatalogCache;

/// Locks are taken in the order `leases`, `tails`, and never across a statement.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) file: PathBuf,
    pub(crate) vault: Vault,
    pub(crate) public_ids: PublicIds,
    pub(crate) ids: Mutex<RowIds>,
    pub(crate) queue: CommandQueue,
    pub(crate) leases: Mutex<Leases>,
    pub(crate) tails: RwLock<Tails>,
    pub(crate) catalog: CatalogCache,
    /// Deliveries that are not in a final state.
    pub(crate) unfinished: AtomicI64,
    /// Deliveries of messages that were accepted in an earlier minute are not counted any more.
    pub(crate) counted_from: AtomicU64,
    pub(crate) observer: Option<Arc<dyn CommitObserver>>,
    pub(crate) completions: PerThread<Completions>,
    /// Asks the writer to write the tail to the tables now.
    pub(crate) flush_now: AtomicBool,
    /// Readers hold it while they read; the writer takes it when the log must not grow any more.
    pub(crate) reader_gate: RwLock<()>,
    pub(crate) backup_request: Mutex<Option<BackupRequest>>,
    pub(crate) backup_running: AtomicBool,
    pub(crate) sweep: Mutex<Sweep>,
    /// The writer's; a lock only because operations reach it through here.
    pub(crate) keys: Mutex<KeyIndex>,
    pub(crate) limits: RunLimits,
}

impl Shared {
    pub(crate) fn new_row_id(&self, now: Timestamp) -> RowId {
        self.ids.lock().next(now)
    }
}

/// When a tail is frozen, and how much of a frozen one goes with a commit. Values, so that tests need not write thousands of messages.
#[derive(Debug)]
pub(crate) struct RunLimits {
    pub(crate) tail_weight_max: AtomicUsize,
    pub(crate) rows_per_slice: AtomicUsize,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { tail_weight_max: AtomicUsize::new(TAIL_WEIGHT_MAX), rows_per_slice: AtomicUsize::new(ROWS_PER_SLICE) }
    }
}

#[cfg(test)]
impl RunLimits {
    pub(crate) fn store_small(&self) {
        self.tail_weight_max.store(1, Ordering::Relaxed);
        self.rows_per_slice.store(1, Ordering::Relaxed);
    }
}

/// Commits on their way back to one thread: one wake-up per commit. Bounded by the commands that were queued.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    done: Mutex<Vec<Completed>>,
    notify: tokio::sync::Notify,
}

impl Completions {
    pub(crate) fn push(&self, completed: Completed) {
        self.done.lock().push(completed);
        self.notify.notify_one();
    }

    pub(crate) fn take(&self) -> Vec<Completed> {
        std::mem::take(&mut *self.done.lock())
    }

    pub(crate) async fn next(&self) -> Vec<Completed> {
        loop {
            let done = self.take();
            if !done.is_empty() {
                return done;
            }
            self.notify.notified().await;
        }
    }
}
