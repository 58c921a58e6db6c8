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
    /// It was not routed there when it was accepted; sent by hand since.
    NotRouted,
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
            Self::NotRouted => "not_routed",
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

    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::EventTypeNotSubscribed => "The endpoint does not subscribe to this event type.",
            Self::ChannelNotSubscribed => "The endpoint wants channels, and the message has none of them.",
            Self::EndpointDisabled => "The endpoint is disabled.",
            Self::EndpointCreatedLater => "The endpoint was created after the message was accepted.",
            Self::NotRouted => "The message was not routed to this endpoint when it was accepted.",
            Self::RetriesExhausted => "Every attempt failed, and no more are scheduled.",
            Self::ReceiverRefused => "The receiver's answer says that a retry is useless.",
            Self::EndpointDeleted => "The endpoint was deleted.",
            Self::PayloadExpunged => "The payload was removed before it could be delivered.",
            Self::CanceledByUser => "It was canceled.",
            Self::NotYetDue => "The message is to be delivered later.",
            Self::RetryScheduled => "An attempt failed; the next one is scheduled.",
            Self::Throttled => "The endpoint is served more slowly, by its rate limit or because it asked for it.",
            Self::CircuitOpen => "The endpoint failed so often in a row that it is given a rest.",
            Self::WaitingForOrder => "The endpoint gets its messages in order, and one before this is not done.",
            Self::Queued => "It waits for its turn.",
        }
    }
}
