//! Sinks of streams: the paths, and who may take them.

use axum::extract::State;
use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Deserialize;

use super::StreamPath;
use crate::auth::{Caller, Right};
use crate::client::Client;
use crate::extract::{Body, Created, CreatedOr, Json, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::sink::attempt::{self, AttemptsQuery, SinkAttemptOut};
use crate::v1::sink::models::{SinkOut, StreamSinkIn, StreamSinkOut, StreamSinkPatch};
use crate::v1::sink::named::SinkPath;
use crate::v1::sink::{self, Holder};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StreamSinkPath {
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

impl SinkPath for StreamSinkPath {
    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Sink, Problem> {
        caller.sink_of_stream(api, &self.stream_id, &self.sink_id, right).await.map(|(_, sink)| sink)
    }
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
    Path(path): Path<StreamSinkPath>,
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
    Path(path): Path<StreamSinkPath>,
    Body(StreamSinkPatch(input)): Body<StreamSinkPatch>,
) -> Result<Json<StreamSinkOut>, Problem> {
    let found = path.find(&api, &caller, Right::ManageEndpoint).await?;
    let change = input.parse(&api, &found)?;
    sink::change(&api, client, &found, change).await.map(|sink| Json(StreamSinkOut(sink)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<StreamSinkPath>,
) -> Result<Json<StreamSinkOut>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    SinkOut::load(&api, client, &found).await.map(|sink| Json(StreamSinkOut(sink)))
}

pub(crate) async fn list_attempts(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamSinkPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<SinkAttemptOut>>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    attempt::list(&api, &found, query).await.map(Json)
}

pub(crate) async fn get_attempt(
    State(api): State<Api>,
    caller: Caller,
    Path(SinkAttemptPath { stream_id, sink_id, attempt_id }): Path<SinkAttemptPath>,
) -> Result<Json<SinkAttemptOut>, Problem> {
    let found = StreamSinkPath { stream_id, sink_id }.find(&api, &caller, Right::Read).await?;
    attempt::get(&api, &found, &attempt_id).await.map(Json)
}
