//! The log of attempts for tenants who ask for it: gathered in memory and told from time to time, many at once. What a crash takes with it was no promise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::operational::{ATTEMPT_LOG, AttemptLogEntry, OperationalEvent, wants_attempt_log};
use hookpost_domain::{OrgId, limits};
use hookpost_store::{Reference, Unavailable};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::Engine;

/// From the first attempt to the event that tells of it.
const TOLD_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct AttemptLog {
    waiting: Mutex<Waiting>,
    begun: Notify,
    /// Somebody's next event is complete.
    full: Notify,
    wanted: Mutex<Wanted>,
}

/// Who wants it, as of one version of the catalogue: most tenants have no application to be told in, which no store remembers.
#[derive(Debug, Default)]
struct Wanted {
    version: Option<u64>,
    by: HashMap<OrgId, bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: HashMap<OrgId, Vec<AttemptLogEntry>>,
    count: usize,
}

impl Engine {
    /// Whether somebody wants to be told of every attempt of a tenant.
    pub(crate) async fn attempts_are_logged(&self, org: &OrgId) -> Result<bool, Unavailable> {
        if !self.settings.operational_webhooks || org.as_str() == OrgId::MANAGEMENT {
            return Ok(false);
        }
        let version = Some(self.store.version());
        {
            let wanted = self.attempt_log.wanted.lock();
            if let Some(known) = wanted.by.get(org).filter(|_| wanted.version == version) {
                return Ok(*known);
            }
        }
        let view = self.store.application(&OrgId::management(), Reference::Uid(org.as_str())).await?;
        let is_wanted = view.is_some_and(|view| view.endpoints.iter().any(|endpoint| wants_attempt_log(endpoint)));
        let mut wanted = self.attempt_log.wanted.lock();
        if wanted.version != version {
            *wanted = Wanted { version, by: HashMap::new() };
        }
        wanted.by.insert(org.clone(), is_wanted);
        Ok(is_wanted)
    }

    pub(crate) fn log_attempt(&self, entry: AttemptLogEntry) {
        let mut waiting = self.attempt_log.waiting.lock();
        if waiting.count >= limits::ATTEMPT_LOG_WAITING_MAX {
            drop(waiting);
            self.metrics.operational_event_dropped();
            tracing::debug!(org = %entry.org, event = ATTEMPT_LOG, "too many attempts at a time; this one is not told of");
            return;
        }
        waiting.count += 1;
        let of_org = waiting.entries.entry(entry.org.clone()).or_default();
        of_org.push(entry);
        let is_full = of_org.len() >= limits::ATTEMPT_LOG_ENTRIES_MAX;
        drop(waiting);
        self.attempt_log.begun.notify_one();
        if is_full {
            self.attempt_log.full.notify_one();
        }
    }

    pub(crate) async fn serve_attempt_log(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return self.tell_of_attempts(),
                () = self.attempt_log.begun.notified() => {}
            }
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = self.attempt_log.full.notified() => {}
                () = tokio::time::sleep(TOLD_EVERY) => {}
            }
            self.tell_of_attempts();
        }
    }

    fn tell_of_attempts(&self) {
        let waiting = std::mem::take(&mut *self.attempt_log.waiting.lock());
        for (org, entries) in waiting.entries {
            for some in entries.chunks(limits::ATTEMPT_LOG_ENTRIES_MAX) {
                self.publish(&org, OperationalEvent::AttemptLog(some.to_vec()));
            }
        }
    }
}
