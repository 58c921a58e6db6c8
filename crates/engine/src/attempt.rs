//! A worker of a lane, and one attempt: look at the endpoint, sign, send, decide, record.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use hookpost_domain::delivery::{
    Attempt, AttemptOutcome, DeliveryState, ReceiverWish, ResponseBody, ResponseRecord, Transition, TransportErrorKind, Tried, Trigger,
    advance,
};
use hookpost_domain::environment::unit_interval;
use hookpost_domain::health::HealthEvent;
use hookpost_domain::operational::{OperationalEvent, news_of};
use hookpost_domain::request::RequestFacts;
use hookpost_domain::{Reason, RetrySchedule, Timestamp, limits};
use hookpost_store::queue::Record;
use hookpost_threads::ThreadId;
use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::lane::{Ended, EndedResult, Next, Work};
use crate::lanes::LaneCell;
use crate::operational::{AttemptStory, endpoint_facts};
use crate::recorder::Sequel;
use crate::target::{ReadyEndpoint, Target};
use crate::transport::{Answer, OutgoingRequest, TransportError};

/// While this node cannot be certain that what it holds is still its own, nothing is attempted.
const LEASES_CHECKED_EVERY: Duration = Duration::from_millis(100);

/// A task that makes one attempt of its lane after the other, as long as the lane has something for it. Dropping it at any point (shutdown, a panic)
/// returns what it holds.
#[derive(Debug)]
pub(crate) struct Worker {
    engine: Arc<Engine>,
    cell: Arc<LaneCell>,
    thread: ThreadId,
    /// The delivery that is being attempted.
    held: Option<Work>,
    stopped: bool,
}

impl Worker {
    /// The lane has counted it already.
    pub(crate) fn new(engine: Arc<Engine>, cell: Arc<LaneCell>) -> Self {
        engine.shared.slots.take(1);
        let thread = engine.placement.enter();
        Self { engine, cell, thread, held: None, stopped: false }
    }

    /// Where it is to run.
    pub(crate) fn thread(&self) -> ThreadId {
        self.thread
    }

