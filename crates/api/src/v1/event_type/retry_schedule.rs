//! What the messages of an event type are retried by, where that is not the schedule of the server.

use axum::extract::State;
use hookpost_domain::{EventType, OrgId, RetrySchedule};
use hookpost_store::WriteError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EventTypePath;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::retry::{RetryScheduleIn, RetryScheduleOut};

/// What messages of an event type are retried by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeRetryIn {
    /// `null`: the schedule of the server.
    retry_schedule: Option<RetryScheduleIn>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeRetryOut {
    retry_schedule: Option<RetryScheduleOut>,
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
) -> Result<Json<EventTypeRetryOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let event_type = api.store.event_type(org, &path.event_type_name).await?.ok_or(Problem::NOT_FOUND)?;
    Ok(Json(EventTypeRetryOut { retry_schedule: event_type.retry_schedule.clone().map(RetryScheduleOut) }))
}

pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EventTypePath>,
    Body(input): Body<EventTypeRetryIn>,
) -> Result<Json<EventTypeRetryOut>, Problem> {
    let org = caller.org(Right::Manage)?;
    let retry_schedule = input.parse()?;
    let updated = write(&api, org, &path.event_type_name, retry_schedule).await?;
    Ok(Json(EventTypeRetryOut { retry_schedule: updated.retry_schedule.map(RetryScheduleOut) }))
}

pub(crate) async fn write(api: &Api, org: &OrgId, name: &str, retry_schedule: Option<RetrySchedule>) -> Result<EventType, WriteError> {
    let now = api.now();
    let change = Box::new(move |event_type: &mut EventType| {
        event_type.retry_schedule = retry_schedule;
        event_type.updated_at = now;
        Ok(())
    });
    api.store.update_event_type(org, name, change).await
}

impl EventTypeRetryIn {
    fn parse(self) -> Result<Option<RetrySchedule>, Problem> {
        let mut wrong = Wrong::in_body();
        let schedule = wrong.optional("retrySchedule", self.retry_schedule, RetryScheduleIn::parse);
        wrong.nothing().map(|()| schedule)
    }
}
