//! The bodies of operational webhooks: `{"type": …, "data": …}`, with public ids.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{AttemptFacts, AttemptLogEntry, DisabledTrigger, EndpointFacts, OperationalEvent};
use crate::id::{ApplicationId, PublicIds, SourceId};
use crate::name::Uid;
use crate::task::DeliveryStatus;
use crate::time::Timestamp;

impl OperationalEvent {
    /// As it is sent; `source`: the one that its application was made for.
    pub fn payload(&self, ids: &PublicIds, source: Option<SourceId>) -> Vec<u8> {
        let nothing = EndpointExtra::default();
        let time = |time: &Timestamp| Some(time.to_string());
        let endpoint_data = |endpoint: &EndpointFacts, extra: EndpointExtra| endpoint_data(ids, source, endpoint, extra);
        let data = match self {
            Self::EndpointCreated(endpoint)
            | Self::EndpointUpdated(endpoint)
            | Self::EndpointDeleted(endpoint)
            | Self::EndpointEnabled(endpoint)
            | Self::EndpointCircuitClosed { endpoint } => endpoint_data(endpoint, nothing),
            Self::EndpointDisabled { endpoint, fail_since, trigger } => {
                let trigger = match trigger {
                    DisabledTrigger::Manual => "manual",
                    DisabledTrigger::Automatic => "automatic",
                };
                endpoint_data(endpoint, EndpointExtra { fail_since: fail_since.as_ref().and_then(time), trigger: Some(trigger), ..nothing })
            }
            Self::EndpointDisableWarning { endpoint, fail_since, disable_at } => {
                endpoint_data(endpoint, EndpointExtra { fail_since: time(fail_since), disable_at: time(disable_at), ..nothing })
            }
            Self::EndpointCircuitOpened { endpoint, until } => endpoint_data(endpoint, EndpointExtra { until: time(until), ..nothing }),
            Self::AttemptFailing(attempt) | Self::AttemptExhausted(attempt) | Self::AttemptRecovered(attempt) => {
                attempt_data(ids, source, attempt)
            }
            Self::BackgroundTaskFinished { task, kind, status, data } => {
                let data = RawValue::from_string(data.clone()).unwrap_or_else(|_| to_json(&serde_json::Map::new()));
                to_json(&TaskData { task_id: ids.encode(*task), task: kind, status, data })
            }
            Self::AttemptLog(entries) => to_json(&entries.iter().map(|entry| log_data(ids, entry)).collect::<Vec<_>>()),
        };
        to_json(&Payload { r#type: self.name(source.is_some()), data }).get().as_bytes().to_vec()
    }
}

#[derive(Serialize)]
struct Payload {
    r#type: &'static str,
    data: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", untagged)]
enum Whose<'a> {
    Source { source_id: String },
    Application { app_id: String, app_uid: Option<&'a Uid> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointData<'a> {
    #[serde(flatten)]
    whose: Whose<'a>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptData<'a> {
    #[serde(flatten)]
    whose: Whose<'a>,
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
    data: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogData<'a> {
    org_id: &'a str,
    app_id: String,
    app_uid: Option<&'a Uid>,
    endpoint_id: String,
    msg_id: String,
    msg_event_id: Option<&'a Uid>,
    msg_created: String,
    attempt_start: String,
    attempt_end: String,
    attempt_id: String,
    response_status_code: u16,
    attempt_count: u32,
    status: u8,
    event_type: &'a str,
}

fn whose<'a>(ids: &PublicIds, source: Option<SourceId>, application: ApplicationId, uid: Option<&'a Uid>) -> Whose<'a> {
    match source {
        Some(source) => Whose::Source { source_id: ids.encode(source) },
        None => Whose::Application { app_id: ids.encode(application), app_uid: uid },
    }
}

fn endpoint_data(ids: &PublicIds, source: Option<SourceId>, facts: &EndpointFacts, extra: EndpointExtra) -> Box<RawValue> {
    to_json(&EndpointData {
        whose: whose(ids, source, facts.application, facts.application_uid.as_ref()),
        endpoint_id: ids.encode(facts.endpoint),
        endpoint_uid: facts.endpoint_uid.as_ref(),
        extra,
    })
}

fn attempt_data(ids: &PublicIds, source: Option<SourceId>, facts: &AttemptFacts) -> Box<RawValue> {
    to_json(&AttemptData {
        whose: whose(ids, source, facts.application, facts.application_uid.as_ref()),
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

fn log_data<'a>(ids: &PublicIds, entry: &'a AttemptLogEntry) -> LogData<'a> {
    let status = if entry.success { DeliveryStatus::Success } else { DeliveryStatus::Fail };
    LogData {
        org_id: entry.org.as_str(),
        app_id: ids.encode(entry.application),
        app_uid: entry.application_uid.as_ref(),
        endpoint_id: ids.encode(entry.endpoint),
        msg_id: ids.encode(entry.message),
        msg_event_id: entry.message_event_id.as_ref(),
        msg_created: entry.message_created_at.to_string(),
        attempt_start: entry.started_at.to_string(),
        attempt_end: entry.ended_at.to_string(),
        attempt_id: ids.encode(entry.attempt),
        response_status_code: entry.response_status_code,
        attempt_count: entry.number,
        status: status.code(),
        event_type: entry.event_type.as_str(),
    }
}

fn to_json(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::OrgId;
    use crate::id::{AttemptId, EndpointId, MessageId, RowId, TaskId};
    use crate::name::EventTypeName;
    use crate::operational::EVENT_TYPES;

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
                OperationalEvent::EndpointDisabled { endpoint: endpoint(), fail_since: Some(at), trigger: DisabledTrigger::Automatic },
                format!(r#"{{"type":"endpoint.disabled","data":{{{common},"failSince":"{time}","trigger":"automatic"}}}}"#),
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
                OperationalEvent::BackgroundTaskFinished {
                    task: TaskId::from_row(row(5)),
                    kind: "endpoint.recover",
                    status: "finished",
                    data: r#"{"messages_sent":7}"#.into(),
                },
                format!(
                    r#"{{"type":"background_task.finished","data":{{"taskId":"{}","task":"endpoint.recover","status":"finished","data":{{"messages_sent":7}}}}}}"#,
                    ids.encode(TaskId::from_row(row(5)))
                ),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(String::from_utf8(event.payload(&ids, None)).unwrap(), expected);
            assert!(EVENT_TYPES.iter().any(|(name, _)| *name == event.name(false)));
        }
    }

    #[test]
    fn what_belongs_to_a_source_is_told_of_the_source() {
        let ids = PublicIds::new([7; 16]);
        let source = SourceId::from_row(row(9));
        let told = |event: OperationalEvent| {
            assert!(EVENT_TYPES.iter().any(|(name, _)| *name == event.name(true)));
            String::from_utf8(event.payload(&ids, Some(source))).unwrap()
        };
        let (src, ep) = (ids.encode(source), ids.encode(endpoint().endpoint));
        let disabled = OperationalEvent::EndpointDisabled { endpoint: endpoint(), fail_since: None, trigger: DisabledTrigger::Manual };
        assert_eq!(
            told(disabled),
            format!(
                r#"{{"type":"ingest.endpoint.disabled","data":{{"sourceId":"{src}","endpointId":"{ep}","endpointUid":null,"trigger":"manual"}}}}"#
            )
        );
        let failing = told(OperationalEvent::AttemptFailing(attempt()));
        assert!(
            failing.starts_with(&format!(r#"{{"type":"ingest.message.attempt.failing","data":{{"sourceId":"{src}","msgId":"#)),
            "{failing}"
        );
        assert!(!failing.contains("appId"));
    }

    #[test]
    fn the_log_of_attempts_is_a_list() {
        let ids = PublicIds::new([7; 16]);
        let (org, at) = (OrgId::management(), Timestamp::from_unix_ms(1_767_323_045_678));
        let entry = AttemptLogEntry {
            org: org.clone(),
            application: attempt().application,
            application_uid: None,
            endpoint: attempt().endpoint,
            message: attempt().message,
            message_event_id: None,
            message_created_at: at,
            event_type: EventTypeName::parse("order.paid").unwrap(),
            attempt: attempt().attempt,
            number: 3,
            started_at: at,
            ended_at: at,
            response_status_code: 500,
            success: false,
        };
        let told = String::from_utf8(OperationalEvent::AttemptLog(vec![entry]).payload(&ids, None)).unwrap();
        let time = "2026-01-02T03:04:05.678000Z";
        let expected = format!(
            r#"{{"type":"message.attempt.log","data":[{{"orgId":"{org}","appId":"{}","appUid":null,"endpointId":"{}","msgId":"{}","msgEventId":null,"msgCreated":"{time}","attemptStart":"{time}","attemptEnd":"{time}","attemptId":"{}","responseStatusCode":500,"attemptCount":3,"status":2,"eventType":"order.paid"}}]}}"#,
            ids.encode(attempt().application),
            ids.encode(attempt().endpoint),
            ids.encode(attempt().message),
            ids.encode(attempt().attempt),
        );
        assert_eq!(told, expected);
    }
}
