//! The receiver of `hookpost dev`: a path on the same listener that verifies what it gets, as a receiver should, and shows it in one line.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use console::style;
use hookpost_domain::Clock as _;
use hookpost_domain::signature::{SignatureProblem, VerificationKey};
use http::{HeaderMap, Method, StatusCode};
use parking_lot::RwLock;

use super::demo::{APP, ENDPOINT, LocalApi};
use crate::client::path;
use crate::commands::why::excerpt;
use crate::output;
use crate::outside::SystemClock;

pub(crate) const PATH: &str = "/dev/receiver";
/// As receivers are told to choose it.
const TOLERANCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub(crate) struct Receiver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The API of this process: for the secret, as any receiver's owner would look it up, and for what stands in no header.
    api: Router,
    key: String,
    verification: RwLock<Option<VerificationKey>>,
}

impl Receiver {
    pub(crate) fn new(api: Router, key: String) -> Self {
        Self(Arc::new(Inner { api, key, verification: RwLock::new(None) }))
    }

    /// The router of the server with the receiver beside it.
    pub(crate) fn beside(self, server: Router) -> Router {
        Router::new().route(PATH, post(receive)).with_state(self).fallback_service(server)
    }

    /// Verifies with the secret that is known; if it does not fit, with the one of now: it may have been rotated.
    async fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let now = SystemClock.now();
        let known = self.0.verification.read().clone();
        if let Some(known) = known {
            match known.verify(headers, body, now, TOLERANCE) {
                Ok(_) => return Ok(()),
                Err(SignatureProblem::Mismatch | SignatureProblem::NoSignature(_)) => {}
                Err(problem) => return Err(problem.to_string()),
            }
        }
        let api = LocalApi { router: &self.0.api, key: &self.0.key };
        let secret = api.call(Method::GET, &path("/app/{}/endpoint/{}/secret", &[APP, ENDPOINT]), None).await;
        let secret = secret.map_err(|error| format!("cannot get the secret: {error:#}"))?;
        let fresh = VerificationKey::parse(secret["key"].as_str().unwrap_or_default()).map_err(|rule| format!("the secret {rule}"))?;
        let verdict = fresh.verify(headers, body, now, TOLERANCE).map(drop).map_err(|problem| problem.to_string());
        *self.0.verification.write() = Some(fresh);
        verdict
    }

    /// The event type stands in no header of a webhook; a real receiver has it in its payload.
    async fn event_type(&self, message: &str) -> Option<String> {
        let api = LocalApi { router: &self.0.api, key: &self.0.key };
        let message = api.call(Method::GET, &format!("{}?with_content=false", path("/app/{}/msg/{}", &[APP, message])), None).await.ok()?;
        message["eventType"].as_str().map(str::to_owned)
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let verdict = receiver.verify(&headers, &body).await;
    let id = headers.get("webhook-id").or_else(|| headers.get("svix-id")).and_then(|id| id.to_str().ok()).unwrap_or("(no id)");
    let event_type = receiver.event_type(id).await.unwrap_or_else(|| "?".to_owned());
    let shown = match &verdict {
        Ok(()) => style("✓ signature ok".to_owned()).green(),
        Err(problem) => style(format!("✗ {problem}")).red(),
    };
    // Where nobody reads any more there is nobody to tell.
    let _ = output::print_line(format_args!(
        "  {}  {}  {id}  {shown}  {}",
        style(clock_time()).dim(),
        style(event_type).bold(),
        excerpt(&String::from_utf8_lossy(&body)),
    ));
    match verdict {
        Ok(()) => (StatusCode::OK, "received"),
        Err(_) => (StatusCode::BAD_REQUEST, "the signature is not valid"),
    }
}

/// Hours to milliseconds, UTC.
fn clock_time() -> String {
    let now = SystemClock.now().to_string();
    now.get(11..23).unwrap_or(&now).to_owned()
}
