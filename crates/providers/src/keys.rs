//! Keys, made ready once: of HMAC, of hashes with the secret in front, and of public-key signatures.
//!
//! Verifying needs no randomness. Signing with RSA or ECDSA takes what these algorithms need of it from ring.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use smallvec::SmallVec;

use crate::der::{self, KeyKind, PublicKey};
use crate::encoding::{base64_of_people, hex_decode, same};
use crate::settings::SettingsError;
use crate::verdict::CannotSign;

/// What is signed, in pieces that lie where they are.
pub(crate) type Text<'a> = SmallVec<[Cow<'a, [u8]>; 6]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Signatures that anyone can verify and only the holder of the private key can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asymmetric {
    Ed25519,
    /// With the signature as ASN.1, as most write it.
    EcdsaP256,
    EcdsaP384,
    /// With the signature as two numbers, as JWTs write it.
    EcdsaP256Fixed,
    EcdsaP384Fixed,
    Rsa(Hash),
    RsaPss256,
    RsaPss384,
    RsaPss512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hmac(Hash),
    /// The hash of the secret and then the text: older than HMAC, and HubSpot still sends it.
    SecretThenText,
    Public(Asymmetric),
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretForm {
    /// Used as it was pasted.
    Text,
    Hex,
    Base64,
    /// Base64 after `whsec_`, which may be missing.
    Whsec,
    /// The same where a secret without the prefix means something else.
    PrefixedWhsec,
}

/// What verifies, and, if it is symmetric, signs.
#[derive(Clone)]
pub(crate) enum VerifyingKey {
    Hmac(hmac::Key),
    SecretThenText(digest::Context),
    Public(Asymmetric, Vec<u8>),
}

#[derive(Clone)]
pub(crate) enum PrivateKey {
    Ed25519(Arc<Ed25519KeyPair>),
    Ecdsa(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>, &'static dyn signature::RsaEncoding),
}

impl VerifyingKey {
    pub(crate) fn new(algorithm: Algorithm, form: SecretForm, secret: &str) -> Result<Self, SettingsError> {
        Ok(match algorithm {
            Algorithm::Hmac(hash) => Self::Hmac(hmac::Key::new(hash.hmac(), &secret_bytes(form, secret)?)),
            Algorithm::SecretThenText => {
                let mut context = digest::Context::new(&digest::SHA256);
                context.update(&secret_bytes(form, secret)?);
                Self::SecretThenText(context)
            }
            Algorithm::Public(asymmetric) => Self::public(asymmetric, &public_key(secret)?)?,
        })
    }

    pub(crate) fn public(asymmetric: Asymmetric, key: &PublicKey) -> Result<Self, SettingsError> {
        if key.kind != asymmetric.key_kind() {
            return Err(SettingsError::new("secret", format!("must be {}", asymmetric.key_kind().describe())));
        }
        Ok(Self::Public(asymmetric, key.bytes.clone()))
    }

    pub(crate) fn verifies(&self, text: &[Cow<'_, [u8]>], signature: &[u8]) -> bool {
        match self {
            Self::Public(asymmetric, key) => {
                let key = UnparsedPublicKey::new(asymmetric.verification(), key);
                match text {
                    [whole] => key.verify(whole, signature).is_ok(),
                    pieces => key.verify(&pieces.concat(), signature).is_ok(),
                }
            }
            symmetric => symmetric.code(text).is_some_and(|code| same(&code, signature)),
        }
    }

    /// The authentication code of a symmetric key; a public key has none.
    pub(crate) fn code(&self, text: &[Cow<'_, [u8]>]) -> Option<SmallVec<[u8; 64]>> {
        match self {
            Self::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                text.iter().for_each(|piece| context.update(piece));
                Some(SmallVec::from_slice(context.sign().as_ref()))
            }
            Self::SecretThenText(context) => {
                let mut context = context.clone();
                text.iter().for_each(|piece| context.update(piece));
                Some(SmallVec::from_slice(context.finish().as_ref()))
            }
            Self::Public(..) => None,
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(…)")
    }
}

impl PrivateKey {
    pub(crate) fn parse(asymmetric: Asymmetric, text: &str) -> Result<Self, SettingsError> {
        let refused = || {
            let kind = asymmetric.key_kind().describe_private();
            SettingsError::new("private_key", format!("must be {kind}"))
        };
        let text = text.trim();
        let key = match asymmetric.key_kind() {
            KeyKind::Ed25519 => ed25519_pair(text).map(|pair| Self::Ed25519(Arc::new(pair))),
            KeyKind::Rsa => rsa_pair(text).zip(asymmetric.rsa_encoding()).map(|(pair, encoding)| Self::Rsa(Arc::new(pair), encoding)),
            KeyKind::P256 | KeyKind::P384 => ecdsa_pair(asymmetric, text).map(|pair| Self::Ecdsa(Arc::new(pair))),
        };
        key.ok_or_else(refused)
    }

    pub(crate) fn sign(&self, text: &[Cow<'_, [u8]>]) -> Result<Vec<u8>, CannotSign> {
        let text = text.concat();
        let failed = || CannotSign::new("The private key does not sign: it is too short for its algorithm.");
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(&text).as_ref().to_vec()),
            Self::Ecdsa(pair) => Ok(pair.sign(&SystemRandom::new(), &text).map_err(|_| failed())?.as_ref().to_vec()),
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), &text, &mut signature).map_err(|_| failed())?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl Hash {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().replace(['-', '_'], "").trim_start_matches("hmac") {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl Asymmetric {
    pub(crate) fn key_kind(self) -> KeyKind {
        match self {
            Self::Ed25519 => KeyKind::Ed25519,
            Self::EcdsaP256 | Self::EcdsaP256Fixed => KeyKind::P256,
            Self::EcdsaP384 | Self::EcdsaP384Fixed => KeyKind::P384,
            Self::Rsa(_) | Self::RsaPss256 | Self::RsaPss384 | Self::RsaPss512 => KeyKind::Rsa,
        }
    }

    /// How RSA signatures are made; over SHA-1 they are no longer.
    fn rsa_encoding(self) -> Option<&'static dyn signature::RsaEncoding> {
        Some(match self {
            Self::Rsa(Hash::Sha256) => &signature::RSA_PKCS1_SHA256,
            Self::Rsa(Hash::Sha384) => &signature::RSA_PKCS1_SHA384,
            Self::Rsa(Hash::Sha512) => &signature::RSA_PKCS1_SHA512,
            Self::RsaPss256 => &signature::RSA_PSS_SHA256,
            Self::RsaPss384 => &signature::RSA_PSS_SHA384,
            Self::RsaPss512 => &signature::RSA_PSS_SHA512,
            _ => return None,
        })
    }

    fn verification(self) -> &'static dyn signature::VerificationAlgorithm {
        match self {
            Self::Ed25519 => &signature::ED25519,
            Self::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::EcdsaP256Fixed => &signature::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Fixed => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Rsa(Hash::Sha1) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Rsa(Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rsa(Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rsa(Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPss256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::RsaPss384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::RsaPss512 => &signature::RSA_PSS_2048_8192_SHA512,
        }
    }
}

impl KeyKind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA public key, as PEM",
            Self::P256 => "a public key on the curve P-256, as PEM or as base64 of its DER",
            Self::P384 => "a public key on the curve P-384, as PEM or as base64 of its DER",
            Self::Ed25519 => "an ed25519 public key: 64 hex digits, `whpk_…`, or PEM",
        }
    }

    fn describe_private(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA private key, as PEM (PKCS#8 or PKCS#1)",
            Self::P256 => "a private key on the curve P-256, as PEM (PKCS#8)",
            Self::P384 => "a private key on the curve P-384, as PEM (PKCS#8)",
            Self::Ed25519 => "an ed25519 private key: the 64 hex digits of its seed, `whsk_…`, or PEM (PKCS#8)",
        }
    }
}

/// The bytes of a symmetric secret. What anyone may know is refused: as an HMAC key it would let anyone sign.
pub(crate) fn secret_bytes(form: SecretForm, secret: &str) -> Result<Cow<'_, [u8]>, SettingsError> {
    if secret.contains("-----BEGIN ") || secret.starts_with("whpk_") {
        return Err(SettingsError::new("secret", "is a public key or certificate, and this scheme needs a shared secret"));
    }
    let decoded = |bytes: Option<Vec<u8>>, rule: &'static str| match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(Cow::Owned(bytes)),
        _ => Err(SettingsError::new("secret", rule)),
    };
    match form {
        SecretForm::Text => Ok(Cow::Borrowed(secret.as_bytes())),
        SecretForm::Hex => {
            decoded(hex_decode(secret.trim()).map(|bytes| bytes.to_vec()), "must be hex: an even number of digits 0-9 and a-f")
        }
        SecretForm::Base64 => decoded(base64_of_people(secret.trim()), "must be base64"),
        SecretForm::Whsec if secret.starts_with("whsk_") => Err(SettingsError::new(
            "secret",
            "is a private key (`whsk_…`), which only the sender has; a receiver takes its public key (`whpk_…`)",
        )),
        SecretForm::PrefixedWhsec if !secret.trim().starts_with("whsec_") => {
            Err(SettingsError::new("secret", "must begin with `whsec_` for this scheme"))
        }
        SecretForm::Whsec | SecretForm::PrefixedWhsec => {
            let encoded = secret.trim();
            decoded(base64_of_people(encoded.strip_prefix("whsec_").unwrap_or(encoded)), "must be `whsec_` and base64, or the base64 alone")
        }
    }
}

/// A public key in any form in which providers show them.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, SettingsError> {
    let refused = || SettingsError::new("secret", "must be a public key, as PEM, as base64 of its DER, or 64 hex digits for ed25519");
    let text = text.trim();
    if text.contains("-----BEGIN ") {
        let (label, bytes) = der::pem(text).ok_or_else(refused)?;
        return match label {
            "PUBLIC KEY" => der::public_key(&bytes),
            "RSA PUBLIC KEY" => Some(PublicKey { kind: KeyKind::Rsa, bytes }),
            "CERTIFICATE" => der::certificate(&bytes).map(|certificate| certificate.key),
            _ => None,
        }
        .ok_or_else(refused);
    }
    let ed25519 = |bytes: &[u8]| (bytes.len() == 32).then(|| PublicKey { kind: KeyKind::Ed25519, bytes: bytes.to_vec() });
    if let Some(key) = hex_decode(text).and_then(|bytes| ed25519(&bytes)) {
        return Ok(key);
    }
    let bytes = base64_of_people(text.strip_prefix("whpk_").unwrap_or(text)).ok_or_else(refused)?;
    ed25519(&bytes).or_else(|| der::public_key(&bytes)).ok_or_else(refused)
}

fn ed25519_pair(text: &str) -> Option<Ed25519KeyPair> {
    if let Some((_, der)) = der::pem(text) {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok();
    }
    let bytes = match text.strip_prefix("whsk_") {
        Some(encoded) => base64_of_people(encoded)?,
        None => hex_decode(text)?.to_vec(),
    };
    Ed25519KeyPair::from_seed_unchecked(bytes.get(..32)?).ok().filter(|_| matches!(bytes.len(), 32 | 64))
}

fn rsa_pair(text: &str) -> Option<RsaKeyPair> {
    let (label, der) = der::pem(text)?;
    if label == "RSA PRIVATE KEY" { RsaKeyPair::from_der(&der).ok() } else { RsaKeyPair::from_pkcs8(&der).ok() }
}

fn ecdsa_pair(asymmetric: Asymmetric, text: &str) -> Option<EcdsaKeyPair> {
    let algorithm = match asymmetric {
        Asymmetric::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        Asymmetric::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        Asymmetric::EcdsaP256Fixed => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Asymmetric::EcdsaP384Fixed => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => return None,
    };
    EcdsaKeyPair::from_pkcs8(algorithm, &der::pem(text)?.1, &SystemRandom::new()).ok()
}
