//! Settings that do not fit are refused with the field and the rule, and secrets never show.

use hookpost_providers::{Config, KeySet, Secret, Settings, Verifier, provider, providers};
use serde_json::json;

fn refusal(name: &str, settings: &Settings) -> String {
    match Verifier::new(provider(name).unwrap(), settings) {
        Ok(verifier) => panic!("accepted: {verifier:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn says_which_field_and_which_rule() {
    let secret = Settings::with_secret;
    let config = |config: Config| Settings { config, ..secret("s") };
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        ("github", Settings::default(), "`secret` is missing"),
        ("github", secret(""), "`secret` is missing"),
        ("github", secret("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"), "`secret` is a public key or certificate"),
        ("github", Settings { scheme: text("md5"), ..secret("s") }, "`scheme` must be one of 2 that GitHub has: sha256, sha1"),
        ("svix", secret("whsec_%%%"), "`secret` must be `whsec_` and base64"),
        ("standard_webhooks", Settings { scheme: text("v1"), ..secret("whpk_AAAA") }, "`secret` is a public key"),
        ("standard_webhooks", secret("whsk_AAAA"), "`secret` is a private key"),
        ("adyen", secret("xyz"), "`secret` must be hex"),
        ("airtable", secret("%"), "`secret` must be base64"),
        ("discord", secret("abcd"), "`secret` must be a public key"),
        (
            "discord",
            Settings { private_key: Some(Secret::new("x")), ..secret(&"00".repeat(32)) },
            "`private_key` must be an ed25519 private key",
        ),
        ("sendgrid", secret(&"00".repeat(32)), "`secret` must be a public key on the curve P-256"),
        ("postmark", secret("user"), "`secret` must be `user:password`"),
        ("grafana", Settings { scheme: text("timestamped"), ..secret("s") }, "`timestamp_header` is missing"),
        (
            "paypal",
            Settings { certificates: [("u".to_owned(), "x".to_owned())].into(), ..secret("s") },
            "`certificates` must have an RSA certificate",
        ),
        ("generic_hmac", secret("s"), "`config.header` is missing"),
        ("generic_hmac", config(Config { header: text("X-A B"), ..Config::default() }), "`config.header` is not the name of a header"),
        (
            "generic_hmac",
            config(Config { header: text("a"), algorithm: text("md5"), ..Config::default() }),
            "`config.algorithm` must be `sha1`",
        ),
        ("generic_hmac", config(Config { header: text("a"), encoding: text("b"), ..Config::default() }), "`config.encoding` must be"),
        (
            "generic_hmac",
            config(Config { header: text("a"), template: text("{id}{body}"), ..Config::default() }),
            "`config.template` has a place",
        ),
        (
            "generic_hmac",
            config(Config { header: text("a"), template: text("{body}{x"), ..Config::default() }),
            "`config.template` has a `{` without",
        ),
        (
            "generic_hmac",
            config(Config { header: text("a"), template: text("x"), ..Config::default() }),
            "`config.template` must contain `{body}`",
        ),
        ("generic_hmac", config(Config { header: text("a"), event_id: text("$id"), ..Config::default() }), "`config.event_id` has a path"),
        ("generic_hmac_timestamp", config(Config { header: text("a"), ..Config::default() }), "`config.timestamp_header` is missing"),
        ("generic_api_key", secret("s"), "`config.name` is missing"),
        ("generic_ip_allowlist", Settings::default(), "`config.allow` is missing"),
        ("generic_ip_allowlist", config(Config { allow: vec!["x".to_owned()], ..Config::default() }), "`config.allow` must be addresses"),
        ("generic_jwt", config(Config { algorithm: text("none"), ..Config::default() }), "`config.algorithm` must be one of HS256"),
        ("generic_jwt", config(Config { algorithm: text("RS256"), ..Config::default() }), "`secret` must be a public key"),
        ("generic_jwt", config(Config { jwks: Some(KeySet(json!({}))), ..Config::default() }), "`config.jwks` must be like"),
        ("generic_jwt", config(Config { jwks: Some(KeySet(json!({ "keys": [] }))), ..Config::default() }), "`config.jwks` has no key"),
    ];
    for (name, settings, expected) in cases {
        let refusal = refusal(name, &settings);
        assert!(refusal.starts_with(expected), "{name}: {refusal}");
    }
}

#[test]
fn never_shows_a_secret() {
    let settings: Settings = serde_json::from_value(json!({
        "secret": "hunter2", "secret_secondary": "hunter2", "secrets": ["hunter2"], "private_key": "hunter2", "verify_token": "hunter2",
        "config": { "jwks": { "keys": [{ "kty": "oct", "k": "hunter2" }] } },
    }))
    .unwrap();
    let github = Verifier::new(provider("github").unwrap(), &settings).unwrap();
    let shown = format!("{settings:?} {github:?} {:?}", Secret::new("hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(serde_json::to_value(&settings).unwrap()["secrets"], json!(["hunter2"]));
}

#[test]
fn refuses_unknown_fields_and_writes_only_what_is_set() {
    assert!(serde_json::from_value::<Settings>(json!({ "secert": "x" })).is_err());
    assert!(serde_json::from_value::<Settings>(json!({ "config": { "heder": "x" } })).is_err());
    let written = serde_json::to_value(Settings::with_secret("x")).unwrap();
    assert_eq!(written, json!({ "secret": "x" }));
}

#[test]
fn what_a_scheme_needs_and_takes_are_fields_of_the_settings() {
    for provider in providers() {
        assert!(!provider.schemes.is_empty() && provider.has_handshake() == provider.handshake().is_some(), "{}", provider.name);
        for field in provider.schemes.iter().flat_map(|scheme| scheme.needs().iter().chain(scheme.takes())) {
            let written = match field.strip_prefix("config.") {
                Some(knob) => json!({ "config": { knob: null } }),
                None => json!({ *field: null }),
            };
            let unknown = serde_json::from_value::<Settings>(written).is_err_and(|error| error.to_string().contains("unknown field"));
            assert!(!unknown, "{}: {field}", provider.name);
        }
    }
}

#[test]
fn every_live_secret_is_believed() {
    let github = provider("github").unwrap();
    let settings: Settings = serde_json::from_value(json!({ "secret": "new", "secret_secondary": "old", "secrets": ["older"] })).unwrap();
    let verifier = Verifier::new(github, &settings).unwrap();
    let now = hookpost_domain::time::Timestamp::ZERO;
    let headers = http::HeaderMap::new();
    let unsigned = hookpost_providers::UnsignedRequest { method: "POST", url: "/", headers: &headers, body: b"{}" };
    for (secret, believed) in [("new", true), ("old", true), ("older", true), ("oldest", false)] {
        let sender = Verifier::new(github, &Settings::with_secret(secret)).unwrap();
        let request = sender.sign(&unsigned, "id", now).unwrap();
        assert_eq!(verifier.verify(&request.as_request(), now).is_ok(), believed, "{secret}");
    }
}
