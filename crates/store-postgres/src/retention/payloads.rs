//! Payloads whose time is over. They are listed by the minute in which they may go.

use deadpool_postgres::{Object, Transaction};
use hookpost_domain::{ApplicationId, RowId, Timestamp, limits};
use hookpost_store::codec::{decode_message, message_id};

use super::Piece;
use crate::counts::minute_of;
use crate::error::StoreError;
use crate::statements::{execute, query};

/// Rows of the list that are read at a time; each is of one commit.
const LISTED_AT_ONCE: i64 = 100;
/// In the minute that is passing some may go and some may not, so that each is looked at: so many per call. The rest waits for the end of the minute.
const LOOKED_AT_MAX: usize = 5000;

#[derive(Debug)]
struct Listed {
    id: i64,
    minute: i32,
    messages: Vec<i64>,
}

pub(super) async fn forget(connection: &mut Object, now: Timestamp) -> Result<Piece, StoreError> {
    let passing = minute_of(now);
    let mut piece = Piece::default();
    let (mut after, mut looked_at) = ((i32::MIN, i64::MIN), 0);
    loop {
        let transaction = connection.transaction().await?;
        let batch = listed(&transaction, passing, after).await?;
        let is_last = (batch.len() as i64) < LISTED_AT_ONCE;
        for listed in batch {
            after = (listed.minute, listed.id);
            let left = limits::FORGOTTEN_AT_ONCE_MAX.saturating_sub(piece.count as usize);
            let (mut going, mut staying) = (listed.messages, Vec::new());
            if listed.minute == passing {
                looked_at += going.len();
                (going, staying) = split_by_expiry(&transaction, &going, now).await?;
            }
            // What is over the limit goes next time.
            staying.extend(going.split_off(left.min(going.len())));
            piece.count += drop_payloads(&transaction, &going).await?;
            put_back(&transaction, listed.id, &staying).await?;
            if piece.count as usize >= limits::FORGOTTEN_AT_ONCE_MAX {
                transaction.commit().await?;
                return Ok(Piece { more: true, ..piece });
            }
        }
        transaction.commit().await?;
        if is_last || looked_at >= LOOKED_AT_MAX {
            return Ok(piece);
        }
    }
}

async fn listed(transaction: &Transaction<'_>, until: i32, after: (i32, i64)) -> Result<Vec<Listed>, StoreError> {
    let sql = "SELECT id, minute, messages FROM hookpost.payload_expiry WHERE minute <= $1 AND (minute, id) > ($2, $3) ORDER BY minute, id LIMIT $4";
    let rows = query(transaction, sql, &[&until, &after.0, &after.1, &LISTED_AT_ONCE]).await?;
    rows.iter().map(|row| Ok(Listed { id: row.try_get(0)?, minute: row.try_get(1)?, messages: row.try_get(2)? })).collect()
}

/// Those that may go, and those that may not yet; without those that have none any more.
async fn split_by_expiry(transaction: &Transaction<'_>, messages: &[i64], now: Timestamp) -> Result<(Vec<i64>, Vec<i64>), StoreError> {
    let (mut going, mut staying) = (Vec::new(), Vec::new());
    let Some((first, last)) = bounds(messages) else { return Ok((going, staying)) };
    let sql = "SELECT id, application, header FROM hookpost.message WHERE id = ANY($1) AND id BETWEEN $2 AND $3 AND payload IS NOT NULL";
    for row in query(transaction, sql, &[&messages, &first, &last]).await? {
        let (id, application) = (row.try_get(0)?, ApplicationId::from_row(RowId::from_i64(row.try_get(1)?)));
        let message = decode_message(message_id(id), application, row.try_get(2)?, None)?;
        if message.content.payload_expires_at <= now { going.push(id) } else { staying.push(id) }
    }
    Ok((going, staying))
}

async fn drop_payloads(transaction: &Transaction<'_>, messages: &[i64]) -> Result<u64, StoreError> {
    let Some((first, last)) = bounds(messages) else { return Ok(0) };
    let sql = "UPDATE hookpost.message SET payload = NULL WHERE id = ANY($1) AND id BETWEEN $2 AND $3 AND payload IS NOT NULL";
    Ok(execute(transaction, sql, &[&messages, &first, &last]).await?)
}

async fn put_back(transaction: &Transaction<'_>, id: i64, staying: &[i64]) -> Result<(), StoreError> {
    if staying.is_empty() {
        execute(transaction, "DELETE FROM hookpost.payload_expiry WHERE id = $1", &[&id]).await?;
    } else {
        let sql = "UPDATE hookpost.payload_expiry SET messages = $2 WHERE id = $1 AND messages <> $2";
        execute(transaction, sql, &[&id, &staying]).await?;
    }
    Ok(())
}

fn bounds(ids: &[i64]) -> Option<(i64, i64)> {
    Some((*ids.iter().min()?, *ids.iter().max()?))
}
