//! What a provider is: data. The table of all of them is in `table`, the code that acts on it in `schemes` and `handshake`.

use crate::handshake::Ritual;
use crate::schemes::Rule;
use crate::table;

/// One provider: how it signs, how it introduces itself, and where it says what an event is.
#[derive(Debug)]
pub struct Provider {
    /// As in settings and URLs: `github`.
    pub name: &'static str,
    /// As people write it: `GitHub`.
    pub display_name: &'static str,
    /// Where the provider describes its webhooks; empty for the generic ones.
    pub documentation: &'static str,
    /// The first that fits a request decides it.
    pub schemes: &'static [Scheme],
    pub(crate) ritual: Ritual,
}

/// One way in which a provider makes a request believable.
#[derive(Debug)]
pub struct Scheme {
    pub name: &'static str,
    /// Where the event id is; empty: nowhere. The grammar is that of [`Config::event_id`](crate::Config::event_id).
    pub event_id: &'static str,
    /// Where the event type is, in the same way.
    pub event_type: &'static str,
    /// Legacy schemes are believed only where the settings name them.
    pub only_if_named: bool,
    pub(crate) rule: Rule,
}

impl Provider {
    pub fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.schemes.iter().find(|scheme| scheme.name == name)
    }

    /// Whether the provider asks something before it sends events, or in between.
    pub fn has_handshake(&self) -> bool {
        !matches!(self.ritual, Ritual::None)
    }

    /// One sentence on what the handshake is and what is answered.
    pub fn handshake(&self) -> Option<&'static str> {
        self.ritual.describe()
    }

    /// Whether we can make requests that verify: with the same settings, or with a private key where the receiver's is public.
    pub fn can_be_signed(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.rule.can_be_signed())
    }
}

impl Scheme {
    pub(crate) const fn new(name: &'static str, rule: Rule) -> Self {
        Self { name, event_id: "", event_type: "", only_if_named: false, rule }
    }

    pub(crate) const fn event(mut self, id: &'static str, event_type: &'static str) -> Self {
        self.event_id = id;
        self.event_type = event_type;
        self
    }

    pub(crate) const fn only_if_named(mut self) -> Self {
        self.only_if_named = true;
        self
    }

    /// The fields of the settings without which the scheme cannot verify.
    pub fn needs(&self) -> &'static [&'static str] {
        self.rule.needs()
    }

    /// Further fields that it takes.
    pub fn takes(&self) -> &'static [&'static str] {
        self.rule.takes()
    }

    /// Whether signing needs `private_key`, because the receiver holds a public key only.
    pub fn signs_with_private_key(&self) -> bool {
        self.rule.signs_with_private_key()
    }
}

/// All providers, by name.
pub fn providers() -> &'static [Provider] {
    table::all()
}

/// The provider of this name.
pub fn provider(name: &str) -> Option<&'static Provider> {
    providers().iter().find(|provider| provider.name == name)
}
