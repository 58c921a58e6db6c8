//! The rules for the fields of an endpoint, and how a change is applied.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hookpost_domain::address::Forbidden;
use hookpost_domain::application::Metadata;
use hookpost_domain::endpoint::{CustomHeader, Disabled};
use hookpost_domain::id::EndpointKind;
use hookpost_domain::operational;
use hookpost_domain::request::check_custom_header;
use hookpost_domain::secret::EndpointSecrets;
use hookpost_domain::{Channel, Endpoint, EventTypePattern, Invalid, OrgId, RetrySchedule, SigningSecret, Uid, limits};
use hookpost_store::ApplicationView;
use url::{Host, Url};

use super::{EndpointIn, EndpointPatch};
use crate::problem::{Problem, Wrong};
use crate::state::{Api, ApiSettings};
use crate::v1::{self, retry::RetryScheduleIn};

/// Fields that keep every rule. `None` where a field stays as it is.
#[derive(Debug, Default)]
pub(crate) struct EndpointChange {
    url: Option<String>,
    description: Option<String>,
    uid: Option<Option<Uid>>,
    version: Option<u16>,
    disabled: Option<bool>,
    event_types: Option<EventTypes>,
    channels: Option<Option<Vec<Channel>>>,
    throttle_rate: Option<Option<u16>>,
    metadata: Option<Metadata>,
    headers: Option<Vec<CustomHeader>>,
    pub(super) secret: Option<SigningSecret>,
    ordered: Option<bool>,
    concurrency: Option<Option<u16>>,
    retry_schedule: Option<Option<RetrySchedule>>,
}

/// With the name that the client gave the field.
#[derive(Debug)]
struct EventTypes {
    field: &'static str,
    patterns: Option<Vec<EventTypePattern>>,
}

impl EndpointIn {
    /// The same for an endpoint of a source, whose clients know of no event types and channels: they cannot lose them by a `PUT`.
    pub(crate) fn parse_for_source(self, api: &Api) -> Result<EndpointChange, Problem> {
        let (event_types, channels) = (self.event_types.is_some() || self.filter_types.is_some(), self.channels.is_some());
        let mut change = self.parse(api)?;
        change.event_types = change.event_types.filter(|_| event_types);
        change.channels = change.channels.filter(|_| channels);
        Ok(change)
    }

    /// What is not given is set back, except for what clients of other servers cannot know.
    pub(crate) fn parse(self, api: &Api) -> Result<EndpointChange, Problem> {
        let mut wrong = Wrong::in_body();
        let event_types = match (self.event_types, self.filter_types) {
            (None, Some(given)) => ("filterTypes", Some(given)),
            (given, _) => ("eventTypes", given),
        };
        let (rate_field, throttle_rate) = match (self.throttle_rate, self.rate_limit) {
            (None, Some(given)) => ("rateLimit", Some(given)),
            (given, _) => ("throttleRate", given),
        };
        let change = EndpointChange {
            url: wrong.check("url", parse_url(self.url, &api.settings)),
            description: Some(self.description.unwrap_or_default()),
            uid: Some(wrong.optional("uid", self.uid, v1::uid::<EndpointKind>)),
            version: Some(wrong.optional("version", self.version, version).unwrap_or(1)),
            disabled: Some(self.disabled.unwrap_or_default()),
            event_types: Some(parse_event_types(&mut wrong, event_types)),
            channels: Some(parse_channels(&mut wrong, self.channels)),
            throttle_rate: Some(wrong.optional(rate_field, throttle_rate, v1::rate)),
            metadata: Some(wrong.optional("metadata", self.metadata, v1::metadata).unwrap_or_default()),
            headers: self.headers.map(|headers| parse_headers(&mut wrong, "headers", headers)),
            secret: wrong.optional("secret", self.secret, |text| SigningSecret::parse(&text)),
            ordered: self.ordered.map(Option::unwrap_or_default),
            concurrency: self.concurrency.map(|given| wrong.optional("concurrency", given, concurrency)),
            retry_schedule: self.retry_schedule.map(|given| wrong.optional("retrySchedule", given, RetryScheduleIn::parse)),
        };
        wrong.nothing()?;
        Ok(change)
    }
}

