//! Messages with their deliveries and attempts, as they are read and written in a move.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, AttemptId, Delivery, DeliveryKey, DeliveryState, EndpointId, MessageId, Progress, RowId};
use hookpost_store::codec::{StateColumns, decode_message, endpoint_id, message_id, time};
use hookpost_store::transfer::{BATCH_PAYLOAD_BYTES_MAX, BATCH_ROWS_MAX, Batch, Key, MessageRow, MovedAttempt, MovedDelivery, Row, key};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use crate::counts::{CountChanges, CountColumns, minute_of};
use crate::error::StoreError;

/// How large messages are is known without reading them.
const SIZES: &str = "SELECT id, coalesce(octet_length(payload), 0)::bigint FROM hookpost.message WHERE id > $1 ORDER BY id LIMIT $2";
const MESSAGES: &str = "SELECT id, application, header, payload FROM hookpost.message WHERE id BETWEEN $1 AND $2 ORDER BY id";
/// The offset keeps the planner from reading all that waits for the sake of a few messages.
const DELIVERIES: &str =
    "SELECT delivery.message, delivery.endpoint, delivery.state, delivery.reason, delivery.due_at_ms, delivery.attempts,
        delivery.scheduled_attempts, queued.manual_at_ms
    FROM hookpost.delivery LEFT JOIN LATERAL (
        SELECT least(queue.manual_at_ms, queue.leased_manual_at_ms) AS manual_at_ms FROM hookpost.queue
        WHERE queue.endpoint = delivery.endpoint AND queue.message = delivery.message OFFSET 0) AS queued ON true
    WHERE delivery.message BETWEEN $1 AND $2";
const ATTEMPTS: &str = "SELECT message, endpoint, id, data FROM hookpost.attempt WHERE message BETWEEN $1 AND $2 ORDER BY message, id";

pub(super) async fn export(client: &Client, after: Option<&Key>) -> Result<Batch, StoreError> {
    let sizes = client.query(SIZES, &[&key::to_id(after)?, &(BATCH_ROWS_MAX as i64)]).await?;
    let Some(first) = sizes.first() else { return Ok(Batch::default()) };
    let first: i64 = first.try_get(0)?;
    let (mut last, mut count, mut bytes) = (first, 0, 0);
    for row in &sizes {
        last = row.try_get(0)?;
        count += 1;
        bytes += usize::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default();
        if bytes >= BATCH_PAYLOAD_BYTES_MAX {
            break;
        }
    }
    let more = count < sizes.len() || count == BATCH_ROWS_MAX || bytes >= BATCH_PAYLOAD_BYTES_MAX;
    let (mut deliveries, mut attempts) = (deliveries(client, first, last).await?, attempts(client, first, last).await?);
    let mut rows = Vec::with_capacity(count);
    for row in client.query(MESSAGES, &[&first, &last]).await? {
        let id = message_id(row.try_get(0)?);
        let mut message = MessageRow {
            id,
            application: ApplicationId::from_row(RowId::from_i64(row.try_get(1)?)),
            header: row.try_get(2)?,
            payload: row.try_get(3)?,
            deliveries: Vec::new(),
            attempts: attempts.remove(&id).unwrap_or_default(),
        };
        message.deliveries = with_implied(&message, deliveries.remove(&id).unwrap_or_default())?;
        rows.push(Row::Message(message));
    }
    Ok(Batch { rows, next: more.then(|| key::of_id(last)) })
}

/// What nobody wrote down is pending.
fn with_implied(message: &MessageRow, mut rows: BTreeMap<EndpointId, MovedDelivery>) -> Result<Vec<MovedDelivery>, StoreError> {
    for endpoint in decode_message(message.id, message.application, &message.header, None)?.content.routing.targets {
        let pending = MovedDelivery { endpoint, state: DeliveryState::Pending, progress: Progress::default(), manual_at: None };
        rows.entry(endpoint).or_insert(pending);
    }
    Ok(rows.into_values().collect())
}

type Deliveries = HashMap<MessageId, BTreeMap<EndpointId, MovedDelivery>>;

