//! Why a message did not arrive at an endpoint, or how it did: one code, one sentence, and what can be done about it. Pure: everything that
//! is known comes in. There is an answer for every combination.

use std::fmt::Write as _;

use hookpost_domain::delivery::{Attempt, AttemptOutcome, DeliveryState, ResponseBody};
use hookpost_domain::endpoint::Disabled;
use hookpost_domain::health::Circuit;
use hookpost_domain::{Delivery, Endpoint, Message, MessageId, PublicIds, Reason, RetrySchedule, Timestamp, routing};

use crate::status::LaneStatus;

/// All that is known of one message and one endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub message: &'a Message,
    /// `None`: it was deleted.
    pub endpoint: Option<&'a Endpoint>,
    /// `None`: the message was not routed there, nor sent there since.
    pub delivery: Option<&'a Delivery>,
    /// The newest one, where there was any.
    pub last_attempt: Option<&'a Attempt>,
    /// The schedule that applies to the delivery.
    pub schedule: &'a RetrySchedule,
    pub lane: LaneStatus,
    pub now: Timestamp,
    pub ids: &'a PublicIds,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// `delivered`, `pending`, `waiting`, `dead`, `canceled` or `not_routed`.
    pub state: &'static str,
    /// `None`: it was delivered.
    pub reason: Option<Reason>,
    /// A sentence or two for people.
    pub explanation: String,
    /// Since when it is so, where that is known.
    pub since: Option<Timestamp>,
    /// When it changes by itself, where that is known.
    pub until: Option<Timestamp>,
    /// What can be done about it.
    pub advice: Option<String>,
    pub attempts: AttemptsSummary,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptsSummary {
    pub made: u32,
    /// Of the schedule; those asked for by hand come on top.
    pub scheduled: u32,
    pub scheduled_max: u32,
    pub last_at: Option<Timestamp>,
    /// 0: there was no answer.
    pub last_status_code: Option<u16>,
}

impl Why {
    /// The reason's code, or `delivered`.
    pub fn code(&self) -> &'static str {
        self.reason.map_or("delivered", Reason::code)
    }
}

pub fn explain(facts: Facts<'_>) -> Why {
    let progress = facts.delivery.map(|delivery| delivery.progress).unwrap_or_default();
    let mut why = match facts.delivery.map(|delivery| delivery.state) {
        None => not_routed(facts),
        Some(DeliveryState::Delivered) => delivered(facts),
        Some(DeliveryState::Dead { reason }) => dead(facts, reason),
        Some(DeliveryState::Canceled { reason }) => canceled(facts, reason),
        Some(DeliveryState::Pending) => unfinished(facts, None),
        Some(DeliveryState::Waiting { at }) => unfinished(facts, Some(at)),
    };
    why.attempts = AttemptsSummary {
        made: progress.attempts,
        scheduled: progress.scheduled_attempts,
        scheduled_max: u32::try_from(facts.schedule.attempts_max()).unwrap_or(u32::MAX),
        last_at: facts.last_attempt.map(|attempt| attempt.started_at),
        last_status_code: facts.last_attempt.map(|attempt| attempt.outcome.status_code()),
    };
    why
}

fn answer(state: &'static str, reason: Option<Reason>, explanation: impl Into<String>) -> Why {
    Why { state, reason, explanation: explanation.into(), since: None, until: None, advice: None, attempts: AttemptsSummary::default() }
}

const RESEND: &str = "Resend the message to this endpoint.";
const REPLAY_MISSING: &str = "Resend the message, or replay all that is missing at this endpoint.";

