//! Seals what must not be readable in the file of a store: signing secrets and values of custom headers.

use std::sync::Arc;

use hookpost_domain::Entropy;
use thiserror::Error;

/// ChaCha20-Poly1305 with a random nonce per secret; the row it belongs to is authenticated with it.
#[derive(Clone)]
pub struct Vault {
    key: ring::aead::LessSafeKey,
    entropy: Arc<dyn Entropy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the master key does not open this secret: is HOOKPOST_MASTER_KEY the one the data was written with?")]
pub struct WrongMasterKey;

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    pub fn new(master_key: &[u8; 32], entropy: Arc<dyn Entropy>) -> Self {
        let key = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, master_key).expect("32 bytes are a key");
        Self { key: ring::aead::LessSafeKey::new(key), entropy }
    }

    /// `context` names the row, so that a sealed value cannot be moved to another.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; ring::aead::NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(ring::aead::Nonce::assume_unique_for_key(nonce), ring::aead::Aad::from(context), &mut sealed)
            .expect("a secret is far below the size limit of the cipher");
        [&nonce, sealed.as_slice()].concat()
    }

    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, WrongMasterKey> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(WrongMasterKey)?;
        let mut buffer = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(ring::aead::Nonce::assume_unique_for_key(*nonce), ring::aead::Aad::from(context), &mut buffer)
            .map_err(|_| WrongMasterKey)?;
        Ok(plain.to_vec())
    }
}
