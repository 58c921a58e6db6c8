//! Old messages with all they had, and old receipts, some at a time.

use std::collections::BTreeMap;

use deadpool_postgres::{Object, Transaction};
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryKey, Message, RowId, limits};
use hookpost_store::codec::{decode_message, endpoint_id, message_id};

use super::Piece;
use crate::counts::CountChanges;
use crate::error::StoreError;
use crate::history::decode_state;
use crate::shared::Shared;
use crate::statements::{execute, query};

pub(super) async fn forget(shared: &Shared, connection: &mut Object, first_kept: RowId) -> Result<Piece, StoreError> {
    let transaction = connection.transaction().await?;
    let old = oldest(&transaction, first_kept).await?;
    let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(Piece::default()) };
    let (first, last) = (first.id.row().as_i64(), last.id.row().as_i64());
    let ids: Vec<i64> = old.iter().map(|message| message.id.row().as_i64()).collect();

    let mut statuses: BTreeMap<DeliveryKey, DeliveryStatus> = BTreeMap::new();
    for message in &old {
        let keys = message.content.routing.targets.iter().map(|endpoint| DeliveryKey { message: message.id, endpoint: *endpoint });
        // Those without a row are pending.
        statuses.extend(keys.map(|key| (key, DeliveryStatus::Pending)));
    }
    let sql = "DELETE FROM hookpost.delivery WHERE message = ANY($1) AND message BETWEEN $2 AND $3
               RETURNING message, endpoint, state, reason, due_at_ms, attempts, scheduled_attempts";
    for row in query(&transaction, sql, &[&ids, &first, &last]).await? {
        let key = DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) };
        let (state, progress) = decode_state(&row, 2)?;
        statuses.insert(key, DeliveryStatus::of(state, progress));
    }
    end_queued(&transaction, statuses.keys()).await?;
    for sql in [
        "DELETE FROM hookpost.attempt WHERE message = ANY($1) AND message BETWEEN $2 AND $3",
        "DELETE FROM hookpost.event_id WHERE message = ANY($1) AND message BETWEEN $2 AND $3",
        "DELETE FROM hookpost.message WHERE id = ANY($1) AND id BETWEEN $2 AND $3",
    ] {
        execute(&transaction, sql, &[&ids, &first, &last]).await?;
    }
    let mut counts = CountChanges::default();
    for message in &old {
        let keys = DeliveryKey { message: message.id, endpoint: endpoint_id(0) }..=DeliveryKey {
            message: message.id,
            endpoint: endpoint_id(i64::MAX),
        };
        statuses.range(keys).for_each(|(key, status)| counts.add(key.endpoint, message.created_at, *status, -1));
    }
    counts.insert(&*transaction).await?;
    transaction.commit().await?;

    counts.committed(shared);
    shared.leases.lock().end_messages(|message| ids.binary_search(&message.row().as_i64()).is_ok());
    Ok(Piece { count: old.len() as u64, more: old.len() == limits::FORGOTTEN_AT_ONCE_MAX })
}

/// What they counted for stays until its minute is swept.
pub(super) async fn forget_receipts(connection: &Object, first_kept: RowId) -> Result<Piece, StoreError> {
    let sql = "DELETE FROM hookpost.receipt WHERE id < $1 AND id = ANY(ARRAY(
                   SELECT id FROM hookpost.receipt WHERE id < $1 ORDER BY id LIMIT $2))";
    let gone = execute(connection, sql, &[&first_kept.as_i64(), &(limits::FORGOTTEN_AT_ONCE_MAX as i64)]).await?;
    Ok(Piece { count: gone, more: gone == limits::FORGOTTEN_AT_ONCE_MAX as u64 })
}

/// In the order of their ids, and locked.
async fn oldest(transaction: &Transaction<'_>, first_kept: RowId) -> Result<Vec<Message>, StoreError> {
    let sql = "SELECT id, application, header FROM hookpost.message WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE";
    let rows = query(transaction, sql, &[&first_kept.as_i64(), &(limits::FORGOTTEN_AT_ONCE_MAX as i64)]).await?;
    let message = |row: &tokio_postgres::Row| {
        let application = ApplicationId::from_row(RowId::from_i64(row.try_get(1)?));
        Ok(decode_message(message_id(row.try_get(0)?), application, row.try_get(2)?, None)?)
    };
    rows.iter().map(message).collect()
}

/// Whoever holds one finds that the lease is lost.
async fn end_queued(transaction: &Transaction<'_>, keys: impl Iterator<Item = &DeliveryKey>) -> Result<(), StoreError> {
    let (messages, endpoints): (Vec<i64>, Vec<i64>) = keys.map(|key| (key.message.row().as_i64(), key.endpoint.row().as_i64())).unzip();
    let sql = "DELETE FROM hookpost.queue USING unnest($1::bigint[], $2::bigint[]) AS gone (message, endpoint)
               WHERE queue.endpoint = gone.endpoint AND queue.message = gone.message";
    execute(transaction, sql, &[&messages, &endpoints]).await?;
    Ok(())
}
