//! The headers of an attempt: those that were sent, as far as they follow from what is stored, and those that were answered.

use std::collections::BTreeMap;

use axum::extract::State;
use hookpost_domain::delivery::AttemptOutcome;
use hookpost_domain::request::{PreparedHeaders, WITHHELD};
use schemars::JsonSchema;
use serde::Serialize;

use super::{AttemptPath, find};
use crate::auth::{Caller, Right};
use crate::extract::{Json, Path};
use crate::problem::Problem;
use crate::state::Api;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptHeadersOut {
    /// Headers that the endpoint adds are those that it has now.
    sent_headers: BTreeMap<String, String>,
    /// `null`: there was no answer.
    response_headers: Option<Vec<(String, String)>>,
    /// The names of headers that were sent and whose values are withheld.
    sensitive: Vec<String>,
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<AttemptPath>,
) -> Result<Json<MessageAttemptHeadersOut>, Problem> {
    let (view, message, stored) = find(&api, &caller, &path, Right::Read).await?;
    let settings = api.engine.settings();
    let custom = view.endpoint(stored.key.endpoint).map_or(&[][..], |endpoint| &endpoint.headers);
    let prepared = PreparedHeaders::new(&settings.user_agent, &stored.attempt.url, custom, settings.header_sets);
    let sent = prepared.shown(&stored.attempt, &api.public(message.id), &message.content);
    let (withheld, shown): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(_, value)| value == WITHHELD);
    Ok(Json(MessageAttemptHeadersOut {
        sent_headers: shown.into_iter().collect(),
        response_headers: match stored.attempt.outcome {
            AttemptOutcome::Response(response) => Some(response.headers),
            AttemptOutcome::Error { .. } => None,
        },
        sensitive: withheld.into_iter().map(|(name, _)| name).collect(),
    }))
}
