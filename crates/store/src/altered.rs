//! Stores of tests that are the reference store but for a few operations.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, MessageKind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::*;

use crate::catalog::TaskFilter;
use crate::documents::{DocumentKind, DocumentRow, RowChange, Shelf};
use crate::history::*;
use crate::intake::KeptAnswer;
use crate::ledger::{LogWindow, ProgressChange};
use crate::memory::MemoryStore;
use crate::queue::*;
use crate::usage::Usage;
use crate::*;

/// The store that [`Alter`] describes.
#[derive(Debug)]
pub struct Altered<A>(pub A);

impl<A> Deref for Altered<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.0
    }
}

impl<A: Alter> Store for Altered<A> {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.inner().new_row_id(now)
    }

    fn public_ids(&self) -> &PublicIds {
        self.inner().public_ids()
    }
}

/// One list of all operations: what whoever alters a store does not say himself is done by the reference store.
macro_rules! operations {
    ($($trait:ident { $(fn $sync:ident($($of:ident: $sort:ty),*) -> $value:ty;)* $(async fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)* })*) => {
        /// How a store differs from the reference store.
        #[async_trait]
        pub trait Alter: Debug + Send + Sync {
            fn inner(&self) -> &MemoryStore;

            $(
                $(fn $sync(&self, $($of: $sort),*) -> $value { $trait::$sync(self.inner(), $($of),*) })*
                $(async fn $name(&self, $($arg: $type),*) -> $result { $trait::$name(self.inner(), $($arg),*).await })*
            )*
        }

        $(
            #[async_trait]
            impl<A: Alter> $trait for Altered<A> {
                $(fn $sync(&self, $($of: $sort),*) -> $value { self.0.$sync($($of),*) })*
                $(async fn $name(&self, $($arg: $type),*) -> $result { self.0.$name($($arg),*).await })*
            }
        )*
    };
}

