//! TLS to receivers: the certificates of the platform, HTTP/2 by ALPN, and sentences for what can be wrong with a certificate.

use std::io;
use std::sync::Arc;

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_engine::TransportError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::error::{error, find_source};
use crate::stream::Stream;
use crate::target::HostPort;

#[derive(Debug)]
pub(crate) struct Tls {
    dangerous_disable_verification: bool,
    extra_roots: Vec<CertificateDer<'static>>,
    /// Loading the certificates of the platform takes milliseconds and a megabyte: not before someone needs them.
    configs: OnceCell<Configs>,
}

#[derive(Debug, Clone)]
struct Configs {
    receiver: Arc<ClientConfig>,
    /// CONNECT is spoken in HTTP/1.1.
    proxy: Arc<ClientConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Receiver,
    Proxy,
}

impl Tls {
    pub(crate) fn new(dangerous_disable_verification: bool, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { dangerous_disable_verification, extra_roots, configs: OnceCell::new() }
    }

    /// The stream, and whether HTTP/2 was agreed on.
    pub(crate) async fn handshake(&self, stream: Stream, to: &HostPort, peer: Peer) -> Result<(Stream, bool), TransportError> {
        let configs = self.configs.get_or_try_init(|| self.load()).await?;
        let config = match peer {
            Peer::Receiver => &configs.receiver,
            Peer::Proxy => &configs.proxy,
        };
        let name = match &to.host {
            url::Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| error(TransportErrorKind::InvalidUrl, "The host of the URL cannot be the name in a certificate"))?,
            url::Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            url::Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        match TlsConnector::from(Arc::clone(config)).connect(name, stream).await {
            Ok(stream) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok((Stream::Tls(Box::new(stream)), http2))
            }
            Err(failure) => Err(error(TransportErrorKind::Tls, explain(&failure, to, peer))),
        }
    }

    async fn load(&self) -> Result<Configs, TransportError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.dangerous_disable_verification {
            Arc::new(AcceptAnything(Arc::clone(&provider)))
        } else {
            let roots = self.extra_roots.clone();
            let provider = Arc::clone(&provider);
            let loaded = tokio::task::spawn_blocking(move || Verifier::new_with_extra_roots(roots, provider)).await;
            let verifier = loaded.map_err(|_| "the loading was interrupted".to_owned()).and_then(|v| v.map_err(|error| error.to_string()));
            Arc::new(verifier.map_err(|reason| {
                error(
                    TransportErrorKind::Tls,
                    format!(
                        "No certificate can be verified, because the trusted certificates of this machine could not be loaded ({reason}). Install them \
                         (the package is often called ca-certificates), or name a file of them in SSL_CERT_FILE"
                    ),
                )
            })?)
        };
        let config = |alpn: &[&[u8]]| -> Result<Arc<ClientConfig>, TransportError> {
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|reason| error(TransportErrorKind::Tls, format!("TLS could not be set up: {reason}")))?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier))
                .with_no_client_auth();
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            Ok(Arc::new(config))
        };
        Ok(Configs { receiver: config(&[b"h2", b"http/1.1"])?, proxy: config(&[b"http/1.1"])? })
    }
}

fn explain(failure: &io::Error, to: &HostPort, peer: Peer) -> String {
    let whose = match peer {
        Peer::Receiver => "The certificate of the receiver",
        Peer::Proxy => "The certificate of the proxy",
    };
    let tls_error = failure.get_ref().and_then(|source| find_source::<rustls::Error>(source));
    let Some(rustls::Error::InvalidCertificate(certificate)) = tls_error else {
        return match tls_error {
            Some(rustls::Error::InvalidMessage(_)) => format!("{to} does not speak TLS: is the URL meant to begin with http://?"),
            Some(tls_error) => format!("The TLS handshake with {to} failed: {tls_error}"),
            None => format!("The TLS handshake with {to} failed: the connection was closed ({failure})"),
        };
    };
    match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!("{whose} has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!("{whose} is not valid yet"),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "{whose} was issued by an authority that is not trusted here (it may be self-signed, or an intermediate certificate is missing)"
            )
        }
        CertificateError::NotValidForName => format!("{whose} is for another name than {}", to.host),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("{whose} is for another name than {}: {}", to.host, presented.join(", "))
        }
        CertificateError::Revoked => format!("{whose} was revoked"),
        other => format!("{whose} is not acceptable: {other}"),
    }
}

/// What `dangerous_disable_tls_verification` stands for.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
