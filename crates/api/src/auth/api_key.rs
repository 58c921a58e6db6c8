//! Opaque keys: `hp_` and 32 random base62 characters (190 bits). Shown once; kept as their SHA-256.

use hookpost_domain::access::KeyReach;
use hookpost_domain::id::Id;
use hookpost_domain::{ApiKey, Entropy, OrgId, RowId, Scope, Timestamp};

pub(crate) const PREFIX: &str = "hp_";
const RANDOM_CHARS: usize = 32;
/// How much of a key is kept readable, to recognise it in a list.
const HINT_CHARS: usize = PREFIX.len() + 4;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What is asked for when a key is made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    pub org: OrgId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub reach: KeyReach,
    pub expires_at: Option<Timestamp>,
}

/// Makes a key: its text, which nobody sees again, and the row to keep.
pub fn new_api_key(new: NewApiKey, id: RowId, entropy: &dyn Entropy, now: Timestamp) -> (String, ApiKey) {
    let text = random_text(PREFIX, entropy);
    let key = ApiKey {
        id: Id::from_row(id),
        org: new.org,
        name: new.name,
        key_sha256: hash(&text),
        hint: text[..HINT_CHARS].to_owned(),
        scopes: new.scopes,
        reach: new.reach,
        expires_at: new.expires_at,
        created_at: now,
    };
    (text, key)
}

pub(crate) fn hash(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What nobody guesses.
pub(crate) fn random_text(prefix: &str, entropy: &dyn Entropy) -> String {
    let mut text = String::with_capacity(prefix.len() + RANDOM_CHARS);
    text.push_str(prefix);
    let mut bytes = [0; 64];
    while text.len() < prefix.len() + RANDOM_CHARS {
        entropy.fill(&mut bytes);
        // Bytes from 248 on are thrown away, so that all characters are equally likely.
        let usable = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(BASE62[usize::from(*byte) % 62]));
        text.extend(usable.take(prefix.len() + RANDOM_CHARS - text.len()));
    }
    text
}
