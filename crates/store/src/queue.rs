//! The engine's side: what is due, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::delivery::Transition;
use hookpost_domain::health::Health;
use hookpost_domain::{
    ApplicationId, Attempt, AttemptId, DeliveryKey, DeliveryState, EndpointId, EventTypeName, Message, MessageId, Progress, Reason, SinkId,
    SourceId, TaskId, Timestamp, Trigger,
};

use hookpost_threads::PerThread;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::Unavailable;

/// Where a store hands over the deliveries that became ready by a commit: one group per commit and thread, on the thread where they are to be attempted. Where
/// the engine does not keep up and the channel is full, the store keeps the group as backlog, as if it had been released.
#[derive(Debug, Clone)]
pub struct ReadySender(Arc<PerThread<mpsc::Sender<Vec<LeasedDelivery>>>>);
pub type ReadyReceiver = mpsc::Receiver<Vec<LeasedDelivery>>;

/// A channel for each thread that the caller runs on, of so many groups.
pub fn ready_channels(groups_max: usize) -> (ReadySender, PerThread<ReadyReceiver>) {
    let mut receivers = Vec::new();
    let senders = PerThread::new(|| {
        let (sender, receiver) = mpsc::channel(groups_max);
        receivers.push(receiver);
        sender
    });
    (ReadySender(Arc::new(senders)), receivers.into_iter().collect())
}

impl ReadySender {
    /// To the thread of the caller.
    pub fn try_send(&self, group: Vec<LeasedDelivery>) -> Result<(), TrySendError<Vec<LeasedDelivery>>> {
        self.0.here().try_send(group)
    }
}

/// For the one thread of a runtime that has no others.
impl From<mpsc::Sender<Vec<LeasedDelivery>>> for ReadySender {
    fn from(sender: mpsc::Sender<Vec<LeasedDelivery>>) -> Self {
        Self(Arc::new(PerThread::from(sender)))
    }
}

/// Where a store that is shared by several nodes says what happened without a call of this one. Small: a store that cannot send keeps its news and
/// tries again. The embedded stores have none.
pub type NewsSender = mpsc::Sender<News>;
pub type NewsReceiver = mpsc::Receiver<News>;

/// What an engine learns of the other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something can be claimed of these endpoints, or their health or who serves them has changed.
    Lanes(Vec<LaneState>),
    /// This node was silent for so long that others have taken over: nothing that it holds may be attempted any more.
    LeasesLost,
    /// A background task was created, changed, or left by its node.
    Tasks,
    /// Something of this endpoint that is held here was canceled: [`Queue::is_recalled`] says what.
    Recalled { application: ApplicationId, endpoint: EndpointId },
}

