//! How many requests a second one core verifies: HMAC-SHA256 over 1 KiB, with event id and type (GitHub and Stripe).
//!
//! The best of many short rounds is taken, because other processes take the core away in the others.
//!
//!     cargo run --release --package hookpost-providers --example verify_rate

use std::hint::black_box;

use hookpost_domain::time::Timestamp;
use hookpost_providers::{Settings, UnsignedRequest, Verifier, provider};
use http::{HeaderMap, HeaderValue};

const ROUNDS: u32 = 100;
const VERIFICATIONS: u32 = 5_000;
const BODY_BYTES: usize = 1024;

fn main() {
    for name in ["github", "stripe"] {
        println!("{name}: {:.0} verifications per second", rate(name));
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs a clock, and nothing else here has one")]
fn rate(name: &str) -> f64 {
    let now = Timestamp::from_unix_ms(1_767_323_045_000);
    let verifier =
        Verifier::new(provider(name).expect("is in the table"), &Settings::with_secret("a secret of some length")).expect("fits");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("x-github-event", HeaderValue::from_static("push"));
    let frame = r#"{"id":"evt_1","type":"push","padding":""}"#.len();
    let body = format!(r#"{{"id":"evt_1","type":"push","padding":"{}"}}"#, "x".repeat(BODY_BYTES - frame));
    let unsigned = UnsignedRequest { method: "POST", url: "https://hooks.example.com/in", headers: &headers, body: body.as_bytes() };
    let signed = verifier.sign(&unsigned, "a-delivery", now).expect("can be signed");
    let request = signed.as_request();

    let round = || {
        let start = std::time::Instant::now();
        for _ in 0..VERIFICATIONS {
            black_box(verifier.verify(black_box(&request), now)).expect("verifies");
        }
        f64::from(VERIFICATIONS) / start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| round()).fold(0.0, f64::max)
}
