//! Paddle Classic: RSA with SHA-1 over all fields of a form, as PHP serialises them. Verified for those who still get it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use smallvec::smallvec;

use crate::encoding::Encoding;
use crate::keys::{Algorithm, Asymmetric, Hash, SecretForm, Text, VerifyingKey};
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

const SIGNATURE: &str = "p_signature";

pub(crate) struct Check {
    keys: Vec<VerifyingKey>,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let algorithm = Algorithm::Public(Asymmetric::Rsa(Hash::Sha1));
        let secrets = settings.required_secrets()?;
        let keys = secrets.iter().map(|secret| VerifyingKey::new(algorithm, SecretForm::Text, secret)).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        request.form_value(SIGNATURE).is_some()
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        // Of a repeated field the last one counts, as in PHP.
        let mut fields: BTreeMap<_, _> = request.form_pairs().collect();
        let missing = || Rejection::new(RejectionCode::MissingSignature, format!("The form field `{SIGNATURE}` is missing."));
        let signature = fields.remove(SIGNATURE).ok_or_else(missing)?;
        let malformed = || Rejection::new(RejectionCode::MalformedBody, format!("The form field `{SIGNATURE}` is not base64."));
        let signature = Encoding::Base64.decode(&signature).ok_or_else(malformed)?;
        let text: Text<'_> = smallvec![Cow::Owned(php_serialize(&fields).into_bytes())];
        let secret = self.keys.iter().position(|key| key.verifies(&text, &signature)).ok_or_else(Rejection::bad_signature)?;
        Ok(Proof { secret, ..Proof::default() })
    }

    fn sign(&self, _: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        Err(CannotSign::new("RSA signatures over SHA-1 are verified for those who still get them, and no longer made."))
    }

    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

/// An array of strings, with lengths in bytes.
fn php_serialize(fields: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> String {
    let string = |text: &str| format!("s:{}:\"{text}\";", text.len());
    let fields_text: String = fields.iter().map(|(name, value)| string(name) + &string(value)).collect();
    format!("a:{}:{{{fields_text}}}", fields.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_as_php_does() {
        let fields = [("b", "é"), ("a", "")].map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        assert_eq!(php_serialize(&fields.into()), "a:2:{s:1:\"a\";s:0:\"\";s:1:\"b\";s:2:\"é\";}");
    }
}
