//! Brings outcomes and released leases to the store, in batches: while one batch is written the next gathers, so there is one transaction and one
//! wake-up per batch, and the batch is as large as the store is slow. Where nobody waits for an outcome, batches keep a distance, too: producers
//! wait for every commit that theirs comes after.
//!
//! What the store cannot take now is kept and tried again; the engine stops making more when too much has gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookpost_domain::delivery::{DeliveryKey, DeliveryState};
use hookpost_domain::{AttemptId, Timestamp};
use hookpost_store::queue::{LeaseId, Record, Recorded};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::lane::Work;
use crate::lanes::LaneCell;
use crate::operational::AttemptStory;

/// Outcomes that are not recorded yet: beyond this nothing more is attempted.
const UNRECORDED_MAX: usize = 8192;
/// So many do not wait until it is time for the next batch.
const MUCH: usize = 512;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    gathering: Mutex<Gathering>,
    gathered: Notify,
    unrecorded: AtomicUsize,
}

#[derive(Debug, Default)]
struct Gathering {
    records: Vec<Record>,
    sequels: Vec<Sequel>,
    leases: Vec<(DeliveryKey, LeaseId)>,
    released: Vec<(Arc<LaneCell>, usize)>,
    /// Lanes that look again when all that was gathered before is written: what they are looking for may be among it.
    woken: Vec<Arc<LaneCell>>,
    /// A lane waits for one of the outcomes.
    awaited: bool,
}

impl Gathering {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.leases.is_empty() && self.woken.is_empty()
    }

    fn is_urgent(&self) -> bool {
        self.awaited || !self.leases.is_empty() || !self.woken.is_empty() || self.records.len() >= MUCH
    }
}

/// What is to be done once an outcome is in the store.
#[derive(Debug, Default)]
pub(crate) struct Sequel {
    /// The lane that wants to know.
    pub(crate) lane: Option<Arc<LaneCell>>,
    /// Worth telling the tenant.
    pub(crate) story: Option<Box<AttemptStory>>,
}

impl Recorder {
    fn record(&self, record: Record, sequel: Sequel) {
        let mut gathering = self.gathering.lock();
        let before = (gathering.is_empty(), gathering.is_urgent());
        gathering.awaited |= sequel.lane.is_some();
        gathering.records.push(record);
        gathering.sequels.push(sequel);
        let changed = before != (false, gathering.is_urgent());
        drop(gathering);
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        if changed {
            self.gathered.notify_one();
        }
    }

    /// The lanes are told when it is done.
    pub(crate) fn release(&self, given_back: Vec<(Arc<LaneCell>, Work)>) {
        if given_back.is_empty() {
            return;
        }
        let mut gathering = self.gathering.lock();
        for (cell, work) in given_back {
            gathering.leases.push((work.leased.key, work.leased.lease));
            match gathering.released.last_mut() {
                Some((last, count)) if Arc::ptr_eq(last, &cell) => *count += 1,
                _ => gathering.released.push((cell, 1)),
            }
        }
        drop(gathering);
        self.gathered.notify_one();
    }

    pub(crate) fn wake_after(&self, cell: Arc<LaneCell>) {
        self.gathering.lock().woken.push(cell);
        self.gathered.notify_one();
    }

    /// Leases that no lane has counted.
    pub(crate) fn release_untracked(&self, leases: Vec<(DeliveryKey, LeaseId)>) {
        if leases.is_empty() {
            return;
        }
        self.gathering.lock().leases.extend(leases);
        self.gathered.notify_one();
    }

    fn take(&self) -> Gathering {
        std::mem::take(&mut *self.gathering.lock())
    }

    fn is_congested(&self) -> bool {
        self.unrecorded.load(Ordering::Relaxed) > UNRECORDED_MAX
    }
}

impl Engine {
    pub(crate) fn record(&self, record: Record, sequel: Sequel) {
        self.recorder.record(record, sequel);
        if self.recorder.is_congested() {
            self.shared.halt(true);
        }
    }

