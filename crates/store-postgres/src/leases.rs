//! What this node holds. A lease is implied (its delivery has no row: the message was accepted by this node and never left its hands) or explicit (a row of
//! `queue` names it). In memory it is what a record must show; in the database what other nodes see.

use std::collections::BTreeMap;

use hookpost_domain::{DeliveryKey, Timestamp, Trigger};
use hookpost_store::LeaseId;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) trigger: Trigger,
    /// No row yet.
    pub(crate) implied: bool,
    /// When its message was accepted.
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// In the order of the messages: the first implied one is where this node's `implied_from` stands.
    pub(crate) held: BTreeMap<DeliveryKey, Lease>,
    pub(crate) last: u64,
}
