//! Sinks: the events of a stream, or the messages of an application, in their order, in batches; nothing goes past a batch that was not taken.
//!
//! ```text
//!  sinks ─► one job each ─► ours? ─► progress ─► the batch that failed │ what is due late │ the feed ─► sign, send ─► progress and log
//!  (catalogue)              take_sink                                    filter, size, wait                        on disk, in one transaction
//! ```
//!
//! There are no deliveries: what is kept is how far the sink came. A crash between the answer and the progress makes the same request again, with the same
//! id. A batch that could not be made out again from the feed (it was not full, or somebody has to wait for his time) is written down before it is sent.
//!
//! Somebody else may move a sink at any time (skip, seek, force): what a batch changes when it ends depends on the sink standing where it stood.
//!
//! Nothing is looked at without a reason: a message accepted here, a change, a time that has come; and where other nodes accept messages too, every second or,
//! when long nothing came, every five.

mod body;
mod gather;
mod job;
mod retry;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::sink::SinkTarget;
use hookpost_domain::{Sink, SinkId, limits};
use hookpost_store::Unavailable;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::engine::Engine;

/// How often it is looked whether the catalogue has changed, also by other nodes. (It is compared in memory.)
const CHANGES_CHECKED_EVERY: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);

/// Why a sink is left alone for now.
#[derive(Debug)]
enum Stop {
    Unavailable(Unavailable),
    /// Another node has it.
    Elsewhere,
}

impl From<Unavailable> for Stop {
    fn from(problem: Unavailable) -> Self {
        Self::Unavailable(problem)
    }
}

/// The jobs of all sinks that are called and not disabled. Dropping one ends it at once.
type Jobs = HashMap<SinkId, watch::Sender<Arc<Sink>>>;

impl Engine {
    /// `shared`: other nodes accept messages too, and move sinks.
    pub(crate) async fn serve_sinks(self: Arc<Self>, shared: bool) {
        let mut running = JoinSet::new();
        let mut jobs = Jobs::new();
        let mut seen = None;
        let room = Arc::new(Semaphore::new(limits::SINKS_SENDING_AT_ONCE_MAX));
        loop {
            let version = self.store.version();
            let mut rest = CHANGES_CHECKED_EVERY;
            if seen != Some(version) {
                match self.store.list_all::<Sink>().await {
                    Ok(sinks) => {
                        let called = sinks.into_iter().filter(|sink| !sink.disabled && matches!(sink.target, SinkTarget::Http(_)));
                        self.keep_sink_jobs(called, &mut jobs, |sink| {
                            running.spawn(Arc::clone(&self).serve_sink(sink, Arc::clone(&room), shared));
                        });
                        seen = Some(version);
                    }
                    Err(problem) => {
                        tracing::warn!(%problem, "cannot read which sinks there are; trying again");
                        rest = RETRY;
                    }
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => break,
                () = self.sinks_changed.notified() => {}
                () = tokio::time::sleep(rest) => {}
                Some(ended) = running.join_next() => report(ended),
            }
        }
        // Each ends what it has under way, or is cut off with the attempts.
        while let Some(ended) = running.join_next().await {
            report(ended);
        }
    }

    /// Tells each job of its sink as it is now, begins those that are new and ends those whose sink is gone.
    fn keep_sink_jobs(&self, sinks: impl Iterator<Item = Sink>, jobs: &mut Jobs, mut begin: impl FnMut(watch::Receiver<Arc<Sink>>)) {
        let mut before = std::mem::take(jobs);
        for sink in sinks {
            let id = sink.id;
            let job = match before.remove(&id) {
                Some(job) => {
                    job.send_if_modified(|own| {
                        let changed = **own != sink;
                        if changed {
                            *own = Arc::new(sink);
                        }
                        changed
                    });
                    job
                }
                None => {
                    let (job, changes) = watch::channel(Arc::new(sink));
                    begin(changes);
                    job
                }
            };
            jobs.insert(id, job);
        }
    }
}

/// A job that panics is not begun again: it would do so again and again.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(problem) = ended {
        tracing::error!(%problem, "the job of a sink ended badly");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hookpost_domain::message::{PayloadType, Routing};
    use hookpost_domain::secret::EndpointSecrets;
    use hookpost_domain::sink::{HttpSink, SinkOwner};
    use hookpost_domain::{ApplicationId, EventTypeName, Message, MessageContent, MessageId, OrgId, RowId, SigningSecret, Timestamp};

    use super::*;

    pub(super) fn name(text: &str) -> EventTypeName {
        EventTypeName::parse(text).expect("a name")
    }

    pub(super) fn sink(change: impl FnOnce(&mut Sink)) -> Sink {
        let application = ApplicationId::from_row(RowId::from_raw(1));
        let secrets = EndpointSecrets::new(SigningSecret::Hmac256(vec![1; 24]));
        let mut sink = Sink {
            id: SinkId::from_row(RowId::from_raw(2)),
            org: OrgId::management(),
            owner: SinkOwner::Application(application),
            log: application,
            uid: None,
            disabled: false,
            target: SinkTarget::Http(HttpSink { url: "http://sink.test/".into(), headers: Vec::new(), secrets }),
            batch_size: 1,
            max_wait_s: 0,
            event_types: Vec::new(),
            channels: Vec::new(),
            metadata: Default::default(),
            created_at: Timestamp::ZERO,
            updated_at: Timestamp::ZERO,
        };
        change(&mut sink);
        sink
    }

    pub(super) fn message(at: Timestamp, change: impl FnOnce(&mut MessageContent)) -> Message {
        let mut content = MessageContent {
            event_type: name("order.paid"),
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            payload: Some(Bytes::from_static(b"{}")),
            content_type: PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: Timestamp::MAX,
            deliver_at: None,
            routing: Routing::default(),
        };
        change(&mut content);
        Message {
            id: MessageId::from_row(RowId::first_at(at)),
            application: ApplicationId::from_row(RowId::from_raw(1)),
            content,
            created_at: at,
        }
    }
}
