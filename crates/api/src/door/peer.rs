//! Who called, and under which URL: as the connection says it, or as a proxy says it that the operator trusts. From anyone else `X-Forwarded-*` and
//! `Forwarded` are words.
//!
//! Where both are there `X-Forwarded-*` counts: proxies that set these pass on a `Forwarded` that a client made up.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Who opened the connection that a request came on; whoever accepts connections puts it into the extensions of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The proxies in front of this server, and where clients reach it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) trusted_proxies: &'a [IpNet],
    /// Without a slash at its end.
    pub(super) public_url: Option<&'a str>,
}

impl Surroundings<'_> {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// The address of the client: of the connection, or the last one in the list of a trusted proxy that is no trusted proxy itself.
    pub(super) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut nearest = peer?.to_canonical();
        if !self.trusts(nearest) {
            return Some(nearest);
        }
        for hop in hops(headers).into_iter().rev() {
            // Beyond what cannot be read nothing can be known.
            let Some(address) = hop_address(&hop) else { break };
            nearest = address;
            if !self.trusts(nearest) {
                break;
            }
        }
        Some(nearest)
    }

    /// Scheme and host that the client wrote, and the path below which this server stands.
    pub(super) fn origin(&self, peer: Option<IpAddr>, uri: &Uri, headers: &HeaderMap) -> String {
        let forwarded = peer.filter(|peer| self.trusts(*peer)).map(|_| ForwardedOrigin::read(headers)).unwrap_or_default();
        // A server has several names where a proxy says so; of its own it knows the path too.
        if let Some(public_url) = self.public_url.filter(|url| forwarded.host.as_deref().is_none_or(|host| host_of(url) == host)) {
            return public_url.to_owned();
        }
        let scheme = forwarded.scheme.unwrap_or("http");
        let own_host = || uri.authority().map(Authority::as_str).or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or("localhost");
        let host = forwarded.host.as_deref().unwrap_or_else(own_host);
        let default_port = if scheme == "https" { "443" } else { "80" };
        match forwarded.port {
            Some(port) if port != default_port && !has_port(host) => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }
}

/// What a trusted proxy says of the request that it got.
#[derive(Debug, Default)]
struct ForwardedOrigin {
    scheme: Option<&'static str>,
    host: Option<String>,
    port: Option<String>,
}

impl ForwardedOrigin {
    fn read(headers: &HeaderMap) -> Self {
        let first = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let element = headers.get(FORWARDED).and_then(|value| value.to_str().ok()?.split(',').next()).unwrap_or_default();
        let scheme = first(&X_FORWARDED_PROTO).or_else(|| forwarded_parameter(element, "proto"));
        let host = first(&X_FORWARDED_HOST).or_else(|| forwarded_parameter(element, "host"));
        Self {
            scheme: scheme.and_then(|scheme| ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))),
            host: host.filter(|host| host.parse::<Authority>().is_ok()),
            port: first(&X_FORWARDED_PORT).filter(|port| port.parse::<u16>().is_ok()),
        }
    }
}

fn host_of(url: &str) -> &str {
    let beyond_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    beyond_scheme.split('/').next().unwrap_or_default()
}

fn has_port(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| authority.port().is_some())
}

/// The addresses that the request passed, from the client on, as they were written.
fn hops(headers: &HeaderMap) -> Vec<String> {
    let values = |name: HeaderName| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if headers.contains_key(X_FORWARDED_FOR) {
        return values(X_FORWARDED_FOR).map(|hop| hop.trim().to_owned()).collect();
    }
    values(FORWARDED).map(|element| forwarded_parameter(element, "for").unwrap_or_default()).collect()
}

/// `for=192.0.2.1;proto=https;host="a.example"`
fn forwarded_parameter(element: &str, wanted: &str) -> Option<String> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`
fn hop_address(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok().or_else(|| {
        let host = match hop.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => hop.split_once(':')?.0,
        };
        host.parse().ok()
    });
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn surroundings<'a>(trusted: &'a [IpNet], public_url: Option<&'a str>) -> Surroundings<'a> {
        Surroundings { trusted_proxies: trusted, public_url }
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, lines, client) in [
            ("203.0.113.9", &[("x-forwarded-for", "1.2.3.4")][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
            ("::ffff:10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
            ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")], "1.2.3.4"),
            ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4:55, 10.0.0.2")], "1.2.3.4"),
            ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("fd00::1", &[("forwarded", "for=\"[2001:db8::7]:99\";proto=https, for=10.1.1.1")], "2001:db8::7"),
            ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=6.6.6.6")], "1.2.3.4"),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
        ] {
            let found = surroundings(&trusted, None).client(Some(peer.parse().unwrap()), &headers(lines));
            assert_eq!(found, Some(client.parse().unwrap()), "{peer} {lines:?}");
        }
        assert_eq!(surroundings(&trusted, None).client(None, &HeaderMap::new()), None);
    }

    #[test]
    fn the_url_is_the_one_that_the_client_wrote() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let (proxy, stranger) = ("10.0.0.1", "203.0.113.9");
        let host = ("host", "inner:8071");
        let https = ("x-forwarded-proto", "https");
        for (peer, public_url, lines, origin) in [
            (stranger, None, &[host][..], "http://inner:8071"),
            (stranger, None, &[], "http://localhost"),
            (stranger, Some("https://hooks.example.com/below"), &[host], "https://hooks.example.com/below"),
            (stranger, None, &[host, https, ("x-forwarded-host", "evil.example")], "http://inner:8071"),
            (proxy, None, &[host, https], "https://inner:8071"),
            (proxy, None, &[host, https, ("x-forwarded-host", "a.example")], "https://a.example"),
            (proxy, None, &[https, ("x-forwarded-host", "a.example, b.example"), ("x-forwarded-port", "8443")], "https://a.example:8443"),
            (proxy, None, &[https, ("x-forwarded-host", "a.example"), ("x-forwarded-port", "443")], "https://a.example"),
            (proxy, None, &[https, ("x-forwarded-host", "a.example:1"), ("x-forwarded-port", "8443")], "https://a.example:1"),
            (proxy, Some("https://b.example"), &[("x-forwarded-host", "a.example"), https], "https://a.example"),
            (proxy, Some("https://b.example"), &[host, https], "https://b.example"),
            (proxy, Some("https://b.example/below"), &[("x-forwarded-host", "b.example")], "https://b.example/below"),
            (proxy, None, &[("forwarded", "for=1.2.3.4;proto=https;host=a.example")], "https://a.example"),
            (proxy, None, &[host, ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b")], "http://inner:8071"),
        ] {
            let found = surroundings(&trusted, public_url).origin(Some(peer.parse().unwrap()), &Uri::from_static("/in/x"), &headers(lines));
            assert_eq!(found, origin, "{peer} {lines:?}");
        }
    }
}
