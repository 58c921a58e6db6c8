//! A source made ready: its provider's scheme, its rules and its answer, checked and compiled once per version of the source.

use std::convert::Infallible;
use std::sync::Arc;

use hookpost_domain::source::{ProviderSettings, Source, SourceKind, SourceRules};
use hookpost_domain::{SourceId, limits};
use hookpost_engine::schema::Schemas;
use hookpost_providers::{Provider, Settings, Verifier};
use hookpost_shaping::{InvalidRule, Mapping};
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::answer::PreparedAnswer;
use super::limits::{Budget, Usage};

/// A rate beyond this is none.
const RATE_MAX: u32 = u16::MAX as u32;

/// Everything about a source that requests need. That a source has one says that all of its settings and rules can be followed.
#[derive(Debug)]
pub(crate) struct PreparedSource {
    pub(super) source: Arc<Source>,
    /// `None`: nobody calls it.
    pub(super) verifier: Option<Verifier>,
    pub(super) mapping: Mapping,
    pub(super) answer: Option<PreparedAnswer>,
    pub(super) schemas: Schemas,
    pub(super) rate_limit: Option<u16>,
    pub(super) in_flight_max: u16,
}

impl PreparedSource {
    /// Names the first field that cannot be used, as it stands in the JSON of the source: `config.secret`, `rules.channels.0`.
    pub(crate) fn new(source: &Arc<Source>) -> Result<Self, InvalidRule> {
        let rules = &source.rules;
        let verifier = match &source.kind {
            SourceKind::Webhook { type_name, settings } => Some(verifier(type_name, settings)?),
            SourceKind::Cron(_) | SourceKind::Poll(_) => None,
        };
        let of_rules = |InvalidRule { field, rule }| InvalidRule { field: format!("rules.{field}"), rule };
        check_limits(rules).map_err(of_rules)?;
        Ok(Self {
            source: Arc::clone(source),
            verifier,
            mapping: Mapping::compile(rules).map_err(of_rules)?,
            answer: rules.answer.as_ref().map(PreparedAnswer::new).transpose().map_err(of_rules)?,
            schemas: Schemas::default(),
            rate_limit: rules.rate_limit.map(|rate| u16::try_from(rate).unwrap_or(u16::MAX)),
            in_flight_max: rules.in_flight_max.unwrap_or(limits::SOURCE_IN_FLIGHT_DEFAULT),
        })
    }

    /// The largest body that is taken: the source's own limit, if it is the lower one.
    pub(super) fn body_bytes_max(&self, of_server: usize) -> usize {
        let own = self.source.rules.body_bytes_max.and_then(|max| usize::try_from(max).ok());
        own.map_or(of_server, |own| own.min(of_server))
    }

    pub(super) fn provider(&self) -> Option<&'static Provider> {
        self.verifier.as_ref().map(Verifier::provider)
    }
}

/// The provider that the API knows under this name; names of types have hyphens where those of providers have none or a low line.
pub(crate) fn provider_of(type_name: &str) -> Option<&'static Provider> {
    let name = match type_name {
        "generic-webhook" => "generic_none",
        name => name,
    };
    let written = [name.to_owned(), name.replace('-', "_"), name.replace('-', "")];
    written.iter().find_map(|name| hookpost_providers::provider(name))
}

fn verifier(type_name: &str, settings: &ProviderSettings) -> Result<Verifier, InvalidRule> {
    let provider =
        provider_of(type_name).ok_or_else(|| InvalidRule::new("type", format!("is `{type_name}`, which is no known provider")))?;
    // What serde says of a wrong value would quote it, and it may be a secret.
    let settings =
        read_settings(settings).ok_or_else(|| InvalidRule::new("config", "is not the object of settings that providers have"))?;
    Verifier::new(provider, &settings).map_err(|error| InvalidRule::new(format!("config.{}", error.field), error.rule))
}

pub(super) fn read_settings(settings: &ProviderSettings) -> Option<Settings> {
    if settings.0.trim().is_empty() { Some(Settings::default()) } else { serde_json::from_str(&settings.0).ok() }
}

fn check_limits(rules: &SourceRules) -> Result<(), InvalidRule> {
    if rules.rate_limit.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(InvalidRule::new("rateLimit", format!("must be from 1 to {RATE_MAX} requests a second")));
    }
    if rules.in_flight_max == Some(0) {
        return Err(InvalidRule::new("inFlightMax", "must be at least 1"));
    }
    if rules.body_bytes_max == Some(0) {
        return Err(InvalidRule::new("bodyBytesMax", "must be at least 1"));
    }
    Ok(())
}

/// The sources that were asked for lately, with what this node counts of each.
#[derive(Debug)]
pub(super) struct Doorways {
    by_source: Cache<SourceId, Arc<Doorway>>,
    pub(super) bytes: Arc<Budget>,
    body_bytes_max: usize,
}

/// One source, as this node serves it.
#[derive(Debug)]
pub(super) struct Doorway {
    pub(super) usage: Usage,
    prepared: Mutex<Option<Preparation>>,
}

/// Also what cannot be prepared is kept, or each request would try it anew.
#[derive(Debug, Clone)]
struct Preparation {
    of: Arc<Source>,
    result: Result<Arc<PreparedSource>, InvalidRule>,
}

impl Doorways {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        Self {
            by_source: Cache::new(limits::SOURCES_PREPARED_MAX),
            bytes: Arc::new(Budget::new(limits::SOURCES_BODY_BYTES_IN_MEMORY_MAX.max(4 * body_bytes_max))),
            body_bytes_max,
        }
    }

    pub(super) fn of(&self, source: &Source) -> Arc<Doorway> {
        let new = || Ok(Arc::new(Doorway { usage: Usage::new(self.body_bytes_max), prepared: Mutex::default() }));
        let Ok(doorway) = self.by_source.get_or_insert_with::<_, Infallible>(&source.id, new);
        doorway
    }
}

impl Doorway {
    pub(super) fn prepared(&self, source: &Arc<Source>) -> Result<Arc<PreparedSource>, InvalidRule> {
        let mut prepared = self.prepared.lock();
        // Stores hand out the same value until the source changes; where they do not, equal is the same.
        if let Some(known) = prepared.as_ref().filter(|known| Arc::ptr_eq(&known.of, source) || *known.of == **source) {
            return known.result.clone();
        }
        let result = PreparedSource::new(source).map(Arc::new);
        if let Err(wrong) = &result {
            tracing::warn!(target: "hookpost::receive", org = %source.org, source = source.name, %wrong, "a source cannot be used");
        }
        *prepared = Some(Preparation { of: Arc::clone(source), result: result.clone() });
        result
    }
}
