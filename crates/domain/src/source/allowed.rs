//! Who may call a source: networks, and names of lists that somebody else keeps.

use std::convert::Infallible;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// One entry of the addresses that may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Allowed {
    Network(IpNet),
    /// The name of a list, which is looked up at each request and not kept here: so it is renewed with the program. Any other text is one of these;
    /// whether there is such a list, whoever has the lists says.
    Preset(String),
}

impl Allowed {
    /// `address` is no IPv4 address in the clothes of an IPv6 one. A list that nobody knows lets nobody in.
    pub(super) fn has<'a>(&self, address: IpAddr, preset: impl Fn(&str) -> Option<&'a [IpNet]>) -> bool {
        match self {
            Self::Network(network) => network.contains(&address),
            Self::Preset(name) => preset(name).unwrap_or_default().iter().any(|network| network.contains(&address)),
        }
    }
}

impl From<String> for Allowed {
    fn from(text: String) -> Self {
        text.parse().map_or(Self::Preset(text), Self::Network)
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::Network(network) => network.to_string(),
            Allowed::Preset(name) => name,
        }
    }
}

impl FromStr for Allowed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceRules;

    #[test]
    fn a_preset_is_looked_up_when_somebody_calls() {
        let rules: SourceRules = serde_json::from_str(r#"{"allowedNetworks": ["10.0.0.0/8", "hub"]}"#).unwrap();
        let listed = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let preset = |name: &str| (name == "hub").then_some(&listed[..]);
        for (address, known, unknown) in [
            ("10.1.2.3", true, true),
            ("::ffff:10.1.2.3", true, true),
            ("192.0.2.9", true, false),
            ("::ffff:192.0.2.9", true, false),
            ("2001:db8::1", true, false),
            ("198.51.100.1", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((rules.allows(address, preset), rules.allows(address, |_| None)), (known, unknown), "{address}");
        }
        assert!(SourceRules::default().allows("198.51.100.1".parse().unwrap(), |_| None));
    }
}
