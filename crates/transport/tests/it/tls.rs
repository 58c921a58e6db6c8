//! HTTPS: versions of HTTP, and certificates that are not as they should be.

use std::sync::Arc;

use hookpost_domain::delivery::TransportErrorKind as Kind;
use hookpost_engine::Transport;
use hookpost_transport::{HttpTransport, TransportSettings};
use http::Response;
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Answering, Receiver};
use crate::{assert_error, local, post};

struct Certificate {
    acceptor: TlsAcceptor,
    der: CertificateDer<'static>,
}

fn certificate(name: &str, years: (i32, i32), alpn: &[&str]) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("A test certificate for {name}"));
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let der = params.self_signed(&key).expect("a certificate").der().clone();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("a configuration");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Certificate { acceptor: TlsAcceptor::from(Arc::new(config)), der }
}

fn trusting(certificate: &Certificate) -> TransportSettings {
    TransportSettings { extra_root_certificates: vec![certificate.der.clone()], ..local() }
}

fn url(receiver: &Receiver) -> String {
    format!("https://localhost:{}/hook", receiver.port)
}

const SAYS_VERSION: Answering = |request| {
    let host = request.uri().authority().map(ToString::to_string);
    let host = host.or_else(|| request.headers().get("host").and_then(|host| host.to_str().ok()).map(ToOwned::to_owned));
    let named = host.is_some_and(|host| host.starts_with("localhost:"));
    Response::new(Full::from(format!(
        "{:?} {} {named} {:?}",
        request.version(),
        request.uri().path(),
        request.headers().get("content-length")
    )))
};

#[tokio::test]
async fn speaks_the_version_that_was_agreed_on() {
    for (alpn, version, connections) in [(&["h2", "http/1.1"][..], "HTTP/2.0", 1), (&["http/1.1"], "HTTP/1.1", 8), (&[], "HTTP/1.1", 8)] {
        let certificate = certificate("localhost", (2020, 2200), alpn);
        let receiver = Receiver::answering_tls(certificate.acceptor.clone(), SAYS_VERSION).await;
        let transport = HttpTransport::new(trusting(&certificate));
        for _ in 0..3 {
            for result in futures_util::future::join_all((0..8).map(|_| transport.send(post(&url(&receiver))))).await {
                assert_eq!(result.expect("an answer").body, format!("{version} /hook true Some(\"20\")"));
            }
        }
        assert_eq!(receiver.connections(), connections, "{alpn:?}");
    }
}

#[tokio::test]
async fn a_body_too_long_costs_a_stream_but_not_the_connection() {
    let certificate = certificate("localhost", (2020, 2200), &["h2"]);
    let receiver = Receiver::answering_tls(certificate.acceptor.clone(), |_| Response::new(Full::from(vec![b'x'; 4 << 20]))).await;
    let transport = HttpTransport::new(trusting(&certificate));
    for _ in 0..3 {
        assert_eq!(transport.send(post(&url(&receiver))).await.expect("an answer").body.len(), 1000);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn says_what_is_wrong_with_a_certificate() {
    let good = certificate("localhost", (2020, 2200), &[]);
    let expired = certificate("localhost", (2019, 2020), &[]);
    let not_yet = certificate("localhost", (2190, 2200), &[]);
    let other_name = certificate("example.com", (2020, 2200), &[]);
    for (certificate, trusted, words) in [
        (&good, false, "not trusted here"),
        (&expired, true, "has expired"),
        (&not_yet, true, "is not valid yet"),
        (&other_name, true, "is for another name than localhost: "),
    ] {
        let receiver = Receiver::answering_tls(certificate.acceptor.clone(), SAYS_VERSION).await;
        // Some other certificate keeps the list of roots from being empty on a machine without any.
        let settings = if trusted { trusting(certificate) } else { trusting(&other_name) };
        assert_error(HttpTransport::new(settings).send(post(&url(&receiver))).await, Kind::Tls, words);

        let careless = HttpTransport::new(TransportSettings { dangerous_disable_tls_verification: true, ..local() });
        careless.send(post(&url(&receiver))).await.expect("an answer");
    }
}

#[tokio::test]
async fn plain_http_at_the_other_end_is_named() {
    let receiver = Receiver::answering(|_| Response::default()).await;
    let certificate = certificate("localhost", (2020, 2200), &[]);
    assert_error(HttpTransport::new(trusting(&certificate)).send(post(&url(&receiver))).await, Kind::Tls, "does not speak TLS");
}
