//! Applications.

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use futures_util::future::try_join;
use hookpost_domain::{Application, ApplicationId, Endpoint, EndpointId, OrgId, RowId};
use hookpost_store::cache::Loading;
use hookpost_store::rows::{decode_endpoint, to_json};
use hookpost_store::vault::Vault;
use hookpost_store::{ApplicationView, Change, Listed, PageRequest, WriteError};

use super::walk::{ids, json_column, walk_json};
use super::writing::{ApplicationChange, Failed};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{execute, query, query_opt};
use crate::{cancel, documents};

pub(crate) async fn by_id(shared: &Shared, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, StoreError> {
    if let Some(view) = shared.catalog.application(id) {
        return Ok(Some(view));
    }
    let connection = shared.connections.get().await?;
    let ticket = shared.catalog.begin(Loading::Application(id));
    let view = load_view(&connection, &shared.vault, id).await;
    shared.catalog.loaded_application(ticket, id, view.as_ref().ok().and_then(Option::as_ref));
    view
}

pub(super) async fn by_uid(shared: &Shared, org: &OrgId, uid: &str) -> Result<Option<Arc<ApplicationView>>, StoreError> {
    if let Some(view) = shared.catalog.application_of_uid(org, uid) {
        return Ok(Some(view));
    }
    let found = {
        let connection = shared.connections.get().await?;
        query_opt(&connection, "SELECT id FROM hookpost.application WHERE org = $1 AND uid = $2", &[&org.as_str(), &uid]).await?
    };
    match found {
        Some(row) => by_id(shared, ApplicationId::from_row(RowId::from_i64(row.try_get(0)?))).await,
        None => Ok(None),
    }
}

/// Two statements, and so perhaps two moments: a change in between is on its way to us as well, and this view will not be kept.
async fn load_view(client: &impl GenericClient, vault: &Vault, id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, StoreError> {
    let raw = id.row().as_i64();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&raw];
    let (application, endpoints) = try_join(
        query_opt(client, "SELECT data FROM hookpost.application WHERE id = $1", &parameters),
        query(client, "SELECT id, data, sealed FROM hookpost.endpoint WHERE application = $1 ORDER BY id", &parameters),
    )
    .await?;
    let Some(row) = application else { return Ok(None) };
    let endpoint = |row: &tokio_postgres::Row| -> Result<Arc<Endpoint>, StoreError> {
        let id = EndpointId::from_row(RowId::from_i64(row.try_get(0)?));
        Ok(Arc::new(decode_endpoint(vault, id, row.try_get(1)?, row.try_get(2)?)?))
    };
    let endpoints = endpoints.iter().map(endpoint).collect::<Result<_, _>>()?;
    Ok(Some(Arc::new(ApplicationView { application: json_column(&row)?, endpoints })))
}

pub(super) async fn list(shared: &Shared, org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, StoreError> {
    let connection = shared.connections.get().await?;
    let walk = ids(page.walk(), ApplicationId::row);
    let items = walk_json(&connection, "SELECT data FROM hookpost.application WHERE org = $1", &[&org.as_str()], walk).await?;
    Ok(page.listed(items))
}

pub(super) async fn create(shared: Arc<Shared>, application: Application) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, application.id).await?;
    execute(
        &change.transaction,
        "INSERT INTO hookpost.application (id, org, uid, data) VALUES ($1, $2, $3, $4)",
        &[
            &application.id.row().as_i64(),
            &application.org.as_str(),
            &application.uid.as_ref().map(|uid| uid.as_str()),
            &to_json(&application)?,
        ],
    )
    .await?;
    // The first who asks loads it.
    change.commit(|_| None).await
}

pub(super) async fn update(shared: Arc<Shared>, id: ApplicationId, apply: Change<Application>) -> Result<Application, Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, id).await?;
    let raw = id.row().as_i64();
    let row = query_opt(&change.transaction, "SELECT data FROM hookpost.application WHERE id = $1 FOR NO KEY UPDATE", &[&raw]).await?;
    let mut application: Application = json_column(&row.ok_or(WriteError::NotFound)?)?;
    apply(&mut application)?;
    execute(
        &change.transaction,
        "UPDATE hookpost.application SET uid = $2, data = $3 WHERE id = $1",
        &[&raw, &application.uid.as_ref().map(|uid| uid.as_str()), &to_json(&application)?],
    )
    .await?;
    let changed = application.clone();
    change
        .commit(|view| {
            view.application = changed;
            Some(())
        })
        .await?;
    Ok(application)
}

pub(super) async fn delete(shared: Arc<Shared>, id: ApplicationId) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let change = ApplicationChange::begin(&shared, &mut connection, id).await?;
    let raw = id.row().as_i64();
    if execute(&change.transaction, "DELETE FROM hookpost.application WHERE id = $1", &[&raw]).await? == 0 {
        return Err(WriteError::NotFound.into());
    }
    let gone = query(&change.transaction, "DELETE FROM hookpost.endpoint WHERE application = $1 RETURNING id", &[&raw]).await?;
    let gone = gone.iter().map(|row| Ok(EndpointId::from_row(RowId::from_i64(row.try_get(0)?)))).collect::<Result<_, StoreError>>()?;
    let ended = cancel::end_with_endpoints(&shared, &*change.transaction, id, gone).await?;
    documents::delete_owned(&change.transaction, id.row()).await?;
    change.commit(|_| None).await?;
    shared.catalog.forget_application(id);
    ended.committed(&shared);
    Ok(())
}
