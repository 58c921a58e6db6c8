//! The headers of an outgoing request: made here for sending, and again for showing what was sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use url::Url;

use crate::delivery::{Attempt, Trigger};
use crate::endpoint::CustomHeader;
use crate::limits;
use crate::message::{ForwardedHeader, MessageContent, PayloadType};
use crate::name::Invalid;
use crate::time::Timestamp;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SVIX_ID: HeaderName = HeaderName::from_static("svix-id");
const SVIX_TIMESTAMP: HeaderName = HeaderName::from_static("svix-timestamp");
const SVIX_SIGNATURE: HeaderName = HeaderName::from_static("svix-signature");
/// The number of the attempt, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("hookpost-attempt");
/// `scheduled` or `manual`.
pub const TRIGGER: HeaderName = HeaderName::from_static("hookpost-trigger");
/// The seconds until the next attempt, should this one fail; absent where it is the last.
pub const WILL_RETRY_AFTER: HeaderName = HeaderName::from_static("hookpost-will-retry-after");
/// What the message is about, where it has been said: messages with equal keys belong in order.
pub const ORDERING_KEY: HeaderName = HeaderName::from_static("hookpost-ordering-key");

/// What stands in the place of a value that is not shown.
pub const WITHHELD: &str = "(withheld)";

/// Which names the signature headers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderSets {
    pub webhook: bool,
    pub svix: bool,
}

/// What is the same for all requests to an endpoint, made once.
#[derive(Clone)]
pub struct PreparedHeaders {
    sets: HeaderSets,
    /// The user agent first, then what the endpoint adds.
    constant: Vec<(HeaderName, HeaderValue)>,
}

/// What differs from attempt to attempt.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    pub message_id: &'a str,
    pub content_type: &'a PayloadType,
    /// Of the request that the message came with.
    pub forwarded: &'a [ForwardedHeader],
    pub ordering_key: Option<&'a str>,
    pub started_at: Timestamp,
    pub signature: &'a str,
    pub attempt_number: u32,
    pub trigger: Trigger,
    pub will_retry_after_s: Option<u64>,
}

impl PreparedHeaders {
    /// `url` may carry a user and password, which become an `authorization` header unless `custom` has one.
    pub fn new(user_agent: &str, url: &str, custom: &[CustomHeader], sets: HeaderSets) -> Self {
        let user_agent = HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("Hookpost"));
        let mut constant = vec![(USER_AGENT, user_agent)];
        // What was stored has passed `check_custom_header`; should a rule have been laxer once, the request goes without it.
        constant.extend(custom.iter().filter_map(|header| {
            let mut value = HeaderValue::from_str(&header.value).ok()?;
            value.set_sensitive(is_sensitive(&header.name));
            Some((HeaderName::from_bytes(header.name.as_bytes()).ok()?, value))
        }));
        if !constant.iter().any(|(name, _)| *name == AUTHORIZATION) {
            constant.extend(basic_authorization(url).map(|value| (AUTHORIZATION, value)));
        }
        Self { sets, constant }
    }

    /// All headers but `host` and `content-length`: ours, then those that came with the message, and in the place of both what the endpoint wants.
    pub fn for_attempt(&self, facts: RequestFacts<'_>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.constant.len() + facts.forwarded.len() + 11);
        let content_type = match facts.content_type {
            PayloadType::Json => HeaderValue::from_static("application/json"),
            PayloadType::Other(other) => HeaderValue::from_str(other).unwrap_or(HeaderValue::from_static("application/octet-stream")),
        };
        headers.insert(CONTENT_TYPE, content_type);
        if let (Ok(id), Ok(signature)) = (HeaderValue::from_str(facts.message_id), HeaderValue::from_str(facts.signature)) {
            let timestamp = HeaderValue::from(facts.started_at.unix_seconds());
            if self.sets.svix {
                headers.insert(SVIX_ID, id.clone());
                headers.insert(SVIX_TIMESTAMP, timestamp.clone());
                headers.insert(SVIX_SIGNATURE, signature.clone());
            }
            if self.sets.webhook {
                headers.insert(WEBHOOK_ID, id);
                headers.insert(WEBHOOK_TIMESTAMP, timestamp);
                headers.insert(WEBHOOK_SIGNATURE, signature);
            }
        }
        headers.insert(ATTEMPT, HeaderValue::from(facts.attempt_number));
        headers.insert(TRIGGER, HeaderValue::from_static(trigger_word(facts.trigger)));
        if let Some(seconds) = facts.will_retry_after_s {
            headers.insert(WILL_RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Ok(key)) = facts.ordering_key.map(|key| HeaderValue::from_bytes(key.as_bytes())) {
            headers.insert(ORDERING_KEY, key);
        }
        for header in facts.forwarded {
            if let Some((name, value)) = forwarded(header) {
                headers.append(name, value);
            }
        }
        for (name, value) in &self.constant {
            headers.insert(name, value.clone());
        }
        headers
    }

    /// The headers of a stored attempt, as far as they follow from what is stored (not the announcement of the next attempt), with secret values withheld.
    pub fn shown(&self, attempt: &Attempt, message_id: &str, content: &MessageContent) -> Vec<(String, String)> {
        let headers = self.for_attempt(RequestFacts {
            message_id,
            content_type: &content.content_type,
            forwarded: &content.headers,
            ordering_key: content.ordering_key.as_deref(),
            started_at: attempt.started_at,
            signature: &attempt.signature,
            attempt_number: attempt.number,
            trigger: attempt.trigger,
            will_retry_after_s: None,
        });
        let show = |name: &HeaderName, value: &HeaderValue| match value.to_str() {
            Ok(value) if !is_sensitive(name.as_str()) => value.to_owned(),
            _ => WITHHELD.to_owned(),
        };
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), show(name, value))).collect()
    }
}

