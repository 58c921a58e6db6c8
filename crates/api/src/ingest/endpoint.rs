//! The endpoints of a source: those of its application, by the same code. Only the way to them differs.

use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::Endpoint;
use hookpost_store::ApplicationView;
use schemars::JsonSchema;
use serde::Deserialize;

use super::SourcePath;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, OptionalBody, Path, Query};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::headers::{self, EndpointHeadersIn, EndpointHeadersOut};
use crate::v1::endpoint::secret::{self, EndpointSecretOut, EndpointSecretRotateIn};
use crate::v1::endpoint::{self, EndpointIn, EndpointOut, ListQuery};

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
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
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

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<EndpointPath>) -> Result<NoContent, Problem> {
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    endpoint::delete_from(&api, &view, &endpoint).await
}

pub(crate) async fn get_headers(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(EndpointHeadersOut::new(&endpoint)))
}

pub(crate) async fn set_headers(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<EndpointHeadersIn>,
) -> Result<NoContent, Problem> {
    let headers = input.parse()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    headers::replace_in(&api, &view, &endpoint, headers).await
}

pub(crate) async fn get_secret(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<EndpointSecretOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::ReadSecret).await?;
    Ok(Json(EndpointSecretOut::new(&endpoint)))
}

pub(crate) async fn rotate_secret(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    OptionalBody(input): OptionalBody<EndpointSecretRotateIn>,
) -> Result<NoContent, Problem> {
    let rotation = input.parse()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageSecret).await?;
    secret::rotate_in(&api, &view, &endpoint, rotation).await?;
    Ok(NoContent)
}

/// The endpoint that a path names, with the application of its source.
pub(crate) async fn find(
    api: &Api,
    caller: &Caller,
    path: &EndpointPath,
    right: Right,
) -> Result<(Arc<ApplicationView>, Arc<Endpoint>), Problem> {
    let view = caller.application_of_source(api, &path.source_id, right).await?;
    let endpoint = endpoint::in_application(api, &view, &path.endpoint_id).ok_or(Problem::NOT_FOUND)?;
    Ok((view, endpoint))
}
