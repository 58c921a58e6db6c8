//! Reading the sections.

mod beside;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use hookpost_domain::health::Health;
use hookpost_domain::{
    ApplicationId, AttemptId, DeliveryState, EndpointId, MessageId, Progress, Reason, ReceiptId, RowId, SourceId, Timestamp,
};
use hookpost_store::codec::{decode_delivery, decode_message, endpoint_id, message_id, time};
use hookpost_store::rows::from_json;
use hookpost_store::transfer::{
    BATCH_PAYLOAD_BYTES_MAX, BATCH_ROWS_MAX, Batch, Key, MessageRow, MovedAttempt, MovedDelivery, ReceiptRow, Row, Section, key,
};
use hookpost_store::{IdempotencyKey, MadeOnce};
use rusqlite::{Connection, params};

use super::SqliteTransfer;
use crate::error::StoreError;
use crate::keys::{self, ENTRIES_PER_BLOCK, KeyClass};

pub(super) const LIMIT: i64 = BATCH_ROWS_MAX as i64;
/// In the place of a run: what follows are the keys that are in none.
const AFTER_ALL_RUNS: i64 = i64::MAX;

pub(super) fn export(end: &SqliteTransfer, section: Section, after: Option<&Key>) -> Result<Batch, StoreError> {
    let connection = &end.connection;
    match section {
        Section::Applications => by_id(connection, "SELECT id, data FROM application", after, |_, data| Row::Application { data }),
        Section::Endpoints => endpoints(connection, after),
        Section::EventTypes => event_types(connection, after),
        Section::ApiKeys => by_id(connection, "SELECT id, data FROM api_key", after, |_, data| Row::ApiKey { data }),
        Section::Revocations => revocations(connection, after),
        Section::Health => health(connection, after),
        Section::Tasks => by_id(connection, "SELECT id, data FROM task", after, |_, data| Row::Task { data }),
        Section::History => history(end, after),
        Section::IdempotencyKeys => keys_of(end, KeyClass::Request, after),
        Section::KeptAnswers => kept_answers(connection, after),
        Section::Sources => sources(connection, after),
        Section::SourceStates => {
            let state = |raw, data| Row::SourceState { source: source_id(raw), data };
            by_id(connection, "SELECT id, data FROM (SELECT source AS id, data FROM source_state)", after, state)
        }
        Section::Receipts => receipts(connection, after),
        Section::EventKeys => keys_of(end, KeyClass::Event, after),
        Section::Documents => beside::documents(connection, after),
        Section::Progress => beside::progress(connection, after),
        Section::Logs => beside::logs(connection, after),
        Section::Usage => beside::usage(end, after),
    }
}

