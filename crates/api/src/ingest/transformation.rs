//! The transformation of an endpoint: code that shapes a message before it is sent.
//!
//! There is none yet, so the answer is that nothing is transformed. To take code and not run it would be a lie that shows only at the receiver.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::EndpointPath;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, Path, present};
use crate::problem::Problem;
use crate::state::Api;
use crate::v1::endpoint::named::EndpointPlace;

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IngestEndpointTransformationOut {
    code: Option<String>,
    enabled: bool,
    variables: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct IngestEndpointTransformationPatch {
    #[serde(default, deserialize_with = "present")]
    #[schemars(length(min = 10, max = 51_200))]
    code: Option<Option<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    variables: Option<Option<BTreeMap<String, String>>>,
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<IngestEndpointTransformationOut>, Problem> {
    path.find(&api, &caller, Right::Read).await?;
    Ok(Json(IngestEndpointTransformationOut { code: None, enabled: false, variables: None }))
}

/// What asks for nothing to be transformed is how it is already.
pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    Body(input): Body<IngestEndpointTransformationPatch>,
) -> Result<NoContent, Problem> {
    path.find(&api, &caller, Right::ManageEndpoint).await?;
    let asks_for_one = matches!(input.code, Some(Some(_))) || input.enabled == Some(true) || matches!(input.variables, Some(Some(_)));
    if asks_for_one {
        let detail = "Transformations are not there yet: messages reach the endpoints of a source as they came. Nothing was changed.";
        return Err(Problem::bad_request("transformations_not_available", detail));
    }
    Ok(NoContent)
}