fn not_routed(facts: Facts<'_>) -> Why {
    let content = &facts.message.content;
    let stored = content.routing.skips.iter().find(|skip| Some(skip.endpoint) == facts.endpoint.map(|endpoint| endpoint.id));
    let Some(endpoint) = facts.endpoint else {
        return answer("not_routed", Some(Reason::EndpointDeleted), "The endpoint was deleted, and the message had not been routed to it.");
    };
    let today = routing::reason_to_skip(endpoint, &content.event_type, &content.channels);
    let changed = endpoint.updated_at > facts.message.created_at;
    let reason = match (stored, today) {
        (Some(skip), _) => skip.reason,
        _ if endpoint.created_at > facts.message.created_at => Reason::EndpointCreatedLater,
        (None, Some(reason)) => reason,
        (None, None) => Reason::NotRouted,
    };
    let mut text = match reason {
        Reason::EventTypeNotSubscribed => match &endpoint.event_types {
            Some(wanted) if today == Some(reason) => {
                let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                format!("The endpoint is not subscribed to `{}`: it takes {}.", content.event_type, some_of(&wanted))
            }
            _ => format!("The endpoint was not subscribed to `{}`.", content.event_type),
        },
        Reason::ChannelNotSubscribed => {
            let wanted: Vec<String> = endpoint.channels.iter().flatten().map(ToString::to_string).collect();
            let has: Vec<String> = content.channels.iter().map(ToString::to_string).collect();
            let has = if has.is_empty() { "none".to_owned() } else { some_of(&has) };
            if today == Some(reason) {
                format!("The endpoint takes only messages with one of its channels ({}); this one has {has}.", some_of(&wanted))
            } else {
                format!("The endpoint took only messages with one of its channels; this one has {has}.")
            }
        }
        Reason::EndpointDisabled => "The endpoint was disabled when the message was accepted.".to_owned(),
        Reason::EndpointCreatedLater => {
            format!("The endpoint was created at {}, after the message was accepted at {}.", endpoint.created_at, facts.message.created_at)
        }
        other => other.sentence().to_owned(),
    };
    if changed && reason != Reason::EndpointCreatedLater {
        let _ = match (stored, today) {
            (_, None) => write!(text, " It was changed since (at {}), and would take the message today.", endpoint.updated_at),
            (None, Some(_)) => {
                write!(text, " That is how it is configured now; it was changed at {}, after the message.", endpoint.updated_at)
            }
            (Some(_), Some(_)) => Ok(()),
        };
    }
    let advice = match (today, reason) {
        (None, _) => REPLAY_MISSING.to_owned(),
        (Some(Reason::EndpointDisabled), _) => "Enable the endpoint, then resend the message or replay all that is missing.".to_owned(),
        (Some(_), Reason::ChannelNotSubscribed) => {
            "Change the endpoint's channels, or send messages with one of them; this one can be resent by hand.".to_owned()
        }
        (Some(_), _) => "Subscribe the endpoint to the event type; this message can be resent by hand.".to_owned(),
    };
    Why { advice: Some(advice), since: Some(facts.message.created_at), ..answer("not_routed", Some(reason), text) }
}

fn delivered(facts: Facts<'_>) -> Why {
    let text = match facts.last_attempt {
        Some(attempt) if attempt.outcome.is_success() => format!(
            "Delivered: attempt {} at {} was answered with {} after {} ms.",
            attempt.number,
            attempt.started_at,
            attempt.outcome.status_code(),
            attempt.duration_ms
        ),
        Some(attempt) => format!("Delivered; sent again by hand at {}, which {}.", attempt.started_at, failure(attempt)),
        None => "Delivered.".to_owned(),
    };
    Why { since: facts.last_attempt.map(|attempt| attempt.started_at), ..answer("delivered", None, text) }
}

fn dead(facts: Facts<'_>, reason: Reason) -> Why {
    let last = facts.last_attempt.map(|attempt| format!("the last one {}", failure(attempt)));
    let made = facts.delivery.map_or(0, |delivery| delivery.progress.attempts);
    let (text, advice) = match reason {
        Reason::RetriesExhausted => (
            match last {
                Some(last) if made == 1 => format!("The only attempt {}. No more are scheduled.", last.trim_start_matches("the last one ")),
                Some(last) => format!("All {made} attempts failed; {last}. No more are scheduled."),
                None => reason.sentence().to_owned(),
            },
            "When the receiver works again, resend the message or recover all that failed at this endpoint.",
        ),
        Reason::ReceiverRefused => (
            match facts.last_attempt {
                Some(attempt) => format!(
                    "Given up after attempt {}, which {}: the answer says that a retry is useless.",
                    attempt.number,
                    failure(attempt)
                ),
                None => reason.sentence().to_owned(),
            },
            "When the receiver wants it after all, resend the message.",
        ),
        Reason::PayloadExpunged => (reason.sentence().to_owned(), "It cannot be sent any more: send a new message."),
        other => (other.sentence().to_owned(), RESEND),
    };
    let advice = with_state_of_endpoint(facts, advice);
    Why { since: facts.last_attempt.map(|attempt| attempt.started_at), advice: Some(advice), ..answer("dead", Some(reason), text) }
}

