//! How much was sent: by application, event type and time, counted in the transactions of what is counted.

use hookpost_domain::{DeliveryState, EventTypeName, Message, Timestamp};

use crate::Record;

/// What [`crate::History::usage`] tells apart. What is older than [`FINE_FOR_S`] is told apart by the hour.
pub const FINE_S: u64 = 300;
pub const COARSE_S: u64 = 3600;
pub const FINE_FOR_S: u64 = 3 * 24 * 3600;

/// Of one event type within one span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The beginning of the span.
    pub at: Timestamp,
    pub event_type: EventTypeName,
    pub counts: UsageCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageCounts {
    /// Accepted in this span.
    pub messages: u64,
    /// Of these, to all their endpoints.
    pub deliveries: u64,
    /// Attempts that were recorded in this span, whenever the message was accepted.
    pub success: u64,
    pub failure: u64,
    /// Deliveries that ended as canceled in this span.
    pub canceled: u64,
}

impl UsageCounts {
    /// One that was accepted.
    pub fn of_message(message: &Message) -> Self {
        Self { messages: 1, deliveries: message.content.routing.targets.len() as u64, ..Self::default() }
    }

    /// What a record adds.
    pub fn of_record(record: &Record) -> Self {
        let success = record.attempt.as_ref().map(|attempt| attempt.outcome.is_success());
        let canceled = matches!(record.transition.state, DeliveryState::Canceled { .. });
        Self {
            success: (success == Some(true)).into(),
            failure: (success == Some(false)).into(),
            canceled: canceled.into(),
            ..Self::default()
        }
    }

    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.success += other.success;
        self.failure += other.failure;
        self.canceled += other.canceled;
    }
}

/// The span of a time, as a number since 1970.
pub fn span_of(at: Timestamp, span_s: u64) -> u64 {
    at.unix_seconds() / span_s
}
