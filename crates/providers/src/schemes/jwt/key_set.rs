//! The keys that tokens are verified with: from `secret`, or from a JSON Web Key Set, in which `kid` chooses.

use ring::hmac;
use serde_json::Value;

use crate::der::{KeyKind, PublicKey, rsa_public_key};
use crate::encoding::base64_of_people;
use crate::keys::{self, Asymmetric, Hash, SecretForm, VerifyingKey};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{Rejection, RejectionCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JwtAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

const ALGORITHMS: [(&str, JwtAlgorithm); 12] = [
    ("HS256", JwtAlgorithm::HS256),
    ("HS384", JwtAlgorithm::HS384),
    ("HS512", JwtAlgorithm::HS512),
    ("RS256", JwtAlgorithm::RS256),
    ("RS384", JwtAlgorithm::RS384),
    ("RS512", JwtAlgorithm::RS512),
    ("PS256", JwtAlgorithm::PS256),
    ("PS384", JwtAlgorithm::PS384),
    ("PS512", JwtAlgorithm::PS512),
    ("ES256", JwtAlgorithm::ES256),
    ("ES384", JwtAlgorithm::ES384),
    ("EdDSA", JwtAlgorithm::EdDSA),
];

impl JwtAlgorithm {
    fn parse(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    pub(super) fn name(self) -> &'static str {
        ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| *name)
    }

    pub(super) fn asymmetric(self) -> Option<Asymmetric> {
        Some(match self {
            Self::HS256 | Self::HS384 | Self::HS512 => return None,
            Self::RS256 => Asymmetric::Rsa(Hash::Sha256),
            Self::RS384 => Asymmetric::Rsa(Hash::Sha384),
            Self::RS512 => Asymmetric::Rsa(Hash::Sha512),
            Self::PS256 => Asymmetric::RsaPss256,
            Self::PS384 => Asymmetric::RsaPss384,
            Self::PS512 => Asymmetric::RsaPss512,
            Self::ES256 => Asymmetric::EcdsaP256Fixed,
            Self::ES384 => Asymmetric::EcdsaP384Fixed,
            Self::EdDSA => Asymmetric::Ed25519,
        })
    }

    fn hash(self) -> Hash {
        match self {
            Self::HS384 => Hash::Sha384,
            Self::HS512 => Hash::Sha512,
            _ => Hash::Sha256,
        }
    }

    /// The one that a key is usually used with, where the settings do not say.
    fn of_key(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Rsa => Self::RS256,
            KeyKind::P256 => Self::ES256,
            KeyKind::P384 => Self::ES384,
            KeyKind::Ed25519 => Self::EdDSA,
        }
    }
}

/// The keys with their ids, where they have one.
pub(super) struct Keys(Vec<(Option<String>, VerifyingKey)>);

impl Keys {
    pub(super) fn from_settings(settings: &Settings) -> Result<(JwtAlgorithm, Self), SettingsError> {
        let pinned = match &settings.config.algorithm {
            Some(name) => Some(JwtAlgorithm::parse(name).ok_or_else(|| {
                let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
                SettingsError::new("config.algorithm", format!("must be one of {}", names.join(", ")))
            })?),
            None => None,
        };
        if let Some(jwks) = &settings.config.jwks {
            return Self::from_set(pinned, &jwks.0);
        }
        let secrets = settings.required_secrets()?;
        let is_pem = secrets[0].contains("-----BEGIN ");
        let algorithm = match pinned {
            Some(algorithm) => algorithm,
            None if is_pem => JwtAlgorithm::of_key(keys::public_key(secrets[0])?.kind),
            None => JwtAlgorithm::HS256,
        };
        Self::shared(algorithm, &secrets).map(|keys| (algorithm, keys))
    }

