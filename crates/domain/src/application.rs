//! One customer of a tenant: owns endpoints and messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::OrgId;
use crate::id::ApplicationId;
use crate::limits;
use crate::name::{Invalid, Uid};
use crate::time::Timestamp;

pub type Metadata = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    pub id: ApplicationId,
    pub org: OrgId,
    pub uid: Option<Uid>,
    pub name: String,
    /// Messages a second that all endpoints together may get.
    pub throttle_rate: Option<u16>,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub fn check_metadata(metadata: &Metadata) -> Result<(), Invalid> {
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > limits::METADATA_BYTES_MAX {
        return Err(Invalid::new(format!("must not be larger than {} bytes in total", limits::METADATA_BYTES_MAX)));
    }
    Ok(())
}
