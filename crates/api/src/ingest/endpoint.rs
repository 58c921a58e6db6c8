//! The endpoints of a source: those of its application, by the same code. Only the way to them differs.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::SourcePath;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::named::{EndpointPlace, Found};
use crate::v1::endpoint::{self, EndpointIn, EndpointOut};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EndpointPath {
    /// The id or uid of the source.
    source_id: String,
    /// The id or uid of the endpoint.
    endpoint_id: String,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<EndpointOut>>, Problem> {
    let view = caller.application_of_source(&api, &path.source_id, Right::Read).await?;
    endpoint::list_of(&api, &view, &query).map(Json)
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    Body(input): Body<EndpointIn>,
) -> Result<Created<EndpointOut>, Problem> {
    let change = input.parse(&api)?;
    let view = caller.application_of_source(&api, &path.source_id, Right::ManageEndpoint).await?;
    endpoint::create_in(&api, &view, change).await.map(Created)
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<EndpointPath>) -> Result<Json<EndpointOut>, Problem> {
    let (_, endpoint) = path.find(&api, &caller, Right::Read).await?;
    Ok(Json(EndpointOut::new(&api, &endpoint)))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointIn>,
) -> Result<CreatedOr<EndpointOut>, Problem> {
    let change = input.parse_for_source(&api)?;
    let view = caller.application_of_source(&api, &path.source_id, Right::ManageEndpoint).await?;
    endpoint::update_in(&api, &view, &path.endpoint_id, change).await
}

/// With the application of its source.
impl EndpointPlace for EndpointPath {
    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Found, Problem> {
        let view = caller.application_of_source(api, &self.source_id, right).await?;
        let endpoint = endpoint::in_application(api, &view, &self.endpoint_id).ok_or(Problem::NOT_FOUND)?;
        Ok((view, endpoint))
    }
}
