//! What a group of outcomes says to the database.

use std::collections::HashMap;

use hookpost_domain::health::Health;
use hookpost_domain::{DeliveryKey, DeliveryState};
use hookpost_store::codec::{StateColumns, encode_attempt};
use hookpost_store::rows::to_json;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::valid::Explicit;
use super::{Counted, Entry, Healths};
use crate::batch::first_failure;
use crate::counts::CountColumns;
use crate::error::StoreError;

/// First attempts of what this node accepted. A row that is there already is an error, and undoes all.
///
/// The deliveries are the outermost statement, because PostgreSQL runs that first: wherever two groups meet, they meet there, and the later one waits
/// before it has written anything that the earlier one wants to write.
const AT_ONCE: &str = "
    WITH attempts AS (
        INSERT INTO hookpost.attempt (message, endpoint, id, data)
        SELECT * FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[])
    ),
    counts AS (
        INSERT INTO hookpost.count_change (endpoints, minutes, statuses, changes)
        SELECT $12::bigint[], $13::integer[], $14::smallint[], $15::integer[] WHERE cardinality($12::bigint[]) > 0
    ),
    usages AS (
        INSERT INTO hookpost.usage_change (applications, spans, event_types, messages, deliveries, success, failure, canceled)
        SELECT $16::bigint[], $17::integer[], $18::text[], $19::integer[], $20::integer[], $21::integer[], $22::integer[], $23::integer[]
        WHERE cardinality($16::bigint[]) > 0
    )
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::integer[], $7::integer[])";

/// The same, and some are to be tried again.
const AT_ONCE_WITH_RETRIES: &str = "
    WITH attempts AS (
        INSERT INTO hookpost.attempt (message, endpoint, id, data)
        SELECT * FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[])
    ),
    counts AS (
        INSERT INTO hookpost.count_change (endpoints, minutes, statuses, changes)
        SELECT $12::bigint[], $13::integer[], $14::smallint[], $15::integer[] WHERE cardinality($12::bigint[]) > 0
    ),
    usages AS (
        INSERT INTO hookpost.usage_change (applications, spans, event_types, messages, deliveries, success, failure, canceled)
        SELECT $16::bigint[], $17::integer[], $18::text[], $19::integer[], $20::integer[], $21::integer[], $22::integer[], $23::integer[]
        WHERE cardinality($16::bigint[]) > 0
    ),
    again AS (
        INSERT INTO hookpost.queue (message, endpoint, application, pending, scheduled_at_ms, next_at_ms, attempts, scheduled_attempts)
        SELECT message, endpoint, application, due_at_ms IS NULL, due_at_ms, due_at_ms, attempts, scheduled_attempts
        FROM unnest($24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::integer[], $29::integer[])
            AS new (message, endpoint, application, due_at_ms, attempts, scheduled_attempts)
    )
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::integer[], $7::integer[])";

const INSERT_DELIVERIES: &str = "
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::integer[], $7::integer[])
    ON CONFLICT DO NOTHING
    RETURNING message, endpoint";
/// Sees also what this node has just written down, or another has just changed.
const LOCK_QUEUE: &str = "
    SELECT queue.message, queue.endpoint, queue.lease, queue.manual_at_ms IS NOT NULL, queue.recalled
    FROM unnest($1::bigint[], $2::bigint[]) AS wanted (message, endpoint)
    JOIN hookpost.queue ON queue.endpoint = wanted.endpoint AND queue.message = wanted.message
    WHERE queue.holder = $3
    ORDER BY queue.endpoint, queue.message
    FOR UPDATE OF queue";
const FIND_ATTEMPTS: &str = "
    SELECT attempt.id FROM unnest($1::bigint[], $2::bigint[]) AS wanted (message, id)
    JOIN hookpost.attempt ON attempt.message = wanted.message AND attempt.id = wanted.id";
const FIND_STATES: &str = "
    SELECT delivery.message, delivery.endpoint, delivery.state, delivery.reason, delivery.due_at_ms, delivery.attempts
    FROM unnest($1::bigint[], $2::bigint[]) AS wanted (message, endpoint)
    JOIN hookpost.delivery ON delivery.message = wanted.message AND delivery.endpoint = wanted.endpoint";

const UPDATE_DELIVERIES: &str = "
    UPDATE hookpost.delivery
    SET state = new.state, reason = new.reason, due_at_ms = new.due_at_ms, attempts = new.attempts, scheduled_attempts = new.scheduled_attempts
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::integer[], $7::integer[])
        AS new (message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts)
    WHERE delivery.message = new.message AND delivery.endpoint = new.endpoint";
