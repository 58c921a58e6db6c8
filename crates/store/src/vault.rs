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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn vault(key: u8) -> Vault {
        Vault::new(&[key; 32], Arc::new(Counting::default()))
    }

    #[test]
    fn opens_what_it_sealed() {
        for plain in [&b""[..], b"x", &[0; 4096]] {
            let sealed = vault(1).seal(b"endpoint 7", plain);
            assert_eq!(vault(1).open(b"endpoint 7", &sealed), Ok(plain.to_vec()));
        }
    }

    #[test]
    fn the_plain_text_is_not_in_the_sealed_one() {
        let vault = vault(1);
        let secret = b"whsec_a secret worth sealing";
        let (first, second) = (vault.seal(b"row", secret), vault.seal(b"row", secret));
        assert!(!first.windows(6).any(|window| secret.windows(6).any(|part| part == window)));
        assert_ne!(first[12..], second[12..], "a nonce is used once");
    }

    #[test]
    fn refuses_another_key_another_row_and_what_was_changed() {
        let sealed = vault(1).seal(b"endpoint 7", b"secret");
        assert_eq!(vault(2).open(b"endpoint 7", &sealed), Err(WrongMasterKey));
        assert_eq!(vault(1).open(b"endpoint 8", &sealed), Err(WrongMasterKey));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(vault(1).open(b"endpoint 7", &changed), Err(WrongMasterKey), "byte {index}");
            assert_eq!(vault(1).open(b"endpoint 7", &sealed[..index]), Err(WrongMasterKey), "cut at {index}");
        }
    }

    #[test]
    fn never_shows_its_key() {
        assert_eq!(format!("{:?}", vault(1)), "Vault(…)");
    }
}
