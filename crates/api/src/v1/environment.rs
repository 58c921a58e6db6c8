//! The environment: what a tenant is as a whole. There is one for each organization, and nobody sees another.

pub(crate) mod settings;
pub(crate) mod transfer;

use axum::extract::State;
use hookpost_domain::{OrgId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page::{Ordering, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::tenant::settings_of;
use crate::v1::Time;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EnvironmentPath {
    /// The id of the environment (`org_…`).
    env_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// There is one; taken for compatibility.
    #[expect(dead_code, reason = "read to refuse what is no order")]
    order: Option<Ordering>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentModelOut {
    id: String,
    /// The `displayName` of the settings, or else the id.
    name: String,
    region: EnvironmentRegion,
    r#type: EnvironmentType,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EnvironmentRegion {
    SelfHosted,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EnvironmentType {
    Production,
}

/// The caller's own.
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EnvironmentModelOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let mut wrong = Wrong::in_query();
    if query.limit.is_some_and(|limit| !(1..=250).contains(&limit)) {
        wrong.add("limit", "must be between 1 and 250");
    }
    if query.iterator.as_ref().is_some_and(|iterator| !iterator.trim_start_matches('-').starts_with("org_")) {
        wrong.add("iterator", "must be the `iterator` or `prevIterator` of an earlier page: it begins with `org_` or `-org_`");
    }
    wrong.nothing()?;
    // Behind the only one, and before it, there is nothing.
    if query.iterator.is_some() {
        return Ok(Json(Page::empty()));
    }
    Ok(Json(Page::new([(org.to_string(), show(&api, org).await?)], true)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EnvironmentPath>,
) -> Result<Json<EnvironmentModelOut>, Problem> {
    let org = caller.org(Right::Read)?;
    if org.as_str() != path.env_id {
        return Err(Problem::NOT_FOUND);
    }
    show(&api, org).await.map(Json)
}

async fn show(api: &Api, org: &OrgId) -> Result<EnvironmentModelOut, Problem> {
    let settings = settings_of(api, org).await?;
    let name = settings.as_ref().and_then(|settings| settings::read(&settings.settings)["displayName"].as_str().map(str::to_owned));
    // Tenants are not made; the first that is known of them is when they said something about themselves.
    let (created_at, updated_at) =
        settings.map_or((Timestamp::ZERO, Timestamp::ZERO), |settings| (settings.created_at, settings.updated_at));
    Ok(EnvironmentModelOut {
        id: org.to_string(),
        name: name.unwrap_or_else(|| org.to_string()),
        region: EnvironmentRegion::SelfHosted,
        r#type: EnvironmentType::Production,
        created_at: Time(created_at),
        updated_at: Time(updated_at),
    })
}
