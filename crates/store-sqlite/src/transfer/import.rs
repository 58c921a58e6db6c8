//! Writing the sections, and what the writer would have made beside the rows.

use std::collections::{BTreeMap, HashMap};

use hookpost_domain::{ApiKey, Application, BackgroundTask, DeliveryKey, DeliveryState, EndpointId, EventType, Progress, Trigger};
use hookpost_store::codec::{encode_delivery, received_at_and_kind};
use hookpost_store::documents::DocumentRow;
use hookpost_store::rows::{decode_endpoint, decode_source, from_json, open_document};
use hookpost_store::transfer::{Batch, Cursor, MessageRow, MovedAttempt, MovedDelivery, MovedDocument, PublicIdKey, ReceiptRow, Row};
use hookpost_store::usage::Usage;
use hookpost_store::vault::Vault;
use hookpost_store::{IdempotencyKey, MadeOnce};
use rusqlite::{Connection, params};

use super::{SqliteTransfer, set_master_key};
use crate::error::StoreError;
use crate::flush::{add_to_counters, write_list};
use crate::intake::insert_due;
use crate::keys::{self, KeyClass, KeyIndex, REQUEST_WINDOW_S};
use crate::queue::set_manual;
use crate::schema::meta;
use crate::tail::{Counted, Counter, Counts, Entry, Journal, ListKind, minute_of};
use crate::{documents, ledger, sources, usage};

/// Tables that only hold something where something was configured or accepted.
const DATA: [&str; 15] = [
    "application",
    "endpoint",
    "event_type",
    "api_key",
    "revocation",
    "task",
    "message",
    "key_run",
    "kept_answer",
    "source",
    "receipt",
    "document",
    "progress",
    "log_entry",
    "usage",
];
/// What may be left in a store whose data is gone.
const LEFT_OVER: [&str; 17] = [
    "delivery",
    "attempt",
    "due",
    "manual",
    "backlog",
    "added_target",
    "held",
    "tail_log",
    "posting",
    "counter",
    "event_id",
    "health",
    "key_block",
    "key_filter",
    "source_token",
    "source_state",
    "receipt_counter",
];
/// Attempts whose lists are made in one transaction.
const LISTED_AT_ONCE: i64 = 20_000;

pub(super) fn has_data(end: &SqliteTransfer) -> Result<bool, StoreError> {
    let mut has_data = !end.tail_keys.is_empty() || !end.tail_usage.is_empty();
    for table in DATA {
        has_data |= end.connection.prepare(&format!("SELECT 1 FROM {table}"))?.exists([])?;
    }
    Ok(has_data)
}

