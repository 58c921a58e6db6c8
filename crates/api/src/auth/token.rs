//! From the `Authorization` header to a [`Principal`]: opaque API keys (what they open is said in `key.rs`), and signed tokens (JWT, HS256) whose
//! subject is a tenant, an application or a stream.
//!
//! Verified tokens are remembered by their hash, because every message asks. What is remembered holds while the catalogue stays as it was; after any
//! change, keys and revocations are asked for again. Tokens themselves are never kept nor logged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookpost_domain::access::{Capability, PortalSession, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, StreamKind};
use hookpost_domain::{ApplicationId, OrgId, Principal, Scope, StreamId, Timestamp};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::auth::last_use::LastUse;
use crate::auth::{api_key, key};
use crate::problem::Problem;
use crate::state::Api;

/// Verified tokens that are remembered.
const TOKENS_REMEMBERED_MAX: usize = 10_000;
/// How far the clock of whoever signs may be ahead of ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
const ORG_TOKEN_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const ISSUER: &str = "hookpost";

/// The secret that tokens are signed with.
#[derive(Clone)]
pub struct TokenSecret {
    decoding: DecodingKey,
    encoding: EncodingKey,
}

impl TokenSecret {
    pub fn new(secret: &[u8]) -> Self {
        Self { decoding: DecodingKey::from_secret(secret), encoding: EncodingKey::from_secret(secret) }
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// A token that gives all rights of a tenant, for ten years: what migrating users have, and what `hookpost token` prints.
pub fn org_token(secret: &TokenSecret, org: &OrgId, now: Timestamp) -> String {
    sign(secret, &Claims::new(org.as_str(), now, now + ORG_TOKEN_LIFE))
}

/// What a token says. Everything after `sub` is only in tokens of applications and streams.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    #[serde(default)]
    pub(crate) nbf: u64,
    #[serde(default)]
    pub(crate) iss: String,
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) feature_flags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capabilities: Option<Vec<Capability>>,
    /// Milliseconds of `iat`, so that revoking and issuing within a second keep their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) iat_ms: Option<u64>,
}

impl Claims {
    pub(crate) fn new(subject: &str, now: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            iat: now.unix_seconds(),
            exp: expires_at.unix_seconds(),
            nbf: now.unix_seconds(),
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            org: None,
            feature_flags: Vec::new(),
            jti: None,
            session_id: None,
            read_only: false,
            capabilities: None,
            iat_ms: Some(now.unix_ms()),
        }
    }
}

pub(crate) fn sign(secret: &TokenSecret, claims: &Claims) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &secret.encoding).expect("claims are JSON and HMAC takes any key")
}

/// A verified token, as it is remembered.
#[derive(Debug, Clone)]
struct Verified {
    principal: Arc<Principal>,
    expires_at: Option<Timestamp>,
    /// The catalogue as it was when keys and revocations were last asked for.
    catalog_version: u64,
    /// Of a key.
    last_use: Option<Arc<LastUse>>,
}

#[derive(Debug)]
pub(crate) struct TokenCache(quick_cache::sync::Cache<[u8; 32], Verified>);

impl TokenCache {
    pub(crate) fn new() -> Self {
        Self(quick_cache::sync::Cache::new(TOKENS_REMEMBERED_MAX))
    }
}

pub(crate) async fn verify(api: &Api, headers: &HeaderMap) -> Result<Arc<Principal>, Problem> {
    let token = bearer(headers).ok_or(Problem::Unauthenticated)?;
    let hash = api_key::hash(token);
    let now = api.now();
    // Read before the catalogue is asked: a change in between makes the memory stale, not wrong.
    let catalog_version = api.store.version();
    let known = api.tokens.0.get(&hash);
    let mut verified = match known {
        Some(known) if known.expires_at.is_some_and(|end| end <= now) => {
            api.tokens.0.remove(&hash);
            return Err(Problem::Unauthenticated);
        }
        Some(known) if known.catalog_version == catalog_version => {
            note_use(api, &known, now);
            return Ok(known.principal);
        }
        // The signature of a token stays good; only keys can be replaced or deleted.
        Some(known) if token.starts_with(api_key::PREFIX) => {
            let verified = verify_key(api, hash, now, catalog_version).await.inspect_err(|_| drop(api.tokens.0.remove(&hash)))?;
            Verified { last_use: known.last_use, ..verified }
        }
        Some(known) => Verified { catalog_version, ..known },
        None if token.starts_with(api_key::PREFIX) => verify_key(api, hash, now, catalog_version).await?,
        None => verify_signed(api, token, now, catalog_version)?,
    };
    if let Some(end) = refuse_revoked(api, &verified.principal, now).await? {
        verified.expires_at = Some(verified.expires_at.map_or(end, |own| own.min(end)));
    }
    note_use(api, &verified, now);
    let principal = Arc::clone(&verified.principal);
    api.tokens.0.insert(hash, verified);
    Ok(principal)
}

