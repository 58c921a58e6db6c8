//! Each of the usual mistakes is made once, and named.

use hookpost_domain::time::Timestamp;
use hookpost_providers::{
    Context, LabelledSecret, Request, Secret, Settings, SignedRequest, UnsignedRequest, Verifier, diagnose, provider,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_045_000);
const URL: &str = "https://hooks.example.com/in/x?b=1&a=2";
const BODY: &str = r#"{"b":"https://a.example/é","a":[1,{"c":null}]}"#;

struct Sender {
    verifier: Verifier,
}

fn sender(name: &str, settings: &Settings) -> Sender {
    Sender { verifier: Verifier::new(provider(name).unwrap(), settings).unwrap() }
}

impl Sender {
    fn sign(&self, body: &[u8], at: Timestamp) -> SignedRequest {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        self.verifier.sign(&UnsignedRequest { method: "POST", url: URL, headers: &headers, body }, "id", at).unwrap()
    }

    /// What is found out about a request, which must be rejected.
    fn explain(&self, request: &SignedRequest) -> String {
        let others = [LabelledSecret { label: "shop (test)".to_owned(), secret: Secret::new("secret of the shop") }];
        let request: Request<'_> = request.as_request();
        let rejection = self.verifier.verify(&request, NOW).expect_err("must be rejected");
        let diagnosis = diagnose(&self.verifier, &request, NOW, &rejection, &Context { other_secrets: &others });
        diagnosis.map_or_else(|| format!("nothing: {rejection}"), |diagnosis| format!("{}: {}", diagnosis.code, diagnosis.detail))
    }
}

fn check(name: &str, settings: &Settings, expected: &str, change: impl FnOnce(&mut SignedRequest)) {
    let sender = sender(name, settings);
    let mut request = sender.sign(BODY.as_bytes(), NOW);
    change(&mut request);
    let found = sender.explain(&request);
    assert!(found.starts_with(expected), "{name}: expected {expected}, found {found}");
}

