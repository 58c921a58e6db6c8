//! Work that outlives the request that asked for it: replays, recovery, expunging. Durable, with progress, and cancellable.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::delivery::{DeliveryState, Progress};
use crate::id::{ApplicationId, EndpointId, MessageId, TaskId};
use crate::name::{Channel, EventTypeName, Tag, Uid};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackgroundTask {
    pub id: TaskId,
    pub org: OrgId,
    pub application: Option<ApplicationId>,
    pub work: TaskWork,
    pub status: TaskStatus,
    pub progress: TaskProgress,
    /// What came out of it, a JSON object: of work that is asked a question.
    #[serde(default)]
    pub result: Option<String>,
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

impl TaskStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed | Self::Canceled => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Finished, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }

    /// Whether a filter for `wanted` shows a task of this status.
    pub fn is_shown_as(self, wanted: Self) -> bool {
        self.as_str() == wanted.as_str()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Everything above this message has been looked at (work goes from new to old) — or below, for work from old to new.
    pub cursor: Option<MessageId>,
    /// The last application that was done, for work that goes from one to the next.
    #[serde(default)]
    pub application: Option<ApplicationId>,
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
    /// How many messages were sent where, for each application (all of the tenant, if none is named).
    ApplicationUsage {
        applications: Option<Vec<ApplicationId>>,
        since: Timestamp,
        until: Timestamp,
    },
    /// Which event types the endpoints of each application ask for.
    EventTypeUsage,
    /// The same message for every application of the tenant.
    Broadcast {
        message: BroadcastMessage,
    },
    /// The event types of the tenant as an OpenAPI document.
    ExportEventTypes,
}

/// A message before it has an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastMessage {
    pub event_type: EventTypeName,
    pub event_id: Option<Uid>,
    pub channels: Vec<Channel>,
    /// JSON, byte for byte.
    pub payload: String,
    pub payload_retention_s: u64,
}

impl TaskWork {
    /// The name that the API gives to this kind of work.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Recover { .. } => "endpoint.recover",
            Self::ReplayMissing { .. } => "endpoint.replay",
            Self::BulkReplay { .. } => "endpoint.bulk-replay",
            Self::ExpungeAllContents { .. } => "application.purge_content",
            Self::ApplicationUsage { .. } => "application.stats",
            Self::EventTypeUsage => "event-type.aggregate",
            Self::Broadcast { .. } => "message.broadcast",
            Self::ExportEventTypes => "sdk.generate",
        }
    }

    pub fn endpoint(&self) -> Option<EndpointId> {
        match self {
            Self::Recover { endpoint, .. } | Self::ReplayMissing { endpoint, .. } | Self::BulkReplay { endpoint, .. } => Some(*endpoint),
            _ => None,
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeliveryStatus {
    Success,
    /// Not tried yet.
    Pending,
    Fail,
    /// Tried, and will be again.
    Sending,
    Canceled,
}

impl DeliveryStatus {
    pub const ALL: [Self; 5] = [Self::Success, Self::Pending, Self::Fail, Self::Sending, Self::Canceled];

    pub fn of(state: DeliveryState, progress: Progress) -> Self {
        match state {
            DeliveryState::Delivered => Self::Success,
            DeliveryState::Dead { .. } => Self::Fail,
            DeliveryState::Canceled { .. } => Self::Canceled,
            DeliveryState::Pending | DeliveryState::Waiting { .. } if progress.attempts == 0 => Self::Pending,
            DeliveryState::Pending | DeliveryState::Waiting { .. } => Self::Sending,
        }
    }

    /// The number that the API gives it.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Pending => 1,
            Self::Fail => 2,
            Self::Sending => 3,
            Self::Canceled => 4,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn a_delivery_has_the_status_that_people_expect() {
        let tried = Progress { attempts: 1, scheduled_attempts: 1 };
        let later = DeliveryState::Waiting { at: Timestamp::ZERO };
        let reason = Reason::CanceledByUser;
        for (state, progress, status) in [
            (DeliveryState::Pending, Progress::default(), DeliveryStatus::Pending),
            (DeliveryState::Pending, tried, DeliveryStatus::Sending),
            (later, Progress::default(), DeliveryStatus::Pending),
            (later, tried, DeliveryStatus::Sending),
            (DeliveryState::Delivered, tried, DeliveryStatus::Success),
            (DeliveryState::Dead { reason }, tried, DeliveryStatus::Fail),
            (DeliveryState::Canceled { reason }, tried, DeliveryStatus::Canceled),
        ] {
            assert_eq!(DeliveryStatus::of(state, progress), status, "{state:?}");
        }
    }

    #[test]
    fn statuses_are_known_by_number_and_word() {
        for (code, status) in (0..).zip(DeliveryStatus::ALL) {
            assert_eq!((status.code(), DeliveryStatus::from_code(code)), (code, Some(status)));
        }
        assert_eq!(DeliveryStatus::from_code(5), None);
        assert_eq!(TaskStatus::parse("failed"), Some(TaskStatus::Failed));
        assert_eq!(TaskStatus::parse("canceled"), None);
        assert!(TaskStatus::Canceled.is_shown_as(TaskStatus::Failed));
    }
}