fn note_use(api: &Api, verified: &Verified, now: Timestamp) {
    if let Some(last_use) = &verified.last_use {
        last_use.note(api, now);
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

async fn verify_key(api: &Api, hash: [u8; 32], now: Timestamp, catalog_version: u64) -> Result<Verified, Problem> {
    let found = api.store.api_key_by_hash(hash).await?.ok_or(Problem::Unauthenticated)?;
    let (principal, expires_at) = key::open(api, &found).await?.ok_or(Problem::Unauthenticated)?;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::Unauthenticated);
    }
    let last_use = Some(Arc::new(LastUse::of(found.id)));
    Ok(Verified { principal: Arc::new(principal), expires_at, catalog_version, last_use })
}

fn verify_signed(api: &Api, token: &str, now: Timestamp, catalog_version: u64) -> Result<Verified, Problem> {
    // Times are judged here, by our own clock.
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(token, &api.settings.token_secret.decoding, &validation)
        .map_err(|_| Problem::Unauthenticated)?
        .claims;
    let expires_at = Timestamp::from_unix_ms(claims.exp.saturating_mul(1000));
    if expires_at <= now || claims.nbf > (now + CLOCK_SKEW_MAX).unix_seconds() {
        return Err(Problem::Unauthenticated);
    }
    let principal = principal_of(api, token, claims)?;
    Ok(Verified { principal: Arc::new(principal), expires_at: Some(expires_at), catalog_version, last_use: None })
}

fn principal_of(api: &Api, token: &str, claims: Claims) -> Result<Principal, Problem> {
    let bad = |detail: &str| Problem::bad_request("bad_token", detail);
    if claims.sub.starts_with("org_") {
        let org = OrgId::parse(&claims.sub).map_err(|_| bad("The subject of the token is not an organization id."))?;
        return Ok(Principal::Org { org, scopes: vec![Scope::Admin], key: None });
    }
    let ids = api.store.public_ids();
    let subject = match claims.sub.split_once('_') {
        Some(("app", _)) => ids.decode::<ApplicationKind>(&claims.sub).map(Subject::Application),
        Some(("strm", _)) => ids.decode::<StreamKind>(&claims.sub).map(Subject::Stream),
        _ => return Err(bad("The subject of the token must be an `org_…`, `app_…` or `strm_…` id.")),
    };
    let org = claims.org.as_deref().and_then(|org| OrgId::parse(org).ok()).ok_or_else(|| bad("The token names no organization."))?;
    let session = PortalSession {
        // A token from elsewhere may have no id; its own hash names it as well.
        token_id: Some(claims.jti.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(api_key::hash(token)))),
        session_id: claims.session_id,
        feature_flags: claims.feature_flags,
        read_only: claims.read_only,
        capabilities: claims.capabilities,
        key: None,
        expires_at: Timestamp::from_unix_ms(claims.exp.saturating_mul(1000)),
        issued_at: Timestamp::from_unix_ms(claims.iat_ms.unwrap_or_else(|| claims.iat.saturating_mul(1000))),
    };
    match subject.ok_or(Problem::Unauthenticated)? {
        Subject::Application(application) => Ok(Principal::Application { org, application, session }),
        Subject::Stream(stream) => Ok(Principal::Stream { org, stream, session }),
    }
}

/// What a portal token is for.
enum Subject {
    Application(ApplicationId),
    Stream(StreamId),
}

/// Says when the token will be revoked, where that is known already.
async fn refuse_revoked(api: &Api, principal: &Principal, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let (session, whole) = match principal {
        Principal::Application { application, session, .. } => (session, RevocationTarget::Application(*application)),
        Principal::Stream { stream, session, .. } => (session, RevocationTarget::Stream(*stream)),
        Principal::Org { .. } | Principal::Sender { .. } | Principal::Poller { .. } => return Ok(None),
    };
    // The key of an integration is no session that somebody could end.
    if session.key.is_some() {
        return Ok(None);
    }
    let targets = [
        session.token_id.clone().map(RevocationTarget::Token),
        session.session_id.clone().and_then(|session| session_target(principal, session)),
        Some(whole),
    ];
    let mut end = None;
    for target in targets.into_iter().flatten() {
        match api.store.revoked_at(&target).await?.filter(|at| session.issued_at <= *at) {
            Some(at) if at <= now => return Err(Problem::Unauthenticated),
            Some(at) => end = Some(end.map_or(at, |earlier: Timestamp| earlier.min(at))),
            None => {}
        }
    }
    Ok(end)
}

fn session_target(principal: &Principal, session: String) -> Option<RevocationTarget> {
    match principal {
        Principal::Application { application, .. } => Some(RevocationTarget::Session(*application, session)),
        Principal::Stream { stream, .. } => Some(RevocationTarget::StreamSession(*stream, session)),
        Principal::Org { .. } | Principal::Sender { .. } | Principal::Poller { .. } => None,
    }
}
