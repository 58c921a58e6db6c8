//! Standard Webhooks signatures: `v1` (HMAC-SHA256) and `v1a` (ed25519) over `id.timestamp.body`.
//!
//! Signing is on the path of every delivery: keys are prepared once per endpoint, the body is hashed where it lies, and the
//! only allocation is the header's value (ed25519, which hashes twice, needs the signed text in one piece and copies it).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use smallvec::SmallVec;
use thiserror::Error;

use crate::name::Invalid;
use crate::secret::{EndpointSecrets, HMAC_PREFIX, LENIENT, PUBLIC_PREFIX, SigningSecret};
use crate::time::Timestamp;

/// How far the clocks of sender and receiver may be apart.
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(300);

/// Keys made ready once per endpoint, so that signing a delivery costs the hash only.
#[derive(Clone)]
pub struct Signer {
    /// The current one first.
    keys: SmallVec<[(SigningKey, Timestamp); 1]>,
}

#[derive(Clone)]
enum SigningKey {
    Hmac256(hmac::Key),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Signer {
    pub fn new(secrets: &EndpointSecrets) -> Self {
        let current = std::iter::once((SigningKey::new(&secrets.current), Timestamp::MAX));
        Self { keys: current.chain(secrets.old.iter().map(|old| (SigningKey::new(&old.secret), old.expires_at))).collect() }
    }

    /// The value of the signature header: one signature per secret that is valid at `now`, separated by spaces.
    pub fn sign(&self, message_id: &str, now: Timestamp, body: &[u8]) -> String {
        let mut decimal = [0; 20];
        let seconds = write_decimal(now.unix_seconds(), &mut decimal);
        let mut header = String::with_capacity(self.keys.iter().map(|(key, _)| key.signature_chars() + 1).sum());
        let mut signed_text = Vec::new();
        for (key, _) in self.keys.iter().filter(|(_, expires_at)| *expires_at > now) {
            if !header.is_empty() {
                header.push(' ');
            }
            match key {
                SigningKey::Hmac256(key) => {
                    header.push_str("v1,");
                    STANDARD.encode_string(hmac_of(key, message_id, seconds, body), &mut header);
                }
                SigningKey::Ed25519(pair) => {
                    if signed_text.is_empty() {
                        signed_text = join(message_id, seconds, body);
                    }
                    header.push_str("v1a,");
                    STANDARD.encode_string(pair.sign(&signed_text), &mut header);
                }
            }
        }
        header
    }
}

impl SigningKey {
    fn new(secret: &SigningSecret) -> Self {
        match secret {
            SigningSecret::Hmac256(bytes) => Self::Hmac256(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
            SigningSecret::Ed25519 { seed, .. } => {
                Self::Ed25519(Arc::new(Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed")))
            }
        }
    }

    fn signature_chars(&self) -> usize {
        match self {
            Self::Hmac256(_) => "v1,".len() + 44,
            Self::Ed25519(_) => "v1a,".len() + 88,
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

/// What a receiver verifies with.
#[derive(Clone)]
pub enum VerificationKey {
    Hmac256(hmac::Key),
    Ed25519([u8; 32]),
}

/// Why a request is not believed, as a sentence for the receiver's developer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureProblem {
    #[error("the header `{0}` (or its `svix-` twin) is missing")]
    MissingHeader(&'static str),
    #[error("the timestamp header is not a number of seconds")]
    BadTimestamp,
    #[error("the timestamp is {seconds} s old, more than the {tolerance_seconds} s allowed: a replayed request, or clocks that differ")]
    Stale { seconds: u64, tolerance_seconds: u64 },
    #[error("the timestamp is {seconds} s in the future, more than the {tolerance_seconds} s allowed: clocks differ")]
    Future { seconds: u64, tolerance_seconds: u64 },
    #[error("the signature header has no {0} signature: it is a list of `v1,<base64>` or `v1a,<base64>` separated by spaces")]
    NoSignature(&'static str),
    #[error("no signature matches: another secret, or the body was changed on its way")]
    Mismatch,
}

impl VerificationKey {
    /// Reads `whsec_…`, `whpk_…`, `whsk_…`, or the bare base64 of an HMAC secret, as people paste it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) {
            let bytes = LENIENT.decode(encoded).map_err(|_| Invalid::new("must be base64 after `whpk_`"))?;
            return bytes.try_into().map(Self::Ed25519).map_err(|_| Invalid::new("must be the 32 bytes of an ed25519 public key"));
        }
        let secret =
            SigningSecret::parse(text).or_else(|refusal| SigningSecret::parse(&format!("{HMAC_PREFIX}{text}")).map_err(|_| refusal))?;
        Ok(match secret {
            SigningSecret::Hmac256(bytes) => Self::Hmac256(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
            SigningSecret::Ed25519 { public, .. } => Self::Ed25519(public),
        })
    }

    /// Checks what came with `webhook-*` or `svix-*` headers, in constant time; returns the id of the message.
    pub fn verify<'h>(
        &self,
        headers: &'h HeaderMap,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<&'h str, SignatureProblem> {
        let find = |webhook: &'static str, svix: &str| {
            let value = headers.get(webhook).or_else(|| headers.get(svix)).and_then(|value| value.to_str().ok());
            value.ok_or(SignatureProblem::MissingHeader(webhook))
        };
        let id = find("webhook-id", "svix-id")?;
        let seconds = find("webhook-timestamp", "svix-timestamp")?;
        let signatures = find("webhook-signature", "svix-signature")?;
        check_age(seconds.parse().map_err(|_| SignatureProblem::BadTimestamp)?, now, tolerance)?;

        let version = match self {
            Self::Hmac256(_) => "v1",
            Self::Ed25519(_) => "v1a",
        };
        let mut of_our_version = 0;
        for signature in signatures.split(' ').filter_map(|item| item.split_once(',')).filter(|(v, _)| *v == version).map(|(_, s)| s) {
            of_our_version += 1;
            let Ok(signature) = LENIENT.decode(signature) else { continue };
            let text = join(id, seconds.as_bytes(), body);
            let matches = match self {
                Self::Hmac256(key) => hmac::verify(key, &text, &signature).is_ok(),
                Self::Ed25519(public) => UnparsedPublicKey::new(&ED25519, public).verify(&text, &signature).is_ok(),
            };
            if matches {
                return Ok(id);
            }
        }
        Err(if of_our_version == 0 { SignatureProblem::NoSignature(version) } else { SignatureProblem::Mismatch })
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationKey(…)")
    }
}

fn check_age(sent_at_seconds: u64, now: Timestamp, tolerance: Duration) -> Result<(), SignatureProblem> {
    let tolerance_seconds = tolerance.as_secs();
    let age = now.unix_seconds().abs_diff(sent_at_seconds);
    match age <= tolerance_seconds {
        true => Ok(()),
        false if sent_at_seconds < now.unix_seconds() => Err(SignatureProblem::Stale { seconds: age, tolerance_seconds }),
        false => Err(SignatureProblem::Future { seconds: age, tolerance_seconds }),
    }
}

fn hmac_of(key: &hmac::Key, message_id: &str, seconds: &[u8], body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(message_id.as_bytes());
    context.update(b".");
    context.update(seconds);
    context.update(b".");
    context.update(body);
    context.sign()
}

fn join(message_id: &str, seconds: &[u8], body: &[u8]) -> Vec<u8> {
    [message_id.as_bytes(), b".", seconds, b".", body].concat()
}

fn write_decimal(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::Counting;
    use crate::secret::SignatureKind;

    #[test]
    fn writes_decimals() {
        for value in [0, 9, 10, 1_767_323_045, u64::MAX] {
            assert_eq!(write_decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }

    #[test]
    fn signs_with_every_secret_in_its_grace_period_and_each_verifies() {
        let entropy = Counting::default();
        let now = Timestamp::from_unix_ms(1_767_323_045_678);
        let hour = Duration::from_secs(3600);
        let first = SigningSecret::generate(SignatureKind::Hmac256, &entropy);
        let second = SigningSecret::generate(SignatureKind::Ed25519, &entropy);
        let third = SigningSecret::generate(SignatureKind::Hmac256, &entropy);
        let mut secrets = EndpointSecrets::new(first.clone());
        secrets.rotate(second.clone(), hour, now).unwrap();
        secrets.rotate(third.clone(), hour + hour, now).unwrap();
        let signer = Signer::new(&secrets);

        let verifies = |secret: &SigningSecret, at: Timestamp| {
            let header = signer.sign("msg_1", at, b"{}");
            let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &at.unix_seconds().to_string()), ("webhook-signature", &header)]
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let key = VerificationKey::parse(&secret.verification_key()).unwrap();
            key.verify(&headers, b"{}", at, TOLERANCE_DEFAULT).is_ok()
        };
        let kinds = |at| signer.sign("msg_1", at, b"{}").split(' ').map(|s| s.split_once(',').unwrap().0.to_owned()).collect::<Vec<_>>();
        assert_eq!(kinds(now), ["v1", "v1a", "v1"]);
        assert_eq!([&first, &second, &third].map(|secret| verifies(secret, now)), [true, true, true]);
        assert_eq!(kinds(now + hour), ["v1", "v1a"]);
        assert_eq!([&first, &second, &third].map(|secret| verifies(secret, now + hour)), [false, true, true]);
        assert_eq!(kinds(now + hour + hour), ["v1"]);
    }

    #[test]
    fn says_why_a_request_is_not_believed() {
        let entropy = Counting::default();
        let sent_at = Timestamp::from_unix_ms(1_767_323_045_000);
        let secrets = [SignatureKind::Hmac256, SignatureKind::Ed25519].map(|kind| SigningSecret::generate(kind, &entropy));
        let [hmac, ed25519] = secrets.clone().map(|secret| Signer::new(&EndpointSecrets::new(secret)).sign("msg_1", sent_at, b"{}"));
        let [hmac_key, ed25519_key] = secrets.map(|secret| VerificationKey::parse(&secret.verification_key()).unwrap());
        let check = |key: &VerificationKey, signature: &str, timestamp: &str, seconds_later: i64| {
            let headers = [("svix-id", "msg_1"), ("svix-timestamp", timestamp), ("svix-signature", signature)];
            let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let now = Timestamp::from_unix_ms((1_767_323_045 + seconds_later) as u64 * 1000);
            key.verify(&headers, b"{}", now, TOLERANCE_DEFAULT).map(str::to_owned)
        };
        let (time, id) = ("1767323045", Ok("msg_1".to_owned()));
        assert_eq!([check(&hmac_key, &hmac, time, 0), check(&ed25519_key, &ed25519, time, 0)], [id.clone(), id.clone()]);
        assert_eq!([check(&hmac_key, &hmac, time, 300), check(&hmac_key, &hmac, time, -300)], [id.clone(), id.clone()]);
        assert_eq!(check(&hmac_key, &hmac, time, 301), Err(SignatureProblem::Stale { seconds: 301, tolerance_seconds: 300 }));
        assert_eq!(check(&hmac_key, &hmac, time, -301), Err(SignatureProblem::Future { seconds: 301, tolerance_seconds: 300 }));
        assert_eq!(check(&hmac_key, &hmac, "soon", 0), Err(SignatureProblem::BadTimestamp));
        assert_eq!(check(&hmac_key, &hmac, "1767323046", 0), Err(SignatureProblem::Mismatch));
        // A signature of one kind is none of the other, and what cannot be read is passed over.
        assert_eq!(check(&hmac_key, &ed25519, time, 0), Err(SignatureProblem::NoSignature("v1")));
        assert_eq!(check(&ed25519_key, &hmac, time, 0), Err(SignatureProblem::NoSignature("v1a")));
        assert_eq!(check(&hmac_key, &format!("v1,%% v2,x v1 {hmac}"), time, 0), id);
    }

    #[test]
    fn allocates_the_header_once() {
        let entropy = Counting::default();
        let mut secrets = EndpointSecrets::new(SigningSecret::generate(SignatureKind::Hmac256, &entropy));
        secrets.rotate(SigningSecret::generate(SignatureKind::Ed25519, &entropy), Duration::from_secs(60), Timestamp::ZERO).unwrap();
        let header = Signer::new(&secrets).sign("msg_1", Timestamp::ZERO, b"{}");
        assert_eq!(header.capacity(), header.len() + 1);
    }
}
