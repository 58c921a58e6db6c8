//! Operational webhooks: what Hookpost tells a tenant about its own endpoints and messages. They travel as ordinary messages, to
//! the application of the management tenant whose uid is the tenant's id.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::delivery::{DeliveryState, Transition, Trigger};
use crate::id::{ApplicationId, AttemptId, EndpointId, MessageId, PublicIds, TaskId};
use crate::name::Uid;
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
    },
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

/// Every event type that is sent, with what it says: for the catalogue of the management tenant.
pub const EVENT_TYPES: &[(&str, &str)] = &[
    ("background_task.finished", "A background task has ended."),
    ("endpoint.circuit_closed", "An endpoint that was given a rest answers again."),
    ("endpoint.circuit_opened", "An endpoint failed so often in a row that it is given a rest."),
    ("endpoint.created", "An endpoint was created."),
    ("endpoint.deleted", "An endpoint was deleted."),
    ("endpoint.disable_warning", "An endpoint has failed for half of the time after which it will be disabled."),
    ("endpoint.disabled", "An endpoint was disabled because it failed for too long, or asked for it."),
    ("endpoint.enabled", "An endpoint was enabled."),
    ("endpoint.updated", "An endpoint was changed."),
    ("message.attempt.exhausted", "The last attempt of a message failed."),
    ("message.attempt.failing", "A message has failed several times and will be tried again."),
    ("message.attempt.recovered", "A message was delivered after several failures."),
];

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
    pub fn name(&self) -> &'static str {
        match self {
            Self::EndpointCreated(_) => "endpoint.created",
            Self::EndpointUpdated(_) => "endpoint.updated",
            Self::EndpointDeleted(_) => "endpoint.deleted",
            Self::EndpointEnabled(_) => "endpoint.enabled",
            Self::EndpointDisabled { .. } => "endpoint.disabled",
            Self::EndpointDisableWarning { .. } => "endpoint.disable_warning",
            Self::EndpointCircuitOpened { .. } => "endpoint.circuit_opened",
            Self::EndpointCircuitClosed { .. } => "endpoint.circuit_closed",
            Self::AttemptFailing(_) => "message.attempt.failing",
            Self::AttemptExhausted(_) => "message.attempt.exhausted",
            Self::AttemptRecovered(_) => "message.attempt.recovered",
            Self::BackgroundTaskFinished { .. } => "background_task.finished",
        }
    }

    /// The body as it is sent: `{"type": …, "data": …}`, with public ids.
    pub fn payload(&self, ids: &PublicIds) -> Vec<u8> {
        let nothing = EndpointExtra::default();
        let time = |time: &Timestamp| Some(time.to_string());
        let data = match self {
            Self::EndpointCreated(endpoint)
            | Self::EndpointUpdated(endpoint)
            | Self::EndpointDeleted(endpoint)
            | Self::EndpointEnabled(endpoint)
            | Self::EndpointCircuitClosed { endpoint } => endpoint_data(ids, endpoint, nothing),
            Self::EndpointDisabled { endpoint, fail_since } => {
                endpoint_data(ids, endpoint, EndpointExtra { fail_since: fail_since.as_ref().and_then(time), ..nothing })
            }
            Self::EndpointDisableWarning { endpoint, fail_since, disable_at } => {
                endpoint_data(ids, endpoint, EndpointExtra { fail_since: time(fail_since), disable_at: time(disable_at), ..nothing })
            }
            Self::EndpointCircuitOpened { endpoint, until } => {
                endpoint_data(ids, endpoint, EndpointExtra { until: time(until), ..nothing })
            }
            Self::AttemptFailing(attempt) | Self::AttemptExhausted(attempt) | Self::AttemptRecovered(attempt) => attempt_data(ids, attempt),
            Self::BackgroundTaskFinished { task, kind, status } => to_json(&TaskData { task_id: ids.encode(*task), task: kind, status }),
        };
        to_json(&Payload { r#type: self.name(), data }).get().as_bytes().to_vec()
    }
}

#[derive(Serialize)]
struct Payload {
    r#type: &'static str,
    data: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointData<'a> {
    app_id: String,
    app_uid: Option<&'a Uid>,
    endpoint_id: String,
    endpoint_uid: Option<&'a Uid>,
    #[serde(flatten)]
    extra: EndpointExtra,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct EndpointExtra {
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptData<'a> {
    app_id: String,
    app_uid: Option<&'a Uid>,
    msg_id: String,
    msg_event_id: Option<&'a Uid>,
    endpoint_id: String,
    last_attempt: LastAttempt,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastAttempt {
    id: String,
    response_status_code: u16,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    task_id: String,
    task: &'static str,
    status: &'static str,
}

fn endpoint_data(ids: &PublicIds, facts: &EndpointFacts, extra: EndpointExtra) -> Box<RawValue> {
    to_json(&EndpointData {
        app_id: ids.encode(facts.application),
        app_uid: facts.application_uid.as_ref(),
        endpoint_id: ids.encode(facts.endpoint),
        endpoint_uid: facts.endpoint_uid.as_ref(),
        extra,
    })
}

fn attempt_data(ids: &PublicIds, facts: &AttemptFacts) -> Box<RawValue> {
    to_json(&AttemptData {
        app_id: ids.encode(facts.application),
        app_uid: facts.application_uid.as_ref(),
        msg_id: ids.encode(facts.message),
        msg_event_id: facts.message_event_id.as_ref(),
        endpoint_id: ids.encode(facts.endpoint),
        last_attempt: LastAttempt {
            id: ids.encode(facts.attempt),
            response_status_code: facts.response_status_code,
            timestamp: facts.attempted_at.to_string(),
        },
    })
}

fn to_json(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Progress;
    use crate::id::RowId;

    fn row(seconds: u64) -> RowId {
        RowId::first_at(Timestamp::from_unix_ms(1_767_323_000_000 + seconds * 1000))
    }

    fn endpoint() -> EndpointFacts {
        EndpointFacts {
            application: ApplicationId::from_row(row(1)),
            application_uid: Some(Uid::parse("acme").unwrap()),
            endpoint: EndpointId::from_row(row(2)),
            endpoint_uid: None,
        }
    }

    fn attempt() -> AttemptFacts {
        AttemptFacts {
            application: ApplicationId::from_row(row(1)),
            application_uid: None,
            endpoint: EndpointId::from_row(row(2)),
            message: MessageId::from_row(row(3)),
            message_event_id: Some(Uid::parse("e-1").unwrap()),
            attempt: AttemptId::from_row(row(4)),
            response_status_code: 500,
            attempted_at: Timestamp::from_unix_ms(1_767_323_045_678),
        }
    }

    #[test]
    fn payloads_have_the_published_shape() {
        let ids = PublicIds::new([7; 16]);
        let (at, app, ep) =
            (Timestamp::from_unix_ms(1_767_323_045_678), ids.encode(endpoint().application), ids.encode(endpoint().endpoint));
        let (msg, atmpt) = (ids.encode(attempt().message), ids.encode(attempt().attempt));
        let time = "2026-01-02T03:04:05.678000Z";
        let common = format!(r#""appId":"{app}","appUid":"acme","endpointId":"{ep}","endpointUid":null"#);
        let cases = [
            (OperationalEvent::EndpointCreated(endpoint()), format!(r#"{{"type":"endpoint.created","data":{{{common}}}}}"#)),
            (
                OperationalEvent::EndpointDisabled { endpoint: endpoint(), fail_since: Some(at) },
                format!(r#"{{"type":"endpoint.disabled","data":{{{common},"failSince":"{time}"}}}}"#),
            ),
            (
                OperationalEvent::EndpointDisableWarning { endpoint: endpoint(), fail_since: at, disable_at: at },
                format!(r#"{{"type":"endpoint.disable_warning","data":{{{common},"failSince":"{time}","disableAt":"{time}"}}}}"#),
            ),
            (
                OperationalEvent::EndpointCircuitOpened { endpoint: endpoint(), until: at },
                format!(r#"{{"type":"endpoint.circuit_opened","data":{{{common},"until":"{time}"}}}}"#),
            ),
            (
                OperationalEvent::AttemptExhausted(attempt()),
                format!(
                    r#"{{"type":"message.attempt.exhausted","data":{{"appId":"{app}","appUid":null,"msgId":"{msg}","msgEventId":"e-1","endpointId":"{ep}","lastAttempt":{{"id":"{atmpt}","responseStatusCode":500,"timestamp":"{time}"}}}}}}"#
                ),
            ),
            (
                OperationalEvent::BackgroundTaskFinished { task: TaskId::from_row(row(5)), kind: "endpoint.recover", status: "finished" },
                format!(
                    r#"{{"type":"background_task.finished","data":{{"taskId":"{}","task":"endpoint.recover","status":"finished"}}}}"#,
                    ids.encode(TaskId::from_row(row(5)))
                ),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(String::from_utf8(event.payload(&ids)).unwrap(), expected);
            assert!(EVENT_TYPES.iter().any(|(name, _)| *name == event.name()));
        }
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
