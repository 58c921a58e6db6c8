//! Reading the sections.

use hookpost_domain::health::Health;
use hookpost_store::IdempotencyKey;
use hookpost_store::codec::{Unreadable, endpoint_id, message_id, time};
use hookpost_store::rows::from_json;
use hookpost_store::transfer::{BATCH_ROWS_MAX, Batch, Key, Row, Section, key};
use tokio_postgres::Client;

use super::history;
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

fn key_of(bytes: &[u8]) -> Result<IdempotencyKey, Unreadable> {
    bytes.try_into().map(IdempotencyKey).map_err(|_| Unreadable { what: "idempotency key", why: "it has another length".to_owned() })
}
