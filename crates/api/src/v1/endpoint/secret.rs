//! The signing secret of an endpoint: shown to whoever may see it, and rotated with a grace period in which both sign.

use std::time::Duration;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookpost_domain::operational::OperationalEvent;
use hookpost_domain::secret::RotateError;
use hookpost_domain::{Endpoint, Invalid, SigningSecret, limits};
use hookpost_store::{ApplicationView, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EndpointPath, facts, find};
use crate::auth::{Caller, Right};
use crate::client::Client;
use crate::extract::{Json, NoContent, OptionalBody, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndpointSecretOut {
    /// `whsec_…`, or `whpk_…`, the public key of an ed25519 secret: what the receiver verifies with.
    key: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointSecretRotateIn {
    /// The new secret: `whsec_` or `whsk_` and base64. Left out: one of the same kind is made.
    key: Option<String>,
    /// How long the old secret signs along; a day if left out.
    #[schemars(range(max = 604800))]
    grace_period_seconds: Option<u32>,
}

/// 204; or 200 with the new key for clients that expect it.
#[derive(Debug)]
pub(crate) enum Rotated {
    Silently,
    With(EndpointSecretOut),
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
) -> Result<Json<EndpointSecretOut>, Problem> {
    let (_, endpoint) = find(&api, &caller, &path, Right::ReadSecret).await?;
    Ok(Json(EndpointSecretOut::new(&endpoint)))
}

pub(crate) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EndpointPath>,
    client: Client,
    OptionalBody(input): OptionalBody<EndpointSecretRotateIn>,
) -> Result<Rotated, Problem> {
    let rotation = input.parse()?;
    let (view, endpoint) = find(&api, &caller, &path, Right::ManageSecret).await?;
    let updated = rotate_in(&api, &view, &endpoint, rotation).await?;
    // They read the new key since then, and some of those before cannot stand a body.
    Ok(if client.is_since(2, 7) { Rotated::With(EndpointSecretOut::new(&updated)) } else { Rotated::Silently })
}

pub(crate) async fn rotate_in(
    api: &Api,
    view: &ApplicationView,
    endpoint: &Endpoint,
    Rotation { given, grace }: Rotation,
) -> Result<Endpoint, Problem> {
    let new = given.unwrap_or_else(|| SigningSecret::generate(endpoint.secrets.current.kind(), &*api.entropy));
    let now = api.now();
    let write = Box::new(move |endpoint: &mut Endpoint| {
        endpoint.secrets.rotate(new, grace, now).map_err(|error| Invalid::new(error.to_string()))?;
        endpoint.updated_at = now;
        Ok(())
    });
    let updated = match api.store.update_endpoint(view.application.id, endpoint.id, write).await {
        // The grace period was checked: it can only be the number of old secrets.
        Err(WriteError::Refused(_)) => return Err(Problem::bad_request("limit_reached", RotateError::TooManyOld.to_string())),
        result => result?,
    };
    api.engine.publish(&view.application.org, OperationalEvent::EndpointUpdated(facts(view, &updated)));
    Ok(updated)
}

/// [`EndpointSecretRotateIn`] that keeps every rule.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) given: Option<SigningSecret>,
    pub(crate) grace: Duration,
}

impl EndpointSecretRotateIn {
    pub(crate) fn parse(self) -> Result<Rotation, Problem> {
        let mut wrong = Wrong::in_body();
        let given = wrong.optional("key", self.key, |text| SigningSecret::parse(&text));
        let grace = self.grace_period_seconds.map_or(limits::SECRET_GRACE_DEFAULT, |seconds| Duration::from_secs(seconds.into()));
        if grace > limits::SECRET_GRACE_MAX {
            wrong.add("gracePeriodSeconds", "Duration must be between 0 and 7 days");
        }
        wrong.nothing()?;
        Ok(Rotation { given, grace })
    }
}

impl EndpointSecretOut {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self { key: endpoint.secrets.current.verification_key() }
    }
}

impl IntoResponse for Rotated {
    fn into_response(self) -> Response {
        match self {
            Self::Silently => NoContent.into_response(),
            Self::With(key) => Json(key).into_response(),
        }
    }
}

impl OperationOutput for Rotated {
    type Inner = EndpointSecretOut;

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<u16>, aide::openapi::Response)> {
        let mut responses = Json::<EndpointSecretOut>::inferred_responses(ctx, operation);
        responses.extend(NoContent::inferred_responses(ctx, operation));
        responses
    }
}
