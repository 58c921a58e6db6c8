//! What happened: messages, deliveries, attempts, counts; and how it is forgotten.

use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::receipt::{Verdict, VerdictKind};
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{
    ApplicationId, Attempt, AttemptId, Channel, Delivery, DeliveryKey, EndpointId, EventTypeName, Message, MessageId, Receipt, ReceiptId,
    SourceId, Tag, Timestamp,
};

use crate::Unavailable;
use crate::catalog::Reference;
use crate::page::{Listed, PageRequest};
use crate::usage::Usage;

#[async_trait]
pub trait History: Send + Sync + std::fmt::Debug {
    /// The messages of an application in the order of their ids, from the first after `after`. A message with a lower id than the last of them can never come
    /// any more, on no node: whoever reads on from there misses none. Messages that a node is only just writing down, and those after them, come later.
    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable>;

    /// What was sent from `since` to `until`, by event type and span of time ([`crate::usage`]), oldest first; spans belong to it that begin within.
    async fn usage(&self, application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<Usage>, Unavailable>;

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

    /// Deliveries of an endpoint by state, for messages accepted from `since` to `until`; from counters that are kept up as things happen. `since` is
    /// rounded down to the minute, `until` up.
    async fn endpoint_counts(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable>;

    /// A receipt with the whole request, also where its body is that of its message, unless that has none any more.
    async fn receipt(&self, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, Unavailable>;
    /// A page of what matches, without bodies.
    async fn receipts(
        &self,
        source: SourceId,
        filter: ReceiptFilter,
        page: PageRequest<ReceiptId>,
    ) -> Result<ScannedPage<Receipt, ReceiptId>, Unavailable>;
    /// How many receipts of each verdict a source got from `since` to `until`; `since` is rounded down to the minute, `until` up.
    async fn receipt_counts(&self, source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, Unavailable>;

    /// Removes the payload for good; deliveries stay as they are, and whoever claims one finds no payload. `false`: there is no such message in this application.
    async fn expunge_message(&self, application: ApplicationId, message: MessageId) -> Result<bool, Unavailable>;
    /// Removes the body of the response for good. `false`: there is no such attempt.
    async fn expunge_attempt(&self, message: MessageId, id: AttemptId) -> Result<bool, Unavailable>;

    /// Forgets a small piece of what is past its time: payloads, whole messages with deliveries (unfinished ones too) and attempts, receipts, idempotency keys, revocations; so that writers wait little; called again and again.
    async fn forget(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedLimits {
    /// At most this many messages,
    pub messages: usize,
    /// and about this much payload, but at least one message.
    pub payload_bytes: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feed {
    pub messages: Vec<Message>,
    /// There are more right now.
    pub more: bool,
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
pub struct ReceiptFilter {
    pub verdict: Option<VerdictKind>,
    /// The word of a rejection.
    pub code: Option<String>,
    pub event_type: Option<String>,
    pub event_id: Option<String>,
    /// Somewhere in URL, headers or body, whatever the case of its ASCII letters.
    pub text: Option<String>,
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

impl ReceiptFilter {
    /// Everything but the text.
    pub fn matches(&self, receipt: &Receipt) -> bool {
        let same = |wanted: &Option<String>, own: Option<&str>| wanted.as_ref().is_none_or(|wanted| own == Some(wanted));
        let code = match &receipt.verdict {
            Verdict::Rejected(rejection) => Some(rejection.code.as_str()),
            _ => None,
        };
        self.verdict.is_none_or(|wanted| receipt.verdict.kind() == wanted)
            && same(&self.code, code)
            && same(&self.event_type, receipt.event_type.as_deref())
            && same(&self.event_id, receipt.event_id.as_deref())
            && self.before.is_none_or(|before| receipt.received_at < before)
            && self.after.is_none_or(|after| receipt.received_at > after)
    }

    /// Whether the text has to be looked for in the body: it is wanted, and neither in the URL nor in the headers.
    pub fn is_up_to_body(&self, receipt: &Receipt) -> bool {
        let request = &receipt.request;
        self.text.is_some()
            && !self.is_in(request.url.as_bytes())
            && !request.headers.iter().any(|(name, value)| self.is_in(name.as_bytes()) || self.is_in(value))
    }

    /// Whether the text is in there.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let Some(text) = &self.text else { return true };
        text.is_empty() || bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiptCounts {
    pub accepted: u64,
    pub duplicate: u64,
    pub handshake: u64,
    pub quarantined: u64,
    pub rejected: u64,
}

impl ReceiptCounts {
    pub fn of_mut(&mut self, verdict: VerdictKind) -> &mut u64 {
        match verdict {
            VerdictKind::Accepted => &mut self.accepted,
            VerdictKind::Duplicate => &mut self.duplicate,
            VerdictKind::Handshake => &mut self.handshake,
            VerdictKind::Quarantined => &mut self.quarantined,
            VerdictKind::Rejected => &mut self.rejected,
        }
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

impl DeliveryFilter {
    pub fn matches(&self, message: &Message, delivery: &Delivery) -> bool {
        self.status.is_none_or(|wanted| delivery.status() == wanted)
            && (!self.attempted || delivery.progress.attempts > 0)
            && self.message.matches(message)
    }
}

impl AttemptFilter {
    pub fn matches(&self, message: &Message, stored: &StoredAttempt) -> bool {
        let StoredAttempt { key, attempt, .. } = stored;
        self.endpoint.is_none_or(|wanted| key.endpoint == wanted)
            && self.success.is_none_or(|wanted| attempt.outcome.is_success() == wanted)
            && self.status_code_class.is_none_or(|wanted| attempt.outcome.status_code() / 100 * 100 == wanted)
            && self.before.is_none_or(|before| attempt.started_at < before)
            && self.after.is_none_or(|after| attempt.started_at > after)
            && self.message.matches(message)
    }
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

impl EndpointCounts {
    pub fn of_mut(&mut self, status: DeliveryStatus) -> &mut u64 {
        match status {
            DeliveryStatus::Success => &mut self.success,
            DeliveryStatus::Pending => &mut self.pending,
            DeliveryStatus::Sending => &mut self.sending,
            DeliveryStatus::Fail => &mut self.fail,
            DeliveryStatus::Canceled => &mut self.canceled,
        }
    }
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Messages with their deliveries and attempts; never shorter than the payloads.
    pub rows: Duration,
    /// Receipts, whatever became of them.
    pub receipts: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub messages: u64,
    pub payloads: u64,
    pub receipts: u64,
    /// Something past its time is left.
    pub more: bool,
}
