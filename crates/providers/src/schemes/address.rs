//! Who opened the connection, for providers that publish their addresses; and sources that believe everyone.
//!
//! `X-Forwarded-For` is believed from trusted proxies only, and from its right end: what stands further left anyone can write.

use std::net::{IpAddr, SocketAddr};

use hookpost_domain::time::Timestamp;
use http::HeaderName;
use ipnet::IpNet;

use crate::request::{Request, SignedRequest};
use crate::schemes::Proof;
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Rejection, RejectionCode};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

pub(crate) struct Check {
    allowed: Vec<IpNet>,
    trusted_proxies: Vec<IpNet>,
}

impl Check {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let config = &settings.config;
        if config.allow.is_empty() {
            return Err(SettingsError::new("config.allow", "is missing: without it nobody may send"));
        }
        Ok(Self {
            allowed: networks("config.allow", &config.allow)?,
            trusted_proxies: networks("config.trusted_proxies", &config.trusted_proxies)?,
        })
    }

    /// The nearest address that is none of our proxies.
    fn sender(&self, request: &Request<'_>) -> Result<IpAddr, Rejection> {
        let refused = |detail: &str| Rejection::new(RejectionCode::AddressNotAllowed, detail);
        let peer = request.peer_ip.ok_or_else(|| refused("The address of the sender is not known."))?.to_canonical();
        let is_proxy = |address: &IpAddr| contains(&self.trusted_proxies, address);
        let mut sender = peer;
        let hops: Vec<_> = request.header_values(&FORWARDED_FOR).collect::<Result<_, _>>()?;
        for hop in hops.iter().rev().flat_map(|value| value.rsplit(',')) {
            if !is_proxy(&sender) {
                break;
            }
            sender = address(hop.trim()).ok_or_else(|| refused("The header `x-forwarded-for` has what is not an address."))?;
        }
        Ok(sender)
    }
}

impl super::Check for Check {
    fn applies(&self, _: &Request<'_>) -> bool {
        true
    }

    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        let sender = self.sender(request)?;
        if contains(&self.allowed, &sender) {
            return Ok(Proof::default());
        }
        Err(Rejection::new(RejectionCode::AddressNotAllowed, format!("The address {sender} is not on the list of those that may send.")))
    }

    fn sign(&self, _: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        Err(CannotSign::new("Nothing is signed here: who sends is told by the address alone."))
    }

    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

/// Believes everyone.
pub(crate) struct Anyone;

impl super::Check for Anyone {
    fn applies(&self, _: &Request<'_>) -> bool {
        true
    }

    fn verify(&self, _: &Request<'_>, _now: Timestamp) -> Result<Proof, Rejection> {
        Ok(Proof::default())
    }

    fn sign(&self, _: &mut SignedRequest, _id: &str, _now: Timestamp) -> Result<(), CannotSign> {
        Ok(())
    }

    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

fn networks(field: &'static str, texts: &[String]) -> Result<Vec<IpNet>, SettingsError> {
    let network = |text: &String| {
        let text = text.trim();
        let single = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())).ok();
        let rule = || SettingsError::new(field, format!("must be addresses and networks like `192.0.2.0/24`, and `{text}` is neither"));
        text.parse().ok().or_else(single).ok_or_else(rule)
    };
    texts.iter().map(network).collect()
}

fn contains(networks: &[IpNet], address: &IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Some proxies write the port along.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip())).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemes::Check as _;
    use crate::settings::Config;

    #[test]
    fn believes_proxies_from_the_right() {
        let config = Config {
            allow: vec!["192.0.2.0/24".to_owned(), "2001:db8::1".to_owned()],
            trusted_proxies: vec!["10.0.0.0/8".to_owned()],
            ..Config::default()
        };
        let check = Check::new(&Settings { config, ..Settings::default() }).unwrap();
        let cases = [
            ("192.0.2.1", vec![], true),
            ("::ffff:192.0.2.1", vec![], true),
            ("10.0.0.1", vec!["192.0.2.1"], true),
            ("10.0.0.1", vec!["192.0.2.1:443, 10.0.0.2"], true),
            ("10.0.0.1", vec!["[2001:db8::1]:443", "10.0.0.2"], true),
            ("10.0.0.1", vec!["192.0.2.1, 198.51.100.1"], false),
            ("198.51.100.1", vec!["192.0.2.1"], false),
            ("10.0.0.1", vec!["unknown"], false),
            ("10.0.0.1", vec![], false),
        ];
        for (peer, forwarded, expected) in cases {
            let headers = forwarded.iter().map(|value| (FORWARDED_FOR.clone(), value.parse().unwrap())).collect();
            let request = Request { method: "POST", url: "/", headers: &headers, body: b"", peer_ip: peer.parse().ok() };
            assert_eq!(check.verify(&request, Timestamp::ZERO).is_ok(), expected, "{peer} {forwarded:?}");
        }
    }
}