operations! {
    Intake {
        async fn accept(message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError>;
        async fn receive(received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError>;
        async fn known_once(keys: &[Once], now: Timestamp) -> Result<Vec<bool>, Unavailable>;
        async fn begin_answer(key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;
        async fn release_answer(key: IdempotencyKey) -> Result<(), Unavailable>;
        async fn kept_answer(key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;
        async fn keep_answer(key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable>;
    }
    Queue {
        fn records_apart() -> Duration;
        fn holds_leases() -> bool;
        fn is_recalled(key: DeliveryKey) -> bool;
        fn backlog() -> Backlog;
        async fn claim(request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable>;
        async fn take_task(task: TaskId) -> Result<bool, Unavailable>;
        async fn take_source(source: SourceId) -> Result<bool, Unavailable>;
        async fn take_sink(sink: SinkId) -> Result<bool, Unavailable>;
        async fn release(leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable>;
        async fn record(records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable>;
        async fn lanes() -> Result<Vec<LaneState>, Unavailable>;
        async fn send_again(deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable>;
        async fn cancel(endpoint: EndpointId, which: CancelFilter, reason: Reason, limit: usize, now: Timestamp) -> Result<Canceled, Unavailable>;
        async fn cancel_everywhere(
            endpoint: EndpointId, which: CancelFilter, reason: Reason, limit: usize, now: Timestamp
        ) -> Result<Canceled, Unavailable>;
    }
    Catalog {
        fn version() -> u64;
        async fn application(org: &OrgId, reference: Reference<'_, ApplicationKind>) -> Result<Option<Arc<ApplicationView>>, Unavailable>;
        async fn application_by_id(id: ApplicationId) -> Result<Option<Arc<ApplicationView>>, Unavailable>;
        async fn applications(org: &OrgId, page: PageRequest<ApplicationId>) -> Result<Listed<Application>, Unavailable>;
        async fn create_application(application: Application) -> Result<(), WriteError>;
        async fn update_application(id: ApplicationId, change: Change<Application>) -> Result<Application, WriteError>;
        async fn delete_application(id: ApplicationId, now: Timestamp) -> Result<(), WriteError>;
        async fn create_endpoint(endpoint: Endpoint) -> Result<(), WriteError>;
        async fn update_endpoint(application: ApplicationId, id: EndpointId, change: Change<Endpoint>) -> Result<Endpoint, WriteError>;
        async fn delete_endpoint(application: ApplicationId, id: EndpointId, now: Timestamp) -> Result<(), WriteError>;
        async fn source(org: &OrgId, reference: Reference<'_, SourceKind>) -> Result<Option<Arc<Source>>, Unavailable>;
        async fn source_by_id(id: SourceId) -> Result<Option<Arc<Source>>, Unavailable>;
        async fn source_by_token(token: &SourceToken) -> Result<Option<Arc<Source>>, Unavailable>;
        async fn sources(org: &OrgId, page: PageRequest<SourceId>) -> Result<Listed<Source>, Unavailable>;
        async fn pull_sources() -> Result<Vec<Arc<Source>>, Unavailable>;
        async fn create_source(source: Source, application: Option<Application>) -> Result<(), WriteError>;
        async fn update_source(id: SourceId, change: Change<Source>) -> Result<Source, WriteError>;
        async fn delete_source(id: SourceId, now: Timestamp) -> Result<(), WriteError>;
        async fn source_state(id: SourceId) -> Result<Option<Vec<u8>>, Unavailable>;
        async fn set_source_state(id: SourceId, state: Vec<u8>) -> Result<(), Unavailable>;
        async fn event_type(org: &OrgId, name: &str) -> Result<Option<Arc<EventType>>, Unavailable>;
        async fn event_types(org: &OrgId, include_archived: bool, page: PageRequest<EventTypeName>) -> Result<Listed<EventType>, Unavailable>;
        async fn create_event_type(event_type: EventType) -> Result<(), WriteError>;
        async fn update_event_type(org: &OrgId, name: &str, change: Change<EventType>) -> Result<EventType, WriteError>;
        async fn delete_event_type(org: &OrgId, name: &str) -> Result<(), WriteError>;
        async fn api_key_by_hash(key_sha256: [u8; 32]) -> Result<Option<Arc<ApiKey>>, Unavailable>;
        async fn api_keys(org: Option<&OrgId>, page: PageRequest<ApiKeyId>) -> Result<Listed<ApiKey>, Unavailable>;
        async fn api_key(org: &OrgId, id: ApiKeyId) -> Result<Option<ApiKey>, Unavailable>;
        async fn update_api_key(org: &OrgId, id: ApiKeyId, change: Change<ApiKey>) -> Result<ApiKey, WriteError>;
        async fn create_api_key(key: ApiKey) -> Result<(), WriteError>;
        async fn delete_api_key(org: Option<&OrgId>, id: ApiKeyId) -> Result<(), WriteError>;
        async fn revoke(revocation: Revocation) -> Result<(), Unavailable>;
        async fn revoked_at(target: &RevocationTarget) -> Result<Option<Timestamp>, Unavailable>;
        async fn create_task(task: BackgroundTask) -> Result<(), WriteError>;
        async fn update_task(id: TaskId, change: Change<BackgroundTask>) -> Result<BackgroundTask, WriteError>;
        async fn task(id: TaskId) -> Result<Option<BackgroundTask>, Unavailable>;
        async fn tasks(org: Option<&OrgId>, filter: TaskFilter, page: PageRequest<TaskId>) -> Result<Listed<BackgroundTask>, Unavailable>;
    }
    History {
        async fn feed(application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable>;
        async fn usage(application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<Usage>, Unavailable>;
        async fn message(application: ApplicationId, reference: Reference<'_, MessageKind>) -> Result<Option<Message>, Unavailable>;
        async fn messages(application: ApplicationId, filter: MessageFilter, page: PageRequest<MessageId>) -> Result<ScannedPage<Message, MessageId>, Unavailable>;
        async fn delivery(key: DeliveryKey) -> Result<Option<Delivery>, Unavailable>;
        async fn deliveries_of_message(message: MessageId, page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable>;
        async fn messages_of_endpoint(endpoint: EndpointId, filter: DeliveryFilter, page: PageRequest<MessageId>) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable>;
        async fn attempt(message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable>;
        async fn attempts_of_message(message: MessageId, filter: AttemptFilter, page: PageRequest<AttemptId>) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable>;
        async fn attempts_of_endpoint(endpoint: EndpointId, filter: AttemptFilter, page: PageRequest<AttemptId>) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable>;
        async fn endpoint_counts(endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable>;
        async fn receipt(source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, Unavailable>;
        async fn receipts(source: SourceId, filter: ReceiptFilter, page: PageRequest<ReceiptId>) -> Result<ScannedPage<Receipt, ReceiptId>, Unavailable>;
        async fn receipt_counts(source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, Unavailable>;
        async fn expunge_message(application: ApplicationId, message: MessageId) -> Result<bool, Unavailable>;
        async fn expunge_attempt(message: MessageId, id: AttemptId) -> Result<bool, Unavailable>;
        async fn forget(policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable>;
    }
    Documents {
        async fn document(shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable>;
        async fn documents(shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable>;
        async fn documents_of_kind(kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable>;
        async fn create_document(row: DocumentRow) -> Result<(), WriteError>;
        async fn update_document(shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError>;
        async fn delete_document(shelf: &Shelf, id: RowId) -> Result<(), WriteError>;
    }
    Ledger {
        async fn progress(key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable>;
        async fn advance(key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable>;
        async fn forget_progress(of: RowId) -> Result<(), Unavailable>;
        async fn append(entries: Vec<LogEntry>) -> Result<(), Unavailable>;
        async fn log(log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable>;
        async fn log_entry(log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable>;
    }
}
