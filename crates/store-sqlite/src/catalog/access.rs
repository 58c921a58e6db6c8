//! Keys, and tokens that were ended before their time.

use std::sync::Arc;

use hookpost_domain::access::Revocation;
use hookpost_domain::{ApiKey, ApiKeyId, OrgId};
use hookpost_store::rows::to_json;
use hookpost_store::{Change, Unavailable, WriteError};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Refusal, refuse};
use crate::command::{Failed, WriteContext, Written};
use crate::error::StoreError;
use crate::rows;

pub(super) fn key_of_hash(connection: &Connection, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, StoreError> {
    connection
        .prepare_cached("SELECT data FROM api_key WHERE key_sha256 = ?1")?
        .query_row([key_sha256], |row| Ok(rows::json_column(row)))
        .optional()?
        .transpose()
        .map(|key: Option<ApiKey>| key.map(Arc::new))
}

pub(super) fn key(connection: &Connection, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    connection
        .prepare_cached("SELECT data FROM api_key WHERE id = ?1 AND org = ?2")?
        .query_row(params![id.row().as_i64(), org.as_str()], |row| Ok(rows::json_column(row)))
        .optional()?
        .transpose()
}

pub(super) fn create_key(context: &mut WriteContext<'_>, key: &ApiKey) -> Result<Written<()>, Refusal> {
    context.connection.prepare_cached("INSERT INTO api_key (id, org, key_sha256, data) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        key.id.row().as_i64(),
        key.org.as_str(),
        key.key_sha256,
        to_json(key)?
    ])?;
    let hash = key.key_sha256;
    Ok(Written::and((), move |shared| shared.catalog.forget_api_key(hash)))
}

pub(super) fn update_key(
    context: &mut WriteContext<'_>,
    org: &OrgId,
    id: ApiKeyId,
    change: Change<ApiKey>,
) -> Result<Written<ApiKey>, Refusal> {
    let Some(before) = key(context.connection, org, id)? else { return refuse(WriteError::NotFound) };
    let hash = before.key_sha256;
    let mut key = before;
    change(&mut key).map_err(|refusal| Refusal::Refused(refusal.into()))?;
    key.key_sha256 = hash;
    context.connection.prepare_cached("UPDATE api_key SET data = ?2 WHERE id = ?1")?.execute(params![id.row().as_i64(), to_json(&key)?])?;
    Ok(Written::and(key, move |shared| shared.catalog.forget_api_key(hash)))
}

pub(super) fn delete_key(context: &mut WriteContext<'_>, org: Option<&OrgId>, id: ApiKeyId) -> Result<Written<()>, Refusal> {
    let hash: Option<[u8; 32]> = context
        .connection
        .prepare_cached("DELETE FROM api_key WHERE id = ?1 AND (?2 IS NULL OR org = ?2) RETURNING key_sha256")?
        .query_row(params![id.row().as_i64(), org.map(OrgId::as_str)], |row| row.get(0))
        .optional()?;
    let Some(hash) = hash else { return refuse(WriteError::NotFound) };
    Ok(Written::and((), move |shared| shared.catalog.forget_api_key(hash)))
}

pub(super) fn revoke(context: &mut WriteContext<'_>, revocation: Revocation) -> Result<Written<()>, Failed<Unavailable>> {
    let (at, forget_at) = (revocation.at, revocation.forget_at);
    context
        .connection
        .prepare_cached(
            "INSERT INTO revocation (target, at_ms, forget_at_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET at_ms = max(at_ms, ?2), forget_at_ms = max(forget_at_ms, ?3)",
        )?
        .execute(params![to_json(&revocation.target)?, at.unix_ms() as i64, forget_at.unix_ms() as i64])?;
    Ok(Written::and((), move |shared| {
        let mut revocations = shared.catalog.revocations.write();
        let known = revocations.entry(revocation.target).or_insert((at, forget_at));
        *known = (known.0.max(at), known.1.max(forget_at));
        drop(revocations);
        shared.catalog.changed();
    }))
}
