//! Background tasks.

use std::sync::Arc;

use hookpost_domain::task::TaskStatus;
use hookpost_domain::{BackgroundTask, OrgId, TaskId};
use hookpost_store::catalog::TaskFilter;
use hookpost_store::page::Walk;
use hookpost_store::rows::to_json;
use hookpost_store::{Change, Listed, PageRequest, WriteError};

use super::walk::{ids, json_column, walk_json};
use super::writing::{Failed, commit};
use crate::changes::Changed;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{execute, query_opt};

/// Rows that are looked through at a time.
const CHUNK: usize = 256;

pub(super) async fn create(shared: Arc<Shared>, task: BackgroundTask) -> Result<(), Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    execute(
        &transaction,
        "INSERT INTO hookpost.task (id, org, running, data) VALUES ($1, $2, $3, $4)",
        &[&task.id.row().as_i64(), &task.org.as_str(), &is_running(&task), &to_json(&task)?],
    )
    .await?;
    commit(&shared, transaction, &Changed::Task).await
}

pub(super) async fn update(shared: Arc<Shared>, id: TaskId, apply: Change<BackgroundTask>) -> Result<BackgroundTask, Failed> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let raw = id.row().as_i64();
    let row = query_opt(&transaction, "SELECT data FROM hookpost.task WHERE id = $1 FOR NO KEY UPDATE", &[&raw]).await?;
    let mut task: BackgroundTask = json_column(&row.ok_or(WriteError::NotFound)?)?;
    apply(&mut task)?;
    execute(&transaction, "UPDATE hookpost.task SET running = $2, data = $3 WHERE id = $1", &[&raw, &is_running(&task), &to_json(&task)?])
        .await?;
    commit(&shared, transaction, &Changed::Task).await?;
    Ok(task)
}

pub(super) async fn get(shared: &Shared, id: TaskId) -> Result<Option<BackgroundTask>, StoreError> {
    let connection = shared.connections.get().await?;
    let row = query_opt(&connection, "SELECT data FROM hookpost.task WHERE id = $1", &[&id.row().as_i64()]).await?;
    row.map(|row| json_column(&row)).transpose()
}

/// Running ones have an index of their own, because engines ask for them; other filters look at the tasks themselves.
pub(super) async fn list(
    shared: &Shared,
    org: Option<&OrgId>,
    filter: &TaskFilter,
    page: PageRequest<TaskId>,
) -> Result<Listed<BackgroundTask>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = match filter.status {
        Some(TaskStatus::Running) => "SELECT data FROM hookpost.task WHERE running AND ($1::text IS NULL OR org = $1)",
        _ => "SELECT data FROM hookpost.task WHERE ($1::text IS NULL OR org = $1)",
    };
    let whole = ids(page.walk(), TaskId::row);
    let mut walk = Walk { count: whole.count.min(CHUNK), ..whole };
    let mut found = Vec::new();
    loop {
        let tasks: Vec<BackgroundTask> = walk_json(&connection, sql, &[&org.map(OrgId::as_str)], walk).await?;
        let is_last = tasks.len() < walk.count;
        walk = Walk { from: tasks.last().map(|task| task.id.row().as_i64()).or(walk.from), count: CHUNK, ..walk };
        found.extend(tasks.into_iter().filter(|task| filter.matches(task)).take(whole.count - found.len()));
        if is_last || found.len() == whole.count {
            return Ok(page.listed(found));
        }
    }
}

fn is_running(task: &BackgroundTask) -> bool {
    task.status.is_shown_as(TaskStatus::Running)
}