/// Makes an empty store the target of a move.
pub(super) fn begin(end: &mut SqliteTransfer, key: PublicIdKey, cursor: &Cursor) -> Result<(), StoreError> {
    end.gone.clear();
    let transaction = end.connection.transaction()?;
    for table in LEFT_OVER.into_iter().chain(["endpoint_gone"]) {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    for name in [meta::FROZEN_SEQ, meta::FROZEN_DONE, meta::FLUSHED_SEQ, meta::COUNTED_FROM, meta::USAGE_KEPT_FROM, meta::USAGE_FINE_FROM] {
        meta::set(&transaction, name, 0)?;
    }
    // The lists of attempts are in the order of attempts, which is not that of their messages, and keys in long runs: both made at the end.
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS moving_attempt (
             endpoint INTEGER NOT NULL, id INTEGER NOT NULL, message INTEGER NOT NULL, PRIMARY KEY (endpoint, id)
         ) STRICT, WITHOUT ROWID;
         DELETE FROM moving_attempt;
         CREATE TABLE IF NOT EXISTS moving_key (
             class INTEGER NOT NULL, key BLOB NOT NULL, message INTEGER NOT NULL, at_ms INTEGER NOT NULL, window_s INTEGER NOT NULL,
             PRIMARY KEY (class, key)
         ) STRICT, WITHOUT ROWID;
         DELETE FROM moving_key",
    )?;
    set_master_key(&transaction, &end.vault)?;
    meta::set(&transaction, meta::PUBLIC_ID_KEY, key)?;
    meta::set(&transaction, meta::MOVING, cursor.to_bytes())?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn import(end: &mut SqliteTransfer, batch: Batch, cursor: &Cursor) -> Result<(), StoreError> {
    let transaction = end.connection.transaction()?;
    let mut derived = Derived::default();
    for row in batch.rows {
        import_row(&transaction, &end.vault, row, &mut derived)?;
    }
    for ((kind, owner), entries) in &derived.lists {
        write_list(&transaction, *kind, *owner, entries)?;
    }
    for (counter, counts) in [(Counter::DeliveriesOfEndpoint, derived.counters), (Counter::ReceiptsOfSource, derived.receipt_counters)] {
        add_to_counters(&transaction, counter, &counts.into_iter().collect::<Vec<_>>())?;
    }
    meta::set(&transaction, meta::MOVING, cursor.to_bytes())?;
    transaction.commit()?;
    Ok(())
}

/// What a batch adds to lists and counters, in the order of their keys.
#[derive(Default)]
struct Derived {
    lists: BTreeMap<(ListKind, u64), Vec<Entry>>,
    counters: BTreeMap<(u64, u64), Counts>,
    receipt_counters: BTreeMap<(u64, u64), Counts>,
}

fn import_row(connection: &Connection, vault: &Vault, row: Row, derived: &mut Derived) -> Result<(), StoreError> {
    match row {
        Row::Application { data } => {
            let Application { id, org, uid, .. } = from_json(&data)?;
            let uid = uid.as_ref().map(|uid| uid.as_str());
            let mut insert = connection.prepare_cached("INSERT INTO application (id, org, uid, data) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![id.row().as_i64(), org.as_str(), uid, data])?;
        }
        Row::Endpoint { id, data, sealed } => {
            // Opened, so that a secret which the master key does not open is found now.
            let endpoint = decode_endpoint(vault, id, &data, &sealed)?;
            let uid = endpoint.uid.as_ref().map(|uid| uid.as_str());
            let mut insert =
                connection.prepare_cached("INSERT INTO endpoint (id, application, uid, data, sealed) VALUES (?1, ?2, ?3, ?4, ?5)")?;
            insert.execute(params![id.row().as_i64(), endpoint.application.row().as_i64(), uid, data, sealed])?;
        }
        Row::EventType { data } => {
            let EventType { org, name, .. } = from_json(&data)?;
            let mut insert = connection.prepare_cached("INSERT INTO event_type (org, name, data) VALUES (?1, ?2, ?3)")?;
            insert.execute(params![org.as_str(), name.as_str(), data])?;
        }
        Row::ApiKey { data } => {
            let ApiKey { id, org, key_sha256, .. } = from_json(&data)?;
            let mut insert = connection.prepare_cached("INSERT INTO api_key (id, org, key_sha256, data) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![id.row().as_i64(), org.as_str(), key_sha256, data])?;
        }
        Row::Revocation { target, at, forget_at } => {
            let mut insert = connection.prepare_cached("INSERT INTO revocation (target, at_ms, forget_at_ms) VALUES (?1, ?2, ?3)")?;
            insert.execute(params![target, at.unix_ms() as i64, forget_at.unix_ms() as i64])?;
        }
        Row::Health { endpoint, data } => {
            let mut insert = connection.prepare_cached("INSERT INTO health (endpoint, data) VALUES (?1, ?2)")?;
            insert.execute(params![endpoint.row().as_i64(), data])?;
        }
        Row::Task { data } => {
            let BackgroundTask { id, org, status, work, .. } = from_json(&data)?;
            let mut insert = connection.prepare_cached("INSERT INTO task (id, org, status, kind, data) VALUES (?1, ?2, ?3, ?4, ?5)")?;
            insert.execute(params![id.row().as_i64(), org.as_str(), status.as_str(), work.kind(), data])?;
        }
        Row::Message(message) => import_message(connection, &message, derived)?,
        Row::IdempotencyKey { key, message, created_at } => {
            import_key(connection, KeyClass::Request, key, MadeOnce { message, created_at, window_s: REQUEST_WINDOW_S })?;
        }
        Row::EventKey { key, made } => import_key(connection, KeyClass::Event, key, made)?,
        Row::Source { id, data, sealed } => {
            let source = decode_source(vault, id, &data, &sealed)?;
            sources::insert_encoded(connection, &source, &data, &sealed)?;
        }
        Row::SourceState { source, data } => sources::set_state(connection, source, &data)?,
        Row::Document(MovedDocument { shelf, id, name, sealed, forget_at }) => {
            // Opened, as endpoints are.
            open_document(vault, &shelf, id, &sealed)?;
            documents::insert_sealed(connection, &DocumentRow { shelf, id, name, data: Vec::new(), forget_at }, &sealed)?;
        }
        Row::Progress { key, data } => ledger::set_progress(connection, &key, &data)?,
        Row::LogEntry { log, id, data } => ledger::append(connection, &log, id, &data)?,
        Row::Usage { application, usage: Usage { at, event_type, counts } } => {
            usage::add(connection, application.row().raw(), at.unix_seconds(), &event_type, counts)?;
        }
        Row::Receipt(receipt) => import_receipt(connection, &receipt, derived)?,
        Row::KeptAnswer { key, kept_at, status, body } => {
            let mut insert = connection.prepare_cached("INSERT INTO kept_answer (key, at_ms, status, body) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![key.0, kept_at.unix_ms() as i64, status, body])?;
        }
    }
    Ok(())
}

fn import_key(connection: &Connection, class: KeyClass, key: IdempotencyKey, made: MadeOnce) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO moving_key (class, key, message, at_ms, window_s) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![class as i64, key.0, made.message.row().as_i64(), made.created_at.unix_ms() as i64, made.window_s])?;
    Ok(())
}

fn import_receipt(connection: &Connection, row: &ReceiptRow, derived: &mut Derived) -> Result<(), StoreError> {
    let (id, source) = (row.id.row(), row.source.row());
    connection.prepare_cached("INSERT INTO receipt (id, source, data, body) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        id.as_i64(),
        source.as_i64(),
        row.data,
        row.body
    ])?;
    derived.lists.entry((ListKind::ReceiptsOfSource, source.raw())).or_default().push((id.raw(), 0));
    let (received_at, verdict) = received_at_and_kind(&row.data)?;
    derived.receipt_counters.entry((source.raw(), minute_of(received_at))).or_default().receipt(verdict);
    Ok(())
}

fn import_message(connection: &Connection, row: &MessageRow, derived: &mut Derived) -> Result<(), StoreError> {
    let message = row.message()?;
    let (id, application) = (row.id.row(), row.application.row());
    connection.prepare_cached("INSERT INTO message (id, application, header, payload) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        id.as_i64(),
        application.as_i64(),
        row.header,
        row.payload
    ])?;
    if let Some(event_id) = &message.content.event_id {
        connection.prepare_cached("INSERT INTO event_id (application, event_id, message) VALUES (?1, ?2, ?3)")?.execute(params![
            application.as_i64(),
            event_id.as_str(),
            id.as_i64()
        ])?;
    }
    let mut list = |kind, owner| derived.lists.entry((kind, owner)).or_default().push((id.raw(), 0));
    list(ListKind::MessagesOfApplication, application.raw());
    if row.payload.is_some() {
        list(ListKind::PayloadsByExpiry, minute_of(message.content.payload_expires_at));
    }
    let targets = &message.content.routing.targets;
    targets.iter().for_each(|target| list(ListKind::MessagesOfEndpoint, target.row().raw()));

    let mut attempts: HashMap<EndpointId, Vec<&MovedAttempt>> = HashMap::new();
    for attempt in &row.attempts {
        attempts.entry(attempt.endpoint).or_default().push(attempt);
    }
    for delivery in &row.deliveries {
        let key = DeliveryKey { message: row.id, endpoint: delivery.endpoint };
        let is_routed = targets.contains(&delivery.endpoint);
        import_delivery(connection, key, delivery, is_routed, &attempts.remove(&delivery.endpoint).unwrap_or_default())?;
        let counted = Counted::of(delivery.state, delivery.progress);
        let minute = minute_of(message.created_at);
        derived.counters.entry((delivery.endpoint.row().raw(), minute)).or_default().change(counted, 1);
    }
    Ok(())
}

