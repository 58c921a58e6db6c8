//! The obligation to bring one message to one endpoint, and the tries at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{EndpointId, MessageId};
use crate::reason::Reason;
use crate::retry::RetrySchedule;
use crate::task::DeliveryStatus;
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryKey {
    pub message: MessageId,
    pub endpoint: EndpointId,
}

/// Exactly one of these, stored; never inferred from the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Waits for its first attempt (stores may imply it: DESIGN of the SQLite store).
    Pending,
    /// Was tried, or is scheduled for later; the next attempt is not before `at`.
    Waiting {
        at: Timestamp,
    },
    Delivered,
    /// Given up: the schedule ended, or the receiver's answer was final.
    Dead {
        reason: Reason,
    },
    /// Ended without being given a chance: endpoint disabled or deleted, cancelled by a user, never routed there.
    Canceled {
        reason: Reason,
    },
}

impl DeliveryState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead { .. } | Self::Canceled { .. })
    }
}

/// A delivery row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub key: DeliveryKey,
    pub state: DeliveryState,
    pub progress: Progress,
}

impl Delivery {
    pub fn status(&self) -> DeliveryStatus {
        DeliveryStatus::of(self.state, self.progress)
    }
}

/// How far a delivery has come: what the next decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// All attempts, manual ones included: the next has this number plus one.
    pub attempts: u32,
    /// Attempts of the schedule: what decides the next wait.
    pub scheduled_attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trigger {
    Scheduled,
    /// A person or a replay asked for it. It is not retried, and leaves the schedule as it is unless it succeeds.
    Manual,
}

/// One try at a delivery, as it is kept. Its id is given by the store that records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub duration_ms: u32,
    pub url: String,
    /// The value of the signature header. All other request headers follow from message, endpoint and `started_at`.
    pub signature: String,
    pub outcome: AttemptOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    Response(ResponseRecord),
    /// No answer: what went wrong, as a sentence.
    Error {
        kind: TransportErrorKind,
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResponseRecord {
    pub status_code: u16,
    pub headers: Vec<(String, String)>,
    pub body: ResponseBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseBody {
    Text(String),
    /// Was not UTF-8.
    Base64(String),
    Expunged,
}

impl Default for ResponseBody {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TransportErrorKind {
    BlockedAddress,
    Dns,
    Connect,
    Tls,
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Protocol,
    InvalidUrl,
}

impl AttemptOutcome {
    /// 2xx only; redirects are failures.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Response(response) if (200..300).contains(&response.status_code))
    }

    /// 0 where there was no answer.
    pub fn status_code(&self) -> u16 {
        match self {
            Self::Response(response) => response.status_code,
            Self::Error { .. } => 0,
        }
    }
}

/// What the receiver's answer asks for beyond success or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverWish {
    /// From `Retry-After`, already made a duration.
    pub retry_after: Option<Duration>,
    /// 410, or `webhook-delivery: disable`.
    pub disable: bool,
    /// `webhook-delivery: abort-message`.
    pub abort: bool,
    /// 429, 502, 503 or 504: the whole lane should slow down.
    pub slow_down: bool,
}

impl ReceiverWish {
    /// Reads the status and the values of the headers `retry-after` (seconds, or an HTTP date) and `webhook-delivery`. What
    /// makes no sense is as if it were not there.
    pub fn of_answer(status_code: u16, retry_after: Option<&str>, webhook_delivery: Option<&str>, now: Timestamp) -> Self {
        let says = |word: &str| webhook_delivery.is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
        Self {
            retry_after: retry_after.and_then(|value| parse_retry_after(value.trim(), now)),
            disable: status_code == 410 || says("disable"),
            abort: says("abort-message"),
            slow_down: matches!(status_code, 429 | 502 | 503 | 504),
        }
    }
}

fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit()) {
        // A number too large for 64 bits asks for "very late", which is bounded anyway.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp::from_unix_ms(u64::try_from(date.as_millisecond()).ok()?).since(now))
}

/// An attempt that has ended, with what was known of its delivery when it began.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    pub before: DeliveryState,
    pub progress: Progress,
    pub trigger: Trigger,
    pub outcome: &'a AttemptOutcome,
    pub wish: ReceiverWish,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub state: DeliveryState,
    pub progress: Progress,
}

/// Decides what becomes of a delivery after an attempt; `jitter` is in `0.0..1.0`.
///
/// `Retry-After` only ever moves the next attempt later, and not beyond the time that the rest of the schedule takes.
pub fn advance(tried: Tried<'_>, schedule: &RetrySchedule, now: Timestamp, jitter: f64) -> Transition {
    let scheduled = u32::from(tried.trigger == Trigger::Scheduled);
    let progress = Progress {
        attempts: tried.progress.attempts.saturating_add(1),
        scheduled_attempts: tried.progress.scheduled_attempts.saturating_add(scheduled),
    };
    let state = match tried.trigger {
        _ if tried.outcome.is_success() => DeliveryState::Delivered,
        Trigger::Manual => after_failed_manual(tried.before),
        Trigger::Scheduled => after_failed_scheduled(tried, progress.scheduled_attempts, schedule, now, jitter),
    };
    Transition { state, progress }
}

/// A try by hand leaves the chain as it is; but what was canceled has now been tried, and failed.
fn after_failed_manual(before: DeliveryState) -> DeliveryState {
    match before {
        DeliveryState::Canceled { .. } => DeliveryState::Dead { reason: Reason::RetriesExhausted },
        other => other,
    }
}

fn after_failed_scheduled(tried: Tried<'_>, attempts_made: u32, schedule: &RetrySchedule, now: Timestamp, jitter: f64) -> DeliveryState {
    let status_code = tried.outcome.status_code();
    let final_client_error =
        schedule.client_errors_are_final && (400..500).contains(&status_code) && !matches!(status_code, 408 | 425 | 429);
    if tried.wish.disable || tried.wish.abort || final_client_error {
        return DeliveryState::Dead { reason: Reason::ReceiverRefused };
    }
    let Some(wait) = schedule.wait_after(attempts_made, jitter) else {
        return DeliveryState::Dead { reason: Reason::RetriesExhausted };
    };
    let asked = tried.wish.retry_after.unwrap_or_default().min(schedule.span_after(attempts_made));
    DeliveryState::Waiting { at: now + wait.max(asked) }
}

#[cfg(test)]
mod tests;
