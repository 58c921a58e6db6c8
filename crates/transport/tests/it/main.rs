//! The client against receivers, good and bad, that listen on a free port of 127.0.0.1 and end with the test.

mod answers;
mod connections;
mod fetch;
mod guard;
mod proxies;
mod pull;
mod receiver;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::delivery::TransportErrorKind;
use hookpost_engine::{Answer, OutgoingRequest, Transport, TransportError};
use hookpost_transport::{AddressPolicy, HttpTransport, TransportSettings};
use http::{HeaderMap, HeaderValue, Method};

/// Settings with which 127.0.0.1 may be reached.
fn local() -> TransportSettings {
    TransportSettings {
        addresses: AddressPolicy { allow_private_networks: true, allowed_subnets: Vec::new() },
        connect_timeout: Duration::from_secs(5),
        ..TransportSettings::default()
    }
}

fn post(url: &str) -> OutgoingRequest {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    OutgoingRequest {
        method: Method::POST,
        uri: url.parse().expect(url),
        headers,
        body: Bytes::from_static(b"{\"secret\":\"payload\"}"),
        timeout: Duration::from_secs(10),
        body_bytes_kept: 1000,
    }
}

async fn send(url: &str) -> Result<Answer, TransportError> {
    HttpTransport::new(local()).send(post(url)).await
}

/// The kind, and that the sentence holds the words and no secret.
fn assert_error(result: Result<Answer, TransportError>, kind: TransportErrorKind, words: &str) {
    let error = result.expect_err(words);
    assert_eq!(error.kind, kind, "{}", error.message);
    assert!(error.message.contains(words), "{:?} does not say {words:?}", error.message);
    assert!(!error.message.contains("secret"), "{:?}", error.message);
}
