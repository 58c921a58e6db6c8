//! What a lane is doing right now: the part of "why did it not arrive?" that is not on disk.

use hookpost_domain::health::Health;
use hookpost_domain::{MessageId, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneStatus {
    pub health: Health,
    pub in_flight: usize,
    pub in_memory: usize,
    /// More waits on disk.
    pub backlog: bool,
    /// By the endpoint's own rate limit, or because it answered 429 or 5xx.
    pub throttled_until: Option<Timestamp>,
    /// Attempts that may be in flight now.
    pub concurrency: usize,
    /// The endpoint wants strict order, and this message waits for its retry: nothing younger is attempted.
    pub held_by: Option<MessageId>,
}
