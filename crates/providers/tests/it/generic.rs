//! The generic schemes with each of their knobs, and tokens with each algorithm.

use hookpost_domain::time::Timestamp;
use hookpost_providers::{Event, Rejection, RejectionCode, Settings, SignedRequest, UnsignedRequest, Verified, Verifier, provider};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_045_000);
const BODY: &[u8] = br#"{"object":"order","action":"paid","data":{"id":42}}"#;

fn verifier(name: &str, settings: Value) -> Verifier {
    let settings: Settings = serde_json::from_value(settings).unwrap();
    Verifier::new(provider(name).unwrap(), &settings).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn sign(verifier: &Verifier) -> SignedRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-id", HeaderValue::from_static("id-1"));
    let unsigned = UnsignedRequest { method: "POST", url: "https://hooks.example.com/in?x=1", headers: &headers, body: BODY };
    verifier.sign(&unsigned, "msg_1", NOW).unwrap_or_else(|error| panic!("{verifier:?}: {error}"))
}

fn verify(verifier: &Verifier, request: &SignedRequest, now: Timestamp) -> Result<Event, Rejection> {
    verifier.verify(&request.as_request(), now).map(|verified| match verified {
        Verified::Event(event) => event,
        Verified::Handshake(handshake) => panic!("{handshake:?}"),
    })
}

#[test]
fn every_knob_of_hmac_changes_what_is_signed() {
    let knobs = [
        json!({}),
        json!({ "algorithm": "sha1" }),
        json!({ "algorithm": "sha384" }),
        json!({ "algorithm": "SHA-512" }),
        json!({ "encoding": "base64" }),
        json!({ "encoding": "base64url" }),
        json!({ "prefix": "sig: " }),
        json!({ "secret_encoding": "hex" }),
        json!({ "secret_encoding": "base64" }),
        json!({ "template": "{method} {url} {header:x-id} {$.data.id} {body}" }),
        json!({ "timestamp_header": "X-Time" }),
        json!({ "timestamp_header": "X-Time", "timestamp_unit": "ms" }),
        json!({ "timestamp_header": "X-Time", "timestamp_unit": "rfc3339", "template": "{body}{timestamp}" }),
        json!({ "element": "v1", "timestamp_element": "t" }),
        json!({ "element": "s", "timestamp_element": "time", "separator": ";", "template": "{timestamp}:{body}" }),
    ];
    let verifiers = knobs.map(|mut config| {
        config["header"] = json!("X-Sig");
        verifier("generic_hmac", json!({ "secret": "00112233445566778899aabb", "config": config }))
    });
    let requests: Vec<_> = verifiers.iter().map(sign).collect();
    for (row, verifier) in verifiers.iter().enumerate() {
        for (column, request) in requests.iter().enumerate() {
            assert_eq!(verify(verifier, request, NOW).is_ok(), row == column, "{row} {column}");
        }
    }
}

#[test]
fn a_timestamp_has_its_tolerance() {
    let after = |seconds: u64| Timestamp::from_unix_ms(NOW.unix_ms() + seconds * 1000);
    let settings = json!({ "secret": "s", "config": { "header": "X-Sig", "timestamp_header": "X-Time", "tolerance": 60 } });
    let verifier = verifier("generic_hmac_timestamp", settings);
    let request = sign(&verifier);
    assert_eq!(verify(&verifier, &request, after(60)).unwrap().timestamp, Some(NOW));
    assert_eq!(verify(&verifier, &request, after(61)).unwrap_err().code, RejectionCode::StaleTimestamp);
}

#[test]
fn events_are_found_where_the_settings_say() {
    let cases = [
        ("header:X-Id", "$.object", Some("id-1"), Some("order")),
        ("$.data.id", "{$.object}.{$.action}", Some("42"), Some("order.paid")),
        ("$.id | query:x", "{$.object}.{$.none} | $.action", Some("1"), Some("paid")),
        ("form:id", "$.data", None, None),
    ];
    for (id, event_type, expected_id, expected_type) in cases {
        let verifier = verifier("generic_none", json!({ "config": { "event_id": id, "event_type": event_type } }));
        let event = verify(&verifier, &sign(&verifier), NOW).unwrap();
        assert_eq!((event.id.as_deref(), event.event_type.as_deref()), (expected_id, expected_type));
    }
}

#[test]
fn a_header_that_differs_from_itself_is_refused() {
    let verifier = verifier("generic_hmac", json!({ "secret": "s", "config": { "header": "X-Sig" } }));
    let mut request = sign(&verifier);
    let signature = request.headers["x-sig"].clone();
    request.headers.append("x-sig", signature);
    assert!(verify(&verifier, &request, NOW).is_ok());
    request.headers.append("x-sig", HeaderValue::from_static("00"));
    assert_eq!(verify(&verifier, &request, NOW).unwrap_err().code, RejectionCode::MalformedHeader);
}

