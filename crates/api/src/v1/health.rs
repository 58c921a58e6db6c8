//! Is it alive? Needs no token and names no tenant.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::sink::SinkTarget;
use hookpost_domain::task::TaskStatus;
use hookpost_domain::{Sink, Timestamp};
use hookpost_store::catalog::TaskFilter;
use hookpost_store::{Order, PageRequest, Unavailable};
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
    /// The same by part, with what each has to do.
    parts: Vec<HealthPart>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct HealthPart {
    /// `store`, `engine`, `tasks`, `sinks`.
    name: &'static str,
    status: PartStatus,
    /// A sentence for people.
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartStatus {
    Ok,
    /// It goes on, but somebody should look.
    Degraded,
    Failed,
}

/// Anybody may ask, so the parts that are counted are counted every few seconds, and not for everybody.
#[derive(Debug, Default)]
pub(crate) struct HealthMemory(tokio::sync::Mutex<Option<(Timestamp, Vec<HealthPart>)>>);

const COUNTED_EVERY: Duration = Duration::from_secs(5);
/// Of more than these the report counts the first.
const COUNTED_MAX: usize = 250;
const PENDING_AGE_WORRYING: Duration = Duration::from_secs(300);

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
    let why_not = why_not(&api).await;
    let backlog = api.store.backlog();
    let age = backlog.oldest_pending_at.map(|oldest| api.now().since(oldest));
    let mut parts = vec![of_store(&api, why_not.map(|(code, _)| code)), of_engine(&api, backlog.deliveries, age)];
    // Of a store that is away nothing is asked that it would only not answer.
    if parts[0].status == PartStatus::Ok {
        parts.extend(counted(&api).await);
    }
    Json(HealthReport {
        status: why_not.map_or("ok", |(code, _)| code),
        version: env!("CARGO_PKG_VERSION"),
        backlog_deliveries: backlog.deliveries,
        oldest_pending_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        parts,
    })
}

fn of_store(api: &Api, why_not: Option<&'static str>) -> HealthPart {
    let part = |status, detail: &str| HealthPart { name: "store", status, detail: detail.to_owned() };
    if why_not == Some("store_unavailable") {
        part(PartStatus::Failed, "It cannot be reached.")
    } else if !api.store.holds_leases() {
        part(PartStatus::Failed, "This node has lost its lease and waits for a new one.")
    } else {
        part(PartStatus::Ok, "It can be reached.")
    }
}

fn of_engine(api: &Api, backlog: u64, age: Option<Duration>) -> HealthPart {
    let (status, detail) = match age {
        _ if api.stopping.is_cancelled() => (PartStatus::Degraded, "It is about to stop.".to_owned()),
        Some(age) if age > PENDING_AGE_WORRYING => {
            let detail = format!("{backlog} deliveries are not finished; the oldest waits for its first attempt for {} s.", age.as_secs());
            (PartStatus::Degraded, detail)
        }
        _ => (PartStatus::Ok, format!("{backlog} deliveries are not finished.")),
    };
    HealthPart { name: "engine", status, detail }
}

async fn counted(api: &Api) -> Vec<HealthPart> {
    let mut memory = api.health.0.lock().await;
    let now = api.now();
    if let Some((_, parts)) = memory.as_ref().filter(|(at, _)| now.since(*at) < COUNTED_EVERY && *at <= now) {
        return parts.clone();
    }
    let unknown = |name| HealthPart { name, status: PartStatus::Failed, detail: "The store did not say.".to_owned() };
    let parts = vec![of_tasks(api).await.unwrap_or_else(|_| unknown("tasks")), of_sinks(api).await.unwrap_or_else(|_| unknown("sinks"))];
    *memory = Some((now, parts.clone()));
    parts
}

async fn of_tasks(api: &Api) -> Result<HealthPart, Unavailable> {
    let filter = TaskFilter { status: Some(TaskStatus::Running), kind: None };
    let running = api.store.tasks(None, filter, PageRequest::first(COUNTED_MAX, Order::Ascending)).await?;
    let more = if running.done { "" } else { " or more" };
    Ok(HealthPart { name: "tasks", status: PartStatus::Ok, detail: format!("{}{more} are running.", running.items.len()) })
}

async fn of_sinks(api: &Api) -> Result<HealthPart, Unavailable> {
    let sinks: Vec<Sink> = api.store.list_all().await?;
    let mut failing = 0;
    for sink in sinks.iter().filter(|sink| matches!(sink.target, SinkTarget::Http(_))).take(COUNTED_MAX) {
        failing += usize::from(api.store.sink_progress(sink.id, "").await?.failing.is_some());
    }
    let status = if failing == 0 { PartStatus::Ok } else { PartStatus::Degraded };
    Ok(HealthPart { name: "sinks", status, detail: format!("{} sinks, of which {failing} do not take what they are sent.", sinks.len()) })
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
