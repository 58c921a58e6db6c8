//! A new life: a number that no living node has, and row ids that none had before.

use std::time::Duration;

use hookpost_domain::RowId;
use hookpost_domain::id::RowIds;
use tokio_postgres::{Client, GenericClient, Transaction};

use super::bury;
use crate::error::StoreError;
use crate::{feed, schema, transfer};

/// What becomes of an old life under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldLives {
    /// At start: who starts a node says by its name that the old one is gone.
    Bury,
    /// Later two nodes that have one name by mistake would only bury each other all the time.
    Leave,
}

/// A life that has begun.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) holder: i64,
    pub(crate) number: u8,
    /// Beyond all ids of earlier lives with this number.
    pub(crate) ids: RowIds,
    /// Where the mark of the implied leases stands: no id below is ever implied.
    pub(crate) implied_from: RowId,
}

/// The smallest number that is free and was not used within an hour: a clock that was ahead by less cannot have made ids that come again.
/// If there is none, the one that has been free for the longest.
const FREE_NUMBER: &str = "SELECT n::smallint, coalesce(used.last_row_id, 0), coalesce(used.freed_at > now() - interval '1 hour', false)
    FROM generate_series(0, 255) AS n LEFT JOIN hookpost.node_number AS used ON used.number = n
    WHERE NOT EXISTS (SELECT 1 FROM hookpost.node WHERE node.number = n)
    ORDER BY CASE WHEN used.freed_at > now() - interval '1 hour' THEN used.freed_at END NULLS FIRST, n LIMIT 1";

/// A node that is alone goes on after everything that there is, as an embedded store does. (There are documents with no id of their own: the greatest.)
const LAST_ROW_ID: &str = "SELECT greatest(
        (SELECT max(last_row_id) FROM hookpost.node_number), (SELECT max(id) FROM hookpost.message),
        (SELECT max(id) FROM hookpost.application), (SELECT max(id) FROM hookpost.endpoint),
        (SELECT max(id) FROM hookpost.api_key), (SELECT max(id) FROM hookpost.task), (SELECT max(id) FROM hookpost.log_entry),
        (SELECT max(id) FROM hookpost.document WHERE id < 9223372036854775807), 0)
    WHERE NOT EXISTS (SELECT 1 FROM hookpost.node)";

/// `after`: of this process, whose ids only grow.
pub(crate) async fn register(
    client: &mut Client,
    name: &str,
    lease: Duration,
    old: OldLives,
    after: RowId,
) -> Result<Registered, StoreError> {
    let transaction = client.transaction().await?;
    // One at a time, so that numbers are not given twice.
    schema::lock(&transaction).await?;
    transfer::check_not_moving(&transaction).await?;
    if old == OldLives::Bury && !name.is_empty() {
        bury_namesakes(&transaction, name).await?;
    }
    let Some(row) = transaction.query_opt(FREE_NUMBER, &[]).await? else { return Err(StoreError::TooManyNodes) };
    let (number, last_of_number, used_lately): (i16, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut last = after.max(RowId::from_i64(last_of_number));
    if let Some(row) = transaction.query_opt(LAST_ROW_ID, &[]).await? {
        last = last.max(RowId::from_i64(row.try_get(0)?));
    } else if used_lately {
        last = last.max(RowId::first_at(schema::now(&transaction).await?));
    }
    let number = u8::try_from(number).unwrap_or_default();
    let mut ids = RowIds::after(last, number);
    let implied_from = ids.next(hookpost_domain::Timestamp::ZERO);
    let holder = insert(&transaction, number, name, lease, implied_from).await?;
    transaction.commit().await?;
    if let Some(last) = feed::go_on_after_what_is_there(client).await? {
        ids.go_on_after(last);
    }
    Ok(Registered { holder, number, ids, implied_from })
}

async fn bury_namesakes(transaction: &Transaction<'_>, name: &str) -> Result<(), StoreError> {
    for row in transaction.query("SELECT holder FROM hookpost.node WHERE name = $1 ORDER BY holder FOR UPDATE", &[&name]).await? {
        bury(transaction, row.try_get(0)?).await?;
    }
    Ok(())
}

async fn insert(client: &impl GenericClient, number: u8, name: &str, lease: Duration, implied_from: RowId) -> Result<i64, StoreError> {
    let insert = "INSERT INTO hookpost.node (number, name, alive_until, implied_from, last_row_id, settled_id)
        VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second', $4, $4, $4) RETURNING holder";
    let row = client.query_one(insert, &[&i16::from(number), &name, &lease.as_secs_f64(), &implied_from.as_i64()]).await?;
    Ok(row.try_get(0)?)
}
