//! What a user writes down about a provider: secrets, URLs, tolerances, and the knobs of the generic schemes.
//!
//! These are the words as they were written. They are read and checked once, by [`Verifier::new`](crate::Verifier::new), which
//! names the field and the rule if one does not fit. Nothing here ever shows a secret in its `Debug`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A secret as it was pasted. It is serialised as it is, and never shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for those who make keys of it or store it sealed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(…)" })
    }
}

/// The settings of one receiver. Unknown fields are refused, so that a misspelt one is not silently without effect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Only this scheme of the provider; without it, every scheme that the settings suffice for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The secret, token, public key or `user:password` that the provider shows or asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The second of two, where a provider has two at the same time (Box), and during a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_secondary: Option<Secret>,
    /// Further secrets that are valid too, for as long as a rotation takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// For signing where the receiver holds a public key only: the private key (PKCS#8 PEM, `whsk_…`, or the hex of an ed25519 seed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// The word agreed on for the handshake of Meta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_token: Option<Secret>,
    /// The URL as registered with the provider, where that is what it signs (Square); otherwise the URL of the request is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_url: Option<String>,
    /// The same for Trello, which calls it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Certificates (PEM) by the URL that requests name them by (PayPal).
    #[serde(alias = "certs", skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
    /// Origins that may ask for deliveries by the handshake of CloudEvents; `*` is everyone. Empty: everyone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// How many seconds the timestamp of a request may be away; without it, what the provider documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u64>,
    /// The header of the timestamp, where its name is chosen by the operator (Grafana).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    #[serde(skip_serializing_if = "Config::is_empty")]
    pub config: Config,
}

/// The knobs of the generic schemes, and of providers whose operator chooses a header.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The header of the signature or token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Where an API key is.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The header or query parameter of an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The word before a token, such as `Bearer`; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// `sha1`, `sha256`, `sha384`, `sha512`; of a JWT `HS256`, `RS256`, `PS256`, `ES256`, `EdDSA` and their like; of ECDSA `p256`, `p384`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// `hex`, `base64` or `base64url`: how the signature is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// What stands before the signature, such as `sha256=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `utf8`, `hex` or `base64`: how the secret is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_encoding: Option<String>,
    /// What is signed, such as `{timestamp}.{body}`; also `{method}`, `{url}`, `{header:x-id}`, `{$.path.in.the.body}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// `s`, `ms` or `rfc3339`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_unit: Option<String>,
    /// As the field of the same name in [`Settings`], which comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u64>,
    /// What separates the elements of a signature header like `t=1767323045,v1=…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// The name of the elements that are signatures, such as `v1`; there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// The name of the element that is the timestamp, such as `t`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_element: Option<String>,
    /// Where the event id is: `header:x-id`, `$.data.id`, `form:id`, `query:id`; alternatives are separated by `|`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Where the event type is, in the same way; `{$.object}.{$.action}` composes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Addresses and networks that may send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// The `iss` that a JWT must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The `aud` that a JWT must have, or several of which one must be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<OneOrMany>,
    /// Claims that a JWT must have; without this, `exp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Vec<String>>,
    /// How many seconds `exp`, `nbf` and `iat` of a JWT may be off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leeway: Option<u64>,
    /// A JSON Web Key Set, `{"keys": […]}`; the key is chosen by its `kid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<KeySet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Header,
    Query,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A JSON Web Key Set as it was written. It may hold symmetric keys, so `Debug` does not show it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySet(pub serde_json::Value);

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySet(…)")
    }
}

/// Which field of the settings does not fit, and the rule it breaks. Never quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {rule}")]
pub struct SettingsError {
    pub field: &'static str,
    pub rule: String,
}

impl SettingsError {
    pub(crate) fn new(field: &'static str, rule: impl Into<String>) -> Self {
        Self { field, rule: rule.into() }
    }
}

impl Settings {
    /// The names of all fields, for those who find them among others.
    pub const FIELDS: [&'static str; 14] = [
        "scheme",
        "secret",
        "secret_secondary",
        "secrets",
        "private_key",
        "verify_token",
        "notification_url",
        "callback_url",
        "certificates",
        "certs",
        "allowed_origins",
        "tolerance",
        "timestamp_header",
        "config",
    ];

    /// Settings with nothing but a secret: enough for most providers.
    pub fn with_secret(secret: impl Into<String>) -> Self {
        Self { secret: Some(Secret::new(secret)), ..Self::default() }
    }

    /// The live secrets, the current one first; empty ones are none.
    pub(crate) fn live_secrets(&self) -> Vec<&str> {
        let all = self.secret.iter().chain(&self.secret_secondary).chain(&self.secrets);
        all.map(Secret::reveal).filter(|secret| !secret.is_empty()).collect()
    }

    pub(crate) fn required_secrets(&self) -> Result<Vec<&str>, SettingsError> {
        let secrets = self.live_secrets();
        if secrets.is_empty() {
            return Err(SettingsError::new("secret", "is missing: without it nothing can be verified"));
        }
        Ok(secrets)
    }
}

impl Config {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
