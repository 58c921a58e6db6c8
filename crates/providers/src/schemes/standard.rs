//! Standard Webhooks: `v1` (HMAC-SHA256) and `v1a` (ed25519) over id, timestamp and body, in `webhook-*` or `svix-*` headers.
//!
//! Each row of the table is one of the two versions, so that a public key can never be taken for an HMAC secret.

use std::borrow::Cow;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use smallvec::smallvec;

use crate::clock::{Future, Moment, Unit};
use crate::encoding::Encoding;
use crate::keys::{Algorithm, Asymmetric, Hash, PrivateKey, SecretForm, Text, VerifyingKey};
use crate::request::{Request, SignedRequest};
use crate::schemes::{Proof, needs_private_key, private_key};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Standard {
    /// `v1`; most secrets are `whsec_…`, a few are used as they are.
    V1(SecretForm),
    V1a,
}

const TOLERANCE_SECONDS: u64 = 300;

/// The prefixes under which the three headers come; what signs uses the first.
static FAMILIES: [Family; 2] = [
    Family {
        id: HeaderName::from_static("webhook-id"),
        timestamp: HeaderName::from_static("webhook-timestamp"),
        signature: HeaderName::from_static("webhook-signature"),
    },
    Family {
        id: HeaderName::from_static("svix-id"),
        timestamp: HeaderName::from_static("svix-timestamp"),
        signature: HeaderName::from_static("svix-signature"),
    },
];

struct Family {
    id: HeaderName,
    timestamp: HeaderName,
    signature: HeaderName,
}

impl Standard {
    pub(crate) fn takes(self) -> &'static [&'static str] {
        match self {
            Self::V1(_) => &["secrets", "secret_secondary", "tolerance"],
            Self::V1a => &["secrets", "secret_secondary", "tolerance", "private_key"],
        }
    }
}

pub(crate) struct Check {
    version: &'static str,
    keys: Vec<VerifyingKey>,
    private_key: Option<PrivateKey>,
    tolerance: u64,
}

impl Check {
    pub(crate) fn new(rule: Standard, settings: &Settings) -> Result<Self, SettingsError> {
        let (version, algorithm, form) = match rule {
            Standard::V1(form) => ("v1", Algorithm::Hmac(Hash::Sha256), form),
            Standard::V1a => ("v1a", Algorithm::Public(Asymmetric::Ed25519), SecretForm::Text),
        };
        let secrets = settings.required_secrets()?;
        // During a change from one version to the other, secrets of both are live; each version takes its own.
        let of_version = |secret: &&&str| secret.starts_with("whpk_") == matches!(rule, Standard::V1a);
        let own = if secrets.iter().any(|secret| of_version(&secret)) {
            secrets.iter().filter(of_version).collect()
        } else {
            Vec::from_iter(&secrets)
        };
        let keys = own.into_iter().map(|secret| VerifyingKey::new(algorithm, form, secret)).collect::<Result<_, _>>()?;
        let private_key = match rule {
            Standard::V1a => private_key(Asymmetric::Ed25519, settings)?,
            Standard::V1(_) => None,
        };
        let tolerance = settings.tolerance.unwrap_or(TOLERANCE_SECONDS);
        Ok(Self { version, keys, private_key, tolerance })
    }

    fn family(request: &Request<'_>) -> &'static Family {
        FAMILIES.iter().find(|family| request.headers.contains_key(&family.signature)).unwrap_or(&FAMILIES[0])
    }

    /// The signatures of our version; of others there may be any number.
    fn signatures<'a>(&self, request: &Request<'a>, family: &Family) -> Result<Vec<&'a str>, Rejection> {
        let mut signatures = Vec::new();
        let mut is_there = false;
        for value in request.header_values(&family.signature) {
            is_there = true;
            let versioned = value?.split(' ').filter_map(|item| item.split_once(','));
            signatures.extend(versioned.filter(|(version, _)| *version == self.version).map(|(_, signature)| signature));
        }
        if !is_there {
            return Err(Rejection::missing_header(&family.signature));
        }
        if signatures.is_empty() {
            let detail = format!("The header `{}` has no `{},…` signature.", family.signature, self.version);
            return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
        }
        Ok(signatures)
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        self.signatures(request, Self::family(request)).is_ok()
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        let family = Self::family(request);
        let signatures = self.signatures(request, family)?;
        let id = request.required_header(&family.id)?;
        if id.is_empty() {
            return Err(Rejection::new(RejectionCode::MalformedHeader, format!("The header `{}` is empty.", family.id)));
        }
        let seconds = request.required_header(&family.timestamp)?;
        let moment = Unit::Seconds.read(seconds).ok_or_else(|| {
            let detail = format!("The header `{}` is not {}.", family.timestamp, Unit::Seconds.describe());
            Rejection::new(RejectionCode::MalformedTimestamp, detail)
        })?;
        let text = text(id, seconds, request.body);
        let matching = |signature: &[u8]| self.keys.iter().position(|key| key.verifies(&text, signature));
        let mut readable = signatures.iter().filter_map(|signature| Encoding::Base64.decode(signature));
        let secret = readable.find_map(|signature| matching(&signature)).ok_or_else(Rejection::bad_signature)?;
        moment.check(now, Some(self.tolerance), Future::Within)?;
        Ok(Proof { id: Some(id.to_owned()), timestamp: Moment::timestamp(moment), secret })
    }

    fn sign(&self, request: &mut SignedRequest, id: &str, now: Timestamp) -> Result<(), CannotSign> {
        if id.is_empty() {
            return Err(CannotSign::new("The id is part of what is signed here, so it must not be empty."));
        }
        let family = &FAMILIES[0];
        let seconds = Unit::Seconds.write(now);
        let signature = {
            let text = text(id, &seconds, &request.body);
            match &self.private_key {
                Some(key) => key.sign(&text)?,
                None => self.keys[0].code(&text).ok_or_else(needs_private_key)?.to_vec(),
            }
        };
        request.set_header(&family.id, id);
        request.set_header(&family.timestamp, &seconds);
        request.set_header(&family.signature, &format!("{},{}", self.version, Encoding::Base64.encode(&signature)));
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        FAMILIES.iter().flat_map(|family| [&family.signature, &family.timestamp, &family.id]).cloned().collect()
    }
}

fn text<'a>(id: &'a str, seconds: &'a str, body: &'a [u8]) -> Text<'a> {
    let dot = Cow::Borrowed(&b"."[..]);
    smallvec![Cow::Borrowed(id.as_bytes()), dot.clone(), Cow::Borrowed(seconds.as_bytes()), dot, Cow::Borrowed(body)]
}
