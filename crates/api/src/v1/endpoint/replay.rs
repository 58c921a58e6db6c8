//! Sending again, and not sending at all: recovery, replays and cancellation. What may take long becomes a background task.

use axum::extract::State;
use hookpost_domain::task::{BackgroundTask, ReplayFilter, TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{Channel, EventTypeName, Tag, Timestamp, limits};
use hookpost_store::ApplicationView;
use hookpost_store::queue::CancelFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EndpointPath, find, refuse_disabled};
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, NoContent, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::attempt::{status, status_code_class};
use crate::v1::background_task::{BackgroundTaskStatus, BackgroundTaskType};
use crate::v1::{self, Time};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RecoverIn {
    /// Messages accepted from this time on; at most 14 days ago.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Messages accepted before this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ReplayIn {
    /// Messages accepted from this time on.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Messages accepted before this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkReplayIn {
    /// Messages accepted from this time on.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Messages accepted before this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// Only messages of these event types.
    event_types: Option<Vec<String>>,
    channel: Option<String>,
    tag: Option<String>,
    /// Only deliveries in this state: delivered (0), pending (1), failed (2), sending (3), canceled (4).
    #[schemars(range(max = 4))]
    status: Option<u8>,
    /// Only deliveries whose last answer was of this class: 0 (none), 100, 200, 300, 400 or 500.
    status_code_class: Option<u16>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelMsgsIn {
    /// Deliveries of messages accepted before this time are not tried (again).
    #[schemars(extend("format" = "date-time"))]
    created_before: String,
}

/// A background task that was started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskStarted {
    /// Ask `GET /background-task/{task_id}` how far it is.
    id: String,
    status: BackgroundTaskStatus,
    /// What kind of work it is.
    task: BackgroundTaskType,
    updated_at: Time,
}

/// A recovery that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RecoverOut {
    #[serde(flatten)]
    task: TaskStarted,
}

/// A replay that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReplayOut {
    #[serde(flatten)]
    task: TaskStarted,
}

pub(crate) async fn recover(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<RecoverIn>,
) -> Result<Accepted<RecoverOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let (since, until) = parse_window(&mut wrong, &api, &input.since, input.until);
    if api.now().since(since) > limits::RECOVER_WINDOW_MAX {
        wrong.add("since", "must not be more than 14 days ago");
    }
    wrong.nothing()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::CreateAttempts).await?;
    refuse_disabled(&endpoint)?;
    let task = start_task(&api, &view, TaskWork::Recover { endpoint: endpoint.id, since, until }).await?;
    Ok(Accepted(RecoverOut { task }))
}

pub(crate) async fn replay_missing(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<ReplayIn>,
) -> Result<Accepted<ReplayOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let (since, until) = parse_window(&mut wrong, &api, &input.since, input.until);
    wrong.nothing()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::CreateAttempts).await?;
    refuse_disabled(&endpoint)?;
    let task = start_task(&api, &view, TaskWork::ReplayMissing { endpoint: endpoint.id, since, until }).await?;
    Ok(Accepted(ReplayOut { task }))
}

pub(crate) async fn bulk_replay(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<BulkReplayIn>,
) -> Result<Accepted<ReplayOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let (since, until) = parse_window(&mut wrong, &api, &input.since, input.until);
    let event_types = wrong.each("eventTypes", input.event_types.unwrap_or_default(), |text| EventTypeName::parse(&text));
    let filter = ReplayFilter {
        event_types: Some(event_types).filter(|names| !names.is_empty()),
        channel: wrong.optional("channel", input.channel, |text| Channel::parse(&text)),
        tag: wrong.optional("tag", input.tag, |text| Tag::parse(&text)),
        status: wrong.optional("status", input.status, status),
        status_code_class: wrong.optional("statusCodeClass", input.status_code_class, status_code_class),
    };
    wrong.nothing()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::CreateAttempts).await?;
    refuse_disabled(&endpoint)?;
    let task = start_task(&api, &view, TaskWork::BulkReplay { endpoint: endpoint.id, since, until, filter }).await?;
    Ok(Accepted(ReplayOut { task }))
}

pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<CancelMsgsIn>,
) -> Result<NoContent, Problem> {
    let mut wrong = Wrong::in_body();
    let before = wrong.check("createdBefore", v1::time(&input.created_before));
    let Some(before) = before else { return Err(wrong.problem()) };
    let (view, endpoint) = find(&api, &caller, &path, Right::CreateAttempts).await?;
    let filter = CancelFilter { before: Some(before), ..CancelFilter::default() };
    api.engine.cancel(view.application.id, endpoint.id, filter).await?;
    Ok(NoContent)
}

/// Puts a task on disk, and lets the engine know.
pub(crate) async fn start_task(api: &Api, view: &ApplicationView, work: TaskWork) -> Result<TaskStarted, Problem> {
    let now = api.now();
    let task = BackgroundTask {
        id: api.new_id(now),
        org: view.application.org.clone(),
        application: Some(view.application.id),
        work,
        status: TaskStatus::Running,
        result: None,
        progress: TaskProgress::default(),
        created_at: now,
        updated_at: now,
    };
    TaskStarted::start(api, task).await
}

impl TaskStarted {
    pub(crate) async fn start(api: &Api, task: BackgroundTask) -> Result<Self, Problem> {
        let started = Self {
            id: api.public(task.id),
            status: task.status.into(),
            task: BackgroundTaskType::of(&task.work),
            updated_at: Time(task.updated_at),
        };
        api.store.create_task(task).await?;
        api.engine.wake_tasks();
        Ok(started)
    }
}

/// Answers with something even where a bound is wrong, which is noted.
fn parse_window(wrong: &mut Wrong, api: &Api, since: &str, until: Option<String>) -> (Timestamp, Timestamp) {
    let now = api.now();
    let parsed = wrong.check("since", v1::time(since));
    let until = wrong.optional("until", until, v1::time).unwrap_or(now);
    if parsed.is_some_and(|since| since > until) {
        wrong.add("since", "must not be after `until`");
    }
    (parsed.unwrap_or(now), until)
}