    /// Writes until no more outcomes come, and then what is left.
    pub(crate) async fn serve_recorder(self: Arc<Self>) {
        let mut next_at = tokio::time::Instant::now();
        while self.batch_is_ready(next_at).await {
            next_at = tokio::time::Instant::now() + self.store.records_apart();
            let batch = self.recorder.take();
            if !batch.records.is_empty() && !self.write_records(batch.records, batch.sequels).await {
                return;
            }
            if !batch.leases.is_empty() {
                self.write_releases(batch.leases, batch.released).await;
            }
            for cell in batch.woken {
                cell.lane.lock().due_at(self.clock.now());
                self.plan(&cell);
            }
        }
    }

    /// Waits until there is something to write and, unless it is urgent, until it is time. `false`: nothing is left, and nothing will come.
    async fn batch_is_ready(&self, next_at: tokio::time::Instant) -> bool {
        loop {
            let (empty, urgent) = {
                let gathering = self.recorder.gathering.lock();
                (gathering.is_empty(), gathering.is_urgent())
            };
            let ending = self.recording_ends.is_cancelled();
            if urgent || ending || (!empty && tokio::time::Instant::now() >= next_at) {
                return !empty;
            }
            tokio::select! {
                () = self.recorder.gathered.notified() => {}
                () = self.recording_ends.cancelled() => {}
                () = tokio::time::sleep_until(next_at), if !empty => {}
            }
        }
    }

    /// `false`: the store is away and so are we, in a moment.
    async fn write_records(self: &Arc<Self>, records: Vec<Record>, sequels: Vec<Sequel>) -> bool {
        let count = records.len();
        let records = Arc::new(records);
        let mut retry = RETRY_FIRST;
        let results = loop {
            let started = tokio::time::Instant::now();
            match self.store.record(Arc::clone(&records), self.clock.now()).await {
                Ok(results) => {
                    self.metrics.recorded(count, started.elapsed());
                    break results;
                }
                Err(problem) => {
                    tracing::warn!(%problem, outcomes = count, "cannot record outcomes; trying again");
                    if self.recording_ends.is_cancelled() && retry >= RETRY_MAX {
                        tracing::error!(outcomes = count, "giving up: these deliveries will be attempted again after the start");
                        return false;
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        };
        let left = self.recorder.unrecorded.fetch_sub(count, Ordering::Relaxed) - count;
        for ((record, result), sequel) in records.iter().zip(results).zip(sequels) {
            self.follow_up(record, result, sequel);
        }
        if left <= UNRECORDED_MAX / 2 && self.shared.is_halted() {
            self.shared.halt(false);
            for cell in self.lanes.all() {
                self.plan(&cell);
            }
        }
        true
    }

    fn follow_up(self: &Arc<Self>, record: &Record, result: Recorded, sequel: Sequel) {
        let (attempt, due): (Option<AttemptId>, Option<Timestamp>) = match (result, record.transition.state) {
            (Recorded::Done { attempt }, DeliveryState::Waiting { at }) => (attempt, Some(at)),
            (Recorded::Done { attempt }, _) => (attempt, None),
            // The lane may be waiting for a retry that will not come.
            (Recorded::Recalled { attempt }, _) => (attempt, Some(self.clock.now())),
            (Recorded::LeaseLost, _) => {
                self.metrics.lease_lost();
                let ids = self.store.public_ids();
                let (message_id, endpoint_id) = (ids.encode(record.key.message), ids.encode(record.key.endpoint));
                tracing::warn!(message_id, endpoint_id, "another holder had the delivery by the time its outcome was recorded");
                // Whatever it was that came between: the store knows what is due.
                (None, Some(self.clock.now()))
            }
        };
        if let Some(cell) = &sequel.lane {
            cell.lane.lock().recorded(due, self.clock.now());
            self.plan(cell);
        }
        if let (Some(story), Some(attempt)) = (sequel.story, attempt) {
            self.tell(&story, attempt);
        }
    }

    async fn write_releases(self: &Arc<Self>, leases: Vec<(DeliveryKey, LeaseId)>, released: Vec<(Arc<LaneCell>, usize)>) {
        let mut retry = RETRY_FIRST;
        while let Err(problem) = self.store.release(leases.clone()).await {
            tracing::warn!(%problem, leases = leases.len(), "cannot release deliveries; trying again");
            if self.recording_ends.is_cancelled() {
                // Leases end with the process.
                return;
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
        for (cell, count) in released {
            cell.lane.lock().released(count);
            self.plan(&cell);
        }
    }
}
