//! How far somebody came, and logs.

use async_trait::async_trait;
use hookpost_domain::RowId;
use hookpost_store::ledger::{Ledger, LogEntry, LogName, LogWindow, ProgressChange, ProgressKey};
use hookpost_store::{Listed, PageRequest, Unavailable};
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::error::StoreError;
use crate::node;
use crate::shared::Shared;
use crate::statements::{execute, query, query_one, query_opt};

/// Whoever comes at the same time waits here for the one before.
const LOCK: &str = "SELECT data FROM hookpost.progress WHERE of = $1 AND name = $2 FOR UPDATE";
const MAKE: &str = "INSERT INTO hookpost.progress (of, name) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const KEEP: &str = "UPDATE hookpost.progress SET data = $3 WHERE of = $1 AND name = $2";

#[async_trait]
impl Ledger for PostgresStore {
    async fn progress(&self, key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(progress(&self.shared, key).await?)
    }

    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(advance(&self.shared, &key, change, &entries).await?)
    }

    async fn forget_progress(&self, of: RowId) -> Result<(), Unavailable> {
        Ok(forget_progress(&self.shared, of).await?)
    }

    async fn append(&self, entries: Vec<LogEntry>) -> Result<(), Unavailable> {
        Ok(append(&self.shared, &entries).await?)
    }

    async fn log(&self, log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable> {
        Ok(list(&self.shared, log, window, page).await?)
    }

    async fn log_entry(&self, log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable> {
        Ok(entry(&self.shared, log, id).await?)
    }
}

async fn progress(shared: &Shared, key: &ProgressKey) -> Result<Option<Vec<u8>>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "SELECT data FROM hookpost.progress WHERE of = $1 AND name = $2";
    let row = query_opt(&connection, sql, &[&key.of.as_i64(), &key.name.as_bytes()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

/// Only in the name of a living node: one that was taken for dead must not move what another has taken over.
async fn advance(shared: &Shared, key: &ProgressKey, change: ProgressChange, entries: &[LogEntry]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut connection = shared.connections.get().await?;
    let transaction = node::begin(&mut connection, shared.node.holder()).await?;
    let of = key.of.as_i64();
    let row = match query_opt(&transaction, LOCK, &[&of, &key.name.as_bytes()]).await? {
        Some(row) => row,
        None => {
            execute(&transaction, MAKE, &[&of, &key.name.as_bytes()]).await?;
            query_one(&transaction, LOCK, &[&of, &key.name.as_bytes()]).await?
        }
    };
    let mut data: Option<Vec<u8>> = row.try_get(0)?;
    let changed = change(data.as_deref());
    if let Some(changed) = &changed {
        execute(&transaction, KEEP, &[&of, &key.name.as_bytes(), changed]).await?;
    }
    add(&transaction, entries).await?;
    transaction.commit().await?;
    if changed.is_some() {
        data = changed;
    }
    Ok(data)
}

async fn forget_progress(shared: &Shared, of: RowId) -> Result<(), StoreError> {
    let connection = shared.connections.get().await?;
    execute(&connection, "DELETE FROM hookpost.progress WHERE of = $1", &[&of.as_i64()]).await?;
    Ok(())
}

async fn append(shared: &Shared, entries: &[LogEntry]) -> Result<(), StoreError> {
    let connection = shared.connections.get().await?;
    add(&connection, entries).await
}

async fn add(client: &impl deadpool_postgres::GenericClient, entries: &[LogEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let logs: Vec<String> = entries.iter().map(|entry| entry.log.key()).collect();
    let ids: Vec<i64> = entries.iter().map(|entry| entry.id.as_i64()).collect();
    let data: Vec<&[u8]> = entries.iter().map(|entry| entry.data.as_slice()).collect();
    // What is there already was written by a try whose answer was lost.
    let sql =
        "INSERT INTO hookpost.log_entry (log, id, data) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[]) ON CONFLICT DO NOTHING";
    execute(client, sql, &[&logs, &ids, &data]).await?;
    Ok(())
}

async fn list(shared: &Shared, log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, StoreError> {
    let connection = shared.connections.get().await?;
    let walk = page.walk().map(RowId::as_i64);
    let (comparison, order) = walk.comparison();
    let sql = format!(
        "SELECT id, data FROM hookpost.log_entry
         WHERE log = $1 AND id {comparison} $2 AND id BETWEEN $3 AND $4 ORDER BY id {order} LIMIT $5"
    );
    let (lowest, highest) = window.ids();
    let count = i64::try_from(walk.count).unwrap_or(i64::MAX);
    let rows = query(&connection, &sql, &[&log.key(), &walk.bound(), &lowest.as_i64(), &highest.as_i64(), &count]).await?;
    let items = rows.iter().map(|row| decode(log, row)).collect::<Result<_, _>>()?;
    Ok(page.listed(items))
}

async fn entry(shared: &Shared, log: &LogName, id: RowId) -> Result<Option<LogEntry>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "SELECT id, data FROM hookpost.log_entry WHERE log = $1 AND id = $2";
    let row = query_opt(&connection, sql, &[&log.key(), &id.as_i64()]).await?;
    row.map(|row| decode(log, &row)).transpose()
}

fn decode(log: &LogName, row: &Row) -> Result<LogEntry, StoreError> {
    Ok(LogEntry { log: log.clone(), id: RowId::from_i64(row.try_get(0)?), data: row.try_get(1)? })
}
