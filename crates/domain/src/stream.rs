//! A stream: events in their order, for sinks that take all of them.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::application::Metadata;
use crate::id::{ApplicationId, StreamEventTypeId, StreamId};
use crate::name::{EventTypeName, Uid};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    pub id: StreamId,
    pub org: OrgId,
    pub uid: Option<Uid>,
    pub name: String,
    /// Its events are the messages of an application of the management tenant that nobody sees.
    pub log: ApplicationId,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A named kind of event of streams; those of applications are another catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEventType {
    pub id: StreamEventTypeId,
    pub org: OrgId,
    pub name: EventTypeName,
    pub description: Option<String>,
    pub feature_flags: Vec<String>,
    pub archived: bool,
    pub deprecated: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
