//! Lists, counts, and forgetting.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::delivery::{AttemptOutcome, ResponseBody};
use hookpost_domain::id::MessageKind;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{
    ApplicationId, AttemptId, Delivery, DeliveryKey, EndpointId, Message, MessageId, Receipt, ReceiptId, SourceId, Timestamp, limits,
};

use super::{MemoryStore, State};
use crate::history::{
    AttemptFilter, DeliveryFilter, EndpointCounts, Feed, FeedLimits, Forgotten, History, MessageFilter, ReceiptCounts, ReceiptFilter,
    RetentionPolicy, ScannedPage, StoredAttempt,
};
use crate::usage::{FINE_S, Usage, span_of};
use crate::{Listed, PageRequest, Reference, Unavailable};

#[async_trait]
impl History for MemoryStore {
    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable> {
        let state = self.state.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let own = state.messages.range((from, Bound::Unbounded)).filter(|(_, message)| message.application == application);
        let (mut feed, mut bytes) = (Feed::default(), 0);
        for (_, message) in own {
            if feed.messages.len() >= limits.messages || (bytes >= limits.payload_bytes && !feed.messages.is_empty()) {
                feed.more = true;
                break;
            }
            bytes += message.content.payload.as_ref().map_or(0, |payload| payload.len());
            feed.messages.push(Message::clone(message));
        }
        Ok(feed)
    }

