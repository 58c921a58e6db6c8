//! How far somebody came, and logs.

use async_trait::async_trait;
use hookpost_domain::RowId;
use hookpost_store::ledger::{Ledger, LogEntry, LogName, LogWindow, ProgressChange, ProgressKey};
use hookpost_store::{Listed, PageRequest, Unavailable};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::SqliteStore;
use crate::command::{Failed, Written};
use crate::error::StoreError;

#[async_trait]
impl Ledger for SqliteStore {
    async fn progress(&self, key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable> {
        let key = key.clone();
        self.read(move |connection, _| progress(connection, &key)).await
    }

    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                let before = progress(context.connection, &key)?;
                let changed = change(before.as_deref());
                if let Some(changed) = &changed {
                    set_progress(context.connection, &key, changed)?;
                }
                entries.iter().try_for_each(|entry| append(context.connection, &entry.log.key(), entry.id, &entry.data))?;
                Ok(Written::new(changed.or(before)))
            })
            .await
    }

    async fn forget_progress(&self, of: RowId) -> Result<(), Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                context.connection.prepare_cached("DELETE FROM progress WHERE owner = ?1")?.execute([of.as_i64()])?;
                Ok(Written::new(()))
            })
            .await
    }

    async fn append(&self, entries: Vec<LogEntry>) -> Result<(), Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                entries.iter().try_for_each(|entry| append(context.connection, &entry.log.key(), entry.id, &entry.data))?;
                Ok(Written::new(()))
            })
            .await
    }

    async fn log(&self, log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable> {
        let log = log.clone();
        self.read(move |connection, _| list(connection, &log, window, &page)).await
    }

    async fn log_entry(&self, log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable> {
        let log = log.clone();
        self.read(move |connection, _| {
            let data = connection
                .prepare_cached("SELECT data FROM log_entry WHERE id = ?1 AND log = ?2")?
                .query_row(params![id.as_i64(), log.key()], |row| row.get(0))
                .optional()?;
            Ok(data.map(|data| LogEntry { log, id, data }))
        })
        .await
    }
}

fn progress(connection: &Connection, key: &ProgressKey) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT data FROM progress WHERE owner = ?1 AND name = ?2")?
        .query_row(params![key.of.as_i64(), key.name], |row| row.get(0))
        .optional()?)
}

pub(crate) fn set_progress(connection: &Connection, key: &ProgressKey, data: &[u8]) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT OR REPLACE INTO progress (owner, name, data) VALUES (?1, ?2, ?3)")?.execute(params![
        key.of.as_i64(),
        key.name,
        data
    ])?;
    Ok(())
}

pub(crate) fn append(connection: &Connection, log: &str, id: RowId, data: &[u8]) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT OR REPLACE INTO log_entry (id, log, data) VALUES (?1, ?2, ?3)")?.execute(params![
        id.as_i64(),
        log,
        data
    ])?;
    Ok(())
}

/// Returns how many.
pub(crate) fn forget(connection: &Connection, first_kept: RowId, limit: usize) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached("DELETE FROM log_entry WHERE id IN (SELECT id FROM log_entry WHERE id < ?1 ORDER BY id LIMIT ?2)")?
        .execute(params![first_kept.as_i64(), limit as i64])?)
}

fn list(connection: &Connection, log: &LogName, window: LogWindow, page: &PageRequest<RowId>) -> Result<Listed<LogEntry>, StoreError> {
    let walk = page.walk();
    let (mut lowest, mut highest) = window.ids();
    match walk.from {
        Some(from) if walk.ascending => lowest = lowest.max(RowId::from_raw(from.raw() + 1)),
        Some(from) => highest = highest.min(RowId::from_raw(from.raw().saturating_sub(1))),
        None => {}
    }
    let order = if walk.ascending { "ASC" } else { "DESC" };
    let sql = format!("SELECT id, data FROM log_entry WHERE log = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id {order} LIMIT ?4");
    let limit = i64::try_from(walk.count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let entry = |row: &rusqlite::Row<'_>| Ok(LogEntry { log: log.clone(), id: RowId::from_i64(row.get(0)?), data: row.get(1)? });
    let entries = statement.query_map(params![log.key(), lowest.as_i64(), highest.as_i64(), limit], entry)?;
    Ok(page.listed(entries.collect::<Result<_, _>>()?))
}
