//! Endpoints.

use std::sync::Arc;

use hookpost_domain::{ApplicationId, Endpoint, EndpointId, limits};
use hookpost_store::rows::{decode_endpoint, encode_endpoint};
use hookpost_store::{ApplicationView, Change, WriteError};

use super::writing::{ApplicationChange, Failed};
use crate::cancel;
use crate::shared::Shared;
use crate::statements::{execute, query_one, query_opt};

pub(super) async fn create(shared: Arc<Shared>, endpoint: Endpoint) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, endpoint.application).await?;
    let application = endpoint.application.row().as_i64();
    // Whoever adds another waits here, so that the count holds.
    let sql = "SELECT 1 FROM hookpost.application WHERE id = $1 FOR NO KEY UPDATE";
    query_opt(&change.transaction, sql, &[&application]).await?.ok_or(WriteError::NotFound)?;
    let count = query_one(&change.transaction, "SELECT count(*) FROM hookpost.endpoint WHERE application = $1", &[&application]).await?;
    if count.try_get::<_, i64>(0)? >= limits::ENDPOINTS_PER_APPLICATION_MAX as i64 {
        let max = limits::ENDPOINTS_PER_APPLICATION_MAX;
        return Err(WriteError::LimitReached(format!("an application has at most {max} endpoints")).into());
    }
    let (data, sealed) = encode_endpoint(&shared.vault, &endpoint)?;
    execute(
        &change.transaction,
        "INSERT INTO hookpost.endpoint (id, application, uid, data, sealed) VALUES ($1, $2, $3, $4, $5)",
        &[&endpoint.id.row().as_i64(), &application, &endpoint.uid.as_ref().map(|uid| uid.as_str()), &data, &sealed],
    )
    .await?;
    change.commit(|view| put(view, endpoint)).await
}

pub(super) async fn update(
    shared: Arc<Shared>,
    application: ApplicationId,
    id: EndpointId,
    apply: Change<Endpoint>,
) -> Result<Endpoint, Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, application).await?;
    let raw = id.row().as_i64();
    let sql = "SELECT data, sealed FROM hookpost.endpoint WHERE id = $1 AND application = $2 FOR NO KEY UPDATE";
    let row = query_opt(&change.transaction, sql, &[&raw, &application.row().as_i64()]).await?.ok_or(WriteError::NotFound)?;
    let mut endpoint = decode_endpoint(&shared.vault, id, row.try_get(0)?, row.try_get(1)?)?;
    apply(&mut endpoint)?;
    let (data, sealed) = encode_endpoint(&shared.vault, &endpoint)?;
    execute(
        &change.transaction,
        "UPDATE hookpost.endpoint SET uid = $2, data = $3, sealed = $4 WHERE id = $1",
        &[&raw, &endpoint.uid.as_ref().map(|uid| uid.as_str()), &data, &sealed],
    )
    .await?;
    let changed = endpoint.clone();
    change.commit(|view| put(view, changed)).await?;
    Ok(endpoint)
}

pub(super) async fn delete(shared: Arc<Shared>, application: ApplicationId, id: EndpointId) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, application).await?;
    let raw = [id.row().as_i64(), application.row().as_i64()];
    if execute(&change.transaction, "DELETE FROM hookpost.endpoint WHERE id = $1 AND application = $2", &[&raw[0], &raw[1]]).await? == 0 {
        return Err(WriteError::NotFound.into());
    }
    let ended = cancel::end_with_endpoints(&shared, &*change.transaction, application, vec![id]).await?;
    change
        .commit(|view| {
            view.endpoints.retain(|endpoint| endpoint.id != id);
            Some(())
        })
        .await?;
    ended.committed(&shared);
    Ok(())
}

fn put(view: &mut ApplicationView, endpoint: Endpoint) -> Option<()> {
    let endpoint = Arc::new(endpoint);
    match view.endpoints.binary_search_by_key(&endpoint.id, |known| known.id) {
        Ok(index) => view.endpoints[index] = endpoint,
        Err(index) => view.endpoints.insert(index, endpoint),
    }
    Some(())
}
