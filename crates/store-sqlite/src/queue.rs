//! The engine's side: records, and what is asked for by hand.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::health::Health;
use hookpost_domain::{AttemptId, DeliveryKey, DeliveryState, EndpointId, Progress, Reason, Timestamp, Trigger};
use hookpost_store::queue::{Backlog, CancelFilter, Canceled, ClaimRequest, LaneState};
use hookpost_store::usage::UsageCounts;
use hookpost_store::{Claimed, LeaseId, Queue, Record, Recorded, Unavailable};
use hookpost_threads::ThreadId;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::SqliteStore;
use crate::cancel;
use crate::claim;
use crate::command::{Command, EndedLease, Failed, RecordCommand, WriteContext, Written};
use crate::error::{StoreError, closed};
use crate::intake::insert_due;
use crate::leases::{Lease, Origin};
use crate::messages;
use crate::rows;
use crate::shared::Shared;
use crate::tail::Counted;
use crate::writer::{Batch, HotStatements, Scratch};
use hookpost_store::codec::{decode_delivery, encode_attempt, encode_delivery, endpoint_id, trigger_number};

#[async_trait]
impl Queue for SqliteStore {
    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable> {
        self.read(move |connection, shared| claim::claim(connection, shared, request, now)).await
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        let mut held = self.shared.leases.lock();
        for (key, lease) in leases {
            held.release(key, lease);
        }
        Ok(())
    }

    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let command = RecordCommand { records, thread: ThreadId::current(), now, reply: Some(reply), outcome: Ok(Vec::new()) };
        self.shared.queue.push(Command::Record(command))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        self.read(lanes).await
    }

    async fn send_again(&self, deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                let mut count = 0;
                for key in deliveries {
                    count += usize::from(send_again(context, key, now)?);
                }
                Ok(Written::new(count))
            })
            .await
    }

    async fn cancel(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        let (chosen, more) = self.read(move |connection, shared| cancel::choose(connection, shared, endpoint, &which, limit)).await?;
        let count = self.shared.write(move |context| cancel::end(context, endpoint, &chosen, reason, now)).await?;
        self.read(move |connection, shared| claim::settle_backlog(connection, shared, endpoint)).await?;
        Ok(Canceled { count, more })
    }

    fn backlog(&self) -> Backlog {
        let unfinished = self.shared.unfinished.load(std::sync::atomic::Ordering::Relaxed);
        Backlog { deliveries: u64::try_from(unfinished).unwrap_or_default(), oldest_pending_at: self.shared.leases.lock().oldest_pending() }
    }
}

