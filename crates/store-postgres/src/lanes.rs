//! Endpoints with something to do, for the start and for the poll: one look into an index per endpoint, however long their queues are.

use deadpool_postgres::Object;
use hookpost_domain::health::Health;
use hookpost_domain::{ApplicationId, EndpointId, RowId};
use hookpost_store::codec::{endpoint_id, time};
use hookpost_store::queue::LaneState;
use hookpost_store::rows::from_json;
use tokio_postgres::Row;

use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::query;

/// $1: this node; $2: endpoints after this one; $3: so many; $4: what is due before this time (of the database where null).
const LANES: &str = "
    WITH RECURSIVE backlog (endpoint) AS (
        (SELECT endpoint FROM hookpost.queue WHERE holder IS NULL AND pending AND endpoint > $2 ORDER BY endpoint, message LIMIT 1)
        UNION ALL
        SELECT next.endpoint FROM backlog CROSS JOIN LATERAL (
            SELECT queue.endpoint FROM hookpost.queue WHERE holder IS NULL AND pending AND queue.endpoint > backlog.endpoint
            ORDER BY queue.endpoint, message LIMIT 1
        ) AS next
    ), timed (endpoint, next_at_ms) AS (
        (
            SELECT endpoint, next_at_ms FROM hookpost.queue WHERE holder IS NULL AND next_at_ms IS NOT NULL AND endpoint > $2
            ORDER BY endpoint, next_at_ms, message LIMIT 1
        )
        UNION ALL
        SELECT next.endpoint, next.next_at_ms FROM timed CROSS JOIN LATERAL (
            SELECT queue.endpoint, queue.next_at_ms FROM hookpost.queue
            WHERE holder IS NULL AND next_at_ms IS NOT NULL AND queue.endpoint > timed.endpoint
            ORDER BY queue.endpoint, next_at_ms, message LIMIT 1
        ) AS next
    ), found AS (
        SELECT endpoint, bool_or(ready) AS ready, min(next_at_ms) AS next_at_ms FROM (
            SELECT endpoint, true AS ready, NULL::bigint AS next_at_ms FROM (SELECT endpoint FROM backlog LIMIT $3) AS backlog
            UNION ALL
            SELECT endpoint, false, next_at_ms FROM (SELECT endpoint, next_at_ms FROM timed LIMIT $3) AS timed
            UNION ALL
            SELECT endpoint, false, NULL FROM hookpost.health WHERE endpoint > $2
        ) AS one GROUP BY endpoint
    )
    SELECT found.endpoint, endpoint.application, found.ready, found.next_at_ms, health.data,
        EXISTS (
            SELECT FROM hookpost.owner JOIN hookpost.node USING (holder)
            WHERE owner.scope IN (found.endpoint, endpoint.application) AND owner.holder <> $1
        ),
        found.ready OR found.next_at_ms <= extract(epoch FROM clock_timestamp() - interval '200 milliseconds') * 1000
    FROM found JOIN hookpost.endpoint ON endpoint.id = found.endpoint LEFT JOIN hookpost.health ON health.endpoint = found.endpoint
    ORDER BY found.endpoint";

pub(crate) async fn lanes(shared: &Shared) -> Result<Vec<LaneState>, StoreError> {
    let client = shared.connections.get().await?;
    let rows = look(shared, &client, -1, i64::MAX).await?;
    rows.iter().map(lane_of_row).collect()
}

/// Some of those that have something to do now and may be served here, and from where to go on.
pub(crate) async fn ready_lanes(shared: &Shared, client: &Object, after: i64, count: i64) -> Result<(Vec<LaneState>, i64), StoreError> {
    let rows = look(shared, client, after, count).await?;
    // Each of the two walks went as far as its count; beyond the nearer end something may be missing.
    let mut last = None;
    let mut lanes = Vec::new();
    for row in rows.iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        last = Some(row.try_get::<_, i64>(0)?);
        let lane = lane_of_row(row)?;
        if row.try_get::<_, Option<bool>>(6)?.unwrap_or(false) && !lane.elsewhere {
            lanes.push(lane);
        }
    }
    let ended = (rows.len() as i64) < count;
    Ok((lanes, last.filter(|_| !ended).unwrap_or(-1)))
}

async fn look(shared: &Shared, client: &Object, after: i64, count: i64) -> Result<Vec<Row>, StoreError> {
    Ok(query(client, LANES, &[&shared.node.holder(), &after, &count]).await?)
}

fn lane_of_row(row: &Row) -> Result<LaneState, StoreError> {
    let endpoint: EndpointId = endpoint_id(row.try_get(0)?);
    let health = match row.try_get::<_, Option<&[u8]>>(4)? {
        Some(data) => from_json(data)?,
        None => Health::default(),
    };
    Ok(LaneState {
        application: ApplicationId::from_row(RowId::from_i64(row.try_get(1)?)),
        endpoint,
        ready: row.try_get(2)?,
        next_due: row.try_get::<_, Option<i64>>(3)?.map(time),
        health,
        elsewhere: row.try_get(5)?,
    })
}
