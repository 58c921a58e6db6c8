//! Pull sources: what comes in although nobody calls us. Cron fires, polls ask, back-fill looks for what a door never got.
//!
//! ```text
//!  sources ─► one job each ─► due? ─► ours? ─► fire │ ask pages │ ask the provider's list ─► receipts and messages ─► progress
//!  (catalogue)                        take_source                                            receive, on disk          on disk, after them
//! ```
//!
//! Nothing is made twice and nothing is lost: progress is written after the messages, and what is done again after a crash, or by another node, has the same
//! key and makes no second message. What is due, what to ask and what an answer means are functions over data; this folder only carries them out.

mod back_fill;
mod cron;
mod failure;
mod job;
mod kept;
mod link;
mod poll;
mod remembered;
mod replay;
mod rhythm;
mod take_in;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::source::{Cron, Mistake, Poll};
use hookpost_domain::{Source, SourceId, limits};
use hookpost_store::Unavailable;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::engine::Engine;
use failure::Failure;

pub use replay::{NotReplayed, once_of_replay};

/// How often it is looked whether the catalogue has changed, also by other nodes. (It is compared in memory.)
const CHANGES_CHECKED_EVERY: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(2);

/// Every rule that the settings of a cron source have to keep: for whoever takes them up.
pub fn check_cron(cron: &Cron) -> Result<(), Mistake> {
    cron.check().map(drop)
}

/// The same for a poll, its paths and templates among them.
pub fn check_poll(poll: &Poll) -> Result<(), Mistake> {
    poll::PreparedPoll::new(poll).map(drop)
}

/// Why a source is left alone for now.
#[derive(Debug)]
enum Stop {
    Unavailable(Unavailable),
    Failure(Failure),
    /// Another node has it.
    Elsewhere,
    Closing,
}

impl From<Unavailable> for Stop {
    fn from(problem: Unavailable) -> Self {
        Self::Unavailable(problem)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The jobs of all sources. Dropping one tells it to end.
type Jobs = HashMap<SourceId, watch::Sender<Arc<Source>>>;

impl Engine {
    /// A source was made, changed or deleted here. (What other nodes do is noticed by the version of the catalogue.)
    pub fn wake_sources(&self) {
        self.sources_changed.notify_one();
    }

    pub(crate) async fn serve_pull(self: Arc<Self>) {
        let mut running = JoinSet::new();
        let mut jobs = Jobs::new();
        let mut seen = None;
        let room = Arc::new(Semaphore::new(limits::PULLS_AT_ONCE_MAX));
        loop {
            let version = self.store.version();
            let mut rest = CHANGES_CHECKED_EVERY;
            if seen != Some(version) {
                match self.store.pull_sources().await {
                    Ok(sources) => {
                        self.keep_jobs(sources, &mut jobs, &mut running, &room);
                        seen = Some(version);
                    }
                    Err(problem) => {
                        tracing::warn!(%problem, "cannot read which sources are to be asked; trying again");
                        rest = RETRY;
                    }
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => break,
                () = self.sources_changed.notified() => {}
                () = tokio::time::sleep(rest) => {}
                Some(ended) = running.join_next() => report(ended),
            }
        }
        drop(jobs);
        while let Some(ended) = running.join_next().await {
            report(ended);
        }
    }

    /// Tells each job of its source as it is now, begins those that are new and ends those whose source is gone.
    fn keep_jobs(self: &Arc<Self>, sources: Vec<Arc<Source>>, jobs: &mut Jobs, running: &mut JoinSet<()>, room: &Arc<Semaphore>) {
        let mut before = std::mem::take(jobs);
        for source in sources {
            let id = source.id;
            let job = match before.remove(&id) {
                Some(job) => {
                    job.send_if_modified(|own| {
                        let changed = **own != *source;
                        *own = source;
                        changed
                    });
                    job
                }
                None => {
                    let (job, changes) = watch::channel(source);
                    running.spawn(Arc::clone(self).serve_source(changes, Arc::clone(room)));
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
        tracing::error!(%problem, "the job of a source ended badly");
    }
}
