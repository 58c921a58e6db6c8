//! Sinks of streams: the paths, and who may take them.

use axum::extract::State;
use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Deserialize;

use super::StreamPath;
use crate::auth::{Caller, Right};
use crate::client::Client;
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, OptionalBody, Path, Query};
use crate::page::Page;
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::headers::EndpointHeadersOut;
use crate::v1::endpoint::secret::EndpointSecretRotateIn;
use crate::v1::feed::EventOut;
use crate::v1::sink::attempt::{self, AttemptsQuery, SinkAttemptOut};
use crate::v1::sink::http::{self, EmptyResponse, HttpSinkHeadersPatchIn, SinkSecretOut, SinkTransformIn, SinkTransformationOut};
use crate::v1::sink::models::{SinkOut, StreamSinkIn, StreamSinkOut, StreamSinkPatch};
use crate::v1::sink::position::{self, SkipParams, SkipQuery};
use crate::v1::sink::{self, Holder, ListQuery};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the sink.
    sink_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SinkAttemptPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the sink.
    sink_id: String,
    attempt_id: String,
}

async fn find(api: &Api, caller: &Caller, path: &SinkPath, right: Right) -> Result<Sink, Problem> {
    caller.sink_of_stream(api, &path.stream_id, &path.sink_id, right).await.map(|(_, sink)| sink)
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<StreamPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<StreamSinkOut>>, Problem> {
    let stream = caller.stream(&api, &path.stream_id, Right::Read).await?;
    let page = sink::list(&api, client, &Holder::stream(&stream), query).await?;
    Ok(Json(page.map(StreamSinkOut)))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<StreamPath>,
    Body(StreamSinkIn(input)): Body<StreamSinkIn>,
) -> Result<Created<StreamSinkOut>, Problem> {
    let stream = caller.stream(&api, &path.stream_id, Right::ManageEndpoint).await?;
    let holder = Holder::stream(&stream);
    let fields = input.parse(&api, holder.owner)?;
    sink::create(&api, client, &holder, fields).await.map(|sink| Created(StreamSinkOut(sink)))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<SinkPath>,
    Body(StreamSinkIn(input)): Body<StreamSinkIn>,
) -> Result<CreatedOr<StreamSinkOut>, Problem> {
    let stream = caller.stream(&api, &path.stream_id, Right::ManageEndpoint).await?;
    let holder = Holder::stream(&stream);
    let fields = input.parse(&api, holder.owner)?;
    sink::upsert(&api, client, &holder, &path.sink_id, fields).await.map(|done| done.map(StreamSinkOut))
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<SinkPath>,
    Body(StreamSinkPatch(input)): Body<StreamSinkPatch>,
) -> Result<Json<StreamSinkOut>, Problem> {
    let found = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    let change = input.parse(&api, &found)?;
    sink::change(&api, client, &found, change).await.map(|sink| Json(StreamSinkOut(sink)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<SinkPath>,
) -> Result<Json<StreamSinkOut>, Problem> {
    let found = find(&api, &caller, &path, Right::Read).await?;
    SinkOut::load(&api, client, &found).await.map(|sink| Json(StreamSinkOut(sink)))
}

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<SinkPath>) -> Result<NoContent, Problem> {
    let found = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    sink::delete(&api, &found).await?;
    Ok(NoContent)
}

pub(crate) async fn get_secret(State(api): State<Api>, caller: Caller, Path(path): Path<SinkPath>) -> Result<Json<SinkSecretOut>, Problem> {
    let found = find(&api, &caller, &path, Right::ReadSecret).await?;
    http::secret(&found).map(Json)
}

pub(crate) async fn rotate_secret(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
    OptionalBody(input): OptionalBody<EndpointSecretRotateIn>,
) -> Result<Json<SinkSecretOut>, Problem> {
    let rotation = input.parse()?;
    let found = find(&api, &caller, &path, Right::ManageSecret).await?;
    http::rotate(&api, &found, rotation).await.map(Json)
}

pub(crate) async fn get_headers(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let found = find(&api, &caller, &path, Right::Read).await?;
    http::headers(&found).map(Json)
}

pub(crate) async fn patch_headers(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
    Body(input): Body<HttpSinkHeadersPatchIn>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let found = find(&api, &caller, &path, Right::ManageEndpoint).await?;
    http::patch_headers(&api, &found, input).await.map(Json)
}

pub(crate) async fn get_transformation(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
) -> Result<Json<SinkTransformationOut>, Problem> {
    find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(http::transformation()))
}

pub(crate) async fn patch_transformation(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
    Body(input): Body<SinkTransformIn>,
) -> Result<Json<EmptyResponse>, Problem> {
    find(&api, &caller, &path, Right::ManageEndpoint).await?;
    http::patch_transformation(&input).map(Json)
}

pub(crate) async fn force_retry(State(api): State<Api>, caller: Caller, Path(path): Path<SinkPath>) -> Result<NoContent, Problem> {
    let found = find(&api, &caller, &path, Right::CreateAttempts).await?;
    position::force_retry(&api, &found).await?;
    Ok(NoContent)
}

pub(crate) async fn skip(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
    Query(query): Query<SkipQuery>,
    OptionalBody(input): OptionalBody<SkipParams>,
) -> Result<NoContent, Problem> {
    let found = find(&api, &caller, &path, Right::CreateAttempts).await?;
    position::skip(&api, &found, query, input).await?;
    Ok(NoContent)
}

pub(crate) async fn last_acked_event(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
) -> Result<Json<EventOut>, Problem> {
    let found = find(&api, &caller, &path, Right::Read).await?;
    position::last_acked(&api, &found).await.map(Json)
}

pub(crate) async fn next_event(State(api): State<Api>, caller: Caller, Path(path): Path<SinkPath>) -> Result<Json<EventOut>, Problem> {
    let found = find(&api, &caller, &path, Right::Read).await?;
    position::next_event(&api, &found).await.map(Json)
}

pub(crate) async fn list_attempts(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SinkPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<SinkAttemptOut>>, Problem> {
    let found = find(&api, &caller, &path, Right::Read).await?;
    attempt::list(&api, &found, query).await.map(Json)
}

pub(crate) async fn get_attempt(
    State(api): State<Api>,
    caller: Caller,
    Path(SinkAttemptPath { stream_id, sink_id, attempt_id }): Path<SinkAttemptPath>,
) -> Result<Json<SinkAttemptOut>, Problem> {
    let found = find(&api, &caller, &SinkPath { stream_id, sink_id }, Right::Read).await?;
    attempt::get(&api, &found, &attempt_id).await.map(Json)
}
