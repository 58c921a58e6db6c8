//! Whole partitions that are past their time: detached without hindering those who write, and dropped.
//!
//! Detaching takes several transactions of its own and may be interrupted anywhere. So nothing is remembered: each call looks how far a table has come and
//! goes on from there. The partition is struck off the list when all of it is gone.

use deadpool_postgres::Object;
use hookpost_domain::{RowId, limits};
use hookpost_store::codec::message_id;
use tokio_postgres::Client;

use super::Piece;
use crate::error::StoreError;
use crate::partitions::{Partitioned, Partitions};
use crate::shared::Shared;
use crate::statements::{execute, query, query_one};

/// Rows of the queue that are deleted at a time.
const QUEUED_AT_ONCE: i64 = 10 * limits::FORGOTTEN_AT_ONCE_MAX as i64;

/// Takes away the oldest partition of messages, or what it needs before. Also returns the first id that may be left.
pub(super) async fn forget_history(shared: &Shared, connection: &Object, first_kept: RowId) -> Result<(Piece, RowId), StoreError> {
    if let Some(Past { from, until, .. }) = oldest(connection, &shared.partitions, first_kept).await? {
        if !end_queued(shared, connection, until).await? {
            return Ok((Piece { count: 0, more: true }, RowId::from_i64(from)));
        }
        shared.leases.lock().end_messages(|message| message < message_id(until));
    }
    let piece = forget_oldest(shared, connection, &shared.partitions, first_kept).await?;
    let row = query_one(connection, "SELECT min(from_id) FROM hookpost.partition", &[]).await?;
    Ok((piece, RowId::from_i64(row.try_get::<_, Option<i64>>(0)?.unwrap_or_default())))
}

/// Takes away the oldest partition, if all of it is past its time.
pub(super) async fn forget_oldest(
    shared: &Shared,
    connection: &Object,
    partitions: &Partitions,
    first_kept: RowId,
) -> Result<Piece, StoreError> {
    let Some(Past { from, more, .. }) = oldest(connection, partitions, first_kept).await? else { return Ok(Piece::default()) };
    let count = drop_partition(shared, &partitions.of, from).await?;
    execute(connection, &format!("DELETE FROM {} WHERE from_id = $1", partitions.of.bounds), &[&from]).await?;
    partitions.forget(from);
    Ok(Piece { count, more })
}

/// A partition that is past its time.
struct Past {
    from: i64,
    until: i64,
    /// There is another.
    more: bool,
}

async fn oldest(connection: &Object, partitions: &Partitions, first_kept: RowId) -> Result<Option<Past>, StoreError> {
    let sql = format!("SELECT from_id, until_id FROM {} WHERE until_id <= $1 ORDER BY from_id LIMIT 2", partitions.of.bounds);
    let past = query(connection, &sql, &[&first_kept.as_i64()]).await?;
    let Some(row) = past.first() else { return Ok(None) };
    Ok(Some(Past { from: row.try_get(0)?, until: row.try_get(1)?, more: past.len() > 1 }))
}

/// What is still to be attempted of messages before `until`: a piece of it. Whether that was all.
async fn end_queued(shared: &Shared, connection: &Object, until: i64) -> Result<bool, StoreError> {
    // From endpoint to endpoint: the queue is in their order.
    let sql = "
        WITH RECURSIVE lane AS (
            (SELECT endpoint FROM hookpost.queue ORDER BY endpoint LIMIT 1)
            UNION ALL
            SELECT (SELECT queue.endpoint FROM hookpost.queue WHERE queue.endpoint > lane.endpoint ORDER BY queue.endpoint LIMIT 1)
            FROM lane WHERE lane.endpoint IS NOT NULL
        ), old AS (
            SELECT queued.endpoint, queued.message
            FROM lane CROSS JOIN LATERAL (
                SELECT queue.endpoint, queue.message FROM hookpost.queue
                WHERE queue.endpoint = lane.endpoint AND queue.message < $1 ORDER BY queue.message LIMIT $2
            ) AS queued LIMIT $2
        )
        DELETE FROM hookpost.queue USING old WHERE queue.endpoint = old.endpoint AND queue.message = old.message
        RETURNING queue.pending OR queue.scheduled_at_ms IS NOT NULL";
    let gone = query(connection, sql, &[&until, &QUEUED_AT_ONCE]).await?;
    let unfinished = gone.iter().filter(|row| row.try_get(0).unwrap_or(false)).count();
    shared.unfinished.fetch_sub(unfinished as i64, std::sync::atomic::Ordering::Relaxed);
    Ok((gone.len() as i64) < QUEUED_AT_ONCE)
}

/// About how many rows of the first table went with it.
async fn drop_partition(shared: &Shared, of: &Partitioned, from: i64) -> Result<u64, StoreError> {
    let start_ms = RowId::from_i64(from).created_at().unix_ms();
    let dedicated = shared.connections.dedicated().await?;
    let client = &dedicated.client;
    let rows = client
        .query_one(
            "SELECT coalesce((SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)), 0)",
            &[&format!("hookpost.{}_p{start_ms}", of.tables[0])],
        )
        .await?;
    for table in of.tables {
        take_away(client, table, &format!("hookpost.{table}_p{start_ms}")).await?;
    }
    tracing::info!(from = %RowId::from_i64(from).created_at(), "a partition of {} is past its time and was dropped", of.tables[0]);
    Ok(u64::try_from(rows.try_get::<_, i64>(0)?).unwrap_or_default())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Attached,
    /// A detaching was interrupted.
    HalfWay,
    OnItsOwn,
    Gone,
}

async fn take_away(client: &Client, table: &str, partition: &str) -> Result<(), StoreError> {
    loop {
        let next = match place(client, table, partition).await? {
            Place::Attached => format!("ALTER TABLE hookpost.{table} DETACH PARTITION {partition} CONCURRENTLY"),
            Place::HalfWay => format!("ALTER TABLE hookpost.{table} DETACH PARTITION {partition} FINALIZE"),
            Place::OnItsOwn => format!("DROP TABLE {partition}"),
            Place::Gone => return Ok(()),
        };
        client.batch_execute(&next).await?;
    }
}

async fn place(client: &Client, table: &str, partition: &str) -> Result<Place, StoreError> {
    let row = client
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL,
                    (SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass($2))",
            &[&partition, &format!("hookpost.{table}")],
        )
        .await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (false, _) => Place::Gone,
        (true, None) => Place::OnItsOwn,
        (true, Some(false)) => Place::Attached,
        (true, Some(true)) => Place::HalfWay,
    })
}