    pub(crate) async fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        engine.attempts_end.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        // Whoever got a slot makes one attempt before it gives way to others.
        let mut had_its_turn = false;
        loop {
            let engine = &self.engine;
            let (next, plan) = {
                let now = engine.clock.now();
                let mut lane = self.cell.lane.lock();
                let next = if engine.store.holds_leases() {
                    lane.next(now, engine.store.version(), had_its_turn && engine.lanes.others_wait())
                } else {
                    lane.doubt_leases(now + LEASES_CHECKED_EVERY)
                };
                self.stopped = matches!(next, Next::Stop);
                (next, lane.plan(now))
            };
            engine.carry_out(&self.cell, plan);
            match next {
                Next::Stop => return,
                Next::LookUp => {
                    // The lane pauses where the store cannot say.
                    let _ = engine.look_up(&self.cell).await;
                }
                Next::Attempt(work, _) if engine.store.is_recalled(work.leased.key) => {
                    self.cell.lane.lock().recalled(engine.clock.now());
                    engine.recorder.release(vec![(Arc::clone(&self.cell), work)]);
                }
                Next::Attempt(work, target) => {
                    self.held = Some(work);
                    self.attempt(&target).await;
                    had_its_turn = true;
                }
            }
        }
    }

    async fn attempt(&mut self, target: &Target) {
        let Some(work) = &self.held else { return };
        let payload = work.leased.message.content.payload.clone();
        let outcome = match (&target.ready, payload) {
            (None, _) => Err(Reason::EndpointDeleted),
            (Some(ready), _) if ready.endpoint.disabled.is_disabled() => Err(Reason::EndpointDisabled),
            (Some(_), None) => Err(Reason::PayloadExpunged),
            (Some(ready), Some(payload)) => Ok((ready, payload)),
        };
        match outcome {
            Ok((ready, payload)) => self.try_it(ready, payload).await,
            Err(reason) => self.end_untried(reason),
        }
    }

    async fn try_it(&mut self, ready: &ReadyEndpoint, payload: Bytes) {
        let Some(work) = &self.held else { return };
        let engine = &self.engine;
        let message = &work.leased.message;
        let schedule = engine.schedule(ready, message).await;
        let scheduled = work.leased.trigger == Trigger::Scheduled;
        let will_retry_after_s = scheduled
            .then(|| schedule.wait_after(work.leased.progress.scheduled_attempts.saturating_add(1), 0.5))
            .flatten()
            .map(|wait| wait.as_millis().div_ceil(1000) as u64);

        let started_at = engine.clock.now();
        let started = Instant::now();
        let number = work.leased.progress.attempts.saturating_add(1);
        let signature = ready.signer.sign(&work.message_id, started_at, &payload);
        let result = match &ready.uri {
            Ok(uri) => {
                let headers = ready.headers.for_attempt(RequestFacts {
                    message_id: &work.message_id,
                    content_type: &message.content.content_type,
                    forwarded: &message.content.headers,
                    ordering_key: message.content.ordering_key.as_deref(),
                    started_at,
                    signature: &signature,
                    attempt_number: number,
                    trigger: work.leased.trigger,
                    will_retry_after_s,
                });
                if number == 1 {
                    engine.metrics.started(started_at.since(message.created_at));
                }
                let request = OutgoingRequest {
                    method: Method::POST,
                    uri: uri.clone(),
                    headers,
                    body: payload,
                    timeout: engine.settings.request_timeout,
                    body_bytes_kept: engine.settings.response_body_bytes_kept,
                };
                engine.transport.send(request).await
            }
            Err(problem) => Err(TransportError { kind: TransportErrorKind::InvalidUrl, message: problem.clone() }),
        };
        let duration = started.elapsed();
        let now = engine.clock.now();
        let (outcome, wish) = match result {
            Ok(answer) => read_answer(&answer, engine.settings.response_body_bytes_kept, now),
            Err(error) => (AttemptOutcome::Error { kind: error.kind, message: error.message }, ReceiverWish::default()),
        };
        let attempt = Attempt {
            number,
            trigger: work.leased.trigger,
            started_at,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
            url: ready.endpoint.url.clone(),
            signature,
            outcome,
        };
        self.conclude(ready, attempt, wish, &schedule, duration, now);
    }

    fn conclude(
        &mut self,
        ready: &ReadyEndpoint,
        attempt: Attempt,
        wish: ReceiverWish,
        schedule: &RetrySchedule,
        duration: Duration,
        now: Timestamp,
    ) {
        let Some(work) = self.held.take() else { return };
        let engine = &self.engine;
        let leased = work.leased;
        let success = attempt.outcome.is_success();
        let jitter = if success { 0.5 } else { unit_interval(&*engine.entropy) };
        let tried = Tried { before: leased.state, progress: leased.progress, trigger: leased.trigger, outcome: &attempt.outcome, wish };
        let transition = advance(tried, schedule, now, jitter);
        let result = if success {
            EndedResult::Success
        } else {
            let timed_out = matches!(attempt.outcome, AttemptOutcome::Error { kind: TransportErrorKind::Timeout, .. });
            EndedResult::Failure { timed_out, slow_down: wish.slow_down, retry_after: wish.retry_after, jitter }
        };
        let ended =
            Ended { message: leased.key.message, started_at: attempt.started_at, trigger: leased.trigger, state: transition.state, result };
        let consequences = self.cell.lane.lock().ended(ended, &engine.settings.health, now);

        engine.metrics.ended(&attempt.outcome, transition.state, leased.trigger, duration, now.since(leased.message.created_at));
        log(&work.message_id, ready, &attempt, transition.state, duration);
        let news = news_of(leased.trigger, transition);
        let story = (news.is_some() || ready.attempts_are_logged).then(|| {
            Box::new(AttemptStory {
                news,
                logged: ready.attempts_are_logged,
                view: Arc::clone(&ready.view),
                message: Arc::clone(&leased.message),
                endpoint: leased.key.endpoint,
                number: attempt.number,
                success,
                response_status_code: attempt.outcome.status_code(),
                attempted_at: attempt.started_at,
                ended_at: now,
            })
        });
        let wants_record = consequences.report_record || matches!(transition.state, DeliveryState::Waiting { .. });
        engine.record(
            Record {
                key: leased.key,
                lease: leased.lease,
                application: leased.application,
                event_type: leased.message.content.event_type.clone(),
                trigger: leased.trigger,
                attempt: Some(attempt),
                transition,
                health: consequences.health,
            },
            Sequel { lane: wants_record.then(|| Arc::clone(&self.cell)), story },
        );
        if wish.disable {
            engine.disable(&self.cell, ready, consequences.failing_since);
        }
        for event in consequences.events {
            let endpoint = endpoint_facts(&ready.view, &ready.endpoint);
            let event = match event {
                HealthEvent::CircuitOpened { until } => OperationalEvent::EndpointCircuitOpened { endpoint, until },
                HealthEvent::CircuitClosed => OperationalEvent::EndpointCircuitClosed { endpoint },
                HealthEvent::DisableWarning { failing_since, disable_at } => {
                    OperationalEvent::EndpointDisableWarning { endpoint, fail_since: failing_since, disable_at }
                }
                HealthEvent::Disable { failing_since } => {
                    engine.disable(&self.cell, ready, Some(failing_since));
                    continue;
                }
            };
            engine.publish(&ready.view.application.org, event);
        }
    }

    /// Ends a delivery for which there is nothing to try. One that somebody asked for by hand leaves the delivery as it is.
    fn end_untried(&mut self, reason: Reason) {
        let Some(work) = self.held.take() else { return };
        let engine = &self.engine;
        let leased = work.leased;
        let state = if leased.trigger == Trigger::Manual && leased.state != DeliveryState::Pending {
            leased.state
        } else if reason == Reason::PayloadExpunged && leased.progress.attempts > 0 {
            DeliveryState::Dead { reason }
        } else {
            DeliveryState::Canceled { reason }
        };
        let now = engine.clock.now();
        let ended = Ended { message: leased.key.message, started_at: now, trigger: leased.trigger, state, result: EndedResult::NotTried };
        let consequences = self.cell.lane.lock().ended(ended, &engine.settings.health, now);
        engine.metrics.ended_untried(state);
        tracing::debug!(target: "hookpost::attempt", message_id = &*work.message_id, endpoint_id = engine.store.public_ids().encode(leased.key.endpoint), reason = reason.code(), "not attempted");
        let wants_record = consequences.report_record || matches!(state, DeliveryState::Waiting { .. });
        engine.record(
            Record {
                key: leased.key,
                lease: leased.lease,
                application: leased.application,
                event_type: leased.message.content.event_type.clone(),
                trigger: leased.trigger,
                attempt: None,
                transition: Transition { state, progress: leased.progress },
                health: consequences.health,
            },
            Sequel { lane: wants_record.then(|| Arc::clone(&self.cell)), story: None },
        );
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let engine = &self.engine;
        if let Some(work) = self.held.take() {
            self.cell.lane.lock().abandoned(engine.clock.now());
            engine.recorder.release(vec![(Arc::clone(&self.cell), work)]);
        }
        if !self.stopped {
            self.cell.lane.lock().worker_lost();
        }
        engine.placement.leave(self.thread);
        engine.shared.slots.give_back(1);
        engine.slot_freed();
    }
}

