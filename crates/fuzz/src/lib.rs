//! One function for each parser of what strangers send. Each takes any bytes, makes a request or a rule of them, has it read, and
//! panics if something comes of it that must not: that is how both runners notice.
//!
//! `fuzz/` runs them under cargo-fuzz, for as long as one likes; `tests/short.rs` runs them for a moment in `make test`.

mod edit;
mod shaping;
mod vectors;

use std::sync::OnceLock;

use hookpost_domain::Timestamp;
use hookpost_providers::{Config, Context, Provider, Request, Settings, Verifier, diagnose, provider, providers};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

pub use edit::edited;
pub use shaping::{encoding, json_path, template};
pub use vectors::{Vector, vectors};

/// What is tried on any bytes.
pub type Target = fn(&[u8]);

/// By the names of the targets in `fuzz/fuzz_targets`.
pub const TARGETS: [(&str, Target); 9] = [
    ("request", request),
    ("header", header),
    ("form", form),
    ("jwt", jwt),
    ("settings", settings),
    ("json_path", json_path),
    ("template", template),
    ("multipart", multipart),
    ("encoding", encoding),
];

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_045_000);
const URL: &str = "https://hooks.example.com/in/x?tenant=1";
const JWT_ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];

/// A request of some provider, changed in a few places: the data are the number of the vector, and the changes.
pub fn request(data: &[u8]) {
    let Some((vector, changes)) = chosen(data, vectors()) else { return };
    let Some(verifier) = vector.verifier() else { return };
    let request = vector.request();
    let body = edited(&request.body, changes);
    let url = edited(request.url.as_bytes(), changes);
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        if let Ok(value) = HeaderValue::from_bytes(&edited(value.as_bytes(), changes)) {
            headers.append(name, value);
        }
    }
    let changed = [
        Request { body: &body, ..request.as_request() },
        Request { url: std::str::from_utf8(&url).unwrap_or(URL), ..request.as_request() },
        Request { headers: &headers, ..request.as_request() },
    ];
    for request in &changed {
        verify(verifier, request, vector.now());
    }
}

/// The data as the value of the signature's header, of each header that the vector has in turn: lists, elements, encodings, timestamps.
pub fn header(data: &[u8]) {
    let Some((vector, value)) = chosen(data, vectors()) else { return };
    let (Some(verifier), Ok(value)) = (vector.verifier(), HeaderValue::from_bytes(value)) else { return };
    let request = vector.request();
    for name in request.headers.keys() {
        let mut headers = request.headers.clone();
        headers.insert(name, value.clone());
        verify(verifier, &Request { headers: &headers, ..request.as_request() }, vector.now());
    }
}

/// The data as a form, for those who sign forms or send them.
pub fn form(data: &[u8]) {
    verify_form(HeaderValue::from_static("application/x-www-form-urlencoded"), data);
}

/// A content type on the first line, a body behind it: forms with parts, for rules and for those who sign them.
pub fn multipart(data: &[u8]) {
    let (content_type, body) = shaping::lines(data);
    shaping::multipart(content_type, body);
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        verify_form(content_type, body);
    }
}

fn verify_form(content_type: HeaderValue, body: &[u8]) {
    static VERIFIERS: OnceLock<Vec<Verifier>> = OnceLock::new();
    let names = ["twilio", "slack", "mailgun", "github", "generic_none"];
    let verifiers = VERIFIERS.get_or_init(|| {
        let places = Config { event_id: Some("form:id | form-json:payload:$.a.b".to_owned()), ..Config::default() };
        let settings = Settings { config: places, ..Settings::with_secret("a secret") };
        names.into_iter().filter_map(provider).filter_map(|provider| Verifier::new(provider, &settings).ok()).collect()
    });
    assert_eq!(verifiers.len(), names.len(), "settings with a secret suffice for all of them");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type);
    for name in ["x-twilio-signature", "x-slack-signature", "x-slack-request-timestamp", "x-hub-signature-256"] {
        headers.insert(name, HeaderValue::from_static("1767323045"));
    }
    for verifier in verifiers {
        verify(verifier, &Request { method: "POST", url: URL, headers: &headers, body, peer_ip: None }, NOW);
    }
}

