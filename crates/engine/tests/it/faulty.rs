//! A store that takes time and fails when told to, around the reference store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::id::{ApplicationKind, MessageKind, SourceKind};
use hookpost_domain::source::SourceToken;
use hookpost_domain::*;
use hookpost_store::catalog::TaskFilter;
use hookpost_store::documents::{DocumentKind, DocumentRow, RowChange, Shelf};
use hookpost_store::history::*;
use hookpost_store::intake::KeptAnswer;
use hookpost_store::ledger::{LogWindow, ProgressChange};
use hookpost_store::queue::*;
use hookpost_store::*;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) inner: memory::MemoryStore,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Of claims, records and releases.
    pub(crate) latency: Duration,
    pub(crate) queue_is_away: bool,
    /// In per mille of claims, records and releases.
    pub(crate) failures: u64,
    pub(crate) records: usize,
    pub(crate) largest_record: usize,
    pub(crate) claims: usize,
    /// As after a long silence of this node: outcomes come too late, and it is not certain that leases hold.
    pub(crate) leases_are_lost: bool,
    pub(crate) leases_are_doubtful: bool,
    /// What the next claim takes over.
    pub(crate) taken_over: Option<health::Health>,
    pub(crate) tasks_are_elsewhere: bool,
    /// How often somebody wanted to work on a task.
    pub(crate) tasks_asked_for: usize,
    pub(crate) sources_are_elsewhere: bool,
    pub(crate) sinks_are_elsewhere: bool,
    /// How often somebody asked whether he is the one to look after a sink.
    pub(crate) sinks_asked_for: usize,
    /// Steps of progress that are still written down; those after them hang, as in a crash.
    pub(crate) advances_left: Option<usize>,
    pub(crate) ledger_is_away: bool,
    pub(crate) feeds_read: usize,
    /// Messages that are still accepted; those after them are written down, and their answer is lost in a crash.
    pub(crate) accepts_left: Option<usize>,
    /// What is remembered of sources is not.
    pub(crate) states_are_lost: bool,
    pub(crate) intake_is_away: bool,
    /// Receipts that are still written down; the others hang, as in a crash.
    pub(crate) receives_left: Option<usize>,
    random: u64,
}

impl FaultyStore {
    pub(crate) fn new(inner: memory::MemoryStore, faults: Arc<Mutex<Faults>>) -> Self {
        Self { inner, faults }
    }

    async fn trouble(&self) -> Result<(), Unavailable> {
        let latency = self.faults.lock().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let mut faults = self.faults.lock();
        faults.random = faults.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if faults.queue_is_away || (faults.random >> 33) % 1000 < faults.failures {
            return Err(Unavailable("told to fail".into()));
        }
        Ok(())
    }
}

impl Store for FaultyStore {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.inner.new_row_id(now)
    }

    fn public_ids(&self) -> &PublicIds {
        self.inner.public_ids()
    }
}

#[async_trait]
impl Queue for FaultyStore {
    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable> {
        self.trouble().await?;
        self.faults.lock().claims += 1;
        let taken_over = self.faults.lock().taken_over.take();
        Ok(Claimed { taken_over, ..self.inner.claim(request, now).await? })
    }

    fn holds_leases(&self) -> bool {
        !self.faults.lock().leases_are_doubtful
    }

    async fn take_task(&self, _task: TaskId) -> Result<bool, Unavailable> {
        let mut faults = self.faults.lock();
        faults.tasks_asked_for += 1;
        Ok(!faults.tasks_are_elsewhere)
    }

    async fn take_source(&self, _source: SourceId) -> Result<bool, Unavailable> {
        Ok(!self.faults.lock().sources_are_elsewhere)
    }