/// Writes what became of leased deliveries; those whose lease was lost are left out.
pub(crate) fn write(
    shared: &Shared,
    connection: &Connection,
    hot: &mut HotStatements<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
    command: &mut RecordCommand,
) -> Result<(), StoreError> {
    let mut outcomes = Vec::with_capacity(command.records.len());
    let first = batch.ended.len();
    let mut held = Vec::with_capacity(command.records.len());
    {
        let mut leases = shared.leases.lock();
        for record in command.records.iter() {
            let lease = leases.begin_record(record.key, record.lease);
            if lease.is_some() {
                batch.ended.push(EndedLease { key: record.key, lease: record.lease, transition: record.transition });
            }
            held.push(lease);
        }
    }
    debug_assert_eq!(batch.ended.len() - first, held.iter().flatten().count());
    for (record, lease) in command.records.iter().zip(&held) {
        outcomes.push(match lease {
            None => Recorded::LeaseLost,
            Some(lease) => Recorded::Done { attempt: write_one(shared, connection, hot, scratch, batch, record, lease, command.now)? },
        });
    }
    command.outcome = Ok(outcomes);
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the writer's tools, and one record with its lease")]
fn write_one(
    shared: &Shared,
    connection: &Connection,
    hot: &mut HotStatements<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
    record: &Record,
    lease: &Lease,
    now: Timestamp,
) -> Result<Option<AttemptId>, StoreError> {
    let DeliveryKey { message, endpoint } = record.key;
    let (raw_message, raw_endpoint) = (message.row().as_i64(), endpoint.row().as_i64());
    let (state, progress) = (record.transition.state, record.transition.progress);
    let attempt = record.attempt.as_ref().map(|attempt| {
        encode_attempt(attempt, &mut scratch.attempt);
        AttemptId::from_row(shared.new_row_id(now))
    });
    if lease.has_row {
        let old: Vec<u8> = connection
            .prepare_cached("SELECT data FROM delivery WHERE message = ?1 AND endpoint = ?2")?
            .query_row(params![raw_message, raw_endpoint], |row| row.get(0))?;
        let old = decode_delivery(&old)?;
        let last = match (attempt, old.last) {
            (Some(attempt), Some((id, data))) => {
                connection
                    .prepare_cached("INSERT INTO attempt (message, endpoint, id, data) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![raw_message, raw_endpoint, id.row().as_i64(), data])?;
                Some(attempt)
            }
            (None, Some((id, data))) => {
                scratch.attempt = data;
                Some(id)
            }
            (attempt, None) => attempt,
        };
        encode_delivery(state, progress, last.map(|id| (id, scratch.attempt.as_slice())), &mut scratch.row);
        connection.prepare_cached("UPDATE delivery SET data = ?3 WHERE message = ?1 AND endpoint = ?2")?.execute(params![
            raw_message,
            raw_endpoint,
            scratch.row
        ])?;
    } else {
        encode_delivery(state, progress, attempt.map(|id| (id, scratch.attempt.as_slice())), &mut scratch.row);
        hot.insert_delivery.execute(params![raw_message, raw_endpoint, scratch.row])?;
    }
    if lease.origin == Origin::Held {
        connection.prepare_cached("DELETE FROM held WHERE message = ?1 AND endpoint = ?2")?.execute(params![raw_message, raw_endpoint])?;
    }
    write_due(connection, record, lease)?;
    if let Some(health) = record.health {
        connection
            .prepare_cached("INSERT OR REPLACE INTO health (endpoint, data) VALUES (?1, ?2)")?
            .execute(params![raw_endpoint, hookpost_store::rows::to_json(&health)?])?;
    }
    let from = Counted::of(lease.state, lease.progress);
    batch.journal.transition(record.key, lease.created_at, attempt, from, Counted::of(state, progress));
    batch.journal.usage(record.application, &record.event_type, now, UsageCounts::of_record(record));
    Ok(attempt)
}

/// What was due is served; what comes next is put down.
fn write_due(connection: &Connection, record: &Record, lease: &Lease) -> Result<(), StoreError> {
    let (before, after) = (lease.state, record.transition.state);
    if before != after {
        if let DeliveryState::Waiting { at } = before {
            delete_due(connection, record.key, at, Trigger::Scheduled)?;
        }
        if let DeliveryState::Waiting { at } = after {
            insert_due(connection, record.key, at, Trigger::Scheduled)?;
        }
    }
    if let (Origin::Due { at }, Trigger::Manual) = (lease.origin, lease.trigger) {
        delete_due(connection, record.key, at, Trigger::Manual)?;
        match lease.again {
            Some(again) => set_manual(connection, record.key, again)?,
            None => delete_manual(connection, record.key)?,
        }
    }
    Ok(())
}

pub(crate) fn delete_due(connection: &Connection, key: DeliveryKey, at: Timestamp, trigger: Trigger) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM due WHERE endpoint = ?1 AND at_ms = ?2 AND message = ?3 AND trigger = ?4")?.execute(params![
        key.endpoint.row().as_i64(),
        at.unix_ms() as i64,
        key.message.row().as_i64(),
        trigger_number(trigger)
    ])?;
    Ok(())
}

pub(crate) fn delete_manual(connection: &Connection, key: DeliveryKey) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM manual WHERE message = ?1 AND endpoint = ?2")?
        .execute(params![key.message.row().as_i64(), key.endpoint.row().as_i64()])?;
    Ok(())
}

