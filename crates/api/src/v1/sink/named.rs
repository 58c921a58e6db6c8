//! What is done to sinks in the same way, whatever path leads to them and whatever their clients call them.

use axum::extract::State;
use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Holder;
use super::attempt::{self, AttemptOut, AttemptsQuery};
use super::http::{self, EmptyResponse, HttpSinkHeadersPatchIn, SinkSecretOut, SinkTransformIn, SinkTransformationOut};
use super::models::{SinkIn, SinkOut, SinkPatch};
use super::position::{self, SkipParams, SkipQuery};
use crate::auth::{Caller, Right};
use crate::client::Client;
use crate::extract::{Body, Created, CreatedOr, Json, NoContent, OptionalBody, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::headers::EndpointHeadersOut;
use crate::v1::endpoint::secret::EndpointSecretRotateIn;
use crate::v1::feed::EventOut;

/// A path that names who has sinks, a stream or an application; and what its clients call things.
pub(crate) trait HolderPath: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    type In: Into<SinkIn> + DeserializeOwned + JsonSchema + Send;
    type Patch: Into<SinkPatch> + DeserializeOwned + JsonSchema + Send;
    type Out: From<SinkOut> + Serialize + JsonSchema;
    type Attempt: AttemptOut + Serialize + JsonSchema;

    fn find(&self, api: &Api, caller: &Caller, right: Right) -> impl Future<Output = Result<Holder, Problem>> + Send;
}

/// A path that names a sink.
pub(crate) trait SinkPath: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    type Holder: HolderPath;

    fn find(&self, api: &Api, caller: &Caller, right: Right) -> impl Future<Output = Result<Sink, Problem>> + Send;

    /// Who has it, and what it is called there.
    fn split(self) -> (Self::Holder, String);
}

/// A path that names an attempt at a sink.
pub(crate) trait AttemptPath: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    type Sink: SinkPath;

    fn split(self) -> (Self::Sink, String);
}

type OutOf<P> = <<P as SinkPath>::Holder as HolderPath>::Out;
type AttemptOf<P> = <<P as SinkPath>::Holder as HolderPath>::Attempt;

pub(crate) async fn list<H: HolderPath>(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<H>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<H::Out>>, Problem> {
    let holder = path.find(&api, &caller, Right::Read).await?;
    let page = super::list(&api, client, &holder, query).await?;
    Ok(Json(page.map(H::Out::from)))
}

pub(crate) async fn create<H: HolderPath>(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<H>,
    Body(input): Body<H::In>,
) -> Result<Created<H::Out>, Problem> {
    let holder = path.find(&api, &caller, Right::ManageEndpoint).await?;
    let input: SinkIn = input.into();
    let fields = input.parse(&api, holder.owner)?;
    super::create(&api, client, &holder, fields).await.map(|sink| Created(sink.into()))
}

pub(crate) async fn get<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<P>,
) -> Result<Json<OutOf<P>>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    SinkOut::load(&api, client, &found).await.map(|sink| Json(sink.into()))
}

pub(crate) async fn upsert<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<P>,
    Body(input): Body<<P::Holder as HolderPath>::In>,
) -> Result<CreatedOr<OutOf<P>>, Problem> {
    let (holder, reference) = path.split();
    let holder = holder.find(&api, &caller, Right::ManageEndpoint).await?;
    let input: SinkIn = input.into();
    let fields = input.parse(&api, holder.owner)?;
    super::upsert(&api, client, &holder, &reference, fields).await.map(|done| done.map(Into::into))
}

pub(crate) async fn patch<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<P>,
    Body(input): Body<<P::Holder as HolderPath>::Patch>,
) -> Result<Json<OutOf<P>>, Problem> {
    let found = path.find(&api, &caller, Right::ManageEndpoint).await?;
    let input: SinkPatch = input.into();
    let change = input.parse(&api, &found)?;
    super::change(&api, client, &found, change).await.map(|sink| Json(sink.into()))
}

pub(crate) async fn list_attempts<P: SinkPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<AttemptOf<P>>>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    attempt::list(&api, &found, query).await.map(Json)
}

pub(crate) async fn get_attempt<P: AttemptPath>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<AttemptOf<P::Sink>>, Problem> {
    let (sink, attempt) = path.split();
    let found = sink.find(&api, &caller, Right::Read).await?;
    attempt::get(&api, &found, &attempt).await.map(Json)
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