async fn deliveries(client: &Client, first: i64, last: i64) -> Result<Deliveries, StoreError> {
    let mut found = Deliveries::new();
    for row in client.query(DELIVERIES, &[&first, &last]).await? {
        let endpoint = endpoint_id(row.try_get(1)?);
        let state = StateColumns { state: row.try_get(2)?, reason: row.try_get(3)?, due_at_ms: row.try_get(4)? }.decode()?;
        let count = |column| Ok::<_, StoreError>(u32::try_from(row.try_get::<_, i32>(column)?).unwrap_or_default());
        let progress = Progress { attempts: count(5)?, scheduled_attempts: count(6)? };
        let manual_at = row.try_get::<_, Option<i64>>(7)?.map(time);
        found.entry(message_id(row.try_get(0)?)).or_default().insert(endpoint, MovedDelivery { endpoint, state, progress, manual_at });
    }
    Ok(found)
}

async fn attempts(client: &Client, first: i64, last: i64) -> Result<HashMap<MessageId, Vec<MovedAttempt>>, StoreError> {
    let mut found: HashMap<MessageId, Vec<MovedAttempt>> = HashMap::new();
    for row in client.query(ATTEMPTS, &[&first, &last]).await? {
        let id = AttemptId::from_row(RowId::from_i64(row.try_get(2)?));
        let attempt = MovedAttempt { id, endpoint: endpoint_id(row.try_get(1)?), data: row.try_get(3)? };
        found.entry(message_id(row.try_get(0)?)).or_default().push(attempt);
    }
    Ok(found)
}

/// Messages whose partitions are there, with all that follows from them.
pub(super) async fn import(transaction: &Transaction<'_>, messages: &[MessageRow]) -> Result<(), StoreError> {
    let mut counts = CountChanges::default();
    let mut expiries: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    let mut event_ids = EventIds::default();
    let mut targets = Vec::with_capacity(messages.len());
    for row in messages {
        let message = row.message()?;
        let content = &message.content;
        targets.push(content.routing.targets.iter().map(|target| target.row().as_i64()).collect::<Vec<_>>());
        if row.payload.is_some() {
            expiries.entry(minute_of(content.payload_expires_at)).or_default().push(row.id.row().as_i64());
        }
        if let Some(event_id) = &content.event_id {
            event_ids.push(row, event_id.as_str());
        }
        for delivery in &row.deliveries {
            counts.add(delivery.endpoint, message.created_at, status(row.id, delivery), 1);
        }
    }
    copy_messages(transaction, messages, &targets).await?;
    copy_deliveries(transaction, messages).await?;
    copy_queue(transaction, messages).await?;
    copy_attempts(transaction, messages).await?;
    copy_expiries(transaction, &expiries).await?;
    event_ids.insert(transaction).await?;
    insert_counts(transaction, &counts).await
}

fn status(message: MessageId, delivery: &MovedDelivery) -> DeliveryStatus {
    let key = DeliveryKey { message, endpoint: delivery.endpoint };
    Delivery { key, state: delivery.state, progress: delivery.progress }.status()
}

/// All rows of one table at once: nothing is quicker.
pub(super) async fn copy_into(transaction: &Transaction<'_>, table: &str, types: &[Type]) -> Result<BinaryCopyInWriter, StoreError> {
    let sink = transaction.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    Ok(BinaryCopyInWriter::new(sink, types))
}

