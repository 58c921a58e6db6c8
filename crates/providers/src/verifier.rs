//! A provider and settings made ready: what a gateway keeps for each source.
//!
//! Everything is parsed once, in `new`; `verify` reads the request and hashes. A verifier holds its settings, because a
//! diagnosis tries other ones, and shows none of them.

use std::fmt;

use hookpost_domain::time::Timestamp;

use crate::location::Location;
use crate::provider::{Provider, Scheme};
use crate::request::{Request, SignedRequest, UnsignedRequest};
use crate::schemes::{Check, Proof, Rule};
use crate::settings::{Settings, SettingsError};
use crate::verdict::{CannotSign, Event, Handshake, Rejection, RejectionCode, Verified};

pub struct Verifier {
    provider: &'static Provider,
    settings: Settings,
    active: Vec<Active>,
}

/// A scheme that the settings suffice for.
pub(crate) struct Active {
    pub(crate) scheme: &'static Scheme,
    pub(crate) check: Box<dyn Check>,
    event_id: Location,
    event_type: Location,
}

impl Verifier {
    /// Reads the settings. Where they name a scheme it must be there and fit; otherwise those that fit are taken.
    pub fn new(provider: &'static Provider, settings: &Settings) -> Result<Self, SettingsError> {
        let active = match &settings.scheme {
            Some(name) => {
                let scheme = provider.scheme(name).ok_or_else(|| {
                    let names: Vec<_> = provider.schemes.iter().map(|scheme| scheme.name).collect();
                    SettingsError::new(
                        "scheme",
                        format!("must be one of {} that {} has: {}", names.len(), provider.display_name, names.join(", ")),
                    )
                })?;
                vec![Active::new(scheme, settings)]
            }
            None => provider.schemes.iter().filter(|scheme| !scheme.only_if_named).map(|scheme| Active::new(scheme, settings)).collect(),
        };
        let active = suffice(active, provider.ritual.brings_secret() && settings.live_secrets().is_empty())?;
        Ok(Self { provider, settings: settings.clone(), active })
    }

    pub fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// The schemes by which a request may be believed.
    pub fn schemes(&self) -> impl Iterator<Item = &'static Scheme> {
        self.active.iter().map(|active| active.scheme)
    }

    /// Decides whether to believe the request: first a handshake that nothing vouches for, then the scheme, then one that is signed.
    pub fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Verified, Rejection> {
        let ritual = &self.provider.ritual;
        if let Some(greeting) = ritual.before(request, &self.settings)? {
            let event = Event::default();
            return Ok(Verified::Handshake(Handshake { answer: greeting.answer, event, secret: greeting.secret }));
        }
        let active = self.active_for(request)?;
        let proof = active.check.verify(request, now)?;
        let mut event = active.event(request, &proof);
        event.answer = event.answer.or_else(|| ritual.acknowledgement(&self.settings, &proof));
        Ok(match ritual.after(request, &self.settings, &proof) {
            Some(answer) => Verified::Handshake(Handshake { answer, event, secret: None }),
            None => Verified::Event(event),
        })
    }

    /// Makes a request that verifies at `now`, with `id` as its event id where a header or the signature carries one.
    pub fn sign(&self, unsigned: &UnsignedRequest<'_>, id: &str, now: Timestamp) -> Result<SignedRequest, CannotSign> {
        let Some(active) = self.active.first() else {
            return Err(CannotSign::new("The settings have no secret yet: the first handshake brings it."));
        };
        let mut request = SignedRequest::from_unsigned(unsigned);
        if let Some(name) = active.event_id.header().filter(|name| !request.headers.contains_key(*name)) {
            request.set_header(name, id);
        }
        active.check.sign(&mut request, id, now)?;
        Ok(request)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn active(&self) -> &[Active] {
        &self.active
    }

    fn active_for(&self, request: &Request<'_>) -> Result<&Active, Rejection> {
        if let [only] = &*self.active {
            return Ok(only);
        }
        let applying = self.active.iter().find(|active| active.check.applies(request));
        applying.or(self.active.first()).ok_or_else(|| {
            let detail = "No secret is known yet: only the handshake in which the provider hands it over is believed.";
            Rejection::new(RejectionCode::NoSecret, detail)
        })
    }
}

impl Active {
    fn new(scheme: &'static Scheme, settings: &Settings) -> Result<Self, SettingsError> {
        let read = |field, text: &str| Location::parse(text).map_err(|rule| SettingsError::new(field, rule));
        let or_configured = |ours: &'static str, theirs: &Option<String>| theirs.clone().unwrap_or_else(|| ours.to_owned());
        Ok(Self {
            scheme,
            check: scheme.rule.check(settings)?,
            event_id: read("config.event_id", &or_configured(scheme.event_id, &settings.config.event_id))?,
            event_type: read("config.event_type", &or_configured(scheme.event_type, &settings.config.event_type))?,
        })
    }

    fn event(&self, request: &Request<'_>, proof: &Proof) -> Event {
        let answer = match self.scheme.rule {
            Rule::SoapOrganization => Some(crate::schemes::soap::acknowledgement()),
            _ => None,
        };
        Event {
            id: self.event_id.find(request, proof.id.as_deref()),
            event_type: self.event_type.find(request, None),
            timestamp: proof.timestamp,
            scheme: self.scheme.name,
            answer,
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes: Vec<_> = self.schemes().map(|scheme| scheme.name).collect();
        write!(f, "Verifier({}: {})", self.provider.name, schemes.join(", "))
    }
}

/// The schemes that the settings suffice for; the first refusal if there is none, unless the secret is still to come.
fn suffice(all: Vec<Result<Active, SettingsError>>, secret_comes: bool) -> Result<Vec<Active>, SettingsError> {
    let mut active = Vec::new();
    let mut refusal = None;
    for attempt in all {
        match attempt {
            Ok(one) => active.push(one),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match refusal {
        Some(refusal) if active.is_empty() && !secret_comes => Err(refusal),
        _ => Ok(active),
    }
}