#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Leases deliveries of one endpoint that may be attempted at `now`: what is due first by its time, then the backlog, oldest message first. Nothing
    /// that is leased already is handed out again. For an ordered endpoint see [`ClaimRequest::ordered`].
    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable>;

    /// Gives leases back untouched; the deliveries are as they were before and can be claimed again.
    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable>;

    /// Writes attempts and new states in one transaction and ends the leases, except where the lease was lost: those records change nothing. On
    /// `Unavailable` nothing was written and all leases still hold: the caller, who shares the records, tries again. One answer per record, in their order.
    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable>;

    /// How far apart calls of [`Self::record`] are to begin where nobody waits for an outcome. What a crash repeats grows with it, and so does what one
    /// transaction takes.
    fn records_apart(&self) -> Duration {
        Duration::from_millis(3)
    }

    /// Whether the leases of this node hold at this moment: asked before each attempt. Never answers yes for longer than other nodes wait before they
    /// take over.
    fn holds_leases(&self) -> bool {
        true
    }

    /// Makes this node the one that works on a background task, if no living node does. Asked again before each page of it.
    async fn take_task(&self, _task: TaskId) -> Result<bool, Unavailable> {
        Ok(true)
    }

    /// Makes this node the one that asks a source which nobody calls, if no living node does; it stays so until it ends. Asked again before each look, and
    /// before what is kept of the source is read.
    async fn take_source(&self, _source: SourceId) -> Result<bool, Unavailable> {
        Ok(true)
    }

    /// The same for a sink that is called: asked before each look at what it may be sent.
    async fn take_sink(&self, _sink: SinkId) -> Result<bool, Unavailable> {
        Ok(true)
    }

    /// Every endpoint that has something to do now or later, or whose health is not the default. Asked at start, and after the ready channel was full.
    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable>;

    /// Schedules an attempt with [`Trigger::Manual`] at `now`, whatever the state of the delivery; one that does not exist yet is created for it, as
    /// `Canceled { NotRouted }`. The scheduled chain stays as it is. A delivery has one such request at a time: a second before the first was claimed is the
    /// same one. Keys of messages without payload and of endpoints that do not exist are left out. Returns how many were scheduled.
    async fn send_again(&self, deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable>;

    /// Ends unfinished deliveries of an endpoint that are not leased, in pieces; returns how many, and whether more are left. Attempts that were asked for by
    /// hand are called off with it (a delivery that has ended is counted for that, and keeps its state).
    async fn cancel(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable>;

    /// The same, whoever holds them. What is in the hands of a node is canceled at once and called back from it: an attempt that is under way there is
    /// recorded, and only its success is more than the cancellation. Answers when all nodes that live know of it. An embedded store has one engine, which
    /// gives back what it holds before it asks.
    async fn cancel_everywhere(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        self.cancel(endpoint, which, reason, limit, now).await
    }

    /// Whether a delivery that this node holds was called back: asked before each attempt. Its lease is to be released.
    fn is_recalled(&self, _key: DeliveryKey) -> bool {
        false
    }

    /// How much is waiting, for metrics; may be an estimate.
    fn backlog(&self) -> Backlog;
}

impl CancelFilter {
    pub fn matches(&self, message: &Message) -> bool {
        self.messages.as_ref().is_none_or(|wanted| wanted.contains(&message.id))
            && self.event_types.as_ref().is_none_or(|wanted| wanted.contains(&message.content.event_type))
            && self.channels.as_ref().is_none_or(|wanted| wanted.iter().any(|channel| message.content.channels.contains(channel)))
            && self.before.is_none_or(|before| message.created_at < before)
            && self.after.is_none_or(|after| message.created_at > after)
    }
}

/// Names one lease; a delivery that was leased again has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u64);

/// A delivery in the hands of this node.
#[derive(Debug, Clone)]
pub struct LeasedDelivery {
    pub key: DeliveryKey,
    pub lease: LeaseId,
    pub application: ApplicationId,
    /// Shared between the deliveries of one message.
    pub message: Arc<Message>,
    pub state: DeliveryState,
    pub progress: Progress,
    pub trigger: Trigger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRequest {
    pub endpoint: EndpointId,
    /// At most this many deliveries,
    pub limit: usize,
    /// and about this much payload, but at least one delivery.
    pub bytes_max: usize,
    /// The endpoint wants strict order: due or backlog, the oldest message comes first, and nothing is handed out that is younger than a
    /// delivery which was attempted already and waits for a time after `now` (that one is named in [`Claimed::held_by`]). Manual triggers and
    /// messages whose `deliver_at` has not come stand outside the order: the former are handed out when due, the latter hold nobody up.
    pub ordered: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Claimed {
    pub deliveries: Vec<LeasedDelivery>,
    /// More could be claimed right now.
    pub more: bool,
    /// When the next one that is not yet due will be.
    pub next_due: Option<Timestamp>,
    /// Ordered endpoints only: the oldest message that was attempted and is not yet due; nothing younger was handed out.
    pub held_by: Option<MessageId>,
    /// This node serves the endpoint from now on: its health as another left it.
    pub taken_over: Option<Health>,
}

/// The end of a lease.
#[derive(Debug, Clone)]
pub struct Record {
    pub key: DeliveryKey,
    pub lease: LeaseId,
    pub application: ApplicationId,
    /// Of the message, for what is counted by it.
    pub event_type: EventTypeName,
    pub trigger: Trigger,
    /// `None`: it ended without a try (endpoint disabled or deleted, payload gone).
    pub attempt: Option<Attempt>,
    pub transition: Transition,
    /// The endpoint's health, where it changed in a way that must outlive the process.
    pub health: Option<Health>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Done {
        attempt: Option<AttemptId>,
    },
    /// The delivery was canceled while it was held ([`Queue::cancel_everywhere`]) and stays so; its attempt was written.
    Recalled {
        attempt: Option<AttemptId>,
    },
    /// Another holder has the delivery by now; nothing was written.
    LeaseLost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneState {
    pub application: ApplicationId,
    pub endpoint: EndpointId,
    pub ready: bool,
    pub next_due: Option<Timestamp>,
    pub health: Health,
    /// Another node serves it (one node does where there is an order, a limit or an open circuit to keep): nothing of it may be held here.
    pub elsewhere: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CancelFilter {
    pub messages: Option<Vec<MessageId>>,
    pub event_types: Option<Vec<hookpost_domain::EventTypeName>>,
    pub channels: Option<Vec<hookpost_domain::Channel>>,
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Canceled {
    pub count: usize,
    pub more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that are not in a final state.
    pub deliveries: u64,
    /// When the oldest message with an unfinished first attempt was accepted.
    pub oldest_pending_at: Option<Timestamp>,
}
