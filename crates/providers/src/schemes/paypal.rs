//! PayPal: RSA with a certificate that the request names by its URL, over ids and a CRC-32 of the body.
//!
//! Certificates come with the settings: nothing is fetched here. A URL that is not on a host of PayPal is refused before it is
//! looked up, so that whoever fetches certificates may do it by the rejection `unknown_key`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use smallvec::smallvec;
use url::Url;

use crate::clock::{Future, Unit};
use crate::der::{self, Certificate};
use crate::encoding::Encoding;
use crate::keys::{Asymmetric, Hash, PrivateKey, Text, VerifyingKey};
use crate::request::{Request, SignedRequest};
use crate::schemes::{Proof, needs_private_key, private_key};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

static SIGNATURE: HeaderName = HeaderName::from_static("paypal-transmission-sig");
static ID: HeaderName = HeaderName::from_static("paypal-transmission-id");
static TIME: HeaderName = HeaderName::from_static("paypal-transmission-time");
static CERTIFICATE_URL: HeaderName = HeaderName::from_static("paypal-cert-url");
static ALGORITHM: HeaderName = HeaderName::from_static("paypal-auth-algo");
const ALGORITHM_NAME: &str = "SHA256withRSA";
const RSA_SHA256: Asymmetric = Asymmetric::Rsa(Hash::Sha256);

pub(crate) struct Check {
    webhook_ids: Vec<Box<str>>,
    certificates: BTreeMap<String, (VerifyingKey, Certificate)>,
    private_key: Option<PrivateKey>,
    tolerance: Option<u64>,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut certificates = BTreeMap::new();
        for (url, text) in &settings.certificates {
            let refused = || SettingsError::new("certificates", format!("must have an RSA certificate in PEM for `{url}`"));
            let (_, bytes) = der::pem(text).ok_or_else(refused)?;
            let certificate = der::certificate(&bytes).ok_or_else(refused)?;
            let key = VerifyingKey::public(RSA_SHA256, &certificate.key).map_err(|_| refused())?;
            certificates.insert(url.clone(), (key, certificate));
        }
        Ok(Self {
            webhook_ids: settings.required_secrets()?.into_iter().map(Into::into).collect(),
            certificates,
            private_key: private_key(RSA_SHA256, settings)?,
            tolerance: settings.tolerance,
        })
    }

    fn key(&self, request: &Request<'_>, now: Timestamp) -> Result<&VerifyingKey, Rejection> {
        let url = request.required_header(&CERTIFICATE_URL)?;
        if !is_of_paypal(url) {
            let detail = format!("The header `{CERTIFICATE_URL}` is not a URL on a host of paypal.com with https.");
            return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
        }
        let unknown = |detail| Rejection::new(RejectionCode::UnknownKey, detail);
        let (key, certificate) =
            self.certificates.get(url).ok_or_else(|| unknown(format!("The settings have no certificate for `{url}`.")))?;
        if now < certificate.not_before || now > certificate.not_after {
            return Err(unknown(format!(
                "The certificate for `{url}` is valid from {} to {}.",
                certificate.not_before, certificate.not_after
            )));
        }
        Ok(key)
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        request.headers.contains_key(&SIGNATURE)
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        let malformed = |detail| Rejection::new(RejectionCode::MalformedHeader, detail);
        let signature = request.required_header(&SIGNATURE)?;
        let signature = Encoding::Base64.decode(signature).ok_or_else(|| malformed(format!("The header `{SIGNATURE}` is not base64.")))?;
        if request.required_header(&ALGORITHM)? != ALGORITHM_NAME {
            return Err(malformed(format!("The header `{ALGORITHM}` is not `{ALGORITHM_NAME}`, which is the only one accepted here.")));
        }
        let (id, time) = (request.required_header(&ID)?, request.required_header(&TIME)?);
        let moment = Unit::Rfc3339.read(time).ok_or_else(|| {
            let detail = format!("The header `{TIME}` is not {}.", Unit::Rfc3339.describe());
            Rejection::new(RejectionCode::MalformedTimestamp, detail)
        })?;
        let key = self.key(request, now)?;
        let matches = |webhook_id: &str| key.verifies(&text(id, time, webhook_id, request.body), &signature);
        let secret = self.webhook_ids.iter().position(|webhook_id| matches(webhook_id)).ok_or_else(Rejection::bad_signature)?;
        moment.check(now, self.tolerance, Future::Within)?;
        Ok(Proof { id: None, timestamp: moment.timestamp(), secret })
    }

    fn sign(&self, request: &mut SignedRequest, id: &str, now: Timestamp) -> Result<(), CannotSign> {
        let key = self.private_key.as_ref().ok_or_else(needs_private_key)?;
        let url =
            self.certificates.keys().next().ok_or_else(|| CannotSign::new("The settings have no certificate that could be named."))?;
        let time = Unit::Rfc3339.write(now);
        let signature = key.sign(&text(id, &time, &self.webhook_ids[0], &request.body))?;
        request.set_header(&ID, id);
        request.set_header(&TIME, &time);
        request.set_header(&CERTIFICATE_URL, url);
        request.set_header(&ALGORITHM, ALGORITHM_NAME);
        request.set_header(&SIGNATURE, &Encoding::Base64.encode(&signature));
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        [&SIGNATURE, &ID, &TIME, &CERTIFICATE_URL, &ALGORITHM].map(Clone::clone).to_vec()
    }
}

fn text(id: &str, time: &str, webhook_id: &str, body: &[u8]) -> Text<'static> {
    smallvec![Cow::Owned(format!("{id}|{time}|{webhook_id}|{}", crc32(body)).into_bytes())]
}

fn is_of_paypal(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_host = url.host_str().is_some_and(|host| host == "paypal.com" || host.ends_with(".paypal.com"));
    is_host && url.scheme() == "https" && url.username().is_empty() && url.password().is_none() && url.port().is_none()
}

/// The checksum of zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up() {
        assert_eq!((crc32(b"123456789"), crc32(b"")), (0xcbf4_3926, 0));
    }

    #[test]
    fn believes_no_other_host() {
        assert!(is_of_paypal("https://api.paypal.com/v1/notifications/certs/CERT-1"));
        for url in [
            "http://api.paypal.com/x",
            "https://paypal.com.evil.example/x",
            "https://evilpaypal.com/x",
            "https://api.paypal.com@evil.example/x",
            "https://api.paypal.com:8443/x",
            "https://user@api.paypal.com/x",
            "x",
        ] {
            assert!(!is_of_paypal(url), "{url}");
        }
    }
}