fn canceled(facts: Facts<'_>, reason: Reason) -> Why {
    let (text, advice) = match (reason, facts.endpoint) {
        (Reason::EndpointDisabled, Some(endpoint)) => (
            match endpoint.disabled {
                Disabled::No => "The endpoint was disabled when its turn came; it is enabled by now.".to_owned(),
                Disabled::ByUser => "The endpoint was disabled when its turn came, and still is.".to_owned(),
                Disabled::Automatically { failing_since: Some(since) } => {
                    format!("The endpoint had been failing since {since} and was disabled when its turn came.")
                }
                Disabled::Automatically { failing_since: None } => "The receiver asked to be disabled, before its turn came.".to_owned(),
            },
            "Recover what failed at this endpoint: that sends this message too.",
        ),
        (Reason::EndpointDeleted, _) | (_, None) => {
            ("The endpoint was deleted before its turn came.".to_owned(), "Create an endpoint and resend.")
        }
        (Reason::PayloadExpunged, _) => (reason.sentence().to_owned(), "It cannot be sent any more: send a new message."),
        (Reason::CanceledByUser, _) => ("It was canceled before it was delivered.".to_owned(), RESEND),
        (Reason::NotRouted, _) => {
            ("It was not routed to this endpoint when it was accepted; it is about to be sent there by hand.".to_owned(), RESEND)
        }
        (other, _) => (other.sentence().to_owned(), RESEND),
    };
    let reason = if facts.endpoint.is_none() { Reason::EndpointDeleted } else { reason };
    Why { advice: Some(with_state_of_endpoint(facts, advice)), ..answer("canceled", Some(reason), text) }
}

fn with_state_of_endpoint(facts: Facts<'_>, advice: &str) -> String {
    match facts.endpoint {
        None => "The endpoint was deleted: create one and send a new message.".to_owned(),
        Some(endpoint) if endpoint.disabled.is_disabled() => format!("The endpoint is disabled: enable it first. {advice}"),
        Some(_) => advice.to_owned(),
    }
}

/// Pending, or waiting for `at`.
fn unfinished(facts: Facts<'_>, at: Option<Timestamp>) -> Why {
    let state = if at.is_some() { "waiting" } else { "pending" };
    let attempts = facts.delivery.map_or(0, |delivery| delivery.progress.scheduled_attempts);
    let Some(endpoint) = facts.endpoint else {
        let text = "The endpoint was deleted: the delivery ends without another attempt.";
        return Why { advice: Some(with_state_of_endpoint(facts, "")), ..answer(state, Some(Reason::EndpointDeleted), text) };
    };
    if endpoint.disabled.is_disabled() {
        let text = "The endpoint is disabled: the delivery ends without another attempt when its turn comes.";
        let advice = "Enable the endpoint.".to_owned();
        return Why { advice: Some(advice), until: at, ..answer(state, Some(Reason::EndpointDisabled), text) };
    }
    let so_far = match facts.last_attempt.filter(|_| attempts > 0) {
        Some(last) => format!("Attempt {attempts} of {} {}", facts.schedule.attempts_max(), failure(last)),
        None => "It was not attempted yet".to_owned(),
    };
    let due = at.or(facts.message.content.deliver_at).filter(|due| *due > facts.now);
    if let Some(due) = due {
        let since = facts.last_attempt.map(|attempt| attempt.started_at);
        return if attempts > 0 {
            let advice = "Resend it to try at once; the schedule stays as it is.".to_owned();
            Why {
                since,
                until: Some(due),
                advice: Some(advice),
                ..answer(state, Some(Reason::RetryScheduled), format!("{so_far}; the next one is at {due}."))
            }
        } else {
            Why { until: Some(due), ..answer(state, Some(Reason::NotYetDue), format!("The message is to be delivered at {due}.")) }
        };
    }
    held_up(facts, endpoint, state, &so_far)
}

