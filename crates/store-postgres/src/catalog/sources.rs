//! Sources: their rows, their tokens, and how far those have come that are asked.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use hookpost_domain::source::SourceToken;
use hookpost_domain::{Application, EndpointId, OrgId, RowId, Source, SourceId};
use hookpost_store::cache::Loading;
use hookpost_store::rows::{decode_source, encode_source, to_json, token_hash};
use hookpost_store::vault::Vault;
use hookpost_store::{Change, Listed, PageRequest, WriteError};
use tokio_postgres::Row;

use super::walk::ids;
use super::writing::{Failed, commit};
use crate::changes::{Changed, record_change};
use crate::error::StoreError;
use crate::owners::Scope;
use crate::shared::Shared;
use crate::statements::{execute, query, query_opt};
use crate::{cancel, documents};

fn source_id(raw: i64) -> SourceId {
    SourceId::from_row(RowId::from_i64(raw))
}

/// Columns `id`, `data` and `sealed`.
fn decode_row(vault: &Vault, row: &Row) -> Result<Source, StoreError> {
    Ok(decode_source(vault, source_id(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?)?)
}

pub(super) async fn by_id(shared: &Shared, id: SourceId) -> Result<Option<Arc<Source>>, StoreError> {
    if let Some(source) = shared.catalog.source(id) {
        return Ok(Some(source));
    }
    let connection = shared.connections.get().await?;
    load_into_memory(shared, &connection, id).await
}

async fn load_into_memory(shared: &Shared, client: &impl GenericClient, id: SourceId) -> Result<Option<Arc<Source>>, StoreError> {
    let ticket = shared.catalog.begin(Loading::Source(id));
    let loaded = async {
        let sql = "SELECT id, data, sealed FROM hookpost.source WHERE id = $1";
        let row = query_opt(client, sql, &[&id.row().as_i64()]).await?;
        row.map(|row| decode_row(&shared.vault, &row).map(Arc::new)).transpose()
    };
    let source = loaded.await;
    shared.catalog.loaded_source(ticket, id, source.as_ref().ok().and_then(Option::as_ref));
    source
}

pub(super) async fn by_uid(shared: &Shared, org: &OrgId, uid: &str) -> Result<Option<Arc<Source>>, StoreError> {
    let connection = shared.connections.get().await?;
    let found = query_opt(&connection, "SELECT id FROM hookpost.source WHERE org = $1 AND uid = $2", &[&org.as_str(), &uid]).await?;
    let Some(row) = found else { return Ok(None) };
    let id = source_id(row.try_get(0)?);
    match shared.catalog.source(id) {
        Some(source) => Ok(Some(source)),
        None => load_into_memory(shared, &connection, id).await,
    }
}

/// What is not in memory is asked for anew each time: another node may just have made it.
pub(super) async fn by_token(shared: &Shared, token: &SourceToken) -> Result<Option<Arc<Source>>, StoreError> {
    let hash = token_hash(token);
    if let Some(source) = shared.catalog.source_of_token(&hash) {
        return Ok(Some(source));
    }
    let _turn = shared.catalog.token_lookup().await;
    let connection = shared.connections.get().await?;
    let sql = "SELECT source FROM hookpost.source_token WHERE sha256 = $1";
    let Some(row) = query_opt(&connection, sql, &[&hash.as_slice()]).await? else { return Ok(None) };
    load_into_memory(shared, &connection, source_id(row.try_get(0)?)).await
}

pub(super) async fn list(shared: &Shared, org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, StoreError> {
    let connection = shared.connections.get().await?;
    let walk = ids(page.walk(), SourceId::row);
    let (comparison, order) = walk.comparison();
    let sql = format!("SELECT id, data, sealed FROM hookpost.source WHERE org = $1 AND id {comparison} $2 ORDER BY id {order} LIMIT $3");
    let count = i64::try_from(walk.count).unwrap_or(i64::MAX);
    let rows = query(&connection, &sql, &[&org.as_str(), &walk.bound(), &count]).await?;
    Ok(page.listed(rows.iter().map(|row| decode_row(&shared.vault, row)).collect::<Result<_, _>>()?))
}

pub(super) async fn pulled(shared: &Shared) -> Result<Vec<Arc<Source>>, StoreError> {
    let connection = shared.connections.get().await?;
    let rows = query(&connection, "SELECT id, data, sealed FROM hookpost.source WHERE pulled ORDER BY id", &[]).await?;
    rows.iter().map(|row| decode_row(&shared.vault, row).map(Arc::new)).collect()
}

pub(super) async fn create(shared: Arc<Shared>, source: Source, application: Option<Application>) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let (data, sealed) = encode_source(&shared.vault, &source)?;
    // First what must be unique, then what it leads to: of two reasons the same one is told everywhere.
    execute(
        &transaction,
        "INSERT INTO hookpost.source (id, org, uid, pulled, data, sealed) VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            &source.id.row().as_i64(),
            &source.org.as_str(),
            &source.uid.as_ref().map(|uid| uid.as_str()),
            &source.is_pulled(),
            &data,
            &sealed,
        ],
    )
    .await?;
    put_tokens(&transaction, &source).await?;
    match &application {
        Some(application) => {
            let uid = application.uid.as_ref().map(|uid| uid.as_str());
            let insert = "INSERT INTO hookpost.application (id, org, uid, data) VALUES ($1, $2, $3, $4)";
            execute(&transaction, insert, &[&application.id.row().as_i64(), &application.org.as_str(), &uid, &to_json(application)?])
                .await?;
            shared.changes.is_known(record_change(&*transaction, &Changed::Application(application.id)).await?);
        }
        None => check_leads_somewhere(&transaction, &source).await?,
    }
    commit(&shared, transaction, &Changed::Source(source.id)).await?;
    if let Some(application) = application {
        // A load under way would keep its absence.
        shared.catalog.drop_application(application.id);
    }
    // The first who asks loads it.
    shared.catalog.patch_source(source.id, None);
    Ok(())
}

