//! The query string hash of Atlassian Connect: SHA-256 over method, path and sorted query, each percent-encoded in one way.

use std::collections::BTreeMap;

use ring::digest;

use crate::encoding::hex_encode;
use crate::request::Request;

pub(super) fn hash(request: &Request<'_>) -> String {
    hex_encode(digest::digest(&digest::SHA256, canonical(request).as_bytes()).as_ref())
}

fn canonical(request: &Request<'_>) -> String {
    let path = request.path();
    let path = match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.replace('&', "%26"),
    };
    // Values of a repeated parameter are one value, in their order; the token itself is not part of what it hashes.
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in request.query_pairs().filter(|(name, _)| name != "jwt") {
        parameters.entry(encode(&name)).or_default().push(encode(&value));
    }
    let parameters = parameters.into_iter().map(|(name, mut values)| {
        values.sort();
        format!("{name}={}", values.join(","))
    });
    format!("{}&{path}&{}", request.method.to_ascii_uppercase(), parameters.collect::<Vec<_>>().join("&"))
}

/// RFC 3986: everything but the unreserved characters is encoded, in upper-case hex.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_canonical_request() {
        let headers = http::HeaderMap::new();
        let cases = [
            ("https://a.example/in/jira?user_id=1&x=a%20b", "POST&/in/jira&user_id=1&x=a%20b"),
            ("https://a.example/in/jira/?b=2&a=%2a&b=1&jwt=x", "POST&/in/jira&a=%2A&b=1,2"),
            ("https://a.example", "POST&/&"),
        ];
        for (url, expected) in cases {
            assert_eq!(canonical(&Request { method: "post", url, headers: &headers, body: b"", peer_ip: None }), expected);
        }
    }
}
