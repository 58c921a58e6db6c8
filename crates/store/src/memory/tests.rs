//! The memory store keeps the promises of all stores.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::PublicIds;
use tokio::sync::mpsc;

use super::MemoryStore;
use crate::SharedStore;
use crate::conformance::model::{check_against_model, compare};
use crate::conformance::{Harness, READY_GROUPS};
use crate::queue::{ReadyReceiver, ReadySender};

struct MemoryHarness {
    store: Arc<MemoryStore>,
    shared: SharedStore,
    ready: ReadyReceiver,
    /// What a crash leaves.
    remains: fn(&MemoryStore, ReadySender) -> MemoryStore,
}

impl MemoryHarness {
    async fn open() -> Self {
        let (sender, ready) = mpsc::channel(READY_GROUPS);
        let store = Arc::new(MemoryStore::new(PublicIds::new([7; 16]), sender.into()));
        Self { shared: store.clone(), store, ready, remains: MemoryStore::restarted }
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
        self.store = Arc::new((self.remains)(&self.store, sender.into()));
        (self.shared, self.ready) = (self.store.clone(), ready);
    }
}

crate::conformance_tests!(MemoryHarness::open());

#[test]
fn the_model_agrees_with_itself() {
    // What differs would be the fault of the driver.
    check_against_model(0..200, MemoryHarness::open);
}

#[test]
fn the_driver_finds_a_store_that_loses_something() {
    let losses: [fn(&MemoryStore, ReadySender) -> MemoryStore; 7] = [
        |store, ready| MemoryStore::new(store.ids.clone(), ready),
        |store, ready| {
            let remains = store.restarted(ready);
            remains.state.lock().idempotency.clear();
            remains
        },
        |store, ready| {
            let remains = store.restarted(ready);
            remains.state.lock().attempts.clear();
            remains
        },
        |store, ready| {
            let remains = store.restarted(ready);
            remains.state.lock().usage.clear();
            remains
        },
        |store, ready| {
            let remains = store.restarted(ready);
            remains.state.lock().documents.clear();
            remains
        },
        |store, ready| {
            let remains = store.restarted(ready);
            remains.state.lock().log.clear();
            remains
        },
        // Keeps what it has, but the leases with it.
        |store, ready| MemoryStore { ids: store.ids.clone(), ready, state: parking_lot::Mutex::new(store.state.lock().clone()) },
    ];
    for (index, remains) in losses.into_iter().enumerate() {
        let open = async || MemoryHarness { remains, ..MemoryHarness::open().await };
        let difference = (0..200).find_map(|seed| compare(seed, &open).err());
        assert!(difference.is_some(), "loss {index} was not found");
    }
}
