//! One request to a sink, and what follows from its answer.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::delivery::{ReceiverWish, TransportErrorKind, Trigger};
use hookpost_domain::environment::unit_interval;
use hookpost_domain::request::{PreparedHeaders, RequestFacts};
use hookpost_domain::signature::Signer;
use hookpost_domain::sink::{Deferred, HttpSink, SinkAttempt, SinkBatch, SinkFailing, SinkProgress};
use hookpost_domain::{Message, Sink, SinkAttemptId, Timestamp, limits};
use hookpost_store::LogEntry;
use http::Method;
use tokio::time::Instant;

use super::body::BatchBody;
use super::job::Rest;
use super::retry::wait_after;
use super::{RETRY, Stop};
use crate::engine::Engine;
use crate::target::parse_url;
use crate::transport::{Answer, OutgoingRequest, TransportError};

/// What is to be sent now.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) extent: SinkBatch,
    /// Of its messages, those that still have payloads.
    pub(super) messages: Vec<Message>,
    /// Met on the way, for a later time.
    pub(super) deferred: Vec<Deferred>,
    /// It stands in the progress, or would be found again as it is.
    pub(super) certain: bool,
    /// Tries in a row that ended in none.
    pub(super) failures: u32,
}

/// How a request ended.
#[derive(Debug)]
struct Tried {
    at: Timestamp,
    duration: Duration,
    result: Result<Answer, TransportError>,
}

impl Batch {
    pub(super) fn new(progress: &SinkProgress, extent: SinkBatch, messages: Vec<Message>) -> Self {
        let failures = progress.failing.as_ref().map_or(0, |failing| failing.attempts);
        Self { extent, messages, deferred: Vec::new(), certain: false, failures }
    }
}

impl Engine {
    pub(super) async fn send_batch(&self, sink: &Sink, http: &HttpSink, batch: Batch) -> Result<Rest, Stop> {
        let Some(body) = BatchBody::new(sink, &batch.messages, self.store.public_ids()) else {
            let Batch { extent, deferred, .. } = batch;
            self.store.advance_sink(sink.id, "", move |progress| take(progress, &extent, &deferred, false), Vec::new()).await?;
            return Ok(Rest::None);
        };
        if !batch.certain && !self.write_down(sink, &batch).await? {
            return Ok(Rest::None);
        }
        let tried = self.try_sink(http, &body, batch.failures).await;
        self.conclude_sink(sink, batch, &body.id, tried).await
    }

    /// Whether the sink stands where it did; the batch is in its progress then.
    async fn write_down(&self, sink: &Sink, batch: &Batch) -> Result<bool, Stop> {
        let (extent, deferred) = (batch.extent.clone(), batch.deferred.clone());
        let change = move |progress: &mut SinkProgress| {
            if stands(progress, &extent) {
                defer(progress, &deferred);
                progress.batch = Some(extent);
            }
        };
        let progress = self.store.advance_sink(sink.id, "", change, Vec::new()).await?;
        Ok(progress.batch_to_retry() == Some(&batch.extent))
    }

    async fn try_sink(&self, http: &HttpSink, batch: &BatchBody, failures: u32) -> Tried {
        let (at, started) = (self.clock.now(), Instant::now());
        let next = wait_after(failures.saturating_add(1), &self.default_schedule, None, 0.5);
        let result = match parse_url(&http.url) {
            Ok(uri) => {
                let signature = Signer::new(&http.secrets).sign(&batch.id, at, &batch.body);
                let headers = PreparedHeaders::new(&self.settings.user_agent, &http.url, &http.headers, self.settings.header_sets);
                let headers = headers.for_attempt(RequestFacts {
                    message_id: &batch.id,
                    content_type: &batch.content_type,
                    forwarded: &batch.forwarded,
                    ordering_key: batch.ordering_key.as_deref(),
                    started_at: at,
                    signature: &signature,
                    attempt_number: failures.saturating_add(1),
                    trigger: Trigger::Scheduled,
                    will_retry_after_s: Some(next.as_secs()),
                });
                let request = OutgoingRequest {
                    method: Method::POST,
                    uri,
                    headers,
                    body: batch.body.clone(),
                    timeout: self.settings.request_timeout,
                    body_bytes_kept: limits::SINK_RESPONSE_BYTES_KEPT,
                };
                self.transport.send(request).await
            }
            Err(problem) => Err(TransportError { kind: TransportErrorKind::InvalidUrl, message: problem }),
        };
        Tried { at, duration: started.elapsed(), result }
    }

