//! What holds for every provider: what is signed verifies, what is changed does not, and nothing panics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookpost_domain::time::Timestamp;
use hookpost_providers::{
    Config, Context, LabelledSecret, Place, Provider, Request, Scheme, Secret, Settings, SignedRequest, UnsignedRequest, Verified,
    Verifier, diagnose, providers,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

const URL: &str = "https://hooks.example.com/in/x?tenant=1&a=b%20c";
const ED25519_SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const ED25519_PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const CERTIFICATE_URL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-TEST";

/// Settings that suffice for one scheme, with this secret in the form that it takes.
fn settings(provider: &Provider, scheme: &Scheme, secret: &[u8]) -> Settings {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(secret);
    let mut settings = Settings { scheme: Some(scheme.name.to_owned()), ..Settings::with_secret(hex.clone()) };
    let config = Config { header: Some("X-Signature".to_owned()), ..Config::default() };
    let mut key_pair = |public: &str, private: &str| {
        settings.secret = Some(Secret::new(public));
        settings.private_key = Some(Secret::new(private));
    };
    match (provider.name, scheme.name) {
        ("discord" | "generic_ed25519" | "telnyx", _) => key_pair(ED25519_PUBLIC, ED25519_SEED),
        ("standard_webhooks", "v1a") => {
            let decoded = |hex: &str| (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect::<Vec<_>>();
            let (seed, public) = (decoded(ED25519_SEED), decoded(ED25519_PUBLIC));
            key_pair(&format!("whpk_{}", STANDARD.encode(&public)), &format!("whsk_{}", STANDARD.encode([seed, public].concat())));
        }
        ("sendgrid", _) | ("generic_ecdsa", _) => {
            key_pair(include_str!("../keys/p256_public.pem"), include_str!("../keys/p256_private.pem"));
        }
        ("orum_io", _) => key_pair(include_str!("../keys/rsa_public.pem"), include_str!("../keys/rsa_private.pem")),
        ("paypal", _) => {
            settings.private_key = Some(Secret::new(include_str!("../keys/rsa_private.pem")));
            settings.certificates = [(CERTIFICATE_URL.to_owned(), include_str!("../keys/rsa_certificate.pem").to_owned())].into();
        }
        (_, "basic" | "generic_basic") => settings.secret = Some(Secret::new(format!("user:{hex}"))),
        ("airtable", _) => settings.secret = Some(Secret::new(base64)),
        ("gitlab", "signing_token") | (_, "svix") | ("svix" | "resend" | "clerk" | "openai" | "replicate" | "standard_webhooks", _) => {
            settings.secret = Some(Secret::new(format!("whsec_{base64}")));
        }
        ("grafana", "timestamped") => settings.timestamp_header = Some("X-Signed-At".to_owned()),
        _ => {}
    }
    if provider.name.starts_with("generic_hmac") || matches!(provider.name, "generic_ed25519" | "generic_ecdsa") {
        settings.config = config;
    }
    match (provider.name, scheme.name) {
        ("generic_hmac_timestamp", _) => settings.config.timestamp_header = Some("X-Timestamp".to_owned()),
        ("generic_api_key", _) => {
            settings.config = Config { name: Some("api_key".to_owned()), place: Some(Place::Query), ..Config::default() }
        }
        (_, "api_key" | "custom_header") => settings.config.name = Some("X-Api-Key".to_owned()),
        ("generic_jwt", _) => settings.config.audience = None,
        _ => {}
    }
    settings
}

/// Where the signature is part of the body, the body must be such a one.
fn fitting_body(provider: &Provider, scheme: &Scheme, body: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&body);
    match (provider.name, scheme.name) {
        ("adyen", "standard") => {
            let item = serde_json::json!({ "pspReference": text, "amount": { "value": 1, "currency": "EUR" }, "eventCode": "AUTHORISATION", "success": "true" });
            serde_json::json!({ "notificationItems": [{ "NotificationRequestItem": item }] }).to_string().into_bytes()
        }
        ("mailgun" | "linear" | "orum_io", _) => serde_json::json!({ "text": text }).to_string().into_bytes(),
        _ => body,
    }
}

/// Tokens vouch for the sender only, and two providers sign a few fields.
fn covers_body(provider: &Provider, scheme: &Scheme) -> bool {
    let is_token = ["basic", "static", "token", "bearer", "query", "api_key", "custom_header", "notifications", "connect_jwt", "jwt"]
        .contains(&scheme.name);
    let is_generic_token = ["generic_basic", "generic_bearer", "generic_api_key", "generic_jwt", "generic_none"].contains(&scheme.name);
    !is_token && !is_generic_token && provider.name != "mailgun" && (provider.name, scheme.name) != ("adyen", "standard")
}

fn signable() -> impl Iterator<Item = (&'static Provider, &'static Scheme)> {
    let all = providers().iter().flat_map(|provider| provider.schemes.iter().map(move |scheme| (provider, scheme)));
    // These say themselves that they cannot be signed; that is tested below.
    all.filter(|(_, scheme)| !["classic", "outbound_message", "generic_ip_allowlist"].contains(&scheme.name))
}

fn signed(verifier: &Verifier, body: &[u8], now: Timestamp) -> SignedRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let unsigned = UnsignedRequest { method: "POST", url: URL, headers: &headers, body };
    verifier.sign(&unsigned, "msg_1", now).unwrap_or_else(|error| panic!("{verifier:?}: {error}"))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (1_600_000_000_000..4_000_000_000_000_u64).prop_map(Timestamp::from_unix_ms)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        secret in prop::collection::vec(any::<u8>(), 24..48),
        body in prop::collection::vec(any::<u8>(), 1..200),
        now in moment(),
        bit in any::<prop::sample::Index>(),
    ) {
        for (provider, scheme) in signable() {
            let name = format!("{} {}", provider.name, scheme.name);
            let verifier = Verifier::new(provider, &settings(provider, scheme, &secret)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let body = fitting_body(provider, scheme, body.clone());
            let request = signed(&verifier, &body, now);
            let verified = verifier.verify(&request.as_request(), now);
            let Ok(Verified::Event(event)) = &verified else { panic!("{name}: {verified:?}") };
            prop_assert_eq!(event.scheme, scheme.name);

            if covers_body(provider, scheme) {
                let mut changed = request.clone();
                let at = bit.index(8 * changed.body.len());
                changed.body[at / 8] ^= 1 << (at % 8);
                prop_assert!(verifier.verify(&changed.as_request(), now).is_err(), "{}: body", name);
            }
            for header in request.headers.keys().filter(|header| is_signature(header)) {
                if let Some(changed) = flip(&request, header, bit) {
                    prop_assert!(verifier.verify(&changed.as_request(), now).is_err(), "{}: {}", name, header);
                }
            }
            let other = Verifier::new(provider, &settings(provider, scheme, b"another secret of 24 byte")).unwrap();
            let has_own_key = scheme.signs_with_private_key() && provider.name != "paypal";
            if !has_own_key && scheme.name != "generic_none" {
                prop_assert!(other.verify(&request.as_request(), now).is_err(), "{}: other secret", name);
            }
        }
    }

    #[test]
    fn nothing_panics_on_what_anyone_may_send(
        secret in "\\PC{0,40}",
        other in "[ -~]{0,80}",
        headers in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof!["[ -~]{0,80}", "t=[0-9]{1,20},v1=[0-9a-f]{0,64}", "v1,[A-Za-z0-9+/=]{0,88}", "sha256=[0-9a-f]{64}", "[0-9]{1,20}", "Bearer [A-Za-z0-9_.-]{0,80}"]), 0..8),
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "[{}\\[\\]\":,a-z0-9\\\\ ]{0,100}".prop_map(String::into_bytes), "<[a-zA-Z/<>=\"' &;!?-]{0,80}".prop_map(String::into_bytes)],
        url in prop_oneof!["\\PC{0,60}", "https://[a-z.:0-9\\[\\]]{0,20}[/?#&=a-z%0-9.]{0,40}"],
        method in prop_oneof!["GET", "POST", "HEAD", "OPTIONS", "[A-Z]{0,8}"],
        now in any::<u64>().prop_map(Timestamp::from_unix_ms),
        tolerance in any::<Option<u64>>(),
    ) {
        let names = header_names();
        let headers: HeaderMap = headers.iter().filter_map(|(at, value)| Some((names[at.index(names.len())].clone(), HeaderValue::from_str(value).ok()?))).collect();
        let request = Request { method: &method, url: &url, headers: &headers, body: &body, peer_ip: None };
        let others = [LabelledSecret { label: "other".to_owned(), secret: Secret::new(other) }];
        for (provider, scheme) in providers().iter().flat_map(|provider| provider.schemes.iter().map(move |scheme| (provider, scheme))) {
            let fitting = Settings { tolerance, ..settings(provider, scheme, b"a secret of 24 bytes here") };
            let arbitrary = Settings { tolerance, ..Settings::with_secret(secret.clone()) };
            for settings in [fitting, arbitrary] {
                let Ok(verifier) = Verifier::new(provider, &settings) else { continue };
                if let Err(rejection) = verifier.verify(&request, now) {
                    let _ = diagnose(&verifier, &request, now, &rejection, &Context { other_secrets: &others });
                }
                let _ = verifier.sign(&UnsignedRequest { method: &method, url: &url, headers: &headers, body: &body }, "", now);
            }
        }
    }
}