#[test]
fn names_what_happened_to_the_body() {
    let signed = |body: &str| sender("github", &Settings::with_secret("s")).sign(body.as_bytes(), NOW);
    let sender = sender("github", &Settings::with_secret("s"));
    let pretty = "{\n  \"b\": \"https://a.example/é\",\n  \"a\": [\n    1,\n    {\n      \"c\": null\n    }\n  ]\n}";
    let cases = [
        (BODY.to_owned(), format!("{BODY}\n"), "body_newline_added"),
        (format!("{BODY}\n"), BODY.to_owned(), "body_newline_removed"),
        (format!("{BODY}\r\n"), BODY.to_owned(), "body_newline_removed"),
        (BODY.to_owned(), format!(" {BODY}  "), "body_whitespace"),
        (BODY.to_owned(), format!("\u{feff}{BODY}"), "body_bom_added"),
        (format!("\u{feff}{BODY}"), BODY.to_owned(), "body_bom_removed"),
        ("a\r\nb".to_owned(), "a\nb".to_owned(), "body_line_ends"),
        ("a\nb".to_owned(), "a\r\nb".to_owned(), "body_line_ends"),
        (BODY.to_owned(), pretty.to_owned(), "body_reserialized"),
        (pretty.to_owned(), BODY.to_owned(), "body_reserialized"),
        (r#"{"a":[1,{"c":null}],"b":"https://a.example/é"}"#.to_owned(), BODY.to_owned(), "body_reserialized"),
        (r#"{"b":"https:\/\/a.example\/\u00e9","a":[1,{"c":null}]}"#.to_owned(), BODY.to_owned(), "body_reserialized"),
        (r#"{"b":"https://a.example/\u00e9","a":[1,{"c":null}]}"#.to_owned(), BODY.to_owned(), "body_reserialized"),
        (r#"{"b": "https://a.example/é", "a": [1, {"c": null}]}"#.to_owned(), BODY.to_owned(), "body_reserialized"),
        (BODY.to_owned(), BODY.replace("null", "true"), "nothing"),
    ];
    for (before, after, expected) in cases {
        let mut request = signed(&before);
        request.body = after.into_bytes();
        let found = sender.explain(&request);
        assert!(found.starts_with(expected), "expected {expected}, found {found}");
    }
}

#[test]
fn names_what_is_wrong_with_the_secret() {
    let cases = [
        ("github", "secret of the shop", "s", "secret_of_another_endpoint: The request was made with the secret of shop (test)"),
        ("github", "s", " s\n", "secret_whitespace"),
        ("github", "s", "\"s\"", "secret_quotes"),
        ("github", "s\n", "s", "secret_newline"),
        ("github", "c2VjcmV0", "whsec_c2VjcmV0", "secret_prefix"),
        ("github", "secret", "c2VjcmV0", "secret_decoded"),
        ("github", "secret", "whsec_c2VjcmV0", "secret_decoded"),
        ("github", "secret", "736563726574", "secret_decoded"),
        ("github", "one", "another", "nothing"),
    ];
    for (name, theirs, ours, expected) in cases {
        let request = sender(name, &Settings::with_secret(theirs)).sign(BODY.as_bytes(), NOW);
        let found = sender(name, &Settings::with_secret(ours)).explain(&request);
        assert!(found.starts_with(expected), "{theirs} {ours}: {found}");
    }
    // The text of a secret that should have been decoded: BigCommerce signs like Svix, with the secret as it is.
    let request = sender("bigcommerce", &Settings::with_secret("whsec_c2VjcmV0")).sign(BODY.as_bytes(), NOW);
    let found = sender("svix", &Settings::with_secret("whsec_c2VjcmV0")).explain(&request);
    assert!(found.starts_with("secret_not_decoded"), "{found}");
}

#[test]
fn names_how_the_signature_is_written() {
    let github = |expected, write: fn(&str) -> String| {
        check("github", &Settings::with_secret("s"), expected, |request| rewrite(request, "x-hub-signature-256", write));
    };
    github("signature_upper_case", |value| format!("sha256={}", value[7..].to_uppercase()));
    github("signature_prefix", |value| value[7..].to_owned());
    github("signature_prefix", |value| value.replace("sha256=", "v1="));
    github("signature_quoted", |value| format!("\"{value}\""));
    github("signature_base64", |value| format!("sha256={}", to_base64(&value[7..])));
    github("nothing", |value| value.replace(|c: char| c.is_ascii_digit(), "0"));
    let stripe = |expected, write: fn(&str) -> String| {
        check("stripe", &Settings::with_secret("s"), expected, |request| rewrite(request, "stripe-signature", write));
    };
    stripe("signature_upper_case", |value| {
        let (before, signature) = value.rsplit_once('=').unwrap();
        format!("{before}={}", signature.to_uppercase())
    });
    check("shopify", &Settings::with_secret("s"), "signature_hex", |request| {
        rewrite(request, "x-shopify-hmac-sha256", |value| {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        });
    });
}

#[test]
fn names_the_url_that_was_signed() {
    let settings = Settings::with_secret("s");
    let at = |url: &'static str| move |request: &mut SignedRequest| request.url = url.to_owned();
    for name in ["hubspot", "contentful"] {
        check(name, &settings, "url_differs", at("https://hooks.example.com/in/x/?b=1&a=2"));
    }
    let signed_url = "url_differs: The provider signed the URL `https://hooks.example.com/in/x?b=1&a=2`";
    check("hubspot", &settings, signed_url, at("http://hooks.example.com/in/x?b=1&a=2"));
    check("hubspot", &settings, signed_url, at("https://hooks.example.com:8443/in/x?b=1&a=2"));
    check("hubspot", &settings, signed_url, |request| {
        request.url = "http://10.0.0.1:8071/in/x?b=1&a=2".to_owned();
        request.headers.insert("x-forwarded-host", HeaderValue::from_static("hooks.example.com"));
    });
    check("hubspot", &settings, "nothing", at("https://elsewhere.example.com/in/x"));
    let request = sender("square", &settings).sign(BODY.as_bytes(), NOW);
    let fixed = Settings { notification_url: Some("https://hooks.example.com/in/x/?b=1&a=2".to_owned()), ..settings };
    let found = sender("square", &fixed).explain(&request);
    assert!(found.starts_with(signed_url) && found.contains("registered"), "{found}");
}

#[test]
fn names_clocks_and_units() {
    let slack = sender("slack", &Settings::with_secret("s"));
    let at = |ms: i64| slack.explain(&slack.sign(BODY.as_bytes(), Timestamp::from_unix_ms(NOW.unix_ms().checked_add_signed(ms).unwrap())));
    assert!(at(-432_000).starts_with("stale_timestamp: The timestamp is 7 min 12 s old, allowed are 5 min."), "{}", at(-432_000));
    assert!(at(432_000).starts_with("future_timestamp: The timestamp is 7 min 12 s in the future"), "{}", at(432_000));
    let in_ms = slack.sign(BODY.as_bytes(), Timestamp::from_unix_ms(NOW.unix_ms() * 1000));
    assert!(slack.explain(&in_ms).contains("It is in milliseconds"), "{}", slack.explain(&in_ms));
    let hubspot = sender("hubspot", &Settings::with_secret("s"));
    let in_seconds = hubspot.sign(BODY.as_bytes(), Timestamp::from_unix_ms(NOW.unix_seconds()));
    assert!(hubspot.explain(&in_seconds).contains("It is in seconds"), "{}", hubspot.explain(&in_seconds));
    check("slack", &Settings::with_secret("s"), "timestamp_format", |request| {
        request.headers.insert("x-slack-request-timestamp", HeaderValue::from_static("2026-01-02T03:04:05Z"));
    });
}

#[test]
fn names_headers_that_are_called_otherwise() {
    let settings = Settings::with_secret("s");
    for alias in [
        "hub-signature-256",
        "x_hub_signature_256",
        "http-x-hub-signature-256",
        "http_x_hub_signature_256",
        "x-forwarded-x-hub-signature-256",
    ] {
        check("github", &settings, "renamed_header", |request| rename(request, "x-hub-signature-256", alias));
    }
    check(
        "slack",
        &settings,
        "renamed_header: The header `x-slack-request-timestamp` is missing and `slack-request-timestamp` is there; with",
        |request| {
            rename(request, "x-slack-request-timestamp", "slack-request-timestamp");
        },
    );
    check("github", &settings, "other_scheme", |request| rename(request, "x-hub-signature-256", "x-hub-signature"));
    check("github", &settings, "other_provider: The request has the header `Stripe-Signature`", |request| {
        rename(request, "x-hub-signature-256", "stripe-signature");
    });
    check("github", &settings, "nothing", |request| {
        request.headers.remove("x-hub-signature-256");
    });
}

fn rewrite(request: &mut SignedRequest, name: &'static str, write: impl Fn(&str) -> String) {
    let value = write(request.headers[name].to_str().unwrap());
    request.headers.insert(name, HeaderValue::from_str(&value).unwrap());
}

fn rename(request: &mut SignedRequest, name: &str, alias: &'static str) {
    let value = request.headers.remove(name).unwrap();
    request.headers.insert(HeaderName::from_static(alias), value);
}

fn to_base64(hex: &str) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
