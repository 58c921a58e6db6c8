//! The memory store keeps the promises of all stores.

use async_trait::async_trait;
use hookpost_domain::PublicIds;
use tokio::sync::mpsc;

use super::MemoryStore;
use crate::SharedStore;
use crate::conformance::{Harness, READY_GROUPS};
use crate::queue::ReadyReceiver;

struct MemoryHarness {
    store: std::sync::Arc<MemoryStore>,
    shared: SharedStore,
    ready: ReadyReceiver,
}

impl MemoryHarness {
    async fn open() -> Self {
        let (sender, ready) = mpsc::channel(READY_GROUPS);
        let store = std::sync::Arc::new(MemoryStore::new(PublicIds::new([7; 16]), sender));
        Self { shared: store.clone(), store, ready }
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    fn store(&self) -> &SharedStore {
        &self.shared
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        &mut self.ready
    }

    async fn reopen(&mut self) {
        let (sender, ready) = mpsc::channel(READY_GROUPS);
        self.store = std::sync::Arc::new(self.store.restarted(sender));
        (self.shared, self.ready) = (self.store.clone(), ready);
    }
}

crate::conformance_tests!(MemoryHarness::open());
