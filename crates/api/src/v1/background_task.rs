//! Background tasks: how far the replays and recoveries are, and how to stop one.

use axum::extract::State;
use hookpost_domain::id::TaskKind;
use hookpost_domain::task::{TaskStatus, TaskWork};
use hookpost_domain::{BackgroundTask, Invalid, TaskId};
use hookpost_store::Order;
use hookpost_store::catalog::TaskFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page::{self, Ordering, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::Time;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TaskPath {
    /// The id of the task.
    task_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackgroundTaskStatus {
    Running,
    Finished,
    /// Also what was canceled.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum BackgroundTaskType {
    #[serde(rename = "endpoint.replay")]
    EndpointReplay,
    #[serde(rename = "endpoint.recover")]
    EndpointRecover,
    #[serde(rename = "endpoint.bulk-replay")]
    EndpointBulkReplay,
    #[serde(rename = "application.purge_content")]
    ApplicationPurgeContent,
    #[serde(rename = "application.stats")]
    ApplicationStats,
    #[serde(rename = "event-type.aggregate")]
    EventTypeAggregate,
    #[serde(rename = "message.broadcast")]
    MessageBroadcast,
    #[serde(rename = "sdk.generate")]
    SdkGenerate,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackgroundTaskOut {
    id: String,
    status: BackgroundTaskStatus,
    task: BackgroundTaskType,
    /// What it works on, and how far it is.
    data: serde_json::Map<String, serde_json::Value>,
    updated_at: Time,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Newest first, if not given.
    order: Option<Ordering>,
    status: Option<BackgroundTaskStatus>,
    task: Option<BackgroundTaskType>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<BackgroundTaskOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let order = query.order.map_or(Order::Descending, Order::from);
    let Some(page) = page::request::<TaskKind>(api.store.public_ids(), query.limit, query.iterator.as_deref(), order)? else {
        return Ok(Json(Page::empty()));
    };
    let filter = TaskFilter { status: query.status.map(TaskStatus::from), kind: query.task.map(|task| task.name().to_owned()) };
    let listed = api.store.tasks(Some(org), filter, page).await?;
    let items = listed.items.iter().map(|task| (api.public(task.id), BackgroundTaskOut::new(&api, task)));
    Ok(Json(Page::new(items, listed.done)))
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<TaskPath>) -> Result<Json<BackgroundTaskOut>, Problem> {
    let task = find(&api, &caller, &path.task_id, Right::Read).await?;
    Ok(Json(BackgroundTaskOut::new(&api, &task)))
}

/// Stops a task where it is; what it sent stays sent.
pub(crate) async fn cancel(State(api): State<Api>, caller: Caller, Path(path): Path<TaskPath>) -> Result<Json<BackgroundTaskOut>, Problem> {
    let task = find(&api, &caller, &path.task_id, Right::Manage).await?;
    let now = api.now();
    let change = Box::new(move |task: &mut BackgroundTask| match task.status {
        TaskStatus::Running => {
            task.status = TaskStatus::Canceled;
            task.updated_at = now;
            Ok(())
        }
        _ => Err(Invalid::new("The task has ended already.")),
    });
    let canceled = api.store.update_task(task.id, change).await?;
    api.engine.wake_tasks();
    Ok(Json(BackgroundTaskOut::new(&api, &canceled)))
}

async fn find(api: &Api, caller: &Caller, id: &str, right: Right) -> Result<BackgroundTask, Problem> {
    let org = caller.org(right)?;
    let id: TaskId = api.store.public_ids().decode(id).ok_or(Problem::NOT_FOUND)?;
    api.store.task(id).await?.filter(|task| task.org == *org).ok_or(Problem::NOT_FOUND)
}

impl From<BackgroundTaskStatus> for TaskStatus {
    fn from(status: BackgroundTaskStatus) -> Self {
        match status {
            BackgroundTaskStatus::Running => Self::Running,
            BackgroundTaskStatus::Finished => Self::Finished,
            BackgroundTaskStatus::Failed => Self::Failed,
        }
    }
}

impl From<TaskStatus> for BackgroundTaskStatus {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Running => Self::Running,
            TaskStatus::Finished => Self::Finished,
            TaskStatus::Failed | TaskStatus::Canceled => Self::Failed,
        }
    }
}

impl BackgroundTaskType {
    pub(crate) fn of(work: &TaskWork) -> Self {
        match work {
            TaskWork::Recover { .. } => Self::EndpointRecover,
            TaskWork::ReplayMissing { .. } => Self::EndpointReplay,
            TaskWork::BulkReplay { .. } => Self::EndpointBulkReplay,
            TaskWork::ExpungeAllContents { .. } => Self::ApplicationPurgeContent,
            TaskWork::ApplicationUsage { .. } => Self::ApplicationStats,
            TaskWork::EventTypeUsage => Self::EventTypeAggregate,
            TaskWork::Broadcast { .. } => Self::MessageBroadcast,
            TaskWork::ExportEventTypes => Self::SdkGenerate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EndpointReplay => "endpoint.replay",
            Self::EndpointRecover => "endpoint.recover",
            Self::EndpointBulkReplay => "endpoint.bulk-replay",
            Self::ApplicationPurgeContent => "application.purge_content",
            Self::ApplicationStats => "application.stats",
            Self::EventTypeAggregate => "event-type.aggregate",
            Self::MessageBroadcast => "message.broadcast",
            Self::SdkGenerate => "sdk.generate",
        }
    }
}

impl BackgroundTaskOut {
    pub(crate) fn new(api: &Api, task: &BackgroundTask) -> Self {
        let mut data = serde_json::Map::new();
        if let Some(application) = task.application {
            data.insert("appId".to_owned(), api.public(application).into());
        }
        match &task.work {
            TaskWork::Recover { endpoint, since, until }
            | TaskWork::ReplayMissing { endpoint, since, until }
            | TaskWork::BulkReplay { endpoint, since, until, .. } => {
                data.insert("endpointId".to_owned(), api.public(*endpoint).into());
                data.insert("since".to_owned(), since.to_string().into());
                data.insert("until".to_owned(), until.to_string().into());
            }
            TaskWork::ExpungeAllContents { .. } => {
                data.insert("messagesPurged".to_owned(), task.progress.affected.into());
            }
            TaskWork::ApplicationUsage { .. } | TaskWork::EventTypeUsage | TaskWork::Broadcast { .. } | TaskWork::ExportEventTypes => {}
        }
        if let Some(Ok(result)) = task.result.as_deref().map(serde_json::from_str::<serde_json::Map<_, _>>) {
            data.extend(result);
        }
        let progress = task.progress;
        data.insert(
            "progress".to_owned(),
            json!({ "estimate": progress.estimate, "lookedAt": progress.looked_at, "affected": progress.affected }),
        );
        if task.status == TaskStatus::Canceled {
            data.insert("canceled".to_owned(), true.into());
        }
        Self {
            id: api.public(task.id),
            status: task.status.into(),
            task: BackgroundTaskType::of(&task.work),
            data,
            updated_at: Time(task.updated_at),
        }
    }
}
