//! Exchanges the one-time token of a portal link for the token of the session. Whoever has the link needs no other token.

use axum::extract::State;
use hookpost_domain::access::Capability;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::ticket;
use crate::extract::{Body, Json};
use crate::problem::Problem;
use crate::state::Api;

const ALL: [Capability; 6] = [
    Capability::ViewBase,
    Capability::ViewEndpointSecret,
    Capability::ManageEndpointSecret,
    Capability::ManageTransformations,
    Capability::CreateAttempts,
    Capability::ManageEndpoint,
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OneTimeTokenIn {
    /// What stands in the fragment of the link.
    one_time_token: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OneTimeTokenOut {
    token: String,
    /// What the session may do.
    #[schemars(with = "Vec<String>")]
    capabilities: Vec<Capability>,
}

pub(crate) async fn exchange(State(api): State<Api>, Body(input): Body<OneTimeTokenIn>) -> Result<Json<OneTimeTokenOut>, Problem> {
    let ticket = ticket::redeem(&api, &input.one_time_token).await?;
    Ok(Json(OneTimeTokenOut { token: ticket.token.0, capabilities: ticket.capabilities.unwrap_or_else(|| ALL.to_vec()) }))
}
