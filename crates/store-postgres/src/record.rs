//! One group of outcomes as one transaction.
//!
//! Most outcomes are those of first attempts of messages that this node accepted: their deliveries have no row yet, and get one with its final state. A
//! group of such is one statement. It fails where a row was there first (the endpoint was deleted, or this node was taken for dead); then, and for all
//! other groups, it goes in steps: what is still held is locked, and only that is written.
//!
//! No guard is needed: a row that somebody else has written, or a lease that somebody else has taken, shows that the lease was lost.

mod statements;
mod valid;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hookpost_domain::delivery::Transition;
use hookpost_domain::health::Health;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, AttemptId, DeliveryKey, DeliveryState, EndpointId, Reason, Timestamp};
use hookpost_store::queue::Backlog;
use hookpost_store::usage::UsageCounts;
use hookpost_store::{LeaseId, Record, Recorded, Unavailable};
use tokio::sync::oneshot;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::accept::rollback;
use crate::batch::{self, Group};
use crate::counts::CountChanges;
use crate::error::{StoreError, closed};
use crate::leases::Lease;
use crate::owners::{Scope, needed, own};
use crate::shared::Shared;
use crate::usage::UsageChanges;

use statements::{Columns, Statements};

/// About what a row of each table takes.
const RECORD_BYTES: usize = 512;

/// One call, on its way into a group.
#[derive(Debug)]
pub(crate) struct RecordCommand {
    pub(crate) records: Arc<Vec<Record>>,
    pub(crate) now: Timestamp,
    pub(crate) reply: oneshot::Sender<Result<Vec<Recorded>, Unavailable>>,
}

pub(crate) async fn record(shared: &Shared, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
    let (reply, answer) = oneshot::channel();
    shared.records.push(RecordCommand { records, now, reply }).await?;
    answer.await.unwrap_or_else(|_| Err(closed()))
}

pub(crate) fn backlog(shared: &Shared) -> Backlog {
    let deliveries = shared.unfinished.load(std::sync::atomic::Ordering::Relaxed).max(0) as u64;
    let oldest_pending_at = shared.leases.lock().oldest_implied_at().filter(|_| deliveries > 0);
    Backlog { deliveries, oldest_pending_at }
}

/// Until the token is cancelled and what was queued is written.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    let recording = Recording::new(&shared);
    batch::serve(&shared, recording, &shared.records, token).await;
}

pub(crate) struct Recording {
    shared: Arc<Shared>,
    statements: Option<Statements>,
    /// Sent, and nobody knows whether they were committed: they come again, and keep their ids.
    doubtful: HashMap<(DeliveryKey, LeaseId), Option<AttemptId>>,
    columns: Columns,
}

/// A record whose lease is held, as far as memory knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) record: &'a Record,
    pub(super) lease: Lease,
    /// What is written: not always what was to be recorded.
    pub(super) transition: Transition,
    pub(super) attempt: Option<AttemptId>,
    /// When it was to be recorded.
    now: Timestamp,
    /// Where its answer goes.
    command: usize,
    index: usize,
    doubtful: bool,
}

impl Entry<'_> {
    /// The delivery was canceled meanwhile, and counted so. What it came to is more than that only if it ended by itself.
    fn recalled(&mut self, reason: Reason) {
        if matches!(self.lease.status, DeliveryStatus::Pending | DeliveryStatus::Sending) {
            self.lease.status = DeliveryStatus::Canceled;
        }
        if !self.transition.state.is_final() {
            self.transition.state = DeliveryState::Canceled { reason };
        }
    }

    fn answer(&self) -> Recorded {
        match self.transition == self.record.transition {
            true => Recorded::Done { attempt: self.attempt },
            false => Recorded::Recalled { attempt: self.attempt },
        }
    }
}

/// In which scope the health of an endpoint is kept, and what it is to be.
type Healths = BTreeMap<EndpointId, (ApplicationId, Health)>;

