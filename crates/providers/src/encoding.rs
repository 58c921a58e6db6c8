//! Hex and base64 as signatures are written, and comparison that takes the same time wherever two values differ.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, general_purpose};
use smallvec::SmallVec;
use subtle::ConstantTimeEq as _;

/// Signatures of HMAC and ed25519 stay on the stack; those of RSA do not.
pub(crate) type Bytes = SmallVec<[u8; 64]>;

/// Secrets are pasted with and without padding.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
const LENIENT_URL: GeneralPurpose = general_purpose::GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Hex in lower case only: the provider's own library compares the text.
    HexLower,
    /// Hex in either case.
    Hex,
    /// Canonical base64 with its padding.
    Base64,
    /// The alphabet of URLs, without padding.
    Base64Url,
    /// The same with padding, or without.
    Base64UrlPadded,
}

impl Encoding {
    pub(crate) fn decode(self, text: &str) -> Option<Bytes> {
        match self {
            Self::HexLower if text.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
            Self::HexLower | Self::Hex => hex_decode(text),
            Self::Base64 => base64_decode(&STANDARD, text),
            Self::Base64Url => base64_decode(&URL_SAFE_NO_PAD, text),
            Self::Base64UrlPadded => base64_decode(&LENIENT_URL, text),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::HexLower | Self::Hex => hex_encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Self::Base64UrlPadded => URL_SAFE.encode(bytes),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HexLower => "lower-case hex",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url | Self::Base64UrlPadded => "base64url",
        }
    }
}

pub(crate) fn hex_decode(text: &str) -> Option<Bytes> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

pub(crate) fn hex_encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn base64_decode(engine: &GeneralPurpose, text: &str) -> Option<Bytes> {
    let mut buffer = [0; 96];
    match engine.decode_slice(text, &mut buffer) {
        Ok(length) => Some(Bytes::from_slice(&buffer[..length])),
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => engine.decode(text).ok().map(Bytes::from_vec),
        Err(base64::DecodeSliceError::DecodeError(_)) => None,
    }
}

/// Base64 as people paste it: either alphabet, with or without padding.
pub(crate) fn base64_of_people(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text).or_else(|_| LENIENT_URL.decode(text)).ok()
}

/// Whether two values are the same, in a time that tells nothing but their lengths.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let bytes: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::HexLower, Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            for length in [0, 1, 2, 20, 32, 64, 256] {
                let text = encoding.encode(&bytes[..length]);
                assert_eq!(encoding.decode(&text).as_deref(), Some(&bytes[..length]), "{encoding:?} {length}");
            }
        }
        let refused = [
            (Encoding::HexLower, "AB"),
            (Encoding::Hex, "abc"),
            (Encoding::Hex, "zz"),
            (Encoding::Base64, "YQ"),
            (Encoding::Base64, "YR=="),
            (Encoding::Base64, "YQ==\n"),
            (Encoding::Base64Url, "YQ=="),
        ];
        for (encoding, text) in refused {
            assert_eq!(encoding.decode(text), None, "{encoding:?} {text}");
        }
        assert_eq!(Encoding::Hex.decode("aB").as_deref(), Some(&[0xab][..]));
    }
}
