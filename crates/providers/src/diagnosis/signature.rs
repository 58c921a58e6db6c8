//! Is the signature written in another way? In upper case, in hex where base64 belongs, without its prefix, in quotes.

use http::{HeaderMap, HeaderValue};

use super::{Case, Diagnosis, finding};
use crate::encoding::{Encoding, base64_of_people, hex_decode};

const PREFIXES: [&str; 8] = ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "v1,", "hmac-sha256=", "t=0,v1="];

/// Shorter than any signature, and longer than a timestamp or a version.
const SIGNATURE_CHARS_MIN: usize = 26;

pub(super) fn explain(case: &Case<'_>) -> Option<Diagnosis> {
    let names: Vec<_> = case.verifier.active().iter().filter_map(|active| active.check.headers().into_iter().next()).collect();
    for name in names {
        let Some(value) = case.request.headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        for (code, how, changed) in changes(value) {
            let Ok(changed) = HeaderValue::from_str(&changed) else { continue };
            let mut headers: HeaderMap = case.request.headers.clone();
            headers.insert(&name, changed);
            if case.verifies_with_headers(&headers) {
                let detail = format!(
                    "The signature in `{name}` fits when it is written {how}: the sender, or something on the way, writes it otherwise."
                );
                return Some(finding(code, detail));
            }
        }
    }
    None
}

fn changes(value: &str) -> Vec<(&'static str, &'static str, String)> {
    let unquoted = value.trim_matches(['"', '\'']);
    let mut changes = vec![("signature_quoted", "without the quotes around it", unquoted.to_owned())];
    let Some((before, signature, after)) = find_signature(unquoted) else { return changes };
    let mut put = |code, how, changed: String| {
        changes.push((code, how, format!("{before}{changed}{after}")));
        changes.push((code, how, changed.clone()));
        changes.extend(PREFIXES.map(|prefix| (code, how, format!("{prefix}{changed}"))));
    };
    put("signature_prefix", "with the prefix that the scheme has, or without one", signature.to_owned());
    put("signature_upper_case", "in lower case", signature.to_ascii_lowercase());
    if let Some(bytes) = hex_decode(signature) {
        put("signature_hex", "in base64 instead of hex", Encoding::Base64.encode(&bytes));
    }
    if let Some(bytes) = base64_of_people(signature) {
        put("signature_base64", "in hex instead of base64", Encoding::Hex.encode(&bytes));
        put("signature_base64_alphabet", "in standard base64 with its padding", Encoding::Base64.encode(&bytes));
        put("signature_base64_alphabet", "in base64url without padding", Encoding::Base64Url.encode(&bytes));
        // Some encode the hex text once more.
        if let Ok(inner) = String::from_utf8(bytes) {
            put("signature_encoded_twice", "without being encoded twice", inner);
        }
    }
    changes
}

/// The longest run of characters that a signature is made of, with what stands before and after it.
fn find_signature(value: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut longest = 0..0;
    let mut start = 0;
    for (at, character) in value.char_indices().chain([(value.len(), ' ')]) {
        if is_part(character) {
            continue;
        }
        if at - start > longest.len() {
            longest = start..at;
        }
        start = at + character.len_utf8();
    }
    if longest.len() < SIGNATURE_CHARS_MIN {
        return None;
    }
    let padding = value[longest.end..].bytes().take_while(|byte| *byte == b'=').count();
    let end = longest.end + padding;
    Some((&value[..longest.start], &value[longest.start..end], &value[end..]))
}
