//! A store that takes time and fails when told to, around the reference store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::*;
use hookpost_store::altered::{Alter, Altered};
use hookpost_store::queue::*;
use hookpost_store::*;
use parking_lot::Mutex;

pub(crate) type FaultyStore = Altered<Faulty>;

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: memory::MemoryStore,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Of claims, records and releases.
    pub(crate) latency: Duration,
    pub(crate) queue_is_away: bool,
    /// In per mille of claims, records and releases.
    pub(crate) failures: u64,
    pub(crate) records: usize,
    pub(crate) largest_record: usize,
    pub(crate) claims: usize,
    /// As after a long silence of this node: outcomes come too late, and it is not certain that leases hold.
    pub(crate) leases_are_lost: bool,
    pub(crate) leases_are_doubtful: bool,
    /// What the next claim takes over.
    pub(crate) taken_over: Option<health::Health>,
    pub(crate) tasks_are_elsewhere: bool,
    /// How often somebody wanted to work on a task.
    pub(crate) tasks_asked_for: usize,
    pub(crate) sources_are_elsewhere: bool,
    /// What is remembered of sources is not.
    pub(crate) states_are_lost: bool,
    pub(crate) intake_is_away: bool,
    /// Receipts that are still written down; the others hang, as in a crash.
    pub(crate) receives_left: Option<usize>,
    random: u64,
}

impl Faulty {
    pub(crate) fn around(inner: memory::MemoryStore, faults: Arc<Mutex<Faults>>) -> FaultyStore {
        Altered(Self { inner, faults })
    }

    async fn trouble(&self) -> Result<(), Unavailable> {
        let latency = self.faults.lock().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let mut faults = self.faults.lock();
        faults.random = faults.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if faults.queue_is_away || (faults.random >> 33) % 1000 < faults.failures {
            return Err(Unavailable("told to fail".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Alter for Faulty {
    fn inner(&self) -> &memory::MemoryStore {
        &self.inner
    }

    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable> {
        self.trouble().await?;
        self.faults.lock().claims += 1;
        let taken_over = self.faults.lock().taken_over.take();
        Ok(Claimed { taken_over, ..self.inner.claim(request, now).await? })
    }

    fn holds_leases(&self) -> bool {
        !self.faults.lock().leases_are_doubtful
    }

    async fn take_task(&self, _task: TaskId) -> Result<bool, Unavailable> {
        let mut faults = self.faults.lock();
        faults.tasks_asked_for += 1;
        Ok(!faults.tasks_are_elsewhere)
    }

    async fn take_source(&self, _source: SourceId) -> Result<bool, Unavailable> {
        Ok(!self.faults.lock().sources_are_elsewhere)
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        self.trouble().await?;
        self.inner.release(leases).await
    }

    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        self.trouble().await?;
        {
            let mut faults = self.faults.lock();
            faults.records += 1;
            faults.largest_record = faults.largest_record.max(records.len());
        }
        if self.faults.lock().leases_are_lost {
            self.inner.release(records.iter().map(|record| (record.key, record.lease)).collect()).await?;
        }
        self.inner.record(records, now).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        self.trouble().await?;
        self.inner.lanes().await
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        if self.faults.lock().intake_is_away {
            return Err(Unavailable("told to fail".into()).into());
        }
        let hangs = match &mut self.faults.lock().receives_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.inner.receive(received, now).await
    }

    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable> {
        if self.faults.lock().states_are_lost {
            return Ok(());
        }
        self.inner.set_source_state(id, state).await
    }
}