    /// Keys without ids: each secret is one.
    pub(super) fn shared(algorithm: JwtAlgorithm, secrets: &[&str]) -> Result<Self, SettingsError> {
        let key = |secret: &&str| {
            Ok(match algorithm.asymmetric() {
                Some(asymmetric) => VerifyingKey::public(asymmetric, &keys::public_key(secret)?)?,
                None => {
                    let bytes = keys::secret_bytes(SecretForm::Text, secret)?;
                    VerifyingKey::Hmac(hmac::Key::new(algorithm.hash().hmac(), &bytes))
                }
            })
        };
        secrets.iter().map(|secret| key(secret).map(|key| (None, key))).collect::<Result<_, _>>().map(Self)
    }

    /// Those keys of a set that fit the algorithm; without one, that of its first key.
    fn from_set(pinned: Option<JwtAlgorithm>, set: &Value) -> Result<(JwtAlgorithm, Self), SettingsError> {
        let refused = |rule| SettingsError::new("config.jwks", rule);
        let listed = set.get("keys").and_then(Value::as_array).ok_or_else(|| refused("must be like `{\"keys\": […]}`"))?;
        let first_named = listed.iter().find_map(|key| JwtAlgorithm::parse(key.get("alg")?.as_str()?));
        let first_kind = || listed.iter().find_map(public_key_of).map(|key| JwtAlgorithm::of_key(key.kind));
        let algorithm = pinned.or(first_named).or_else(first_kind).ok_or_else(|| refused("has no key of a kind that is known here"))?;
        let fitting = listed.iter().filter_map(|key| {
            let id = key.get("kid").and_then(Value::as_str).map(str::to_owned);
            let key = match algorithm.asymmetric() {
                Some(asymmetric) => VerifyingKey::public(asymmetric, &public_key_of(key)?).ok()?,
                None => VerifyingKey::Hmac(hmac::Key::new(algorithm.hash().hmac(), &octets(key)?)),
            };
            Some((id, key))
        });
        let keys: Vec<_> = fitting.collect();
        if keys.is_empty() {
            return Err(refused("has no key for the algorithm"));
        }
        Ok((algorithm, Self(keys)))
    }

    pub(super) fn first(&self) -> Option<&VerifyingKey> {
        self.0.first().map(|(_, key)| key)
    }

    pub(super) fn first_id(&self) -> Option<&str> {
        self.0.first().and_then(|(id, _)| id.as_deref())
    }

    /// The index of the key that verifies. Where keys have ids, a token that names one is verified with that one only.
    pub(super) fn matching(&self, key_id: Option<&str>, verifies: impl Fn(&VerifyingKey) -> bool) -> Result<usize, Rejection> {
        let fits = |id: &Option<String>| match (id.as_deref(), key_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        let mut fitting = self.0.iter().enumerate().filter(|(_, (id, _))| fits(id)).peekable();
        if fitting.peek().is_none() {
            let detail = format!("The token names the key `{}`, which is not in the key set.", key_id.unwrap_or_default());
            return Err(Rejection::new(RejectionCode::UnknownKey, detail));
        }
        fitting.find(|(_, (_, key))| verifies(key)).map(|(index, _)| index).ok_or_else(Rejection::bad_signature)
    }
}

fn public_key_of(key: &Value) -> Option<PublicKey> {
    let bytes = |name: &str| base64_of_people(key.get(name)?.as_str()?);
    let point = |kind, length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        (x.len() == length && y.len() == length).then(|| PublicKey { kind, bytes: [&[4], &x[..], &y].concat() })
    };
    match (key.get("kty")?.as_str()?, key.get("crv").and_then(Value::as_str)) {
        ("RSA", _) => Some(rsa_public_key(&bytes("n")?, &bytes("e")?)),
        ("EC", Some("P-256")) => point(KeyKind::P256, 32),
        ("EC", Some("P-384")) => point(KeyKind::P384, 48),
        ("OKP", Some("Ed25519")) => Some(PublicKey { kind: KeyKind::Ed25519, bytes: bytes("x").filter(|x| x.len() == 32)? }),
        _ => None,
    }
}

fn octets(key: &Value) -> Option<Vec<u8>> {
    let is_symmetric = key.get("kty")?.as_str()? == "oct";
    base64_of_people(key.get("k")?.as_str()?).filter(|bytes| is_symmetric && !bytes.is_empty())
}
