//! Operational webhooks: what Hookpost tells a tenant about its own endpoints and messages. They travel as ordinary messages, to
//! the application of the management tenant whose uid is the tenant's id.

mod payload;

use crate::access::OrgId;
use crate::delivery::{DeliveryState, Transition, Trigger};
use crate::endpoint::Endpoint;
use crate::id::{ApplicationId, AttemptId, EndpointId, MessageId, TaskId};
use crate::name::{EventTypeName, EventTypePattern, Uid};
use crate::reason::Reason;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationalEvent {
    EndpointCreated(EndpointFacts),
    EndpointUpdated(EndpointFacts),
    EndpointDeleted(EndpointFacts),
    EndpointEnabled(EndpointFacts),
    EndpointDisabled {
        endpoint: EndpointFacts,
        fail_since: Option<Timestamp>,
        trigger: DisabledTrigger,
    },
    /// Half of the time after which the endpoint will be disabled has passed.
    EndpointDisableWarning {
        endpoint: EndpointFacts,
        fail_since: Timestamp,
        disable_at: Timestamp,
    },
    EndpointCircuitOpened {
        endpoint: EndpointFacts,
        until: Timestamp,
    },
    EndpointCircuitClosed {
        endpoint: EndpointFacts,
    },
    AttemptFailing(AttemptFacts),
    AttemptExhausted(AttemptFacts),
    AttemptRecovered(AttemptFacts),
    BackgroundTaskFinished {
        task: TaskId,
        kind: &'static str,
        status: &'static str,
        /// A JSON object.
        data: String,
    },
    /// Many in one, and only for who asks for it: see [`wants_attempt_log`].
    AttemptLog(Vec<AttemptLogEntry>),
}

/// Who disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledTrigger {
    Manual,
    Automatic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFacts {
    pub application: ApplicationId,
    pub application_uid: Option<Uid>,
    pub endpoint: EndpointId,
    pub endpoint_uid: Option<Uid>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFacts {
    pub application: ApplicationId,
    pub application_uid: Option<Uid>,
    pub endpoint: EndpointId,
    pub message: MessageId,
    pub message_event_id: Option<Uid>,
    pub attempt: AttemptId,
    pub response_status_code: u16,
    pub attempted_at: Timestamp,
}

/// One attempt, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLogEntry {
    pub org: OrgId,
    pub application: ApplicationId,
    pub application_uid: Option<Uid>,
    pub endpoint: EndpointId,
    pub message: MessageId,
    pub message_event_id: Option<Uid>,
    pub message_created_at: Timestamp,
    pub event_type: EventTypeName,
    pub attempt: AttemptId,
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub response_status_code: u16,
    pub success: bool,
}

/// Every event type that is sent, with what it says: for the catalogue of the management tenant.
pub const EVENT_TYPES: &[(&str, &str)] = &[
    ("background_task.finished", "A background task has ended."),
    ("endpoint.circuit_closed", "An endpoint that was given a rest answers again."),
    ("endpoint.circuit_opened", "An endpoint failed so often in a row that it is given a rest."),
    ("endpoint.created", "An endpoint was created."),
    ("endpoint.deleted", "An endpoint was deleted."),
    ("endpoint.disable_warning", "An endpoint has failed for half of the time after which it will be disabled."),
    ("endpoint.disabled", "An endpoint was disabled: by hand, because it failed for too long, or because it asked for it."),
    ("endpoint.enabled", "An endpoint was enabled."),
    ("endpoint.updated", "An endpoint was changed."),
    ("ingest.endpoint.circuit_closed", "An endpoint of a source that was given a rest answers again."),
    ("ingest.endpoint.circuit_opened", "An endpoint of a source failed so often in a row that it is given a rest."),
    ("ingest.endpoint.created", "An endpoint of a source was created."),
    ("ingest.endpoint.deleted", "An endpoint of a source was deleted."),
    ("ingest.endpoint.disable_warning", "An endpoint of a source has failed for half of the time after which it will be disabled."),
    (
        "ingest.endpoint.disabled",
        "An endpoint of a source was disabled: by hand, because it failed for too long, or because it asked for it.",
    ),
    ("ingest.endpoint.enabled", "An endpoint of a source was enabled."),
    ("ingest.endpoint.updated", "An endpoint of a source was changed."),
    ("ingest.message.attempt.exhausted", "The last attempt of a message that came in through a source failed."),
    ("ingest.message.attempt.failing", "A message that came in through a source has failed several times and will be tried again."),
    ("ingest.message.attempt.recovered", "A message that came in through a source was delivered after several failures."),
    ("message.attempt.exhausted", "The last attempt of a message failed."),
    ("message.attempt.failing", "A message has failed several times and will be tried again."),
    (ATTEMPT_LOG, "Attempts that were made, in batches; for endpoints only that name this event type."),
    ("message.attempt.recovered", "A message was delivered after several failures."),
];

pub const ATTEMPT_LOG: &str = "message.attempt.log";

/// Whether an endpoint names the log of attempts: it costs a message for every hundred attempts, so it is nothing that an endpoint for everything gets.
pub fn wants_attempt_log(endpoint: &Endpoint) -> bool {
    let names_it = |pattern: &EventTypePattern| pattern.as_str() == ATTEMPT_LOG;
    !endpoint.disabled.is_disabled() && endpoint.event_types.iter().flatten().any(names_it)
}

