//! The memory store, which answers nobody who wants something written while it is held.

use async_trait::async_trait;
use hookpost_domain::Timestamp;
use hookpost_store::altered::{Alter, Altered};
use hookpost_store::memory::MemoryStore;
use hookpost_store::{AcceptError, Accepted, Intake as _, NewMessage, NewReceipt, Received};
use tokio::sync::watch;

pub(crate) type HeldStore = Altered<Held>;

#[derive(Debug)]
pub(crate) struct Held {
    inner: MemoryStore,
    held: watch::Sender<bool>,
}

impl Held {
    pub(crate) fn around(inner: MemoryStore) -> HeldStore {
        Altered(Self { inner, held: watch::Sender::new(false) })
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    async fn turn(&self) {
        if !*self.held.borrow() {
            return;
        }
        // The sender is ours, so it does not end.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }
}

#[async_trait]
impl Alter for Held {
    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        self.turn().await;
        self.inner.accept(message, now).await
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        self.turn().await;
        self.inner.receive(received, now).await
    }
}
