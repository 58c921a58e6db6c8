//! Which addresses a delivery may reach: a pure decision over one address. It is asked about every address that a connection
//! is opened to, after the name was resolved, so that a name cannot lead where its address may not.
//!
//! What is not plainly part of the public Internet is refused: an address that no rule here names must be safe to reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What the operator allows beyond the public Internet.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Every network that can exist inside a house: loopback, private, link-local, carrier-grade, test and tunnel networks.
    pub allow_private_networks: bool,
    pub allowed_subnets: Vec<IpNet>,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    /// "a loopback address", to stand in a sentence.
    pub what: &'static str,
    /// No setting but an explicit subnet opens it.
    pub never_private: bool,
}

impl AddressPolicy {
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        // `::ffff:10.0.0.1` is 10.0.0.1 to the operating system, so it is to us.
        let address = address.to_canonical();
        match forbidden(address) {
            None => Ok(()),
            Some(forbidden) if self.allow_private_networks && !forbidden.never_private => Ok(()),
            Some(_) if self.allowed_subnets.iter().any(|subnet| subnet.contains(&address)) => Ok(()),
            Some(forbidden) => Err(forbidden),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// `None`: part of the public Internet.
fn forbidden(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(address) => V4.iter().find(|(net, ..)| net.contains(&address)).map(rule),
        IpAddr::V6(address) => match V6.iter().find(|(net, ..)| net.contains(&address)) {
            Some(found) => Some(rule(found)),
            // Only 2000::/3 was ever given out; the rest is reserved.
            None if address.segments()[0] & 0xe000 != 0x2000 => Some(Forbidden { what: "a reserved address", never_private: true }),
            None => None,
        },
    }
}

fn rule<N>((_, what, never_private): &(N, &'static str, bool)) -> Forbidden {
    Forbidden { what, never_private: *never_private }
}

/// From the registries of special-purpose addresses (IANA), the first match counts.
const V4: &[(Ipv4Net, &str, bool)] = &[
    (v4([0, 0, 0, 0], 8), "an address of \"this\" network", false),
    (v4([10, 0, 0, 0], 8), "a private address", false),
    (v4([100, 64, 0, 0], 10), "an address of a carrier's private network", false),
    (v4([127, 0, 0, 0], 8), "a loopback address", false),
    (v4([169, 254, 0, 0], 16), "a link-local address", false),
    (v4([172, 16, 0, 0], 12), "a private address", false),
    (v4([192, 0, 0, 0], 24), "an address for protocols", false),
    (v4([192, 0, 2, 0], 24), "a documentation address", false),
    (v4([192, 88, 99, 0], 24), "a tunnel address (6to4)", false),
    (v4([192, 168, 0, 0], 16), "a private address", false),
    (v4([198, 18, 0, 0], 15), "a benchmark address", false),
    (v4([198, 51, 100, 0], 24), "a documentation address", false),
    (v4([203, 0, 113, 0], 24), "a documentation address", false),
    (v4([224, 0, 0, 0], 4), "a multicast address", true),
    (v4([255, 255, 255, 255], 32), "the broadcast address", true),
    (v4([240, 0, 0, 0], 4), "a reserved address", true),
];

const V6: &[(Ipv6Net, &str, bool)] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "the unspecified address", false),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "a loopback address", false),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "an IPv4 address in IPv6 form", false),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "an IPv4 address in IPv6 form", false),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "a translated IPv4 address (NAT64)", false),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a translated IPv4 address (NAT64)", false),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "a discard address", true),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a tunnel address (Teredo)", false),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "a benchmark address", false),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "an address for protocols", false),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "a documentation address", false),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a tunnel address (6to4)", false),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "a documentation address", false),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a private address", false),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "a link-local address", false),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "a private address", false),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "a multicast address", true),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Class {
        Public,
        Private,
        Never,
    }
    use Class::{Never, Private, Public};

    /// The first and last addresses of every range, and their neighbours outside.
    const CASES: &[(&str, Class)] = &[
        ("0.0.0.0", Private),
        ("0.255.255.255", Private),
        ("1.0.0.0", Public),
        ("8.8.8.8", Public),
        ("9.255.255.255", Public),
        ("10.0.0.0", Private),
        ("10.1.2.3", Private),
        ("10.255.255.255", Private),
        ("11.0.0.0", Public),
        ("100.63.255.255", Public),
        ("100.64.0.0", Private),
        ("100.127.255.255", Private),
        ("100.128.0.0", Public),
        ("126.255.255.255", Public),
        ("127.0.0.1", Private),
        ("127.255.255.255", Private),
        ("128.0.0.0", Public),
        ("169.253.255.255", Public),
        ("169.254.169.254", Private),
        ("169.255.0.0", Public),
        ("172.15.255.255", Public),
        ("172.16.0.0", Private),
        ("172.31.255.255", Private),
        ("172.32.0.0", Public),
        ("192.0.0.8", Private),
        ("192.0.1.0", Public),
        ("192.0.2.1", Private),
        ("192.88.99.1", Private),
        ("192.167.255.255", Public),
        ("192.168.0.1", Private),
        ("192.169.0.0", Public),
        ("198.17.255.255", Public),
        ("198.18.0.0", Private),
        ("198.19.255.255", Private),
        ("198.20.0.0", Public),
        ("198.51.100.7", Private),
        ("203.0.113.7", Private),
        ("203.0.114.0", Public),
        ("223.255.255.255", Public),
        ("224.0.0.1", Never),
        ("239.255.255.255", Never),
        ("240.0.0.1", Never),
        ("255.255.255.254", Never),
        ("255.255.255.255", Never),
        ("::", Private),
        ("::1", Private),
        ("::127.0.0.1", Private),
        ("::ffff:127.0.0.1", Private),
        ("::ffff:10.0.0.1", Private),
        ("::ffff:8.8.8.8", Public),
        ("::ffff:224.0.0.1", Never),
        ("::ffff:0:8.8.8.8", Private),
        ("64:ff9b::8.8.8.8", Private),
        ("64:ff9b:1::1", Private),
        ("100::1", Never),
        ("1fff::1", Never),
        ("2000::1", Public),
        ("2001::1", Private),
        ("2001:2::1", Private),
        ("2001:20::1", Private),
        ("2001:1ff::1", Private),
        ("2001:200::1", Public),
        ("2001:4860:4860::8888", Public),
        ("2001:db8::1", Private),
        ("2002:7f00:1::1", Private),
        ("2003::1", Public),
        ("2606:4700:4700::1111", Public),
        ("3ffe::1", Public),
        ("3fff::1", Private),
        ("4000::1", Never),
        ("5f00::1", Never),
        ("fbff::1", Never),
        ("fc00::1", Private),
        ("fd12:3456::1", Private),
        ("fe80::1", Private),
        ("febf::1", Private),
        ("fec0::1", Private),
        ("ff02::1", Never),
    ];

    #[test]
    fn classifies_every_range() {
        let closed = AddressPolicy::default();
        let open = AddressPolicy { allow_private_networks: true, allowed_subnets: Vec::new() };
        for &(text, expected) in CASES {
            let address: IpAddr = text.parse().expect(text);
            let class = match (closed.check(address).is_ok(), open.check(address).is_ok()) {
                (true, true) => Public,
                (false, true) => Private,
                (false, false) => Never,
                (true, false) => panic!("{text}: allowing private networks closes it"),
            };
            assert_eq!(class, expected, "{text}");
        }
    }

    #[test]
    fn a_subnet_opens_exactly_itself() {
        let policy = AddressPolicy {
            allow_private_networks: false,
            allowed_subnets: ["10.1.0.0/16", "fd00::/8", "240.0.0.0/8"].map(|net| net.parse().expect(net)).to_vec(),
        };
        for (text, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.0", false),
            ("fd00::1", true),
            ("fc00::1", false),
            ("240.1.1.1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(policy.check(text.parse().expect(text)).is_ok(), allowed, "{text}");
        }
    }
}