async fn copy_messages(transaction: &Transaction<'_>, messages: &[MessageRow], targets: &[Vec<i64>]) -> Result<(), StoreError> {
    let types = [Type::INT8, Type::INT8, Type::INT8_ARRAY, Type::BYTEA, Type::BYTEA];
    let table = "hookpost.message (id, application, targets, header, payload)";
    let mut writer = pin!(copy_into(transaction, table, &types).await?);
    for (row, targets) in messages.iter().zip(targets) {
        let (id, application) = (row.id.row().as_i64(), row.application.row().as_i64());
        writer.as_mut().write(&[&id, &application, targets, &row.header, &row.payload]).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn copy_deliveries(transaction: &Transaction<'_>, messages: &[MessageRow]) -> Result<(), StoreError> {
    let types = [Type::INT8, Type::INT8, Type::INT2, Type::INT2, Type::INT8, Type::INT4, Type::INT4];
    let table = "hookpost.delivery (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)";
    let mut writer = pin!(copy_into(transaction, table, &types).await?);
    for (row, delivery) in deliveries_of(messages) {
        let StateColumns { state, reason, due_at_ms } = StateColumns::of(delivery.state);
        let (attempts, scheduled) = counts_of(delivery.progress);
        let (message, endpoint) = (row.id.row().as_i64(), delivery.endpoint.row().as_i64());
        writer.as_mut().write(&[&message, &endpoint, &state, &reason, &due_at_ms, &attempts, &scheduled]).await?;
    }
    writer.finish().await?;
    Ok(())
}

/// What has something to come: in nobody's hands.
async fn copy_queue(transaction: &Transaction<'_>, messages: &[MessageRow]) -> Result<(), StoreError> {
    let types = [Type::INT8, Type::INT8, Type::INT8, Type::BOOL, Type::INT8, Type::INT8, Type::INT8, Type::INT4, Type::INT4];
    let table = "hookpost.queue (endpoint, message, application, pending, scheduled_at_ms, manual_at_ms, next_at_ms, attempts,
        scheduled_attempts)";
    let mut writer = pin!(copy_into(transaction, table, &types).await?);
    for (row, delivery) in deliveries_of(messages) {
        if delivery.state.is_final() && delivery.manual_at.is_none() {
            continue;
        }
        let pending = delivery.state == DeliveryState::Pending;
        let scheduled_at = StateColumns::of(delivery.state).due_at_ms;
        let manual_at = delivery.manual_at.map(|at| at.unix_ms() as i64);
        let next_at = scheduled_at.into_iter().chain(manual_at).min();
        let (attempts, scheduled) = counts_of(delivery.progress);
        let [message, endpoint, application] = [row.id.row(), delivery.endpoint.row(), row.application.row()].map(RowId::as_i64);
        let columns: [&(dyn ToSql + Sync); 9] =
            [&endpoint, &message, &application, &pending, &scheduled_at, &manual_at, &next_at, &attempts, &scheduled];
        writer.as_mut().write(&columns).await?;
    }
    writer.finish().await?;
    Ok(())
}

async fn copy_attempts(transaction: &Transaction<'_>, messages: &[MessageRow]) -> Result<(), StoreError> {
    let types = [Type::INT8, Type::INT8, Type::INT8, Type::BYTEA];
    let mut writer = pin!(copy_into(transaction, "hookpost.attempt (message, id, endpoint, data)", &types).await?);
    for row in messages {
        for attempt in &row.attempts {
            let [message, id, endpoint] = [row.id.row(), attempt.id.row(), attempt.endpoint.row()].map(RowId::as_i64);
            writer.as_mut().write(&[&message, &id, &endpoint, &attempt.data]).await?;
        }
    }
    writer.finish().await?;
    Ok(())
}

async fn copy_expiries(transaction: &Transaction<'_>, expiries: &BTreeMap<i32, Vec<i64>>) -> Result<(), StoreError> {
    let types = [Type::INT4, Type::INT8_ARRAY];
    let mut writer = pin!(copy_into(transaction, "hookpost.payload_expiry (minute, messages)", &types).await?);
    for (minute, messages) in expiries {
        writer.as_mut().write(&[minute, messages]).await?;
    }
    writer.finish().await?;
    Ok(())
}

fn deliveries_of(messages: &[MessageRow]) -> Vec<(&MessageRow, &MovedDelivery)> {
    let mut deliveries = Vec::new();
    for row in messages {
        deliveries.extend(row.deliveries.iter().map(|delivery| (row, delivery)));
    }
    deliveries
}

fn counts_of(progress: Progress) -> (i32, i32) {
    let column = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    (column(progress.attempts), column(progress.scheduled_attempts))
}

/// As columns.
#[derive(Default)]
struct EventIds {
    applications: Vec<i64>,
    event_ids: Vec<String>,
    messages: Vec<i64>,
}

impl EventIds {
    fn push(&mut self, row: &MessageRow, event_id: &str) {
        self.applications.push(row.application.row().as_i64());
        self.event_ids.push(event_id.to_owned());
        self.messages.push(row.id.row().as_i64());
    }

    async fn insert(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let insert = "INSERT INTO hookpost.event_id (application, event_id, message)
            SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])";
        transaction.execute(insert, &[&self.applications, &self.event_ids, &self.messages]).await?;
        Ok(())
    }
}

async fn insert_counts(transaction: &Transaction<'_>, counts: &CountChanges) -> Result<(), StoreError> {
    let CountColumns { endpoints, minutes, statuses, changes } = counts.columns();
    let upsert = "INSERT INTO hookpost.count_sum AS known (endpoint, minute, status, deliveries)
        SELECT * FROM unnest($1::bigint[], $2::integer[], $3::smallint[], $4::integer[])
        ON CONFLICT (endpoint, minute, status) DO UPDATE SET deliveries = known.deliveries + excluded.deliveries";
    transaction.execute(upsert, &[&endpoints, &minutes, &statuses, &changes]).await?;
    Ok(())
}
