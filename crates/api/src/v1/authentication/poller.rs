//! The token that a poller is asked with. It is shown again to whoever may see secrets, and rotated with a time in which the old one is good, too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::access::{KeyReach, KeyText, PollerToken, ShownKey};
use hookpost_domain::sink::SinkTarget;
use hookpost_domain::{ApiKeyId, Invalid, Sink, Timestamp};
use hookpost_store::{Named, WriteError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::api_key::{NewApiKey, new_api_key};
use crate::auth::{Caller, Right};
use crate::extract::{Created, Json, OptionalBody, Path};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::api_token::ApiTokenOut;

const NAME: &str = "poller";
const LIFE_SECONDS: std::ops::RangeInclusive<u64> = 1..=365 * 24 * 3600;
const OLD_SECONDS_DEFAULT: u64 = 300;
const OLD_SECONDS_MAX: u64 = 24 * 3600;
/// Old tokens that are still good.
const OLD_MAX: usize = 10;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AppPollerPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the poller.
    endpoint_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StreamPollerPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the poller.
    sink_id: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatePollerTokenIn {
    /// Seconds until the new token stops working; never, if not given.
    #[schemars(range(min = 1, max = 31_536_000))]
    expiry: Option<u64>,
    /// Seconds until the old one stops working; 300 if not given.
    #[schemars(range(min = 0, max = 86_400))]
    old_token_expiry: Option<u64>,
}

/// [`RotatePollerTokenIn`] that keeps every rule.
#[derive(Debug, Default)]
struct Rotation {
    life: Option<Duration>,
    old_life: Duration,
}

pub(crate) async fn get(State(api): State<Api>, caller: Caller, Path(path): Path<AppPollerPath>) -> Result<Json<ApiTokenOut>, Problem> {
    let (_, sink) = caller.sink_of_application(&api, &path.app_id, &path.endpoint_id, Right::ReadSecret).await?;
    current(&api, &sink).await
}

pub(crate) async fn get_of_stream(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPollerPath>,
) -> Result<Json<ApiTokenOut>, Problem> {
    let (_, sink) = caller.sink_of_stream(&api, &path.stream_id, &path.sink_id, Right::ReadSecret).await?;
    current(&api, &sink).await
}

pub(crate) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<AppPollerPath>,
    OptionalBody(input): OptionalBody<RotatePollerTokenIn>,
) -> Result<Created<ApiTokenOut>, Problem> {
    let rotation = input.parse()?;
    let (_, sink) = caller.sink_of_application(&api, &path.app_id, &path.endpoint_id, Right::ManageSecret).await?;
    rotate_of(&api, &sink, rotation).await
}

pub(crate) async fn rotate_of_stream(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPollerPath>,
    OptionalBody(input): OptionalBody<RotatePollerTokenIn>,
) -> Result<Created<ApiTokenOut>, Problem> {
    let rotation = input.parse()?;
    let (_, sink) = caller.sink_of_stream(&api, &path.stream_id, &path.sink_id, Right::ManageSecret).await?;
    rotate_of(&api, &sink, rotation).await
}

/// The token as it is; the first time somebody asks, one is made.
async fn current(api: &Api, sink: &Sink) -> Result<Json<ApiTokenOut>, Problem> {
    refuse_unless_poller(sink)?;
    if let Some(known) = find(api, sink).await? {
        return Ok(Json(ApiTokenOut::of_shown(api, NAME, &known.current)));
    }
    let first = make_key(api, sink, None).await?;
    match api.store.create(&token_of(sink, first.clone())).await {
        Ok(()) => Ok(Json(ApiTokenOut::of_shown(api, NAME, &first))),
        // Somebody else was faster.
        Err(WriteError::Conflict { .. }) => {
            let known = find(api, sink).await?.ok_or(Problem::NOT_FOUND)?;
            forget(api, sink, [first.id]).await;
            Ok(Json(ApiTokenOut::of_shown(api, NAME, &known.current)))
        }
        Err(error) => Err(error.into()),
    }
}