#[test]
fn who_cannot_be_signed_says_so() {
    let unsignable = [
        ("paddle", Settings::with_secret(include_str!("../keys/rsa_public.pem"))),
        ("salesforce", Settings { scheme: Some("outbound_message".to_owned()), ..Settings::with_secret("00DTEST00000001AAA") }),
        (
            "generic_ip_allowlist",
            Settings { config: Config { allow: vec!["192.0.2.1".to_owned()], ..Config::default() }, ..Settings::default() },
        ),
        ("discord", Settings::with_secret(ED25519_PUBLIC)),
        ("asana", Settings::default()),
    ];
    for (name, settings) in unsignable {
        let verifier = Verifier::new(hookpost_providers::provider(name).unwrap(), &settings).unwrap();
        let unsigned = UnsignedRequest { method: "POST", url: URL, headers: &HeaderMap::new(), body: b"{}" };
        let refusal = verifier.sign(&unsigned, "id", Timestamp::ZERO).unwrap_err().to_string();
        assert!(refusal.ends_with('.') && refusal.len() > 30, "{name}: {refusal}");
    }
}

fn is_signature(header: &HeaderName) -> bool {
    ["signature", "hmac", "-sig", "token", "authorization", "-mac", "-auth"].iter().any(|part| header.as_str().contains(part))
        && header != "i-twilio-idempotency-token"
}

