//! Reading the sections.

use hookpost_domain::health::Health;
use hookpost_domain::{ReceiptId, RowId, SourceId};
use hookpost_store::codec::{Unreadable, endpoint_id, message_id, time};
use hookpost_store::rows::from_json;
use hookpost_store::transfer::{BATCH_PAYLOAD_BYTES_MAX, BATCH_ROWS_MAX, Batch, Key, ReceiptRow, Row, Section, key};
use hookpost_store::{IdempotencyKey, MadeOnce};
use tokio_postgres::Client;

use super::{beside, history};
use crate::error::StoreError;

const LIMIT: i64 = BATCH_ROWS_MAX as i64;

type Rows = Vec<(Key, Option<Row>)>;

pub(super) async fn export(client: &Client, section: Section, after: Option<&Key>) -> Result<Batch, StoreError> {
    let rows = match section {
        Section::Applications => by_id(client, "hookpost.application", after, |data| Row::Application { data }).await?,
        Section::Endpoints => endpoints(client, after).await?,
        Section::EventTypes => event_types(client, after).await?,
        Section::ApiKeys => by_id(client, "hookpost.api_key", after, |data| Row::ApiKey { data }).await?,
        Section::Revocations => revocations(client, after).await?,
        Section::Health => health(client, after).await?,
        Section::Tasks => by_id(client, "hookpost.task", after, |data| Row::Task { data }).await?,
        Section::History => return history::export(client, after).await,
        Section::IdempotencyKeys => idempotency_keys(client, after).await?,
        Section::KeptAnswers => kept_answers(client, after).await?,
        Section::Sources => sources(client, after).await?,
        Section::SourceStates => source_states(client, after).await?,
        Section::Receipts => return receipts(client, after).await,
        Section::EventKeys => event_keys(client, after).await?,
        Section::Documents => beside::documents(client, after).await?,
        Section::Progress => beside::progress(client, after).await?,
        Section::Logs => beside::logs(client, after).await?,
        Section::Usage => beside::usage(client, after).await?,
    };
    Ok(Batch::of(rows, BATCH_ROWS_MAX))
}

/// Rows of a table with `id` and `data`.
async fn by_id(client: &Client, table: &str, after: Option<&Key>, row_of: impl Fn(Vec<u8>) -> Row) -> Result<Rows, StoreError> {
    let sql = format!("SELECT id, data FROM {table} WHERE id > $1 ORDER BY id LIMIT $2");
    let rows = client.query(&sql, &[&key::to_id(after)?, &LIMIT]).await?;
    rows.iter().map(|row| Ok((key::of_id(row.try_get(0)?), Some(row_of(row.try_get(1)?))))).collect()
}

async fn endpoints(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT id, data, sealed FROM hookpost.endpoint WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = client.query(sql, &[&key::to_id(after)?, &LIMIT]).await?;
    let endpoint = |row: &tokio_postgres::Row| {
        let id = row.try_get(0)?;
        Ok((key::of_id(id), Some(Row::Endpoint { id: endpoint_id(id), data: row.try_get(1)?, sealed: row.try_get(2)? })))
    };
    rows.iter().map(endpoint).collect()
}

async fn event_types(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let (org, name) = key::to_pair(after)?;
    let sql = "SELECT org, name, data FROM hookpost.event_type WHERE (org, name) > ($1, $2) ORDER BY org, name LIMIT $3";
    let rows = client.query(sql, &[&org, &name, &LIMIT]).await?;
    rows.iter().map(|row| Ok((key::of_pair(row.try_get(0)?, row.try_get(1)?), Some(Row::EventType { data: row.try_get(2)? })))).collect()
}

async fn revocations(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let after = std::str::from_utf8(after.map_or(&[], Vec::as_slice));
    let after = after.map_err(|error| Unreadable { what: "move", why: error.to_string() })?;
    let sql = "SELECT target, at_ms, forget_at_ms FROM hookpost.revocation WHERE target > $1 ORDER BY target LIMIT $2";
    let rows = client.query(sql, &[&after, &LIMIT]).await?;
    let revocation = |row: &tokio_postgres::Row| {
        let target = row.try_get::<_, String>(0)?.into_bytes();
        Ok((target.clone(), Some(Row::Revocation { target, at: time(row.try_get(1)?), forget_at: time(row.try_get(2)?) })))
    };
    rows.iter().map(revocation).collect()
}

/// Only of endpoints that are not simply well, and that are there.
async fn health(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT endpoint, data, EXISTS (SELECT 1 FROM hookpost.endpoint WHERE endpoint.id = health.endpoint) FROM hookpost.health
        WHERE endpoint > $1 ORDER BY endpoint LIMIT $2";
    let rows = client.query(sql, &[&key::to_id(after)?, &LIMIT]).await?;
    let health = |row: &tokio_postgres::Row| {
        let (id, data): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let matters = row.try_get(2)? && from_json::<Health>(&data)? != Health::default();
        Ok((key::of_id(id), matters.then(|| Row::Health { endpoint: endpoint_id(id), data })))
    };
    rows.iter().map(health).collect()
}