    async fn conclude_sink(&self, sink: &Sink, batch: Batch, batch_id: &str, tried: Tried) -> Result<Rest, Stop> {
        let now = self.clock.now();
        let sink_id = self.store.public_ids().encode(sink.id);
        let attempt = attempt_of(SinkAttemptId::from_row(self.store.new_row_id(now)), sink, &batch, &tried);
        let failing = (!attempt.success).then(|| {
            let asked = tried.result.as_ref().ok().and_then(|answer| {
                let retry_after = answer.headers.get("retry-after").and_then(|value| value.to_str().ok());
                ReceiverWish::of_answer(answer.status_code, retry_after, None, now).retry_after
            });
            let wait = wait_after(batch.failures.saturating_add(1), &self.default_schedule, asked, unit_interval(&*self.entropy));
            let reason =
                if attempt.status_code == 0 { attempt.response.clone() } else { format!("the sink answered {}", attempt.status_code) };
            SinkFailing { since: now, attempts: 1, next_at: now + wait, last_at: now, reason }
        });
        self.metrics.sink_tried(batch.messages.len(), attempt.success);
        match &failing {
            None => tracing::debug!(sink_id, batch_id, events = attempt.events, status = attempt.status_code, "a sink took a batch"),
            Some(failing) => {
                tracing::info!(sink_id, batch_id, events = attempt.events, status = attempt.status_code, reason = failing.reason, next_at = %failing.next_at, "a sink did not take a batch");
            }
        }
        let entry = LogEntry::of_attempt(&attempt).map_err(|problem| hookpost_store::Unavailable(problem.to_string()))?;
        let batch = Arc::new(batch);
        loop {
            let (batch, failing) = (Arc::clone(&batch), failing.clone());
            let change = move |progress: &mut SinkProgress| match failing {
                None => take(progress, &batch.extent, &batch.deferred, true),
                Some(failing) => fail(progress, &batch.extent, &batch.deferred, failing),
            };
            match self.store.advance_sink(sink.id, "", change, vec![entry.clone()]).await {
                Ok(_) => return Ok(Rest::None),
                // What is known is worth more than a second request.
                Err(problem) => {
                    tracing::warn!(sink_id, %problem, "cannot write down how far a sink came; trying again");
                    tokio::select! {
                        () = self.closing.cancelled() => return Err(Stop::Unavailable(problem)),
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
    }
}

fn attempt_of(id: SinkAttemptId, sink: &Sink, batch: &Batch, tried: &Tried) -> SinkAttempt {
    let (status_code, response) = match &tried.result {
        Ok(answer) => {
            let kept = &answer.body[..answer.body.len().min(limits::SINK_RESPONSE_BYTES_KEPT)];
            (answer.status_code, String::from_utf8_lossy(kept).into_owned())
        }
        Err(error) => (0, error.message.clone()),
    };
    let ends =
        |message: Option<&Message>| message.map_or(hookpost_domain::MessageId::from_row(hookpost_domain::RowId::MIN), |message| message.id);
    SinkAttempt {
        id,
        sink: sink.id,
        success: (200..300).contains(&status_code),
        first: ends(batch.messages.first()),
        last: ends(batch.messages.last()),
        events: u32::try_from(batch.messages.len()).unwrap_or(u32::MAX),
        status_code,
        response,
        duration_ms: u32::try_from(tried.duration.as_millis()).unwrap_or(u32::MAX),
        at: tried.at,
    }
}

/// Nobody moved the sink since the batch was made, and no other batch has been begun.
fn stands(progress: &SinkProgress, batch: &SinkBatch) -> bool {
    progress.after == batch.from && progress.batch_to_retry().is_none_or(|other| other == batch)
}

/// `sent`: or passed over, because nobody wants any of it.
fn take(progress: &mut SinkProgress, batch: &SinkBatch, deferred: &[Deferred], sent: bool) {
    let stands = stands(progress, batch);
    // Also where somebody moved the sink: they went out.
    progress.deferred.retain(|deferred| !batch.messages.contains(&deferred.message));
    if !stands {
        return;
    }
    defer(progress, deferred);
    progress.after = batch.up_to;
    progress.batch = None;
    progress.failing = None;
    if sent {
        progress.last_taken = batch.messages.last().copied().or(progress.last_taken);
    }
}

fn fail(progress: &mut SinkProgress, batch: &SinkBatch, deferred: &[Deferred], now: SinkFailing) {
    if !stands(progress, batch) {
        return;
    }
    defer(progress, deferred);
    progress.batch = Some(batch.clone());
    let before = progress.failing.as_ref();
    progress.failing = Some(SinkFailing {
        since: before.map_or(now.since, |before| before.since),
        attempts: before.map_or(0, |before| before.attempts).saturating_add(1),
        ..now
    });
}

fn defer(progress: &mut SinkProgress, deferred: &[Deferred]) {
    for one in deferred {
        if !progress.deferred.iter().any(|known| known.message == one.message) {
            progress.deferred.push(*one);
        }
    }
}

#[cfg(test)]
mod tests {
    use hookpost_domain::{MessageId, RowId};

    use super::*;

    fn id(number: u64) -> MessageId {
        MessageId::from_row(RowId::from_raw(number))
    }

    fn batch() -> SinkBatch {
        SinkBatch { from: Some(id(1)), up_to: Some(id(5)), messages: vec![id(3), id(4)] }
    }

    fn at(after: u64) -> SinkProgress {
        SinkProgress { after: Some(id(after)), ..SinkProgress::default() }
    }

    fn failing() -> SinkFailing {
        SinkFailing { since: Timestamp::ZERO, attempts: 1, next_at: Timestamp::ZERO, last_at: Timestamp::ZERO, reason: "no".into() }
    }

    #[test]
    fn a_batch_moves_the_sink_only_from_where_it_stood() {
        let mut progress = at(1);
        fail(&mut progress, &batch(), &[], failing());
        fail(&mut progress, &batch(), &[], failing());
        assert_eq!(progress.failing.as_ref().map(|failing| failing.attempts), Some(2));
        assert_eq!(progress.batch_to_retry(), Some(&batch()));
        let mut taken = progress.clone();
        take(&mut taken, &batch(), &[], true);
        assert_eq!(taken, SinkProgress { last_taken: Some(id(4)), ..at(5) });
        for moved in [0, 7] {
            let mut progress = progress.clone();
            progress.seek(Some(id(moved)));
            take(&mut progress, &batch(), &[], true);
            fail(&mut progress, &batch(), &[], failing());
            assert_eq!(progress, at(moved), "his word stands");
        }
    }

    #[test]
    fn what_waits_for_its_time_is_remembered_once_and_forgotten_when_it_went() {
        let mut progress = at(1);
        let deferred = [Deferred { at: Timestamp::ZERO, message: id(2) }];
        fail(&mut progress, &batch(), &deferred, failing());
        take(&mut progress, &batch(), &deferred, true);
        assert_eq!(progress.deferred, deferred);
        take(&mut progress, &SinkBatch { from: Some(id(5)), up_to: Some(id(5)), messages: vec![id(2)] }, &[], true);
        assert_eq!((progress.deferred.len(), progress.after), (0, Some(id(5))));
    }
}
