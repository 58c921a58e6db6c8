//! One request that arrived at a source: what came, what was made of it and why. Kept also when it was turned away.

mod origin;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::id::{MessageId, ReceiptId, SourceId};
use crate::time::Timestamp;

pub use origin::Origin;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub id: ReceiptId,
    pub source: SourceId,
    pub received_at: Timestamp,
    pub request: ReceivedRequest,
    pub verdict: Verdict,
    /// The status that was answered.
    pub status_code: u16,
    pub timing: ReceiptTiming,
    /// As the provider names them.
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    /// Why it is not believed, where its source takes it all the same.
    pub unverified: Option<Rejection>,
    /// The receipt that this one is a replay of.
    pub replay_of: Option<ReceiptId>,
}

/// The request, byte for byte. Its headers hold signatures and tokens: not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    pub method: String,
    /// The whole URL as the sender wrote it, as far as we can know behind a proxy; without the token of the source.
    pub url: String,
    /// In the order and case in which they came.
    pub headers: Vec<(String, Bytes)>,
    pub body: ReceivedBody,
    pub peer: Option<IpAddr>,
}

impl ReceivedRequest {
    /// Its headers, to be gone through again as they came.
    pub fn header_map(&self) -> HeaderMap {
        let header = |(name, value): &(String, Bytes)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_maybe_shared(value.clone()).ok()?))
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in self.headers.iter().filter_map(header) {
            headers.append(name, value);
        }
        headers
    }
}

/// What is to be kept of a body, and what is left of it. Stores answer with `Bytes` or `NotKept` only.
#[derive(Clone, PartialEq, Eq)]
pub enum ReceivedBody {
    Bytes(Bytes),
    /// The payload of the message that is made of it, which has the same bytes.
    InMessage,
    /// Not kept: it was refused before or while it was read, or its retention has ended. In lists, all of them.
    NotKept {
        bytes: u64,
    },
}

/// Never the bytes: what others send may hold secrets.
impl std::fmt::Debug for ReceivedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(body) => write!(f, "Bytes({})", body.len()),
            Self::InMessage => f.write_str("InMessage"),
            Self::NotKept { bytes } => write!(f, "NotKept({bytes})"),
        }
    }
}

impl std::fmt::Debug for ReceivedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedRequest").field("method", &self.method).field("body", &self.body).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A message was made of it.
    Accepted {
        message: MessageId,
    },
    /// An earlier request made the message already.
    Duplicate {
        of: MessageId,
    },
    /// The provider made sure that we are who we say.
    Handshake,
    /// It was genuine and is kept here instead of as a message, because it does not fit its schema.
    Quarantined {
        detail: String,
    },
    Rejected(Rejection),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// One word: `bad_signature`, `rate_limited`, …
    pub code: String,
    /// What was wrong, as a sentence.
    pub detail: String,
    /// Which usual mistake it was, and what helps, where we could find out.
    pub hint: Option<String>,
}

/// The verdicts by name, for filters and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    Accepted,
    Duplicate,
    Handshake,
    Quarantined,
    Rejected,
}

impl VerdictKind {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::Duplicate, Self::Handshake, Self::Quarantined, Self::Rejected];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Handshake => "handshake",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Verdict {
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Accepted { .. } => VerdictKind::Accepted,
            Self::Duplicate { .. } => VerdictKind::Duplicate,
            Self::Handshake => VerdictKind::Handshake,
            Self::Quarantined { .. } => VerdictKind::Quarantined,
            Self::Rejected(_) => VerdictKind::Rejected,
        }
    }

    /// Whether it can be replayed: nothing was made of it yet.
    pub fn left_something(&self) -> bool {
        matches!(self, Self::Quarantined { .. } | Self::Rejected(_))
    }

    pub fn message(&self) -> Option<MessageId> {
        match self {
            Self::Accepted { message } | Self::Duplicate { of: message } => Some(*message),
            _ => None,
        }
    }
}

/// How long the parts took, up to the moment at which the receipt was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiptTiming {
    /// From the head of the request to the end of its body.
    pub read: Duration,
    /// Signature, schema, extraction.
    pub verify: Duration,
}
