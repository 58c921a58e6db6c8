//! The tables, their versions, and how a connection is set up.
//!
//! What is written for every message only ever appends: `message` and `delivery` by time-ordered ids, one `tail_log` row per commit. Everything
//! that would scatter (lists by application and endpoint, counters, idempotency keys) is held in memory, journaled in
//! `tail_log`, and written in sorted runs.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::OpenError;

/// Each entry brings the schema from its index to the next version, in one transaction. Entries are never changed once released.
pub(crate) const MIGRATIONS: &[&str] =
    &[include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql"), include_str!("schema/4.sql")];

pub(crate) const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// How long a connection waits for another's lock: only at open and at checkpoints is there ever one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const WRITER_CACHE_KIB: i64 = 8192;
const READER_CACHE_KIB: i64 = 2048;

/// The one connection that writes. Bad news about the file come as sentences.
pub(crate) fn open_writer(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

pub(crate) fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the schema to the version of this program.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    migrate_by(connection, MIGRATIONS)
}

pub(crate) fn migrate_by(connection: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let (found, known) = (schema_version(connection)?, migrations.len());
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (index, script) in migrations.iter().enumerate().skip(found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()?;
        tracing::info!(version = index + 1, "migrated the store to schema version {}", index + 1);
    }
    Ok(())
}

pub(crate) fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Small values that belong to the whole store.
pub(crate) mod meta {
    use super::*;

    pub(crate) const PUBLIC_ID_KEY: &str = "public_id_key";
    pub(crate) const OPENED: &str = "opened";
    pub(crate) const VAULT_CANARY: &str = "vault_canary";
    /// The last tail row that is frozen, and how many of its items are written: see `flush`.
    pub(crate) const FROZEN_SEQ: &str = "frozen_seq";
    pub(crate) const FROZEN_DONE: &str = "frozen_done";
    /// Tail rows up to here are in the tables.
    pub(crate) const FLUSHED_SEQ: &str = "flushed_seq";
    /// Deliveries of messages before this minute are not counted any more: see `retention`.
    pub(crate) const COUNTED_FROM: &str = "counted_from";
    /// Usage of spans before these seconds is forgotten, and told apart by the hour: see `usage`.
    pub(crate) const USAGE_KEPT_FROM: &str = "usage_kept_from";
    pub(crate) const USAGE_FINE_FROM: &str = "usage_fine_from";
    /// How far a move into this database has come, until it is complete.
    pub(crate) const MOVING: &str = "moving";

    pub(crate) fn bytes(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
    }

    pub(crate) fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        let number: Option<i64> =
            connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()?;
        Ok(number.unwrap_or_default())
    }

    pub(crate) fn set(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
        connection.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?.execute(params![name, value])?;
        Ok(())
    }
}
