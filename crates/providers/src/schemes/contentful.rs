//! Contentful: a canonical request of method, path, chosen headers and body. The timestamp is one of the chosen headers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use smallvec::smallvec;

use crate::clock::{Future, Unit};
use crate::encoding::Encoding;
use crate::keys::{Algorithm, Hash, SecretForm, Text, VerifyingKey};
use crate::location::header_name;
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

static SIGNATURE: HeaderName = HeaderName::from_static("x-contentful-signature");
static SIGNED_HEADERS: HeaderName = HeaderName::from_static("x-contentful-signed-headers");
static TIMESTAMP: HeaderName = HeaderName::from_static("x-contentful-timestamp");
const TOLERANCE_SECONDS: u64 = 30;
const ENCODING: Encoding = Encoding::HexLower;

pub(crate) struct Check {
    keys: Vec<VerifyingKey>,
    tolerance: u64,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let secrets = settings.required_secrets()?;
        let key = |secret: &&str| VerifyingKey::new(Algorithm::Hmac(Hash::Sha256), SecretForm::Text, secret);
        let keys = secrets.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { keys, tolerance: settings.tolerance.unwrap_or(TOLERANCE_SECONDS) })
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        request.headers.contains_key(&SIGNATURE)
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        let signature = ENCODING.decode(request.required_header(&SIGNATURE)?).ok_or_else(|| {
            Rejection::new(RejectionCode::MalformedHeader, format!("The header `{SIGNATURE}` is not {}.", ENCODING.name()))
        })?;
        let moment = Unit::Millis.read(request.required_header(&TIMESTAMP)?).ok_or_else(|| {
            let detail = format!("The header `{TIMESTAMP}` is not {}.", Unit::Millis.describe());
            Rejection::new(RejectionCode::MalformedTimestamp, detail)
        })?;
        let text = canonical(request)?;
        let secret = self.keys.iter().position(|key| key.verifies(&text, &signature)).ok_or_else(Rejection::bad_signature)?;
        moment.check(now, Some(self.tolerance), Future::Any)?;
        Ok(Proof { id: None, timestamp: moment.timestamp(), secret })
    }

    fn sign(&self, request: &mut SignedRequest, _id: &str, now: Timestamp) -> Result<(), CannotSign> {
        request.set_header(&TIMESTAMP, &Unit::Millis.write(now));
        let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).filter(|name| is_usually_signed(name)).collect();
        names.push(SIGNED_HEADERS.as_str());
        names.sort_unstable();
        names.dedup();
        let names = names.join(",");
        request.set_header(&SIGNED_HEADERS, &names);
        let code = {
            let request = request.as_request();
            let text = canonical(&request).map_err(|rejection| CannotSign::new(rejection.detail))?;
            self.keys[0].code(&text).unwrap_or_default()
        };
        request.set_header(&SIGNATURE, &ENCODING.encode(&code));
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![SIGNATURE.clone(), TIMESTAMP.clone(), SIGNED_HEADERS.clone()]
    }

    fn signs_url(&self) -> bool {
        true
    }
}

fn is_usually_signed(name: &str) -> bool {
    name == "content-type" || (name.starts_with("x-contentful-") && name != SIGNATURE.as_str())
}

fn canonical<'a>(request: &Request<'a>) -> Result<Text<'a>, Rejection> {
    let listed = request.required_header(&SIGNED_HEADERS)?;
    let mut headers = BTreeMap::new();
    for name in listed.split(',') {
        let name = header_name(name)
            .map_err(|rule| Rejection::new(RejectionCode::MalformedHeader, format!("An entry of the header `{SIGNED_HEADERS}` {rule}.")))?;
        let value = request.required_header(&name)?;
        headers.insert(name.as_str().to_owned(), value);
    }
    if !headers.contains_key(TIMESTAMP.as_str()) {
        let detail = format!("The header `{TIMESTAMP}` is not among those that are signed, so anyone could change it.");
        return Err(Rejection::new(RejectionCode::MalformedHeader, detail));
    }
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let method = request.method.to_ascii_uppercase();
    let head = format!("{method}\n{}\n{}\n", encoded_path(request), headers.join(";"));
    Ok(smallvec![Cow::Owned(head.into_bytes()), Cow::Borrowed(request.body)])
}

/// The query is escaped as a whole, and then path and query as a URI, so that a `%` is escaped twice.
fn encoded_path(request: &Request<'_>) -> String {
    const KEPT_IN_QUERY: &[u8] = b"-_.!~*'()";
    const KEPT_IN_URI: &[u8] = b";,/?:@&=+$-_.!~*'()#";
    match request.query() {
        Some(query) if !query.is_empty() => {
            let query = escape(query, KEPT_IN_QUERY);
            escape(&format!("{}?{query}", request.path()), KEPT_IN_URI)
        }
        _ => escape(request.path(), KEPT_IN_URI),
    }
}

fn escape(text: &str, kept: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_the_query_twice() {
        let headers = http::HeaderMap::new();
        let cases = [
            ("https://a.example/in/a b", "/in/a%20b"),
            ("https://a.example/in?x=1&y=a/b", "/in?x%253D1%2526y%253Da%252Fb"),
            ("https://a.example/in?", "/in"),
        ];
        for (url, expected) in cases {
            assert_eq!(encoded_path(&Request { method: "POST", url, headers: &headers, body: b"", peer_ip: None }), expected);
        }
    }
}
