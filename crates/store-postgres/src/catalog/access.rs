//! API keys, and which tokens were revoked.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::{ApiKey, ApiKeyId, OrgId, Timestamp};
use hookpost_store::cache::Loading;
use hookpost_store::codec::time;
use hookpost_store::rows::{from_json, to_json};
use hookpost_store::{Change, Listed, PageRequest, WriteError};
use tokio_postgres::GenericClient;

use super::walk::{ids, json_column, walk_json};
use super::writing::{Failed, commit};
use crate::changes::Changed;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{execute, query_opt};

pub(super) async fn key_by_hash(shared: &Shared, key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, StoreError> {
    if let Some(key) = shared.catalog.api_key(&key_sha256) {
        return Ok(Some(key));
    }
    let connection = shared.connections.get().await?;
    let ticket = shared.catalog.begin(Loading::ApiKey(key_sha256));
    let loaded = async {
        let row = query_opt(&connection, "SELECT data FROM hookpost.api_key WHERE key_sha256 = $1", &[&key_sha256.as_slice()]).await?;
        row.map(|row| Ok(Arc::new(json_column(&row)?))).transpose()
    };
    let key = loaded.await;
    shared.catalog.loaded_api_key(ticket, key_sha256, key.as_ref().ok().and_then(Option::as_ref));
    key
}

pub(super) async fn list_keys(shared: &Shared, org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, StoreError> {
    let connection = shared.connections.get().await?;
    let walk = ids(page.walk(), ApiKeyId::row);
    let sql = "SELECT data FROM hookpost.api_key WHERE ($1::text IS NULL OR org = $1)";
    Ok(page.listed(walk_json(&connection, sql, &[&org.map(OrgId::as_str)], walk).await?))
}

pub(super) async fn create_key(shared: Arc<Shared>, key: ApiKey) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    execute(
        &transaction,
        "INSERT INTO hookpost.api_key (id, org, key_sha256, data) VALUES ($1, $2, $3, $4)",
        &[&key.id.row().as_i64(), &key.org.as_str(), &key.key_sha256.as_slice(), &to_json(&key)?],
    )
    .await?;
    commit(&shared, transaction, &Changed::ApiKey(key.key_sha256)).await?;
    shared.catalog.forget_api_key(key.key_sha256);
    Ok(())
}

pub(super) async fn key(shared: &Shared, org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "SELECT data FROM hookpost.api_key WHERE id = $1 AND org = $2";
    let row = query_opt(&connection, sql, &[&id.row().as_i64(), &org.as_str()]).await?;
    row.map(|row| json_column(&row)).transpose()
}

/// By its hash it is found as before: that stays.
pub(super) async fn update_key(shared: Arc<Shared>, org: OrgId, id: ApiKeyId, apply: Change<ApiKey>) -> Result<ApiKey, Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let raw = id.row().as_i64();
    let sql = "SELECT data FROM hookpost.api_key WHERE id = $1 AND org = $2 FOR NO KEY UPDATE";
    let row = query_opt(&transaction, sql, &[&raw, &org.as_str()]).await?;
    let mut key: ApiKey = json_column(&row.ok_or(WriteError::NotFound)?)?;
    let key_sha256 = key.key_sha256;
    apply(&mut key)?;
    key.key_sha256 = key_sha256;
    execute(&transaction, "UPDATE hookpost.api_key SET data = $2 WHERE id = $1", &[&raw, &to_json(&key)?]).await?;
    commit(&shared, transaction, &Changed::ApiKey(key_sha256)).await?;
    shared.catalog.forget_api_key(key_sha256);
    Ok(key)
}

pub(super) async fn delete_key(shared: Arc<Shared>, org: Option<OrgId>, id: ApiKeyId) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let sql = "DELETE FROM hookpost.api_key WHERE id = $1 AND ($2::text IS NULL OR org = $2) RETURNING key_sha256";
    let row = query_opt(&transaction, sql, &[&id.row().as_i64(), &org.as_ref().map(OrgId::as_str)]).await?;
    let hash: Vec<u8> = row.ok_or(WriteError::NotFound)?.try_get(0)?;
    let Ok(hash) = <[u8; 32]>::try_from(hash) else {
        // It was never found by this hash, so nobody remembers it.
        return Ok(transaction.commit().await?);
    };
    commit(&shared, transaction, &Changed::ApiKey(hash)).await?;
    shared.catalog.forget_api_key(hash);
    Ok(())
}

pub(super) async fn revoke(shared: Arc<Shared>, revocation: Revocation) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let target = String::from_utf8(to_json(&revocation.target)?).expect("JSON is text");
    execute(
        &transaction,
        "INSERT INTO hookpost.revocation AS known (target, at_ms, forget_at_ms) VALUES ($1, $2, $3)
         ON CONFLICT (target) DO UPDATE
         SET at_ms = greatest(known.at_ms, $2), forget_at_ms = greatest(known.forget_at_ms, $3)",
        &[&target, &(revocation.at.unix_ms() as i64), &(revocation.forget_at.unix_ms() as i64)],
    )
    .await?;
    commit(&shared, transaction, &Changed::Revocation).await?;
    remember(&shared, [(revocation.target, (revocation.at, revocation.forget_at))]);
    Ok(())
}

/// When, and until when to remember it.
pub(crate) type Revocations = HashMap<RevocationTarget, (Timestamp, Timestamp)>;

pub(crate) async fn load_revocations(client: &impl GenericClient) -> Result<Revocations, StoreError> {
    let rows = client.query("SELECT target, at_ms, forget_at_ms FROM hookpost.revocation", &[]).await?;
    let revocation = |row: &tokio_postgres::Row| {
        let target: &str = row.try_get(0)?;
        Ok((from_json(target.as_bytes())?, (time(row.try_get(1)?), time(row.try_get(2)?))))
    };
    rows.iter().map(revocation).collect()
}

/// A revocation is never taken back, so that it does not matter in which order they are heard of.
pub(crate) fn remember(shared: &Shared, heard: impl IntoIterator<Item = (RevocationTarget, (Timestamp, Timestamp))>) {
    let mut revocations = shared.catalog.revocations.write();
    for (target, (at, forget_at)) in heard {
        let known = revocations.entry(target).or_insert((at, forget_at));
        *known = (known.0.max(at), known.1.max(forget_at));
    }
    drop(revocations);
    shared.catalog.changed();
}
