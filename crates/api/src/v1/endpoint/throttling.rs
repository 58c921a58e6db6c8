//! Whether an endpoint is being held back at the moment.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{EndpointPath, find};
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum EndpointRateLimitStatus {
    Ok,
    RateLimited,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointThrottleRateStatusOut {
    status: EndpointRateLimitStatus,
    /// Not known here: what is known is until when.
    throttled_since: Option<Time>,
    /// No attempt before this time. (Hookpost's own.)
    throttled_until: Option<Time>,
}

/// As this node sees it: each has its own count.
pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<EndpointThrottleRateStatusOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
    let until = api.engine.lane_status(endpoint.id).throttled_until;
    let status = if until.is_some() { EndpointRateLimitStatus::RateLimited } else { EndpointRateLimitStatus::Ok };
    Ok(Json(EndpointThrottleRateStatusOut { status, throttled_since: None, throttled_until: until.map(Time) }))
}