/// Due, and not under way: the lane knows.
fn held_up(facts: Facts<'_>, endpoint: &Endpoint, state: &'static str, so_far: &str) -> Why {
    let lane = facts.lane;
    if let Some(until) = circuit_open(lane.health.circuit, facts.now) {
        let text = format!(
            "{so_far}. The endpoint failed {} times in a row{} and is given a rest until {until}; then one delivery is tried.",
            lane.health.consecutive_failures,
            lane.health.failing_since.map(|since| format!(" since {since}")).unwrap_or_default(),
        );
        let advice = "Mend the receiver; deliveries go on by themselves.".to_owned();
        return Why {
            since: lane.health.failing_since,
            until: Some(until),
            advice: Some(advice),
            ..answer(state, Some(Reason::CircuitOpen), text)
        };
    }
    if matches!(lane.health.circuit, Circuit::HalfOpen { .. }) {
        let text = format!(
            "{so_far}. The endpoint failed so often in a row that only one delivery is tried at a time, and that one is under way."
        );
        return Why { since: lane.health.failing_since, ..answer(state, Some(Reason::CircuitOpen), text) };
    }
    if let Some(until) = lane.throttled_until {
        let text = match endpoint.throttle_rate {
            Some(rate) => format!("{so_far}. The endpoint is throttled to {rate} deliveries a second; the next one goes at {until}."),
            None => format!(
                "{so_far}. The endpoint is served more slowly until {until}: it asked for it (429, 502, 503 or 504), or its application is throttled."
            ),
        };
        return Why { until: Some(until), ..answer(state, Some(Reason::Throttled), text) };
    }
    if let Some(older) = lane.held_by.filter(|older| *older < facts.message.id) {
        let text = format!("{so_far}. The endpoint gets its messages in order, and {} before it is not done.", named(facts.ids, older));
        let advice = "See why that one does not arrive, or cancel it.".to_owned();
        return Why { advice: Some(advice), ..answer(state, Some(Reason::WaitingForOrder), text) };
    }
    let busy = match (lane.in_flight, lane.in_memory, lane.backlog) {
        (0, 0, false) => "it is about to be attempted".to_owned(),
        (in_flight, in_memory, backlog) => format!(
            "it waits for its turn or is under way: {in_flight} of {} attempts are in flight, {in_memory}{} wait",
            lane.concurrency,
            if backlog { " and more on disk" } else { "" }
        ),
    };
    answer(state, Some(Reason::Queued), format!("{so_far}; {busy}."))
}

fn circuit_open(circuit: Circuit, now: Timestamp) -> Option<Timestamp> {
    match circuit {
        Circuit::Open { until, .. } if until > now => Some(until),
        _ => None,
    }
}

/// As the end of a sentence: `failed with status 503 ("…")`.
fn failure(attempt: &Attempt) -> String {
    match &attempt.outcome {
        outcome if outcome.is_success() => format!("was answered with {}", outcome.status_code()),
        AttemptOutcome::Error { message, .. } => format!("failed: {message}"),
        AttemptOutcome::Response(response) => match &response.body {
            ResponseBody::Text(text) if !text.trim().is_empty() => {
                const CHARS_MAX: usize = 120;
                let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let short: String = line.chars().take(CHARS_MAX).collect();
                let more = if short.len() < line.len() { "…" } else { "" };
                format!("failed with status {} (\"{short}{more}\")", response.status_code)
            }
            _ => format!("failed with status {}", response.status_code),
        },
    }
}

fn named(ids: &PublicIds, message: MessageId) -> String {
    ids.encode(message)
}

/// The first three, and how many more there are.
fn some_of(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(3) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