async fn rotate_of(api: &Api, sink: &Sink, rotation: Rotation) -> Result<Created<ApiTokenOut>, Problem> {
    refuse_unless_poller(sink)?;
    let now = api.now();
    let new = make_key(api, sink, rotation.life.map(|life| now + life)).await?;
    let out = Created(ApiTokenOut::of_shown(api, NAME, &new));
    let (ended, next) = (Arc::new(OnceLock::new()), new.clone());
    let seen = Arc::clone(&ended);
    let change = move |token: &mut PollerToken| {
        let (good, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut token.old).into_iter().partition(|(_, until)| *until > now);
        if good.len() >= OLD_MAX {
            return Err(Invalid::new(format!("A poller has at most {OLD_MAX} old tokens that are still good.")));
        }
        let replaced = std::mem::replace(&mut token.current, next);
        let until = replaced.expires_at.map_or(now + rotation.old_life, |end| end.min(now + rotation.old_life));
        token.old = good;
        token.old.push((replaced.id, until));
        let _ = seen.set(gone);
        Ok(())
    };
    match api.store.update(&sink.org, sink.id.row(), sink.id.row(), change).await {
        Ok(_) => {}
        Err(WriteError::NotFound) => api.store.create(&token_of(sink, new)).await?,
        Err(WriteError::Refused(Invalid(rule))) => {
            forget(api, sink, [new.id]).await;
            return Err(Problem::bad_request("limit_reached", rule));
        }
        Err(error) => return Err(error.into()),
    }
    let ended = ended.get().cloned().unwrap_or_default();
    forget(api, sink, ended.into_iter().map(|(key, _): (ApiKeyId, Timestamp)| key)).await;
    Ok(out)
}

async fn find(api: &Api, sink: &Sink) -> Result<Option<PollerToken>, Problem> {
    Ok(api.store.find(&sink.org, sink.id.row(), Named::Id(sink.id.row())).await?)
}

fn token_of(sink: &Sink, current: ShownKey) -> PollerToken {
    PollerToken { org: sink.org.clone(), sink: sink.id, current, old: Vec::new() }
}

fn refuse_unless_poller(sink: &Sink) -> Result<(), Problem> {
    match sink.target {
        SinkTarget::Poller => Ok(()),
        SinkTarget::Http(_) => {
            Err(Problem::bad_request("generic_error", "Only pollers have a token: this one is called, and does not ask."))
        }
    }
}

async fn make_key(api: &Api, sink: &Sink, expires_at: Option<Timestamp>) -> Result<ShownKey, Problem> {
    let now = api.now();
    let reach = KeyReach::PollsOf(sink.id);
    let new = NewApiKey { org: sink.org.clone(), name: NAME.to_owned(), scopes: Vec::new(), reach, expires_at };
    let (text, key) = new_api_key(new, api.store.new_row_id(now), &*api.entropy, now);
    let shown = ShownKey { id: key.id, text: KeyText(text), created_at: now, expires_at };
    api.store.create_api_key(key).await?;
    Ok(shown)
}

/// Of keys that open nothing any more: what is left of them only takes space.
async fn forget(api: &Api, sink: &Sink, keys: impl IntoIterator<Item = ApiKeyId>) {
    for key in keys {
        if let Err(error) = api.store.delete_api_key(Some(&sink.org), key).await {
            tracing::debug!(target: "hookpost::store", %error, "the key of a poller that is no longer good stays in the store");
        }
    }
}

impl RotatePollerTokenIn {
    fn parse(self) -> Result<Rotation, Problem> {
        let mut wrong = Wrong::in_body();
        let life = wrong.optional("expiry", self.expiry, |seconds| {
            if LIFE_SECONDS.contains(&seconds) {
                Ok(Duration::from_secs(seconds))
            } else {
                Err(Invalid::new(format!("must be between {} and {} seconds", LIFE_SECONDS.start(), LIFE_SECONDS.end())))
            }
        });
        let old = self.old_token_expiry.unwrap_or(OLD_SECONDS_DEFAULT);
        if old > OLD_SECONDS_MAX {
            wrong.add("oldTokenExpiry", format!("must be between 0 and {OLD_SECONDS_MAX} seconds"));
        }
        wrong.nothing().map(|()| Rotation { life, old_life: Duration::from_secs(old) })
    }
}

impl ApiTokenOut {
    fn of_shown(api: &Api, name: &str, key: &ShownKey) -> Self {
        Self {
            token: key.text.0.clone(),
            id: api.public(key.id),
            name: Some(name.to_owned()),
            scopes: None,
            created_at: Time(key.created_at),
            expires_at: key.expires_at.map(Time),
        }
    }
}
