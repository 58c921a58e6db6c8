//! From a request to the message that it becomes, by the rules of its source: event type, channels, ordering key, the headers that go on, and what
//! tells it from a repetition. The bytes of its body become the payload as they are.

use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::message::{ForwardedHeader, PayloadType, Routing};
use hookpost_domain::source::{DeduplicateBy, Extraction, SourceRules};
use hookpost_domain::{Channel, EventTypeName, Invalid, MessageContent, SourceId, Timestamp, limits};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use ring::digest::{Context, SHA256};
use thiserror::Error;

use crate::encoding::Unreadable;
use crate::extraction::{CompiledExtraction, Said, header_name};
use crate::incoming::Incoming;
use crate::names;

/// Where neither a rule nor the provider says what an event is.
const EVENT_TYPE_DEFAULT: &str = "webhook.received";
const ORDERING_KEY_BYTES_MAX: usize = 256;
const CONTENT_TYPE_BYTES_MAX: usize = 256;
const FIELDS_MAX: usize = 20;

/// The rules of a source about messages, checked and compiled.
#[derive(Debug)]
pub struct Mapping {
    event_type: Option<CompiledExtraction>,
    channels: Vec<CompiledExtraction>,
    ordering_key: Option<CompiledExtraction>,
    forward: Vec<HeaderName>,
    once: OnceBy,
    window: Duration,
    event_type_default: EventTypeName,
}

#[derive(Debug)]
enum OnceBy {
    EventId,
    Fields(Vec<CompiledExtraction>),
    BodyHash,
    Nothing,
}

/// A rule that cannot be followed: which one, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {rule}")]
pub struct InvalidRule {
    /// As in the JSON of the rules: `deduplicate.by.fields.0`.
    pub field: String,
    /// A sentence without its subject: "must be …".
    pub rule: String,
}

/// A message that is not routed yet, and what tells it from a repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    pub content: MessageContent,
    pub once: Option<OnceHash>,
}

/// What the requests that are to make one message have in common, within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnceHash {
    pub hash: [u8; 16],
    pub window: Duration,
}

