//! Event types: those of a tenant are kept in memory as a whole.

use std::sync::Arc;

use hookpost_domain::{EventType, EventTypeName, OrgId};
use hookpost_store::cache::{EventTypes, Loading};
use hookpost_store::rows::to_json;
use hookpost_store::{Change, WriteError};

use super::walk::json_column;
use super::writing::{Failed, commit};
use crate::changes::Changed;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{execute, query, query_opt};

pub(super) async fn of_org(shared: &Shared, org: &OrgId) -> Result<Arc<EventTypes>, StoreError> {
    if let Some(types) = shared.catalog.event_types(org) {
        return Ok(types);
    }
    let connection = shared.connections.get().await?;
    let ticket = shared.catalog.begin(Loading::EventTypes(org.clone()));
    let loaded = async {
        let mut types = EventTypes::new();
        for row in query(&connection, "SELECT data FROM hookpost.event_type WHERE org = $1", &[&org.as_str()]).await? {
            let event_type: EventType = json_column(&row)?;
            types.insert(event_type.name.clone(), Arc::new(event_type));
        }
        Ok(Arc::new(types))
    };
    let types = loaded.await;
    match &types {
        Ok(types) => shared.catalog.loaded_event_types(ticket, org, types),
        Err(_) => shared.catalog.end(ticket),
    }
    types
}

pub(super) async fn create(shared: Arc<Shared>, event_type: EventType) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    execute(
        &transaction,
        "INSERT INTO hookpost.event_type (org, name, archived, data) VALUES ($1, $2, $3, $4)",
        &[&event_type.org.as_str(), &event_type.name.as_str(), &event_type.archived, &to_json(&event_type)?],
    )
    .await?;
    commit(&shared, transaction, &Changed::EventTypes(event_type.org.clone())).await?;
    shared.catalog.drop_event_types(&event_type.org);
    Ok(())
}

pub(super) async fn update(shared: Arc<Shared>, org: OrgId, name: String, apply: Change<EventType>) -> Result<EventType, Failed> {
    let name = EventTypeName::parse(&name).map_err(|_| WriteError::NotFound)?;
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let sql = "SELECT data FROM hookpost.event_type WHERE org = $1 AND name = $2 FOR NO KEY UPDATE";
    let row = query_opt(&transaction, sql, &[&org.as_str(), &name.as_str()]).await?.ok_or(WriteError::NotFound)?;
    let mut event_type: EventType = json_column(&row)?;
    apply(&mut event_type)?;
    execute(
        &transaction,
        "UPDATE hookpost.event_type SET archived = $3, data = $4 WHERE org = $1 AND name = $2",
        &[&org.as_str(), &name.as_str(), &event_type.archived, &to_json(&event_type)?],
    )
    .await?;
    commit(&shared, transaction, &Changed::EventTypes(org.clone())).await?;
    shared.catalog.drop_event_types(&org);
    Ok(event_type)
}

pub(super) async fn delete(shared: Arc<Shared>, org: OrgId, name: String) -> Result<(), Failed> {
    // A name that could not be given names nothing.
    let name = EventTypeName::parse(&name).map_err(|_| WriteError::NotFound)?;
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let sql = "DELETE FROM hookpost.event_type WHERE org = $1 AND name = $2";
    if execute(&transaction, sql, &[&org.as_str(), &name.as_str()]).await? == 0 {
        return Err(WriteError::NotFound.into());
    }
    commit(&shared, transaction, &Changed::EventTypes(org.clone())).await?;
    shared.catalog.drop_event_types(&org);
    Ok(())
}
