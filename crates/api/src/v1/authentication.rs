//! Portal access for the tenant's customers, and how it is ended before its time.

pub(crate) mod message_token;
pub(crate) mod one_time;
pub(crate) mod poller;
pub(crate) mod stream;

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::access::{Capability, PortalSession, Revocation, RevocationTarget};
use hookpost_domain::{Invalid, Principal, Scope, Uid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::portal::{self, NewSession};
use crate::auth::{Caller, Right, ticket};
use crate::extract::{Json, NoContent, OptionalBody, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::application::{self, ApplicationIn, ApplicationPath};

const FEATURE_FLAGS_MAX: usize = 25;
const SESSION_ID_CHARS_MAX: usize = 64;
const SESSION_IDS_MAX: usize = 1000;
const EXPIRY_SECONDS: std::ops::RangeInclusive<u64> = 3600..=7 * 24 * 3600;
const EXPIRE_ALL_DELAY_SECONDS_MAX: u64 = 3 * 24 * 3600;
/// Tokens of an application or stream may come from elsewhere and live long; one row for each is no burden.
const WHOLE_REVOCATION_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppPortalAccessIn {
    /// Creates the application if it does not exist; its `uid` must be the one in the path.
    application: Option<ApplicationIn>,
    /// The older way to ask for a session that changes nothing.
    read_only: Option<bool>,
    /// What the session may do; everything that a portal can, if not given.
    capabilities: Option<Vec<AppPortalCapability>>,
    /// Event types with one of these flags are visible to the session.
    #[serde(default)]
    #[schemars(length(max = 25))]
    feature_flags: Option<Vec<String>>,
    /// Seconds until the token expires: from an hour to seven days. 28 days if not given.
    #[schemars(range(min = 3600, max = 604_800))]
    expiry: Option<u64>,
    /// Your name for the session; `expire-all` can end the tokens of one session.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9@_-]+$"))]
    session_id: Option<String>,
    /// The URL carries a token that works once, within five minutes, and is exchanged for the real one. (Hookpost's own.)
    #[serde(default)]
    one_time: bool,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
pub(crate) enum AppPortalCapability {
    ViewBase,
    ViewEndpointSecret,
    ManageEndpointSecret,
    ManageTransformations,
    CreateAttempts,
    ManageEndpoint,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppPortalAccessOut {
    /// Opens the portal; the token is in its fragment, which browsers do not send.
    url: String,
    token: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationTokenExpireIn {
    /// Seconds until the tokens are ended, those issued meanwhile included; at once if not given. Once tokens were ended, a delay is not granted again.
    #[schemars(range(min = 0, max = 259_200))]
    expiry: Option<u64>,
    /// End only the tokens of these sessions.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    session_ids: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) enum AuthenticationSource {
    SvixJwt,
    RegionalAuthToken,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhoamiOut {
    /// The organization that the token belongs to.
    env_id: String,
    /// The application that the token is limited to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    /// The stream that the token is limited to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_app_id: Option<String>,
    /// `SvixJwt` for signed tokens, `RegionalAuthToken` for API keys.
    permission_source: AuthenticationSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    /// What the key may be used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>")]
    scopes: Vec<Scope>,
}

pub(crate) async fn app_portal_access(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    OptionalBody(input): OptionalBody<AppPortalAccessIn>,
) -> Result<Json<AppPortalAccessOut>, Problem> {
    let org = caller.org(Right::Admin)?;
    let (application, session, one_time) = input.parse()?;
    let view = application::get_or_create(&api, &caller, &path.app_id, Right::Admin, application).await?;
    let capabilities = session.capabilities.clone();
    let token = portal::issue(&api, org, view.application.id, session);
    AppPortalAccessOut::opening(&api, token, one_time, capabilities).await.map(Json)
}

/// Ends the session of the portal token that it is called with.
pub(crate) async fn logout(State(api): State<Api>, caller: Caller) -> Result<NoContent, Problem> {
    match caller.principal() {
        Principal::Application { session, .. } if session.key.is_none() => end_session(&api, session).await,
        _ => Err(no_session()),
    }
}

fn no_session() -> Problem {
    Problem::bad_request("generic_error", "Only portal tokens can be logged out; delete an API key instead.")
}

async fn end_session(api: &Api, session: &PortalSession) -> Result<NoContent, Problem> {
    if let Some(token_id) = session.token_id.clone() {
        let revocation = Revocation { target: RevocationTarget::Token(token_id), at: api.now(), forget_at: session.expires_at };
        api.store.revoke(revocation).await?;
    }
    Ok(NoContent)
}

pub(crate) async fn expire_all(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    OptionalBody(input): OptionalBody<ApplicationTokenExpireIn>,
) -> Result<NoContent, Problem> {
    let (delay, sessions) = input.parse()?;
    caller.org(Right::Manage)?;
    let view = caller.application(&api, &path.app_id, Right::Manage).await?;
    let application = view.application.id;
    let session = |session| RevocationTarget::Session(application, session);
    revoke_all(&api, delay, sessions, RevocationTarget::Application(application), session).await
}

/// Ends the tokens of some sessions, or of the whole.
async fn revoke_all(
    api: &Api,
    delay: Duration,
    sessions: Option<Vec<String>>,
    whole: RevocationTarget,
    session: impl Fn(String) -> RevocationTarget,
) -> Result<NoContent, Problem> {
    let now = api.now();
    let targets = match sessions {
        None => vec![(whole, now + delay + WHOLE_REVOCATION_KEPT)],
        Some(sessions) => sessions.into_iter().map(|id| (session(id), now + delay + portal::LIFE_DEFAULT)).collect(),
    };
    for (target, forget_at) in targets {
        // A later time would take the place of the earlier one, and bring ended tokens back until then.
        let at = if api.store.revoked_at(&target).await?.is_some() { now } else { now + delay };
        api.store.revoke(Revocation { target, at, forget_at }).await?;
    }
    Ok(NoContent)
}

pub(crate) async fn whoami(State(api): State<Api>, caller: Caller) -> Json<WhoamiOut> {
    use AuthenticationSource::{RegionalAuthToken, SvixJwt};
    let source = |key: bool| if key { RegionalAuthToken } else { SvixJwt };
    let mut out = WhoamiOut {
        env_id: caller.principal().org().to_string(),
        app_id: None,
        stream_app_id: None,
        permission_source: RegionalAuthToken,
        session_id: None,
        scopes: Vec::new(),
    };
    match caller.principal() {
        Principal::Org { scopes, key, .. } => {
            out.permission_source = source(key.is_some());
            out.scopes = scopes.clone();
        }
        Principal::Application { application, session, .. } => {
            out.app_id = Some(api.public(*application));
            out.permission_source = source(session.key.is_some());
            out.session_id = session.session_id.clone();
        }
        Principal::Stream { stream, session, .. } => {
            out.stream_app_id = Some(api.public(*stream));
            out.permission_source = SvixJwt;
            out.session_id = session.session_id.clone();
        }
        Principal::Sender { application, .. } => out.app_id = Some(api.public(*application)),
        Principal::Poller { .. } => {}
    }
    Json(out)
}

impl AppPortalAccessOut {
    pub(crate) fn new(api: &Api, token: String) -> Self {
        Self { url: format!("{}#token={token}", api.settings.portal_url), token }
    }

    async fn opening(api: &Api, token: String, one_time: bool, capabilities: Option<Vec<Capability>>) -> Result<Self, Problem> {
        if !one_time {
            return Ok(Self::new(api, token));
        }
        let ticket = ticket::issue(api, &token, capabilities).await?;
        Ok(Self { url: format!("{}#oneTimeToken={ticket}", api.settings.portal_url), token })
    }
}

impl AppPortalAccessIn {
    /// The application to create if need be, the session, and whether the link is to work once.
    fn parse(self) -> Result<(Option<ApplicationIn>, NewSession, bool), Problem> {
        let mut wrong = Wrong::in_body();
        let session = NewSession {
            feature_flags: check_flags(&mut wrong, self.feature_flags),
            life: wrong.optional("expiry", self.expiry, expiry),
            session_id: wrong.optional("sessionId", self.session_id, session_id),
            read_only: self.read_only == Some(true),
            capabilities: self.capabilities.map(|capabilities| capabilities.into_iter().map(Capability::from).collect()),
        };
        wrong.nothing().map(|()| (self.application, session, self.one_time))
    }
}

impl ApplicationTokenExpireIn {
    /// The delay, and the sessions if not all tokens are meant.
    fn parse(self) -> Result<(Duration, Option<Vec<String>>), Problem> {
        check_expiry(self.expiry, self.session_ids)
    }
}

fn check_expiry(delay_seconds: Option<u64>, sessions: Option<Vec<String>>) -> Result<(Duration, Option<Vec<String>>), Problem> {
    let mut wrong = Wrong::in_body();
    let delay_seconds = delay_seconds.unwrap_or_default();
    if delay_seconds > EXPIRE_ALL_DELAY_SECONDS_MAX {
        wrong.add("expiry", format!("must be between 0 and {EXPIRE_ALL_DELAY_SECONDS_MAX} seconds"));
    }
    let sessions = sessions.unwrap_or_default();
    if sessions.len() > SESSION_IDS_MAX {
        wrong.add("sessionIds", format!("must have at most {SESSION_IDS_MAX} items"));
    }
    let sessions = wrong.each("sessionIds", sessions, session_id);
    wrong.nothing().map(|()| (Duration::from_secs(delay_seconds), (!sessions.is_empty()).then_some(sessions)))
}

fn check_flags(wrong: &mut Wrong, flags: Option<Vec<String>>) -> Vec<String> {
    let flags = flags.unwrap_or_default();
    if flags.len() > FEATURE_FLAGS_MAX {
        wrong.add("featureFlags", format!("must have at most {FEATURE_FLAGS_MAX} items"));
    }
    wrong.each("featureFlags", flags, |flag| Uid::parse(&flag).map(|_| flag))
}

pub(crate) fn expiry(seconds: u64) -> Result<Duration, Invalid> {
    if EXPIRY_SECONDS.contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(Invalid::new(format!("must be between {} and {} seconds", EXPIRY_SECONDS.start(), EXPIRY_SECONDS.end())))
    }
}

fn session_id(text: String) -> Result<String, Invalid> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'@' | b'_' | b'-');
    if (1..=SESSION_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text)
    } else {
        Err(Invalid::new(format!("must be 1 to {SESSION_ID_CHARS_MAX} letters, digits, `@`, `_` or `-`")))
    }
}

impl From<AppPortalCapability> for Capability {
    fn from(capability: AppPortalCapability) -> Self {
        match capability {
            AppPortalCapability::ViewBase => Self::ViewBase,
            AppPortalCapability::ViewEndpointSecret => Self::ViewEndpointSecret,
            AppPortalCapability::ManageEndpointSecret => Self::ManageEndpointSecret,
            AppPortalCapability::ManageTransformations => Self::ManageTransformations,
            AppPortalCapability::CreateAttempts => Self::CreateAttempts,
            AppPortalCapability::ManageEndpoint => Self::ManageEndpoint,
        }
    }
}
