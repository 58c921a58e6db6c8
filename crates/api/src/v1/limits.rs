//! What a tenant may use. The management tenant says it; each tenant may see its own.

use axum::extract::State;
use hookpost_domain::OrgId;
use hookpost_domain::tenant::TenantLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, Path};
use crate::problem::Problem;
use crate::state::Api;
use crate::tenant::settings_of;
use crate::v1::environment::settings::change_settings;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OrgPath {
    /// The id of the organization (`org_…`).
    org_id: String,
}

/// All limits; what is not given is not limited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitsIn {
    /// Messages a second that each node accepts.
    messages_per_second: Option<u32>,
    /// Endpoints of all applications together.
    endpoints: Option<u32>,
    /// Bytes of one payload.
    payload_bytes: Option<u32>,
    /// Days that payloads are kept.
    #[schemars(range(min = 1))]
    stored_days: Option<u16>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LimitsOut {
    org_id: String,
    messages_per_second: Option<u32>,
    endpoints: Option<u32>,
    payload_bytes: Option<u32>,
    stored_days: Option<u16>,
    /// Whether these are the organization's own, or those of the server.
    own: bool,
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<OrgPath>) -> Result<Json<LimitsOut>, Problem> {
    let own = caller.org(Right::Read)?;
    let org = if own.as_str() == path.org_id { own.clone() } else { managed(&caller, &path)? };
    show(&api, &org).await.map(Json)
}

pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<OrgPath>,
    Body(input): Body<LimitsIn>,
) -> Result<Json<LimitsOut>, Problem> {
    let org = managed(&caller, &path)?;
    let limits = input.parse()?;
    change_settings(&api, &org, move |settings| settings.limits = Some(limits)).await?;
    show(&api, &org).await.map(Json)
}

/// Back to those of the server.
pub(crate) async fn reset(State(api): State<Api>, caller: Caller, Path(path): Path<OrgPath>) -> Result<NoContent, Problem> {
    let org = managed(&caller, &path)?;
    change_settings(&api, &org, |settings| settings.limits = None).await?;
    Ok(NoContent)
}

/// Any organization, for the management tenant. To everybody else the others are not there.
fn managed(caller: &Caller, path: &OrgPath) -> Result<OrgId, Problem> {
    let own = caller.org(Right::Admin)?;
    if own.as_str() != OrgId::MANAGEMENT {
        return Err(if own.as_str() == path.org_id { Problem::Forbidden } else { Problem::NOT_FOUND });
    }
    OrgId::parse(&path.org_id).map_err(|_| Problem::NOT_FOUND)
}

async fn show(api: &Api, org: &OrgId) -> Result<LimitsOut, Problem> {
    let own = settings_of(api, org).await?.and_then(|settings| settings.limits);
    let limits = own.unwrap_or(api.settings.limits);
    Ok(LimitsOut {
        org_id: org.to_string(),
        messages_per_second: limits.messages_per_s,
        endpoints: limits.endpoints,
        payload_bytes: limits.payload_bytes,
        stored_days: limits.stored_days,
        own: own.is_some(),
    })
}

impl LimitsIn {
    fn parse(self) -> Result<TenantLimits, Problem> {
        if self.stored_days == Some(0) {
            return Err(Problem::body("storedDays", "must be at least 1"));
        }
        Ok(TenantLimits {
            messages_per_s: self.messages_per_second,
            endpoints: self.endpoints,
            payload_bytes: self.payload_bytes,
            stored_days: self.stored_days,
        })
    }
}
