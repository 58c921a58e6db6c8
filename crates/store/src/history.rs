//! What happened: messages, deliveries, attempts, counts; and how it is forgotten.

use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{
    ApplicationId, Attempt, AttemptId, Channel, Delivery, DeliveryKey, EndpointId, EventTypeName, Message, MessageId, Tag, Timestamp,
};

use crate::Unavailable;
use crate::catalog::Reference;
use crate::page::{Listed, PageRequest};

#[async_trait]
pub trait History: Send + Sync + std::fmt::Debug {
    /// By id or by `eventId`, within one application.
    async fn message(
        &self,
        application: ApplicationId,
        reference: Reference<'_, hookpost_domain::id::MessageKind>,
    ) -> Result<Option<Message>, Unavailable>;
    /// A page of what matches. A filter that matches little may give a short page with `done: false`.
    async fn messages(
        &self,
        application: ApplicationId,
        filter: MessageFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<Message, MessageId>, Unavailable>;

    /// `None`: the message was not routed to this endpoint (nor sent there since).
    async fn delivery(&self, key: DeliveryKey) -> Result<Option<Delivery>, Unavailable>;
    /// The deliveries of a message, by endpoint.
    async fn deliveries_of_message(&self, message: MessageId, page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable>;
    /// Messages that were routed to an endpoint, with how far they came.
    async fn messages_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: DeliveryFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable>;

    async fn attempt(&self, message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable>;
    async fn attempts_of_message(
        &self,
        message: MessageId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable>;
    async fn attempts_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable>;

    /// Deliveries of an endpoint by state, from counters that are kept up as things happen. Bounds are rounded to the minute.
    async fn endpoint_counts(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable>;

    /// Removes the payload for good. `false`: there is no such message in this application.
    async fn expunge_message(&self, application: ApplicationId, message: MessageId) -> Result<bool, Unavailable>;
    /// Removes the body of the response for good. `false`: there is no such attempt.
    async fn expunge_attempt(&self, message: MessageId, id: AttemptId) -> Result<bool, Unavailable>;

    /// Forgets a small piece of what is past its time, so that writers wait little; called again and again.
    async fn forget(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable>;
}

/// A page of a list that was made by looking through rows: where nothing more was found within the bound, `next` says where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedPage<T, C> {
    pub items: Vec<T>,
    pub done: bool,
    /// The last row that was looked at, if the page ended before it was full or done.
    pub next: Option<C>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageFilter {
    pub event_types: Option<Vec<EventTypeName>>,
    pub channel: Option<Channel>,
    pub tag: Option<Tag>,
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

impl MessageFilter {
    pub fn matches(&self, message: &Message) -> bool {
        self.event_types.as_ref().is_none_or(|wanted| wanted.contains(&message.content.event_type))
            && self.channel.as_ref().is_none_or(|wanted| message.content.channels.contains(wanted))
            && self.tag.as_ref().is_none_or(|wanted| message.content.tags.contains(wanted))
            && self.before.is_none_or(|before| message.created_at < before)
            && self.after.is_none_or(|after| message.created_at > after)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub message: MessageFilter,
    pub status: Option<DeliveryStatus>,
    /// Only deliveries that were attempted at least once.
    pub attempted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    pub message: MessageFilter,
    pub endpoint: Option<EndpointId>,
    pub success: Option<bool>,
    /// 0 (no answer), 100, 200, 300, 400 or 500.
    pub status_code_class: Option<u16>,
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

/// An attempt with where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    pub id: AttemptId,
    pub key: DeliveryKey,
    pub attempt: Attempt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointCounts {
    pub success: u64,
    /// Not tried yet.
    pub pending: u64,
    /// Tried, and will be again.
    pub sending: u64,
    pub fail: u64,
    pub canceled: u64,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Messages with their deliveries and attempts; never shorter than the payloads.
    pub rows: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub messages: u64,
    pub payloads: u64,
    /// Something past its time is left.
    pub more: bool,
}
