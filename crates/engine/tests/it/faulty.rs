//! A store that takes time and fails when told to, around the reference store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::*;
use hookpost_store::altered::{Alter, Altered};
use hookpost_store::ledger::ProgressChange;
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
    /// Canceled by another node while this one holds them.
    pub(crate) recalled: HashSet<DeliveryKey>,
    /// What the next claim takes over.
    pub(crate) taken_over: Option<health::Health>,
    pub(crate) tasks_are_elsewhere: bool,
    /// How often somebody wanted to work on a task.
    pub(crate) tasks_asked_for: usize,
    pub(crate) sources_are_elsewhere: bool,
    pub(crate) sinks_are_elsewhere: bool,
    /// How often somebody asked whether he is the one to look after a sink.
    pub(crate) sinks_asked_for: usize,
    /// Steps of progress that are still written down; those after them hang, as in a crash.
    pub(crate) advances_left: Option<usize>,
    pub(crate) ledger_is_away: bool,
    pub(crate) feeds_read: usize,
    /// Messages that are still accepted; those after them are written down, and their answer is lost in a crash.
    pub(crate) accepts_left: Option<usize>,
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

    /// For ever once none is left, as whoever waits does in a crash.
    async fn hang_after(&self, left: impl Fn(&mut Faults) -> &mut Option<usize>) {
        let hangs = match left(&mut self.faults.lock()) {
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

    fn is_recalled(&self, key: DeliveryKey) -> bool {
        self.faults.lock().recalled.contains(&key)
    }

    async fn take_task(&self, _task: TaskId) -> Result<bool, Unavailable> {
        let mut faults = self.faults.lock();
        faults.tasks_asked_for += 1;
        Ok(!faults.tasks_are_elsewhere)
    }

    async fn take_source(&self, _source: SourceId) -> Result<bool, Unavailable> {
        Ok(!self.faults.lock().sources_are_elsewhere)
    }

    async fn take_sink(&self, _sink: SinkId) -> Result<bool, Unavailable> {
        let mut faults = self.faults.lock();
        faults.sinks_asked_for += 1;
        Ok(!faults.sinks_are_elsewhere)
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        self.trouble().await?;
        let recalled = {
            let faults = self.faults.lock();
            leases.iter().map(|(key, _)| *key).filter(|key| faults.recalled.contains(key)).collect::<Vec<_>>()
        };
        self.inner.release(leases).await?;
        for key in recalled {
            let which = CancelFilter { messages: Some(vec![key.message]), ..CancelFilter::default() };
            self.inner.cancel(key.endpoint, which, Reason::CanceledByUser, 1, Timestamp::ZERO).await?;
        }
        Ok(())
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
        let recalled: Vec<bool> = {
            let faults = self.faults.lock();
            let is_called_off = |record: &Record| faults.recalled.contains(&record.key) && !record.transition.state.is_final();
            records.iter().map(is_called_off).collect()
        };
        let mut written = Vec::clone(&records);
        for (record, _) in written.iter_mut().zip(&recalled).filter(|(_, recalled)| **recalled) {
            record.transition.state = DeliveryState::Canceled { reason: Reason::CanceledByUser };
        }
        let answers = self.inner.record(Arc::new(written), now).await?;
        let answers = answers.into_iter().zip(recalled).map(|(answer, recalled)| match answer {
            Recorded::Done { attempt } if recalled => Recorded::Recalled { attempt },
            other => other,
        });
        Ok(answers.collect())
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        self.trouble().await?;
        self.inner.lanes().await
    }

    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        let accepted = self.inner.accept(message, now).await;
        self.hang_after(|faults| &mut faults.accepts_left).await;
        accepted
    }

    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable> {
        self.faults.lock().feeds_read += 1;
        self.inner.feed(application, after, limits).await
    }

    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        if self.faults.lock().ledger_is_away {
            return Err(Unavailable("told to fail".into()));
        }
        self.hang_after(|faults| &mut faults.advances_left).await;
        self.inner.advance(key, change, entries).await
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        if self.faults.lock().intake_is_away {
            return Err(Unavailable("told to fail".into()).into());
        }
        self.hang_after(|faults| &mut faults.receives_left).await;
        self.inner.receive(received, now).await
    }

    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable> {
        if self.faults.lock().states_are_lost {
            return Ok(());
        }
        self.inner.set_source_state(id, state).await
    }
}