impl Group for Recording {
    type Command = RecordCommand;
    const NAME: &'static str = "record";

    fn bytes(command: &RecordCommand) -> usize {
        command.records.len() * RECORD_BYTES
    }

    async fn connected(&mut self, client: &Client) -> Result<(), StoreError> {
        self.statements = Some(Statements::prepare(client).await?);
        Ok(())
    }

    async fn write(&mut self, client: &Client, commands: &mut Vec<RecordCommand>) -> Result<(), StoreError> {
        let statements = self.statements.take().ok_or_else(|| StoreError::Away("there is no connection".to_owned()))?;
        let written = self.write_group(client, &statements, commands).await;
        self.statements = Some(statements);
        let answers = written?;
        for (command, answer) in commands.drain(..).zip(answers) {
            // Whoever asked may be gone.
            let _ = command.reply.send(Ok(answer));
        }
        Ok(())
    }

    fn refuse(command: RecordCommand, why: &Unavailable) {
        let _ = command.reply.send(Err(why.clone()));
    }
}

impl Recording {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), statements: None, doubtful: HashMap::new(), columns: Columns::default() }
    }

    async fn write_group(
        &mut self,
        client: &Client,
        statements: &Statements,
        commands: &[RecordCommand],
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let mut answers: Vec<Vec<Recorded>> = commands.iter().map(|command| vec![Recorded::LeaseLost; command.records.len()]).collect();
        let entries = self.held(commands);
        if entries.is_empty() {
            return Ok(answers);
        }
        let done = match self.at_once(client, statements, &entries).await? {
            true => entries,
            false => self.in_steps(client, statements, entries).await?,
        };
        self.ended(&done);
        for entry in done {
            answers[entry.command][entry.index] = entry.answer();
        }
        Ok(answers)
    }

    /// Those whose leases are held, each delivery once, with ids for their attempts.
    fn held<'a>(&mut self, commands: &'a [RecordCommand]) -> Vec<Entry<'a>> {
        let leases = self.shared.leases.lock();
        let mut ids = self.shared.ids.lock();
        let mut seen = HashSet::with_hasher(foldhash::fast::RandomState::default());
        let mut entries = Vec::with_capacity(commands.iter().map(|command| command.records.len()).sum());
        for (command, call) in commands.iter().enumerate() {
            for (index, record) in call.records.iter().enumerate() {
                let Some(lease) = leases.of(record.key, record.lease).filter(|_| seen.insert(record.key)) else { continue };
                let known = self.doubtful.get(&(record.key, record.lease)).copied();
                let attempt = match known {
                    Some(known) => known,
                    None => record.attempt.as_ref().map(|_| AttemptId::from_row(ids.next(call.now))),
                };
                let (transition, doubtful) = (record.transition, known.is_some());
                entries.push(Entry { record, lease, transition, attempt, now: call.now, command, index, doubtful });
            }
        }
        entries
    }

    /// `false`: something does not fit, and nothing was written.
    async fn at_once(&mut self, client: &Client, statements: &Statements, entries: &[Entry<'_>]) -> Result<bool, StoreError> {
        if !entries.iter().all(|entry| entry.lease.implied && !entry.doubtful && entry.record.health.is_none()) {
            return Ok(false);
        }
        let counted = Counted::of(entries);
        self.in_doubt(entries);
        match statements.at_once(client, entries, &counted, &mut self.columns).await {
            Ok(()) => {
                self.decided(entries);
                counted.deliveries.committed(&self.shared);
                Ok(true)
            }
            Err(error) => {
                self.failed(&error, entries);
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Returns those that were written, now or before.
    async fn in_steps<'a>(
        &mut self,
        client: &Client,
        statements: &Statements,
        entries: Vec<Entry<'a>>,
    ) -> Result<Vec<Entry<'a>>, StoreError> {
        let healths = self.healths_to_keep(client, &entries).await?;
        let found = match valid::find(client, self.shared.node.holder(), statements, &entries).await {
            Ok(found) => found,
            Err(error) => {
                rollback(client).await;
                return Err(error);
            }
        };
        let all = entries.clone();
        let (valid, written_before) = found.split(entries);
        let valid_keys: HashSet<EndpointId> =
            valid.iter().filter(|entry| entry.record.health.is_some()).map(|entry| entry.record.key.endpoint).collect();
        let healths: Healths = healths.into_iter().filter(|(endpoint, _)| valid_keys.contains(endpoint)).collect();
        let counted = Counted::of(&valid);
        self.in_doubt(&valid);
        if let Err(error) = statements.finish(client, &valid, &found.explicit, &healths, &counted, &mut self.columns).await {
            self.failed(&error, &valid);
            return Err(error);
        }
        self.decided(&all);
        counted.deliveries.committed(&self.shared);
        self.keep_healths(healths);
        Ok(valid.into_iter().chain(written_before).collect())
    }

    fn in_doubt(&mut self, entries: &[Entry<'_>]) {
        self.doubtful.extend(entries.iter().map(|entry| ((entry.record.key, entry.record.lease), entry.attempt)));
    }

    /// Unless the connection is lost, the server did not write them now. What an earlier connection had under way may be written all the same.
    fn failed(&mut self, error: &StoreError, entries: &[Entry<'_>]) {
        if error.is_connection_lost() {
            return;
        }
        for entry in entries.iter().filter(|entry| !entry.doubtful) {
            self.doubtful.remove(&(entry.record.key, entry.record.lease));
        }
    }

    /// It is known what became of them.
    fn decided(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            self.doubtful.remove(&(entry.record.key, entry.record.lease));
        }
        if !self.doubtful.is_empty() {
            // Nobody records what is not held any more.
            let leases = self.shared.leases.lock();
            self.doubtful.retain(|(key, lease), _| leases.of(*key, *lease).is_some());
        }
    }

    fn ended(&self, done: &[Entry<'_>]) {
        let mut leases = self.shared.leases.lock();
        for entry in done {
            leases.end(entry.record.key);
        }
        self.shared.recalled.forget(done.iter().map(|entry| entry.record.key));
    }

    /// Of endpoints that no other node serves; the last of the group counts.
    async fn healths_to_keep(&self, client: &Client, entries: &[Entry<'_>]) -> Result<Healths, StoreError> {
        let mut healths = Healths::new();
        for record in entries.iter().map(|entry| entry.record) {
            healths.extend(record.health.map(|health| (record.key.endpoint, (record.application, health))));
        }
        let mut kept = Healths::new();
        for (endpoint, (application, health)) in healths {
            let view = self.shared.catalog.application(application);
            let needed = view.and_then(|view| needed(&self.shared, &view, endpoint)).unwrap_or(Scope::Endpoint(endpoint));
            if own(&self.shared, client, needed).await? {
                kept.insert(endpoint, (application, health));
            }
        }
        Ok(kept)
    }

    fn keep_healths(&self, healths: Healths) {
        if healths.is_empty() {
            return;
        }
        let mut unhealthy = self.shared.unhealthy.write();
        for (endpoint, (_, health)) in healths {
            match health == Health::default() {
                true => unhealthy.remove(&endpoint),
                false => unhealthy.insert(endpoint, health),
            };
        }
        drop(unhealthy);
        self.shared.hints.others_should_look();
    }
}

/// What a group adds to what is counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) deliveries: CountChanges,
    pub(super) usage: UsageChanges,
}

impl Counted {
    fn of(entries: &[Entry<'_>]) -> Self {
        let mut counted = Self::default();
        for Entry { record, lease, transition, now, .. } in entries {
            let to = DeliveryStatus::of(transition.state, transition.progress);
            counted.deliveries.moved(record.key.endpoint, lease.created_at, lease.status, to);
            counted.usage.add(record.application, &record.event_type, *now, UsageCounts::of_record(record));
        }
        counted
    }
}
