//! The demo application with its event types and endpoint, made through the API as any user would make them, and found again after a restart.

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use hookpost_api::{NewApiKey, new_api_key};
use hookpost_domain::access::{KeyReach, Scope};
use hookpost_domain::{Clock as _, OrgId};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::files::DevFiles;
use super::receiver;
use crate::client::path;
use crate::outside::{SystemClock, SystemEntropy};
use crate::wiring::Parts;

pub(crate) const APP: &str = "demo";
pub(crate) const ENDPOINT: &str = "demo-receiver";
const KEY_NAME: &str = "hookpost dev";
const EVENT_TYPES: &[(&str, &str)] = &[("invoice.paid", "An invoice was paid"), ("user.created", "A user signed up")];

/// The key of the last time if the store still has it, else a new one.
pub(crate) async fn ensure_key(parts: &Parts, files: &DevFiles) -> anyhow::Result<String> {
    if let Some(key) = files.read_key() {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        let hash = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        if parts.store.api_key_by_hash(hash).await?.is_some() {
            return Ok(key);
        }
    }
    let now = SystemClock.now();
    let new = NewApiKey {
        org: OrgId::parse(OrgId::DEFAULT).expect("the default organization has the right form"),
        name: KEY_NAME.to_owned(),
        scopes: vec![Scope::Admin],
        reach: KeyReach::Organization,
        expires_at: None,
    };
    let (text, key) = new_api_key(new, parts.store.new_row_id(now), &SystemEntropy, now);
    parts.store.create_api_key(key).await?;
    files.write_key(&text).context("cannot keep the key")?;
    Ok(text)
}

pub(crate) async fn ensure(router: &Router, key: &str, url: &str) -> anyhow::Result<()> {
    let api = LocalApi { router, key };
    api.call(Method::POST, "/api/v1/app?get_if_exists=true", Some(json!({"name": "Demo", "uid": APP}))).await?;
    for (name, description) in EVENT_TYPES {
        let wanted = json!({"name": name, "description": description});
        api.call_unless(StatusCode::CONFLICT, Method::POST, "/api/v1/event-type", Some(wanted)).await?;
    }
    let receiver_url = format!("{url}{}", receiver::PATH);
    let endpoint_path = path("/app/{}/endpoint/{}", &[APP, ENDPOINT]);
    match api.call_unless(StatusCode::NOT_FOUND, Method::GET, &endpoint_path, None).await? {
        Some(endpoint) if endpoint["url"] == receiver_url.as_str() => {}
        // It listens elsewhere this time.
        Some(_) => {
            api.call(Method::PATCH, &endpoint_path, Some(json!({"url": receiver_url}))).await?;
        }
        None => {
            let wanted = json!({"url": receiver_url, "uid": ENDPOINT, "description": "The receiver of `hookpost dev`: shows what arrives"});
            api.call(Method::POST, &path("/app/{}/endpoint", &[APP]), Some(wanted)).await?;
        }
    }
    Ok(())
}

/// Asks the API of this process without a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalApi<'a> {
    pub(crate) router: &'a Router,
    pub(crate) key: &'a str,
}

impl LocalApi<'_> {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(&method, path, body).await?;
        if !status.is_success() {
            bail!("{method} {path} was answered with {status}: {answer}");
        }
        Ok(answer)
    }

    /// `None` where the answer is `expected`.
    async fn call_unless(&self, expected: StatusCode, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Option<Value>> {
        let (status, answer) = self.ask(&method, path, body).await?;
        match status {
            status if status.is_success() => Ok(Some(answer)),
            status if status == expected => Ok(None),
            status => bail!("{method} {path} was answered with {status}: {answer}"),
        }
    }

    async fn ask(&self, method: &Method, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}