#[test]
fn the_header_of_a_provider_may_have_another_name() {
    let verifier = verifier("grafana", json!({ "secret": "s", "config": { "header": "X-Chosen" } }));
    let request = sign(&verifier);
    assert!(request.headers.contains_key("x-chosen") && verify(&verifier, &request, NOW).is_ok());
}

#[test]
fn tokens_verify_with_their_own_algorithm_only() {
    let shared = json!({ "secret": "a secret that is long enough for all" });
    let rsa = json!({ "secret": include_str!("../keys/rsa_public.pem"), "private_key": include_str!("../keys/rsa_private.pem") });
    let p256 = json!({ "secret": include_str!("../keys/p256_public.pem"), "private_key": include_str!("../keys/p256_private.pem") });
    let ed25519 = json!({
        "secret": "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "private_key": "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    });
    let kinds = [
        (&shared, vec!["HS256", "HS384", "HS512"]),
        (&rsa, vec!["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (&p256, vec!["ES256"]),
        (&ed25519, vec!["EdDSA"]),
    ];
    let with = |settings: &Value, algorithm: &str| {
        let mut settings = settings.clone();
        settings["config"] = json!({ "algorithm": algorithm, "issuer": "us", "audience": ["a", "b"], "require": ["exp", "nbf", "sub"] });
        verifier("generic_jwt", settings)
    };
    let verifiers: Vec<_> = kinds.iter().flat_map(|(settings, names)| names.iter().map(|name| with(settings, name))).collect();
    let requests: Vec<_> = verifiers.iter().map(sign).collect();
    for (row, verifier) in verifiers.iter().enumerate() {
        for (column, request) in requests.iter().enumerate() {
            assert_eq!(verify(verifier, request, NOW).is_ok(), row == column, "{row} {column}");
        }
    }
    // Without a name, the kind of key says which algorithm it is.
    for (settings, column) in [(&shared, 0), (&rsa, 3), (&p256, 9), (&ed25519, 10)] {
        let mut settings = settings.clone();
        if settings == ed25519 {
            settings["config"] = json!({ "algorithm": "EdDSA" });
        }
        assert!(verify(&verifier("generic_jwt", settings), &requests[column], NOW).is_ok(), "{column}");
    }
}

#[test]
fn a_key_set_is_asked_by_key_id() {
    let key = |id: &str, secret: &str| json!({ "kty": "oct", "kid": id, "alg": "HS256", "k": secret });
    let with = |keys: Value| verifier("generic_jwt", json!({ "config": { "jwks": { "keys": keys } } }));
    let one = with(json!([key("one", "c2VjcmV0LW9uZQ")]));
    let request = sign(&one);
    assert!(verify(&with(json!([key("two", "c2VjcmV0LXR3bw"), key("one", "c2VjcmV0LW9uZQ")])), &request, NOW).is_ok());
    let code = |verifier: &Verifier| verify(verifier, &request, NOW).unwrap_err().code;
    assert_eq!(code(&with(json!([key("two", "c2VjcmV0LW9uZQ")]))), RejectionCode::UnknownKey);
    assert_eq!(code(&with(json!([key("one", "c2VjcmV0LXR3bw")]))), RejectionCode::BadSignature);

    // The same key as PEM and as numbers.
    let p256 = json!({ "secret": include_str!("../keys/p256_public.pem"), "private_key": include_str!("../keys/p256_private.pem") });
    let request = sign(&verifier("generic_jwt", p256));
    let pem: String = include_str!("../keys/p256_public.pem").lines().filter(|line| !line.starts_with('-')).collect();
    let der = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(pem).unwrap()
    };
    let number = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    let point = &der[der.len() - 64..];
    let set = json!([{ "kty": "EC", "crv": "P-256", "x": number(&point[..32]), "y": number(&point[32..]) }]);
    assert!(verify(&with(set), &request, NOW).is_ok());
}

#[test]
fn claims_are_for_us_and_for_now() {
    let verifier = |config: Value| verifier("generic_jwt", json!({ "secret": "s", "config": config }));
    let request = sign(&verifier(json!({ "issuer": "them", "audience": "us" })));
    let code = |config: Value, seconds: i64| {
        let now = Timestamp::from_unix_ms(NOW.unix_ms().checked_add_signed(seconds * 1000).unwrap());
        verify(&verifier(config), &request, now).err().map(|rejection| rejection.code)
    };
    assert_eq!(code(json!({ "issuer": "them", "audience": ["you", "us"] }), 299), None);
    assert_eq!(code(json!({}), 300), Some(RejectionCode::StaleTimestamp));
    assert_eq!(code(json!({ "leeway": 10 }), 309), None);
    assert_eq!(code(json!({}), -1), Some(RejectionCode::FutureTimestamp));
    assert_eq!(code(json!({ "issuer": "others" }), 0), Some(RejectionCode::BadClaims));
    assert_eq!(code(json!({ "audience": "you" }), 0), Some(RejectionCode::BadClaims));
    assert_eq!(code(json!({ "require": ["sub"] }), 0), Some(RejectionCode::BadClaims));
}
