//! Payloads whose time is over. They are listed by the minute in which they may go.
//!
//! Of a minute that is over all may go, and no message is looked at. In the minute that is passing each is, up to the first block of which none
//! may go yet: messages stand in the order in which they came, and that is nearly the order in which they expire. What stands behind such a
//! block waits for the end of the minute at most.

use hookpost_domain::{Timestamp, limits};
use hookpost_store::codec::message_id;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::messages;
use crate::posting::{decode_block, encode_block};
use crate::tail::{Entry, ListKind, minute_of};

const KIND: ListKind = ListKind::PayloadsByExpiry;
/// Blocks that one call looks at: those of messages that are gone cost little, but not nothing.
const BLOCKS_AT_ONCE_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Payloads {
    pub(super) count: u64,
    pub(super) more: bool,
}

#[derive(Debug)]
struct Block {
    minute: i64,
    first_id: i64,
    last_id: i64,
    ids: Vec<u8>,
}

pub(super) fn forget(connection: &Connection, now: Timestamp) -> Result<Payloads, StoreError> {
    let passing = minute_of(now) as i64;
    let oldest = oldest_message(connection)?;
    let (mut count, mut left) = (0, limits::FORGOTTEN_AT_ONCE_MAX);
    let mut after = (-1, -1);
    for _ in 0..BLOCKS_AT_ONCE_MAX {
        let Some(block) = next_block(connection, passing, after)? else { return Ok(Payloads { count, more: false }) };
        after = (block.minute, block.first_id);
        if block.last_id < oldest {
            // The messages went, and their payloads with them.
            put_back(connection, &block, &[])?;
            continue;
        }
        let entries = decode_block(KIND, block.first_id, &block.ids)?;
        let (mut going, mut staying) =
            if block.minute < passing { (entries, Vec::new()) } else { split_by_expiry(connection, entries, now)? };
        if going.is_empty() && !staying.is_empty() {
            return Ok(Payloads { count, more: false });
        }
        // What is over the limit goes next time.
        staying.extend(going.split_off(left.min(going.len())));
        staying.sort_unstable();
        left -= going.len();
        count += drop_payloads(connection, &going)?;
        put_back(connection, &block, &staying)?;
        if left == 0 {
            break;
        }
        // The block may have another key now: not to be looked at again in this call.
        after.1 = staying.first().map_or(after.1, |first| after.1.max(first.0 as i64));
    }
    Ok(Payloads { count, more: true })
}

/// Raw; beyond all where there is none.
fn oldest_message(connection: &Connection) -> Result<i64, StoreError> {
    let oldest: Option<i64> = connection.prepare_cached("SELECT min(id) FROM message")?.query_row([], |row| row.get(0))?;
    Ok(oldest.unwrap_or(i64::MAX))
}

fn next_block(connection: &Connection, until: i64, after: (i64, i64)) -> Result<Option<Block>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT owner, first_id, last_id, ids FROM posting WHERE kind = ?1 AND owner <= ?2 AND (owner, first_id) > (?3, ?4)
             ORDER BY owner, first_id LIMIT 1",
        )?
        .query_row(params![KIND as i64, until, after.0, after.1], |row| {
            Ok(Block { minute: row.get(0)?, first_id: row.get(1)?, last_id: row.get(2)?, ids: row.get(3)? })
        })
        .optional()?)
}

/// Those that may go, and those that may not yet; without those whose message is gone.
fn split_by_expiry(connection: &Connection, entries: Vec<Entry>, now: Timestamp) -> Result<(Vec<Entry>, Vec<Entry>), StoreError> {
    let (mut going, mut staying) = (Vec::new(), Vec::new());
    for entry in entries {
        let Some(message) = messages::load_header(connection, message_id(entry.0 as i64))? else { continue };
        if message.content.payload_expires_at <= now { going.push(entry) } else { staying.push(entry) }
    }
    Ok((going, staying))
}

fn drop_payloads(connection: &Connection, entries: &[Entry]) -> Result<u64, StoreError> {
    let mut update = connection.prepare_cached("UPDATE message SET payload = NULL WHERE id = ?1 AND payload IS NOT NULL")?;
    let mut dropped = 0;
    for entry in entries {
        dropped += update.execute([entry.0 as i64])? as u64;
    }
    Ok(dropped)
}

fn put_back(connection: &Connection, block: &Block, staying: &[Entry]) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM posting WHERE kind = ?1 AND owner = ?2 AND first_id = ?3")?.execute(params![
        KIND as i64,
        block.minute,
        block.first_id
    ])?;
    if let (Some(first), Some(last)) = (staying.first(), staying.last()) {
        connection
            .prepare_cached("INSERT INTO posting (kind, owner, first_id, last_id, ids) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![KIND as i64, block.minute, first.0 as i64, last.0 as i64, encode_block(KIND, staying)])?;
    }
    Ok(())
}
