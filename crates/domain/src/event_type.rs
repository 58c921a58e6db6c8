//! A named kind of event, with optional JSON Schemas per version.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::id::EventTypeId;
use crate::name::EventTypeName;
use crate::retry::RetrySchedule;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    pub id: EventTypeId,
    pub org: OrgId,
    pub name: EventTypeName,
    pub description: String,
    pub archived: bool,
    pub deprecated: bool,
    /// The JSON object of schemas by version, as it was given.
    pub schemas: Option<String>,
    pub group_name: Option<String>,
    pub feature_flags: Vec<String>,
    /// Goes before the default schedule; an endpoint's own goes before this.
    pub retry_schedule: Option<RetrySchedule>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
