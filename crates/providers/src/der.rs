//! The little of DER and PEM that public keys and certificates need: their key, and from when to when they are valid.
//!
//! Reads only, checks no signature of a certificate: which certificates are believed is written in the settings.

use hookpost_domain::time::Timestamp;

use crate::encoding::base64_of_people;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const EXPLICIT_0: u8 = 0xa0;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A public key as ring takes it: PKCS#1 for RSA, the point for a curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Certificate {
    pub(crate) key: PublicKey,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A block of PEM: what stands after `BEGIN`, and the bytes. Line ends may be written as `\n`, as in environment variables.
pub(crate) fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, after) = text.split_once("-----BEGIN ")?;
    let (label, after) = after.split_once("-----")?;
    let (encoded, _) = after.split_once("-----END ")?;
    let encoded: String = encoded.replace("\\n", "").split_ascii_whitespace().collect();
    Some((label, base64_of_people(&encoded)?))
}

/// A SubjectPublicKeyInfo.
pub(crate) fn public_key(der: &[u8]) -> Option<PublicKey> {
    let (info, _) = expect(SEQUENCE, der)?;
    let (algorithm, rest) = expect(SEQUENCE, info)?;
    let (bits, _) = expect(BIT_STRING, rest)?;
    let (oid, parameters) = expect(OBJECT_IDENTIFIER, algorithm)?;
    let kind = match oid {
        RSA => KeyKind::Rsa,
        ED25519 => KeyKind::Ed25519,
        EC => match expect(OBJECT_IDENTIFIER, parameters)?.0 {
            P256 => KeyKind::P256,
            P384 => KeyKind::P384,
            _ => return None,
        },
        _ => return None,
    };
    let (unused_bits, bytes) = bits.split_first()?;
    (*unused_bits == 0).then(|| PublicKey { kind, bytes: bytes.to_vec() })
}

pub(crate) fn certificate(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let after_version = expect(EXPLICIT_0, signed).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = expect(INTEGER, after_version)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (_issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (_subject, rest) = expect(SEQUENCE, rest)?;
    let (not_before, validity) = time(validity)?;
    let (not_after, _) = time(validity)?;
    Some(Certificate { key: public_key(rest)?, not_before, not_after })
}

/// The PKCS#1 form of an RSA key that is given by its numbers.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> PublicKey {
    let content = [write(INTEGER, &unsigned(modulus)), write(INTEGER, &unsigned(exponent))].concat();
    PublicKey { kind: KeyKind::Rsa, bytes: write(SEQUENCE, &content) }
}

/// One element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn expect(wanted: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?;
    let digits = match tag {
        UTC_TIME => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| digits.get(from..to);
    let rfc3339 = format!("{}-{}-{}T{}:{}:{}Z", part(0, 4)?, part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?, part(12, 14)?);
    Some((Timestamp::parse_rfc3339(&rfc3339)?, rest))
}

fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(short as u8),
        long @ 0x80..=0xff => der.extend([0x81, long as u8]),
        longer => der.extend([0x82, (longer >> 8) as u8, longer as u8]),
    }
    der.extend_from_slice(content);
    der
}

/// An unsigned number in the shortest form that DER does not take for a negative one.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = &number[start..];
    match digits.first() {
        Some(first) if first & 0x80 == 0 => digits.to_vec(),
        _ => [&[0], digits].concat(),
    }
}