const DELETE_QUEUE: &str = "
    DELETE FROM hookpost.queue USING unnest($1::bigint[], $2::bigint[]) AS done (message, endpoint)
    WHERE queue.endpoint = done.endpoint AND queue.message = done.message";
/// Also of what is done, where somebody asked for another attempt meanwhile.
const UPDATE_QUEUE: &str = "
    UPDATE hookpost.queue
    SET pending = new.pending, scheduled_at_ms = new.due_at_ms, next_at_ms = least(new.due_at_ms, queue.manual_at_ms),
        attempts = new.attempts, scheduled_attempts = new.scheduled_attempts, holder = NULL, lease = NULL, leased_manual_at_ms = NULL,
        recalled = NULL, recall_heard = false
    FROM unnest($1::bigint[], $2::bigint[], $3::boolean[], $4::bigint[], $5::integer[], $6::integer[])
        AS new (message, endpoint, pending, due_at_ms, attempts, scheduled_attempts)
    WHERE queue.endpoint = new.endpoint AND queue.message = new.message";
const INSERT_QUEUE: &str = "
    INSERT INTO hookpost.queue (message, endpoint, application, pending, scheduled_at_ms, next_at_ms, attempts, scheduled_attempts)
    SELECT message, endpoint, application, due_at_ms IS NULL, due_at_ms, due_at_ms, attempts, scheduled_attempts
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[])
        AS new (message, endpoint, application, due_at_ms, attempts, scheduled_attempts)";
const INSERT_ATTEMPTS: &str = "
    INSERT INTO hookpost.attempt (message, endpoint, id, data) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])";
const KEEP_HEALTH: &str = "
    INSERT INTO hookpost.health (endpoint, application, data)
    SELECT endpoint, application, data FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (endpoint, application, data)
    ON CONFLICT (endpoint) DO UPDATE SET data = excluded.data";
const DROP_HEALTH: &str = "DELETE FROM hookpost.health WHERE endpoint = ANY($1::bigint[])";

/// Prepared once per connection.
pub(super) struct Statements {
    at_once: Statement,
    at_once_with_retries: Statement,
    insert_deliveries: Statement,
    lock_queue: Statement,
    find_attempts: Statement,
    find_states: Statement,
    update_deliveries: Statement,
    delete_queue: Statement,
    update_queue: Statement,
    insert_queue: Statement,
    insert_attempts: Statement,
    keep_health: Statement,
    drop_health: Statement,
}

/// Buffers that are used again for every group.
#[derive(Debug, Default)]
pub(super) struct Columns {
    attempts: Vec<Vec<u8>>,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, StoreError> {
        Ok(Self {
            at_once: client.prepare(AT_ONCE).await?,
            at_once_with_retries: client.prepare(AT_ONCE_WITH_RETRIES).await?,
            insert_deliveries: client.prepare(INSERT_DELIVERIES).await?,
            lock_queue: client.prepare(LOCK_QUEUE).await?,
            find_attempts: client.prepare(FIND_ATTEMPTS).await?,
            find_states: client.prepare(FIND_STATES).await?,
            update_deliveries: client.prepare(UPDATE_DELIVERIES).await?,
            delete_queue: client.prepare(DELETE_QUEUE).await?,
            update_queue: client.prepare(UPDATE_QUEUE).await?,
            insert_queue: client.prepare(INSERT_QUEUE).await?,
            insert_attempts: client.prepare(INSERT_ATTEMPTS).await?,
            keep_health: client.prepare(KEEP_HEALTH).await?,
            drop_health: client.prepare(DROP_HEALTH).await?,
        })
    }

    pub(super) async fn at_once(
        &self,
        client: &Client,
        entries: &[Entry<'_>],
        counted: &Counted,
        columns: &mut Columns,
    ) -> Result<(), StoreError> {
        let rows = DeliveryRows::in_order_of_keys(entries);
        let attempts = AttemptRows::of(entries, columns);
        let again = QueueRows::of(entries.iter().filter(|entry| !entry.transition.state.is_final()));
        let CountColumns { endpoints, minutes, statuses, changes } = counted.deliveries.columns();
        let usage = counted.usage.columns();
        let mut parameters: Vec<Parameter<'_>> = vec![
            &rows.messages,
            &rows.endpoints,
            &rows.states,
            &rows.reasons,
            &rows.due,
            &rows.attempts,
            &rows.scheduled_attempts,
            &attempts.messages,
            &attempts.endpoints,
            &attempts.ids,
            &attempts.data,
            &endpoints,
            &minutes,
            &statuses,
            &changes,
        ];
        parameters.extend(usage.parameters());
        if again.messages.is_empty() {
            client.execute(&self.at_once, &parameters).await?;
        } else {
            parameters.extend(again.parameters());
            client.execute(&self.at_once_with_retries, &parameters).await?;
        }
        Ok(())
    }

