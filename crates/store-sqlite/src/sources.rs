//! Sources: their rows, their tokens, and how far those have come that are asked.

use std::sync::Arc;

use hookpost_domain::{Application, OrgId, RowId, Source, SourceId, Timestamp};
use hookpost_store::cache::Loading;
use hookpost_store::page::Walk;
use hookpost_store::rows::{TokenHash, decode_source, encode_source, token_hash};
use hookpost_store::vault::Vault;
use hookpost_store::{Change, WriteError};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::catalog::{Refusal, delete_application_rows, forget_application, insert_application, refuse};
use crate::command::{WriteContext, Written};
use crate::error::StoreError;
use crate::shared::Shared;

fn source_id(raw: i64) -> SourceId {
    SourceId::from_row(RowId::from_i64(raw))
}

/// Columns `id`, `data` and `sealed`.
fn decode_row(vault: &Vault, row: &Row<'_>) -> Result<Source, StoreError> {
    let blob = |index| row.get_ref(index).and_then(|value| Ok(value.as_blob()?));
    Ok(decode_source(vault, source_id(row.get(0)?), blob(1)?, blob(2)?)?)
}

fn load(connection: &Connection, vault: &Vault, id: SourceId) -> Result<Option<Source>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, data, sealed FROM source WHERE id = ?1")?;
    let mut rows = statement.query([id.row().as_i64()])?;
    rows.next()?.map(|row| decode_row(vault, row)).transpose()
}

pub(crate) fn load_into_memory(connection: &Connection, shared: &Shared, id: SourceId) -> Result<Option<Arc<Source>>, StoreError> {
    let ticket = shared.catalog.begin(Loading::Source(id));
    let source = load(connection, &shared.vault, id).map(|source| source.map(Arc::new));
    shared.catalog.loaded_source(ticket, id, source.as_ref().ok().and_then(Option::as_ref));
    source
}

pub(crate) fn find_by_token(connection: &Connection, shared: &Shared, hash: &TokenHash) -> Result<Option<Arc<Source>>, StoreError> {
    let id: Option<i64> =
        connection.prepare_cached("SELECT source FROM source_token WHERE sha256 = ?1")?.query_row([hash], |row| row.get(0)).optional()?;
    let Some(id) = id.map(source_id) else { return Ok(None) };
    load_into_memory(connection, shared, id)
}

pub(crate) fn id_of_uid(connection: &Connection, org: &OrgId, uid: &str) -> Result<Option<SourceId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM source WHERE org = ?1 AND uid = ?2")?
        .query_row(params![org.as_str(), uid], |row| Ok(source_id(row.get(0)?)))
        .optional()?)
}

pub(crate) fn list(connection: &Connection, vault: &Vault, org: &OrgId, walk: Walk<i64>) -> Result<Vec<Source>, StoreError> {
    let (comparison, order) = walk.comparison();
    let sql = format!("SELECT id, data, sealed FROM source WHERE org = ?1 AND id {comparison} ?2 ORDER BY id {order} LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![org.as_str(), walk.bound(), i64::try_from(walk.count).unwrap_or(i64::MAX)])?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        sources.push(decode_row(vault, row)?);
    }
    Ok(sources)
}

pub(crate) fn pulled(connection: &Connection, vault: &Vault) -> Result<Vec<Arc<Source>>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, data, sealed FROM source WHERE pulled = 1 ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        sources.push(Arc::new(decode_row(vault, row)?));
    }
    Ok(sources)
}

pub(crate) fn create(context: &mut WriteContext<'_>, source: Source, application: Option<Application>) -> Result<Written<()>, Refusal> {
    let connection = context.connection;
    check_unique(connection, &source)?;
    match &application {
        Some(application) => insert_application(connection, application)?,
        None => check_leads_somewhere(connection, &source)?,
    }
    insert(connection, &context.shared.vault, &source)?;
    Ok(Written::and((), move |shared| {
        if let Some(application) = application {
            shared.catalog.patch_application(application.id, |_| Some(()));
        }
        shared.catalog.patch_source(source.id, Some(&Arc::new(source)));
    }))
}

/// A new row, with its tokens.
pub(crate) fn insert(connection: &Connection, vault: &Vault, source: &Source) -> Result<(), StoreError> {
    let (data, sealed) = encode_source(vault, source)?;
    insert_encoded(connection, source, &data, &sealed)
}

