//! The signature vectors of all providers: made with the providers' own libraries, or by their formulas.
//!
//! A vector with `policy` is one that the provider leaves open; `DECISIONS` says what was decided and why. Nothing but the
//! request and the settings of a vector is looked at to verify it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::time::Timestamp;
use hookpost_providers::{Answer, Rejection, Request, Settings, Verified, Verifier, provider, providers};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What was decided where a provider leaves it open. In every case so far as its own library, or the vector, has it.
const DECISIONS: [(&str, &str); 15] = [
    ("aud-check", "monday: the URL in `aud` must be this one; a token for another URL is not for us"),
    ("auth-scheme-case", "`basic` and `bearer` are accepted in any case: RFC 9110 says so"),
    ("box-escape", "Box: the escaped form of the body is tried second, as its libraries do"),
    ("future-timestamp", "accepted where the provider's library looks at the age only; the signer is who it says"),
    ("hex-case", "upper case is refused where the provider's library compares text, accepted where it decodes and in generic schemes"),
    ("ipv4-mapped", "::ffff:192.0.2.1 is 192.0.2.1: a socket for both families reports it so"),
    ("newer-scheme", "Twilio: HMAC-SHA256 is accepted when its header says so"),
    ("no-signature", "Salesforce: the id of the organization is compared, in constant time, because there is nothing else"),
    ("port", "Twilio: the URL is tried as it is, without and with its port, as its libraries do"),
    ("raw-body", "Zoom: the raw bytes are what is signed"),
    ("scheme-weakness", "accepted: what the scheme does not cover, nobody can check"),
    ("secret-whitespace", "a secret is used exactly as it was pasted; the diagnosis finds white space around it"),
    ("timestamp-window", "without a documented window every age is accepted; `tolerance` sets one"),
    ("unsigned-ping", "WooCommerce: the ping is answered, because activation reports an error otherwise"),
    ("uri-decoding", "HubSpot: the URL is tried as it is, and decoded as its documentation says"),
];

#[derive(Deserialize)]
struct Vector {
    provider: String,
    case: String,
    expect: String,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body_base64: String,
    now: u64,
    event_id: Option<String>,
    event_type: Option<String>,
    #[serde(default)]
    handshake: bool,
    response: Option<Value>,
    policy: Option<String>,
    peer_ip: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Vector {
    fn settings(&self) -> Settings {
        let fields = self.rest.iter().filter(|(name, _)| Settings::FIELDS.contains(&name.as_str()));
        let fields: Map<_, _> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        serde_json::from_value(fields.into()).unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    fn name(&self) -> String {
        format!("{}/{}", self.provider, self.case)
    }

    fn verify(&self, settings: &Settings) -> Result<Verified, Rejection> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name.parse::<HeaderName>().unwrap(), http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body = STANDARD.decode(&self.body_base64).unwrap();
        let provider = provider(&self.provider).unwrap_or_else(|| panic!("{}: no such provider", self.name()));
        let verifier = Verifier::new(provider, settings).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        let peer_ip = self.peer_ip.as_ref().map(|ip| ip.parse().unwrap());
        let request = Request { method: &self.method, url: &self.url, headers: &headers, body: &body, peer_ip };
        verifier.verify(&request, Timestamp::from_unix_ms(self.now * 1000))
    }

    /// What is wrong with this result, if anything.
    fn problem(&self, result: &Result<Verified, Rejection>) -> Option<String> {
        let response = self.response.as_ref();
        match (self.expect.as_str(), result) {
            ("valid", Err(rejection)) => Some(format!("{}: {rejection}", rejection.code)),
            ("invalid", Ok(_)) => Some("is believed".to_owned()),
            ("invalid", Err(rejection)) => {
                let status = response.and_then(|response| response["status"].as_u64());
                status.filter(|status| *status != u64::from(rejection.code.status())).map(|status| format!("must answer {status}"))
            }
            (_, Ok(verified)) => {
                let event = verified.event();
                if matches!(verified, Verified::Handshake(_)) != self.handshake {
                    return Some("is a handshake and no event, or the other way round".to_owned());
                }
                if (&event.id, &event.event_type) != (&self.event_id, &self.event_type) {
                    return Some(format!("has {:?} {:?}, expected {:?} {:?}", event.id, event.event_type, self.event_id, self.event_type));
                }
                response.and_then(|response| match verified.answer() {
                    Some(answer) => differs(answer, response),
                    None => Some("has no answer".to_owned()),
                })
            }
            (other, _) => panic!("{}: expects {other}", self.name()),
        }
    }
}

fn differs(answer: &Answer, response: &Value) -> Option<String> {
    if response["status"].as_u64() != Some(answer.status.into()) {
        return Some(format!("answers {}", answer.status));
    }
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        let ours = answer.headers.iter().find(|(ours, _)| ours.as_str().eq_ignore_ascii_case(name)).map(|(_, ours)| ours.to_str().unwrap());
        let mut allowed: Vec<&str> = value.as_str().unwrap().split('|').collect();
        allowed.extend(response["header_alternatives"][name].as_array().into_iter().flatten().filter_map(Value::as_str));
        if ours.is_none_or(|ours| !allowed.contains(&ours)) {
            return Some(format!("answers with {name}: {ours:?}"));
        }
    }
    let body = std::str::from_utf8(&answer.body).unwrap();
    let is_same = match response {
        Value::Object(map) if map.contains_key("body_json") => serde_json::from_str::<Value>(body).unwrap() == map["body_json"],
        Value::Object(map) if map.contains_key("body_contains") => body.contains(map["body_contains"].as_str().unwrap()),
        Value::Object(map) if map.contains_key("body") => body == map["body"].as_str().unwrap(),
        _ => true,
    };
    (!is_same).then(|| format!("answers {body}"))
}

fn vectors() -> Vec<Vector> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| serde_json::from_slice::<Vec<Vector>>(&fs::read(file).unwrap()).unwrap()).collect()
}

fn check_all(settings: impl Fn(&Vector) -> Settings) {
    let vectors = vectors();
    assert_eq!(vectors.len(), 1116 + 113);
    let problem =
        |vector: &Vector| vector.problem(&vector.verify(&settings(vector))).map(|problem| format!("{}: {problem}", vector.name()));
    let problems: Vec<_> = vectors.iter().filter_map(problem).collect();
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), vectors.len(), problems.join("\n"));
}

#[test]
fn every_vector_is_decided_as_expected() {
    check_all(Vector::settings);
}

/// Most users name no scheme: the request shows which it is.
#[test]
fn every_vector_is_decided_as_expected_without_naming_the_scheme() {
    check_all(|vector| Settings { scheme: None, ..vector.settings() });
}

#[test]
fn every_open_question_is_decided() {
    for vector in vectors() {
        let Some(policy) = &vector.policy else { continue };
        let word = policy.split(':').next().unwrap();
        assert!(DECISIONS.iter().any(|(known, _)| *known == word), "{}: {policy}", vector.name());
    }
}

#[test]
fn every_provider_with_a_scheme_of_its_own_has_vectors() {
    let vectors = vectors();
    // Two have no scheme that is public, three are generic schemes of which the parts are tested elsewhere.
    let without = ["churnzero", "gainsight", "generic_ecdsa", "generic_ed25519", "generic_none"];
    for provider in providers().iter().filter(|provider| !without.contains(&provider.name)) {
        assert!(vectors.iter().any(|vector| vector.provider == provider.name), "{}", provider.name);
    }
}
