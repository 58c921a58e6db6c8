//! Is it alive? Needs no token and names no tenant.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::extract::{Json, NoContent};
use crate::problem::Problem;
use crate::state::Api;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthReport {
    /// `ok`, or why requests should go to another node: `stopping`, `store_unavailable`, `lease_lost`.
    status: &'static str,
    version: &'static str,
    /// Deliveries that are not finished.
    backlog_deliveries: u64,
    /// Age of the oldest message that waits for its first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending_age_ms: Option<u64>,
}

/// The process answers.
pub(crate) async fn ping() -> NoContent {
    NoContent
}

/// The process answers, reaches its store, and is not about to stop. A 503 says why, and names no host and no tenant.
pub(crate) async fn get(State(api): State<Api>) -> Result<NoContent, Problem> {
    match why_not(&api).await {
        None => Ok(NoContent),
        Some((code, detail)) => Err(Problem::NotServing { code, detail }),
    }
}

/// The same in words.
pub(crate) async fn report(State(api): State<Api>) -> Json<HealthReport> {
    let status = why_not(&api).await.map_or("ok", |(code, _)| code);
    let backlog = api.store.backlog();
    let age = backlog.oldest_pending_at.map(|oldest| api.now().since(oldest));
    Json(HealthReport {
        status,
        version: env!("CARGO_PKG_VERSION"),
        backlog_deliveries: backlog.deliveries,
        oldest_pending_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Why requests should go to another node, as a word and as a sentence.
async fn why_not(api: &Api) -> Option<(&'static str, &'static str)> {
    if api.stopping.is_cancelled() {
        return Some(("stopping", "This server is about to stop."));
    }
    if let Err(error) = api.store.reach().await {
        tracing::warn!(target: "hookpost::store", %error, "this server is not healthy");
        return Some(("store_unavailable", "The store cannot be reached."));
    }
    if !api.store.holds_leases() {
        return Some(("lease_lost", "This node was silent for longer than its lease; it goes on when it has a new one."));
    }
    None
}