fn import_delivery(
    connection: &Connection,
    key: DeliveryKey,
    delivery: &MovedDelivery,
    is_routed: bool,
    attempts: &[&MovedAttempt],
) -> Result<(), StoreError> {
    let (raw_message, raw_endpoint) = (key.message.row().as_i64(), key.endpoint.row().as_i64());
    let MovedDelivery { state, progress, manual_at, .. } = *delivery;
    let is_implied = is_routed && state == DeliveryState::Pending && progress == Progress::default() && attempts.is_empty();
    if !is_implied {
        let last = attempts.last().map(|attempt| (attempt.id, attempt.data.as_slice()));
        let mut data = Vec::new();
        encode_delivery(state, progress, last, &mut data);
        connection.prepare_cached("INSERT INTO delivery (message, endpoint, data) VALUES (?1, ?2, ?3)")?.execute(params![
            raw_message,
            raw_endpoint,
            data
        ])?;
    }
    for (index, attempt) in attempts.iter().enumerate() {
        let raw_id = attempt.id.row().as_i64();
        if index + 1 < attempts.len() {
            connection.prepare_cached("INSERT INTO attempt (message, endpoint, id, data) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                raw_message,
                raw_endpoint,
                raw_id,
                attempt.data
            ])?;
        }
        connection.prepare_cached("INSERT INTO moving_attempt (endpoint, id, message) VALUES (?1, ?2, ?3)")?.execute(params![
            raw_endpoint,
            raw_id,
            raw_message
        ])?;
    }
    if !is_routed {
        connection
            .prepare_cached("INSERT INTO added_target (endpoint, message) VALUES (?1, ?2)")?
            .execute(params![raw_endpoint, raw_message])?;
    }
    match state {
        // Messages come in the order of their ids: the backlog begins with the first.
        DeliveryState::Pending => {
            connection
                .prepare_cached("INSERT OR IGNORE INTO backlog (endpoint, cursor) VALUES (?1, ?2)")?
                .execute(params![raw_endpoint, raw_message])?;
        }
        DeliveryState::Waiting { at } => insert_due(connection, key, at, Trigger::Scheduled)?,
        _ => {}
    }
    if let Some(at) = manual_at {
        set_manual(connection, key, at)?;
    }
    Ok(())
}