impl EndpointPatch {
    pub(super) fn parse(self, api: &Api) -> Result<EndpointChange, Problem> {
        let mut wrong = Wrong::in_body();
        let event_types = match (self.event_types, self.filter_types) {
            (None, Some(given)) => Some(("filterTypes", given)),
            (given, _) => given.map(|given| ("eventTypes", given)),
        };
        let throttle_rate = match (self.throttle_rate, self.rate_limit) {
            (None, Some(given)) => Some(("rateLimit", given)),
            (given, _) => given.map(|given| ("throttleRate", given)),
        };
        let change = EndpointChange {
            url: wrong.optional("url", self.url, |text| parse_url(text, &api.settings)),
            description: self.description,
            uid: self.uid.map(|uid| wrong.optional("uid", uid, v1::uid::<EndpointKind>)),
            version: wrong.optional("version", self.version, version),
            disabled: self.disabled,
            event_types: event_types.map(|given| parse_event_types(&mut wrong, given)),
            channels: self.channels.map(|given| parse_channels(&mut wrong, given)),
            throttle_rate: throttle_rate.map(|(field, rate)| wrong.optional(field, rate, v1::rate)),
            metadata: wrong.optional("metadata", self.metadata, v1::metadata),
            headers: None,
            secret: wrong.optional("secret", self.secret, |text| SigningSecret::parse(&text)),
            ordered: self.ordered,
            concurrency: self.concurrency.map(|given| wrong.optional("concurrency", given, concurrency)),
            retry_schedule: self.retry_schedule.map(|given| wrong.optional("retrySchedule", given, RetryScheduleIn::parse)),
        };
        wrong.nothing()?;
        Ok(change)
    }
}

impl EndpointChange {
    pub(super) fn write_to(self, endpoint: &mut Endpoint) {
        let set = |disabled| if disabled { Disabled::ByUser } else { Disabled::No };
        // Who disabled it first, and why, is worth more than that somebody did it again.
        if let Some(disabled) = self.disabled.filter(|disabled| *disabled != endpoint.disabled.is_disabled()) {
            endpoint.disabled = set(disabled);
        }
        if let Some(secret) = self.secret {
            endpoint.secrets = EndpointSecrets::new(secret);
        }
        replace(&mut endpoint.url, self.url);
        replace(&mut endpoint.description, self.description);
        replace(&mut endpoint.uid, self.uid);
        replace(&mut endpoint.version, self.version);
        replace(&mut endpoint.event_types, self.event_types.map(|event_types| event_types.patterns));
        replace(&mut endpoint.channels, self.channels);
        replace(&mut endpoint.throttle_rate, self.throttle_rate);
        replace(&mut endpoint.metadata, self.metadata);
        replace(&mut endpoint.headers, self.headers);
        replace(&mut endpoint.ordered, self.ordered);
        replace(&mut endpoint.concurrency, self.concurrency);
        replace(&mut endpoint.retry_schedule, self.retry_schedule);
    }
}

fn replace<T>(old: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *old = new;
    }
}

/// Refuses subscriptions to event types that are not in the catalogue: most are typing errors, and nobody would ever notice.
pub(super) async fn check_event_types(api: &Api, view: &ApplicationView, change: &EndpointChange) -> Result<(), Problem> {
    let Some(EventTypes { field, patterns: Some(patterns) }) = &change.event_types else { return Ok(()) };
    let org = &view.application.org;
    let mut unknown = Vec::new();
    for name in patterns.iter().filter_map(EventTypePattern::exact) {
        let operational = || org.as_str() == OrgId::MANAGEMENT && operational::EVENT_TYPES.iter().any(|(known, _)| *known == name.as_str());
        if api.store.event_type(org, name.as_str()).await?.is_none() && !operational() {
            unknown.push(name.to_string());
        }
    }
    match unknown.as_slice() {
        [] => Ok(()),
        names => Err(Problem::body(field, format!("The following event types don't exist: {}", names.join(", ")))),
    }
}

