//! Operational webhooks: what Hookpost tells a tenant about its own endpoints and messages. They travel as ordinary messages, to
//! the application of the management tenant whose uid is the tenant's id.

use serde::Serialize;

use crate::id::{ApplicationId, AttemptId, EndpointId, MessageId};
use crate::name::Uid;
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
        task: crate::id::TaskId,
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

/// The body as it is sent; ids are already public.
#[derive(Debug, Serialize)]
pub struct OperationalPayload<D> {
    pub r#type: &'static str,
    pub data: D,
}