/// One wide event per attempt. Never the payload, a header or a secret.
fn log(message_id: &str, ready: &ReadyEndpoint, attempt: &Attempt, state: DeliveryState, duration: Duration) {
    let next_at = match state {
        DeliveryState::Waiting { at } => Some(at),
        _ => None,
    };
    let outcome = match state {
        _ if attempt.outcome.is_success() => "delivered",
        DeliveryState::Waiting { .. } => "retry",
        DeliveryState::Dead { reason } | DeliveryState::Canceled { reason } => reason.code(),
        DeliveryState::Pending | DeliveryState::Delivered => "failed",
    };
    let error = match &attempt.outcome {
        AttemptOutcome::Error { message, .. } => Some(message.as_str()),
        AttemptOutcome::Response(_) => None,
    };
    macro_rules! event {
        ($level:ident, $text:literal) => {
            tracing::$level!(
                target: "hookpost::attempt",
                message_id,
                endpoint_id = ready.public_id,
                attempt = attempt.number,
                status = attempt.outcome.status_code(),
                duration_ms = duration.as_secs_f64() * 1000.0,
                outcome,
                next_at = next_at.map(tracing::field::display),
                error,
                $text
            )
        };
    }
    match state {
        _ if attempt.outcome.is_success() => event!(debug, "delivered"),
        DeliveryState::Dead { .. } => event!(warn, "given up"),
        _ => event!(info, "attempt failed"),
    }
}

fn read_answer(answer: &Answer, body_bytes_kept: usize, now: Timestamp) -> (AttemptOutcome, ReceiverWish) {
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let wish = ReceiverWish::of_answer(answer.status_code, text("retry-after"), text("webhook-delivery"), now);
    let headers = keep_headers(&answer.headers);
    let body = keep_body(&answer.body, body_bytes_kept);
    (AttemptOutcome::Response(ResponseRecord { status_code: answer.status_code, headers, body }), wish)
}

fn keep_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut bytes = 0;
    let lines = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    lines
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= limits::RESPONSE_HEADERS_BYTES_KEPT
        })
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .collect()
}

fn keep_body(body: &[u8], bytes_kept: usize) -> ResponseBody {
    let was_cut = body.len() >= bytes_kept;
    let body = &body[..body.len().min(bytes_kept)];
    match std::str::from_utf8(body) {
        Ok(text) => ResponseBody::Text(text.to_owned()),
        // The cut may have gone through a character: up to three bytes of it are left.
        Err(problem) if was_cut && problem.error_len().is_none() => {
            ResponseBody::Text(String::from_utf8_lossy(&body[..problem.valid_up_to()]).into_owned())
        }
        Err(_) => ResponseBody::Base64(base64::engine::general_purpose::STANDARD.encode(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_text_as_text_and_the_rest_as_base64() {
        let text = |text: &str| ResponseBody::Text(text.to_owned());
        assert_eq!(keep_body(b"ok", 10), text("ok"));
        assert_eq!(keep_body("häh".as_bytes(), 2), text("h"), "cut inside a character");
        assert_eq!(keep_body(&[0xff, 0xfe], 10), ResponseBody::Base64("//4=".to_owned()));
        assert_eq!(keep_body(&[b'a', 0xc3], 10), ResponseBody::Base64("YcM=".to_owned()), "not cut, so it was not text");
        assert_eq!(keep_body(b"", 0), text(""));
    }

    #[test]
    fn keeps_headers_up_to_the_bound() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", "1".parse().unwrap());
        headers.insert("x-long", "v".repeat(limits::RESPONSE_HEADERS_BYTES_KEPT).parse().unwrap());
        assert_eq!(keep_headers(&headers), [("x-a".to_owned(), "1".to_owned())]);
    }
}