pub(crate) fn parse_url(text: String, settings: &ApiSettings) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > limits::URL_BYTES_MAX {
        return Err(Invalid::new(format!("must be 1 to {} characters long", limits::URL_BYTES_MAX)));
    }
    let url = Url::parse(&text).map_err(|error| Invalid::new(format!("must be a URL such as `https://example.com/webhooks`: {error}")))?;
    match url.scheme() {
        "https" => {}
        "http" if settings.https_only => {
            return Err(Invalid::new("must begin with `https://`: this server sends nothing in the clear (`HOOKPOST_HTTPS_ONLY`)"));
        }
        "http" => {}
        other => return Err(Invalid::new(format!("must begin with `https://` or `http://`, not with `{other}:`"))),
    }
    let address = match url.host() {
        Some(Host::Domain("")) | None => return Err(Invalid::new("must name a host")),
        // What it means is judged when it is resolved, each time.
        Some(Host::Domain(_)) => return Ok(text),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
    };
    match settings.addresses.check(address) {
        Ok(()) => Ok(text),
        Err(Forbidden { what, never_private }) => {
            let setting = if never_private { "HOOKPOST_ALLOWED_SUBNETS" } else { "HOOKPOST_ALLOW_PRIVATE_NETWORKS" };
            Err(Invalid::new(format!("leads to {address}, {what}, which this server does not deliver to (`{setting}`)")))
        }
    }
}

fn version(version: u16) -> Result<u16, Invalid> {
    if version == 0 { Err(Invalid::new("must be at least 1")) } else { Ok(version) }
}

fn concurrency(attempts: u16) -> Result<u16, Invalid> {
    let max = limits::LANE_DELIVERIES_IN_MEMORY_MAX;
    if attempts == 0 || usize::from(attempts) > max {
        return Err(Invalid::new(format!("must be between 1 and {max}")));
    }
    Ok(attempts)
}

fn parse_event_types(wrong: &mut Wrong, (field, given): (&'static str, Option<Vec<String>>)) -> EventTypes {
    let Some(given) = given else { return EventTypes { field, patterns: None } };
    if given.is_empty() {
        wrong.add(field, "must not be empty; leave it out, or give null, for all event types");
    }
    EventTypes { field, patterns: Some(without_repetitions(wrong.each(field, given, |text| EventTypePattern::parse(&text)))) }
}

fn parse_channels(wrong: &mut Wrong, given: Option<Vec<String>>) -> Option<Vec<Channel>> {
    let given = given?;
    let max = limits::CHANNELS_PER_ENDPOINT_MAX;
    if given.is_empty() || given.len() > max {
        wrong.add("channels", format!("must be 1 to {max} channels; leave it out, or give null, for messages of any"));
    }
    Some(without_repetitions(wrong.each("channels", given, |text| Channel::parse(&text))))
}

pub(crate) fn without_repetitions<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut unique = Vec::with_capacity(items.len());
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

pub(crate) fn parse_headers(wrong: &mut Wrong, field: &str, headers: BTreeMap<String, String>) -> Vec<CustomHeader> {
    let headers: Vec<CustomHeader> = headers.into_iter().map(|(name, value)| CustomHeader { name, value }).collect();
    for header in &headers {
        wrong.check(field, check_custom_header(&header.name, &header.value));
    }
    if let Err(Invalid(rule)) = check_headers_together(&headers) {
        wrong.add(field, rule);
    }
    headers
}

/// Names are the same whatever their case.
pub(crate) fn check_headers_together(headers: &[CustomHeader]) -> Result<(), Invalid> {
    if headers.len() > limits::HEADERS_PER_ENDPOINT_MAX {
        return Err(Invalid::new(format!("has {} headers; at most {} are allowed", headers.len(), limits::HEADERS_PER_ENDPOINT_MAX)));
    }
    let twice = headers
        .iter()
        .enumerate()
        .find(|(index, header)| headers[..*index].iter().any(|other| other.name.eq_ignore_ascii_case(&header.name)));
    match twice {
        Some((_, header)) => Err(Invalid::new(format!("has the header `{}` twice", header.name))),
        None => Ok(()),
    }
}