/// Failed attempts after which a tenant hears that a message is failing.
pub const FAILING_AFTER_ATTEMPTS: u32 = 4;

/// What a tenant is told about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptNews {
    Failing,
    Exhausted,
    Recovered,
}

/// Most attempts are no news.
pub fn news_of(trigger: Trigger, transition: Transition) -> Option<AttemptNews> {
    match transition.state {
        DeliveryState::Delivered if transition.progress.attempts > FAILING_AFTER_ATTEMPTS => Some(AttemptNews::Recovered),
        _ if trigger == Trigger::Manual => None,
        DeliveryState::Dead { reason: Reason::RetriesExhausted | Reason::ReceiverRefused } => Some(AttemptNews::Exhausted),
        DeliveryState::Waiting { .. } if transition.progress.scheduled_attempts == FAILING_AFTER_ATTEMPTS => Some(AttemptNews::Failing),
        _ => None,
    }
}

impl OperationalEvent {
    /// `of_source`: its application was made for a source.
    pub fn name(&self, of_source: bool) -> &'static str {
        let (name, of_a_source) = match self {
            Self::EndpointCreated(_) => ("endpoint.created", "ingest.endpoint.created"),
            Self::EndpointUpdated(_) => ("endpoint.updated", "ingest.endpoint.updated"),
            Self::EndpointDeleted(_) => ("endpoint.deleted", "ingest.endpoint.deleted"),
            Self::EndpointEnabled(_) => ("endpoint.enabled", "ingest.endpoint.enabled"),
            Self::EndpointDisabled { .. } => ("endpoint.disabled", "ingest.endpoint.disabled"),
            Self::EndpointDisableWarning { .. } => ("endpoint.disable_warning", "ingest.endpoint.disable_warning"),
            Self::EndpointCircuitOpened { .. } => ("endpoint.circuit_opened", "ingest.endpoint.circuit_opened"),
            Self::EndpointCircuitClosed { .. } => ("endpoint.circuit_closed", "ingest.endpoint.circuit_closed"),
            Self::AttemptFailing(_) => ("message.attempt.failing", "ingest.message.attempt.failing"),
            Self::AttemptExhausted(_) => ("message.attempt.exhausted", "ingest.message.attempt.exhausted"),
            Self::AttemptRecovered(_) => ("message.attempt.recovered", "ingest.message.attempt.recovered"),
            Self::BackgroundTaskFinished { .. } => ("background_task.finished", "background_task.finished"),
            Self::AttemptLog(_) => (ATTEMPT_LOG, ATTEMPT_LOG),
        };
        if of_source { of_a_source } else { name }
    }

    /// The application that it is about, where it could be one that was made for a source.
    pub fn application(&self) -> Option<ApplicationId> {
        match self {
            Self::EndpointCreated(endpoint)
            | Self::EndpointUpdated(endpoint)
            | Self::EndpointDeleted(endpoint)
            | Self::EndpointEnabled(endpoint)
            | Self::EndpointDisabled { endpoint, .. }
            | Self::EndpointDisableWarning { endpoint, .. }
            | Self::EndpointCircuitOpened { endpoint, .. }
            | Self::EndpointCircuitClosed { endpoint } => Some(endpoint.application),
            Self::AttemptFailing(attempt) | Self::AttemptExhausted(attempt) | Self::AttemptRecovered(attempt) => Some(attempt.application),
            Self::BackgroundTaskFinished { .. } | Self::AttemptLog(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Progress;
    use crate::endpoint::Disabled;
    use crate::endpoint::tests::endpoint;

    #[test]
    fn only_who_names_the_log_of_attempts_gets_it() {
        let wants = |patterns: Option<&[&str]>, disabled: Disabled| {
            let event_types = patterns.map(|all| all.iter().map(|one| EventTypePattern::parse(one).unwrap()).collect());
            wants_attempt_log(&Endpoint { event_types, disabled, ..endpoint(1) })
        };
        assert!(wants(Some(&["endpoint.created", ATTEMPT_LOG]), Disabled::No));
        assert!(!wants(None, Disabled::No) && !wants(Some(&["message.attempt.*"]), Disabled::No));
        assert!(!wants(Some(&[ATTEMPT_LOG]), Disabled::ByUser));
    }

    #[test]
    fn tells_what_is_news() {
        let news = |state, attempts, scheduled_attempts, trigger| {
            news_of(trigger, Transition { state, progress: Progress { attempts, scheduled_attempts } })
        };
        let waiting = DeliveryState::Waiting { at: Timestamp::ZERO };
        let dead = |reason| DeliveryState::Dead { reason };
        use Trigger::{Manual, Scheduled};
        assert_eq!(news(waiting, 3, 3, Scheduled), None);
        assert_eq!(news(waiting, 4, 4, Scheduled), Some(AttemptNews::Failing));
        assert_eq!(news(waiting, 5, 5, Scheduled), None);
        assert_eq!(news(dead(Reason::RetriesExhausted), 4, 4, Scheduled), Some(AttemptNews::Exhausted));
        assert_eq!(news(dead(Reason::ReceiverRefused), 1, 1, Scheduled), Some(AttemptNews::Exhausted));
        assert_eq!(news(dead(Reason::RetriesExhausted), 9, 8, Manual), None);
        assert_eq!(news(DeliveryState::Delivered, 4, 4, Scheduled), None);
        assert_eq!(news(DeliveryState::Delivered, 5, 4, Manual), Some(AttemptNews::Recovered));
    }
}
