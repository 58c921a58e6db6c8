//! "Why did it not arrive?" for one message and one endpoint. The answer is worked out by the engine; here the facts are gathered.

use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::{DeliveryKey, RetrySchedule};
use hookpost_engine::why::{Facts, explain};
use hookpost_store::history::AttemptFilter;
use hookpost_store::{ApplicationView, Order, PageRequest};
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::{Caller, Right};
use crate::extract::{Json, Path};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::attempt::{self, DeliveryPath};
use crate::v1::{Time, message};

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhyOut {
    msg_id: String,
    endpoint_id: String,
    /// Where the endpoint leads today; `null` where it was deleted.
    url: Option<String>,
    /// `delivered`, `pending`, `waiting`, `dead`, `canceled` or `not_routed`.
    state: &'static str,
    /// A word for programs: `delivered`, `retries_exhausted`, `event_type_not_subscribed`, `endpoint_disabled`, `throttled` …
    reason: &'static str,
    /// A sentence or two for people.
    explanation: String,
    /// What can be done about it.
    advice: Option<String>,
    /// Since when it is so, where that is known.
    since: Option<Time>,
    /// When it changes by itself, where that is known.
    until: Option<Time>,
    /// When the next attempt is due, where one is scheduled.
    next_attempt_at: Option<Time>,
    attempts: WhyAttempts,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhyAttempts {
    /// All of them.
    made: u32,
    /// Those of the schedule; those asked for by hand come on top.
    scheduled: u32,
    /// How many the schedule has.
    scheduled_max: u32,
    last_at: Option<Time>,
    /// 0: there was no answer.
    last_status_code: Option<u16>,
}

pub(crate) async fn why(State(api): State<Api>, caller: Caller, Path(path): Path<DeliveryPath>) -> Result<Json<WhyOut>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let message = message::in_application(&api, &view, &path.msg_id).await?;
    let id = attempt::any_endpoint(&api, &view, &path.endpoint_id).ok_or(Problem::NOT_FOUND)?;
    let endpoint = view.endpoint(id).map(Arc::as_ref);
    let delivery = api.store.delivery(DeliveryKey { message: message.id, endpoint: id }).await?;
    if endpoint.is_none() && delivery.is_none() {
        return Err(Problem::NOT_FOUND);
    }
    let filter = AttemptFilter { endpoint: Some(id), ..AttemptFilter::default() };
    let last = api.store.attempts_of_message(message.id, filter, PageRequest::first(1, Order::Descending)).await?.items.pop();
    let own_schedule = endpoint.and_then(|endpoint| endpoint.retry_schedule.clone());
    let schedule = match own_schedule {
        Some(schedule) => schedule,
        None => schedule_of_event_type(&api, &view, message.content.event_type.as_str()).await?,
    };
    let why = explain(Facts {
        message: &message,
        endpoint,
        delivery: delivery.as_ref(),
        last_attempt: last.as_ref().map(|last| &last.attempt),
        schedule: &schedule,
        lane: api.engine.lane_status(id),
        now: api.now(),
        ids: api.store.public_ids(),
    });
    let next_attempt_at = match delivery.map(|delivery| delivery.state) {
        Some(hookpost_domain::DeliveryState::Waiting { at }) => Some(Time(at)),
        _ => None,
    };
    Ok(Json(WhyOut {
        msg_id: api.public(message.id),
        endpoint_id: api.public(id),
        url: endpoint.map(|endpoint| endpoint.url.clone()),
        state: why.state,
        reason: why.code(),
        advice: why.advice,
        since: why.since.map(Time),
        until: why.until.map(Time),
        next_attempt_at,
        attempts: WhyAttempts {
            made: why.attempts.made,
            scheduled: why.attempts.scheduled,
            scheduled_max: why.attempts.scheduled_max,
            last_at: why.attempts.last_at.map(Time),
            last_status_code: why.attempts.last_status_code,
        },
        explanation: why.explanation,
    }))
}

async fn schedule_of_event_type(api: &Api, view: &ApplicationView, event_type: &str) -> Result<RetrySchedule, Problem> {
    let known = api.store.event_type(&view.application.org, event_type).await?;
    let own = known.and_then(|event_type| event_type.retry_schedule.clone());
    Ok(own.unwrap_or_else(|| api.engine.settings().retry_schedule.clone()))
}
