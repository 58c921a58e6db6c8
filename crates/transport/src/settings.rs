//! What an operator may choose about the network.

use std::time::Duration;

use hookpost_domain::limits;
use rustls::pki_types::CertificateDer;

use crate::proxy::Proxy;
use hookpost_domain::address::AddressPolicy;

#[derive(Debug, Clone)]
pub struct TransportSettings {
    pub addresses: AddressPolicy,
    /// Plain `http:` is refused.
    pub https_only: bool,
    /// Everything goes through it, but for the hosts it excludes.
    pub proxy: Option<Proxy>,
    /// For name, TCP, proxy and TLS together; the timeout of the request still holds.
    pub connect_timeout: Duration,
    /// How long a connection without work is kept for the next delivery to its host.
    pub idle_timeout: Duration,
    pub idle_connections_per_host_max: usize,
    /// In the whole process; each is a file descriptor.
    pub idle_connections_max: usize,
    /// Accepts every certificate. For tests and closed networks only.
    pub dangerous_disable_tls_verification: bool,
    /// Trusted besides those of the platform.
    pub extra_root_certificates: Vec<CertificateDer<'static>>,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            addresses: AddressPolicy::default(),
            https_only: false,
            proxy: None,
            connect_timeout: limits::CONNECT_TIMEOUT_DEFAULT,
            idle_timeout: limits::IDLE_CONNECTION_TIMEOUT_DEFAULT,
            idle_connections_per_host_max: limits::IDLE_CONNECTIONS_PER_HOST_MAX,
            idle_connections_max: limits::IDLE_CONNECTIONS_MAX,
            dangerous_disable_tls_verification: false,
            extra_root_certificates: Vec::new(),
        }
    }
}