/// Rows of a table with `id` and `data`.
fn by_id(connection: &Connection, select: &str, after: Option<&Key>, row_of: impl Fn(i64, Vec<u8>) -> Row) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{select} WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    let rows = statement.query_map([key::to_id(after)?, LIMIT], |row| {
        let id = row.get(0)?;
        Ok((key::of_id(id), Some(row_of(id, row.get(1)?))))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

fn endpoints(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, data, sealed FROM endpoint WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let rows = statement.query_map([key::to_id(after)?, LIMIT], |row| {
        let id = row.get(0)?;
        Ok((key::of_id(id), Some(Row::Endpoint { id: endpoint_id(id), data: row.get(1)?, sealed: row.get(2)? })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

fn event_types(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let (org, name) = key::to_pair(after)?;
    let mut statement =
        connection.prepare_cached("SELECT org, name, data FROM event_type WHERE (org, name) > (?1, ?2) ORDER BY org, name LIMIT ?3")?;
    let rows = statement.query_map(params![org, name, LIMIT], |row| {
        let (org, name): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((key::of_pair(&org, &name), Some(Row::EventType { data: row.get(2)? })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

fn revocations(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT target, at_ms, forget_at_ms FROM revocation WHERE target > ?1 ORDER BY target LIMIT ?2")?;
    let rows = statement.query_map(params![after.cloned().unwrap_or_default(), LIMIT], |row| {
        let target: Vec<u8> = row.get(0)?;
        Ok((target.clone(), Some(Row::Revocation { target, at: time(row.get(1)?), forget_at: time(row.get(2)?) })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

/// Only of endpoints that are not simply well, and that are there.
fn health(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT endpoint, data, EXISTS (SELECT 1 FROM endpoint WHERE id = health.endpoint) FROM health
         WHERE endpoint > ?1 ORDER BY endpoint LIMIT ?2",
    )?;
    let mut found = statement.query([key::to_id(after)?, LIMIT])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (id, data): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let matters = row.get(2)? && from_json::<Health>(&data)? != Health::default();
        rows.push((key::of_id(id), matters.then(|| Row::Health { endpoint: endpoint_id(id), data })));
    }
    Ok(Batch::of(rows, BATCH_ROWS_MAX))
}

/// Run by run, then what is only in the journal of the tail. A key that came again after its window is exported as the last that it made.
fn keys_of(end: &SqliteTransfer, class: KeyClass, after: Option<&Key>) -> Result<Batch, StoreError> {
    let (run, first) = match after.and_then(|key| key.split_first_chunk()) {
        Some((run, first)) => (i64::from_be_bytes(*run), first),
        None => (class.runs().start, &[][..]),
    };
    if run == AFTER_ALL_RUNS {
        return Ok(tail_keys(end, class, first));
    }
    let blocks_max = BATCH_ROWS_MAX / ENTRIES_PER_BLOCK;
    let blocks = keys::blocks_after(&end.connection, class, run, first, blocks_max)?;
    let next = blocks.last().filter(|_| blocks.len() == blocks_max).map_or((AFTER_ALL_RUNS, &[][..]), |last| (last.run, &last.first));
    let mut rows = Vec::new();
    for (key, made) in blocks.iter().flat_map(|block| &block.entries) {
        let is_last = !end.tail_keys.contains_key(&(class, *key)) && end.keys.find(&end.connection, class, key)? == Some(*made);
        rows.extend(is_last.then(|| key_row(class, key, *made)));
    }
    Ok(Batch { rows, next: Some([&next.0.to_be_bytes(), next.1].concat()) })
}

fn tail_keys(end: &SqliteTransfer, class: KeyClass, after: &[u8]) -> Batch {
    let from = <[u8; 16]>::try_from(after).map_or(Bound::Included((class, [0; 16])), |key| Bound::Excluded((class, key)));
    let mut left = end.tail_keys.range((from, Bound::Included((class, [u8::MAX; 16]))));
    let taken: Vec<_> = left.by_ref().take(BATCH_ROWS_MAX).collect();
    let last = taken.last().filter(|_| left.next().is_some());
    let next = last.map(|((_, key), _)| [&AFTER_ALL_RUNS.to_be_bytes(), key.as_slice()].concat());
    Batch { rows: taken.iter().map(|((_, key), made)| key_row(class, key, **made)).collect(), next }
}

fn key_row(class: KeyClass, key: &[u8; 16], made: MadeOnce) -> Row {
    let key = IdempotencyKey(*key);
    match class {
        KeyClass::Request => Row::IdempotencyKey { key, message: made.message, created_at: made.created_at },
        KeyClass::Event => Row::EventKey { key, made },
    }
}

fn source_id(raw: i64) -> SourceId {
    SourceId::from_row(RowId::from_i64(raw))
}

fn sources(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, data, sealed FROM source WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let rows = statement.query_map([key::to_id(after)?, LIMIT], |row| {
        let id = row.get(0)?;
        Ok((key::of_id(id), Some(Row::Source { id: source_id(id), data: row.get(1)?, sealed: row.get(2)? })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

fn receipts(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, source, data, body FROM receipt WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut found = statement.query([key::to_id(after)?, LIMIT])?;
    let (mut batch, mut bytes) = (Batch::default(), 0);
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let body: Option<Vec<u8>> = row.get(3)?;
        bytes += body.as_ref().map_or(0, Vec::len);
        let receipt = ReceiptRow { id: ReceiptId::from_row(RowId::from_i64(id)), source: source_id(row.get(1)?), data: row.get(2)?, body };
        batch.rows.push(Row::Receipt(receipt));
        if bytes >= BATCH_PAYLOAD_BYTES_MAX || batch.rows.len() == BATCH_ROWS_MAX {
            batch.next = Some(key::of_id(id));
            break;
        }
    }
    Ok(batch)
}

fn kept_answers(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT key, at_ms, status, body FROM kept_answer WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let rows = statement.query_map(params![after.cloned().unwrap_or_default(), LIMIT], |row| {
        let key: [u8; 16] = row.get(0)?;
        let row = Row::KeptAnswer { key: IdempotencyKey(key), kept_at: time(row.get(1)?), status: row.get(2)?, body: row.get(3)? };
        Ok((key.to_vec(), Some(row)))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

fn history(end: &SqliteTransfer, after: Option<&Key>) -> Result<Batch, StoreError> {
    let (mut messages, more) = messages(&end.connection, key::to_id(after)?)?;
    let (Some(first), Some(last)) = (messages.first().map(|row| row.id), messages.last().map(|row| row.id)) else {
        return Ok(Batch::default());
    };
    let mut deliveries = deliveries(&end.connection, first, last)?;
    for row in &mut messages {
        let found = deliveries.remove(&row.id).unwrap_or_default();
        complete(end, row, found)?;
    }
    let next = more.then(|| key::of_id(last.row().as_i64()));
    Ok(Batch { rows: messages.into_iter().map(Row::Message).collect(), next })
}

/// Without what they have; and whether there may be more.
fn messages(connection: &Connection, after: i64) -> Result<(Vec<MessageRow>, bool), StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT id, application, header, payload FROM message WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query([after, LIMIT])?;
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let payload: Option<Vec<u8>> = row.get(3)?;
        bytes += payload.as_ref().map_or(0, Vec::len);
        messages.push(MessageRow {
            id: message_id(row.get(0)?),
            application: ApplicationId::from_row(RowId::from_i64(row.get(1)?)),
            header: row.get(2)?,
            payload,
            deliveries: Vec::new(),
            attempts: Vec::new(),
        });
        if bytes >= BATCH_PAYLOAD_BYTES_MAX {
            return Ok((messages, true));
        }
    }
    let more = messages.len() == BATCH_ROWS_MAX;
    Ok((messages, more))
}

/// The rows that the deliveries of one message have.
#[derive(Default)]
struct Found {
    states: BTreeMap<EndpointId, (DeliveryState, Progress)>,
    attempts: Vec<MovedAttempt>,
    manual: HashMap<EndpointId, Timestamp>,
}

fn deliveries(connection: &Connection, first: MessageId, last: MessageId) -> Result<HashMap<MessageId, Found>, StoreError> {
    let range = [first.row().as_i64(), last.row().as_i64()];
    let mut found: HashMap<MessageId, Found> = HashMap::new();
    let mut statement = connection.prepare_cached("SELECT message, endpoint, data FROM delivery WHERE message BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let (of, endpoint) = (found.entry(message_id(row.get(0)?)).or_default(), endpoint_id(row.get(1)?));
        let delivery = decode_delivery(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        of.states.insert(endpoint, (delivery.state, delivery.progress));
        of.attempts.extend(delivery.last.map(|(id, data)| MovedAttempt { id, endpoint, data }));
    }
    let mut statement = connection.prepare_cached("SELECT message, endpoint, id, data FROM attempt WHERE message BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let id = AttemptId::from_row(RowId::from_i64(row.get(2)?));
        let attempt = MovedAttempt { id, endpoint: endpoint_id(row.get(1)?), data: row.get(3)? };
        found.entry(message_id(row.get(0)?)).or_default().attempts.push(attempt);
    }
    let mut statement = connection.prepare_cached("SELECT message, endpoint, at_ms FROM manual WHERE message BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        found.entry(message_id(row.get(0)?)).or_default().manual.insert(endpoint_id(row.get(1)?), time(row.get(2)?));
    }
    Ok(found)
}

/// Deliveries as they are shown: without a row they are pending, and what a deleted endpoint left open has ended.
fn complete(end: &SqliteTransfer, row: &mut MessageRow, mut found: Found) -> Result<(), StoreError> {
    for target in decode_message(row.id, row.application, &row.header, None)?.content.routing.targets {
        found.states.entry(target).or_insert((DeliveryState::Pending, Progress::default()));
    }
    row.deliveries = found
        .states
        .into_iter()
        .map(|(endpoint, (state, progress))| {
            let gone = end.gone.contains(&endpoint);
            let ended = gone && !state.is_final();
            let state = if ended { DeliveryState::Canceled { reason: Reason::EndpointDeleted } } else { state };
            let manual_at = found.manual.get(&endpoint).copied().filter(|_| !gone);
            MovedDelivery { endpoint, state, progress, manual_at }
        })
        .collect();
    row.attempts = found.attempts;
    row.attempts.sort_unstable_by_key(|attempt| attempt.id);
    Ok(())
}
