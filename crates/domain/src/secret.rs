//! Signing secrets of endpoints: their written forms, their rotation, and that they never show up in a log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Invalid;
use crate::time::Timestamp;

/// `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519), in its written form parsed to bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningSecret {
    Hmac256(Vec<u8>),
    /// The 32 bytes of the seed and the 32 of the public key, as `whsk_` writes them.
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    #[default]
    Hmac256,
    Ed25519,
}

/// The secrets that a delivery is signed with: the current one first, then those in their grace period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecrets {
    pub current: SigningSecret,
    pub old: Vec<OldSecret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    pub secret: SigningSecret,
    pub expires_at: Timestamp,
}

impl SigningSecret {
    /// Reads `whsec_<base64>` (24 to 75 bytes) or `whsk_<base64 of 64 bytes>`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let _ = text;
        Err(Invalid::new("skeleton"))
    }

    /// `whsec_…`, or the public key as `whpk_…`: what the receiver verifies with.
    pub fn verification_key(&self) -> String {
        String::new()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac256(_) => "whsec_…",
            Self::Ed25519(_) => "whsk_…",
        })
    }
}