    pub(super) async fn insert_deliveries(&self, client: &Client, entries: &[Entry<'_>]) -> Result<Vec<Row>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let rows = DeliveryRows::in_order_of_keys(entries);
        Ok(client.query(&self.insert_deliveries, &rows.parameters()).await?)
    }

    pub(super) async fn lock_queue(&self, client: &Client, holder: i64, entries: &[Entry<'_>]) -> Result<Vec<Row>, StoreError> {
        let (messages, endpoints) = keys(entries.iter());
        Ok(client.query(&self.lock_queue, &[&messages, &endpoints, &holder]).await?)
    }

    pub(super) async fn attempts(&self, client: &Client, entries: &[&Entry<'_>]) -> Result<Vec<Row>, StoreError> {
        let made = entries.iter().filter_map(|entry| Some((entry.record.key.message.row().as_i64(), entry.attempt?.row().as_i64())));
        let (messages, ids): (Vec<i64>, Vec<i64>) = made.unzip();
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        Ok(client.query(&self.find_attempts, &[&messages, &ids]).await?)
    }

    pub(super) async fn states(&self, client: &Client, entries: &[&Entry<'_>]) -> Result<Vec<Row>, StoreError> {
        let (messages, endpoints) = keys(entries.iter().copied());
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        Ok(client.query(&self.find_states, &[&messages, &endpoints]).await?)
    }

    /// Writes what was found valid, and commits.
    pub(super) async fn finish(
        &self,
        client: &Client,
        valid: &[Entry<'_>],
        explicit: &HashMap<DeliveryKey, Explicit>,
        healths: &Healths,
        counted: &Counted,
        columns: &mut Columns,
    ) -> Result<(), StoreError> {
        let attempts = AttemptRows::of(valid, columns);
        let (with_row, without): (Vec<_>, Vec<_>) = valid.iter().partition(|entry| explicit.contains_key(&entry.record.key));
        let updated = DeliveryRows::of(with_row.iter().copied());
        let (done, left): (Vec<_>, Vec<_>) = with_row.into_iter().partition(|entry| {
            entry.transition.state.is_final() && explicit.get(&entry.record.key).is_some_and(|explicit| !explicit.is_asked_for)
        });
        let (done_messages, done_endpoints) = keys(done.iter().copied());
        let left = QueueRows::of(left.into_iter());
        let new = QueueRows::of(without.into_iter().filter(|entry| !entry.transition.state.is_final()));
        let healths = HealthRows::of(healths)?;
        let run = async |statement: &Statement, parameters: Vec<Parameter<'_>>, is_needed: bool| {
            if is_needed {
                client.execute(statement, &parameters).await?;
            }
            Ok::<_, StoreError>(())
        };
        // Sent together, in this order. If one fails, the commit undoes them all.
        let answers = tokio::join!(
            biased;
            run(&self.update_deliveries, updated.parameters().to_vec(), !updated.messages.is_empty()),
            run(&self.delete_queue, vec![&done_messages, &done_endpoints], !done_messages.is_empty()),
            run(
                &self.update_queue,
                vec![&left.messages, &left.endpoints, &left.pending, &left.due, &left.attempts, &left.scheduled_attempts],
                !left.messages.is_empty()
            ),
            run(&self.insert_queue, new.parameters().to_vec(), !new.messages.is_empty()),
            run(
                &self.insert_attempts,
                vec![&attempts.messages, &attempts.endpoints, &attempts.ids, &attempts.data],
                !attempts.messages.is_empty()
            ),
            run(&self.keep_health, vec![&healths.endpoints, &healths.applications, &healths.data], !healths.endpoints.is_empty()),
            run(&self.drop_health, vec![&healths.well], !healths.well.is_empty()),
            counted.deliveries.insert(client),
            counted.usage.insert(client),
            async { Ok(client.batch_execute("COMMIT").await?) },
        );
        first_failure(answers.into())
    }
}

type Parameter<'a> = &'a (dyn ToSql + Sync);

fn keys<'e>(entries: impl Iterator<Item = &'e Entry<'e>>) -> (Vec<i64>, Vec<i64>) {
    entries.map(|entry| (entry.record.key.message.row().as_i64(), entry.record.key.endpoint.row().as_i64())).unzip()
}

/// Of `delivery`, by column.
#[derive(Default)]
struct DeliveryRows {
    messages: Vec<i64>,
    endpoints: Vec<i64>,
    states: Vec<i16>,
    reasons: Vec<Option<i16>>,
    due: Vec<Option<i64>>,
    attempts: Vec<i32>,
    scheduled_attempts: Vec<i32>,
}

impl DeliveryRows {
    /// In one order everywhere, so that no two who write the same rows wait for each other.
    fn in_order_of_keys(entries: &[Entry<'_>]) -> Self {
        let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
        sorted.sort_unstable_by_key(|entry| entry.record.key);
        Self::of(sorted.into_iter())
    }

    fn of<'e>(entries: impl Iterator<Item = &'e Entry<'e>>) -> Self {
        let mut rows = Self::default();
        for Entry { record, transition, .. } in entries {
            let StateColumns { state, reason, due_at_ms } = StateColumns::of(transition.state);
            rows.messages.push(record.key.message.row().as_i64());
            rows.endpoints.push(record.key.endpoint.row().as_i64());
            rows.states.push(state);
            rows.reasons.push(reason);
            rows.due.push(due_at_ms);
            rows.attempts.push(transition.progress.attempts as i32);
            rows.scheduled_attempts.push(transition.progress.scheduled_attempts as i32);
        }
        rows
    }

    fn parameters(&self) -> [Parameter<'_>; 7] {
        [&self.messages, &self.endpoints, &self.states, &self.reasons, &self.due, &self.attempts, &self.scheduled_attempts]
    }
}

/// Of `queue`, by column.
#[derive(Default)]
struct QueueRows {
    messages: Vec<i64>,
    endpoints: Vec<i64>,
    applications: Vec<i64>,
    pending: Vec<bool>,
    due: Vec<Option<i64>>,
    attempts: Vec<i32>,
    scheduled_attempts: Vec<i32>,
}

impl QueueRows {
    fn of<'e>(entries: impl Iterator<Item = &'e Entry<'e>>) -> Self {
        let mut rows = Self::default();
        for Entry { record, transition, .. } in entries {
            rows.messages.push(record.key.message.row().as_i64());
            rows.endpoints.push(record.key.endpoint.row().as_i64());
            rows.applications.push(record.application.row().as_i64());
            rows.pending.push(transition.state == DeliveryState::Pending);
            rows.due.push(StateColumns::of(transition.state).due_at_ms);
            rows.attempts.push(transition.progress.attempts as i32);
            rows.scheduled_attempts.push(transition.progress.scheduled_attempts as i32);
        }
        rows
    }

    /// Without `pending`: what is not final and has no time is.
    fn parameters(&self) -> [Parameter<'_>; 6] {
        [&self.messages, &self.endpoints, &self.applications, &self.due, &self.attempts, &self.scheduled_attempts]
    }
}

/// Of `attempt`, by column.
struct AttemptRows<'a> {
    messages: Vec<i64>,
    endpoints: Vec<i64>,
    ids: Vec<i64>,
    data: Vec<&'a [u8]>,
}

impl<'a> AttemptRows<'a> {
    fn of(entries: &[Entry<'_>], columns: &'a mut Columns) -> Self {
        let (mut messages, mut endpoints, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for Entry { record, attempt, .. } in entries {
            let (Some(id), Some(made)) = (attempt, &record.attempt) else { continue };
            if columns.attempts.len() == ids.len() {
                columns.attempts.push(Vec::new());
            }
            encode_attempt(made, &mut columns.attempts[ids.len()]);
            messages.push(record.key.message.row().as_i64());
            endpoints.push(record.key.endpoint.row().as_i64());
            ids.push(id.row().as_i64());
        }
        let data = columns.attempts[..ids.len()].iter().map(Vec::as_slice).collect();
        Self { messages, endpoints, ids, data }
    }
}

/// Of `health`, by column: those to be kept, and the endpoints that are simply well again.
#[derive(Default)]
struct HealthRows {
    endpoints: Vec<i64>,
    applications: Vec<i64>,
    data: Vec<Vec<u8>>,
    well: Vec<i64>,
}

impl HealthRows {
    fn of(healths: &Healths) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        for (endpoint, (application, health)) in healths {
            if *health == Health::default() {
                rows.well.push(endpoint.row().as_i64());
                continue;
            }
            rows.endpoints.push(endpoint.row().as_i64());
            rows.applications.push(application.row().as_i64());
            rows.data.push(to_json(health)?);
        }
        Ok(rows)
    }
}
