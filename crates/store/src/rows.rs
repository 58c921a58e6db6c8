//! Rows of the catalogue: JSON, so that fields can be added; what must not be readable is sealed apart from the rest.

use hookpost_domain::source::SourceToken;
use hookpost_domain::{Endpoint, EndpointId, RowId, Source, SourceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::IdempotencyKey;
use crate::codec::Unreadable;
use crate::documents::Shelf;
use crate::vault::{Vault, WrongMasterKey};

/// Keys of an endpoint that hold secrets: the signing secrets, and the values of custom headers (often tokens).
const SEALED_OF_ENDPOINT: [&str; 2] = ["secrets", "headers"];
/// Keys of a source that hold secrets: those of its provider, the tokens of its URL, keys and headers with which it is asked.
const SEALED_OF_SOURCE: [&str; 3] = ["kind", "tokens", "rules"];

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

fn source_context(id: SourceId) -> Vec<u8> {
    [b"source:".as_slice(), &id.row().raw().to_be_bytes()].concat()
}

/// The readable part and the sealed one.
pub fn encode_endpoint(vault: &Vault, endpoint: &Endpoint) -> Result<(Vec<u8>, Vec<u8>), RowError> {
    encode_sealed(vault, &endpoint_context(endpoint.id), endpoint, &SEALED_OF_ENDPOINT)
}

pub fn decode_endpoint(vault: &Vault, id: EndpointId, data: &[u8], sealed: &[u8]) -> Result<Endpoint, RowError> {
    decode_sealed(vault, &endpoint_context(id), data, sealed)
}

/// The readable part and the sealed one.
pub fn encode_source(vault: &Vault, source: &Source) -> Result<(Vec<u8>, Vec<u8>), RowError> {
    encode_sealed(vault, &source_context(source.id), source, &SEALED_OF_SOURCE)
}

pub fn decode_source(vault: &Vault, id: SourceId, data: &[u8], sealed: &[u8]) -> Result<Source, RowError> {
    decode_sealed(vault, &source_context(id), data, sealed)
}

/// There is one of some documents per tenant, all with the same id.
fn document_context(shelf: &Shelf, id: RowId) -> Vec<u8> {
    [b"document:".as_slice(), &[shelf.kind as u8], &id.raw().to_be_bytes(), shelf.org.as_str().as_bytes()].concat()
}

/// The whole of its data: no store knows what of it is a secret.
pub fn seal_document(vault: &Vault, shelf: &Shelf, id: RowId, data: &[u8]) -> Vec<u8> {
    vault.seal(&document_context(shelf, id), data)
}

pub fn open_document(vault: &Vault, shelf: &Shelf, id: RowId, sealed: &[u8]) -> Result<Vec<u8>, RowError> {
    Ok(vault.open(&document_context(shelf, id), sealed)?)
}

/// The body of a kept answer, which may show a key or a token for the only time.
pub fn seal_answer(vault: &Vault, key: IdempotencyKey, body: &[u8]) -> Vec<u8> {
    if body.is_empty() { Vec::new() } else { vault.seal(&answer_context(key), body) }
}

pub fn open_answer(vault: &Vault, key: IdempotencyKey, sealed: &[u8]) -> Result<Vec<u8>, RowError> {
    if sealed.is_empty() { Ok(Vec::new()) } else { Ok(vault.open(&answer_context(key), sealed)?) }
}

fn answer_context(key: IdempotencyKey) -> Vec<u8> {
    [b"answer:".as_slice(), &key.0].concat()
}

/// By which a source is found: what stands in the table opens no door.
pub fn token_hash(token: &SourceToken) -> TokenHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.0.as_bytes());
    digest.as_ref().try_into().expect("a digest has 32 bytes")
}

pub type TokenHash = [u8; 32];

fn encode_sealed(vault: &Vault, context: &[u8], row: &impl Serialize, sealed_keys: &[&str]) -> Result<(Vec<u8>, Vec<u8>), RowError> {
    let Value::Object(mut open) = serde_json::to_value(row)? else {
        return Err(Unreadable { what: "row", why: "it is not an object".to_owned() }.into());
    };
    let mut secret = Map::new();
    for key in sealed_keys {
        if let Some(value) = open.remove(*key) {
            secret.insert((*key).to_owned(), value);
        }
    }
    Ok((to_json(&open)?, vault.seal(context, &to_json(&secret)?)))
}

