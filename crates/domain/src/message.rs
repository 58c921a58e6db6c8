//! One event accepted for an application.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::id::{ApplicationId, EndpointId, MessageId};
use crate::name::{Channel, EventTypeName, Tag, Uid};
use crate::reason::Reason;
use crate::time::Timestamp;

/// A message as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub application: ApplicationId,
    pub content: MessageContent,
    pub created_at: Timestamp,
}

/// What the producer said, and where it was routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageContent {
    pub event_type: EventTypeName,
    /// The producer's own id (`eventId`), unique in its application.
    pub event_id: Option<Uid>,
    pub channels: Vec<Channel>,
    pub tags: Vec<Tag>,
    /// Exactly the bytes that are delivered; `None` once they were expunged or their retention ended.
    pub payload: Option<Bytes>,
    pub content_type: PayloadType,
    /// Headers of the request that it came with, which go on to the endpoints as they were.
    pub headers: Vec<ForwardedHeader>,
    /// What it is about: messages with equal keys belong in order.
    pub ordering_key: Option<String>,
    /// When the payload may go; the row itself stays for the retention of the store.
    pub payload_expires_at: Timestamp,
    /// No attempt before this time.
    pub deliver_at: Option<Timestamp>,
    pub routing: Routing,
}

/// Can hold a secret, so its value is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardedHeader {
    pub name: String,
    pub value: Bytes,
}

impl std::fmt::Debug for ForwardedHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PayloadType {
    #[default]
    Json,
    Other(String),
}

impl PayloadType {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json => "application/json",
            Self::Other(content_type) => content_type,
        }
    }
}

/// Which endpoints a message goes to, and why not to the others; decided once, when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routing {
    pub targets: SmallVec<[EndpointId; 4]>,
    /// The first [`crate::limits::SKIPS_PER_MESSAGE_MAX`] of the endpoints that it does not go to.
    pub skips: Vec<Skip>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    pub endpoint: EndpointId,
    pub reason: Reason,
}

impl Routing {
    /// To this endpoint alone, whatever anybody asks for: somebody tries it out. It stands among the skips too, as what is not routed by itself; by that it is
    /// known.
    pub fn trial(endpoint: EndpointId) -> Self {
        let mut routing = Self { skips: vec![Skip { endpoint, reason: Reason::NotRouted }], ..Self::default() };
        routing.targets.push(endpoint);
        routing
    }

    /// Whether it is for its endpoint and nobody else.
    pub fn is_trial(&self) -> bool {
        self.skips.iter().any(|skip| skip.reason == Reason::NotRouted && self.targets.contains(&skip.endpoint))
    }
}

#[cfg(test)]
impl MessageContent {
    /// A payload and nothing else.
    pub(crate) fn for_tests() -> Self {
        Self {
            event_type: EventTypeName::parse("order.paid").expect("a name"),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            payload: Some(Bytes::from_static(b"{}")),
            content_type: PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: Timestamp::MAX,
            deliver_at: None,
            routing: Routing::default(),
        }
    }
}
