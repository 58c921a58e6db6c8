//! Opens connections: name, guard, TCP, proxy, TLS. The address that is connected to is one that the guard has seen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_domain::limits;
use hookpost_engine::TransportError;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Host;

use crate::error::{Phase, error, invalid_url, seconds, timed_out};
use crate::proxy::{Proxy, ProxyKind};
use crate::resolve::Resolver;
use crate::settings::TransportSettings;
use crate::stream::Stream;
use crate::target::{HostPort, Target};
use crate::tls::{Peer, Tls};
use hookpost_domain::address::{AddressPolicy, Forbidden};

#[derive(Debug)]
pub(crate) struct Connector {
    policy: AddressPolicy,
    https_only: bool,
    proxy: Option<Proxy>,
    connect_timeout: Duration,
    resolver: Resolver,
    tls: Tls,
}

impl Connector {
    pub(crate) fn new(settings: TransportSettings, tasks: TaskTracker) -> Self {
        Self {
            policy: settings.addresses,
            https_only: settings.https_only,
            proxy: settings.proxy,
            connect_timeout: settings.connect_timeout,
            resolver: Resolver::new(tasks),
            tls: Tls::new(settings.dangerous_disable_tls_verification, settings.extra_root_certificates),
        }
    }

    /// The stream to speak HTTP on, and whether HTTP/2 was agreed on.
    pub(crate) async fn connect(&self, target: &Target) -> Result<(Stream, bool), TransportError> {
        if self.https_only && !target.https {
            return Err(invalid_url("Only https:// URLs are delivered to: HOOKPOST_HTTPS_ONLY is set"));
        }
        match tokio::time::timeout(self.connect_timeout, self.open(target)).await {
            Ok(opened) => opened,
            Err(_) => Err(timed_out(Phase::Connecting, self.connect_timeout)),
        }
    }

    async fn open(&self, target: &Target) -> Result<(Stream, bool), TransportError> {
        let deadline = Instant::now() + self.connect_timeout;
        let host_port = target.host_port()?;
        let stream = match &self.proxy {
            Some(proxy) if proxy.carries(&host_port)? => self.open_by_proxy(proxy, &host_port, deadline).await?,
            _ => {
                let addresses = self.allowed_addresses(&host_port).await?;
                connect_to_one(&addresses, host_port.port, deadline).await?
            }
        };
        if target.https { self.tls.handshake(stream, &host_port, Peer::Receiver).await } else { Ok((stream, false)) }
    }

    async fn open_by_proxy(&self, proxy: &Proxy, host_port: &HostPort, deadline: Instant) -> Result<Stream, TransportError> {
        // Decided before the proxy is troubled.
        let destinations = match proxy.kind() {
            ProxyKind::Socks { resolve_here: true } => {
                let addresses = self.allowed_addresses(host_port).await?;
                addresses.first().map(|address| HostPort { host: host_of(*address), port: host_port.port })
            }
            ProxyKind::Socks { resolve_here: false } | ProxyKind::Connect => {
                self.check_without_lookup(host_port)?;
                None
            }
        };
        let proxy_host_port = proxy.target().host_port()?;
        // The proxy was named by the operator: it may stand in a private network.
        let addresses = self.all_addresses(&proxy_host_port).await?;
        let mut stream = connect_to_one(&addresses, proxy_host_port.port, deadline).await?;
        if proxy.target().https {
            (stream, _) = self.tls.handshake(stream, &proxy_host_port, Peer::Proxy).await?;
        }
        proxy.extend(stream, destinations.as_ref().unwrap_or(host_port)).await
    }

    /// Never empty.
    async fn allowed_addresses(&self, host_port: &HostPort) -> Result<Vec<IpAddr>, TransportError> {
        let mut addresses = self.all_addresses(host_port).await?;
        let mut refused = None;
        addresses.retain(|&address| match self.policy.check(address) {
            Ok(()) => true,
            Err(forbidden) => {
                refused.get_or_insert((address, forbidden));
                false
            }
        });
        match refused {
            Some((address, forbidden)) if addresses.is_empty() => Err(blocked(&host_port.host, address, forbidden)),
            _ => Ok(addresses),
        }
    }

    /// Never empty.
    async fn all_addresses(&self, host_port: &HostPort) -> Result<Vec<IpAddr>, TransportError> {
        let name = match &host_port.host {
            Host::Ipv4(address) => return Ok(vec![(*address).into()]),
            Host::Ipv6(address) => return Ok(vec![(*address).into()]),
            Host::Domain(name) => name,
        };
        match self.resolver.lookup(name).await {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses.iter().copied().take(limits::CONNECT_ADDRESSES_MAX).collect()),
            Ok(_) => Err(error(TransportErrorKind::Dns, format!("The name {name} has no address"))),
            Err(reason) => Err(error(TransportErrorKind::Dns, format!("The name {name} could not be resolved: {reason}"))),
        }
    }

    /// For names that someone else resolves: what can be known of them here.
    fn check_without_lookup(&self, host_port: &HostPort) -> Result<(), TransportError> {
        let address: IpAddr = match &host_port.host {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                if name != "localhost" && !name.ends_with(".localhost") {
                    return Ok(());
                }
                IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
            }
        };
        self.policy.check(address).map_err(|forbidden| blocked(&host_port.host, address, forbidden))
    }
}

fn blocked(host: &Host, address: IpAddr, forbidden: Forbidden) -> TransportError {
    let subject = match host {
        Host::Domain(name) => format!("{name} leads to {address}"),
        Host::Ipv4(_) | Host::Ipv6(_) => format!("The URL leads to {address}"),
    };
    let remedy = if forbidden.never_private {
        "HOOKPOST_ALLOWED_SUBNETS can allow it"
    } else {
        "HOOKPOST_ALLOWED_SUBNETS can allow its subnet, HOOKPOST_ALLOW_PRIVATE_NETWORKS=true all private networks"
    };
    error(TransportErrorKind::BlockedAddress, format!("{subject}, {}, which deliveries may not reach. {remedy}", forbidden.what))
}

fn host_of(address: IpAddr) -> Host {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

/// Tries one after the other; each gets its share of the time that is left, so that a dead one does not spend it all.
async fn connect_to_one(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<Stream, TransportError> {
    let mut last_error = error(TransportErrorKind::Dns, "The name has no address");
    for (tried, &address) in addresses.iter().enumerate() {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let share = remaining / u32::try_from(addresses.len() - tried).unwrap_or(1);
        let address = SocketAddr::new(address, port);
        last_error = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Latency is what is wanted; hyper writes a request in one piece anyway.
                let _ = stream.set_nodelay(true);
                return Ok(Stream::Tcp(stream));
            }
            Ok(Err(failure)) => error(TransportErrorKind::Connect, not_connected(address, &failure)),
            Err(_) => error(TransportErrorKind::Timeout, format!("{address} did not accept the connection within {}", seconds(share))),
        };
    }
    Err(last_error)
}

fn not_connected(address: SocketAddr, failure: &io::Error) -> String {
    match failure.kind() {
        io::ErrorKind::ConnectionRefused => format!("{address} refused the connection"),
        io::ErrorKind::ConnectionReset => format!("{address} reset the connection"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("{address} cannot be reached: there is no route to it")
        }
        _ => format!("No connection to {address}: {failure}"),
    }
}
