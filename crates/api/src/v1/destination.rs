//! Destinations of applications: the paths, and who may take them. A destination takes the messages of its application in their order, as a sink takes the events of a
//! stream.

use axum::extract::State;
use hookpost_domain::Sink;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::{Caller, Right};
use crate::client::Client;
use crate::extract::{Body, Created, CreatedOr, Json, Path, Query};
use crate::page::{ListQuery, Page};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::application::ApplicationPath;
use crate::v1::sink::attempt::{self, AttemptsQuery, DestinationAttemptOut};
use crate::v1::sink::models::{DestinationIn, DestinationOut, DestinationPatch, SinkOut};
use crate::v1::sink::named::SinkPath;
use crate::v1::sink::{self, Holder};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DestinationPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the destination.
    destination_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DestinationAttemptPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the destination.
    destination_id: String,
    attempt_id: String,
}

impl SinkPath for DestinationPath {
    async fn find(&self, api: &Api, caller: &Caller, right: Right) -> Result<Sink, Problem> {
        caller.sink_of_application(api, &self.app_id, &self.destination_id, right).await.map(|(_, sink)| sink)
    }
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<DestinationOut>>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let page = sink::list(&api, client, &Holder::application(&view), query).await?;
    Ok(Json(page.map(DestinationOut)))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<ApplicationPath>,
    Body(DestinationIn(input)): Body<DestinationIn>,
) -> Result<Created<DestinationOut>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::ManageEndpoint).await?;
    let holder = Holder::application(&view);
    let fields = input.parse(&api, holder.owner)?;
    sink::create(&api, client, &holder, fields).await.map(|sink| Created(DestinationOut(sink)))
}

pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<DestinationPath>,
    Body(DestinationIn(input)): Body<DestinationIn>,
) -> Result<CreatedOr<DestinationOut>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::ManageEndpoint).await?;
    let holder = Holder::application(&view);
    let fields = input.parse(&api, holder.owner)?;
    sink::upsert(&api, client, &holder, &path.destination_id, fields).await.map(|done| done.map(DestinationOut))
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<DestinationPath>,
    Body(DestinationPatch(input)): Body<DestinationPatch>,
) -> Result<Json<DestinationOut>, Problem> {
    let found = path.find(&api, &caller, Right::ManageEndpoint).await?;
    let change = input.parse(&api, &found)?;
    sink::change(&api, client, &found, change).await.map(|sink| Json(DestinationOut(sink)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    client: Client,
    Path(path): Path<DestinationPath>,
) -> Result<Json<DestinationOut>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    SinkOut::load(&api, client, &found).await.map(|sink| Json(DestinationOut(sink)))
}

pub(crate) async fn list_attempts(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<DestinationPath>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<DestinationAttemptOut>>, Problem> {
    let found = path.find(&api, &caller, Right::Read).await?;
    attempt::list(&api, &found, query).await.map(Json)
}

pub(crate) async fn get_attempt(
    State(api): State<Api>,
    caller: Caller,
    Path(DestinationAttemptPath { app_id, destination_id, attempt_id }): Path<DestinationAttemptPath>,
) -> Result<Json<DestinationAttemptOut>, Problem> {
    let found = DestinationPath { app_id, destination_id }.find(&api, &caller, Right::Read).await?;
    attempt::get(&api, &found, &attempt_id).await.map(Json)
}
