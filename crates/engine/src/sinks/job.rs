//! The job of one sink: waits until there may be something to send, makes sure that this node is the one to send it, and sends a batch.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::environment::unit_interval;
use hookpost_domain::sink::{HttpSink, SinkBatch, SinkProgress, SinkTarget};
use hookpost_domain::{Message, Sink, Timestamp};
use hookpost_store::Reference;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::gather::{Gathering, due};
use super::send::Batch;
use super::{RETRY, Stop};
use crate::engine::Engine;
use crate::listeners::Listeners;

/// How often it is looked whether the node that has a sink has left it.
const ELSEWHERE_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// While this node cannot be certain that what it has is still its own, nothing is sent.
const LEASES_CHECKED_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked for what other nodes have accepted or moved: at first, and when nothing was found for a while.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(5);
const IDLE_AFTER: Duration = Duration::from_secs(60);
/// The wall clock may jump: it is read at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// While a batch waits for more, what has come is looked at together: after this part of the whole wait, and this long at most.
const GATHERED_PER_WAIT: u32 = 10;
const GATHERED_EVERY_MAX: Duration = Duration::from_secs(1);

/// When to look again, besides a change of the sink or of how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    /// New messages change nothing before.
    Until(Timestamp),
    /// A new message may make the batch full, which is looked at so much later.
    Gathering {
        until: Timestamp,
        pause: Duration,
    },
    /// Nothing is there; until then, if somebody waits for his time.
    Nothing {
        until: Option<Timestamp>,
    },
}

impl Engine {
    /// Until its sink is gone or disabled, or the engine closes.
    pub(super) async fn serve_sink(self: Arc<Self>, changes: watch::Receiver<Arc<Sink>>, room: Arc<Semaphore>, shared: bool) {
        let gone = changes.clone();
        tokio::select! {
            biased;
            () = end_of(gone) => {}
            () = self.run_sink(changes, &room, shared) => {}
        }
    }

