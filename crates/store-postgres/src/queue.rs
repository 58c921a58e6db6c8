//! The engine's side.

use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::health::Health;
use hookpost_domain::{AttemptId, DeliveryKey, DeliveryState, EndpointId, Progress, Reason, Timestamp, Trigger};
use hookpost_store::queue::{Backlog, CancelFilter, Canceled, ClaimRequest, LaneState};
use hookpost_store::{Claimed, LeaseId, Queue, Record, Recorded, Unavailable};
use tokio::sync::oneshot;

use crate::PostgresStore;
use crate::error::unfinished;

#[async_trait]
impl Queue for PostgresStore {
    async fn claim(&self, _request: ClaimRequest, _now: Timestamp) -> Result<Claimed, Unavailable> {
        Err(unfinished())
    }

    async fn release(&self, _leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        Err(unfinished())
    }

    async fn record(&self, _records: Arc<Vec<Record>>, _now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        Err(unfinished())
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        Err(unfinished())
    }

    async fn send_again(&self, _deliveries: Vec<DeliveryKey>, _now: Timestamp) -> Result<usize, Unavailable> {
        Err(unfinished())
    }

    async fn cancel(
        &self,
        _endpoint: EndpointId,
        _which: CancelFilter,
        _reason: Reason,
        _limit: usize,
        __now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        Err(unfinished())
    }

    fn backlog(&self) -> Backlog {
        hookpost_store::queue::Backlog::default()
    }
}
