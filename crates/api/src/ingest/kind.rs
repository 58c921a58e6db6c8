//! The types of sources: how requests come in, as the API writes it.
//!
//! A type is `cron`, `http-poll`, or the name of a provider; the names that Svix has for providers are known too. Its `config` is the settings of
//! `hookpost-providers` in camelCase, with the words that Svix has for some of them. What is not secret of it is shown.

use hookpost_domain::source::{Cron, Mistake, Poll, ProviderSettings, SourceKind};
use hookpost_engine::pull;
use hookpost_providers::{Provider, Settings, SettingsError, Verifier};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::settings::{read, to_camel, to_snake, with_secrets, withhold};
use crate::door::provider_of;
use crate::problem::Wrong;

const CRON: &str = "cron";
const HTTP_POLL: &str = "http-poll";

/// The types of Svix that are providers.
const SVIX_NAMES: [&str; 42] = [
    "generic-webhook",
    "adobe-sign",
    "airwallex",
    "beehiiv",
    "brex",
    "checkbook",
    "clerk",
    "docusign",
    "easypost",
    "github",
    "guesty",
    "hubspot",
    "incident-io",
    "lithic",
    "merge",
    "meta",
    "nango",
    "nash",
    "open-ai",
    "openclaw",
    "orum-io",
    "panda-doc",
    "pleo",
    "port-io",
    "psi-fi",
    "render",
    "replicate",
    "resend",
    "rutter",
    "safebase",
    "sardine",
    "segment",
    "shopify",
    "slack",
    "stripe",
    "stych",
    "svix",
    "tailscale",
    "telnyx",
    "vapi",
    "veriff",
    "zoom",
];
/// How it signs is known (`t=…,v0=…`, the HMAC of `{t}.{body}`), the header in which that stands is not. To let its requests in unseen would be the opposite of
/// what the type promises.
const NOT_CONFIRMED: &str = "vgs";

/// Words that Svix has for settings of one provider.
const OTHER_WORDS: [(&str, &str, &str); 4] = [
    ("adobe_sign", "clientId", "secret"),
    ("orum_io", "publicKey", "secret"),
    ("tailscale", "timestampGraceSeconds", "tolerance"),
    ("telnyx", "publicKey", "secret"),
];
/// The one knob of the generic schemes that is called as a setting is.
const TOKEN_SCHEME: &str = "tokenScheme";

/// Settings that are never shown, unless the provider's key is public.
const SECRETS: [&str; 6] = ["secret", "secret_secondary", "secrets", "private_key", "verify_token", "jwks"];
/// Where the settings of a poll hold secrets.
const SECRETS_OF_POLL: [&str; 3] = ["/auth/bearer", "/auth/basic/password", "/auth/header/value"];

/// Notes what is wrong, with its field.
pub(super) fn parse(wrong: &mut Wrong, type_name: &str, config: Map<String, Value>) -> Option<SourceKind> {
    let parsed = match type_name {
        CRON => cron(config.into()).map(SourceKind::Cron),
        HTTP_POLL => poll(config.into(), &Value::Null).map(SourceKind::Poll),
        name => match provider_of(name) {
            Some(provider) => webhook(provider, name, config),
            None => {
                wrong.add("type", unknown(name));
                return None;
            }
        },
    };
    note(wrong, parsed)
}

/// The same type with some settings changed: `null` removes one, what is not named stays.
pub(super) fn parse_change(wrong: &mut Wrong, old: &SourceKind, changes: Map<String, Value>) -> Option<SourceKind> {
    let (type_name, mut config) = written(old);
    let before = Value::Object(config.clone());
    for (name, value) in changes {
        if value.is_null() {
            config.remove(&name);
        } else {
            config.insert(name, value);
        }
    }
    let parsed = match provider_of(&type_name) {
        Some(provider) => webhook(provider, &type_name, config),
        None if type_name == CRON => cron(config.into()).map(SourceKind::Cron),
        None => poll(config.into(), &before).map(SourceKind::Poll),
    };
    note(wrong, parsed)
}

/// The type as the API names it.
pub(super) fn name(kind: &SourceKind) -> &str {
    match kind {
        SourceKind::Webhook { type_name, .. } => type_name,
        SourceKind::Cron(_) => CRON,
        SourceKind::Poll(_) => HTTP_POLL,
    }
}

/// What of a kind is not secret: the type, and its `config`.
pub(super) fn shown(kind: &SourceKind) -> (String, Map<String, Value>) {
    let (type_name, mut config) = written(kind);
    match kind {
        SourceKind::Webhook { .. } => {
            let public = OTHER_WORDS.iter().any(|(_, word, _)| *word == "publicKey" && config.contains_key(*word));
            let words: Vec<String> = provider_of(&type_name).map(|provider| secret_words(provider, public)).unwrap_or_default();
            config.retain(|name, _| !words.contains(name));
        }
        SourceKind::Cron(_) => {}
        SourceKind::Poll(_) => {
            let mut whole = Value::Object(config);
            SECRETS_OF_POLL.iter().for_each(|pointer| withhold(&mut whole, pointer));
            config = object(whole);
        }
    }
    (type_name, config)
}

