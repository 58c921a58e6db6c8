//! Twilio: the full URL and the sorted parameters of a form, or the URL with a hash of the body in it.
//!
//! What covers the body decides how it is read: a body that is neither a form nor hashed in the URL is not believed, because
//! anyone could have put it there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use ring::digest;
use smallvec::smallvec;

use crate::encoding::{Encoding, hex_decode, hex_encode, same};
use crate::keys::{Algorithm, Hash, SecretForm, Text, VerifyingKey};
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

static SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");
static KEY_SETTINGS: HeaderName = HeaderName::from_static("x-twilio-webhooks-signature-settings");
const BODY_HASH: &str = "bodySHA256";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Form,
    Json,
    /// A header says which key, and whether it is HMAC-SHA256.
    SharedKey,
}

pub(crate) struct Check {
    variant: Variant,
    sha1: Vec<VerifyingKey>,
    sha256: Vec<VerifyingKey>,
}

impl Check {
    pub(crate) fn new(variant: Variant, settings: &Settings) -> Result<Self, SettingsError> {
        let secrets = settings.required_secrets()?;
        let keys = |hash| -> Result<Vec<_>, SettingsError> {
            secrets.iter().map(move |secret| VerifyingKey::new(Algorithm::Hmac(hash), SecretForm::Text, secret)).collect()
        };
        Ok(Self { variant, sha1: keys(Hash::Sha1)?, sha256: keys(Hash::Sha256)? })
    }

    fn keys(&self, request: &Request<'_>) -> Result<&[VerifyingKey], Rejection> {
        let settings = request.header(&KEY_SETTINGS)?.unwrap_or_default();
        let is_sha256 = settings.split(',').any(|element| element.trim() == "algorithm=HMAC_SHA256");
        Ok(if self.variant == Variant::SharedKey && is_sha256 { &self.sha256 } else { &self.sha1 })
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        let variant = if request.headers.contains_key(&KEY_SETTINGS) {
            Variant::SharedKey
        } else if request.query_value(BODY_HASH).is_some() {
            Variant::Json
        } else {
            Variant::Form
        };
        variant == self.variant && request.headers.contains_key(&SIGNATURE)
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        let signature = Encoding::Base64
            .decode(request.required_header(&SIGNATURE)?)
            .ok_or_else(|| Rejection::new(RejectionCode::MalformedHeader, format!("The header `{SIGNATURE}` is not base64.")))?;
        let parameters = parameters(request)?;
        let keys = self.keys(request)?;
        for url in urls(request.url) {
            let text: Text<'_> = smallvec![Cow::Borrowed(url.as_bytes()), Cow::Borrowed(parameters.as_bytes())];
            if let Some(secret) = keys.iter().position(|key| key.verifies(&text, &signature)) {
                return Ok(Proof { secret, ..Proof::default() });
            }
        }
        Err(Rejection::bad_signature())
    }

    fn sign(&self, request: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        if !request.body.is_empty() && !request.as_request().is_form() {
            let hash = hex_encode(digest::digest(&digest::SHA256, &request.body).as_ref());
            let separator = if request.url.contains('?') { '&' } else { '?' };
            request.url = format!("{}{separator}{BODY_HASH}={hash}", request.url);
        }
        if self.variant == Variant::SharedKey {
            request.set_header(&KEY_SETTINGS, "key=webhooks_sharedkey,algorithm=HMAC_SHA256");
        }
        let code = {
            let request = request.as_request();
            let refused = |rejection: Rejection| CannotSign::new(rejection.detail);
            let parameters = parameters(&request).map_err(refused)?;
            let text: Text<'_> = smallvec![Cow::Borrowed(request.url.as_bytes()), Cow::Borrowed(parameters.as_bytes())];
            self.keys(&request).map_err(refused)?[0].code(&text).unwrap_or_default()
        };
        request.set_header(&SIGNATURE, &Encoding::Base64.encode(&code));
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![SIGNATURE.clone()]
    }

    fn signs_url(&self) -> bool {
        true
    }
}

/// The parameters of a form, one after the other: sorted by name, values of a repeated one sorted and each once.
fn parameters(request: &Request<'_>) -> Result<String, Rejection> {
    if let Some(hash) = request.query_value(BODY_HASH) {
        let ours = digest::digest(&digest::SHA256, request.body);
        return match hex_decode(&hash) {
            Some(theirs) if same(&theirs, ours.as_ref()) => Ok(String::new()),
            _ => Err(Rejection::new(
                RejectionCode::BadSignature,
                format!("The body does not have the hash that the URL has in `{BODY_HASH}`."),
            )),
        };
    }
    if request.body.is_empty() {
        return Ok(String::new());
    }
    if !request.is_form() {
        let detail = format!("Nothing covers the body: it is no form, and the URL has no `{BODY_HASH}`.");
        return Err(Rejection::new(RejectionCode::MissingSignature, detail));
    }
    let mut sorted: BTreeMap<Cow<'_, str>, BTreeSet<Cow<'_, str>>> = BTreeMap::new();
    for (name, value) in request.form_pairs() {
        sorted.entry(name).or_default().insert(value);
    }
    let named = sorted.iter().flat_map(|(name, values)| values.iter().flat_map(move |value| [&**name, &**value]));
    Ok(named.collect())
}

/// The URL as it is, and with and without its port: Twilio does one or the other, and says so nowhere.
fn urls(url: &str) -> [Cow<'_, str>; 3] {
    let as_it_is = Cow::Borrowed(url);
    let Some((scheme, rest)) = url.split_once("://") else { return [as_it_is.clone(), as_it_is.clone(), as_it_is] };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[host_end..].rfind(':') {
        Some(at) => (&authority[..host_end + at], Some(&authority[host_end + at..])),
        None => (authority, None),
    };
    let default_port = if scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
    let port = port.unwrap_or(default_port);
    [as_it_is, Cow::Owned(format!("{scheme}://{host}{path}")), Cow::Owned(format!("{scheme}://{host}{port}{path}"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_the_port() {
        let cases = [
            ("https://a.example/x?y", "https://a.example/x?y", "https://a.example:443/x?y"),
            ("http://a.example:8080", "http://a.example", "http://a.example:8080"),
            ("http://[::1]/x", "http://[::1]/x", "http://[::1]:80/x"),
            ("http://[::1]:80/x", "http://[::1]/x", "http://[::1]:80/x"),
        ];
        for (url, without, with) in cases {
            assert_eq!(urls(url), [url, without, with]);
        }
    }
}
