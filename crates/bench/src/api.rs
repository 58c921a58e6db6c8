//! The little of the server's API that the bench needs, blocking.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use ring::hmac;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::entrance::Place;
use crate::http::Connection;
use crate::sink::SECRET;

pub(crate) const JWT_SECRET: &str = "a secret for benches, known to everyone";
const ORGANIZATION: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";

pub(crate) struct Api {
    runtime: Runtime,
    address: SocketAddr,
    connection: Option<Connection>,
    authorization: HeaderValue,
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, address, connection: None, authorization: authorization()? })
    }

    pub(crate) fn is_up(&mut self) -> bool {
        matches!(self.exchange(Method::GET, "/api/v1/health/ping", Bytes::new()), Ok((StatusCode::NO_CONTENT, _)))
    }

    pub(crate) fn create_application(&mut self, uid: &str) -> Result<()> {
        self.post("/api/v1/app/", &json!({ "name": uid, "uid": uid })).map(drop)
    }

    /// It has the secret that the sink knows.
    pub(crate) fn create_endpoint(&mut self, application: &str, url: &str) -> Result<()> {
        self.post(&format!("/api/v1/app/{application}/endpoint/"), &json!({ "url": url, "secret": SECRET })).map(drop)
    }

    /// A source that takes what GitHub signs with the secret. Whatever host the server calls itself, it is this one that is asked.
    pub(crate) fn create_source(&mut self, uid: &str, secret: &str) -> Result<Place> {
        let body = json!({ "name": uid, "uid": uid, "type": "github", "config": { "secret": secret } });
        let source = self.post("/ingest/api/v1/source", &body)?;
        let text = |field: &str| source[field].as_str().with_context(|| format!("the source has no {field}"));
        let url: Uri = text("ingestUrl")?.parse().context("the URL of the source")?;
        Ok(Place { uri: url.path().parse()?, application: text("applicationId")?.to_owned() })
    }

    pub(crate) fn create_endpoint_of_source(&mut self, source: &str, url: &str) -> Result<()> {
        self.post(&format!("/ingest/api/v1/source/{source}/endpoint"), &json!({ "url": url, "secret": SECRET })).map(drop)
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        let (status, body) = self.exchange(Method::GET, path, Bytes::new())?;
        ensure!(status.is_success(), "GET {path} was answered with {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| format!("the answer to GET {path}"))
    }

    fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let (status, body) = self.exchange(Method::POST, path, body.to_string().into())?;
        ensure!(status.is_success(), "POST {path} was answered with {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| format!("the answer to POST {path}"))
    }

    fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse::<Uri>()?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&self.address.to_string())?);
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (connection, address) = (self.connection.take(), self.address);
        let (answer, connection) = self.runtime.block_on(async move {
            let mut connection = match connection {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let answer = connection.send(request).await?;
            anyhow::Ok((answer, connection))
        })?;
        self.connection = connection.is_open().then_some(connection);
        Ok(answer)
    }
}

/// `Bearer` and a token for the organization, valid for a week.
pub(crate) fn authorization() -> Result<HeaderValue> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
    let claims = json!({ "sub": ORGANIZATION, "iss": "hookpost-bench", "iat": now, "nbf": now - 60, "exp": now + 7 * 24 * 3600 });
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, JWT_SECRET.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    let mut value = HeaderValue::from_str(&format!("Bearer {signed}.{tag}"))?;
    value.set_sensitive(true);
    Ok(value)
}