/// For the description: every name that a type can have.
pub(super) fn schema_of_names(_: &mut SchemaGenerator) -> Schema {
    let ours = hookpost_providers::providers().iter().map(|provider| provider.name);
    let mut names: Vec<&str> = SVIX_NAMES.into_iter().chain([CRON, HTTP_POLL]).chain(ours).collect();
    names.sort_unstable();
    names.dedup();
    json_schema!({ "type": "string", "enum": names })
}

fn note(wrong: &mut Wrong, parsed: Result<SourceKind, Mistake>) -> Option<SourceKind> {
    parsed.map_err(|Mistake { field, rule }| wrong.add(&format!("config.{field}"), rule)).ok()
}

fn unknown(type_name: &str) -> String {
    if type_name == NOT_CONFIRMED {
        return "is known by name only: in which header its signature stands could not be confirmed, so nothing could be verified. Look at a request of \
                yours, take the type `generic_hmac`, and describe it"
            .to_owned();
    }
    format!(
        "is no type that is known here: `{type_name}`; `{CRON}`, `{HTTP_POLL}` and the names that `GET /ingest/api/v1/provider` lists are"
    )
}

fn cron(config: Value) -> Result<Cron, Mistake> {
    let cron: Cron = read(config)?;
    pull::check_cron(&cron)?;
    Ok(cron)
}

fn poll(config: Value, old: &Value) -> Result<Poll, Mistake> {
    let rule = "is only what stands in the place of a secret that is not shown; give the secret itself";
    let config = with_secrets(config, old).ok_or_else(|| Mistake::new("auth", rule))?;
    let poll: Poll = read(config)?;
    pull::check_poll(&poll)?;
    Ok(poll)
}

fn webhook(provider: &'static Provider, type_name: &str, config: Map<String, Value>) -> Result<SourceKind, Mistake> {
    let in_our_words = |Mistake { field, rule }| Mistake::new(word_of_field(provider, &field), rule);
    let settings: Settings = read(from_words(provider, config)).map_err(in_our_words)?;
    Verifier::new(provider, &settings).map_err(|SettingsError { field, rule }| in_our_words(Mistake::new(field, rule)))?;
    let settings = ProviderSettings(json!(settings).to_string());
    Ok(SourceKind::Webhook { type_name: type_name.to_owned(), settings })
}

/// The type and the whole `config` as the API writes it, secrets included.
fn written(kind: &SourceKind) -> (String, Map<String, Value>) {
    match kind {
        SourceKind::Webhook { type_name, settings } => {
            let settings = serde_json::from_str(&settings.0).unwrap_or_default();
            let words = provider_of(type_name).map(|provider| to_words(provider, settings)).unwrap_or_default();
            (type_name.clone(), words)
        }
        SourceKind::Cron(cron) => (CRON.to_owned(), object(json_of(cron))),
        SourceKind::Poll(poll) => (HTTP_POLL.to_owned(), object(json_of(poll))),
    }
}

/// Settings from the words of the API: those that are none are knobs of the generic schemes.
fn from_words(provider: &Provider, config: Map<String, Value>) -> Value {
    let mut settings = Map::new();
    let mut knobs = Map::new();
    for (word, value) in config {
        let other = OTHER_WORDS.iter().find(|(name, other, _)| *name == provider.name && *other == word);
        let field = other.map_or_else(|| to_snake(&word), |(_, _, field)| (*field).to_owned());
        match field.as_str() {
            _ if word == TOKEN_SCHEME => knobs.insert("scheme".to_owned(), value),
            "config" => knobs.insert("config".to_owned(), value),
            name if Settings::FIELDS.contains(&name) => settings.insert(field, value),
            _ => knobs.insert(field, value),
        };
    }
    if !knobs.is_empty() {
        settings.insert("config".to_owned(), knobs.into());
    }
    settings.into()
}

fn to_words(provider: &Provider, settings: Value) -> Map<String, Value> {
    let mut words = Map::new();
    for (field, value) in object(settings) {
        if field == "config" {
            let knobs = object(value).into_iter().map(|(knob, value)| (word_of_field(provider, &format!("config.{knob}")), value));
            words.extend(knobs);
        } else {
            words.insert(word_of_field(provider, &field), value);
        }
    }
    words
}

/// The word of the API for a field of the settings: `secret`, `config.event_id`.
pub(super) fn word_of_field(provider: &Provider, field: &str) -> String {
    if field == "config.scheme" {
        return TOKEN_SCHEME.to_owned();
    }
    let field = field.strip_prefix("config.").unwrap_or(field);
    // What follows, such as a number, is no name of ours.
    let (name, rest) = field.split_once('.').map_or((field, String::new()), |(name, rest)| (name, format!(".{rest}")));
    let other = OTHER_WORDS.iter().find(|(of, _, setting)| *of == provider.name && *setting == name);
    format!("{}{rest}", other.map_or_else(|| to_camel(name), |(_, word, _)| (*word).to_owned()))
}

fn secret_words(provider: &Provider, public: bool) -> Vec<String> {
    SECRETS.iter().filter(|name| !(public && **name == "secret")).map(|name| word_of_field(provider, name)).collect()
}

fn json_of(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
