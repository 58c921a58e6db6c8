//! Keys of any tenant, straight in the store: asked for over the control socket, or by a command while no server runs.

use std::time::Duration;

use hookpost_api::{NewApiKey, new_api_key};
use hookpost_domain::access::{KeyReach, Scope};
use hookpost_domain::{ApiKey, Clock as _, OrgId, Timestamp};
use hookpost_store::{Order, PageRequest, Store, WriteError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Problem;
use crate::outside::{SystemClock, SystemEntropy};

const KEYS_PER_PAGE: usize = 250;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyRequest {
    Create {
        org: OrgId,
        name: String,
        scopes: Vec<Scope>,
        expires_in: Option<Duration>,
    },
    /// Without an organization: of all.
    List {
        org: Option<OrgId>,
    },
    Revoke {
        org: Option<OrgId>,
        id: String,
    },
}

/// Answers as the HTTP API does.
pub(crate) async fn answer(store: &dyn Store, request: KeyRequest) -> Result<Value, Problem> {
    match request {
        KeyRequest::Create { org, name, scopes, expires_in } => create(store, org, name, scopes, expires_in).await,
        KeyRequest::List { org } => list(store, org.as_ref()).await,
        KeyRequest::Revoke { org, id } => revoke(store, org.as_ref(), &id).await,
    }
}

async fn create(store: &dyn Store, org: OrgId, name: String, scopes: Vec<Scope>, expires_in: Option<Duration>) -> Result<Value, Problem> {
    let now = SystemClock.now();
    let new = NewApiKey { org, name, scopes, reach: KeyReach::Organization, expires_at: expires_in.map(|duration| now + duration) };
    let (text, key) = new_api_key(new, store.new_row_id(now), &SystemEntropy, now);
    let mut shown = shown(store, &key);
    store.create_api_key(key).await.map_err(failed)?;
    shown["key"] = Value::from(text);
    Ok(shown)
}

async fn list(store: &dyn Store, org: Option<&OrgId>) -> Result<Value, Problem> {
    let mut shown_keys = Vec::new();
    let mut page = PageRequest::first(KEYS_PER_PAGE, Order::Ascending);
    loop {
        let keys = store.api_keys(org, page.clone()).await.map_err(failed)?;
        shown_keys.extend(keys.items.iter().map(|key| shown(store, key)));
        match keys.items.last() {
            Some(last) if !keys.done => page.cursor = Some(hookpost_store::Cursor::After(last.id)),
            _ => return Ok(json!({"data": shown_keys, "done": true})),
        }
    }
}

async fn revoke(store: &dyn Store, org: Option<&OrgId>, id: &str) -> Result<Value, Problem> {
    let not_found = || Problem { not_found: true, message: format!("there is no key {id}") };
    let key = store.public_ids().decode(id).ok_or_else(not_found)?;
    match store.delete_api_key(org, key).await {
        Ok(()) => Ok(Value::Null),
        Err(WriteError::NotFound) => Err(not_found()),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem { not_found: false, message: error.to_string() }
}

/// A key as the API writes it; the key itself is not part of it.
fn shown(store: &dyn Store, key: &ApiKey) -> Value {
    json!({
        "id": store.public_ids().encode(key.id),
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "orgId": key.org.as_str(),
        "expiresAt": key.expires_at.as_ref().map(Timestamp::to_string),
        "createdAt": key.created_at.to_string(),
    })
}
