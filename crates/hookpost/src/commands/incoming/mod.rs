//! An incoming webhook as somebody describes it: by flags, or as a line of JSON. What it is worth is for `hookpost-providers`
//! to say; nothing here talks to a server.

mod flags;
mod line;

pub(crate) use flags::{IncomingArgs, read_secret, verifier};
pub(crate) use line::{LineError, answer_each, read};

use std::net::IpAddr;

use hookpost_domain::Timestamp;
use hookpost_providers::{Provider, Request, Settings, UnsignedRequest, provider, providers};
use http::HeaderMap;

/// Names that are this much like another are taken for it misspelt.
const LIKENESS_MIN: f64 = 0.75;

/// A request, and the settings of who receives it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) provider: &'static Provider,
    pub(crate) settings: Settings,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) peer_ip: Option<IpAddr>,
    /// The event id to sign with, where one was wished for.
    pub(crate) id: Option<String>,
    /// When it is looked at; without it, now.
    pub(crate) now: Option<Timestamp>,
}

impl Incoming {
    pub(crate) fn request(&self) -> Request<'_> {
        Request { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body, peer_ip: self.peer_ip }
    }

    pub(crate) fn unsigned(&self) -> UnsignedRequest<'_> {
        UnsignedRequest { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body }
    }
}

/// The provider of a name as people write it, with the next best one in the error.
pub(crate) fn provider_named(name: &str) -> Result<&'static Provider, String> {
    let folded = name.trim().to_ascii_lowercase().replace('-', "_");
    if let Some(found) = provider(&folded) {
        return Ok(found);
    }
    let likeness = |provider: &Provider| strsim::jaro_winkler(provider.name, &folded);
    let closest = providers().iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let meant = closest.filter(|closest| likeness(closest) >= LIKENESS_MIN);
    let meant = meant.map(|provider| format!("; did you mean `{}`?", provider.name)).unwrap_or_default();
    Err(format!("there is no provider `{name}`{meant} (`hookpost providers` lists all)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_providers_as_people_write_them() {
        for (name, expected) in [("github", "github"), ("GitHub", "github"), ("standard-webhooks", "standard_webhooks")] {
            assert_eq!(provider_named(name).unwrap().name, expected);
        }
        assert!(provider_named("stirpe").unwrap_err().contains("did you mean `stripe`?"));
        assert!(!provider_named("qqqq").unwrap_err().contains("did you mean"));
    }
}
