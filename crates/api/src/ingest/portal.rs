//! Portal access to the application of a source.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::SourcePath;
use crate::auth::portal::{self, NewSession};
use crate::auth::{Caller, Right};
use crate::extract::{Json, OptionalBody, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::authentication::{AppPortalAccessOut, expiry};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestSourceConsumerPortalAccessIn {
    /// Seconds until the token expires: from an hour to seven days. 28 days if not given.
    #[schemars(range(min = 3600, max = 604_800))]
    expiry: Option<u64>,
    /// The session may look, and change nothing.
    read_only: Option<bool>,
}

pub(crate) async fn access(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<SourcePath>,
    OptionalBody(input): OptionalBody<IngestSourceConsumerPortalAccessIn>,
) -> Result<Json<AppPortalAccessOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let session = NewSession {
        life: wrong.optional("expiry", input.expiry, expiry),
        read_only: input.read_only == Some(true),
        ..NewSession::default()
    };
    wrong.nothing()?;
    let source = caller.source(&api, &path.source_id, Right::Admin).await?;
    let token = portal::issue(&api, &source.org, source.application, session);
    Ok(Json(AppPortalAccessOut::new(&api, token)))
}
