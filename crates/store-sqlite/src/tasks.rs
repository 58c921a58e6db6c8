//! Background tasks: rows that are asked for by tenant, kind, and the status as it is shown.

use hookpost_domain::{BackgroundTask, TaskId};
use hookpost_store::{Change, WriteError};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::command::{Failed, WriteContext, Written};
use crate::error::StoreError;
use crate::rows;

pub(crate) fn create(context: &mut WriteContext<'_>, task: &BackgroundTask) -> Result<Written<()>, Failed<WriteError>> {
    context.connection.prepare_cached("INSERT INTO task (id, org, status, kind, data) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        task.id.row().as_i64(),
        task.org.as_str(),
        task.status.as_str(),
        task.work.kind(),
        hookpost_store::rows::to_json(task)?
    ])?;
    Ok(Written::new(()))
}

pub(crate) fn update(
    context: &mut WriteContext<'_>,
    id: TaskId,
    change: Change<BackgroundTask>,
) -> Result<Written<BackgroundTask>, Failed<WriteError>> {
    let Some(mut task) = get(context.connection, id)? else { return Err(Failed::Refused(WriteError::NotFound)) };
    change(&mut task).map_err(|refusal| Failed::Refused(WriteError::Refused(refusal)))?;
    context.connection.prepare_cached("UPDATE task SET status = ?2, data = ?3 WHERE id = ?1")?.execute(params![
        id.row().as_i64(),
        task.status.as_str(),
        hookpost_store::rows::to_json(&task)?
    ])?;
    Ok(Written::new(task))
}

pub(crate) fn get(connection: &Connection, id: TaskId) -> Result<Option<BackgroundTask>, StoreError> {
    connection
        .prepare_cached("SELECT data FROM task WHERE id = ?1")?
        .query_row([id.row().as_i64()], |row| Ok(rows::json_column(row)))
        .optional()?
        .transpose()
}
