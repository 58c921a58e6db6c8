//! A message at every time of a schedule. The key of each is its source and its time, so no crash and no second node makes it twice.

use std::sync::Arc;

use bytes::Bytes;
use hookpost_domain::receipt::Origin;
use hookpost_domain::source::{Cron, CronSchedule, CronStep};
use hookpost_domain::{Source, Timestamp};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Stop;
use super::failure::Failure;
use super::job::Again;
use super::take_in::{Intaker, Pulled};
use crate::engine::Engine;

const KIND: &str = "cron";
/// Where no rule says what it is.
const EVENT_TYPE: &str = "cron.fired";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronProgress {
    /// Everything up to this time is done. `None`: the source is new.
    done: Option<Timestamp>,
    /// What `done` is about: times of another schedule that passed were not missed.
    schedule: String,
    /// It was disabled: the times that pass are not missed either.
    disabled: bool,
}

impl Engine {
    pub(super) async fn look_after_cron(&self, source: &Arc<Source>, cron: &Cron) -> Result<Again, Stop> {
        let mut progress: CronProgress = self.progress_of(source.id, KIND).await?;
        if source.disabled != progress.disabled || progress.schedule != cron.schedule {
            let is_new = progress == CronProgress::default();
            let done = if is_new { source.created_at } else { progress.done.unwrap_or_default().max(source.updated_at) };
            progress = CronProgress { done: Some(done), schedule: cron.schedule.clone(), disabled: source.disabled };
            self.keep_progress(source.id, KIND, &progress).await?;
        }
        if source.disabled {
            return Ok(Again::Never);
        }
        let schedule = match cron.check() {
            Ok(schedule) => schedule,
            // It was checked when it was set: another version of this program must have had other rules.
            Err(mistake) => {
                let failure = Failure::from(mistake);
                self.keep_failure(source, Origin::Cron, cron.schedule.clone(), &failure).await?;
                return Err(failure.into());
            }
        };
        loop {
            let done = progress.done.unwrap_or(source.created_at);
            match schedule.step(done, self.clock.now()) {
                CronStep::End => return Ok(Again::Never),
                CronStep::Wait(time) => return Ok(Again::At(time)),
                CronStep::Fire(time) => {
                    self.fire(source, cron, &schedule, time).await?;
                    progress.done = Some(time);
                    self.keep_progress(source.id, KIND, &progress).await?;
                    self.take_source(source).await?;
                }
            }
        }
    }

    async fn fire(&self, source: &Arc<Source>, cron: &Cron, schedule: &CronSchedule, time: Timestamp) -> Result<(), Stop> {
        let intaker = match Intaker::by_key(self, Arc::clone(source)).await {
            // Nothing can be made of this time. It is over; the next may find the rules mended.
            Err(Stop::Failure(failure)) => {
                tracing::warn!(source_id = self.store.public_ids().encode(source.id), problem = failure.detail, "a cron source failed");
                return self.keep_failure(source, Origin::Cron, cron.schedule.clone(), &failure).await;
            }
            other => other?,
        };
        let taken = self.take_in(&intaker, vec![fired(cron, time)]).await?;
        self.metrics.cron_fired(taken.messages);
        tracing::debug!(source_id = self.store.public_ids().encode(source.id), %time, next = ?schedule.next_after(time), "a cron source fired");
        Ok(())
    }
}

fn fired(cron: &Cron, time: Timestamp) -> Pulled {
    let mut headers = HeaderMap::new();
    let content_type = cron.content_type.as_deref().unwrap_or("application/json");
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    let id = time.to_string();
    Pulled {
        origin: Origin::Cron,
        url: cron.schedule.clone(),
        status_code: 0,
        headers,
        body: Bytes::copy_from_slice(cron.payload.as_bytes()),
        key: Some(key_of(&id)),
        event_id: Some(id),
        event_type: Some(EVENT_TYPE.to_owned()),
        replay_of: None,
    }
}

/// What tells the message of a time from the others of its source; `id` is that time.
pub(super) fn key_of(id: &str) -> String {
    format!("cron:{id}")
}
