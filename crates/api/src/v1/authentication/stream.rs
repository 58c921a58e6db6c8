//! Portal access to one stream.

use axum::extract::State;
use hookpost_domain::Principal;
use hookpost_domain::access::RevocationTarget;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{AppPortalAccessOut, check_expiry, check_flags, end_session, expiry, no_session, revoke_all, session_id};
use crate::auth::portal::{self, NewSession};
use crate::auth::{Caller, Right};
use crate::extract::{Json, NoContent, OptionalBody, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StreamPath {
    /// The id or uid of the stream.
    stream_id: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamPortalAccessIn {
    /// Event types with one of these flags are visible to the session.
    #[schemars(length(max = 25))]
    feature_flags: Option<Vec<String>>,
    /// Seconds until the token expires: from an hour to seven days. 28 days if not given.
    #[schemars(range(min = 3600, max = 604_800))]
    expiry: Option<u64>,
    /// Your name for the session; `expire-all` can end the tokens of one session.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9@_-]+$"))]
    session_id: Option<String>,
    /// The session may look, and change nothing. (Hookpost's own.)
    #[serde(default)]
    read_only: bool,
    /// The URL carries a token that works once, within five minutes, and is exchanged for the real one. (Hookpost's own.)
    #[serde(default)]
    one_time: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamTokenExpireIn {
    /// Seconds until the tokens are ended, those issued meanwhile included; at once if not given. Once tokens were ended, a delay is not granted again.
    #[schemars(range(min = 0, max = 259_200))]
    expiry: Option<u64>,
    /// End only the tokens of these sessions.
    #[schemars(length(max = 1000))]
    session_ids: Option<Vec<String>>,
}

pub(crate) async fn portal_access(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    OptionalBody(input): OptionalBody<StreamPortalAccessIn>,
) -> Result<Json<AppPortalAccessOut>, Problem> {
    let one_time = input.one_time;
    let session = input.parse()?;
    let stream = caller.stream(&api, &path.stream_id, Right::Admin).await?;
    let token = portal::issue(&api, &stream.org, stream.id, session);
    AppPortalAccessOut::opening(&api, token, one_time, None).await.map(Json)
}

/// Ends the session of the portal token that it is called with.
pub(crate) async fn logout(State(api): State<Api>, caller: Caller) -> Result<NoContent, Problem> {
    match caller.principal() {
        Principal::Stream { session, .. } => end_session(&api, session).await,
        _ => Err(no_session()),
    }
}

pub(crate) async fn expire_all(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    OptionalBody(input): OptionalBody<StreamTokenExpireIn>,
) -> Result<NoContent, Problem> {
    let (delay, sessions) = check_expiry(input.expiry, input.session_ids)?;
    caller.org(Right::Manage)?;
    let stream = caller.stream(&api, &path.stream_id, Right::Manage).await?.id;
    revoke_all(&api, delay, sessions, RevocationTarget::Stream(stream), |id| RevocationTarget::StreamSession(stream, id)).await
}

impl StreamPortalAccessIn {
    fn parse(self) -> Result<NewSession, Problem> {
        let mut wrong = Wrong::in_body();
        let session = NewSession {
            feature_flags: check_flags(&mut wrong, self.feature_flags),
            life: wrong.optional("expiry", self.expiry, expiry),
            session_id: wrong.optional("sessionId", self.session_id, session_id),
            read_only: self.read_only,
            capabilities: None,
        };
        wrong.nothing().map(|()| session)
    }
}
