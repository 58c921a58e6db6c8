//! What an operator may choose about delivery.

use std::time::Duration;

use hookpost_domain::RetrySchedule;
use hookpost_domain::health::HealthPolicy;
use hookpost_domain::limits;
use hookpost_domain::request::HeaderSets;
use hookpost_store::history::RetentionPolicy;

#[derive(Debug, Clone)]
pub struct EngineSettings {
    pub retry_schedule: RetrySchedule,
    pub request_timeout: Duration,
    pub header_sets: HeaderSets,
    pub user_agent: String,
    pub health: HealthPolicy,
    /// Attempts in flight per endpoint, unless the endpoint says otherwise.
    pub lane_concurrency: usize,
    /// Attempts in flight in this process.
    pub attempts_in_flight_max: usize,
    pub response_body_bytes_kept: usize,
    pub operational_webhooks: bool,
    pub retention: RetentionPolicy,
    /// Of the messages that pull sources make.
    pub payload_retention: Duration,
    /// How long attempts in flight may take to end after the shutdown has begun.
    pub shutdown_grace: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            retry_schedule: RetrySchedule::default(),
            request_timeout: Duration::from_secs(15),
            header_sets: HeaderSets { webhook: true, svix: true },
            user_agent: concat!("Hookpost/", env!("CARGO_PKG_VERSION")).to_owned(),
            health: HealthPolicy::default(),
            lane_concurrency: limits::LANE_CONCURRENCY_DEFAULT,
            attempts_in_flight_max: 4096,
            response_body_bytes_kept: limits::RESPONSE_BODY_BYTES_KEPT,
            operational_webhooks: true,
            retention: RetentionPolicy { rows: limits::PAYLOAD_RETENTION_DEFAULT, receipts: limits::RECEIPT_RETENTION_DEFAULT },
            payload_retention: limits::PAYLOAD_RETENTION_DEFAULT,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
