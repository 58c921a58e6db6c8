//! An integration: a third party that may act for one application, with a key of its own.

use serde::{Deserialize, Serialize};

use crate::access::{OrgId, ShownKey};
use crate::id::{ApplicationId, IntegrationId};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    pub id: IntegrationId,
    pub org: OrgId,
    pub application: ApplicationId,
    pub name: String,
    pub feature_flags: Vec<String>,
    /// The only key that acts for it.
    pub key: ShownKey,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
