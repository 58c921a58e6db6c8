//! Why an address could not be asked, or its answer not be used; and what an answer that is no success asks us to do.

use std::time::Duration;

use hookpost_domain::Timestamp;
use hookpost_domain::delivery::ReceiverWish;
use hookpost_domain::source::Mistake;
use http::HeaderMap;

use crate::transport::{Answer, TransportError};

/// A sentence for the owner of the source, without secrets; and what is known besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    /// 0: there was no answer.
    pub(super) status_code: u16,
    /// How long the address wants to be left alone.
    pub(super) wait: Option<Duration>,
}

impl Failure {
    pub(super) fn of(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), hint: None, status_code: 0, wait: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An answer that is neither a success nor what was asked for.
    pub(super) fn of_answer(answer: &Answer, now: Timestamp) -> Self {
        let status = answer.status_code;
        let hint = match status {
            300..=399 => Some("Redirects are not followed: name the address that it leads to.".to_owned()),
            401 => Some("Look whether the credentials of the source are still good.".to_owned()),
            _ => None,
        };
        Self { detail: format!("The address answered {status}."), hint, status_code: status, wait: asked_pause(answer, now) }
    }

    /// An answer that came, and cannot be used.
    pub(super) fn unusable(answer: &Answer, detail: impl Into<String>) -> Self {
        Self { status_code: answer.status_code, ..Self::of(detail) }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::of(format!("{}.", error.message.trim_end_matches('.')))
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::of(format!("The settings of the source cannot be used: {mistake}."))
    }
}

/// How long an answer asks to be left alone: by `Retry-After`, or by the rate limit that GitHub and others tell.
pub(super) fn asked_pause(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let headers = &answer.headers;
    let wish = ReceiverWish::of_answer(answer.status_code, text(headers, "retry-after"), None, now);
    let is_used_up = text(headers, "x-ratelimit-remaining") == Some("0");
    let reset = text(headers, "x-ratelimit-reset").filter(|_| is_used_up).and_then(|seconds| seconds.parse().ok());
    let until_reset = reset.map(|seconds: u64| Timestamp::from_unix_ms(seconds.saturating_mul(1000)).since(now));
    wish.retry_after.max(until_reset).filter(|wait| !wait.is_zero())
}

/// The value of a header, where it is plain text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderName, HeaderValue};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_767_323_000_000);

    fn answer(status_code: u16, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        Answer { status_code, headers, body: Bytes::new() }
    }

    #[test]
    fn an_answer_can_ask_for_a_pause() {
        for (status, headers, pause_s) in [
            (429, &[("retry-after", "120")][..], Some(120)),
            (503, &[("retry-after", "Fri, 02 Jan 2026 03:05:20 GMT")], Some(120)),
            (429, &[], None),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323060")], Some(60)),
            (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323060")], Some(60)),
            (200, &[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1767323060")], None),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767320000")], None),
            (429, &[("retry-after", "soon"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "99999999999999999999")], None),
        ] {
            assert_eq!(asked_pause(&answer(status, headers), NOW), pause_s.map(Duration::from_secs), "{status} {headers:?}");
        }
    }

    #[test]
    fn says_what_was_answered_and_what_helps() {
        let failure = Failure::of_answer(&answer(301, &[("location", "https://example.com/?secret")]), NOW);
        assert_eq!((failure.detail.as_str(), failure.status_code), ("The address answered 301.", 301));
        assert!(failure.hint.is_some_and(|hint| hint.contains("Redirects are not followed")));
        assert!(Failure::of_answer(&answer(500, &[]), NOW).hint.is_none());
    }
}