/// The data as a token, for each kind of key.
pub fn jwt(data: &[u8]) {
    static VERIFIERS: OnceLock<Vec<Verifier>> = OnceLock::new();
    let verifiers = VERIFIERS.get_or_init(|| {
        let tokens = vectors().iter().filter(|vector| vector.provider == "generic_jwt");
        let mut all: Vec<_> = tokens.filter_map(|vector| Verifier::new(provider("generic_jwt")?, &vector.settings).ok()).collect();
        let secret = Settings::with_secret("a secret that is long enough for any of them");
        for algorithm in JWT_ALGORITHMS {
            let config = Config { algorithm: Some(algorithm.to_owned()), ..Config::default() };
            let settings = Settings { config, ..secret.clone() };
            all.extend(provider("generic_jwt").and_then(|provider| Verifier::new(provider, &settings).ok()));
        }
        all
    });
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", data].concat()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    for verifier in verifiers {
        let request = Request { method: "POST", url: URL, headers: &headers, body: b"{}", peer_ip: None };
        if verifier.verify(&request, NOW).is_ok() {
            // Believed only if nothing of it was made up: the tokens of the vectors are what this began from.
            assert!(is_token_of_a_vector(data), "a token that nobody signed is believed: {}", String::from_utf8_lossy(data));
        }
    }
}

/// The data as the settings of a source, and a request to it: keys and certificates, templates, places of values, key sets.
pub fn settings(data: &[u8]) {
    let Some((provider, text)) = chosen(data, providers()) else { return };
    let Ok(settings) = serde_json::from_slice::<Settings>(text) else { return as_every_secret(provider, text) };
    build_and_verify(provider, &settings);
}

fn as_every_secret(provider: &'static Provider, data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = Config { header: Some("x-signature".to_owned()), name: Some("x-key".to_owned()), ..Config::default() };
    let named = |template: Option<String>, event_id: Option<String>| Config { template, event_id, ..config.clone() };
    for config in [config.clone(), named(Some(text.to_owned()), None), named(None, Some(text.to_owned()))] {
        build_and_verify(provider, &Settings { config, ..Settings::with_secret(text) });
    }
}

fn build_and_verify(provider: &'static Provider, settings: &Settings) {
    let Ok(verifier) = Verifier::new(provider, settings) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("x-signature", HeaderValue::from_static("t=1767323045,v1=00"));
    verify(&verifier, &Request { method: "POST", url: URL, headers: &headers, body: br#"{"a":[{"b":1}]}"#, peer_ip: None }, NOW);
}

/// Whatever comes in gets a verdict, and no rejection or diagnosis tells a secret.
fn verify(verifier: &Verifier, request: &Request<'_>, now: Timestamp) {
    let Err(rejection) = verifier.verify(request, now) else { return };
    let diagnosis = diagnose(verifier, request, now, &rejection, &Context::default());
    for said in [Some(&rejection.detail), diagnosis.as_ref().map(|diagnosis| &diagnosis.detail)].into_iter().flatten() {
        assert!(!said.is_empty(), "{}: there is no sentence", rejection.code);
    }
    assert!((400..500).contains(&rejection.code.status()), "{}: a refusal is the sender's business", rejection.code);
}

/// The thing that the first two bytes choose, and the rest.
fn chosen<'d, 't, T>(data: &'d [u8], things: &'t [T]) -> Option<(&'t T, &'d [u8])> {
    let (first, rest) = data.split_first_chunk::<2>()?;
    Some((&things[usize::from(u16::from_le_bytes(*first)) % things.len()], rest))
}

fn is_token_of_a_vector(data: &[u8]) -> bool {
    let tokens = vectors().iter().filter_map(|vector| vector.request().headers.get(AUTHORIZATION));
    tokens.into_iter().any(|token| token.as_bytes().strip_prefix(b"Bearer ") == Some(data.trim_ascii()))
}
