//! What the services and the callers of one node have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use hookpost_domain::health::Health;
use hookpost_domain::id::RowIds;
use hookpost_domain::{EndpointId, PublicIds, RowId, Timestamp};
use hookpost_store::CommitObserver;
use hookpost_store::cache::CatalogCache;
use hookpost_store::queue::{NewsSender, ReadySender};
use hookpost_store::vault::Vault;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::accept::AcceptCommand;
use crate::batch::Waiting;
use crate::changes::{Changes, Turns};
use crate::connect::Connections;
use crate::hints::Hints;
use crate::leases::Leases;
use crate::node::{NodeLife, Registered};
use crate::owners::Owned;
use crate::partitions::Partitions;
use crate::recall::Recalled;
use crate::record::RecordCommand;

/// Locks are taken in the order `leases`, `owned`, `unhealthy`, and never held over an `await`.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) vault: Vault,
    pub(crate) public_ids: PublicIds,
    pub(crate) ids: Mutex<RowIds>,
    pub(crate) node: NodeLife,
    pub(crate) partitions: Partitions,
    pub(crate) receipt_partitions: Partitions,
    pub(crate) leases: Mutex<Leases>,
    pub(crate) owned: Mutex<Owned>,
    pub(crate) hints: Hints,
    pub(crate) catalog: CatalogCache,
    /// Of those who want an application that is not in memory.
    pub(crate) reading: Turns,
    pub(crate) changes: Changes,
    /// How often it is asked what other nodes did, at least.
    pub(crate) poll_every: Duration,
    pub(crate) recalled: Recalled,
    /// Endpoints whose health is not the default, as the database said last.
    pub(crate) unhealthy: RwLock<HashMap<EndpointId, Health>>,
    /// Deliveries that are not in a final state: what this node changed since it was last counted.
    pub(crate) unfinished: AtomicI64,
    /// When it was last written that somebody asks for messages in their order.
    pub(crate) feed_asked_at: Mutex<Option<Instant>>,
    /// What waits to be accepted, and to be recorded.
    pub(crate) accepts: Waiting<AcceptCommand>,
    pub(crate) records: Waiting<RecordCommand>,
    pub(crate) ready: ReadySender,
    pub(crate) news: NewsSender,
    pub(crate) observer: Option<Arc<dyn CommitObserver>>,
}

impl Shared {
    pub(crate) fn new_row_id(&self, now: Timestamp) -> RowId {
        self.ids.lock().next(now)
    }

    /// No id that was given out is greater.
    pub(crate) fn last_row_id(&self) -> RowId {
        self.ids.lock().clone().next(Timestamp::ZERO)
    }

    /// Where the mark of the implied leases may stand from now on.
    pub(crate) fn implied_mark(&self) -> RowId {
        let next = self.last_row_id();
        self.leases.lock().advance_mark(next)
    }

    /// From now on in the name of this life. `sent_at`: before it was asked for.
    pub(crate) fn begin_life(&self, registered: &Registered, sent_at: Instant) {
        let mut ids = self.ids.lock();
        let mut begun = registered.ids.clone();
        begun.go_on_after(ids.next(Timestamp::ZERO));
        *ids = begun;
        drop(ids);
        self.leases.lock().begin_at(registered.implied_from);
        self.node.begin(registered, sent_at);
    }

    /// Another node has taken over what this one held.
    pub(crate) fn lose_everything(&self) {
        self.node.end();
        self.leases.lock().end_all();
        self.owned.lock().clear();
    }
}
