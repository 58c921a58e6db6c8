//! The rules for the fields of a sink, and how a change is applied.

use hookpost_domain::application::Metadata;
use hookpost_domain::endpoint::CustomHeader;
use hookpost_domain::id::SinkKind;
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::sink::{HttpSink, SinkOwner, SinkTarget};
use hookpost_domain::{Channel, EventTypeName, Invalid, SigningSecret, Sink, SinkId, Timestamp, Uid, limits};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Holder;
use super::models::{SinkHttpConfigIn, SinkHttpConfigPatch, SinkIn, SinkPatch, SinkStatusIn};
use crate::extract::in_plain_words;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;
use crate::v1::endpoint::fields::{parse_headers, parse_url, without_repetitions};

/// Types that are published and need more than a URL.
const WITH_CONNECTORS: [&str; 13] = [
    "amazonS3",
    "azureBlobStorage",
    "bigQuery",
    "clickhouse",
    "eventBridge",
    "googleCloudPubSub",
    "googleCloudStorage",
    "otelTracing",
    "rabbitMq",
    "redshift",
    "snowflake",
    "sns",
    "sqs",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Poller,
    Http,
}

impl Kind {
    pub(super) const STREAM_NAMES: [&str; 2] = ["poller", "http"];
    pub(super) const APPLICATION_NAMES: [&str; 2] = ["pollingEndpoint", "fifoEndpoint"];

    pub(super) fn of(target: &SinkTarget) -> Self {
        match target {
            SinkTarget::Poller => Self::Poller,
            SinkTarget::Http(_) => Self::Http,
        }
    }

    pub(super) fn name(self, owner: SinkOwner) -> &'static str {
        let [poller, http] = names(owner);
        match self {
            Self::Poller => poller,
            Self::Http => http,
        }
    }

    fn parse(owner: SinkOwner, name: &str) -> Result<Self, Invalid> {
        let [poller, http] = names(owner);
        match name {
            _ if name == poller => Ok(Self::Poller),
            _ if name == http => Ok(Self::Http),
            _ if WITH_CONNECTORS.contains(&name) => {
                Err(Invalid::new(format!("`{name}` comes with the connectors, which are not there yet; there are `{poller}` and `{http}`")))
            }
            _ => Err(Invalid::new(format!("must be `{poller}` or `{http}`"))),
        }
    }
}

fn names(owner: SinkOwner) -> [&'static str; 2] {
    match owner {
        SinkOwner::Stream(_) => Kind::STREAM_NAMES,
        SinkOwner::Application(_) => Kind::APPLICATION_NAMES,
    }
}

/// [`SinkIn`] that keeps every rule.
#[derive(Debug)]
pub(crate) struct SinkFields {
    target: Target,
    uid: Option<Uid>,
    disabled: bool,
    batch_size: u16,
    max_wait_s: u16,
    event_types: Vec<EventTypeName>,
    channels: Vec<Channel>,
    metadata: Metadata,
}

#[derive(Debug)]
enum Target {
    Poller,
    Http { url: String, headers: Vec<CustomHeader>, key: Option<SigningSecret> },
}

/// `None` where a field stays as it is.
#[derive(Debug, Default)]
pub(crate) struct SinkChange {
    target: Option<TargetChange>,
    uid: Option<Option<Uid>>,
    disabled: Option<bool>,
    batch_size: Option<u16>,
    max_wait_s: Option<u16>,
    event_types: Option<Vec<EventTypeName>>,
    channels: Option<Vec<Channel>>,
    metadata: Option<Metadata>,
}

#[derive(Debug)]
enum TargetChange {
    /// The secrets are for a sink that had none.
    Replace(Target, EndpointSecrets),
    Url(String),
}

