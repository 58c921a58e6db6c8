//! Rows of applications and endpoints, and what follows in memory.

use std::sync::Arc;

use hookpost_domain::{Application, ApplicationId, Endpoint, EndpointId, OrgId, RowId, Timestamp};
use hookpost_store::{ApplicationView, WriteError};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Refusal, refuse};
use crate::command::WriteContext;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::tail::Counter;
use crate::{counters, documents, rows};

pub(super) fn application_id_of_uid(connection: &Connection, org: &OrgId, uid: &str) -> Result<Option<ApplicationId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM application WHERE org = ?1 AND uid = ?2")?
        .query_row(params![org.as_str(), uid], |row| row.get(0))
        .optional()?
        .map(|raw| ApplicationId::from_row(RowId::from_i64(raw))))
}

pub(super) fn load_view(
    connection: &Connection,
    vault: &hookpost_store::vault::Vault,
    id: ApplicationId,
) -> Result<Option<Arc<ApplicationView>>, StoreError> {
    // One snapshot for both tables.
    let snapshot = connection.unchecked_transaction()?;
    let Some(application) = rows::application(&snapshot, id)? else { return Ok(None) };
    let endpoints = rows::endpoints(&snapshot, vault, id)?.into_iter().map(Arc::new).collect();
    Ok(Some(Arc::new(ApplicationView { application, endpoints })))
}

pub(crate) fn insert_application(connection: &Connection, application: &Application) -> Result<(), Refusal> {
    check_application_uid(connection, application)?;
    connection.prepare_cached("INSERT INTO application (id, org, uid, data) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        application.id.row().as_i64(),
        application.org.as_str(),
        application.uid.as_ref().map(|uid| uid.as_str()),
        hookpost_store::rows::to_json(application)?
    ])?;
    Ok(())
}

/// With its endpoints, which are returned; `None`: there is none.
pub(crate) fn delete_application_rows(
    context: &mut WriteContext<'_>,
    id: ApplicationId,
    now: Timestamp,
) -> Result<Option<Vec<EndpointId>>, StoreError> {
    let raw = id.row().as_i64();
    if context.connection.prepare_cached("DELETE FROM application WHERE id = ?1")?.execute([raw])? == 0 {
        return Ok(None);
    }
    // At once, for what stands behind this in the same batch.
    context.shared.catalog.forget_application(id);
    let endpoints: Vec<EndpointId> = context
        .connection
        .prepare_cached("SELECT id FROM endpoint WHERE application = ?1")?
        .query_map([raw], |row| Ok(EndpointId::from_row(RowId::from_i64(row.get(0)?))))?
        .collect::<Result<_, _>>()?;
    for endpoint in &endpoints {
        forget_endpoint(context, *endpoint, now)?;
    }
    documents::delete_owned(context.connection, id.row())?;
    Ok(Some(endpoints))
}

/// In memory, after the commit.
pub(crate) fn forget_application(shared: &Shared, id: ApplicationId, endpoints: &[EndpointId]) {
    let mut leases = shared.leases.lock();
    endpoints.iter().for_each(|endpoint| leases.forget_endpoint(*endpoint));
    drop(leases);
    shared.catalog.patch_application(id, |_| None);
}

pub(super) fn check_application_uid(connection: &Connection, application: &Application) -> Result<(), Refusal> {
    let Some(uid) = &application.uid else { return Ok(()) };
    let taken = connection.prepare_cached("SELECT 1 FROM application WHERE org = ?1 AND uid = ?2 AND id <> ?3")?.exists(params![
        application.org.as_str(),
        uid.as_str(),
        application.id.row().as_i64()
    ])?;
    if taken { refuse(WriteError::Conflict { field: "uid" }) } else { Ok(()) }
}

pub(super) fn check_endpoint_uid(connection: &Connection, endpoint: &Endpoint) -> Result<(), Refusal> {
    let Some(uid) = &endpoint.uid else { return Ok(()) };
    let taken = connection.prepare_cached("SELECT 1 FROM endpoint WHERE application = ?1 AND uid = ?2 AND id <> ?3")?.exists(params![
        endpoint.application.row().as_i64(),
        uid.as_str(),
        endpoint.id.row().as_i64()
    ])?;
    if taken { refuse(WriteError::Conflict { field: "uid" }) } else { Ok(()) }
}

/// The row goes; what it left unfinished reads as canceled from now on, without a write per delivery.
pub(super) fn forget_endpoint(context: &mut WriteContext<'_>, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
    let raw = id.row().as_i64();
    let connection = context.connection;
    connection.prepare_cached("DELETE FROM endpoint WHERE id = ?1")?.execute([raw])?;
    connection.prepare_cached("DELETE FROM health WHERE endpoint = ?1")?.execute([raw])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO endpoint_gone (endpoint, at_ms) VALUES (?1, ?2)")?
        .execute(params![raw, now.unix_ms() as i64])?;
    context.journal.unfinished -= unfinished_of(context.shared, connection, id)?;
    Ok(())
}

/// How many deliveries of an endpoint are open, as far as its counters say.
fn unfinished_of(shared: &Shared, connection: &Connection, id: EndpointId) -> Result<i64, StoreError> {
    let minutes = 0..u64::MAX >> 1;
    Ok(counters::of_owner(shared, connection, Counter::DeliveriesOfEndpoint, id.row(), minutes)?.unfinished())
}

pub(super) fn put_endpoint(shared: &Shared, endpoint: Endpoint) {
    let application = endpoint.application;
    shared.catalog.patch_application(application, |view| {
        let id = endpoint.id;
        let endpoint = Arc::new(endpoint);
        match view.endpoints.binary_search_by_key(&id, |known| known.id) {
            Ok(index) => view.endpoints[index] = endpoint,
            Err(index) => view.endpoints.insert(index, endpoint),
        }
        Some(())
    });
}
