//! The engine's side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::{DeliveryKey, EndpointId, Reason, SinkId, SourceId, TaskId, Timestamp};
use hookpost_store::queue::{Backlog, CancelFilter, Canceled, ClaimRequest, LaneState};
use hookpost_store::{Claimed, LeaseId, Queue, Record, Recorded, Unavailable};

use crate::PostgresStore;
use crate::error::StoreError;
use crate::owners::{Scope, Taken, own, scope_to_claim, take, tell_health};
use crate::shared::Shared;
use crate::{cancel, claim, lanes, record, release, resend};

#[async_trait]
impl Queue for PostgresStore {
    async fn claim(&self, request: ClaimRequest, now: Timestamp) -> Result<Claimed, Unavailable> {
        Ok(claim_if_served_here(&self.shared, request, now).await?)
    }

    async fn release(&self, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), Unavailable> {
        Ok(release::release(&self.shared, leases).await?)
    }

    async fn record(&self, records: Arc<Vec<Record>>, now: Timestamp) -> Result<Vec<Recorded>, Unavailable> {
        record::record(&self.shared, records, now).await
    }

    fn holds_leases(&self) -> bool {
        self.shared.node.holds()
    }

    async fn take_task(&self, task: TaskId) -> Result<bool, Unavailable> {
        Ok(take_for_itself(&self.shared, Scope::Task(task)).await?)
    }

    async fn take_source(&self, source: SourceId) -> Result<bool, Unavailable> {
        Ok(take_for_itself(&self.shared, Scope::Source(source)).await?)
    }

    async fn take_sink(&self, sink: SinkId) -> Result<bool, Unavailable> {
        Ok(take_for_itself(&self.shared, Scope::Sink(sink)).await?)
    }

    async fn lanes(&self) -> Result<Vec<LaneState>, Unavailable> {
        Ok(lanes::lanes(&self.shared).await?)
    }

    async fn send_again(&self, deliveries: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, Unavailable> {
        Ok(resend::send_again(&self.shared, deliveries, now).await?)
    }

    async fn cancel(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        Ok(cancel::cancel(&self.shared, endpoint, &which, reason, limit, now).await?)
    }

    async fn cancel_everywhere(
        &self,
        endpoint: EndpointId,
        which: CancelFilter,
        reason: Reason,
        limit: usize,
        now: Timestamp,
    ) -> Result<Canceled, Unavailable> {
        Ok(cancel::cancel_everywhere(&self.shared, endpoint, &which, reason, limit, now).await?)
    }

    /// Further apart than in an embedded store: all nodes share what the server can commit.
    fn records_apart(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn is_recalled(&self, key: DeliveryKey) -> bool {
        self.shared.recalled.contains(key)
    }

    fn backlog(&self) -> Backlog {
        record::backlog(&self.shared)
    }
}

async fn claim_if_served_here(shared: &Shared, request: ClaimRequest, now: Timestamp) -> Result<Claimed, StoreError> {
    let mut taken_over = None;
    if let Some(scope) = scope_to_claim(shared, request.endpoint).await? {
        let taken = take(shared, &**shared.connections.get().await?, scope).await?;
        match taken {
            Taken::Elsewhere => return Ok(Claimed::default()),
            Taken::Before => {}
            Taken::Now(unwell) => {
                let own = unwell.iter().find(|(_, endpoint, _)| *endpoint == request.endpoint);
                taken_over = Some(own.map(|(.., health)| *health).unwrap_or_default());
                tell_health(shared, unwell);
            }
        }
    }
    Ok(Claimed { taken_over, ..claim::claim(shared, request, now).await? })
}

/// A node that was taken for dead has no tasks or sources either, and must not believe so.
async fn take_for_itself(shared: &Shared, scope: Scope) -> Result<bool, StoreError> {
    let client = shared.connections.get().await?;
    shared.node.guard(&**client).await?;
    own(shared, &**client, scope).await
}
