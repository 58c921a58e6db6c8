//! The job of one source: waits until there is something to do, makes sure that this node is the one to do it, does it, and sees what it did not succeed in.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::environment::unit_interval;
use hookpost_domain::source::SourceKind;
use hookpost_domain::{Source, Timestamp};
use tokio::sync::{Semaphore, watch};

use super::{RETRY, Stop};
use crate::engine::Engine;
use crate::pull::rhythm::Moment;
use crate::transport::{Answer, OutgoingRequest};

/// How often it is looked whether the node that has a source has left it.
const ELSEWHERE_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// The wall clock may jump: it is read at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    At(Timestamp),
    /// When something of it was changed.
    Never,
}

impl Engine {
    /// Until its source is gone or the engine closes.
    pub(super) async fn serve_source(self: Arc<Self>, mut changes: watch::Receiver<Arc<Source>>, room: Arc<Semaphore>) {
        loop {
            let source = Arc::clone(&changes.borrow_and_update());
            let again = match self.look_after(&source, &room).await {
                Ok(again) => again,
                Err(Stop::Closing) => return,
                Err(Stop::Elsewhere) => Again::At(self.clock.now() + ELSEWHERE_CHECKED_EVERY),
                Err(Stop::Unavailable(problem)) => {
                    tracing::warn!(source_id = self.store.public_ids().encode(source.id), %problem, "a source has to wait");
                    Again::At(self.clock.now() + RETRY)
                }
                // Whoever looks after a kind of source sees to its failures.
                Err(Stop::Failure(failure)) => {
                    tracing::error!(source_id = self.store.public_ids().encode(source.id), problem = failure.detail, "a source failed");
                    Again::Never
                }
            };
            tokio::select! {
                () = self.closing.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = self.wait_for(again) => {}
            }
        }
    }

    /// Looks once. What is under way is not cut off by a change of the source: the next look has it.
    async fn look_after(&self, source: &Arc<Source>, room: &Semaphore) -> Result<Again, Stop> {
        self.take_source(source).await?;
        match &source.kind {
            SourceKind::Cron(cron) => self.look_after_cron(source, cron).await,
            SourceKind::Poll(poll) => self.look_after_poll(source, poll, room).await,
            SourceKind::Webhook { type_name, .. } => match &source.rules.back_fill {
                Some(back_fill) => self.look_after_gaps(source, type_name, back_fill, room).await,
                None => Ok(Again::Never),
            },
        }
    }

    /// Whether this node is the one that looks after it: asked before each look and before each page.
    pub(super) async fn take_source(&self, source: &Source) -> Result<(), Stop> {
        if self.closing.is_cancelled() {
            return Err(Stop::Closing);
        }
        if self.store.take_source(source.id).await? { Ok(()) } else { Err(Stop::Elsewhere) }
    }

    /// One request of a source. A shutdown does not wait for its answer.
    pub(super) async fn fetch(&self, request: OutgoingRequest) -> Result<Answer, Stop> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Stop::Closing),
            answer = self.transport.fetch(request) => answer.map_err(|error| Stop::Failure(error.into())),
        }
    }

    pub(super) fn moment(&self, source: &Source) -> Moment {
        Moment { now: self.clock.now(), jitter: unit_interval(&*self.entropy), updated_at: source.updated_at }
    }

    async fn wait_for(&self, again: Again) {
        let Again::At(time) = again else { return std::future::pending().await };
        loop {
            let left = time.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }
}
