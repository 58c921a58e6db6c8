//! Giving leases back.

use std::collections::BTreeSet;

use hookpost_domain::{ApplicationId, DeliveryKey, EndpointId, RowId};
use hookpost_store::LeaseId;
use hookpost_store::codec::endpoint_id;

use crate::error::StoreError;
use crate::leases::Lease;
use crate::node;
use crate::owners::needed;
use crate::shared::Shared;
use crate::statements::{execute, query};

/// What was never written is pending, and in nobody's hands from now on. Where a row was written meanwhile it names this node, and is given back as all others.
const WRITE_DOWN: &str = "
    WITH written AS (
        INSERT INTO hookpost.delivery (message, endpoint, state, attempts, scheduled_attempts)
        SELECT wanted.message, wanted.endpoint, 0, 0, 0 FROM unnest($1::bigint[], $2::bigint[]) AS wanted (message, endpoint)
        WHERE EXISTS (SELECT FROM hookpost.message WHERE message.id = wanted.message)
        ON CONFLICT DO NOTHING RETURNING message, endpoint
    ), given AS (
        SELECT endpoint, message, (SELECT application FROM hookpost.message WHERE message.id = written.message) AS application FROM written
    )
    INSERT INTO hookpost.queue (endpoint, message, application, pending, attempts, scheduled_attempts)
    SELECT endpoint, message, application, true, 0, 0 FROM given
    RETURNING endpoint, application";

/// What was canceled meanwhile, and not asked for again. 0: `resend::FOREIGN_LEASE`.
pub(crate) const END_RECALLED: &str = "
    DELETE FROM hookpost.queue USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (message, endpoint, lease)
    WHERE queue.endpoint = given.endpoint AND queue.message = given.message AND queue.holder = $4 AND queue.lease IN (given.lease, 0)
        AND queue.recalled IS NOT NULL AND queue.manual_at_ms IS NULL";

/// What the lease was to serve is to be served again.
pub(crate) const GIVE_BACK: &str = "
    UPDATE hookpost.queue SET holder = NULL, lease = NULL, leased_manual_at_ms = NULL, recalled = NULL, recall_heard = false,
        manual_at_ms = least(queue.manual_at_ms, queue.leased_manual_at_ms),
        next_at_ms = least(queue.scheduled_at_ms, queue.manual_at_ms, queue.leased_manual_at_ms)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (message, endpoint, lease)
    WHERE queue.endpoint = given.endpoint AND queue.message = given.message AND queue.holder = $4 AND queue.lease IN (given.lease, 0)
    RETURNING queue.endpoint, queue.application";

pub(crate) async fn release(shared: &Shared, leases: Vec<(DeliveryKey, LeaseId)>) -> Result<(), StoreError> {
    let held: Vec<(DeliveryKey, Lease)> = {
        let own = shared.leases.lock();
        leases.into_iter().filter_map(|(key, id)| own.of(key, id).map(|lease| (key, lease))).collect()
    };
    if held.is_empty() {
        return Ok(());
    }
    let holder = shared.node.holder();
    let mut client = shared.connections.get().await?;
    let transaction = node::begin(&mut client, holder).await?;
    let (messages, endpoints) = columns(held.iter().filter(|(_, lease)| lease.implied).map(|(key, _)| *key));
    let mut given_back = Vec::new();
    if !messages.is_empty() {
        given_back = query(&transaction, WRITE_DOWN, &[&messages, &endpoints]).await?;
    }
    let (messages, endpoints) = columns(held.iter().map(|(key, _)| *key));
    let ids: Vec<i64> = held.iter().map(|(_, lease)| lease.id.0 as i64).collect();
    execute(&transaction, END_RECALLED, &[&messages, &endpoints, &ids, &holder]).await?;
    given_back.extend(query(&transaction, GIVE_BACK, &[&messages, &endpoints, &ids, &holder]).await?);
    transaction.commit().await?;
    {
        let mut own = shared.leases.lock();
        for (key, lease) in &held {
            // It may have been claimed again already.
            if own.of(*key, lease.id).is_some() {
                own.end(*key);
            }
        }
        shared.recalled.forget(held.iter().map(|(key, _)| *key));
    }
    let lanes: BTreeSet<(i64, i64)> =
        given_back.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, StoreError>>()?;
    if lanes.into_iter().any(|(endpoint, application)| is_served_elsewhere(shared, endpoint_id(endpoint), RowId::from_i64(application))) {
        shared.hints.others_should_look();
    }
    Ok(())
}

fn is_served_elsewhere(shared: &Shared, endpoint: EndpointId, application: RowId) -> bool {
    let view = shared.catalog.application(ApplicationId::from_row(application));
    view.and_then(|view| needed(shared, &view, endpoint)).is_some_and(|scope| !shared.owned.lock().has(scope))
}

/// Messages and endpoints.
pub(crate) fn columns(keys: impl Iterator<Item = DeliveryKey>) -> (Vec<i64>, Vec<i64>) {
    keys.map(|key| (key.message.row().as_i64(), key.endpoint.row().as_i64())).unzip()
}
