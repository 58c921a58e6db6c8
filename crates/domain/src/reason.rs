//! Why something was not delivered: one word each for code, store and API, and a sentence for people.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    // Not routed there at all.
    EventTypeNotSubscribed,
    ChannelNotSubscribed,
    EndpointDisabled,
    /// The endpoint is younger than the message.
    EndpointCreatedLater,
    // Routed, and ended without success.
    RetriesExhausted,
    /// The receiver's answer says that a retry is useless (410, or a status that the schedule excludes).
    ReceiverRefused,
    EndpointDeleted,
    PayloadExpunged,
    CanceledByUser,
    // Routed, and still waiting.
    NotYetDue,
    RetryScheduled,
    Throttled,
    CircuitOpen,
    WaitingForOrder,
    Queued,
}

impl Reason {
    pub fn code(self) -> &'static str {
        match self {
            Self::EventTypeNotSubscribed => "event_type_not_subscribed",
            Self::ChannelNotSubscribed => "channel_not_subscribed",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::EndpointCreatedLater => "endpoint_created_later",
            Self::RetriesExhausted => "retries_exhausted",
            Self::ReceiverRefused => "receiver_refused",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::PayloadExpunged => "payload_expunged",
            Self::CanceledByUser => "canceled_by_user",
            Self::NotYetDue => "not_yet_due",
            Self::RetryScheduled => "retry_scheduled",
            Self::Throttled => "throttled",
            Self::CircuitOpen => "circuit_open",
            Self::WaitingForOrder => "waiting_for_order",
            Self::Queued => "queued",
        }
    }
}