impl std::fmt::Debug for PreparedHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.constant.iter().map(|(name, _)| name)).finish()
    }
}

fn trigger_word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Scheduled => "scheduled",
        Trigger::Manual => "manual",
    }
}

/// `None` for what we or HTTP have to say ourselves, and for what is no header.
fn forwarded(header: &ForwardedHeader) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok().filter(|name| can_be_forwarded(name.as_str()))?;
    let mut value = HeaderValue::from_maybe_shared(header.value.clone()).ok()?;
    value.set_sensitive(is_sensitive(name.as_str()));
    Some((name, value))
}

fn basic_authorization(url: &str) -> Option<HeaderValue> {
    let url = Url::parse(url).ok()?;
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let credentials = [percent_decode(url.username()), percent_decode(url.password().unwrap_or_default())].join(&b':');
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decode(text: &str) -> Vec<u8> {
    let hex = |c: Option<&u8>| c.and_then(|c| char::from(*c).to_digit(16));
    let mut bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, hex(rest.first()), hex(rest.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = &rest[2..];
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}

/// Owned by HTTP, by browsers' rules for safe requests, or by us.
const FORBIDDEN_NAMES: &[&str] = &[
    "accept-charset",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "connection",
    "cookie",
    "date",
    "dnt",
    "expect",
    "feature-policy",
    "host",
    "keep-alive",
    "origin",
    "permissions-policy",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Owned by the payload, by a cloud's front door, or by us.
const FORBIDDEN_PREFIXES: &[&str] =
    &["content-", "hookpost-", "svix-", "x-amz-", "x-amzn-", "x-azure-", "x-fd-", "x-gfe", "x-goog-", "x-google", "x-hookpost-", "x-svix-"];

/// Of the payload, whose type and length are said by us, and what only we say.
const NEVER_FORWARDED_PREFIXES: &[&str] = &["content-", "hookpost-", "svix-", "x-hookpost-", "x-svix-"];

/// Whether a header of a request that came in may go on with the deliveries of its message: nobody outside says what we vouch for, and what belongs to
/// one connection stays with it.
pub fn can_be_forwarded(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.is_empty()
        && HeaderName::from_bytes(lower.as_bytes()).is_ok()
        && !FORBIDDEN_NAMES.contains(&lower.as_str())
        && !NEVER_FORWARDED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

/// Refuses header names that Hookpost, HTTP or a cloud's front door owns, and values that are not one line of text.
pub fn check_custom_header(name: &str, value: &str) -> Result<(), Invalid> {
    if name.is_empty() || HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(Invalid::new(format!("has the header name {name:?}; a name is made of letters, digits and `-` `_` `.`")));
    }
    let lower = name.to_ascii_lowercase();
    if FORBIDDEN_NAMES.contains(&lower.as_str()) {
        return Err(Invalid::new(format!("has the header `{name}`, which cannot be set by an endpoint")));
    }
    if let Some(prefix) = FORBIDDEN_PREFIXES.iter().find(|prefix| lower.starts_with(**prefix)) {
        return Err(Invalid::new(format!("has the header `{name}`; names that start with `{prefix}` cannot be set by an endpoint")));
    }
    if value.len() > limits::HEADER_VALUE_BYTES_MAX {
        return Err(Invalid::new(format!(
            "has a value of {} bytes for `{name}`; at most {} are allowed",
            value.len(),
            limits::HEADER_VALUE_BYTES_MAX
        )));
    }
    if let Some(c) = value.chars().find(|c| !matches!(c, ' '..='~')) {
        return Err(Invalid::new(format!(
            "has the character {c:?} in the value of `{name}`; only visible ASCII characters and spaces are allowed"
        )));
    }
    Ok(())
}

/// Headers whose values are withheld when they are shown.
pub fn is_sensitive(name: &str) -> bool {
    const NAMES: &[&str] =
        &["authorization", "x-auth-token", "x-api-key", "api-key", "apikey", "x-access-token", "www-authenticate", "cookie"];
    NAMES.iter().any(|sensitive| name.eq_ignore_ascii_case(sensitive))
        || name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("proxy-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::AttemptOutcome;

    const BOTH: HeaderSets = HeaderSets { webhook: true, svix: true };

    fn custom(headers: &[(&str, &str)]) -> Vec<CustomHeader> {
        headers.iter().map(|(name, value)| CustomHeader { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
    }

    fn lines(prepared: &PreparedHeaders, will_retry_after_s: Option<u64>) -> Vec<String> {
        let headers = prepared.for_attempt(RequestFacts {
            message_id: "msg_1",
            content_type: &PayloadType::Json,
            forwarded: &[],
            ordering_key: None,
            started_at: Timestamp::from_unix_ms(1_767_323_045_678),
            signature: "v1,abc",
            attempt_number: 2,
            trigger: Trigger::Scheduled,
            will_retry_after_s,
        });
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn writes_all_headers_of_an_attempt() {
        let prepared = PreparedHeaders::new("Hookpost/1", "https://example.com", &custom(&[("X-Shop", "7")]), BOTH);
        assert_eq!(
            lines(&prepared, Some(300)),
            [
                "content-type: application/json",
                "svix-id: msg_1",
                "svix-timestamp: 1767323045",
                "svix-signature: v1,abc",
                "webhook-id: msg_1",
                "webhook-timestamp: 1767323045",
                "webhook-signature: v1,abc",
                "hookpost-attempt: 2",
                "hookpost-trigger: scheduled",
                "hookpost-will-retry-after: 300",
                "user-agent: Hookpost/1",
                "x-shop: 7",
            ]
        );
        let only = |webhook, svix| lines(&PreparedHeaders::new("x", "https://example.com", &[], HeaderSets { webhook, svix }), None);
        assert!(!only(true, false).iter().any(|line| line.starts_with("svix-")));
        assert!(!only(false, true).iter().any(|line| line.starts_with("webhook-")));
    }

    fn came_with(headers: &[(&str, &str)]) -> Vec<ForwardedHeader> {
        let header = |(name, value): &(&str, &str)| ForwardedHeader { name: (*name).to_owned(), value: value.as_bytes().to_vec().into() };
        headers.iter().map(header).collect()
    }

    #[test]
    fn what_came_with_the_message_goes_on_behind_our_own() {
        let prepared = PreparedHeaders::new("Hookpost/1", "https://example.com", &custom(&[("X-Shop", "7")]), BOTH);
        let forwarded = came_with(&[
            ("X-GitHub-Event", "push"),
            ("x-tag", "a"),
            ("X-Tag", "b"),
            ("x-shop", "of the sender"),
            ("webhook-signature", "v1,forged"),
            ("Svix-Id", "msg_forged"),
            ("hookpost-attempt", "99"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("host", "evil"),
            ("a b", "no name"),
            ("x-line", "a\r\nb"),
        ]);
        let headers = prepared.for_attempt(RequestFacts {
            message_id: "msg_1",
            content_type: &PayloadType::Json,
            forwarded: &forwarded,
            ordering_key: Some("customer 7"),
            started_at: Timestamp::ZERO,
            signature: "v1,abc",
            attempt_number: 2,
            trigger: Trigger::Scheduled,
            will_retry_after_s: None,
        });
        let all = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        for (name, values) in [
            ("x-github-event", &["push"][..]),
            ("x-tag", &["a", "b"]),
            ("x-shop", &["7"]),
            ("webhook-signature", &["v1,abc"]),
            ("svix-id", &["msg_1"]),
            ("hookpost-attempt", &["2"]),
            ("hookpost-ordering-key", &["customer 7"]),
            ("content-length", &[]),
            ("transfer-encoding", &[]),
            ("host", &[]),
            ("x-line", &[]),
        ] {
            assert_eq!(all(name), values, "{name}");
        }
    }

    #[test]
    fn a_user_in_the_url_becomes_basic_authorization() {
        let authorization = |url: &str, headers: &[(&str, &str)]| {
            let lines = lines(&PreparedHeaders::new("x", url, &custom(headers), BOTH), None);
            lines.iter().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned))
        };
        assert_eq!(authorization("https://example.com", &[]), None);
        assert_eq!(authorization("https://ada:l%6Fve%3A@example.com", &[]), Some(format!("Basic {}", STANDARD.encode("ada:love:"))));
        assert_eq!(authorization("https://ada@example.com", &[]), Some(format!("Basic {}", STANDARD.encode("ada:"))));
        assert_eq!(authorization("https://ada:x@example.com", &[("Authorization", "Bearer y")]).as_deref(), Some("Bearer y"));
        assert_eq!(authorization("https://a%4:%zz%@example.com", &[]), Some(format!("Basic {}", STANDARD.encode("a%4:%zz%"))));
    }

    #[test]
    fn shows_a_stored_attempt_without_its_secrets() {
        let prepared = PreparedHeaders::new("x", "https://ada:pw@example.com", &custom(&[("X-Api-Key", "k"), ("x-shop", "7")]), BOTH);
        let attempt = Attempt {
            number: 3,
            trigger: Trigger::Manual,
            started_at: Timestamp::ZERO,
            duration_ms: 1,
            url: String::new(),
            signature: "v1,abc".into(),
            outcome: AttemptOutcome::Response(Default::default()),
        };
        let content = MessageContent {
            content_type: PayloadType::Other("text/plain".into()),
            headers: came_with(&[("x-github-event", "push"), ("x-auth-token", "t")]),
            ordering_key: Some("order-7".into()),
            ..MessageContent::for_tests()
        };
        let shown = prepared.shown(&attempt, "msg_1", &content);
        let value = |name: &str| shown.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!([value("x-api-key"), value("authorization"), value("x-shop")], [Some(WITHHELD), Some(WITHHELD), Some("7")]);
        assert_eq!(
            [value("content-type"), value("hookpost-attempt"), value("hookpost-trigger")],
            [Some("text/plain"), Some("3"), Some("manual")]
        );
        assert_eq!(
            [value("x-github-event"), value("x-auth-token"), value("hookpost-ordering-key")],
            [Some("push"), Some(WITHHELD), Some("order-7")]
        );
        let sent = prepared.for_attempt(RequestFacts {
            message_id: "msg_1",
            content_type: &PayloadType::Json,
            forwarded: &[],
            ordering_key: None,
            started_at: attempt.started_at,
            signature: "v1,abc",
            attempt_number: 1,
            trigger: Trigger::Scheduled,
            will_retry_after_s: None,
        });
        assert!(sent["x-api-key"].is_sensitive() && sent["authorization"].is_sensitive() && !sent["x-shop"].is_sensitive());
        assert!(!format!("{prepared:?}").contains("pw"));
    }

    #[test]
    fn refuses_headers_that_others_own_and_hostile_values() {
        let check = |name: &str, value: &str| check_custom_header(name, value).map_err(|refusal| refusal.to_string());
        for fine in ["X-Shop", "Authorization", "x-api-key", "webhook-secret", "X-Forwarded-For", "accept"] {
            assert_eq!(check(fine, "a b"), Ok(()), "{fine}");
        }
        for taken in ["User-Agent", "HOST", "te", "Transfer-Encoding", "webhook-id", "cookie"] {
            assert_eq!(check(taken, "x"), Err(format!("has the header `{taken}`, which cannot be set by an endpoint")));
        }
        for (taken, prefix) in [("Content-Type", "content-"), ("svix-id", "svix-"), ("X-Amz-Date", "x-amz-"), ("x-google", "x-google")] {
            let refusal = format!("has the header `{taken}`; names that start with `{prefix}` cannot be set by an endpoint");
            assert_eq!(check(taken, "x"), Err(refusal));
        }
        for broken in ["", "a b", "a:b", "a\r\nb", "é"] {
            assert!(check(broken, "x").unwrap_err().starts_with("has the header name"), "{broken:?}");
        }
        for hostile in ["a\r\nHost: evil", "a\nb", "\0", "\x7f", "caf\u{e9}", "\t"] {
            assert!(check("x-a", hostile).unwrap_err().contains("only visible ASCII characters"), "{hostile:?}");
        }
        assert_eq!(check("x-a", &"v".repeat(4096)), Ok(()));
        assert_eq!(check("x-a", &"v".repeat(4097)), Err("has a value of 4097 bytes for `x-a`; at most 4096 are allowed".into()));
    }

    #[test]
    fn every_accepted_header_can_be_sent() {
        use proptest::prelude::*;
        proptest!(|(name in "[!-~]{1,12}", value in "\\PC{0,20}")| {
            if check_custom_header(&name, &value).is_ok() {
                let prepared = PreparedHeaders::new("x", "https://example.com", &custom(&[(&name, &value)]), BOTH);
                prop_assert_eq!(prepared.constant.len(), 2);
            }
        });
    }

    #[test]
    fn knows_what_to_withhold() {
        for name in ["Authorization", "x-auth-token", "X-API-Key", "www-authenticate", "Proxy-Authorization", "proxy-x"] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["x-shop", "proxy", "", "é-proxy"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