/// As it was encoded elsewhere.
pub(crate) fn insert_encoded(connection: &Connection, source: &Source, data: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT INTO source (id, org, uid, pulled, data, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
        params![
            source.id.row().as_i64(),
            source.org.as_str(),
            source.uid.as_ref().map(|uid| uid.as_str()),
            source.is_pulled(),
            data,
            sealed
        ],
    )?;
    put_tokens(connection, source)
}

fn put_tokens(connection: &Connection, source: &Source) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO source_token (sha256, source) VALUES (?1, ?2)")?;
    for token in source.tokens.all() {
        insert.execute(params![token_hash(token), source.id.row().as_i64()])?;
    }
    Ok(())
}

pub(crate) fn update(context: &mut WriteContext<'_>, id: SourceId, change: Change<Source>) -> Result<Written<Source>, Refusal> {
    let (connection, vault, raw) = (context.connection, &context.shared.vault, id.row().as_i64());
    let Some(mut source) = load(connection, vault, id)? else { return refuse(WriteError::NotFound) };
    let led_to = source.application;
    change(&mut source).map_err(|refusal| Refusal::Refused(refusal.into()))?;
    check_unique(connection, &source)?;
    if source.application != led_to {
        check_leads_somewhere(connection, &source)?;
    }
    let (data, sealed) = encode_source(vault, &source)?;
    connection.prepare_cached("UPDATE source SET uid = ?2, pulled = ?3, data = ?4, sealed = ?5 WHERE id = ?1")?.execute(params![
        raw,
        source.uid.as_ref().map(|uid| uid.as_str()),
        source.is_pulled(),
        data,
        sealed
    ])?;
    connection.prepare_cached("DELETE FROM source_token WHERE source = ?1")?.execute([raw])?;
    put_tokens(connection, &source)?;
    let changed = Arc::new(source.clone());
    Ok(Written::and(source, move |shared| shared.catalog.patch_source(id, Some(&changed))))
}

pub(crate) fn delete(context: &mut WriteContext<'_>, id: SourceId, now: Timestamp) -> Result<Written<()>, Refusal> {
    let (connection, raw) = (context.connection, id.row().as_i64());
    let Some(source) = load(connection, &context.shared.vault, id)? else { return refuse(WriteError::NotFound) };
    for table in ["source WHERE id", "source_token WHERE source", "source_state WHERE source"] {
        connection.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([raw])?;
    }
    let endpoints = if source.owns_application { delete_application_rows(context, source.application, now)? } else { None };
    Ok(Written::and((), move |shared| {
        if let Some(endpoints) = endpoints {
            forget_application(shared, source.application, &endpoints);
        }
        shared.catalog.patch_source(id, None);
    }))
}

fn check_unique(connection: &Connection, source: &Source) -> Result<(), Refusal> {
    let raw = source.id.row().as_i64();
    if let Some(uid) = &source.uid {
        let mut others = connection.prepare_cached("SELECT 1 FROM source WHERE org = ?1 AND uid = ?2 AND id <> ?3")?;
        if others.exists(params![source.org.as_str(), uid.as_str(), raw])? {
            return refuse(WriteError::Conflict { field: "uid" });
        }
    }
    let mut taken = connection.prepare_cached("SELECT 1 FROM source_token WHERE sha256 = ?1 AND source <> ?2")?;
    for token in source.tokens.all() {
        if taken.exists(params![token_hash(token), raw])? {
            return refuse(WriteError::Conflict { field: "token" });
        }
    }
    Ok(())
}

fn check_leads_somewhere(connection: &Connection, source: &Source) -> Result<(), Refusal> {
    let mut application = connection.prepare_cached("SELECT 1 FROM application WHERE id = ?1 AND org = ?2")?;
    match application.exists(params![source.application.row().as_i64(), source.org.as_str()])? {
        true => Ok(()),
        false => refuse(WriteError::NotFound),
    }
}

pub(crate) fn state(connection: &Connection, id: SourceId) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM source_state WHERE source = ?1")?;
    Ok(statement.query_row([id.row().as_i64()], |row| row.get(0)).optional()?)
}

/// Nothing where there is no such source.
pub(crate) fn set_state(connection: &Connection, id: SourceId, state: &[u8]) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO source_state (source, data) SELECT id, ?2 FROM source WHERE id = ?1")?
        .execute(params![id.row().as_i64(), state])?;
    Ok(())
}