async fn idempotency_keys(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT key, message, created_at_ms FROM hookpost.idempotency_key WHERE key > $1 ORDER BY key LIMIT $2";
    let rows = client.query(sql, &[&after.map_or(&[] as &[u8], Vec::as_slice), &LIMIT]).await?;
    let idempotency_key = |row: &tokio_postgres::Row| {
        let (own, message) = (row.try_get(0)?, message_id(row.try_get(1)?));
        let row = Row::IdempotencyKey { key: key_of(own)?, message, created_at: time(row.try_get(2)?) };
        Ok((own.to_vec(), Some(row)))
    };
    rows.iter().map(idempotency_key).collect()
}

async fn kept_answers(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT key, kept_at_ms, status, body FROM hookpost.kept_answer WHERE key > $1 ORDER BY key LIMIT $2";
    let rows = client.query(sql, &[&after.map_or(&[] as &[u8], Vec::as_slice), &LIMIT]).await?;
    let kept_answer = |row: &tokio_postgres::Row| {
        let own = row.try_get(0)?;
        let status = row.try_get::<_, i16>(2)? as u16;
        let row = Row::KeptAnswer { key: key_of(own)?, kept_at: time(row.try_get(1)?), status, body: row.try_get(3)? };
        Ok((own.to_vec(), Some(row)))
    };
    rows.iter().map(kept_answer).collect()
}

async fn sources(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT id, data, sealed FROM hookpost.source WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = client.query(sql, &[&key::to_id(after)?, &LIMIT]).await?;
    let source = |row: &tokio_postgres::Row| {
        let id = row.try_get(0)?;
        Ok((key::of_id(id), Some(Row::Source { id: source_id(id), data: row.try_get(1)?, sealed: row.try_get(2)? })))
    };
    rows.iter().map(source).collect()
}

async fn source_states(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT source, data FROM hookpost.source_state WHERE source > $1 ORDER BY source LIMIT $2";
    let rows = client.query(sql, &[&key::to_id(after)?, &LIMIT]).await?;
    let state = |row: &tokio_postgres::Row| {
        let id = row.try_get(0)?;
        Ok((key::of_id(id), Some(Row::SourceState { source: source_id(id), data: row.try_get(1)? })))
    };
    rows.iter().map(state).collect()
}

/// How large they are is known without reading them.
async fn receipts(client: &Client, after: Option<&Key>) -> Result<Batch, StoreError> {
    let sizes = "SELECT id, coalesce(octet_length(body), 0)::bigint FROM hookpost.receipt WHERE id > $1 ORDER BY id LIMIT $2";
    let sizes = client.query(sizes, &[&key::to_id(after)?, &LIMIT]).await?;
    let (mut last, mut count, mut bytes) = (key::to_id(after)?, 0, 0);
    for row in &sizes {
        last = row.try_get(0)?;
        count += 1;
        bytes += usize::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default();
        if bytes >= BATCH_PAYLOAD_BYTES_MAX {
            break;
        }
    }
    let sql = "SELECT id, source, data, body FROM hookpost.receipt WHERE id > $1 AND id <= $2 ORDER BY id";
    let mut rows = Vec::with_capacity(count);
    for row in client.query(sql, &[&key::to_id(after)?, &last]).await? {
        rows.push(Row::Receipt(ReceiptRow {
            id: ReceiptId::from_row(RowId::from_i64(row.try_get(0)?)),
            source: source_id(row.try_get(1)?),
            data: row.try_get(2)?,
            body: row.try_get(3)?,
        }));
    }
    let more = count < sizes.len() || count == BATCH_ROWS_MAX;
    Ok(Batch { rows, next: more.then(|| key::of_id(last)) })
}

async fn event_keys(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let sql = "SELECT key, message, created_at_ms, window_ms FROM hookpost.event_key WHERE key > $1 ORDER BY key LIMIT $2";
    let rows = client.query(sql, &[&after.map_or(&[] as &[u8], Vec::as_slice), &LIMIT]).await?;
    let event_key = |row: &tokio_postgres::Row| {
        let own: &[u8] = row.try_get(0)?;
        let window_s = u32::try_from(row.try_get::<_, i64>(3)? / 1000).unwrap_or(u32::MAX);
        let made = MadeOnce { message: message_id(row.try_get(1)?), created_at: time(row.try_get(2)?), window_s };
        Ok((own.to_vec(), Some(Row::EventKey { key: key_of(own)?, made })))
    };
    rows.iter().map(event_key).collect()
}

fn source_id(raw: i64) -> SourceId {
    SourceId::from_row(RowId::from_i64(raw))
}

fn key_of(bytes: &[u8]) -> Result<IdempotencyKey, Unreadable> {
    bytes.try_into().map(IdempotencyKey).map_err(|_| Unreadable { what: "idempotency key", why: "it has another length".to_owned() })
}
