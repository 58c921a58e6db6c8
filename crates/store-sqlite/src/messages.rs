//! Reading message rows.

use hookpost_domain::{ApplicationId, Message, MessageId, RowId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::StoreError;
use hookpost_store::codec::decode_message;

/// With its payload.
pub(crate) fn load(connection: &Connection, id: MessageId) -> Result<Option<Message>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT application, header, payload FROM message WHERE id = ?1")?;
    let mut rows = statement.query([id.row().as_i64()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let application = ApplicationId::from_row(RowId::from_i64(row.get(0)?));
    let header = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let payload = row.get_ref(2)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Some(decode_message(id, application, header, payload)?))
}

pub(crate) fn load_payload(connection: &Connection, id: MessageId) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT payload FROM message WHERE id = ?1")?;
    Ok(statement.query_row([id.row().as_i64()], |row| row.get(0)).optional()?.flatten())
}

/// Without its payload: for looking through many.
pub(crate) fn load_header(connection: &Connection, id: MessageId) -> Result<Option<Message>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT application, header FROM message WHERE id = ?1")?;
    let mut rows = statement.query([id.row().as_i64()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let application = ApplicationId::from_row(RowId::from_i64(row.get(0)?));
    Ok(Some(decode_message(id, application, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?, None)?))
}

pub(crate) fn exists(connection: &Connection, id: MessageId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?.exists([id.row().as_i64()])?)
}

pub(crate) fn has_payload(connection: &Connection, id: MessageId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND payload IS NOT NULL")?.exists([id.row().as_i64()])?)
}
