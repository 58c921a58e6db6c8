//! The obligation to bring one message to one endpoint, and the tries at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{EndpointId, MessageId};
use crate::reason::Reason;
use crate::retry::RetrySchedule;
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
    /// Ended without being given a chance: endpoint disabled or deleted, cancelled by a user.
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

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub state: DeliveryState,
    pub progress: Progress,
}

/// Decides what becomes of a delivery after an attempt. `before` is its state when the attempt began; `jitter` is in `0.0..1.0`.
pub fn advance(
    before: DeliveryState,
    progress: Progress,
    trigger: Trigger,
    outcome: &AttemptOutcome,
    wish: ReceiverWish,
    schedule: &RetrySchedule,
    now: Timestamp,
    jitter: f64,
) -> Transition {
    let _ = (before, outcome, wish, schedule, now, jitter, trigger);
    Transition { state: before, progress }
}
