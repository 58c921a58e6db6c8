//! JSON Web Tokens in a header: signature, and claims that say for whom and until when.
//!
//! The algorithm is pinned by the settings or the kind of key, never taken from the token, so that a public key cannot be used
//! as an HMAC secret and `none` is nothing. A JWT does not cover the body.

use std::borrow::Cow;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use smallvec::smallvec;

use crate::encoding::Encoding;
use crate::keys::{PrivateKey, Text, VerifyingKey};
use crate::location::header_name;
use crate::request::{Request, SignedRequest};
use crate::schemes::token::after_word;
use crate::schemes::{Proof, needs_private_key};
use crate::settings::{OneOrMany, Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

mod claims;
mod key_set;
mod qsh;

use claims::Expectations;
use key_set::{JwtAlgorithm, Keys};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything from the settings.
    Configured,
    /// Atlassian Connect: the claim `qsh` is a hash of method, path and query.
    Connect,
    /// monday.com: the bare token in `Authorization`, `aud` is the URL.
    Monday,
}

/// How long a token lives that we sign.
const SIGNED_FOR_SECONDS: u64 = 300;

impl Kind {
    pub(crate) fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Configured => &[
                "private_key",
                "secrets",
                "secret_secondary",
                "config.header",
                "config.scheme",
                "config.algorithm",
                "config.issuer",
                "config.audience",
                "config.require",
                "config.leeway",
                "config.jwks",
                "config.event_id",
                "config.event_type",
            ],
            Self::Connect | Self::Monday => &["secrets", "secret_secondary", "tolerance"],
        }
    }
}

pub(crate) struct Check {
    kind: Kind,
    header: HeaderName,
    /// `Bearer`, `JWT`, or nothing.
    word: Box<str>,
    algorithm: JwtAlgorithm,
    keys: Keys,
    private_key: Option<PrivateKey>,
    expectations: Expectations,
}

impl Check {
    pub(crate) fn new(kind: Kind, settings: &Settings) -> Result<Self, SettingsError> {
        let config = &settings.config;
        let word = match kind {
            Kind::Configured => config.scheme.as_deref().unwrap_or("Bearer").trim(),
            Kind::Connect => "JWT",
            Kind::Monday => "",
        };
        let named = |name: &str| header_name(name).map_err(|rule| SettingsError::new("config.header", rule));
        let header = config.header.as_deref().filter(|_| kind == Kind::Configured).map_or(Ok(AUTHORIZATION), named)?;
        let (algorithm, keys) = match kind {
            Kind::Configured => Keys::from_settings(settings)?,
            Kind::Connect | Kind::Monday => (JwtAlgorithm::HS256, Keys::shared(JwtAlgorithm::HS256, &settings.required_secrets()?)?),
        };
        let expectations = match kind {
            Kind::Configured => Expectations {
                issuer: config.issuer.clone(),
                audience: config.audience.as_ref().map(OneOrMany::as_slice).unwrap_or_default().to_vec(),
                require: config.require.clone().unwrap_or_else(|| vec!["exp".to_owned()]),
                leeway: config.leeway.unwrap_or(0),
                checks_issued_at: true,
            },
            Kind::Connect | Kind::Monday => Expectations::expiring(settings.tolerance.unwrap_or(0)),
        };
        let private_key = match algorithm.asymmetric() {
            Some(asymmetric) => super::private_key(asymmetric, settings)?,
            None => None,
        };
        Ok(Self { kind, header, word: word.into(), algorithm, keys, private_key, expectations })
    }

