//! What is done to one sink in the same way, whatever path leads to it.

use axum::extract::State;
use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::http::{self, EmptyResponse, HttpSinkHeadersPatchIn, SinkSecretOut, SinkTransformIn, SinkTransformationOut};
use super::position::{self, SkipParams, SkipQuery};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, OptionalBody, Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::headers::EndpointHeadersOut;
use crate::v1::endpoint::secret::EndpointSecretRotateIn;
use crate::v1::feed::EventOut;

/// A path that names a sink: of a stream, or of an application.
pub(crate) trait SinkPath: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    fn find(&self, api: &Api, caller: &Caller, right: Right) -> impl Future<Output = Result<Sink, Problem>> + Send;
}

pub(crate) async fn delete<P: SinkPath>(State(api): State<Api>, caller: Caller, Path(path): Path<P>) -> Result<NoContent, Problem> {
    let found = path.find(&api, &caller, Right::ManageEndpoint).await?;
    super::delete(&api, &found).await?;
    Ok(NoContent)
}

pub(crate) async fn get_secret<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<SinkSecretOut>, Problem> {
    let found = path.find(&api, &caller, Right::ReadSecret).await?;
    http::secret(&found).map(Json)
}

pub(crate) async fn rotate_secret<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    OptionalBody(input): OptionalBody<EndpointSecretRotateIn>,
) -> Result<Json<SinkSecretOut>, Problem> {
    let rotation = input.parse()?;
    let found = path.find(&api, &caller, Right::ManageSecret).await?;
    http::rotate(&api, &found, rotation).await.map(Json)
}

pub(crate) async fn get_headers<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    http::headers(&found).map(Json)
}

pub(crate) async fn patch_headers<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    Body(input): Body<HttpSinkHeadersPatchIn>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let found = path.find(&api, &caller, Right::ManageEndpoint).await?;
    http::patch_headers(&api, &found, input).await.map(Json)
}

pub(crate) async fn get_transformation<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<SinkTransformationOut>, Problem> {
    path.find(&api, &caller, Right::Read).await?;
    Ok(Json(http::transformation()))
}

pub(crate) async fn patch_transformation<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    Body(input): Body<SinkTransformIn>,
) -> Result<Json<EmptyResponse>, Problem> {
    path.find(&api, &caller, Right::ManageEndpoint).await?;
    http::patch_transformation(&input).map(Json)
}

pub(crate) async fn force_retry<P: SinkPath>(State(api): State<Api>, caller: Caller, Path(path): Path<P>) -> Result<NoContent, Problem> {
    let found = path.find(&api, &caller, Right::CreateAttempts).await?;
    position::force_retry(&api, &found).await?;
    Ok(NoContent)
}

pub(crate) async fn skip<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    Query(query): Query<SkipQuery>,
    OptionalBody(input): OptionalBody<SkipParams>,
) -> Result<NoContent, Problem> {
    let found = path.find(&api, &caller, Right::CreateAttempts).await?;
    position::skip(&api, &found, query, input).await?;
    Ok(NoContent)
}

pub(crate) async fn last_acked_event<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<EventOut>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    position::last_acked(&api, &found).await.map(Json)
}

pub(crate) async fn next_event<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<EventOut>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    position::next_event(&api, &found).await.map(Json)
}