async fn put_tokens(client: &impl GenericClient, source: &Source) -> Result<(), tokio_postgres::Error> {
    let mut hashes: Vec<Vec<u8>> = source.tokens.all().map(|token| token_hash(token).to_vec()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let insert = "INSERT INTO hookpost.source_token (sha256, source) SELECT sha256, $2 FROM unnest($1::bytea[]) AS new (sha256)";
    execute(client, insert, &[&hashes, &source.id.row().as_i64()]).await.map(drop)
}

/// Keeps it from going before the transaction ends.
async fn check_leads_somewhere(client: &impl GenericClient, source: &Source) -> Result<(), Failed> {
    let sql = "SELECT 1 FROM hookpost.application WHERE id = $1 AND org = $2 FOR KEY SHARE";
    let found = query_opt(client, sql, &[&source.application.row().as_i64(), &source.org.as_str()]).await?;
    found.map(drop).ok_or_else(|| WriteError::NotFound.into())
}

pub(super) async fn update(shared: Arc<Shared>, id: SourceId, apply: Change<Source>) -> Result<Source, Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let raw = id.row().as_i64();
    let sql = "SELECT id, data, sealed FROM hookpost.source WHERE id = $1 FOR NO KEY UPDATE";
    let row = query_opt(&transaction, sql, &[&raw]).await?.ok_or(WriteError::NotFound)?;
    let mut source = decode_row(&shared.vault, &row)?;
    let led_to = source.application;
    apply(&mut source)?;
    let (data, sealed) = encode_source(&shared.vault, &source)?;
    execute(
        &transaction,
        "UPDATE hookpost.source SET uid = $2, pulled = $3, data = $4, sealed = $5 WHERE id = $1",
        &[&raw, &source.uid.as_ref().map(|uid| uid.as_str()), &source.is_pulled(), &data, &sealed],
    )
    .await?;
    execute(&transaction, "DELETE FROM hookpost.source_token WHERE source = $1", &[&raw]).await?;
    put_tokens(&transaction, &source).await?;
    if source.application != led_to {
        check_leads_somewhere(&transaction, &source).await?;
    }
    commit(&shared, transaction, &Changed::Source(id)).await?;
    shared.catalog.patch_source(id, None);
    Ok(source)
}

pub(super) async fn delete(shared: Arc<Shared>, id: SourceId) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let raw = id.row().as_i64();
    let row = query_opt(&transaction, "DELETE FROM hookpost.source WHERE id = $1 RETURNING id, data, sealed", &[&raw]).await?;
    let source = decode_row(&shared.vault, &row.ok_or(WriteError::NotFound)?)?;
    execute(&transaction, "DELETE FROM hookpost.source_token WHERE source = $1", &[&raw]).await?;
    execute(&transaction, "DELETE FROM hookpost.source_state WHERE source = $1", &[&raw]).await?;
    execute(&transaction, "DELETE FROM hookpost.owner WHERE scope = $1", &[&Scope::Source(id).row()]).await?;
    let application = source.application;
    let mut ended = None;
    if source.owns_application {
        let led_to = application.row().as_i64();
        if execute(&transaction, "DELETE FROM hookpost.application WHERE id = $1", &[&led_to]).await? > 0 {
            let gone = query(&transaction, "DELETE FROM hookpost.endpoint WHERE application = $1 RETURNING id", &[&led_to]).await?;
            let gone =
                gone.iter().map(|row| Ok(EndpointId::from_row(RowId::from_i64(row.try_get(0)?)))).collect::<Result<_, StoreError>>()?;
            ended = Some(cancel::end_with_endpoints(&shared, &*transaction, application, gone).await?);
            documents::delete_owned(&transaction, application.row()).await?;
            shared.changes.is_known(record_change(&*transaction, &Changed::Application(application)).await?);
        }
    }
    commit(&shared, transaction, &Changed::Source(id)).await?;
    if let Some(ended) = ended {
        shared.catalog.forget_application(application);
        shared.catalog.drop_application(application);
        ended.committed(&shared);
    }
    shared.owned.lock().remove(Scope::Source(id));
    shared.catalog.patch_source(id, None);
    Ok(())
}

pub(super) async fn state(shared: &Shared, id: SourceId) -> Result<Option<Vec<u8>>, StoreError> {
    let connection = shared.connections.get().await?;
    let row = query_opt(&connection, "SELECT data FROM hookpost.source_state WHERE source = $1", &[&id.row().as_i64()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Nothing where there is no such source.
pub(super) async fn set_state(shared: &Shared, id: SourceId, state: &[u8]) -> Result<(), StoreError> {
    let connection = shared.connections.get().await?;
    let upsert = "INSERT INTO hookpost.source_state (source, data) SELECT id, $2 FROM hookpost.source WHERE id = $1 FOR KEY SHARE
        ON CONFLICT (source) DO UPDATE SET data = excluded.data";
    execute(&connection, upsert, &[&id.row().as_i64(), &state]).await?;
    Ok(())
}
