//! Endpoints of operational webhooks: what a tenant hears of its own endpoints and messages goes there. They are ordinary endpoints, of the application
//! of the management tenant whose uid is the id of the tenant, which is made when it is first needed. Nobody reaches that of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::application::Metadata;
use hookpost_domain::{Application, Invalid, OrgId, Uid};
use hookpost_store::{ApplicationView, Reference, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::{EndpointPlace, Found};
use super::{EndpointIn, EndpointOut, create_in, in_application, list_of, update_in};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::Time;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct OperationalPath {
    /// The id or uid of the endpoint.
    endpoint_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationalWebhookEndpointIn {
    /// Where operational webhooks are sent to.
    #[schemars(length(min = 1, max = 65536), extend("format" = "uri"))]
    url: String,
    description: Option<String>,
    /// Deliveries a second at most.
    #[schemars(range(min = 1))]
    throttle_rate: Option<u16>,
    /// The older name of `throttleRate`.
    #[schemars(range(min = 1), extend("deprecated" = true))]
    rate_limit: Option<u16>,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    uid: Option<String>,
    disabled: Option<bool>,
    /// The operational events to send. Left out: all.
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`.
    #[schemars(extend("deprecated" = true))]
    filter_types: Option<Vec<String>>,
    /// The signing secret: `whsec_` or `whsk_` and base64. Better left out, and made by us.
    secret: Option<String>,
    metadata: Option<Metadata>,
    /// Headers that every delivery carries.
    headers: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationalWebhookEndpointUpsertIn {
    /// Where operational webhooks are sent to.
    #[schemars(length(min = 1, max = 65536), extend("format" = "uri"))]
    url: String,
    description: Option<String>,
    /// Deliveries a second at most.
    #[schemars(range(min = 1))]
    throttle_rate: Option<u16>,
    /// The older name of `throttleRate`.
    #[schemars(range(min = 1), extend("deprecated" = true))]
    rate_limit: Option<u16>,
    /// Your own identifier; it stands wherever the id could.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    uid: Option<String>,
    disabled: Option<bool>,
    /// The operational events to send. Left out: all.
    event_types: Option<Vec<String>>,
    /// The older name of `eventTypes`.
    #[schemars(extend("deprecated" = true))]
    filter_types: Option<Vec<String>>,
    metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationalWebhookEndpointOut {
    id: String,
    uid: Option<String>,
    url: String,
    description: String,
    disabled: bool,
    event_types: Option<Vec<String>>,
    #[schemars(extend("deprecated" = true))]
    filter_types: Option<Vec<String>>,
    throttle_rate: Option<u16>,
    #[schemars(extend("deprecated" = true))]
    rate_limit: Option<u16>,
    metadata: Metadata,
    created_at: Time,
    updated_at: Time,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<OperationalWebhookEndpointOut>>, Problem> {
    let org = caller.org(Right::Read)?;
    let Some(view) = known(&api, org).await? else { return Ok(Json(Page::empty())) };
    let Page { data, iterator, prev_iterator, done } = list_of(&api, &view, &query)?;
    let data = data.into_iter().map(OperationalWebhookEndpointOut::from).collect();
    Ok(Json(Page { data, iterator, prev_iterator, done }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<OperationalWebhookEndpointIn>,
) -> Result<Created<OperationalWebhookEndpointOut>, Problem> {
    let org = caller.org(Right::ManageEndpoint)?;
    let change = EndpointIn::from(input).parse(&api)?;
    let view = known_or_new(&api, org).await?;
    Ok(Created(create_in(&api, &view, change).await?.into()))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<OperationalPath>,
) -> Result<Json<OperationalWebhookEndpointOut>, Problem> {
    let (_, endpoint) = path.find(&api, &caller, Right::Read).await?;
    Ok(Json(EndpointOut::new(&api, &endpoint).into()))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<OperationalPath>,
    Body(input): Body<OperationalWebhookEndpointUpsertIn>,
) -> Result<Json<OperationalWebhookEndpointOut>, Problem> {
    let org = caller.org(Right::ManageEndpoint)?;
    let change = EndpointIn::from(input).parse(&api)?;
    let view = known_or_new(&api, org).await?;
    // Clients of this operation know 200 only.
    let (CreatedOr::Created(out) | CreatedOr::Existing(out)) = update_in(&api, &view, &path.endpoint_id, change).await?;
    Ok(Json(out.into()))
}

impl EndpointPlace for OperationalPath {
    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Found, Problem> {
        let view = known(api, caller.org(right)?).await?.ok_or(Problem::NOT_FOUND)?;
        let endpoint = in_application(api, &view, &self.endpoint_id).ok_or(Problem::NOT_FOUND)?;
        Ok((view, endpoint))
    }
}

/// The application that the operational webhooks of a tenant go to, if there is one already.
async fn known(api: &Api, org: &OrgId) -> Result<Option<Arc<ApplicationView>>, Problem> {
    Ok(api.store.application(&OrgId::management(), Reference::Uid(org.as_str())).await?)
}

async fn known_or_new(api: &Api, org: &OrgId) -> Result<Arc<ApplicationView>, Problem> {
    if let Some(view) = known(api, org).await? {
        return Ok(view);
    }
    let uid = Uid::parse(org.as_str()).map_err(|Invalid(rule)| Problem::bad_request("generic_error", rule))?;
    let now = api.now();
    let application = Application {
        id: api.new_id(now),
        org: OrgId::management(),
        uid: Some(uid),
        name: format!("Operational webhooks of {org}"),
        throttle_rate: None,
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    };
    match api.store.create_application(application).await {
        // A conflict: another request was faster.
        Ok(()) | Err(WriteError::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    known(api, org).await?.ok_or(Problem::Unavailable)
}

impl From<OperationalWebhookEndpointIn> for EndpointIn {
    fn from(input: OperationalWebhookEndpointIn) -> Self {
        Self {
            url: input.url,
            description: input.description,
            throttle_rate: input.throttle_rate,
            rate_limit: input.rate_limit,
            uid: input.uid,
            disabled: input.disabled,
            event_types: input.event_types,
            filter_types: input.filter_types,
            secret: input.secret,
            metadata: input.metadata,
            headers: input.headers,
            ..Self::default()
        }
    }
}

impl From<OperationalWebhookEndpointUpsertIn> for EndpointIn {
    fn from(input: OperationalWebhookEndpointUpsertIn) -> Self {
        Self {
            url: input.url,
            description: input.description,
            throttle_rate: input.throttle_rate,
            rate_limit: input.rate_limit,
            uid: input.uid,
            disabled: input.disabled,
            event_types: input.event_types,
            filter_types: input.filter_types,
            metadata: input.metadata,
            ..Self::default()
        }
    }
}

impl From<EndpointOut> for OperationalWebhookEndpointOut {
    fn from(out: EndpointOut) -> Self {
        Self {
            id: out.id,
            uid: out.uid,
            url: out.url,
            description: out.description,
            disabled: out.disabled,
            event_types: out.event_types,
            filter_types: out.filter_types,
            throttle_rate: out.throttle_rate,
            rate_limit: out.rate_limit,
            metadata: out.metadata,
            created_at: out.created_at,
            updated_at: out.updated_at,
        }
    }
}
