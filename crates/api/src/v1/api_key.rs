//! API keys of a tenant. A key is shown once, when it is made; afterwards only its first characters are known.

use axum::extract::State;
use hookpost_domain::access::KeyReach;
use hookpost_domain::id::ApiKeyKind;
use hookpost_domain::limits::NAME_CHARS_MAX;
use hookpost_domain::{ApiKey, ApiKeyId, Invalid, Scope, Timestamp};
use hookpost_store::Order;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::api_key::{NewApiKey, new_api_key};
use crate::auth::last_use::last_use_of;
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, Json, NoContent, Path, Query};
use crate::page::{self, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::api_token::is_of_people;
use crate::v1::{self, Time};

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ApiKeyPath {
    /// The id of the key (`key_…`), not the key itself.
    key_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyIn {
    /// What the key is for, for people.
    #[schemars(length(min = 1, max = 256))]
    name: String,
    /// `manage`, if not given.
    scopes: Option<Vec<ApiKeyScope>>,
    /// When the key stops working; never, if not given.
    #[schemars(with = "Option<Time>")]
    expires_at: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ApiKeyScope {
    /// Everything: keys, portal access and signing secrets included.
    Admin,
    /// Everything but those.
    Manage,
    /// Creating messages.
    Send,
    /// Reading, without secrets.
    Read,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyOut {
    id: String,
    name: String,
    scopes: Vec<ApiKeyScope>,
    /// The first characters of the key.
    hint: String,
    expires_at: Option<Time>,
    created_at: Time,
    /// To the minute.
    last_used_at: Option<Time>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewApiKeyOut {
    /// The key itself. It cannot be shown again.
    key: String,
    #[serde(flatten)]
    rest: ApiKeyOut,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
}

pub(crate) async fn list(State(api): State<Api>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Page<ApiKeyOut>>, Problem> {
    let org = caller.org(Right::Admin)?;
    let page = page::request::<ApiKeyKind>(api.store.public_ids(), query.limit, query.iterator.as_deref(), Order::Ascending)?;
    let Some(page) = page else { return Ok(Json(Page::empty())) };
    let listed = api.store.api_keys(Some(org), page).await?;
    // The page was cut before those of integrations and pollers are left out, so its ends are those of what the store gave.
    let id_of = |key: Option<&ApiKey>| key.map(|key| api.public(key.id));
    let (first, last) = (id_of(listed.items.first()), id_of(listed.items.last()));
    let mut data = Vec::new();
    for key in listed.items.iter().filter(|key| is_of_people(key)) {
        data.push(ApiKeyOut::new(&api, key, last_use_of(&api, key.id).await?));
    }
    Ok(Json(Page { data, iterator: last, prev_iterator: first.map(|first| format!("-{first}")), done: listed.done }))
}

pub(crate) async fn create(State(api): State<Api>, caller: Caller, Body(input): Body<ApiKeyIn>) -> Result<Created<NewApiKeyOut>, Problem> {
    let org = caller.org(Right::Admin)?;
    let now = api.now();
    let (name, scopes, expires_at) = input.parse(now)?;
    let new = NewApiKey { org: org.clone(), name, scopes, reach: KeyReach::Organization, expires_at };
    let (text, key) = new_api_key(new, api.store.new_row_id(now), &*api.entropy, now);
    let out = NewApiKeyOut { key: text, rest: ApiKeyOut::new(&api, &key, None) };
    api.store.create_api_key(key).await?;
    Ok(Created(out))
}

pub(crate) async fn revoke(State(api): State<Api>, caller: Caller, Path(path): Path<ApiKeyPath>) -> Result<NoContent, Problem> {
    let org = caller.org(Right::Admin)?;
    let id: ApiKeyId = api.store.public_ids().decode(&path.key_id).ok_or(Problem::NOT_FOUND)?;
    api.store.api_key(org, id).await?.filter(is_of_people).ok_or(Problem::NOT_FOUND)?;
    api.store.delete_api_key(Some(org), id).await?;
    Ok(NoContent)
}

impl ApiKeyIn {
    fn parse(self, now: Timestamp) -> Result<(String, Vec<Scope>, Option<Timestamp>), Problem> {
        let mut wrong = Wrong::in_body();
        if self.name.is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            wrong.add("name", format!("must be 1 to {NAME_CHARS_MAX} characters long"));
        }
        let scopes = self.scopes.unwrap_or_else(|| vec![ApiKeyScope::Manage]);
        if scopes.is_empty() {
            wrong.add("scopes", "must not be empty: a key without scopes opens nothing");
        }
        let expires_at = wrong.optional("expiresAt", self.expires_at, |text| match v1::time(text)? {
            past if past <= now => Err(Invalid::new("must be in the future")),
            future => Ok(future),
        });
        wrong.nothing()?;
        Ok((self.name, scopes.into_iter().map(Scope::from).collect(), expires_at))
    }
}

impl ApiKeyOut {
    fn new(api: &Api, key: &ApiKey, last_used_at: Option<Timestamp>) -> Self {
        Self {
            id: api.public(key.id),
            name: key.name.clone(),
            scopes: key.scopes.iter().copied().map(ApiKeyScope::from).collect(),
            hint: key.hint.clone(),
            expires_at: key.expires_at.map(Time),
            created_at: Time(key.created_at),
            last_used_at: last_used_at.map(Time),
        }
    }
}

impl From<ApiKeyScope> for Scope {
    fn from(scope: ApiKeyScope) -> Self {
        match scope {
            ApiKeyScope::Admin => Self::Admin,
            ApiKeyScope::Manage => Self::Manage,
            ApiKeyScope::Send => Self::Send,
            ApiKeyScope::Read => Self::Read,
        }
    }
}

impl From<Scope> for ApiKeyScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Admin => Self::Admin,
            Scope::Manage => Self::Manage,
            Scope::Send => Self::Send,
            Scope::Read => Self::Read,
        }
    }
}