pub(super) fn finish(end: &mut SqliteTransfer, cursor: &Cursor) -> Result<(), StoreError> {
    while list_attempts(&mut end.connection)? {}
    let transaction = end.connection.transaction()?;
    for class in KeyClass::ALL {
        keys::make_runs(&transaction, class)?;
    }
    transaction.execute("DELETE FROM tail_log", [])?;
    transaction.execute(
        // The mark: every pending delivery is covered by a backlog.
        "INSERT INTO tail_log (seq, last_row_id, mark, unfinished, entries)
         SELECT 1, ?1, (SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(sum(pending + sending), 0) FROM counter), ?2",
        params![cursor.last_row_id as i64, Journal::new().bytes()],
    )?;
    transaction.commit()?;
    end.keys = KeyIndex::load(&end.connection)?;
    Ok(())
}

/// Moves some attempts to their lists, in their order; `false`: there is none left.
fn list_attempts(connection: &mut Connection) -> Result<bool, StoreError> {
    let transaction = connection.transaction()?;
    let rows: Vec<(i64, Entry)> = transaction
        .prepare_cached("SELECT endpoint, id, message FROM moving_attempt ORDER BY endpoint, id LIMIT ?1")?
        .query_map([LISTED_AT_ONCE], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))))?
        .collect::<Result<_, _>>()?;
    let Some(&(last_endpoint, (last_id, _))) = rows.last() else { return Ok(false) };
    for of_endpoint in rows.chunk_by(|a, b| a.0 == b.0) {
        let entries: Vec<Entry> = of_endpoint.iter().map(|(_, entry)| *entry).collect();
        write_list(&transaction, ListKind::AttemptsOfEndpoint, of_endpoint[0].0 as u64, &entries)?;
    }
    transaction.execute("DELETE FROM moving_attempt WHERE (endpoint, id) <= (?1, ?2)", [last_endpoint, last_id as i64])?;
    transaction.commit()?;
    Ok(true)
}

pub(super) fn complete(end: &mut SqliteTransfer) -> Result<(), StoreError> {
    end.connection.pragma_update(None, "synchronous", "FULL")?;
    // What takes time comes before the mark goes: whoever is killed in it goes on with the same command.
    checkpoint(end)?;
    let transaction = end.connection.transaction()?;
    transaction.execute_batch("DROP TABLE IF EXISTS moving_attempt; DROP TABLE IF EXISTS moving_key")?;
    transaction.execute("DELETE FROM meta WHERE name = ?1", [meta::MOVING])?;
    transaction.commit()?;
    checkpoint(end)
}

/// Everything in the one file, and on the disk.
fn checkpoint(end: &SqliteTransfer) -> Result<(), StoreError> {
    Ok(end.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}