impl SinkIn {
    pub(crate) fn parse(self, api: &Api, owner: SinkOwner) -> Result<SinkFields, Problem> {
        let mut wrong = Wrong::in_body();
        let kind = wrong.check("type", Kind::parse(owner, &self.r#type));
        let target = kind.and_then(|kind| parse_target(&mut wrong, api, kind, self.config));
        let fields = SinkFields {
            target: target.unwrap_or(Target::Poller),
            uid: wrong.optional("uid", self.uid, v1::short_uid::<SinkKind>),
            disabled: self.status == Some(SinkStatusIn::Disabled),
            batch_size: wrong.optional("batchSize", self.batch_size, batch_size).unwrap_or(limits::SINK_BATCH_DEFAULT),
            max_wait_s: wrong.optional("maxWaitSecs", self.max_wait_secs, max_wait).unwrap_or_default(),
            event_types: parse_filter(&mut wrong, "eventTypes", self.event_types, EventTypeName::parse).unwrap_or_default(),
            channels: parse_filter(&mut wrong, "channels", self.channels, Channel::parse).unwrap_or_default(),
            metadata: wrong.optional("metadata", self.metadata, v1::metadata).unwrap_or_default(),
        };
        wrong.nothing()?;
        Ok(fields)
    }
}

fn parse_target(wrong: &mut Wrong, api: &Api, kind: Kind, config: Option<Value>) -> Option<Target> {
    if kind == Kind::Poller {
        return Some(Target::Poller);
    }
    let Some(config) = config else {
        wrong.add("config", "is required: its `url` says where batches are sent to");
        return None;
    };
    let config: SinkHttpConfigIn = read_config(wrong, config)?;
    let url = wrong.check("config.url", parse_url(config.url, &api.settings));
    let headers = parse_headers(wrong, "config.headers", config.headers.unwrap_or_default());
    let key = wrong.optional("config.key", config.key, |text| SigningSecret::parse(&text));
    Some(Target::Http { url: url?, headers, key })
}

fn read_config<T: DeserializeOwned>(wrong: &mut Wrong, config: Value) -> Option<T> {
    wrong.check("config", serde_json::from_value(config).map_err(|error| Invalid::new(in_plain_words(&error.to_string()))))
}

impl SinkPatch {
    pub(crate) fn parse(self, api: &Api, sink: &Sink) -> Result<SinkChange, Problem> {
        let mut wrong = Wrong::in_body();
        let kind = Kind::of(&sink.target);
        if let Some(Ok(other)) = self.r#type.as_deref().map(|name| Kind::parse(sink.owner, name)).filter(|other| *other != Ok(kind)) {
            wrong.add("type", format!("is `{}` and cannot be changed to `{}`", kind.name(sink.owner), other.name(sink.owner)));
        } else {
            wrong.optional("type", self.r#type, |name| Kind::parse(sink.owner, &name));
        }
        let config = self.config.filter(|_| kind == Kind::Http);
        let url = config.and_then(|config| read_config::<SinkHttpConfigPatch>(&mut wrong, config)?.url);
        let change = SinkChange {
            target: wrong.optional("config.url", url, |url| parse_url(url, &api.settings)).map(TargetChange::Url),
            uid: self.uid.map(|uid| wrong.optional("uid", uid, v1::short_uid::<SinkKind>)),
            disabled: self.status.map(|status| status == SinkStatusIn::Disabled),
            batch_size: wrong.optional("batchSize", self.batch_size, batch_size),
            max_wait_s: wrong.optional("maxWaitSecs", self.max_wait_secs, max_wait),
            event_types: parse_filter(&mut wrong, "eventTypes", self.event_types, EventTypeName::parse),
            channels: parse_filter(&mut wrong, "channels", self.channels, Channel::parse),
            metadata: wrong.optional("metadata", self.metadata, v1::metadata),
        };
        wrong.nothing()?;
        Ok(change)
    }
}

impl SinkFields {
    pub(super) fn into_sink(self, api: &Api, holder: &Holder, id: SinkId, now: Timestamp) -> Sink {
        Sink {
            id,
            org: holder.org.clone(),
            owner: holder.owner,
            log: holder.log,
            uid: self.uid,
            disabled: self.disabled,
            target: self.target.into_new(new_secrets(api)),
            batch_size: self.batch_size,
            max_wait_s: self.max_wait_s,
            event_types: self.event_types,
            channels: self.channels,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
        }
    }

    pub(super) fn into_change(self, api: &Api) -> SinkChange {
        SinkChange {
            target: Some(TargetChange::Replace(self.target, new_secrets(api))),
            uid: Some(self.uid),
            disabled: Some(self.disabled),
            batch_size: Some(self.batch_size),
            max_wait_s: Some(self.max_wait_s),
            event_types: Some(self.event_types),
            channels: Some(self.channels),
            metadata: Some(self.metadata),
        }
    }
}

impl SinkChange {
    pub(super) fn write_to(self, sink: &mut Sink) -> Result<(), Invalid> {
        match (self.target, &mut sink.target) {
            (None, _) => {}
            (Some(TargetChange::Url(url)), SinkTarget::Http(http)) => http.url = url,
            (Some(TargetChange::Url(_)), SinkTarget::Poller) => return Err(Invalid::new("It is polled now, and has no URL.")),
            // As with endpoints, what signs is not replaced in passing.
            (Some(TargetChange::Replace(Target::Http { url, headers, .. }, _)), SinkTarget::Http(http)) => {
                (http.url, http.headers) = (url, headers);
            }
            (Some(TargetChange::Replace(target, secrets)), old) => *old = target.into_new(secrets),
        }
        replace(&mut sink.uid, self.uid);
        replace(&mut sink.disabled, self.disabled);
        replace(&mut sink.batch_size, self.batch_size);
        replace(&mut sink.max_wait_s, self.max_wait_s);
        replace(&mut sink.event_types, self.event_types);
        replace(&mut sink.channels, self.channels);
        replace(&mut sink.metadata, self.metadata);
        Ok(())
    }
}

impl Target {
    fn into_new(self, secrets: EndpointSecrets) -> SinkTarget {
        match self {
            Self::Poller => SinkTarget::Poller,
            Self::Http { url, headers, key } => {
                SinkTarget::Http(HttpSink { url, headers, secrets: key.map_or(secrets, EndpointSecrets::new) })
            }
        }
    }
}

fn new_secrets(api: &Api) -> EndpointSecrets {
    EndpointSecrets::new(SigningSecret::generate(api.settings.default_signature, &*api.entropy))
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

fn batch_size(events: u16) -> Result<u16, Invalid> {
    if (1..=limits::SINK_BATCH_MAX).contains(&events) {
        return Ok(events);
    }
    Err(Invalid::new(format!("must be between 1 and {}", limits::SINK_BATCH_MAX)))
}

fn max_wait(seconds: u16) -> Result<u16, Invalid> {
    if seconds <= limits::SINK_WAIT_S_MAX {
        return Ok(seconds);
    }
    Err(Invalid::new(format!("must be between 0 and {}", limits::SINK_WAIT_S_MAX)))
}

fn parse_filter<T: PartialEq>(
    wrong: &mut Wrong,
    field: &str,
    given: Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Option<Vec<T>> {
    let given = given?;
    if given.len() > limits::SINK_FILTERS_MAX {
        wrong.add(field, format!("has {} items; at most {} are allowed", given.len(), limits::SINK_FILTERS_MAX));
        return None;
    }
    Some(without_repetitions(wrong.each(field, given, |text| parse(&text))))
}
