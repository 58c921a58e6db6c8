//! What is done to one endpoint in the same way, whatever path leads to it: of a source, or of operational webhooks.

use std::sync::Arc;

use axum::extract::State;
use hookpost_domain::Endpoint;
use hookpost_store::ApplicationView;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::headers::{self, EndpointHeadersIn, EndpointHeadersOut};
use super::secret::{self, EndpointSecretOut, EndpointSecretRotateIn};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, OptionalBody, Path};
use crate::problem::Problem;
use crate::state::Api;

/// An endpoint with the application that it is in.
pub(crate) type Found = (Arc<ApplicationView>, Arc<Endpoint>);

/// A path that names an endpoint.
pub(crate) trait EndpointPlace: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    fn find(&self, api: &Api, caller: &Caller, right: Right) -> impl Future<Output = Result<Found, Problem>> + Send;
}

pub(crate) async fn delete<P: EndpointPlace>(State(api): State<Api>, caller: Caller, Path(path): Path<P>) -> Result<NoContent, Problem> {
    let (view, endpoint) = path.find(&api, &caller, Right::ManageEndpoint).await?;
    super::delete_from(&api, &view, &endpoint).await
}

pub(crate) async fn get_headers<P: EndpointPlace>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<EndpointHeadersOut>, Problem> {
    let (_, endpoint) = path.find(&api, &caller, Right::Read).await?;
    Ok(Json(EndpointHeadersOut::new(&endpoint)))
}

pub(crate) async fn set_headers<P: EndpointPlace>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    Body(input): Body<EndpointHeadersIn>,
) -> Result<NoContent, Problem> {
    let headers = input.parse()?;
    let (view, endpoint) = path.find(&api, &caller, Right::ManageEndpoint).await?;
    headers::replace_in(&api, &view, &endpoint, headers).await
}

pub(crate) async fn get_secret<P: EndpointPlace>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
) -> Result<Json<EndpointSecretOut>, Problem> {
    let (_, endpoint) = path.find(&api, &caller, Right::ReadSecret).await?;
    Ok(Json(EndpointSecretOut::new(&endpoint)))
}

pub(crate) async fn rotate_secret<P: EndpointPlace>(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<P>,
    OptionalBody(input): OptionalBody<EndpointSecretRotateIn>,
) -> Result<NoContent, Problem> {
    let rotation = input.parse()?;
    let (view, endpoint) = path.find(&api, &caller, Right::ManageSecret).await?;
    secret::rotate_in(&api, &view, &endpoint, rotation).await?;
    Ok(NoContent)
}
