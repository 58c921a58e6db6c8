//! What happened: lists, states, counts.

mod attempts;
mod counted;
mod deliveries;
mod messages;
mod receipts;
mod scan;

use async_trait::async_trait;
use hookpost_domain::id::MessageKind;
use hookpost_domain::{
    ApplicationId, AttemptId, Delivery, DeliveryKey, EndpointId, Message, MessageId, Receipt, ReceiptId, SourceId, Timestamp,
};
use hookpost_store::history::{
    AttemptFilter, DeliveryFilter, EndpointCounts, Feed, FeedLimits, Forgotten, MessageFilter, ReceiptCounts, ReceiptFilter,
    RetentionPolicy, ScannedPage, StoredAttempt,
};
use hookpost_store::usage::Usage;
use hookpost_store::{History, Listed, PageRequest, Reference, Unavailable};

pub(crate) use deliveries::decode_state;
pub(crate) use messages::add_payloads;

use crate::{PostgresStore, feed, retention, usage};

#[async_trait]
impl History for PostgresStore {
    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable> {
        Ok(feed::read(&self.shared, application, after, limits).await?)
    }

    async fn usage(&self, application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<Usage>, Unavailable> {
        Ok(usage::of_application(&self.shared, application, since, until).await?)
    }

    async fn message(&self, application: ApplicationId, reference: Reference<'_, MessageKind>) -> Result<Option<Message>, Unavailable> {
        Ok(messages::one(&self.shared, application, reference).await?)
    }

    async fn messages(
        &self,
        application: ApplicationId,
        filter: MessageFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<Message, MessageId>, Unavailable> {
        Ok(messages::of_application(&self.shared, application, &filter, &page).await?)
    }

    async fn delivery(&self, key: DeliveryKey) -> Result<Option<Delivery>, Unavailable> {
        Ok(deliveries::one(&self.shared, key).await?)
    }

    async fn deliveries_of_message(&self, message: MessageId, page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable> {
        Ok(deliveries::of_message(&self.shared, message, &page).await?)
    }

    async fn messages_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: DeliveryFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable> {
        Ok(deliveries::of_endpoint(&self.shared, endpoint, &filter, &page).await?)
    }

    async fn attempt(&self, message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable> {
        Ok(attempts::one(&self.shared, message, id).await?)
    }

    async fn attempts_of_message(
        &self,
        message: MessageId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Ok(attempts::of_message(&self.shared, message, &filter, &page).await?)
    }

    async fn attempts_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Ok(attempts::of_endpoint(&self.shared, endpoint, &filter, &page).await?)
    }

    async fn endpoint_counts(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable> {
        Ok(counted::of_endpoint(&self.shared, endpoint, since, until).await?)
    }

    async fn receipt(&self, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, Unavailable> {
        Ok(receipts::one(&self.shared, source, id).await?)
    }

    async fn receipts(
        &self,
        source: SourceId,
        filter: ReceiptFilter,
        page: PageRequest<ReceiptId>,
    ) -> Result<ScannedPage<Receipt, ReceiptId>, Unavailable> {
        Ok(receipts::of_source(&self.shared, source, &filter, &page).await?)
    }

    async fn receipt_counts(&self, source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, Unavailable> {
        Ok(counted::of_source(&self.shared, source, since, until).await?)
    }

    async fn expunge_message(&self, application: ApplicationId, message: MessageId) -> Result<bool, Unavailable> {
        Ok(messages::expunge(&self.shared, application, message).await?)
    }

    async fn expunge_attempt(&self, message: MessageId, id: AttemptId) -> Result<bool, Unavailable> {
        Ok(attempts::expunge(&self.shared, message, id).await?)
    }

    async fn forget(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable> {
        Ok(retention::forget(&self.shared, policy, now).await?)
    }
}
