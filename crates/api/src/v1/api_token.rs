//! The keys of a tenant as the published API has them: with roles (`owner`, `developer`, `viewer`), and a way to end them after a while. They are the same
//! keys as those of `/api-key`; keys that belong to an integration or a poller are looked after there.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::access::KeyReach;
use hookpost_domain::id::ApiKeyKind;
use hookpost_domain::limits::NAME_CHARS_MAX;
use hookpost_domain::{ApiKey, ApiKeyId, Invalid, OrgId, Scope, Timestamp};
use hookpost_store::Order;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::api_key::{NewApiKey, new_api_key};
use crate::auth::last_use::last_use_of;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Json, NoContent, OptionalBody, Path, Query, present};
use crate::page::{ListQuery, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::{self, Time};

const EXPIRY_SECONDS_MAX: u32 = 259_200;
/// Roles, with what they mean here; then our own words for the same.
const ROLES: [(&str, Scope); 7] = [
    ("owner", Scope::Admin),
    ("developer", Scope::Manage),
    ("viewer", Scope::Read),
    ("send", Scope::Send),
    ("admin", Scope::Admin),
    ("manage", Scope::Manage),
    ("read", Scope::Read),
];

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EnvironmentPath {
    /// The id of your environment (`org_…`): the organization that the token belongs to.
    env_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApiTokenPath {
    /// The id of your environment (`org_…`): the organization that the token belongs to.
    env_id: String,
    /// The id of the token (`key_…`), not the token itself.
    key_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiTokenIn {
    /// What the token is for, for people.
    #[schemars(length(max = 256))]
    name: String,
    /// `owner` (everything; if not given), `developer` (everything but tokens and secrets), `viewer` (reading), `send` (creating messages).
    #[schemars(length(min = 1))]
    scopes: Option<Vec<String>>,
    /// When the token stops working; never, if not given. (Hookpost's own.)
    #[schemars(with = "Option<Time>")]
    expires_at: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApiTokenUpdate {
    /// What the token is for, for people.
    #[schemars(length(max = 256))]
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApiTokenPatch {
    #[serde(default, deserialize_with = "present")]
    name: Option<Option<String>>,
    /// As when it was created.
    #[schemars(length(min = 1))]
    scopes: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ApiTokenExpireIn {
    /// Seconds until the token stops working; at once if not given.
    #[schemars(range(min = 0, max = 259_200))]
    expiry: Option<u32>,
}

/// With the token itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiTokenOut {
    pub(super) token: String,
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) created_at: Time,
    pub(super) expires_at: Option<Time>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiTokenCensoredOut {
    id: String,
    name: Option<String>,
    /// The first characters of the token.
    censored_token: String,
    scopes: Option<Vec<String>>,
    created_at: Time,
    expires_at: Option<Time>,
    /// To the minute. (Hookpost's own.)
    last_used_at: Option<Time>,
    /// The application whose messages it creates, if it does nothing else. (Hookpost's own.)
    app_id: Option<String>,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EnvironmentPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<ApiTokenCensoredOut>>, Problem> {
    let org = own_environment(&caller, &path.env_id)?;
    let page = query.request::<ApiKeyKind>(api.store.public_ids(), Order::Descending)?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let listed = api.store.api_keys(Some(org), page).await?;
    // The page was cut before the others are left out, so its ends are those of what the store gave.
    let id_of = |key: Option<&ApiKey>| key.map(|key| api.public(key.id));
    let (first, last) = (id_of(listed.items.first()), id_of(listed.items.last()));
    let mut data = Vec::new();
    for key in listed.items.iter().filter(|key| is_of_people(key)) {
        data.push(ApiTokenCensoredOut::new(&api, key).await?);
    }
    Ok(Json(Page { data, iterator: last, prev_iterator: first.map(|first| format!("-{first}")), done: listed.done }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<EnvironmentPath>,
    Body(input): Body<ApiTokenIn>,
) -> Result<Json<ApiTokenOut>, Problem> {
    let org = own_environment(&caller, &path.env_id)?;
    let now = api.now();
    let (name, scopes, expires_at) = input.parse(now)?;
    let new = NewApiKey { org: org.clone(), name, scopes, reach: KeyReach::Organization, expires_at };
    let (text, key) = new_api_key(new, api.store.new_row_id(now), &*api.entropy, now);
    let out = ApiTokenOut::new(&api, text, &key);
    api.store.create_api_key(key).await?;
    Ok(Json(out))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApiTokenPath>,
) -> Result<Json<ApiTokenCensoredOut>, Problem> {
    let key = find(&api, own_environment(&caller, &path.env_id)?, &path.key_id).await?;
    ApiTokenCensoredOut::new(&api, &key).await.map(Json)
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApiTokenPath>,
    Body(input): Body<ApiTokenUpdate>,
) -> Result<Json<ApiTokenCensoredOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let name = check_name(&mut wrong, input.name);
    wrong.nothing()?;
    change(&api, &caller, &path, move |key| key.name = name).await
}

pub(crate) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApiTokenPath>,
    Body(input): Body<ApiTokenPatch>,
) -> Result<Json<ApiTokenCensoredOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let name = input.name.map(|name| check_name(&mut wrong, name.unwrap_or_default()));
    let scopes = input.scopes.map(|scopes| check_scopes(&mut wrong, &scopes));
    wrong.nothing()?;
    change(&api, &caller, &path, move |key| {
        if let Some(name) = name {
            key.name = name;
        }
        if let Some(scopes) = scopes.filter(|_| key.reach == KeyReach::Organization) {
            key.scopes = scopes;
        }
    })
    .await
}

pub(crate) async fn expire(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApiTokenPath>,
    OptionalBody(input): OptionalBody<ApiTokenExpireIn>,
) -> Result<NoContent, Problem> {
    let seconds = input.expiry.unwrap_or_default();
    if seconds > EXPIRY_SECONDS_MAX {
        return Err(Problem::body("expiry", format!("must be between 0 and {EXPIRY_SECONDS_MAX} seconds")));
    }
    let end = api.now() + Duration::from_secs(seconds.into());
    // What ends earlier goes on ending earlier.
    change(&api, &caller, &path, move |key| key.expires_at = Some(key.expires_at.map_or(end, |before| before.min(end)))).await?;
    Ok(NoContent)
}

async fn change(
    api: &Api,
    caller: &Caller,
    path: &ApiTokenPath,
    change: impl FnOnce(&mut ApiKey) + Send + 'static,
) -> Result<Json<ApiTokenCensoredOut>, Problem> {
    let org = own_environment(caller, &path.env_id)?;
    let key = find(api, org, &path.key_id).await?;
    let write = Box::new(move |key: &mut ApiKey| {
        change(key);
        Ok(())
    });
    let updated = api.store.update_api_key(org, key.id, write).await?;
    ApiTokenCensoredOut::new(api, &updated).await.map(Json)
}

/// There is no other environment than the caller's own.
pub(super) fn own_environment<'a>(caller: &'a Caller, env_id: &str) -> Result<&'a OrgId, Problem> {
    let org = caller.org(Right::Admin)?;
    if org.as_str() == env_id { Ok(org) } else { Err(Problem::NOT_FOUND) }
}

async fn find(api: &Api, org: &OrgId, key_id: &str) -> Result<ApiKey, Problem> {
    let id: ApiKeyId = api.store.public_ids().decode(key_id).ok_or(Problem::NOT_FOUND)?;
    let key = api.store.api_key(org, id).await?.filter(is_of_people);
    key.ok_or(Problem::NOT_FOUND)
}

/// Not of an integration or a poller.
pub(super) fn is_of_people(key: &ApiKey) -> bool {
    matches!(key.reach, KeyReach::Organization | KeyReach::MessagesOf(_))
}

fn check_name(wrong: &mut Wrong, name: String) -> String {
    if name.chars().count() > NAME_CHARS_MAX {
        wrong.add("name", format!("must be at most {NAME_CHARS_MAX} characters long"));
    }
    name
}

fn check_scopes(wrong: &mut Wrong, scopes: &[String]) -> Vec<Scope> {
    if scopes.is_empty() {
        wrong.add("scopes", "must not be empty: a token without scopes opens nothing");
    }
    let mut parsed = wrong.each("scopes", scopes, |name| match ROLES.iter().find(|(role, _)| role == name) {
        Some((_, scope)) => Ok(*scope),
        None => Err(Invalid::new("must be `owner`, `developer`, `viewer` or `send`")),
    });
    parsed.sort_unstable();
    parsed.dedup();
    parsed
}

fn roles(key: &ApiKey) -> Option<Vec<String>> {
    let role = |scope: &Scope| ROLES.iter().find(|(_, meant)| meant == scope).map(|(role, _)| (*role).to_owned());
    (!key.scopes.is_empty()).then(|| key.scopes.iter().filter_map(role).collect())
}

impl ApiTokenIn {
    fn parse(self, now: Timestamp) -> Result<(String, Vec<Scope>, Option<Timestamp>), Problem> {
        let mut wrong = Wrong::in_body();
        let name = check_name(&mut wrong, self.name);
        let scopes = self.scopes.map_or_else(|| vec![Scope::Admin], |scopes| check_scopes(&mut wrong, &scopes));
        let expires_at = wrong.optional("expiresAt", self.expires_at, |text| match v1::time(text)? {
            past if past <= now => Err(Invalid::new("must be in the future")),
            future => Ok(future),
        });
        wrong.nothing().map(|()| (name, scopes, expires_at))
    }
}

impl ApiTokenOut {
    pub(super) fn new(api: &Api, token: String, key: &ApiKey) -> Self {
        Self {
            token,
            id: api.public(key.id),
            name: Some(key.name.clone()),
            scopes: roles(key),
            created_at: Time(key.created_at),
            expires_at: key.expires_at.map(Time),
        }
    }
}

impl ApiTokenCensoredOut {
    async fn new(api: &Api, key: &ApiKey) -> Result<Self, Problem> {
        let app_id = match key.reach {
            KeyReach::MessagesOf(application) => Some(api.public(application)),
            KeyReach::Organization | KeyReach::PollsOf(_) | KeyReach::Integration { .. } => None,
        };
        Ok(Self {
            id: api.public(key.id),
            name: Some(key.name.clone()),
            censored_token: format!("{}…", key.hint),
            scopes: roles(key),
            created_at: Time(key.created_at),
            expires_at: key.expires_at.map(Time),
            last_used_at: last_use_of(api, key.id).await?.map(Time),
            app_id,
        })
    }
}
