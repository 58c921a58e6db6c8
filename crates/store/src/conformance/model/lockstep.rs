//! Both stores, one step at a time.
//!
//! The stores give ids of their own to messages and attempts, so these are compared by the order in which they were made. Where
//! the traits leave a choice (which of two deliveries due at the same moment comes first, how often `forget` is called) the driver
//! leaves none: times are unique, and forgetting goes on to its end.

mod beside;
mod compare;
mod doors;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::delivery::Transition;
use hookpost_domain::health::Health;
use hookpost_domain::{
    Application, ApplicationId, AttemptId, Channel, DeliveryKey, DeliveryState, Endpoint, EndpointId, EventTypeName, Invalid, Message,
    MessageContent, MessageId, OrgId, Progress, PublicIds, Reason, ReceiptId, RowId, SourceId, Timestamp, Trigger,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::sync::mpsc;

use super::super::fixture;
use super::super::{Harness, READY_GROUPS};
use super::{End, Operation};
use crate::documents::Shelf;
use crate::history::RetentionPolicy;
use crate::intake::KeptAnswer;
use crate::memory::MemoryStore;
use crate::queue::{CancelFilter, ClaimRequest, ReadyReceiver};
use crate::{
    Catalog, Claimed, History, IdempotencyKey, Intake, LeasedDelivery, NewMessage, Order, PageRequest, Queue, Record, Recorded, SharedStore,
};

type Checked = Result<(), TestCaseError>;

pub(super) struct Lockstep<H> {
    model: MemoryStore,
    model_ready: ReadyReceiver,
    subject: H,
    now: Timestamp,
    steps: usize,
    /// Times that were given to a delivery; each is used once.
    times: HashSet<Timestamp>,
    applications: Vec<ApplicationId>,
    endpoints: Vec<(ApplicationId, EndpointId)>,
    /// Those of which the subject does not know that they were deleted.
    forgotten: HashSet<EndpointId>,
    /// In the order in which they were made: the model's id, and the subject's.
    messages: Vec<(ApplicationId, MessageId, MessageId)>,
    attempts: Vec<(AttemptId, AttemptId)>,
    sources: Vec<SourceId>,
    receipts: Vec<(SourceId, ReceiptId, ReceiptId)>,
    documents: Vec<(Shelf, RowId)>,
    held: Vec<Pair>,
    stale: Vec<Pair>,
    /// Counters need not lose what was forgotten.
    forgot: bool,
    /// Usage before this hour may be forgotten or not.
    usage_from: Timestamp,
}

/// The same delivery, as each store leased it.
#[derive(Debug, Clone)]
struct Pair {
    model: LeasedDelivery,
    subject: LeasedDelivery,
}

/// A delivery as both stores can say it: the message by its number.
type Leased = (usize, EndpointId, DeliveryState, Progress, Trigger, ApplicationId, Arc<Message>);

#[derive(Clone, Copy)]
enum Side {
    Model,
    Subject,
}

impl<H: Harness> Lockstep<H> {
    pub(super) async fn begin(subject: H) -> Result<Self, TestCaseError> {
        let (sender, model_ready) = mpsc::channel(READY_GROUPS);
        let mut lockstep = Self {
            model: MemoryStore::new(PublicIds::new([1; 16]), sender.into()),
            model_ready,
            subject,
            now: fixture::NOW,
            steps: 0,
            times: HashSet::new(),
            applications: Vec::new(),
            endpoints: Vec::new(),
            forgotten: HashSet::new(),
            messages: Vec::new(),
            attempts: Vec::new(),
            sources: Vec::new(),
            receipts: Vec::new(),
            documents: Vec::new(),
            held: Vec::new(),
            stale: Vec::new(),
            forgot: false,
            usage_from: Timestamp::ZERO,
        };
        lockstep.create_application(fixture::org('a'), None).await?;
        for _ in 0..2 {
            lockstep.create_endpoint(0, None).await?;
        }
        lockstep.create_source(Some(0), None, false).await?;
        Ok(lockstep)
    }

    pub(super) async fn step(&mut self, operation: Operation) -> Checked {
        self.steps += 1;
        self.now = self.now + Duration::from_millis(1);
        let crashed = matches!(operation, Operation::Crash);
        self.apply(operation).await?;
        if crashed || self.steps.is_multiple_of(8) { self.compare_everything().await } else { Ok(()) }
    }

    pub(super) async fn end(mut self) -> Checked {
        self.compare_everything().await?;
        self.crash().await;
        self.compare_everything().await?;
        for index in 0..self.endpoints.len() {
            self.now = self.now + Duration::from_secs(3600);
            self.claim(index, usize::MAX, false).await?;
        }
        fixture::assert_nothing_was_handed_over(&mut self.subject).await;
        Ok(())
    }

    async fn apply(&mut self, operation: Operation) -> Checked {
        match operation {
            Operation::Accept { application, targets, event_id, key, later_s, kind } => {
                let Some(application) = pick(&self.applications, application) else { return Ok(()) };
                let targets = self.targets(application, targets);
                let content = MessageContent {
                    event_id: event_id.and_then(|n| fixture::uid(&format!("event-{n}"))),
                    event_type: event_type(kind),
                    channels: vec![Channel::parse(&format!("channel-{kind}")).expect("a channel")],
                    payload_expires_at: self.now + Duration::from_secs(120),
                    deliver_at: later_s.map(|seconds| self.unique_time(seconds)),
                    ..fixture::content(&targets)
                };
                let idempotency_key = key.map(|key| IdempotencyKey([key; 16]));
                self.accept(NewMessage { application, content, idempotency_key }).await
            }
            Operation::Claim { endpoint, limit, ordered } => self.claim(endpoint, limit, ordered).await,
            Operation::Release { lease } => self.release(lease).await,
            Operation::Record { leases } => self.record(leases).await,
            Operation::RecordStale { lease } => self.record_stale(lease).await,
            Operation::SendAgain { deliveries, later_s } => self.send_again(&deliveries, later_s).await,
            Operation::Cancel { endpoint, limit, kind } => {
                let Some((_, endpoint)) = pick(&self.endpoints, endpoint) else { return Ok(()) };
                let filter = CancelFilter { event_types: kind.map(|kind| vec![event_type(kind)]), ..CancelFilter::default() };
                let model = self.model.cancel(endpoint, filter.clone(), Reason::CanceledByUser, limit, self.now).await;
                let subject = self.store().cancel(endpoint, filter, Reason::CanceledByUser, limit, self.now).await;
                same(&model, &subject, "canceled")
            }
            Operation::Crash => {
                self.crash().await;
                Ok(())
            }
            Operation::Pass { seconds } => {
                self.now = self.now + Duration::from_secs(seconds);
                Ok(())
            }
            Operation::Forget { rows_s } => {
                let rows = Duration::from_secs(rows_s);
                self.forget(RetentionPolicy { rows, receipts: rows / 2 }).await
            }
            Operation::ExpungeMessage { message } => {
                let Some((application, model, subject)) = pick(&self.messages, message) else { return Ok(()) };
                let model = self.model.expunge_message(application, model).await;
                same(&model, &self.store().expunge_message(application, subject).await, "expunged message")
            }
            Operation::ExpungeAttempt { attempt } => {
                let Some((model, subject)) = pick(&self.attempts, attempt) else { return Ok(()) };
                for (_, model_message, subject_message) in self.messages.clone() {
                    let model = self.model.expunge_attempt(model_message, model).await;
                    same(&model, &self.store().expunge_attempt(subject_message, subject).await, "expunged attempt")?;
                }
                Ok(())
            }
            Operation::KeepAnswer { key, status } => {
                let answer = KeptAnswer { status, body: vec![key] };
                let key = IdempotencyKey([key; 16]);
                let model = self.model.keep_answer(key, answer.clone(), self.now).await;
                same(&model, &self.store().keep_answer(key, answer, self.now).await, "kept")?;
                same(&self.model.kept_answer(key, self.now).await, &self.store().kept_answer(key, self.now).await, "kept answer")
            }
            Operation::CreateApplication { org, uid } => self.create_application(fixture::org(if org { 'a' } else { 'b' }), uid).await,
            Operation::UpdateApplication { application, uid, refuse } => {
                let Some(id) = pick(&self.applications, application) else { return Ok(()) };
                let change = || {
                    Box::new(move |one: &mut Application| {
                        one.uid = to_uid(uid);
                        refuse_or_not(refuse)
                    })
                };
                let model = self.model.update_application(id, change()).await;
                same(&model, &self.store().update_application(id, change()).await, "changed application")
            }
            Operation::DeleteApplication { application } => {
                let Some(id) = pick(&self.applications, application) else { return Ok(()) };
                let model = self.model.delete_application(id, self.now).await;
                same(&model, &self.store().delete_application(id, self.now).await, "deleted application")
            }
            Operation::Receive { source, what, targets, once, window_s } => self.receive(source, what, targets, once, window_s).await,
            Operation::CreateSource { application, uid, pulled } => self.create_source(application, uid, pulled).await,
            Operation::UpdateSource { source, uid, rotate, refuse } => self.update_source(source, uid, rotate, refuse).await,
            Operation::DeleteSource { source } => self.delete_source(source).await,
            Operation::SetSourceState { source, value } => self.set_source_state(source, value).await,
            Operation::CreateDocument { owner, name, ends_s } => self.create_document(owner, name, ends_s).await,
            Operation::UpdateDocument { document, name, refuse } => self.update_document(document, name, refuse).await,
            Operation::DeleteDocument { document } => self.delete_document(document).await,
            Operation::Advance { of, value, entries } => self.advance(of, value, entries).await,
            Operation::ForgetProgress { of } => self.forget_progress(of).await,
            Operation::CreateEndpoint { application, uid } => self.create_endpoint(application, uid).await,
            Operation::UpdateEndpoint { endpoint, uid, refuse } => {
                let Some((application, id)) = pick(&self.endpoints, endpoint) else { return Ok(()) };
                let change = || {
                    Box::new(move |one: &mut Endpoint| {
                        one.uid = to_uid(uid);
                        refuse_or_not(refuse)
                    })
                };
                let model = self.model.update_endpoint(application, id, change()).await;
                same(&model, &self.store().update_endpoint(application, id, change()).await, "changed endpoint")
            }
            Operation::DeleteEndpoint { endpoint } => {
                let Some((application, id)) = pick(&self.endpoints, endpoint) else { return Ok(()) };
                let model = self.model.delete_endpoint(application, id, self.now).await;
                same(&model, &self.store().delete_endpoint(application, id, self.now).await, "deleted endpoint")
            }
        }
    }

    /// Those of deleted endpoints too, as when one is deleted while a message is on its way.
    fn targets(&self, application: ApplicationId, chosen: u8) -> Vec<EndpointId> {
        let own =
            self.endpoints.iter().enumerate().filter(|(_, (owner, endpoint))| *owner == application && !self.forgotten.contains(endpoint));
        own.filter(|(index, _)| chosen >> (index % 8) & 1 == 1).map(|(_, (_, endpoint))| *endpoint).collect()
    }

    async fn accept(&mut self, new: NewMessage) -> Checked {
        let application = new.application;
        let model = self.model.accept(new.clone(), self.now).await;
        let subject = self.store().accept(new, self.now).await;
        match (model, subject) {
            (Ok(model), Ok(subject)) => {
                same(&(model.created_at, model.repeated), &(subject.created_at, subject.repeated), "accepted")?;
                if model.repeated {
                    let number = |side, id| self.number_of(side, id);
                    same(&number(Side::Model, model.id), &number(Side::Subject, subject.id), "the message of the key")?;
                } else {
                    self.messages.push((application, model.id, subject.id));
                }
            }
            (model, subject) => same(&model.err(), &subject.err(), "refused")?,
        }
        self.take_group().await
    }

    /// What the subject hands over unasked shows in place of a later group, or at the end.
    async fn take_group(&mut self) -> Checked {
        if let Ok(model) = self.model_ready.try_recv() {
            let subject = fixture::next_group(&mut self.subject).await;
            self.compare_leased(&model, &subject)?;
            self.hold(model, subject);
        }
        Ok(())
    }

    async fn claim(&mut self, endpoint: usize, limit: usize, ordered: bool) -> Checked {
        let Some((_, endpoint)) = pick(&self.endpoints, endpoint) else { return Ok(()) };
        let request = ClaimRequest { endpoint, limit, bytes_max: usize::MAX, ordered };
        let model = self.model.claim(request, self.now).await.expect("memory is available");
        let subject = self.store().claim(request, self.now).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
        self.compare_leased(&model.deliveries, &subject.deliveries)?;
        let rest = |side, claimed: &Claimed| (claimed.more, claimed.next_due, claimed.held_by.map(|id| self.number_of(side, id)));
        same(&rest(Side::Model, &model), &rest(Side::Subject, &subject), "more, next due, held by")?;
        self.hold(model.deliveries, subject.deliveries);
        Ok(())
    }

    async fn release(&mut self, lease: usize) -> Checked {
        let Some(index) = lease.checked_rem(self.held.len()) else { return Ok(()) };
        let pair = self.held.remove(index);
        self.model.release(vec![(pair.model.key, pair.model.lease)]).await.expect("memory is available");
        let subject = self.store().release(vec![(pair.subject.key, pair.subject.lease)]).await;
        same(&Ok(()), &subject, "released")?;
        self.stale.push(pair);
        Ok(())
    }

    async fn record(&mut self, leases: Vec<(usize, End)>) -> Checked {
        let (mut model_records, mut subject_records) = (Vec::new(), Vec::new());
        for (lease, end) in leases {
            let Some(index) = lease.checked_rem(self.held.len()) else { break };
            let pair = self.held.remove(index);
            let template = self.record_of(&pair.model, end);
            subject_records.push(Record { key: pair.subject.key, lease: pair.subject.lease, ..template.clone() });
            model_records.push(template);
            self.stale.push(pair);
        }
        self.record_both(model_records, subject_records).await
    }

    async fn record_stale(&mut self, lease: usize) -> Checked {
        let Some(pair) = pick(&self.stale, lease) else { return Ok(()) };
        let template = self.record_of(&pair.model, End::Delivered);
        let subject = Record { key: pair.subject.key, lease: pair.subject.lease, ..template.clone() };
        self.record_both(vec![template], vec![subject]).await
    }

    async fn record_both(&mut self, model: Vec<Record>, subject: Vec<Record>) -> Checked {
        let model = record_in(&self.model, model, self.now).await;
        let subject = record_in(&**self.store(), subject, self.now).await;
        prop_assert_eq!(model.len(), subject.len());
        for pair in model.into_iter().zip(subject) {
            match pair {
                (Recorded::Done { attempt: Some(model) }, Recorded::Done { attempt: Some(subject) }) => {
                    self.attempts.push((model, subject));
                }
                (model, subject) => same(&model, &subject, "recorded")?,
            }
        }
        Ok(())
    }

    /// What the domain could have decided about it.
    fn record_of(&mut self, leased: &LeasedDelivery, end: End) -> Record {
        let state = match (end, leased.trigger, leased.state) {
            (End::Delivered, ..) => DeliveryState::Delivered,
            (End::CanceledWithoutTry, ..) if leased.state.is_final() => leased.state,
            (End::CanceledWithoutTry, ..) => DeliveryState::Canceled { reason: Reason::EndpointDisabled },
            (_, Trigger::Manual, DeliveryState::Canceled { .. }) => DeliveryState::Dead { reason: Reason::RetriesExhausted },
            (_, Trigger::Manual, before) => before,
            (End::Retry { seconds }, ..) => DeliveryState::Waiting { at: self.unique_time(seconds) },
            (End::Dead, ..) => DeliveryState::Dead { reason: Reason::RetriesExhausted },
        };
        let status_code = if state == DeliveryState::Delivered { 200 } else { 500 };
        match end {
            End::CanceledWithoutTry => {
                Record { transition: Transition { state, progress: leased.progress }, ..fixture::ended(leased, state) }
            }
            _ => {
                let failures = u32::from(status_code == 500);
                let health = Health { consecutive_failures: failures, ..Health::default() };
                Record { health: Some(health), ..fixture::tried(leased, status_code, state, self.now) }
            }
        }
    }

    async fn send_again(&mut self, deliveries: &[(usize, usize)], later_s: u64) -> Checked {
        let chosen = deliveries
            .iter()
            .filter_map(|(message, endpoint)| Some((pick(&self.messages, *message)?, pick(&self.endpoints, *endpoint)?.1)));
        let (mut model, mut subject) = (Vec::new(), Vec::new());
        for ((_, model_message, subject_message), endpoint) in chosen {
            let key = DeliveryKey { message: model_message, endpoint };
            // One at a time at an endpoint, since they get the same time.
            if model.iter().all(|other: &DeliveryKey| other.endpoint != endpoint) {
                model.push(key);
                subject.push(DeliveryKey { message: subject_message, endpoint });
            }
        }
        let at = self.unique_time(later_s);
        let model = self.model.send_again(model, at).await;
        same(&model, &self.store().send_again(subject, at).await, "sent again")
    }

    async fn forget(&mut self, policy: RetentionPolicy) -> Checked {
        let totals = [self.forget_all(&self.model, policy).await?, self.forget_all(&**self.store(), policy).await?];
        self.forgot |= totals[0] != (0, 0);
        self.usage_from = self.usage_from.max(beside::next_hour(self.now - policy.rows));
        same(&totals[0], &totals[1], "forgotten messages and receipts")
    }

    async fn forget_all(&self, store: &dyn History, policy: RetentionPolicy) -> Result<(u64, u64), TestCaseError> {
        let (mut messages, mut receipts) = (0, 0);
        for _ in 0..1000 {
            let forgotten = store.forget(policy, self.now).await.map_err(|error| TestCaseError::fail(error.to_string()))?;
            messages += forgotten.messages;
            receipts += forgotten.receipts;
            if !forgotten.more {
                return Ok((messages, receipts));
            }
        }
        Err(TestCaseError::fail("forgetting comes to no end"))
    }

    async fn crash(&mut self) {
        let (sender, ready) = mpsc::channel(READY_GROUPS);
        self.model = self.model.restarted(sender.into());
        self.model_ready = ready;
        self.subject.reopen().await;
        if self.subject.forgets_deleted_endpoints() {
            for (application, endpoint) in &self.endpoints {
                let view = self.model.application_by_id(*application).await.expect("memory is available");
                if view.is_none_or(|view| view.endpoint(*endpoint).is_none()) {
                    self.forgotten.insert(*endpoint);
                }
            }
        }
        // What was leased is nobody's now; whether an old lease means anything to the new process is not said.
        self.held.clear();
        self.stale.clear();
    }

    async fn create_application(&mut self, org: OrgId, uid: Option<u8>) -> Checked {
        let application = Application { uid: to_uid(uid), ..fixture::new_application(self.store(), org) };
        let id = application.id;
        let model = self.model.create_application(application.clone()).await;
        same(&model, &self.store().create_application(application).await, "created application")?;
        self.applications.extend(model.is_ok().then_some(id));
        Ok(())
    }

    async fn create_endpoint(&mut self, application: usize, uid: Option<u8>) -> Checked {
        let Some(application) = pick(&self.applications, application) else { return Ok(()) };
        let endpoint = Endpoint { uid: to_uid(uid), ..fixture::new_endpoint(self.store(), application) };
        let id = endpoint.id;
        let model = self.model.create_endpoint(endpoint.clone()).await;
        same(&model, &self.store().create_endpoint(endpoint).await, "created endpoint")?;
        self.endpoints.extend(model.is_ok().then_some((application, id)));
        Ok(())
    }

    fn store(&self) -> &SharedStore {
        self.subject.store()
    }

    fn unique_time(&mut self, seconds: u64) -> Timestamp {
        let mut time = self.now + Duration::from_secs(seconds);
        while !self.times.insert(time) {
            time = time + Duration::from_millis(1);
        }
        time
    }

    fn number_of(&self, side: Side, id: MessageId) -> Option<usize> {
        self.messages.iter().position(|(_, model, subject)| match side {
            Side::Model => *model == id,
            Side::Subject => *subject == id,
        })
    }

    fn hold(&mut self, model: Vec<LeasedDelivery>, subject: Vec<LeasedDelivery>) {
        self.held.extend(model.into_iter().zip(subject).map(|(model, subject)| Pair { model, subject }));
    }
}

fn same<T: PartialEq + std::fmt::Debug>(model: &T, subject: &T, what: &str) -> Checked {
    prop_assert!(model == subject, "{what} differ\n  model: {model:?}\nsubject: {subject:?}");
    Ok(())
}

fn pick<T: Clone>(all: &[T], choice: usize) -> Option<T> {
    all.get(choice.checked_rem(all.len())?).cloned()
}

fn first_page<C>() -> PageRequest<C> {
    PageRequest::first(1000, Order::Ascending)
}

fn event_type(kind: u8) -> EventTypeName {
    EventTypeName::parse(&format!("type.{kind}")).expect("a name")
}

fn to_uid(uid: Option<u8>) -> Option<hookpost_domain::Uid> {
    uid.and_then(|n| fixture::uid(&format!("uid-{n}")))
}

fn refuse_or_not(refuse: bool) -> Result<(), Invalid> {
    if refuse { Err(Invalid::new("refused")) } else { Ok(()) }
}

async fn record_in(store: &(impl Queue + ?Sized), records: Vec<Record>, now: Timestamp) -> Vec<Recorded> {
    store.record(Arc::new(records), now).await.expect("available")
}
