//! Integrations: third parties that act for one application as its portal does, each with a key of its own.
//!
//! The integration names the one key that is good, so a rotation is one change, and without the integration no key opens anything.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use hookpost_domain::access::{KeyReach, KeyText, ShownKey};
use hookpost_domain::id::IntegrationKind;
use hookpost_domain::limits::NAME_CHARS_MAX;
use hookpost_domain::{ApiKey, ApiKeyId, ApplicationId, Integration, IntegrationId, OrgId, Uid};
use hookpost_store::{Named, Order, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::api_key::{NewApiKey, new_api_key};
use crate::auth::{Caller, Right};
use crate::extract::{Body, Created, Json, NoContent, Path, Query};
use crate::page::{self, ListQuery, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::application::ApplicationPath;

const FEATURE_FLAGS_MAX: usize = 25;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct IntegrationPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id of the integration.
    integ_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntegrationIn {
    /// A name for people.
    #[schemars(length(max = 256))]
    name: String,
    /// Event types with one of these flags are visible to the integration.
    #[schemars(length(max = 25))]
    feature_flags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntegrationUpdate {
    /// A name for people.
    #[schemars(length(max = 256))]
    name: String,
    /// Event types with one of these flags are visible to the integration.
    #[schemars(length(max = 25))]
    feature_flags: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntegrationOut {
    id: String,
    name: String,
    feature_flags: Vec<String>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IntegrationKeyOut {
    key: String,
}

pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<IntegrationOut>>, Problem> {
    let application = &caller.application(&api, &path.app_id, Right::Read).await?.application;
    let page = query.request::<IntegrationKind>(api.store.public_ids(), Order::Descending)?;
    let Some(page) = page.map(page::of_rows) else { return Ok(Json(Page::empty())) };
    let listed = api.store.list::<Integration>(&application.org, application.id.row(), page).await?;
    let items = listed.items.iter().map(|integration| (api.public(integration.id), IntegrationOut::new(&api, integration)));
    Ok(Json(Page::new(items, listed.done)))
}

pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Body(input): Body<IntegrationIn>,
) -> Result<Created<IntegrationOut>, Problem> {
    let (name, feature_flags) = parse(input.name, input.feature_flags)?;
    let application = &caller.application(&api, &path.app_id, Right::Manage).await?.application;
    let now = api.now();
    let id = api.new_id(now);
    let key = make_key(&api, &application.org, application.id, id, &name).await?;
    let integration = Integration {
        id,
        org: application.org.clone(),
        application: application.id,
        name,
        feature_flags,
        key,
        created_at: now,
        updated_at: now,
    };
    api.store.create(&integration).await?;
    Ok(Created(IntegrationOut::new(&api, &integration)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<IntegrationPath>,
) -> Result<Json<IntegrationOut>, Problem> {
    let integration = find(&api, &caller, &path, Right::Read).await?;
    Ok(Json(IntegrationOut::new(&api, &integration)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<IntegrationPath>,
    Body(input): Body<IntegrationUpdate>,
) -> Result<Json<IntegrationOut>, Problem> {
    let (name, feature_flags) = parse(input.name, input.feature_flags)?;
    let integration = find(&api, &caller, &path, Right::Manage).await?;
    let now = api.now();
    let change = move |integration: &mut Integration| {
        integration.name = name;
        integration.feature_flags = feature_flags;
        integration.updated_at = now;
        Ok(())
    };
    let updated = api.store.update(&integration.org, integration.application.row(), integration.id.row(), change).await?;
    Ok(Json(IntegrationOut::new(&api, &updated)))
}

pub(crate) async fn delete(State(api): State<Api>, caller: Caller, Path(path): Path<IntegrationPath>) -> Result<NoContent, Problem> {
    let integration = find(&api, &caller, &path, Right::Manage).await?;
    // With it the key opens nothing any more.
    api.store.delete::<Integration>(&integration.org, integration.application.row(), integration.id.row()).await?;
    forget_key(&api, &integration.org, integration.key.id).await?;
    Ok(NoContent)
}

pub(crate) async fn get_key(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<IntegrationPath>,
) -> Result<Json<IntegrationKeyOut>, Problem> {
    let integration = find(&api, &caller, &path, Right::Admin).await?;
    Ok(Json(IntegrationKeyOut { key: integration.key.text.0 }))
}

pub(crate) async fn rotate_key(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<IntegrationPath>,
) -> Result<Json<IntegrationKeyOut>, Problem> {
    let found = find(&api, &caller, &path, Right::Admin).await?;
    let new = make_key(&api, &found.org, found.application, found.id, &found.name).await?;
    let (out, now) = (IntegrationKeyOut { key: new.text.0.clone() }, api.now());
    // Of rotations at the same time each forgets the key that it replaced.
    let replaced = Arc::new(OnceLock::new());
    let seen = Arc::clone(&replaced);
    let change = move |integration: &mut Integration| {
        let _ = seen.set(std::mem::replace(&mut integration.key, new).id);
        integration.updated_at = now;
        Ok(())
    };
    api.store.update(&found.org, found.application.row(), found.id.row(), change).await?;
    if let Some(replaced) = replaced.get() {
        forget_key(&api, &found.org, *replaced).await?;
    }
    Ok(Json(out))
}

async fn find(api: &Api, caller: &Caller, path: &IntegrationPath, right: Right) -> Result<Integration, Problem> {
    let application = &caller.application(api, &path.app_id, right).await?.application;
    // It has no uid.
    let id: IntegrationId = api.store.public_ids().decode(&path.integ_id).ok_or(Problem::NOT_FOUND)?;
    let found = api.store.find::<Integration>(&application.org, application.id.row(), Named::Id(id.row())).await?;
    found.ok_or(Problem::NOT_FOUND)
}

async fn make_key(api: &Api, org: &OrgId, application: ApplicationId, integration: IntegrationId, name: &str) -> Result<ShownKey, Problem> {
    let now = api.now();
    let reach = KeyReach::Integration { application, integration };
    let new = NewApiKey { org: org.clone(), name: name.to_owned(), scopes: Vec::new(), reach, expires_at: None };
    let (text, key): (String, ApiKey) = new_api_key(new, api.store.new_row_id(now), &*api.entropy, now);
    let shown = ShownKey { id: key.id, text: KeyText(text), created_at: now, expires_at: None };
    api.store.create_api_key(key).await?;
    Ok(shown)
}

/// Of a key that opens nothing any more. It may be gone already.
async fn forget_key(api: &Api, org: &OrgId, key: ApiKeyId) -> Result<(), Problem> {
    match api.store.delete_api_key(Some(org), key).await {
        Ok(()) | Err(WriteError::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn parse(name: String, feature_flags: Option<Vec<String>>) -> Result<(String, Vec<String>), Problem> {
    let mut wrong = Wrong::in_body();
    if name.chars().count() > NAME_CHARS_MAX {
        wrong.add("name", format!("must be at most {NAME_CHARS_MAX} characters long"));
    }
    let flags = feature_flags.unwrap_or_default();
    if flags.len() > FEATURE_FLAGS_MAX {
        wrong.add("featureFlags", format!("must have at most {FEATURE_FLAGS_MAX} items"));
    }
    let flags = wrong.each("featureFlags", flags, |flag| Uid::parse(&flag).map(|_| flag));
    wrong.nothing().map(|()| (name, flags))
}

impl IntegrationOut {
    fn new(api: &Api, integration: &Integration) -> Self {
        Self {
            id: api.public(integration.id),
            name: integration.name.clone(),
            feature_flags: integration.feature_flags.clone(),
            created_at: Time(integration.created_at),
            updated_at: Time(integration.updated_at),
        }
    }
}
