//! Where a request goes: what of its URL decides which connection may carry it.

use std::fmt;

use hookpost_engine::TransportError;
use http::Uri;
use http::uri::{Authority, Scheme};
use url::Host;

use crate::error::invalid_url;

/// Cheap to clone and to compare: the authority shares the bytes of the URL. It carries no user information.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) https: bool,
    pub(crate) authority: Authority,
}

/// The name or address in it, in the one form that its many spellings have (`0x7f.1` is 127.0.0.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Target {
    pub(crate) fn of(uri: &Uri) -> Result<Self, TransportError> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(invalid_url("The URL begins neither with https:// nor with http://")),
        };
        let authority = uri.authority().ok_or_else(|| invalid_url("The URL names no host"))?;
        let authority = match authority.as_str().rsplit_once('@') {
            None => authority.clone(),
            Some((_secret, host)) => host.parse().map_err(|_| invalid_url("The URL names no valid host"))?,
        };
        Ok(Self { https, authority })
    }

    pub(crate) fn host_port(&self) -> Result<HostPort, TransportError> {
        let host = Host::parse(self.authority.host()).map_err(|error| invalid_url(format!("The host of the URL is not valid: {error}")))?;
        let port = match self.authority.port() {
            Some(port) => port.as_u16(),
            None if self.authority.as_str().ends_with(':') || self.authority.as_str() == self.authority.host() => self.port_of_scheme(),
            None => return Err(invalid_url("The port of the URL is not valid")),
        };
        Ok(HostPort { host, port })
    }

    fn port_of_scheme(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }
}

impl HostPort {
    /// As a URL has it: what a proxy is asked for.
    pub(crate) fn uri(&self) -> Result<Uri, TransportError> {
        format!("http://{self}/").parse().map_err(|_| invalid_url("The host of the URL is not valid"))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_host_behind_its_spellings() {
        for (url, expected) in [
            ("http://example.com/hook?secret=1", Ok("example.com:80")),
            ("https://example.com", Ok("example.com:443")),
            ("https://user:secret@Example.COM:8443/", Ok("example.com:8443")),
            ("http://2130706433/", Ok("127.0.0.1:80")),
            ("http://0x7f.1/", Ok("127.0.0.1:80")),
            ("http://0177.0.0.1:81/", Ok("127.0.0.1:81")),
            ("http://127.1/", Ok("127.0.0.1:80")),
            ("http://[::1]:9000/", Ok("[::1]:9000")),
            ("http://[::ffff:127.0.0.1]/", Ok("[::ffff:7f00:1]:80")),
            ("http://example.com:/", Ok("example.com:80")),
            ("http://256.256.256.256/", Err(())),
            ("http://example.com:99999/", Err(())),
            ("ftp://example.com/", Err(())),
            ("/only/a/path", Err(())),
        ] {
            let found = url.parse::<Uri>().map_err(|_| ()).and_then(|uri| {
                let host_port = Target::of(&uri).and_then(|target| target.host_port());
                host_port.map(|host_port| host_port.to_string()).map_err(|error| assert!(!error.message.contains("secret"), "{error:?}"))
            });
            assert_eq!(found, expected.map(str::to_owned), "{url}");
        }
    }
}
