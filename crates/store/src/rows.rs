//! Rows of the catalogue: JSON, so that fields can be added; what must not be readable is sealed apart from the rest.

use hookpost_domain::{Endpoint, EndpointId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::codec::Unreadable;
use crate::vault::{Vault, WrongMasterKey};

/// Keys of an endpoint that hold secrets: the signing secrets, and the values of custom headers (often tokens).
const SEALED_KEYS: [&str; 2] = ["secrets", "headers"];

#[derive(Debug, Error)]
pub enum RowError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    WrongMasterKey(#[from] WrongMasterKey),
    #[error("a stored row cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>, RowError> {
    Ok(serde_json::to_vec(value)?)
}

pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    Ok(serde_json::from_slice(bytes)?)
}

fn endpoint_context(id: EndpointId) -> Vec<u8> {
    [b"endpoint:".as_slice(), &id.row().raw().to_be_bytes()].concat()
}

/// The readable part and the sealed one.
pub fn encode_endpoint(vault: &Vault, endpoint: &Endpoint) -> Result<(Vec<u8>, Vec<u8>), RowError> {
    let Value::Object(mut open) = serde_json::to_value(endpoint)? else {
        return Err(Unreadable { what: "endpoint", why: "it is not an object".to_owned() }.into());
    };
    let mut secret = Map::new();
    for key in SEALED_KEYS {
        if let Some(value) = open.remove(key) {
            secret.insert(key.to_owned(), value);
        }
    }
    let sealed = vault.seal(&endpoint_context(endpoint.id), &to_json(&secret)?);
    Ok((to_json(&open)?, sealed))
}

pub fn decode_endpoint(vault: &Vault, id: EndpointId, data: &[u8], sealed: &[u8]) -> Result<Endpoint, RowError> {
    let mut endpoint: Map<String, Value> = from_json(data)?;
    let secret: Map<String, Value> = from_json(&vault.open(&endpoint_context(id), sealed)?)?;
    endpoint.extend(secret);
    Ok(serde_json::from_value(Value::Object(endpoint))?)
}
