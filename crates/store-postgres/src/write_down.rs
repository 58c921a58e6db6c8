//! Gives implied deliveries their rows: what this node holds for more than a moment, and what was to be handed over and could not be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{DeliveryKey, MessageId, RowId};
use hookpost_store::LeaseId;
use hookpost_store::codec::{endpoint_id, message_id};
use tokio_postgres::GenericClient;
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::leases::Lease;
use crate::release::{END_RECALLED, GIVE_BACK, columns};
use crate::resend::FOREIGN_LEASE;
use crate::shared::Shared;

/// What is implied for longer is written down, so that the mark of this node moves on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ROWS_AT_ONCE: usize = 1000;

/// Who was faster has written what is true: a delivery that has a row is left alone.
pub(crate) const WRITE_DOWN: &str = "
    WITH wanted AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted (message, endpoint, lease)),
    written AS (
        INSERT INTO hookpost.delivery (message, endpoint, state, attempts, scheduled_attempts)
        SELECT wanted.message, wanted.endpoint, 0, 0, 0 FROM wanted
        WHERE EXISTS (SELECT 1 FROM hookpost.message WHERE message.id = wanted.message)
        ON CONFLICT DO NOTHING
        RETURNING message, endpoint
    )
    INSERT INTO hookpost.queue (endpoint, message, application, pending, attempts, scheduled_attempts, holder, lease)
    SELECT written.endpoint, written.message, message.application, true, 0, 0, $4, wanted.lease
    FROM written JOIN wanted USING (message, endpoint) JOIN hookpost.message ON message.id = written.message
    RETURNING message, endpoint";

/// As backlog that nobody holds. Keys of messages that were not written after all are left out. Who was faster believed that they are in the hands of
/// this node: they are given back.
pub(crate) async fn as_backlog(client: &impl GenericClient, holder: i64, keys: &[DeliveryKey]) -> Result<(), StoreError> {
    for keys in keys.chunks(ROWS_AT_ONCE) {
        let written = write(client, keys.iter().map(|key| (*key, None)), None).await?;
        if written.len() < keys.len() {
            let (messages, endpoints) = columns(keys.iter().copied());
            let leases = vec![FOREIGN_LEASE; keys.len()];
            client.execute(END_RECALLED, &[&messages, &endpoints, &leases, &holder]).await?;
            client.query(GIVE_BACK, &[&messages, &endpoints, &leases, &holder]).await?;
        }
    }
    Ok(())
}

/// As held by this node, under the leases that they have. Returns those that had no row before.
pub(crate) async fn as_held(shared: &Shared, client: &impl GenericClient, held: &[(DeliveryKey, Lease)]) -> Result<usize, StoreError> {
    let holder = shared.node.holder();
    let mut count = 0;
    for held in held.chunks(ROWS_AT_ONCE) {
        let written = write(client, held.iter().map(|(key, lease)| (*key, Some(lease.id))), Some(holder)).await?;
        count += written.len();
        let mut leases = shared.leases.lock();
        for (key, lease) in held.iter().filter(|(key, _)| written.contains(key)) {
            leases.make_explicit(*key, lease.id);
        }
    }
    Ok(count)
}

async fn write(
    client: &impl GenericClient,
    rows: impl Iterator<Item = (DeliveryKey, Option<LeaseId>)>,
    holder: Option<i64>,
) -> Result<HashSet<DeliveryKey>, StoreError> {
    let (mut messages, mut endpoints, mut leases) = (Vec::new(), Vec::new(), Vec::new());
    for (key, lease) in rows {
        messages.push(key.message.row().as_i64());
        endpoints.push(key.endpoint.row().as_i64());
        leases.push(lease.map(|lease| lease.0 as i64));
    }
    let rows = client.query(WRITE_DOWN, &[&messages, &endpoints, &leases, &holder]).await?;
    rows.iter().map(|row| Ok(DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) })).collect()
}

/// Writes down what is implied for longer than a moment, until the token is cancelled.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    // Ids grow with time: what was there at the last look but one has waited long enough.
    let (mut before, mut last) = (RowId::MIN, RowId::MIN);
    while token.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let old: Vec<(DeliveryKey, Lease)> = shared.leases.lock().implied_up_to(MessageId::from_row(before)).collect();
        if !old.is_empty()
            && let Err(error) = write_old(&shared, &old).await
        {
            tracing::warn!(deliveries = old.len(), "what this node holds could not be written down: {error}");
        }
        (before, last) = (last, shared.last_row_id());
    }
}

async fn write_old(shared: &Shared, old: &[(DeliveryKey, Lease)]) -> Result<(), StoreError> {
    let client = shared.connections.get().await?;
    as_held(shared, &**client, old).await?;
    Ok(())
}
