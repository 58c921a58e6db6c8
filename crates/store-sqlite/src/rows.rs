//! Rows of the catalogue: JSON, so that fields can be added; what must not be readable is sealed apart from the rest.

use hookpost_domain::{Application, ApplicationId, Endpoint, EndpointId, RowId};
use hookpost_store::vault::Vault;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::codec::Unreadable;
use crate::error::StoreError;

/// Keys of an endpoint that hold secrets: the signing secrets, and the values of custom headers (often tokens).
const SEALED_KEYS: [&str; 2] = ["secrets", "headers"];

pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    Ok(serde_json::to_vec(value)?)
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    Ok(serde_json::from_slice(bytes)?)
}

/// The first column as JSON.
pub(crate) fn json_column<T: DeserializeOwned>(row: &Row<'_>) -> Result<T, StoreError> {
    from_json(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)
}

fn endpoint_context(id: EndpointId) -> Vec<u8> {
    [b"endpoint:".as_slice(), &id.row().raw().to_be_bytes()].concat()
}

/// The readable part and the sealed one.
pub(crate) fn encode_endpoint(vault: &Vault, endpoint: &Endpoint) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let Value::Object(mut open) = serde_json::to_value(endpoint)? else {
        return Err(Unreadable { what: "endpoint", why: "it is not an object".to_owned() }.into());
    };
    let mut secret = Map::new();
    for key in SEALED_KEYS {
        if let Some(value) = open.remove(key) {
            secret.insert(key.to_owned(), value);
        }
    }
    let sealed = vault.seal(&endpoint_context(endpoint.id), &to_json(&secret)?);
    Ok((to_json(&open)?, sealed))
}

pub(crate) fn decode_endpoint(vault: &Vault, id: EndpointId, data: &[u8], sealed: &[u8]) -> Result<Endpoint, StoreError> {
    let mut endpoint: Map<String, Value> = from_json(data)?;
    let secret: Map<String, Value> = from_json(&vault.open(&endpoint_context(id), sealed)?)?;
    endpoint.extend(secret);
    Ok(serde_json::from_value(Value::Object(endpoint))?)
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
            Ok(decode_endpoint(vault, id, row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?))
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
