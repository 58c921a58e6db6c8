//! Signing secrets of endpoints: their written forms, their rotation, and that they never show up in a log.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::environment::Entropy;
use crate::limits;
use crate::name::Invalid;
use crate::time::Timestamp;

pub(crate) const HMAC_PREFIX: &str = "whsec_";
pub(crate) const PRIVATE_PREFIX: &str = "whsk_";
pub(crate) const PUBLIC_PREFIX: &str = "whpk_";

/// Secrets are pasted with and without padding.
pub(crate) const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519), in its written form parsed to bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningSecret {
    Hmac256(Vec<u8>),
    /// What `whsk_` writes one after the other.
    Ed25519 {
        seed: [u8; 32],
        public: [u8; 32],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    #[default]
    Hmac256,
    Ed25519,
}

impl SigningSecret {
    /// Reads `whsec_<base64>` (24 to 75 bytes) or `whsk_<base64 of 64 bytes>`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(encoded) = text.strip_prefix(HMAC_PREFIX) {
            let bytes = decode(encoded)?;
            if !(limits::SECRET_BYTES_MIN..=limits::SECRET_BYTES_MAX).contains(&bytes.len()) {
                return Err(Invalid::new(format!(
                    "must be {} to {} bytes long, and has {}",
                    limits::SECRET_BYTES_MIN,
                    limits::SECRET_BYTES_MAX,
                    bytes.len()
                )));
            }
            return Ok(Self::Hmac256(bytes));
        }
        if let Some(encoded) = text.strip_prefix(PRIVATE_PREFIX) {
            let bytes = decode(encoded)?;
            let halves = bytes.split_first_chunk::<32>().and_then(|(seed, rest)| Some((*seed, <[u8; 32]>::try_from(rest).ok()?)));
            let (seed, public) = halves.ok_or_else(|| {
                Invalid::new(format!("must be the 32 bytes of an ed25519 seed and the 32 of its public key, and has {} bytes", bytes.len()))
            })?;
            Ed25519KeyPair::from_seed_and_public_key(&seed, &public)
                .map_err(|_| Invalid::new("has a public key that does not belong to its seed"))?;
            return Ok(Self::Ed25519 { seed, public });
        }
        Err(Invalid::new("invalid prefix: a signing secret starts with `whsec_` or `whsk_`"))
    }

    pub fn generate(kind: SignatureKind, entropy: &dyn Entropy) -> Self {
        match kind {
            SignatureKind::Hmac256 => {
                let mut bytes = vec![0; limits::SECRET_BYTES_GENERATED];
                entropy.fill(&mut bytes);
                Self::Hmac256(bytes)
            }
            SignatureKind::Ed25519 => {
                let mut seed = [0; 32];
                entropy.fill(&mut seed);
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
                Self::Ed25519 { seed, public: pair.public_key().as_ref().try_into().expect("a public key has 32 bytes") }
            }
        }
    }

    pub fn kind(&self) -> SignatureKind {
        match self {
            Self::Hmac256(_) => SignatureKind::Hmac256,
            Self::Ed25519 { .. } => SignatureKind::Ed25519,
        }
    }

    /// `whsec_…` or `whsk_…`: the whole secret, in the form that [`SigningSecret::parse`] reads.
    pub fn to_text(&self) -> String {
        match self {
            Self::Hmac256(bytes) => format!("{HMAC_PREFIX}{}", STANDARD.encode(bytes)),
            Self::Ed25519 { seed, public } => format!("{PRIVATE_PREFIX}{}", STANDARD.encode([*seed, *public].concat())),
        }
    }

    /// `whsec_…`, or the public key as `whpk_…`: what the receiver verifies with.
    pub fn verification_key(&self) -> String {
        match self {
            Self::Hmac256(_) => self.to_text(),
            Self::Ed25519 { public, .. } => format!("{PUBLIC_PREFIX}{}", STANDARD.encode(public)),
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac256(_) => "whsec_…",
            Self::Ed25519 { .. } => "whsk_…",
        })
    }
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

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RotateError {
    #[error("the grace period {0}")]
    GracePeriod(Invalid),
    #[error("{} older secrets are still in their grace period; wait until one has expired", limits::OLD_SECRETS_MAX)]
    TooManyOld,
}

impl EndpointSecrets {
    pub fn new(current: SigningSecret) -> Self {
        Self { current, old: Vec::new() }
    }

    /// Makes `new` the current secret; the one before it signs along until `grace` has passed.
    pub fn rotate(&mut self, new: SigningSecret, grace: Duration, now: Timestamp) -> Result<(), RotateError> {
        if grace > limits::SECRET_GRACE_MAX {
            return Err(RotateError::GracePeriod(Invalid::new("must be between 0 and 7 days")));
        }
        let unexpired = self.old.iter().filter(|old| old.expires_at > now).count();
        if unexpired >= limits::OLD_SECRETS_MAX {
            return Err(RotateError::TooManyOld);
        }
        self.old.retain(|old| old.expires_at > now);
        let before = std::mem::replace(&mut self.current, new);
        if !grace.is_zero() {
            // The youngest first: receivers look at the signatures in this order.
            self.old.insert(0, OldSecret { secret: before, expires_at: now + grace });
        }
        Ok(())
    }
}