impl InvalidRule {
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl Mapping {
    pub fn compile(rules: &SourceRules) -> Result<Self, InvalidRule> {
        let one = |field: &str, extraction: &Extraction| {
            CompiledExtraction::compile(extraction).map_err(|Invalid(rule)| InvalidRule::new(field, rule))
        };
        let optional =
            |field: &str, extraction: &Option<Extraction>| extraction.as_ref().map(|extraction| one(field, extraction)).transpose();
        let all = |field: &str, extractions: &[Extraction], count_max: usize| {
            if extractions.len() > count_max {
                return Err(InvalidRule::new(field, format!("has {} items; at most {count_max} are allowed", extractions.len())));
            }
            let each = extractions.iter().enumerate();
            each.map(|(index, extraction)| one(&format!("{field}.{index}"), extraction)).collect::<Result<Vec<_>, _>>()
        };
        let once = match &rules.deduplicate.by {
            DeduplicateBy::EventId => OnceBy::EventId,
            DeduplicateBy::BodyHash => OnceBy::BodyHash,
            DeduplicateBy::Nothing => OnceBy::Nothing,
            DeduplicateBy::Fields(fields) if fields.is_empty() => {
                return Err(InvalidRule::new("deduplicate.by.fields", "must name at least one field"));
            }
            DeduplicateBy::Fields(fields) => OnceBy::Fields(all("deduplicate.by.fields", fields, FIELDS_MAX)?),
        };
        let window = rules.deduplicate.window();
        if window > limits::DEDUPLICATION_WINDOW_MAX {
            let days = limits::DEDUPLICATION_WINDOW_MAX.as_secs() / (24 * 3600);
            return Err(InvalidRule::new("deduplicate.windowS", format!("must be at most {days} days")));
        }
        Ok(Self {
            event_type: optional("eventType", &rules.event_type)?,
            channels: all("channels", &rules.channels, limits::CHANNELS_PER_MESSAGE_MAX)?,
            ordering_key: optional("orderingKey", &rules.ordering_key)?,
            forward: forwarded_names(&rules.forward_headers)?,
            once: if window.is_zero() { OnceBy::Nothing } else { once },
            window,
            event_type_default: EventTypeName::parse(EVENT_TYPE_DEFAULT).map_err(|Invalid(rule)| InvalidRule::new("eventType", rule))?,
        })
    }

    /// The message that a request becomes. `body` is the body of the request, shared and not copied.
    pub fn message(
        &self,
        incoming: &Incoming<'_>,
        body: Bytes,
        said: Said<'_>,
        source: SourceId,
        payload_expires_at: Timestamp,
    ) -> Result<Mapped, Unreadable> {
        let content = MessageContent {
            event_type: self.event_type(incoming, said)?,
            event_id: None,
            channels: self.channels(incoming, said)?,
            tags: Vec::new(),
            content_type: payload_type(incoming.headers, &body),
            payload: Some(body),
            headers: self.forwarded(incoming.headers),
            ordering_key: self.ordering_key(incoming, said)?,
            payload_expires_at,
            deliver_at: None,
            routing: Routing::default(),
        };
        let hash = self.once_hash(incoming, said, source)?;
        Ok(Mapped { content, once: hash.map(|hash| OnceHash { hash, window: self.window }) })
    }

    /// By the rule, else as the provider says.
    fn event_type(&self, incoming: &Incoming<'_>, said: Said<'_>) -> Result<EventTypeName, Unreadable> {
        let ruled = self.event_type.as_ref().map(|rule| rule.first(incoming, said)).transpose()?.flatten();
        let name = ruled.as_deref().or(said.event_type).and_then(names::event_type_name);
        Ok(name.unwrap_or_else(|| self.event_type_default.clone()))
    }

    fn channels(&self, incoming: &Incoming<'_>, said: Said<'_>) -> Result<Vec<Channel>, Unreadable> {
        let mut channels = Vec::new();
        for rule in &self.channels {
            for channel in rule.values(incoming, said)?.iter().filter_map(|text| names::channel(text)) {
                if !channels.contains(&channel) && channels.len() < limits::CHANNELS_PER_MESSAGE_MAX {
                    channels.push(channel);
                }
            }
        }
        Ok(channels)
    }

    /// Keys that are too long are cut: what then shares one is kept in order for no need, and nothing worse.
    fn ordering_key(&self, incoming: &Incoming<'_>, said: Said<'_>) -> Result<Option<String>, Unreadable> {
        let Some(mut key) = self.ordering_key.as_ref().map(|rule| rule.first(incoming, said)).transpose()?.flatten() else {
            return Ok(None);
        };
        let end = key.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= ORDERING_KEY_BYTES_MAX).last();
        key.truncate(end.unwrap_or_default());
        Ok(Some(key))
    }

    /// The headers that the rules name, and the encoding of the body, without which its bytes mean nothing.
    fn forwarded(&self, headers: &HeaderMap) -> Vec<ForwardedHeader> {
        let names = self.forward.iter().chain(std::iter::once(&CONTENT_ENCODING));
        let all = names.flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
        all.take(limits::HEADERS_PER_ENDPOINT_MAX)
            .map(|(name, value)| ForwardedHeader { name: name.as_str().to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) })
            .collect()
    }

    /// A hash over source and what tells its events apart; `None` where nothing does.
    fn once_hash(&self, incoming: &Incoming<'_>, said: Said<'_>, source: SourceId) -> Result<Option<[u8; 16]>, Unreadable> {
        let mut hash = Hash::new(source);
        match &self.once {
            OnceBy::Nothing => return Ok(None),
            OnceBy::EventId => match said.event_id {
                Some(id) if !id.is_empty() => hash.part(b"event id").part(id.as_bytes()),
                _ => return Ok(None),
            },
            OnceBy::BodyHash => hash.part(b"body").part(incoming.body),
            OnceBy::Fields(fields) => {
                hash.part(b"fields");
                let mut any = false;
                for field in fields {
                    let values = field.values(incoming, said)?;
                    any |= !values.is_empty();
                    hash.part(&values.len().to_le_bytes());
                    for value in &values {
                        hash.part(value.as_bytes());
                    }
                }
                if !any {
                    return Ok(None);
                }
                &mut hash
            }
        };
        Ok(Some(hash.finish()))
    }
}

struct Hash(Context);

impl Hash {
    fn new(source: SourceId) -> Self {
        let mut hash = Self(Context::new(&SHA256));
        hash.part(b"hookpost source").part(&source.row().raw().to_le_bytes());
        hash
    }

