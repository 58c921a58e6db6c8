//! The way out through a proxy: HTTP CONNECT (`http://`, `https://`) or SOCKS 5 (`socks5://`, `socks5h://`).
//!
//! With `socks5://` names are resolved here and the guard sees every address, as without a proxy. With the others the proxy
//! resolves; then the guard sees addresses that stand in URLs, and what names mean is the proxy's to police.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use hookpost_domain::delivery::TransportErrorKind;
use hookpost_engine::TransportError;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::error::error;
use crate::stream::Stream;
use crate::target::{HostPort, Target};

/// A proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub struct Proxy {
    matcher: Arc<Matcher>,
    intercept: Intercept,
    kind: ProxyKind,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Connect,
    Socks { resolve_here: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidProxy;

impl Proxy {
    /// `url`: `http://`, `https://`, `socks5://` or `socks5h://`, with `user:password@` where the proxy wants it.
    /// `no_proxy`: hosts, domains and subnets separated by commas, as the variable of that name has them.
    pub fn parse(url: &str, no_proxy: &str) -> Result<Self, InvalidProxy> {
        let uri: Uri = url.parse().map_err(|_| InvalidProxy)?;
        let (kind, https, default_port) = match uri.scheme_str() {
            Some("http") => (ProxyKind::Connect, false, 80),
            Some("https") => (ProxyKind::Connect, true, 443),
            Some("socks5") => (ProxyKind::Socks { resolve_here: true }, false, 1080),
            Some("socks5h") => (ProxyKind::Socks { resolve_here: false }, false, 1080),
            _ => return Err(InvalidProxy),
        };
        let matcher = Arc::new(Matcher::builder().all(url).no(no_proxy).build());
        // The matcher parses the user information; asked for a host that no exclusion can name, it gives it back.
        let everything = Matcher::builder().all(url).build();
        let intercept = everything.intercept(&Uri::from_static("http://proxied.invalid/")).ok_or(InvalidProxy)?;
        let host = intercept.uri().host().ok_or(InvalidProxy)?;
        let port = intercept.uri().port_u16().unwrap_or(default_port);
        let authority = format!("{host}:{port}").parse().map_err(|_| InvalidProxy)?;
        Ok(Self { matcher, intercept, kind, target: Target { https, authority } })
    }

    /// Whether this host is reached through the proxy.
    pub(crate) fn carries(&self, host_port: &HostPort) -> Result<bool, TransportError> {
        Ok(self.matcher.intercept(&host_port.uri()?).is_some())
    }

    pub(crate) fn kind(&self) -> ProxyKind {
        self.kind
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Has the proxy, to which `stream` leads, connect it further to `destination`.
    pub(crate) async fn extend(&self, stream: Stream, destination: &HostPort) -> Result<Stream, TransportError> {
        let proxy_uri = self.intercept.uri().clone();
        let destination = destination.uri()?;
        let connected = Connected(Some(TokioIo::new(stream)));
        let extended = match self.kind {
            ProxyKind::Connect => {
                let mut tunnel = Tunnel::new(proxy_uri, connected);
                if let Some(authorization) = self.intercept.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                tunnel.call(destination).await.map_err(|error| error.to_string())
            }
            ProxyKind::Socks { .. } => {
                let mut socks = SocksV5::new(proxy_uri, connected);
                if let Some((user, password)) = self.intercept.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(destination).await.map_err(|error| error.to_string())
            }
        };
        extended
            .map(TokioIo::into_inner)
            .map_err(|reason| error(TransportErrorKind::Connect, format!("The proxy did not connect to the receiver: {reason}")))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.target.authority)
    }
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a URL that begins with http://, https://, socks5:// or socks5h:// and names a host")
    }
}

impl std::error::Error for InvalidProxy {}

/// A connector that is already connected: the handshakes of hyper-util want one.
struct Connected(Option<TokioIo<Stream>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| std::io::ErrorKind::NotConnected.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_and_exclusions() {
        for (url, expected) in [
            ("http://proxy:3128", Some("Connect proxy:3128")),
            ("https://user:secret@proxy.example", Some("Connect proxy.example:443")),
            ("socks5://user:secret@10.0.0.1", Some("Socks { resolve_here: true } 10.0.0.1:1080")),
            ("socks5h://[::1]:9", Some("Socks { resolve_here: false } [::1]:9")),
            ("socks4://proxy", None),
            ("proxy:3128", None),
            ("", None),
        ] {
            let proxy = Proxy::parse(url, "internal.example, 10.0.0.0/8").ok();
            assert_eq!(proxy.as_ref().map(|proxy| format!("{proxy:?}")).as_deref(), expected, "{url}");
            for (host, carried) in [("http://example.com", true), ("http://a.internal.example", false), ("https://10.1.2.3", false)] {
                let host_port = Target::of(&host.parse().expect(host)).and_then(|target| target.host_port()).expect(host);
                if let Some(proxy) = &proxy {
                    assert_eq!(proxy.carries(&host_port), Ok(carried), "{host}");
                }
            }
        }
    }
}