    async fn run_sink(&self, mut changes: watch::Receiver<Arc<Sink>>, room: &Semaphore, shared: bool) {
        let (id, log) = {
            let sink = changes.borrow();
            (sink.id, sink.log)
        };
        // Both before the first look: nothing is missed.
        let mut messages = self.arrival(log);
        let mut moved = Listeners::listen(&self.sinks_moved, id);
        let mut busy_at = Instant::now();
        loop {
            let sink = Arc::clone(&changes.borrow_and_update());
            let rest = match self.take_turn(&sink, room).await {
                Some(Ok(rest)) => rest,
                Some(Err(Stop::Elsewhere)) => Rest::Until(self.clock.now() + ELSEWHERE_CHECKED_EVERY),
                Some(Err(Stop::Unavailable(problem))) => {
                    tracing::warn!(sink_id = self.store.public_ids().encode(id), %problem, "a sink has to wait");
                    Rest::Until(self.clock.now() + RETRY)
                }
                None => return,
            };
            if rest == Rest::None {
                busy_at = Instant::now();
                continue;
            }
            let sleep = self.sleep_for(rest, shared.then(|| busy_at.elapsed()));
            tokio::select! {
                () = self.closing.cancelled() => return,
                _ = changes.changed() => {}
                () = moved.next() => {}
                () = messages.next(), if !matches!(rest, Rest::Until(_)) => if let Rest::Gathering { pause, .. } = rest {
                    tokio::time::sleep(pause.min(sleep)).await;
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// `idle_for`: where other nodes have to be asked, for how long nothing was found.
    fn sleep_for(&self, rest: Rest, idle_for: Option<Duration>) -> Duration {
        let look = match (idle_for, rest) {
            (None, _) => SLEEP_MAX,
            (Some(idle_for), Rest::Nothing { .. }) if idle_for >= IDLE_AFTER => LOOK_EVERY_IDLE,
            _ => LOOK_EVERY,
        };
        // Sinks that began together do not look together.
        let look = look.mul_f64(0.8 + 0.2 * unit_interval(&*self.entropy));
        match rest {
            Rest::None => Duration::ZERO,
            Rest::Until(at) | Rest::Gathering { until: at, .. } | Rest::Nothing { until: Some(at) } => at.since(self.clock.now()).min(look),
            Rest::Nothing { until: None } => look,
        }
    }

    /// `None`: the engine closes.
    async fn take_turn(&self, sink: &Sink, room: &Semaphore) -> Option<Result<Rest, Stop>> {
        let _turn = tokio::select! {
            biased;
            () = self.closing.cancelled() => return None,
            turn = room.acquire() => turn.ok()?,
        };
        // A shutdown waits for it as for an attempt.
        self.attempts_end.run_until_cancelled(self.tracker.track_future(self.look_after_sink(sink))).await
    }

    async fn look_after_sink(&self, sink: &Sink) -> Result<Rest, Stop> {
        let SinkTarget::Http(http) = &sink.target else { return Ok(Rest::Nothing { until: None }) };
        if !self.store.take_sink(sink.id).await? {
            return Err(Stop::Elsewhere);
        }
        let now = self.clock.now();
        if !self.store.holds_leases() {
            return Ok(Rest::Until(now + LEASES_CHECKED_EVERY));
        }
        let progress = self.store.sink_progress(sink.id, "").await?;
        // Whoever changes a sink wants to see what comes of it.
        let rests = |next_at: Timestamp, last_at| next_at > now && sink.updated_at <= last_at;
        if let Some(failing) = progress.failing.as_ref().filter(|failing| rests(failing.next_at, failing.last_at)) {
            return Ok(Rest::Until(failing.next_at));
        }
        if let Some(batch) = progress.batch_to_retry() {
            let messages = self.messages_of(sink, batch).await?;
            return self.send_batch(sink, http, Batch { certain: true, ..Batch::new(&progress, batch.clone(), messages) }).await;
        }
        if let Some(batch) = due(sink, &progress, now) {
            let certain = batch.messages.len() >= usize::from(sink.batch_size);
            let messages = self.messages_of(sink, &batch).await?;
            return self.send_batch(sink, http, Batch { certain, ..Batch::new(&progress, batch, messages) }).await;
        }
        self.look_into_feed(sink, http, &progress, now).await
    }

    async fn look_into_feed(&self, sink: &Sink, http: &HttpSink, progress: &SinkProgress, now: Timestamp) -> Result<Rest, Stop> {
        let mut gathering = Gathering::new(sink, progress, now);
        while let Some((after, limits)) = gathering.next_page() {
            gathering.look_at(self.store.feed(sink.log, after, limits).await?);
        }
        let found = gathering.end();
        let next_due = progress.deferred.iter().chain(&found.deferred).map(|deferred| deferred.at).min();
        if found.batch.up_to == progress.after {
            return Ok(Rest::Nothing { until: next_due });
        }
        if let Some(until) = found.wait_until {
            let pause = Duration::from_secs(sink.max_wait_s.into()) / GATHERED_PER_WAIT;
            return Ok(Rest::Gathering { until: next_due.map_or(until, |due| due.min(until)), pause: pause.min(GATHERED_EVERY_MAX) });
        }
        let batch = Batch::new(progress, found.batch, found.messages);
        self.send_batch(sink, http, Batch { certain: found.certain, deferred: found.deferred, ..batch }).await
    }

    /// Those that still have payloads, in the order of the batch.
    async fn messages_of(&self, sink: &Sink, batch: &SinkBatch) -> Result<Vec<Message>, Stop> {
        let mut messages = Vec::with_capacity(batch.messages.len());
        for id in &batch.messages {
            let found = self.store.message(sink.log, Reference::Id(*id)).await?;
            messages.extend(found.filter(|message| message.content.payload.is_some()));
        }
        Ok(messages)
    }
}

/// When nobody sends changes any more.
async fn end_of(mut changes: watch::Receiver<Arc<Sink>>) {
    while changes.changed().await.is_ok() {}
}
