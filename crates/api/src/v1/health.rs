//! Is it alive? Needs no token and names no tenant.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::extract::{Json, NoContent};
use crate::problem::Problem;
use crate::state::Api;

/// Never the hash of a key, so that asking for it reads and finds nothing.
const NO_KEY: [u8; 32] = [0; 32];

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthReport {
    /// `ok`, or `store_unavailable`.
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

/// The process answers and reaches its store.
pub(crate) async fn get(State(api): State<Api>) -> Result<NoContent, Problem> {
    api.store.api_key_by_hash(NO_KEY).await?;
    Ok(NoContent)
}

/// The same in words.
pub(crate) async fn report(State(api): State<Api>) -> Json<HealthReport> {
    let available = api.store.api_key_by_hash(NO_KEY).await.is_ok();
    let backlog = api.store.backlog();
    let age = backlog.oldest_pending_at.map(|oldest| api.now().since(oldest));
    Json(HealthReport {
        status: if available { "ok" } else { "store_unavailable" },
        version: env!("CARGO_PKG_VERSION"),
        backlog_deliveries: backlog.deliveries,
        oldest_pending_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    })
}