    /// With its length before it, so that no two lists of parts make the same bytes.
    fn part(&mut self, part: &[u8]) -> &mut Self {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    fn finish(self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0.finish().as_ref()[..16]);
        short
    }
}

fn forwarded_names(names: &[String]) -> Result<Vec<HeaderName>, InvalidRule> {
    let invalid = |rule: String| InvalidRule::new("forwardHeaders", rule);
    if names.len() > limits::HEADERS_PER_ENDPOINT_MAX {
        return Err(invalid(format!("has {} items; at most {} are allowed", names.len(), limits::HEADERS_PER_ENDPOINT_MAX)));
    }
    let mut forward = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let field = format!("forwardHeaders.{index}");
        let name = header_name(name).map_err(|Invalid(rule)| InvalidRule::new(field, rule))?;
        // Both go on in any case.
        if name != CONTENT_TYPE && name != CONTENT_ENCODING && !forward.contains(&name) {
            forward.push(name);
        }
    }
    Ok(forward)
}

/// What the body is, as its sender says it; where that is missing or cannot be said again, JSON if it looks like it.
pub fn payload_type(headers: &HeaderMap, body: &[u8]) -> PayloadType {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::trim);
    match said.filter(|said| !said.is_empty() && said.len() <= CONTENT_TYPE_BYTES_MAX) {
        Some(said) if said.eq_ignore_ascii_case(PayloadType::Json.as_str()) => PayloadType::Json,
        Some(said) => PayloadType::Other(said.to_owned()),
        None if matches!(body.first(), Some(b'{' | b'[')) => PayloadType::Json,
        None => PayloadType::Other("application/octet-stream".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hookpost_domain::RowId;
    use hookpost_domain::source::Deduplication;

    use super::*;

    const BODY: &[u8] = br#"{"type": "Order Paid", "id": "o1", "account": {"id": 5}, "labels": ["eu west", "eu west", "b"]}"#;
    const SOURCE: SourceId = SourceId::from_row(RowId::from_raw(1));

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        headers.append("x-a", "1".parse().unwrap());
        headers.append("x-a", "2".parse().unwrap());
        headers.insert("x-secret", "s".parse().unwrap());
        headers
    }

    fn map(rules: &SourceRules, headers: &HeaderMap, body: &'static [u8], said: Said<'_>, source: SourceId) -> Mapped {
        let incoming = Incoming::new(headers, body, 1000);
        Mapping::compile(rules).unwrap().message(&incoming, Bytes::from_static(body), said, source, Timestamp::MAX).unwrap()
    }

    #[test]
    fn rules_say_what_a_message_gets() {
        let rules = SourceRules {
            event_type: Some(Extraction::Path("$.type".into())),
            channels: vec![Extraction::Path("$.labels".into()), Extraction::Template("account_{{ body.account.id }}".into())],
            ordering_key: Some(Extraction::Path("$.account.id".into())),
            forward_headers: vec!["X-A".into()],
            ..SourceRules::default()
        };
        let said = Said { event_id: Some("e1"), event_type: Some("of.provider") };
        let Mapped { content, once } = map(&rules, &headers(), BODY, said, SOURCE);
        assert_eq!(content.event_type.as_str(), "Order_Paid");
        assert_eq!(content.channels.iter().map(Channel::as_str).collect::<Vec<_>>(), ["eu_west", "b", "account_5"]);
        assert_eq!(content.ordering_key.as_deref(), Some("5"));
        assert_eq!(
            content.headers.iter().map(|h| (h.name.as_str(), &h.value[..])).collect::<Vec<_>>(),
            [("x-a", &b"1"[..]), ("x-a", b"2")]
        );
        assert_eq!(content.payload.as_deref(), Some(BODY));
        assert_eq!(content.content_type, PayloadType::Json);
        assert_eq!(once.unwrap().window, Duration::from_secs(7 * 24 * 3600));
    }

    #[test]
    fn without_rules_the_provider_says_it_and_then_nobody() {
        let event_type = |said| map(&SourceRules::default(), &headers(), BODY, said, SOURCE).content.event_type.to_string();
        assert_eq!(event_type(Said { event_type: Some("orders/create"), event_id: None }), "orders.create");
        assert_eq!(event_type(Said::default()), "webhook.received");
        let rules = SourceRules { event_type: Some(Extraction::Path("$.no".into())), ..SourceRules::default() };
        let said = Said { event_type: Some("fallback"), event_id: None };
        assert_eq!(map(&rules, &headers(), BODY, said, SOURCE).content.event_type.as_str(), "fallback");
    }

    #[test]
    fn repetitions_are_told_by_what_the_rules_name() {
        let hash = |by: DeduplicateBy, id: Option<&str>, body: &'static [u8], source: u64| {
            let rules = SourceRules { deduplicate: Deduplication { by, window_s: 60 }, ..SourceRules::default() };
            let said = Said { event_id: id, event_type: None };
            map(&rules, &headers(), body, said, SourceId::from_row(RowId::from_raw(source))).once.map(|once| once.hash)
        };
        let by_id = |id, source| hash(DeduplicateBy::EventId, id, BODY, source);
        assert_eq!(by_id(Some("a"), 1), by_id(Some("a"), 1));
        assert_ne!(by_id(Some("a"), 1), by_id(Some("b"), 1));
        assert_ne!(by_id(Some("a"), 1), by_id(Some("a"), 2));
        assert_eq!(by_id(None, 1), None);
        let by_body = |body| hash(DeduplicateBy::BodyHash, None, body, 1);
        assert_eq!(by_body(BODY), by_body(BODY));
        assert_ne!(by_body(BODY), by_body(b"{}"));
        let fields = || DeduplicateBy::Fields(vec![Extraction::Path("$.id".into()), Extraction::Path("$.v".into())]);
        let by_fields = |body| hash(fields(), None, body, 1);
        assert_eq!(by_fields(br#"{"id": 1, "v": 2, "x": 1}"#), by_fields(br#"{"v": 2, "id": 1}"#));
        assert_ne!(by_fields(br#"{"id": 1}"#), by_fields(br#"{"v": 1}"#));
        assert_eq!(by_fields(br#"{"x": 1}"#), None);
        assert_eq!(hash(DeduplicateBy::Nothing, Some("a"), BODY, 1), None);
    }

    #[test]
    fn the_encoding_of_the_bytes_goes_on_with_them() {
        let mut encoded = headers();
        encoded.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let content = map(&SourceRules::default(), &encoded, b"\x1f\x8b", Said::default(), SOURCE).content;
        assert_eq!(content.headers[0].name, "content-encoding");
        assert_eq!(content.payload.as_deref(), Some(&b"\x1f\x8b"[..]));
    }

    #[test]
    fn a_payload_is_what_its_sender_says_it_is() {
        let of = |said: Option<&[u8]>, body: &[u8]| {
            let headers = said.map(|said| (CONTENT_TYPE, http::HeaderValue::from_bytes(said).unwrap())).into_iter().collect();
            payload_type(&headers, body).as_str().to_owned()
        };
        for (said, body, expected) in [
            (Some(&b"application/json"[..]), &b""[..], "application/json"),
            (Some(b"application/json; charset=utf-8"), b"", "application/json; charset=utf-8"),
            (Some(b"text/xml"), b"{", "text/xml"),
            (Some(b"\xff"), b"{", "application/json"),
            (None, b"{}", "application/json"),
            (None, b"<a/>", "application/octet-stream"),
            (None, b"", "application/octet-stream"),
        ] {
            assert_eq!(of(said, body), expected);
        }
    }

    #[test]
    fn a_wrong_rule_is_named() {
        let wrong = Extraction::Path("$..".into());
        for (rules, field) in [
            (SourceRules { event_type: Some(wrong.clone()), ..SourceRules::default() }, "eventType"),
            (SourceRules { channels: vec![Extraction::Value("a".into()), wrong.clone()], ..SourceRules::default() }, "channels.1"),
            (SourceRules { ordering_key: Some(wrong.clone()), ..SourceRules::default() }, "orderingKey"),
            (SourceRules { forward_headers: vec!["a b".into()], ..SourceRules::default() }, "forwardHeaders.0"),
            (
                SourceRules {
                    deduplicate: Deduplication { by: DeduplicateBy::Fields(vec![wrong]), window_s: 1 },
                    ..SourceRules::default()
                },
                "deduplicate.by.fields.0",
            ),
            (
                SourceRules { deduplicate: Deduplication { window_s: u32::MAX, ..Deduplication::default() }, ..SourceRules::default() },
                "deduplicate.windowS",
            ),
        ] {
            assert_eq!(Mapping::compile(&rules).unwrap_err().field, field);
        }
    }
}