    async fn usage(&self, application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<Usage>, Unavailable> {
        Ok(self.state.lock().usage_of(application, since, until))
    }

    async fn message(&self, application: ApplicationId, reference: Reference<'_, MessageKind>) -> Result<Option<Message>, Unavailable> {
        let state = self.state.lock();
        let mut of_application = state.messages.values().filter(|message| message.application == application);
        let found = match reference {
            Reference::Id(id) => state.message_of(application, id),
            Reference::Uid(uid) => of_application.find(|m| m.content.event_id.as_ref().is_some_and(|own| own.as_str() == uid)),
        };
        Ok(found.map(|message| Message::clone(message)))
    }

    async fn messages(
        &self,
        application: ApplicationId,
        filter: MessageFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<Message, MessageId>, Unavailable> {
        let state = self.state.lock();
        let rows = state.messages.iter().filter(|(_, message)| message.application == application);
        let rows = rows.map(|(id, message)| (*id, Message::clone(message)));
        Ok(page.scan(rows, limits::PAGE_ROWS_SCANNED_MAX, |message| filter.matches(message)))
    }

    async fn delivery(&self, key: DeliveryKey) -> Result<Option<Delivery>, Unavailable> {
        let state = self.state.lock();
        let row = state.lanes.get(&key.endpoint).and_then(|lane| lane.row(key.message));
        Ok(row.map(|row| row.delivery(key.message, key.endpoint)))
    }

    async fn deliveries_of_message(&self, message: MessageId, page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable> {
        let state = self.state.lock();
        let rows = state.lanes.iter().filter_map(|(endpoint, lane)| Some((*endpoint, lane.row(message)?.delivery(message, *endpoint))));
        Ok(page.cut(rows))
    }

    async fn messages_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: DeliveryFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable> {
        let state = self.state.lock();
        let rows = state.lanes.get(&endpoint).map(|lane| lane.rows()).into_iter().flatten();
        let rows = rows.filter_map(|(id, row)| Some((id, (Message::clone(state.messages.get(&id)?), row.delivery(id, endpoint)))));
        Ok(page.scan(rows, limits::PAGE_ROWS_SCANNED_MAX, |(message, delivery)| filter.matches(message, delivery)))
    }

    async fn attempt(&self, message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable> {
        Ok(self.state.lock().attempts.get(&id).filter(|attempt| attempt.key.message == message).cloned())
    }

    async fn attempts_of_message(
        &self,
        message: MessageId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Ok(self.state.lock().attempts_where(|key| key.message == message, &filter, &page))
    }

    async fn attempts_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Ok(self.state.lock().attempts_where(|key| key.endpoint == endpoint, &filter, &page))
    }

    async fn endpoint_counts(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable> {
        let state = self.state.lock();
        let minutes = since.unix_ms() / 60_000..until.unix_ms().div_ceil(60_000);
        let mut counts = EndpointCounts::default();
        for (id, row) in state.lanes.get(&endpoint).map(|lane| lane.rows()).into_iter().flatten() {
            let minute = state.messages.get(&id).map(|message| message.created_at.unix_ms() / 60_000);
            if minute.is_some_and(|minute| minutes.contains(&minute)) {
                *counts.of_mut(DeliveryStatus::of(row.state, row.progress)) += 1;
            }
        }
        Ok(counts)
    }

    async fn receipt(&self, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, Unavailable> {
        Ok(self.state.lock().receipt(source, id))
    }

    async fn receipts(
        &self,
        source: SourceId,
        filter: ReceiptFilter,
        page: PageRequest<ReceiptId>,
    ) -> Result<ScannedPage<Receipt, ReceiptId>, Unavailable> {
        Ok(self.state.lock().receipts_of(source, &filter, &page))
    }

    async fn receipt_counts(&self, source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, Unavailable> {
        Ok(self.state.lock().count_receipts(source, since, until))
    }

    async fn expunge_message(&self, application: ApplicationId, message: MessageId) -> Result<bool, Unavailable> {
        let mut state = self.state.lock();
        let found = state.message_of(application, message).is_some();
        if found {
            state.drop_payload(message);
        }
        Ok(found)
    }

    async fn expunge_attempt(&self, message: MessageId, id: AttemptId) -> Result<bool, Unavailable> {
        let mut state = self.state.lock();
        let Some(stored) = state.attempts.get_mut(&id).filter(|attempt| attempt.key.message == message) else { return Ok(false) };
        if let AttemptOutcome::Response(response) = &mut stored.attempt.outcome {
            response.body = ResponseBody::Expunged;
        }
        Ok(true)
    }

    async fn forget(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable> {
        let mut state = self.state.lock();
        let too_old = |message: &Message| message.created_at + policy.rows <= now;
        let expired = |message: &Message| message.content.payload.is_some() && message.content.payload_expires_at <= now;
        let select = |state: &State, wanted: &dyn Fn(&Message) -> bool| -> Vec<MessageId> {
            let chosen = state.messages.values().filter(|message| wanted(message));
            chosen.map(|message| message.id).take(limits::FORGOTTEN_AT_ONCE_MAX).collect()
        };

        let messages = select(&state, &too_old);
        messages.iter().for_each(|id| state.forget_message(*id));
        let payloads = select(&state, &expired);
        payloads.iter().for_each(|id| state.drop_payload(*id));

        let (receipts, more_receipts) = state.forget_receipts(now - policy.receipts);
        state.once.retain(|_, made| made.until() > now);
        state.idempotency.retain(|_, (_, at)| now.since(*at) < limits::IDEMPOTENCY_WINDOW);
        state.answers.retain(|_, (_, at)| now.since(*at) < limits::IDEMPOTENCY_WINDOW);
        state.revocations.retain(|_, (_, forget_at)| *forget_at > now);
        state.forget_documents_and_logs(now - policy.rows, now);
        let oldest = span_of(now - policy.rows, FINE_S);
        state.usage.retain(|(_, span, _), _| *span >= oldest);

        let more = more_receipts || state.messages.values().any(|message| too_old(message) || expired(message));
        Ok(Forgotten { messages: messages.len() as u64, payloads: payloads.len() as u64, receipts, more })
    }
}

impl State {
    fn attempts_where(
        &self,
        wanted: impl Fn(DeliveryKey) -> bool,
        filter: &AttemptFilter,
        page: &PageRequest<AttemptId>,
    ) -> ScannedPage<StoredAttempt, AttemptId> {
        let rows = self.attempts.iter().filter(|(_, attempt)| wanted(attempt.key)).map(|(id, attempt)| (*id, attempt.clone()));
        page.scan(rows, limits::PAGE_ROWS_SCANNED_MAX, |stored| {
            self.messages.get(&stored.key.message).is_some_and(|message| filter.matches(message, stored))
        })
    }

    fn drop_payload(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            // Whoever holds a lease holds the message as it was.
            Arc::make_mut(message).content.payload = None;
        }
    }

    fn forget_message(&mut self, id: MessageId) {
        let Some(message) = self.messages.remove(&id) else { return };
        if let Some(event_id) = &message.content.event_id {
            self.event_ids.remove(&(message.application, event_id.clone()));
        }
        self.lanes.values_mut().for_each(|lane| lane.remove(id));
        self.attempts.retain(|_, attempt| attempt.key.message != id);
    }
}
