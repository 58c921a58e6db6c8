//! A sink takes the events of a stream, or the messages of an application, in their order, and never goes past one that was not taken: FIFO.
//!
//! Unlike an endpoint it has no deliveries: all that is kept is how far it came ([`SinkProgress`]). What it is sent is a batch.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::application::Metadata;
use crate::endpoint::CustomHeader;
use crate::id::{ApplicationId, MessageId, RowId, SinkAttemptId, SinkId, StreamId};
use crate::message::Message;
use crate::name::{Channel, EventTypeName, Uid};
use crate::secret::EndpointSecrets;
use crate::time::Timestamp;

/// A sink of a stream, or a destination of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    pub id: SinkId,
    pub org: OrgId,
    pub owner: SinkOwner,
    /// The application whose messages it takes.
    pub log: ApplicationId,
    pub uid: Option<Uid>,
    pub disabled: bool,
    pub target: SinkTarget,
    /// Events in one batch.
    pub batch_size: u16,
    /// How long a batch that is not full waits for more.
    pub max_wait_s: u16,
    /// Empty: all.
    pub event_types: Vec<EventTypeName>,
    /// Empty: all.
    pub channels: Vec<Channel>,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SinkOwner {
    Stream(StreamId),
    Application(ApplicationId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SinkTarget {
    /// Is never called: it asks.
    Poller,
    Http(HttpSink),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSink {
    pub url: String,
    pub headers: Vec<CustomHeader>,
    pub secrets: EndpointSecrets,
}

/// How far a sink, or a consumer of a poller, has come. Everything up to `after` was taken or skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SinkProgress {
    pub after: Option<MessageId>,
    /// The last event that was taken, for whoever asks.
    pub last_taken: Option<MessageId>,
    pub failing: Option<SinkFailing>,
    /// What is being tried, where it could not be made out again from the feed: it is sent as it is until it is taken or skipped.
    #[serde(default)]
    pub batch: Option<SinkBatch>,
    /// What was handed to a consumer that has not said yes to it: nobody else gets it before.
    pub lent: Option<SinkLoan>,
    /// Messages before `after` whose `deliver_at` had not come: they are sent when it does.
    #[serde(default)]
    pub deferred: Vec<Deferred>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkFailing {
    pub since: Timestamp,
    /// In a row.
    pub attempts: u32,
    pub next_at: Timestamp,
    #[serde(default)]
    pub last_at: Timestamp,
    /// In the words of the attempt.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkBatch {
    /// Where the sink stood when it was made. Stands the sink elsewhere, somebody moved it, and this is no batch any more.
    pub from: Option<MessageId>,
    /// Where it stands when this was taken.
    pub up_to: Option<MessageId>,
    /// In the order in which they are sent.
    pub messages: Vec<MessageId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkLoan {
    pub up_to: MessageId,
    pub until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    pub at: Timestamp,
    pub message: MessageId,
}

/// One request to a sink, with all events of its batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkAttempt {
    pub id: SinkAttemptId,
    pub sink: SinkId,
    pub success: bool,
    pub first: MessageId,
    pub last: MessageId,
    pub events: u32,
    /// 0: there was no answer.
    pub status_code: u16,
    /// The beginning of the answer, or why there was none.
    pub response: String,
    pub duration_ms: u32,
    pub at: Timestamp,
}

impl SinkProgress {
    /// Everything up to `message` counts as taken, but for what is to be sent at a time that has not come. Never goes back.
    pub fn skip_to(&mut self, message: MessageId, now: Timestamp) {
        self.after = self.after.max(Some(message));
        self.deferred.retain(|deferred| deferred.message > message || deferred.at > now);
        self.begin_anew();
    }

    /// The next event is the first after `after`, wherever the sink stood.
    pub fn seek(&mut self, after: Option<MessageId>) {
        self.after = after;
        // What is met again is not sent twice.
        self.deferred.retain(|deferred| Some(deferred.message) <= after);
        self.begin_anew();
    }

    /// What waits for a retry is tried at once.
    pub fn force(&mut self, now: Timestamp) {
        if let Some(failing) = &mut self.failing {
            failing.next_at = failing.next_at.min(now);
        }
    }

    fn begin_anew(&mut self) {
        self.failing = None;
        self.batch = None;
        self.lent = None;
    }

    /// The batch that is to be tried again, unless somebody moved the sink since it was made.
    pub fn batch_to_retry(&self) -> Option<&SinkBatch> {
        self.batch.as_ref().filter(|batch| batch.from == self.after)
    }
}

impl SinkOwner {
    pub fn row(self) -> RowId {
        match self {
            Self::Stream(id) => id.row(),
            Self::Application(id) => id.row(),
        }
    }
}

impl Sink {
    /// Whether the sink wants it; what it does not want counts as taken.
    pub fn wants(&self, message: &Message) -> bool {
        let content = &message.content;
        !content.routing.is_trial()
            && (self.event_types.is_empty() || self.event_types.contains(&content.event_type))
            && (self.channels.is_empty() || self.channels.iter().any(|channel| content.channels.contains(channel)))
    }
}