    async fn take_sink(&self, _sink: SinkId) -> Result<bool, Unavailable> {
        let mut faults = self.faults.lock();
        faults.sinks_asked_for += 1;
        Ok(!faults.sinks_are_elsewhere)
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        self.trouble().await?;
        self.inner.release(leases).await
    }

    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        self.trouble().await?;
        {
            let mut faults = self.faults.lock();
            faults.records += 1;
            faults.largest_record = faults.largest_record.max(records.len());
        }
        if self.faults.lock().leases_are_lost {
            self.inner.release(records.iter().map(|record| (record.key, record.lease)).collect()).await?;
        }
        self.inner.record(records, now).await
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        self.trouble().await?;
        self.inner.lanes().await
    }

    async fn send_again(&self, deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable> {
        self.inner.send_again(deliveries, now).await
    }

    async fn cancel(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        self.inner.cancel(endpoint, which, reason, limit, now).await
    }

    fn backlog(&self) -> Backlog {
        self.inner.backlog()
    }
}

/// Everything else is the reference store's.
macro_rules! delegate {
    ($trait:ident { $(fn $sync:ident() -> $value:ty;)* $(async fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)* } $($own:tt)*) => {
        #[async_trait]
        impl $trait for FaultyStore {
            $(fn $sync(&self) -> $value { self.inner.$sync() })*
            $(async fn $name(&self, $($arg: $type),*) -> $result { self.inner.$name($($arg),*).await })*
            $($own)*
        }
    };
}

delegate! { Intake {
    async fn known_once(keys: &[Once], now: Timestamp) -> Result<Vec<bool>, Unavailable>;
    async fn kept_answer(key: IdempotencyKey, now: Timestamp) -> Result<Option<KeptAnswer>, Unavailable>;
    async fn keep_answer(key: IdempotencyKey, answer: KeptAnswer, now: Timestamp) -> Result<(), Unavailable>;
}
    async fn accept(&self, message: NewMessage, now: Timestamp) -> Result<Accepted, AcceptError> {
        let accepted = self.inner.accept(message, now).await;
        let hangs = match &mut self.faults.lock().accepts_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        accepted
    }

    async fn receive(&self, received: NewReceipt, now: Timestamp) -> Result<Received, AcceptError> {
        if self.faults.lock().intake_is_away {
            return Err(Unavailable("told to fail".into()).into());
        }
        let hangs = match &mut self.faults.lock().receives_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.inner.receive(received, now).await
    }
}

delegate! { Catalog {
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
    async fn set_source_state(&self, id: SourceId, state: Vec<u8>) -> Result<(), Unavailable> {
        if self.faults.lock().states_are_lost {
            return Ok(());
        }
        self.inner.set_source_state(id, state).await
    }
}

delegate! { History {
    async fn usage(application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<hookpost_store::usage::Usage>, Unavailable>;
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
    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable> {
        self.faults.lock().feeds_read += 1;
        self.inner.feed(application, after, limits).await
    }
}

delegate! { Documents {
    async fn document(shelf: &Shelf, named: Named<'_>) -> Result<Option<DocumentRow>, Unavailable>;
    async fn documents(shelf: &Shelf, page: PageRequest<RowId>) -> Result<Listed<DocumentRow>, Unavailable>;
    async fn documents_of_kind(kind: DocumentKind) -> Result<Vec<DocumentRow>, Unavailable>;
    async fn create_document(row: DocumentRow) -> Result<(), WriteError>;
    async fn update_document(shelf: &Shelf, id: RowId, change: RowChange) -> Result<DocumentRow, WriteError>;
    async fn delete_document(shelf: &Shelf, id: RowId) -> Result<(), WriteError>;
} }

delegate! { Ledger {
    async fn progress(key: &ProgressKey) -> Result<Option<Vec<u8>>, Unavailable>;
    async fn forget_progress(of: RowId) -> Result<(), Unavailable>;
    async fn append(entries: Vec<LogEntry>) -> Result<(), Unavailable>;
    async fn log(log: &LogName, window: LogWindow, page: PageRequest<RowId>) -> Result<Listed<LogEntry>, Unavailable>;
    async fn log_entry(log: &LogName, id: RowId) -> Result<Option<LogEntry>, Unavailable>;
}
    async fn advance(&self, key: ProgressKey, change: ProgressChange, entries: Vec<LogEntry>) -> Result<Option<Vec<u8>>, Unavailable> {
        if self.faults.lock().ledger_is_away {
            return Err(Unavailable("told to fail".into()));
        }
        let hangs = match &mut self.faults.lock().advances_left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        self.inner.advance(key, change, entries).await
    }
}
