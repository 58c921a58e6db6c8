//! How many deliveries of an endpoint are in which state.

use std::time::Duration;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EndpointPath, find};
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;

/// How far back is counted if the query does not say.
const WINDOW_DEFAULT: Duration = Duration::from_secs(28 * 24 * 3600);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StatsQuery {
    /// Messages accepted from this time on; left out: of the last 28 days.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Messages accepted until this time; left out: until now.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndpointStats {
    success: u64,
    /// Not tried yet.
    pending: u64,
    /// Tried, and will be again.
    sending: u64,
    fail: u64,
    canceled: u64,
}

/// Attempts that came to an end.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndpointAttemptStats {
    success: u64,
    fail: u64,
    canceled: u64,
}

/// The same for clients that know only how it ended.
pub(crate) async fn of_attempts(
    state: State<Api>,
    caller: Caller,
    path: Path<EndpointPath>,
    query: Query<StatsQuery>,
) -> Result<Json<EndpointAttemptStats>, Problem> {
    let Json(EndpointStats { success, fail, canceled, .. }) = get(state, caller, path, query).await?;
    Ok(Json(EndpointAttemptStats { success, fail, canceled }))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Query(query): Query<StatsQuery>,
) -> Result<Json<EndpointStats>, Problem> {
    let mut wrong = Wrong::in_query();
    let until = wrong.optional("until", query.until, v1::time).unwrap_or_else(|| api.now());
    let since = wrong.optional("since", query.since, v1::time).unwrap_or(until - WINDOW_DEFAULT);
    if since > until {
        wrong.add("since", "must not be after `until`");
    }
    wrong.nothing()?;
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
    let counts = api.store.endpoint_counts(endpoint.id, since, until).await?;
    Ok(Json(EndpointStats {
        success: counts.success,
        pending: counts.pending,
        sending: counts.sending,
        fail: counts.fail,
        canceled: counts.canceled,
    }))
}