fn decode_sealed<T: DeserializeOwned>(vault: &Vault, context: &[u8], data: &[u8], sealed: &[u8]) -> Result<T, RowError> {
    let mut row: Map<String, Value> = from_json(data)?;
    let secret: Map<String, Value> = from_json(&vault.open(context, sealed)?)?;
    row.extend(secret);
    Ok(serde_json::from_value(Value::Object(row))?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hookpost_domain::access::OrgId;
    use hookpost_domain::source::{BackFill, Poll, PollAuth, ProviderSettings, SourceKind, SourceRules, SourceTokens};
    use hookpost_domain::{ApplicationId, RowId, Timestamp};

    use super::*;
    use crate::documents::DocumentKind;

    #[derive(Debug)]
    struct Same;

    impl hookpost_domain::Entropy for Same {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(7);
        }
    }

    fn source(kind: SourceKind) -> Source {
        let back_fill = BackFill::new("whisper-1".into());
        Source {
            id: SourceId::from_row(RowId::from_raw(9)),
            org: OrgId::parse(OrgId::DEFAULT).unwrap(),
            uid: None,
            name: "Stripe".into(),
            kind,
            application: ApplicationId::from_row(RowId::from_raw(1)),
            owns_application: true,
            tokens: SourceTokens { current: SourceToken("whisper-2".into()), old: vec![(SourceToken("whisper-3".into()), Timestamp::MAX)] },
            rules: SourceRules { back_fill: Some(back_fill), ..SourceRules::default() },
            disabled: false,
            metadata: Default::default(),
            created_at: Timestamp::ZERO,
            updated_at: Timestamp::ZERO,
        }
    }

    #[test]
    fn sources_come_back_and_keep_their_secrets() {
        let vault = Vault::new(&[1; 32], Arc::new(Same));
        let poll = Poll { auth: Some(PollAuth::Bearer("whisper-5".into())), ..Poll::new("https://example.com/?key=whisper-4", 60) };
        let settings = ProviderSettings(r#"{"secret": "whisper-6"}"#.into());
        for kind in [SourceKind::Webhook { type_name: "stripe".into(), settings }, SourceKind::Poll(poll)] {
            let source = source(kind);
            let (data, sealed) = encode_source(&vault, &source).unwrap();
            assert_eq!(decode_source(&vault, source.id, &data, &sealed).unwrap(), source);
            for bytes in [&data, &sealed, &format!("{source:?}").into_bytes()] {
                assert!(!bytes.windows(7).any(|window| window == b"whisper"), "a secret can be read");
            }
            let other = SourceId::from_row(RowId::from_raw(10));
            assert!(matches!(decode_source(&vault, other, &data, &sealed), Err(RowError::WrongMasterKey(_))));
        }
    }

    #[test]
    fn documents_open_where_they_were_sealed() {
        let vault = Vault::new(&[1; 32], Arc::new(Same));
        let shelf = Shelf { kind: DocumentKind::Sink, org: OrgId::parse(OrgId::DEFAULT).unwrap(), owner: RowId::MIN };
        let sealed = seal_document(&vault, &shelf, RowId::MAX, b"whisper");
        assert!(!sealed.windows(7).any(|window| window == b"whisper"));
        assert_eq!(open_document(&vault, &shelf, RowId::MAX, &sealed).unwrap(), b"whisper");
        assert!(matches!(open_document(&vault, &shelf, RowId::MIN, &sealed), Err(RowError::WrongMasterKey(_))));
        for other in [Shelf { org: OrgId::management(), ..shelf.clone() }, Shelf { kind: DocumentKind::Ticket, ..shelf }] {
            assert!(matches!(open_document(&vault, &other, RowId::MAX, &sealed), Err(RowError::WrongMasterKey(_))));
        }
    }
}