fn decode(encoded: &str) -> Result<Vec<u8>, Invalid> {
    LENIENT.decode(encoded).map_err(|_| Invalid::new("must be base64 (standard alphabet) after its prefix"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::Counting;

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret::Hmac256(vec![byte; 24])
    }

    #[test]
    fn reads_what_it_writes() {
        for kind in [SignatureKind::Hmac256, SignatureKind::Ed25519] {
            let secret = SigningSecret::generate(kind, &Counting::default());
            assert_eq!(secret.kind(), kind);
            assert_eq!(SigningSecret::parse(&secret.to_text()), Ok(secret.clone()));
            assert_eq!(SigningSecret::parse(secret.to_text().trim_end_matches('=')), Ok(secret));
        }
        assert!(SigningSecret::generate(SignatureKind::Ed25519, &Counting::default()).verification_key().starts_with("whpk_"));
        assert_eq!(secret(1).verification_key(), secret(1).to_text());
    }

    #[test]
    fn says_what_is_wrong() {
        let of = |prefix: &str, bytes: usize| format!("{prefix}{}", STANDARD.encode(vec![7; bytes]));
        let cases = [
            ("ZmFrZS1zaGFyZWQtc3cta2V5LWZvci10ZXN0".to_owned(), "invalid prefix: a signing secret starts with `whsec_` or `whsk_`"),
            (of("whpk_", 32), "invalid prefix: a signing secret starts with `whsec_` or `whsk_`"),
            ("whsec_%%%".to_owned(), "must be base64 (standard alphabet) after its prefix"),
            (of("whsec_", 23), "must be 24 to 75 bytes long, and has 23"),
            (of("whsec_", 76), "must be 24 to 75 bytes long, and has 76"),
            (of("whsk_", 63), "must be the 32 bytes of an ed25519 seed and the 32 of its public key, and has 63 bytes"),
            (of("whsk_", 65), "must be the 32 bytes of an ed25519 seed and the 32 of its public key, and has 65 bytes"),
            (of("whsk_", 64), "has a public key that does not belong to its seed"),
        ];
        for (text, refusal) in cases {
            assert_eq!(SigningSecret::parse(&text).unwrap_err().to_string(), refusal);
        }
        assert!(SigningSecret::parse(&of("whsec_", 24)).is_ok() && SigningSecret::parse(&of("whsec_", 75)).is_ok());
    }

    #[test]
    fn is_never_written_to_a_log() {
        let secrets = EndpointSecrets::new(secret(7));
        assert_eq!(format!("{secrets:?}"), "EndpointSecrets { current: whsec_…, old: [] }");
    }

    #[test]
    fn rotates_with_grace() {
        let (hour, now) = (Duration::from_secs(3600), Timestamp::from_unix_ms(1_000_000_000));
        let mut secrets = EndpointSecrets::new(secret(0));
        secrets.rotate(secret(1), hour, now).unwrap();
        secrets.rotate(secret(2), Duration::ZERO, now).unwrap();
        assert_eq!(secrets.current, secret(2));
        assert_eq!(secrets.old, [OldSecret { secret: secret(0), expires_at: now + hour }]);
        // What has expired is dropped at the next rotation.
        secrets.rotate(secret(3), hour, now + hour).unwrap();
        assert_eq!(secrets.old, [OldSecret { secret: secret(2), expires_at: now + hour + hour }]);
    }

    #[test]
    fn refuses_a_long_grace_and_an_eleventh_old_secret() {
        let now = Timestamp::from_unix_ms(1_000_000_000);
        let mut secrets = EndpointSecrets::new(secret(0));
        let refusal = secrets.rotate(secret(1), limits::SECRET_GRACE_MAX + Duration::from_secs(1), now).unwrap_err();
        assert_eq!(refusal.to_string(), "the grace period must be between 0 and 7 days");
        for n in 1..=10 {
            secrets.rotate(secret(n), limits::SECRET_GRACE_MAX, now).unwrap();
        }
        let before = secrets.clone();
        assert_eq!(secrets.rotate(secret(11), limits::SECRET_GRACE_MAX, now), Err(RotateError::TooManyOld));
        assert_eq!(secrets, before);
        // Those that have expired make room.
        assert_eq!(secrets.rotate(secret(11), limits::SECRET_GRACE_MAX, now + limits::SECRET_GRACE_MAX), Ok(()));
        assert_eq!(secrets.old.len(), 1);
    }
}
