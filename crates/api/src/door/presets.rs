//! Lists of addresses by name, for sources that take requests of one sender only: what providers publish, and what the operator has put in the place
//! of it or beside it. Looked up at each request, so that what is renewed counts for every source.

use std::collections::BTreeMap;

use hookpost_domain::Invalid;
use hookpost_domain::source::{Allowed, SourceRules};
use hookpost_providers::{AddressList, address_lists};
use ipnet::IpNet;

/// Every list that this server knows.
#[derive(Debug, Clone)]
pub struct AddressPresets(BTreeMap<String, Preset>);

#[derive(Debug, Clone)]
struct Preset {
    networks: Vec<IpNet>,
    /// `None`: the operator's own.
    published: Option<&'static AddressList>,
}

impl AddressPresets {
    /// As the providers published them before this program was made.
    pub fn published() -> Self {
        let preset = |list: &'static AddressList| (list.name.to_owned(), Preset { networks: list.networks(), published: Some(list) });
        Self(address_lists().iter().map(preset).collect())
    }

    /// With those of the operator, which go before published ones of the same name.
    pub fn with(mut self, own: impl IntoIterator<Item = (String, Vec<IpNet>)>) -> Self {
        self.0.extend(own.into_iter().map(|(name, networks)| (name, Preset { networks, published: None })));
        self
    }

    pub(super) fn networks(&self, name: &str) -> Option<&[IpNet]> {
        self.0.get(name).map(|preset| &*preset.networks)
    }

    /// Whether an entry of a list that somebody wrote is a network or the name of a list.
    pub(crate) fn check(&self, allowed: &Allowed) -> Result<(), Invalid> {
        match allowed {
            Allowed::Preset(name) if !self.0.contains_key(name) => {
                let names: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
                let rule =
                    "must be a network such as `192.0.2.0/24` (one address: `192.0.2.1/32`), or a list of addresses that this server knows";
                Err(Invalid::new(format!("{rule}: {}", names.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// What the owner of a source should know of a request that its list did not let in: which lists were asked, and of which day they are.
    /// `None`: there are only networks, which the owner wrote.
    pub(super) fn not_in(&self, rules: &SourceRules) -> Option<String> {
        let names = rules.allowed_networks.iter().filter_map(|allowed| match allowed {
            Allowed::Preset(name) => Some(name.as_str()),
            Allowed::Network(_) => None,
        });
        let asked: Vec<String> = names.map(|name| self.describe(name)).collect();
        let mend = "If the sender is genuine, put the list of today into `address_presets` of the configuration, and replay the request";
        (!asked.is_empty()).then(|| format!("The address is not in {}. {mend}.", asked.join(", nor in ")))
    }

    fn describe(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Preset { published: Some(list), .. }) => {
                format!("the list `{name}` of this version, which is that of {} ({})", list.as_of, list.published_at)
            }
            Some(Preset { published: None, .. }) => format!("the list `{name}` of the configuration"),
            None => format!("the list `{name}`, which this server does not know"),
        }
    }
}
