//! Work that outlives the request that asked for it: replays, recovery, expunging. Durable, with progress, and cancellable.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::id::{ApplicationId, EndpointId, MessageId, TaskId};
use crate::name::{Channel, EventTypeName, Tag};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackgroundTask {
    pub id: TaskId,
    pub org: OrgId,
    pub application: Option<ApplicationId>,
    pub work: TaskWork,
    pub status: TaskStatus,
    pub progress: TaskProgress,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStatus {
    Running,
    Finished,
    Failed,
    /// Shown as failed where clients know only three.
    Canceled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Everything above this message has been looked at (work goes from new to old) — or below, for work from old to new.
    pub cursor: Option<MessageId>,
    /// How many times the whole window was gone through already (recovery looks for failed deliveries first, then for canceled ones).
    pub passes: u8,
    pub looked_at: u64,
    /// Deliveries that were sent again.
    pub affected: u64,
    /// What `looked_at` will be at the end, as counted before the start.
    pub estimate: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskWork {
    /// Send again what failed in the window.
    Recover {
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    },
    /// Send what this endpoint never got.
    ReplayMissing {
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    },
    /// Send again everything that matches.
    BulkReplay {
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
        filter: ReplayFilter,
    },
    ExpungeAllContents {
        application: ApplicationId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplayFilter {
    pub event_types: Option<Vec<EventTypeName>>,
    pub channel: Option<Channel>,
    pub tag: Option<Tag>,
    pub status: Option<DeliveryStatus>,
    pub status_code_class: Option<u16>,
}

/// The states of a delivery as lists and filters of the API know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    Success,
    Pending,
    Fail,
    Sending,
    Canceled,
}
