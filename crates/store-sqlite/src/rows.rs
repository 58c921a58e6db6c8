//! Rows of the catalogue, as they are read from the file.

use hookpost_domain::{Application, ApplicationId, Endpoint, EndpointId, RowId};
use hookpost_store::rows::{decode_endpoint, from_json};
use hookpost_store::vault::Vault;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// The first column as JSON.
pub(crate) fn json_column<T: DeserializeOwned>(row: &Row<'_>) -> Result<T, StoreError> {
    Ok(from_json(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?)
}

pub(crate) fn application(connection: &Connection, id: ApplicationId) -> Result<Option<Application>, StoreError> {
    connection
        .prepare_cached("SELECT data FROM application WHERE id = ?1")?
        .query_row([id.row().as_i64()], |row| Ok(json_column(row)))
        .optional()?
        .transpose()
}

pub(crate) fn endpoint(
    connection: &Connection,
    vault: &Vault,
    application: ApplicationId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    connection
        .prepare_cached("SELECT data, sealed FROM endpoint WHERE id = ?1 AND application = ?2")?
        .query_row(params![id.row().as_i64(), application.row().as_i64()], |row| {
            Ok(decode_endpoint(vault, id, row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?).map_err(StoreError::from))
        })
        .optional()?
        .transpose()
}

pub(crate) fn endpoints(connection: &Connection, vault: &Vault, application: ApplicationId) -> Result<Vec<Endpoint>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, data, sealed FROM endpoint WHERE application = ?1 ORDER BY id")?;
    let mut rows = statement.query([application.row().as_i64()])?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next()? {
        let id = EndpointId::from_row(RowId::from_i64(row.get(0)?));
        let blob = |index| row.get_ref(index).and_then(|value| Ok(value.as_blob()?));
        endpoints.push(decode_endpoint(vault, id, blob(1)?, blob(2)?)?);
    }
    Ok(endpoints)
}

pub(crate) fn application_of_endpoint(connection: &Connection, endpoint: EndpointId) -> Result<Option<ApplicationId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT application FROM endpoint WHERE id = ?1")?
        .query_row([endpoint.row().as_i64()], |row| row.get(0))
        .optional()?
        .map(|raw| ApplicationId::from_row(RowId::from_i64(raw))))
}
