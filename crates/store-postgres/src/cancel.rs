//! Ending deliveries: those that nobody holds, and all of an endpoint that goes.

use hookpost_domain::{ApplicationId, EndpointId};
use tokio_postgres::GenericClient;

use crate::error::StoreError;
use crate::shared::Shared;

/// What went with endpoints; to be told to this node once it is committed.
#[derive(Debug)]
#[must_use]
pub(crate) struct EndedWithEndpoints {
    endpoints: Vec<EndpointId>,
}

/// Ends all unfinished deliveries of these endpoints as canceled, whoever holds them: to be called in the transaction that takes the endpoints away, with
/// [`EndedWithEndpoints::committed`] after it.
pub(crate) async fn end_with_endpoints(
    _shared: &Shared,
    transaction: &impl GenericClient,
    application: ApplicationId,
    endpoints: Vec<EndpointId>,
) -> Result<EndedWithEndpoints, StoreError> {
    let rows: Vec<i64> = endpoints.iter().map(|id| id.row().as_i64()).collect();
    transaction.execute(END_ROWS, &[&rows]).await?;
    transaction.execute(END_IMPLIED, &[&application.row().as_i64(), &rows]).await?;
    transaction.execute("DELETE FROM hookpost.health WHERE endpoint = ANY($1)", &[&rows]).await?;
    Ok(EndedWithEndpoints { endpoints })
}

/// 4: canceled; 6: `EndpointDeleted`. What is finished keeps its state, only the request to send it again goes.
const END_ROWS: &str = "
    WITH gone AS (DELETE FROM hookpost.queue WHERE endpoint = ANY($1) RETURNING message, endpoint)
    UPDATE hookpost.delivery SET state = 4, reason = 6, due_at_ms = NULL FROM gone
    WHERE delivery.message = gone.message AND delivery.endpoint = gone.endpoint AND delivery.state < 2";

/// What other nodes hold in memory gets the row that its record will meet.
const END_IMPLIED: &str = "
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, attempts, scheduled_attempts)
    SELECT message.id, target.endpoint, 4, 6, 0, 0
    FROM hookpost.message CROSS JOIN LATERAL unnest(message.targets) AS target (endpoint)
    WHERE message.application = $1 AND message.id >= (SELECT min(implied_from) FROM hookpost.node) AND target.endpoint = ANY($2)
    ON CONFLICT DO NOTHING";

impl EndedWithEndpoints {
    pub(crate) fn committed(self, shared: &Shared) {
        let mut leases = shared.leases.lock();
        self.endpoints.iter().for_each(|endpoint| leases.end_endpoint(*endpoint));
        drop(leases);
        let mut unhealthy = shared.unhealthy.write();
        unhealthy.retain(|endpoint, _| !self.endpoints.contains(endpoint));
    }
}