/// Flips a bit near the end of the value, where the signature is. `None`: the change makes no other value.
fn flip(request: &SignedRequest, header: &HeaderName, bit: prop::sample::Index) -> Option<SignedRequest> {
    let value = request.headers[header].as_bytes();
    let near_end = value.len().min(20);
    let at = bit.index(8 * near_end);
    let mut changed = value.to_vec();
    changed[value.len() - near_end + at / 8] ^= 1 << (at % 8);
    if changed.eq_ignore_ascii_case(value) {
        return None;
    }
    let mut request = request.clone();
    request.headers.insert(header, HeaderValue::from_bytes(&changed).ok()?);
    Some(request)
}

/// Every header that signing with any scheme adds, and some that handshakes read.
fn header_names() -> Vec<HeaderName> {
    let handshakes = [
        "x-hook-secret",
        "webhook-request-origin",
        "x-okta-verification-challenge",
        "twitch-eventsub-message-type",
        "ce-id",
        "content-type",
    ];
    let mut names: Vec<HeaderName> = handshakes.map(HeaderName::from_static).to_vec();
    for (provider, scheme) in signable() {
        let verifier = Verifier::new(provider, &settings(provider, scheme, b"a secret of 24 bytes here")).unwrap();
        let request = signed(&verifier, &fitting_body(provider, scheme, b"{}".to_vec()), Timestamp::from_unix_ms(1_767_323_045_000));
        names.extend(request.headers.keys().cloned());
    }
    names.sort_by(|left, right| left.as_str().cmp(right.as_str()));
    names.dedup();
    names
}
