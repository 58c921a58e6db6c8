//! The reference store: everything in maps behind one lock.
//!
//! It is meant to be read: what the other stores do with files, threads and indexes is said here in a few lines each. It keeps
//! every promise of the traits but one: what it holds is gone with the process.

mod catalog;
mod documents;
mod history;
mod intake;
mod lane;
mod queue;
mod receipts;
mod sources;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::access::RevocationTarget;
use hookpost_domain::id::RowIds;
use hookpost_domain::{
    ApiKey, ApiKeyId, ApplicationId, AttemptId, BackgroundTask, EndpointId, EventType, EventTypeName, Message, MessageId, OrgId, PublicIds,
    Receipt, ReceiptId, RowId, Source, SourceId, TaskId, Timestamp, Uid,
};
use parking_lot::Mutex;

use crate::documents::{DocumentKind, DocumentRow};
use crate::history::StoredAttempt;
use crate::intake::KeptAnswer;
use crate::queue::ReadySender;
use crate::usage::UsageCounts;
use crate::{ApplicationView, IdempotencyKey, LogEntry, MadeOnce, ProgressKey, Store};
use lane::Lane;

#[derive(Debug)]
pub struct MemoryStore {
    ids: PublicIds,
    ready: ReadySender,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    row_ids: RowIds,
    leases: u64,
    version: u64,

    applications: BTreeMap<ApplicationId, Arc<ApplicationView>>,
    sources: BTreeMap<SourceId, Arc<Source>>,
    source_states: BTreeMap<SourceId, Vec<u8>>,
    event_types: BTreeMap<(OrgId, EventTypeName), Arc<EventType>>,
    api_keys: BTreeMap<ApiKeyId, Arc<ApiKey>>,
    /// When, and until when to remember it.
    revocations: HashMap<RevocationTarget, (Timestamp, Timestamp)>,
    tasks: BTreeMap<TaskId, BackgroundTask>,

    messages: BTreeMap<MessageId, Arc<Message>>,
    event_ids: HashMap<(ApplicationId, Uid), MessageId>,
    idempotency: HashMap<IdempotencyKey, (MessageId, Timestamp)>,
    answers: HashMap<IdempotencyKey, (KeptAnswer, Timestamp)>,
    /// The deliveries, by endpoint and message. Those of deleted endpoints stay as long as their messages.
    lanes: BTreeMap<EndpointId, Lane>,
    attempts: BTreeMap<AttemptId, StoredAttempt>,

    once: HashMap<IdempotencyKey, MadeOnce>,
    /// Without their bodies, and those that no message has.
    receipts: BTreeMap<ReceiptId, (Receipt, Option<Bytes>)>,

    documents: BTreeMap<(DocumentKind, OrgId, RowId), DocumentRow>,
    progress: BTreeMap<ProgressKey, Vec<u8>>,
    log: BTreeMap<RowId, LogEntry>,
    /// By application and fine span.
    usage: BTreeMap<(ApplicationId, u64, EventTypeName), UsageCounts>,
}

impl MemoryStore {
    pub fn new(ids: PublicIds, ready: ReadySender) -> Self {
        let state = State {
            row_ids: RowIds::after(RowId::MIN, 0),
            leases: 0,
            version: 0,
            applications: BTreeMap::new(),
            sources: BTreeMap::new(),
            source_states: BTreeMap::new(),
            event_types: BTreeMap::new(),
            api_keys: BTreeMap::new(),
            revocations: HashMap::new(),
            tasks: BTreeMap::new(),
            messages: BTreeMap::new(),
            event_ids: HashMap::new(),
            idempotency: HashMap::new(),
            answers: HashMap::new(),
            lanes: BTreeMap::new(),
            attempts: BTreeMap::new(),
            once: HashMap::new(),
            receipts: BTreeMap::new(),
            documents: BTreeMap::new(),
            progress: BTreeMap::new(),
            log: BTreeMap::new(),
            usage: BTreeMap::new(),
        };
        Self { ids, ready, state: Mutex::new(state) }
    }

    /// What another process would find if this one died now: everything but the leases.
    pub fn restarted(&self, ready: ReadySender) -> Self {
        let mut state = self.state.lock().clone();
        state.lanes.values_mut().for_each(Lane::forget_leases);
        Self { ids: self.ids.clone(), ready, state: Mutex::new(state) }
    }
}

impl Store for MemoryStore {
    fn new_row_id(&self, now: Timestamp) -> RowId {
        self.state.lock().row_ids.next(now)
    }

    fn public_ids(&self) -> &PublicIds {
        &self.ids
    }
}

impl State {
    fn endpoint_exists(&self, application: ApplicationId, endpoint: EndpointId) -> bool {
        self.applications.get(&application).is_some_and(|view| view.endpoint(endpoint).is_some())
    }

    fn message_of(&self, application: ApplicationId, id: MessageId) -> Option<&Arc<Message>> {
        self.messages.get(&id).filter(|message| message.application == application)
    }
}

#[cfg(test)]
mod tests;
