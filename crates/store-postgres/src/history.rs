//! What happened: lists, states, counts.

use async_trait::async_trait;
use hookpost_domain::delivery::{AttemptOutcome, ResponseBody};
use hookpost_domain::id::MessageKind;
use hookpost_domain::{
    ApplicationId, AttemptId, Delivery, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Progress, Reason, RowId, Timestamp,
    limits,
};
use hookpost_store::history::{
    AttemptFilter, DeliveryFilter, EndpointCounts, Forgotten, MessageFilter, RetentionPolicy, ScannedPage, StoredAttempt,
};
use hookpost_store::page::Cursor;
use hookpost_store::{History, Listed, Order, PageRequest, Reference, Unavailable};

/// Ids that are read from a list at a time.
const CHUNK: usize = 256;

use crate::PostgresStore;
use crate::error::unfinished;

#[async_trait]
impl History for PostgresStore {
    async fn message(&self, _application: ApplicationId, _reference: Reference<'_, MessageKind>) -> Result<Option<Message>, Unavailable> {
        Err(unfinished())
    }

    async fn messages(
        &self,
        _application: ApplicationId,
        _filter: MessageFilter,
        _page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<Message, MessageId>, Unavailable> {
        Err(unfinished())
    }

    async fn delivery(&self, _key: DeliveryKey) -> Result<Option<Delivery>, Unavailable> {
        Err(unfinished())
    }

    async fn deliveries_of_message(&self, _message: MessageId, _page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable> {
        Err(unfinished())
    }

    async fn messages_of_endpoint(
        &self,
        _endpoint: EndpointId,
        _filter: DeliveryFilter,
        _page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable> {
        Err(unfinished())
    }

    async fn attempt(&self, _message: MessageId, _id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable> {
        Err(unfinished())
    }

    async fn attempts_of_message(
        &self,
        _message: MessageId,
        _filter: AttemptFilter,
        _page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Err(unfinished())
    }

    async fn attempts_of_endpoint(
        &self,
        _endpoint: EndpointId,
        _filter: AttemptFilter,
        _page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        Err(unfinished())
    }

    async fn endpoint_counts(&self, _endpoint: EndpointId, _since: Timestamp, _until: Timestamp) -> Result<EndpointCounts, Unavailable> {
        Err(unfinished())
    }

    async fn expunge_message(&self, _application: ApplicationId, _message: MessageId) -> Result<bool, Unavailable> {
        Err(unfinished())
    }

    async fn expunge_attempt(&self, _message: MessageId, _id: AttemptId) -> Result<bool, Unavailable> {
        Err(unfinished())
    }

    async fn forget(&self, _policy: RetentionPolicy, _now: Timestamp) -> Result<Forgotten, Unavailable> {
        Err(unfinished())
    }
}
