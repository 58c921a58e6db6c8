//! What a node held is given back, and its row goes: when it closes, or when others have not heard of it for the time of a lease.

use tokio_postgres::{Client, Transaction};

use crate::error::StoreError;

/// What was canceled while it was held, and not asked for again.
const END_RECALLED: &str = "DELETE FROM hookpost.queue WHERE holder = $1 AND recalled IS NOT NULL AND manual_at_ms IS NULL";

/// As if every lease had been released: what a lease was to serve is to be served again.
const GIVE_BACK: &str =
    "UPDATE hookpost.queue SET holder = NULL, lease = NULL, leased_manual_at_ms = NULL, recalled = NULL, recall_heard = false,
        manual_at_ms = least(manual_at_ms, leased_manual_at_ms),
        next_at_ms = least(scheduled_at_ms, manual_at_ms, leased_manual_at_ms)
    WHERE holder = $1";

/// What was implied is written down: pending, and in nobody's hands.
const WRITE_DOWN: &str = "WITH missing AS (
        SELECT target.endpoint, message.id AS message, message.application
        FROM hookpost.message CROSS JOIN LATERAL unnest(message.targets) AS target (endpoint)
        WHERE message.id >= $1 AND (message.id & 255) = $2 AND NOT EXISTS (
            SELECT 1 FROM hookpost.delivery WHERE delivery.message = message.id AND delivery.endpoint = target.endpoint)
    ), written AS (
        INSERT INTO hookpost.delivery (message, endpoint, state, attempts, scheduled_attempts)
        SELECT message, endpoint, 0, 0, 0 FROM missing ORDER BY message, endpoint
        ON CONFLICT DO NOTHING RETURNING message, endpoint
    )
    INSERT INTO hookpost.queue (endpoint, message, application, pending, attempts, scheduled_attempts)
    SELECT missing.endpoint, missing.message, missing.application, true, 0, 0 FROM missing JOIN written USING (message, endpoint)
    ORDER BY missing.endpoint, missing.message ON CONFLICT DO NOTHING";

const KEEP_NUMBER: &str = "INSERT INTO hookpost.node_number (number, last_row_id, freed_at)
    SELECT number, last_row_id, clock_timestamp() FROM hookpost.node WHERE holder = $1
    ON CONFLICT (number) DO UPDATE SET freed_at = excluded.freed_at,
        last_row_id = greatest(node_number.last_row_id, excluded.last_row_id)";

/// Ends a life whose row the transaction has locked `FOR UPDATE`. False: another did it before.
pub(crate) async fn bury(transaction: &Transaction<'_>, holder: i64) -> Result<bool, StoreError> {
    let find = "SELECT implied_from, number::bigint FROM hookpost.node WHERE holder = $1 FOR UPDATE";
    let Some(row) = transaction.query_opt(find, &[&holder]).await? else { return Ok(false) };
    let (implied_from, number): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    transaction.execute(END_RECALLED, &[&holder]).await?;
    transaction.execute(GIVE_BACK, &[&holder]).await?;
    transaction.execute(WRITE_DOWN, &[&implied_from, &number]).await?;
    transaction.execute("DELETE FROM hookpost.owner WHERE holder = $1", &[&holder]).await?;
    transaction.execute(KEEP_NUMBER, &[&holder]).await?;
    transaction.execute("DELETE FROM hookpost.node WHERE holder = $1", &[&holder]).await?;
    Ok(true)
}

/// Ends the life of one node whose time has passed; false if there is none. Those that are in the middle of a transaction, or in the hands of another
/// undertaker, are left for the next time.
pub(super) async fn bury_one_silent(client: &mut Client) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let find = "SELECT holder, number, name FROM hookpost.node WHERE alive_until < clock_timestamp()
        ORDER BY holder LIMIT 1 FOR UPDATE SKIP LOCKED";
    let Some(row) = transaction.query_opt(find, &[]).await? else { return Ok(false) };
    let (holder, number, name): (i64, i16, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    bury(&transaction, holder).await?;
    transaction.commit().await?;
    tracing::warn!(node = name, number, "a node fell silent: what it held is taken over");
    Ok(true)
}