    fn token<'a>(&self, request: &Request<'a>) -> Result<&'a str, Rejection> {
        if self.word.is_empty() { request.required_header(&self.header) } else { after_word(request, &self.header, &self.word) }
    }

    fn check_claims(&self, claims: &Map<String, Value>, request: &Request<'_>, now: Timestamp) -> Result<(), Rejection> {
        self.expectations.check(claims, now)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        match self.kind {
            Kind::Configured => Ok(()),
            Kind::Connect if text("qsh") == Some(&qsh::hash(request)) => Ok(()),
            Kind::Connect => Err(bad_claims("The claim `qsh` of the token is for another method, path or query.")),
            Kind::Monday if claims.get("aud").is_none_or(|audience| audience == request.url) => Ok(()),
            Kind::Monday => Err(bad_claims("The claim `aud` of the token is another URL than this one.")),
        }
    }

    fn claims_to_sign(&self, request: &Request<'_>, id: &str, now: Timestamp) -> Value {
        let seconds = now.unix_seconds();
        let mut claims = json!({ "iat": seconds, "exp": seconds + SIGNED_FOR_SECONDS, "jti": id });
        match self.kind {
            Kind::Configured => {
                if let Some(issuer) = &self.expectations.issuer {
                    claims["iss"] = json!(issuer);
                }
                if let Some(audience) = self.expectations.audience.first() {
                    claims["aud"] = json!(audience);
                }
                for name in &self.expectations.require {
                    if claims.get(name).is_none() {
                        claims[name.as_str()] = if name == "nbf" { json!(seconds) } else { json!(id) };
                    }
                }
            }
            Kind::Connect => claims["qsh"] = json!(qsh::hash(request)),
            Kind::Monday => claims["aud"] = json!(request.url),
        }
        claims
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        self.token(request).is_ok()
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        let token = Token::read(self.token(request)?).ok_or_else(|| {
            let detail = format!("The header `{}` has no JWT: three parts in base64url, separated by dots.", self.header);
            Rejection::new(RejectionCode::MalformedHeader, detail)
        })?;
        if token.header.get("alg").and_then(Value::as_str) != Some(self.algorithm.name()) {
            let detail = format!("The token is not signed with {}, which is the only algorithm accepted here.", self.algorithm.name());
            return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
        }
        if token.header.contains_key("crit") {
            return Err(Rejection::new(
                RejectionCode::MalformedHeader,
                "The token has critical extensions (`crit`), which are not known here.",
            ));
        }
        let text: Text<'_> = smallvec![Cow::Borrowed(token.signed.as_bytes())];
        let key_id = token.header.get("kid").and_then(Value::as_str);
        let secret = self.keys.matching(key_id, |key| key.verifies(&text, &token.signature))?;
        self.check_claims(&token.claims, request, now)?;
        Ok(Proof { id: None, timestamp: claims::issued_at(&token.claims), secret })
    }

    fn sign(&self, request: &mut SignedRequest, id: &str, now: Timestamp) -> Result<(), CannotSign> {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(key_id) = self.keys.first_id() {
            header["kid"] = json!(key_id);
        }
        let claims = self.claims_to_sign(&request.as_request(), id, now);
        let [header, claims] = [header, claims].map(|part| Encoding::Base64Url.encode(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let text: Text<'_> = smallvec![Cow::Borrowed(signed.as_bytes())];
        let signature = match &self.private_key {
            Some(key) => key.sign(&text)?,
            None => self.keys.first().and_then(|key: &VerifyingKey| key.code(&text)).ok_or_else(needs_private_key)?.to_vec(),
        };
        let token = format!("{signed}.{}", Encoding::Base64Url.encode(&signature));
        let value = if self.word.is_empty() { token } else { format!("{} {token}", self.word) };
        request.set_header(&self.header, &value);
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![self.header.clone()]
    }

    fn signs_url(&self) -> bool {
        self.kind != Kind::Configured
    }
}

/// A token taken apart, and nothing of it believed yet.
struct Token<'a> {
    signed: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| serde_json::from_slice::<Map<String, Value>>(&Encoding::Base64Url.decode(part)?).ok();
        Some(Self { signed, header: object(header)?, claims: object(claims)?, signature: Encoding::Base64Url.decode(signature)?.to_vec() })
    }
}

fn bad_claims(detail: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::BadClaims, detail)
}
