//! Rows of event types, and what follows in memory.

use std::sync::Arc;

use hookpost_domain::{EventType, EventTypeName, OrgId};
use hookpost_store::cache::EventTypes;
use hookpost_store::rows::to_json;
use hookpost_store::{Change, WriteError};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Refusal, refuse};
use crate::command::{WriteContext, Written};
use crate::error::StoreError;
use crate::rows;

/// All of a tenant.
pub(super) fn load(connection: &Connection, org: &OrgId) -> Result<EventTypes, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM event_type WHERE org = ?1")?;
    let mut rows = statement.query([org.as_str()])?;
    let mut types = EventTypes::new();
    while let Some(row) = rows.next()? {
        let event_type: EventType = rows::json_column(row)?;
        types.insert(event_type.name.clone(), Arc::new(event_type));
    }
    Ok(types)
}

pub(super) fn create(context: &mut WriteContext<'_>, event_type: EventType) -> Result<Written<()>, Refusal> {
    let inserted = context
        .connection
        .prepare_cached("INSERT OR IGNORE INTO event_type (org, name, data) VALUES (?1, ?2, ?3)")?
        .execute(params![event_type.org.as_str(), event_type.name.as_str(), to_json(&event_type)?])?;
    if inserted == 0 {
        return refuse(WriteError::Conflict { field: "name" });
    }
    Ok(Written::and((), move |shared| {
        let event_type = Arc::new(event_type);
        shared.catalog.patch_event_type(&event_type.org, &event_type.name, Some(&event_type));
    }))
}

pub(super) fn update(
    context: &mut WriteContext<'_>,
    org: &OrgId,
    name: &str,
    change: Change<EventType>,
) -> Result<Written<EventType>, Refusal> {
    let found: Option<EventType> = context
        .connection
        .prepare_cached("SELECT data FROM event_type WHERE org = ?1 AND name = ?2")?
        .query_row(params![org.as_str(), name], |row| Ok(rows::json_column(row)))
        .optional()?
        .transpose()?;
    let Some(mut event_type) = found else { return refuse(WriteError::NotFound) };
    change(&mut event_type).map_err(|refusal| Refusal::Refused(refusal.into()))?;
    context.connection.prepare_cached("UPDATE event_type SET data = ?3 WHERE org = ?1 AND name = ?2")?.execute(params![
        org.as_str(),
        name,
        to_json(&event_type)?
    ])?;
    let changed = Arc::new(event_type.clone());
    Ok(Written::and(event_type, move |shared| {
        shared.catalog.patch_event_type(&changed.org, &changed.name, Some(&changed));
    }))
}

pub(super) fn delete(context: &mut WriteContext<'_>, org: OrgId, name: EventTypeName) -> Result<Written<()>, Refusal> {
    let deleted = context
        .connection
        .prepare_cached("DELETE FROM event_type WHERE org = ?1 AND name = ?2")?
        .execute(params![org.as_str(), name.as_str()])?;
    if deleted == 0 {
        return refuse(WriteError::NotFound);
    }
    Ok(Written::and((), move |shared| shared.catalog.patch_event_type(&org, &name, None)))
}
