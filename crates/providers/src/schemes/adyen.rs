//! Adyen's standard notifications: each item of the body carries an HMAC over eight of its fields, and over no other.

use std::borrow::Cow;

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;
use smallvec::smallvec;

use crate::encoding::Encoding;
use crate::keys::{Algorithm, Hash, SecretForm, Text, VerifyingKey};
use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

pub(crate) struct Check {
    keys: Vec<VerifyingKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    notification_items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "NotificationRequestItem")]
    item: Item,
}

/// What is signed of an item. A field that comes twice is refused, because others might read the other one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Item {
    psp_reference: Value,
    original_reference: Value,
    merchant_account_code: Value,
    merchant_reference: Value,
    amount: Amount,
    event_code: Value,
    success: Value,
    additional_data: AdditionalData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount {
    value: Value,
    currency: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AdditionalData {
    hmac_signature: Option<String>,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let secrets = settings.required_secrets()?;
        let key = |secret: &&str| VerifyingKey::new(Algorithm::Hmac(Hash::Sha256), SecretForm::Hex, secret);
        Ok(Self { keys: secrets.iter().map(key).collect::<Result<_, _>>()? })
    }

    fn verify_item(&self, item: &Item) -> Result<usize, Rejection> {
        let signature = item
            .additional_data
            .hmac_signature
            .as_deref()
            .ok_or_else(|| Rejection::new(RejectionCode::MissingSignature, "An item has no `additionalData.hmacSignature`."))?;
        let malformed = || Rejection::new(RejectionCode::MalformedBody, "The `hmacSignature` of an item is not base64.");
        let signature = Encoding::Base64.decode(signature).ok_or_else(malformed)?;
        let text = item.text();
        self.keys.iter().position(|key| key.verifies(&text, &signature)).ok_or_else(Rejection::bad_signature)
    }
}

impl super::Check for Check {
    fn applies(&self, request: &Request<'_>) -> bool {
        read(request.body).is_some()
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        let items = read(request.body).ok_or_else(|| {
            Rejection::new(RejectionCode::MalformedBody, "The body is not `{\"notificationItems\": [{\"NotificationRequestItem\": …}]}`.")
        })?;
        let mut secret = 0;
        for entry in &items {
            secret = self.verify_item(&entry.item)?;
        }
        Ok(Proof { secret, ..Proof::default() })
    }

    fn sign(&self, request: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        let refused = || {
            CannotSign::new(
                "The body must be `{\"notificationItems\": [{\"NotificationRequestItem\": {…}}]}`, into which the signature goes.",
            )
        };
        let entries = read(&request.body).ok_or_else(refused)?;
        let mut body: Value = serde_json::from_slice(&request.body).map_err(|_| refused())?;
        for (index, entry) in entries.iter().enumerate() {
            let code = self.keys[0].code(&entry.item.text()).unwrap_or_default();
            let item = body["notificationItems"][index]["NotificationRequestItem"].as_object_mut().ok_or_else(refused)?;
            let data = item.entry("additionalData").or_insert_with(|| Value::Object(serde_json::Map::new()));
            data.as_object_mut().ok_or_else(refused)?.insert("hmacSignature".to_owned(), Encoding::Base64.encode(&code).into());
        }
        request.body = body.to_string().into_bytes();
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

impl Item {
    fn text(&self) -> Text<'static> {
        let fields = [
            &self.psp_reference,
            &self.original_reference,
            &self.merchant_account_code,
            &self.merchant_reference,
            &self.amount.value,
            &self.amount.currency,
            &self.event_code,
            &self.success,
        ];
        let text = fields.map(|field| match field {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        smallvec![Cow::Owned(text.join(":").into_bytes())]
    }
}

/// The items, of which there is at least one: without any, nothing would be signed.
fn read(body: &[u8]) -> Option<Vec<Entry>> {
    let notification: Notification = serde_json::from_slice(body).ok()?;
    Some(notification.notification_items).filter(|items| !items.is_empty())
}
