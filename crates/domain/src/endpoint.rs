//! A subscriber: where and how messages are delivered.

use serde::{Deserialize, Serialize};

use crate::application::Metadata;
use crate::id::{ApplicationId, EndpointId};
use crate::name::{Channel, EventTypePattern, Uid};
use crate::retry::RetrySchedule;
use crate::secret::EndpointSecrets;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub application: ApplicationId,
    pub uid: Option<Uid>,
    pub url: String,
    pub description: String,
    /// The number the user gave for their own versioning (v1 of the API); nothing depends on it.
    pub version: u16,
    pub disabled: Disabled,
    /// `None`: all event types.
    pub event_types: Option<Vec<EventTypePattern>>,
    /// `None`: messages with any channels or none.
    pub channels: Option<Vec<Channel>>,
    /// Deliveries a second.
    pub throttle_rate: Option<u16>,
    /// Attempts in flight at a time; `None`: the default of the server.
    pub concurrency: Option<u16>,
    /// Strict order: message k+1 is not attempted before k is done or given up.
    pub ordered: bool,
    pub retry_schedule: Option<RetrySchedule>,
    pub headers: Vec<CustomHeader>,
    pub secrets: EndpointSecrets,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Disabled {
    #[default]
    No,
    ByUser,
    /// By Hookpost: it failed for too long, or answered 410.
    Automatically {
        failing_since: Option<Timestamp>,
    },
}

impl Disabled {
    pub fn is_disabled(&self) -> bool {
        !matches!(self, Self::No)
    }
}

/// A header that every delivery to an endpoint carries. The name keeps the case in which it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomHeader {
    pub name: String,
    pub value: String,
}

impl std::fmt::Debug for CustomHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::id::RowId;
    use crate::secret::SigningSecret;

    /// An endpoint that wants everything.
    pub(crate) fn endpoint(number: u64) -> Endpoint {
        Endpoint {
            id: EndpointId::from_row(RowId::from_raw(number)),
            application: ApplicationId::from_row(RowId::from_raw(1)),
            uid: None,
            url: "https://example.com/hook".into(),
            description: String::new(),
            version: 1,
            disabled: Disabled::No,
            event_types: None,
            channels: None,
            throttle_rate: None,
            concurrency: None,
            ordered: false,
            retry_schedule: None,
            headers: Vec::new(),
            secrets: EndpointSecrets::new(SigningSecret::Hmac256(vec![1; 24])),
            metadata: Metadata::new(),
            created_at: Timestamp::ZERO,
            updated_at: Timestamp::ZERO,
        }
    }
}