pub(crate) fn set_manual(connection: &Connection, key: DeliveryKey, at: Timestamp) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT OR REPLACE INTO manual (message, endpoint, at_ms) VALUES (?1, ?2, ?3)")?.execute(params![
        key.message.row().as_i64(),
        key.endpoint.row().as_i64(),
        at.unix_ms() as i64
    ])?;
    insert_due(connection, key, at, Trigger::Manual)
}

/// `false`: there is nothing to send, or nowhere.
fn send_again(context: &mut WriteContext<'_>, key: DeliveryKey, now: Timestamp) -> Result<bool, StoreError> {
    let connection = context.connection;
    let Some(message) = messages::load_header(connection, key.message)? else { return Ok(false) };
    if !messages::has_payload(connection, key.message)?
        || rows::application_of_endpoint(connection, key.endpoint)? != Some(message.application)
    {
        return Ok(false);
    }
    let is_routed = message.content.routing.targets.contains(&key.endpoint);
    if !is_routed && claim::delivery_state(connection, key)?.is_none() {
        let (state, mut row) = (DeliveryState::Canceled { reason: Reason::NotRouted }, Vec::new());
        encode_delivery(state, Progress::default(), None, &mut row);
        let (raw_message, raw_endpoint) = (key.message.row().as_i64(), key.endpoint.row().as_i64());
        connection.prepare_cached("INSERT INTO delivery (message, endpoint, data) VALUES (?1, ?2, ?3)")?.execute(params![
            raw_message,
            raw_endpoint,
            row
        ])?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO added_target (endpoint, message) VALUES (?1, ?2)")?
            .execute(params![raw_endpoint, raw_message])?;
        context.journal.transition(key, message.created_at, None, Counted::Nothing, Counted::Canceled);
    }
    match claim::manual_at(connection, key)? {
        None => set_manual(connection, key, now)?,
        // One that is under way is followed by another; one that still waits is the same.
        Some(_) if context.shared.leases.lock().ask_again(key, now) => {}
        Some(at) if now < at => {
            delete_due(connection, key, at, Trigger::Manual)?;
            set_manual(connection, key, now)?;
        }
        Some(_) => {}
    }
    Ok(true)
}

fn lanes(connection: &Connection, shared: &Shared) -> Result<Vec<LaneState>, StoreError> {
    let mut endpoints: Vec<EndpointId> = shared.leases.lock().backlogged().collect();
    // From one endpoint to the next, not through all that is due.
    let mut next = connection.prepare_cached("SELECT endpoint FROM due WHERE endpoint > ?1 ORDER BY endpoint LIMIT 1")?;
    let mut last = -1_i64;
    while let Some(row) = next.query([last])?.next()? {
        last = row.get(0)?;
        endpoints.push(endpoint_id(last));
    }
    let mut with_health = connection.prepare_cached("SELECT endpoint FROM health")?;
    for endpoint in with_health.query_map([], |row| row.get(0))? {
        endpoints.push(endpoint_id(endpoint?));
    }
    endpoints.sort_unstable();
    endpoints.dedup();

    let mut lanes = Vec::new();
    for endpoint in endpoints {
        let Some(application) = rows::application_of_endpoint(connection, endpoint)? else { continue };
        let health = health(connection, endpoint)?;
        let next_due = claim::next_due(connection, shared, endpoint, None)?;
        let ready = shared.leases.lock().backlog_from(endpoint).is_some();
        if ready || next_due.is_some() || health != Health::default() {
            lanes.push(LaneState { application, endpoint, ready, next_due, health, elsewhere: false });
        }
    }
    Ok(lanes)
}

fn health(connection: &Connection, endpoint: EndpointId) -> Result<Health, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM health WHERE endpoint = ?1")?;
    let mut rows = statement.query([endpoint.row().as_i64()])?;
    match rows.next()? {
        Some(row) => rows::json_column(row),
        None => Ok(Health::default()),
    }
}
