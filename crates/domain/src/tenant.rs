//! What belongs to a tenant as a whole: how much it may use, and how its portal looks.

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::time::Timestamp;

/// How much a tenant may use; `None`: as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantLimits {
    /// Each node counts for itself.
    pub messages_per_s: Option<u32>,
    /// Of all its applications together.
    pub endpoints: Option<u32>,
    pub payload_bytes: Option<u32>,
    /// For how long payloads are kept.
    pub stored_days: Option<u16>,
}

impl TenantLimits {
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The settings of an environment, as they were given: most concern the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSettings {
    pub org: OrgId,
    /// A JSON object.
    pub settings: String,
    /// All of the tenant's own, in the place of those of the server.
    pub limits: Option<TenantLimits>,
    /// Messages that do not fit the schema of their event type are refused.
    #[serde(default)]
    pub validates_messages: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
