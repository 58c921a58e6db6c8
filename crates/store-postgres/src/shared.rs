//! What the services and the callers of one node have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use hookpost_domain::health::Health;
use hookpost_domain::id::RowIds;
use hookpost_domain::{EndpointId, PublicIds, RowId, Timestamp};
use hookpost_store::CommitObserver;
use hookpost_store::cache::CatalogCache;
use hookpost_store::queue::{NewsSender, ReadySender};
use hookpost_store::vault::Vault;
use parking_lot::{Mutex, RwLock};

use crate::accept::AcceptCommand;
use crate::batch::Waiting;
use crate::connect::Connections;
use crate::hints::Hints;
use crate::leases::Leases;
use crate::node::NodeLife;
use crate::owners::Owned;
use crate::record::RecordCommand;

/// Locks are taken in the order `leases`, `owned`, `unhealthy`, and never held over an `await`.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) vault: Vault,
    pub(crate) public_ids: PublicIds,
    pub(crate) ids: Mutex<RowIds>,
    pub(crate) node: NodeLife,
    pub(crate) leases: Mutex<Leases>,
    pub(crate) owned: Mutex<Owned>,
    pub(crate) hints: Hints,
    pub(crate) catalog: CatalogCache,
    /// Endpoints whose health is not the default, as the database said last.
    pub(crate) unhealthy: RwLock<HashMap<EndpointId, Health>>,
    /// Deliveries that are not in a final state: what this node changed since it was last counted.
    pub(crate) unfinished: AtomicI64,
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
}
