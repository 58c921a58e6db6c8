//! Writes a frozen tail to the tables in slices, some rows with every commit, so that no commit stalls.
//!
//! The items of a frozen tail have one order, which follows from its content: chunks of counters, lists by kind and owner, runs of keys by class.
//! How many are written is stored with them, so that a crash in between neither loses nor repeats one. When all are, the rows of `tail_log` that
//! they came from are deleted, in pieces too.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::keys::{ENTRIES_PER_BLOCK, KeyClass, KeyEntry, KeyIndex, write_block};
use crate::posting::{BLOCK_ENTRIES_MAX, decode_block, encode_block};
use crate::schema::meta;
use crate::tail::{Counter, Counts, Entry, Frozen, ListKind};
use crate::usage;

pub(crate) const COUNTER_CHUNKS: usize = 16;
/// A slice ends with the item that brings it here.
pub(crate) const ROWS_PER_SLICE: usize = 96;
const TAIL_ROWS_DELETED_PER_COMMIT: i64 = 64;
/// A last block smaller than this takes up the next entries instead of standing beside them.
const MERGE_BELOW_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Flush {
    active: Option<Active>,
    /// Rows of `tail_log` up to here are in the tables,
    flushed_seq: i64,
    /// and up to here they are deleted.
    deleted_seq: i64,
}

#[derive(Debug)]
struct Active {
    frozen: Arc<Frozen>,
    lists: Vec<(ListKind, u64)>,
    /// By class.
    keys: [Vec<KeyEntry>; KeyClass::ALL.len()],
    done: usize,
}

impl Active {
    fn items(&self) -> usize {
        COUNTER_CHUNKS + self.lists.len() + self.keys.iter().map(|keys| keys.len().div_ceil(ENTRIES_PER_BLOCK)).sum::<usize>()
    }

    /// Its runs of keys, by number.
    fn runs(&self) -> impl Iterator<Item = (i64, &[KeyEntry])> {
        let runs = KeyClass::ALL.iter().zip(&self.keys).filter(|(_, keys)| !keys.is_empty());
        runs.map(|(class, keys)| (class.run_of_tail(self.frozen.seq), keys.as_slice()))
    }
}

/// What a commit did, to be taken over by [`Flush::committed`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flushed {
    done: Option<usize>,
    deleted_seq: Option<i64>,
    /// The frozen tail is in the tables.
    pub(crate) all: bool,
}

/// Counters of one owner are in one chunk, so that its readers know whether they are written.
pub(crate) fn counter_chunk(owner: u64) -> usize {
    // The low bits are the node, the middle ones a counter: mixed, so that chunks are of one size.
    (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize
}

const _: () = assert!(COUNTER_CHUNKS == 1 << 4);

impl Flush {
    pub(crate) fn recovered(flushed_seq: i64, deleted_seq: i64) -> Self {
        Self { active: None, flushed_seq, deleted_seq }
    }

    pub(crate) fn start(&mut self, frozen: Arc<Frozen>) {
        self.resume(frozen, 0);
    }

    pub(crate) fn resume(&mut self, frozen: Arc<Frozen>, done: usize) {
        let mut lists: Vec<_> = frozen.tail.lists.keys().copied().collect();
        lists.sort_unstable();
        let keys = KeyClass::ALL.map(|class| {
            let mut keys: Vec<KeyEntry> = frozen.tail.keys(class).iter().map(|(key, made)| (*key, *made)).collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            keys
        });
        self.active = Some(Active { frozen, lists, keys, done });
    }

    /// `counted_from`: deliveries of earlier minutes are not counted any more.
    pub(crate) fn write_slice(
        &self,
        connection: &Connection,
        keys: &mut KeyIndex,
        rows_max: usize,
        counted_from: u64,
    ) -> Result<Flushed, StoreError> {
        if let Some(active) = &self.active {
            let mut done = active.done;
            let mut rows = 0;
            while done < active.items() && rows < rows_max {
                rows += write_item(connection, active, done, counted_from)?;
                done += 1;
            }
            let all = done == active.items();
            meta::set(connection, meta::FROZEN_SEQ, active.frozen.seq)?;
            meta::set(connection, meta::FROZEN_DONE, done as i64)?;
            if all {
                meta::set(connection, meta::FLUSHED_SEQ, active.frozen.seq)?;
                for (run, own) in active.runs() {
                    keys.complete_run(connection, run, own)?;
                }
            }
            return Ok(Flushed { done: Some(done), deleted_seq: None, all });
        }
        if self.deleted_seq < self.flushed_seq {
            let until = self.flushed_seq.min(self.deleted_seq + TAIL_ROWS_DELETED_PER_COMMIT);
            connection.prepare_cached("DELETE FROM tail_log WHERE seq <= ?1")?.execute([until])?;
            return Ok(Flushed { deleted_seq: Some(until), ..Flushed::default() });
        }
        Ok(Flushed::default())
    }

    pub(crate) fn committed(&mut self, flushed: Flushed, keys: &mut KeyIndex) {
        if let (Some(active), Some(done)) = (&mut self.active, flushed.done) {
            active.done = done;
            if flushed.all {
                active.runs().for_each(|(run, own)| keys.take_up(run, own));
                self.flushed_seq = active.frozen.seq;
                self.active = None;
            }
        }
        if let Some(deleted_seq) = flushed.deleted_seq {
            self.deleted_seq = deleted_seq;
        }
    }
}

/// Returns how many rows it wrote.
fn write_item(connection: &Connection, active: &Active, item: usize, counted_from: u64) -> Result<usize, StoreError> {
    if item < COUNTER_CHUNKS {
        return write_counters(connection, &active.frozen, item, counted_from);
    }
    let item = item - COUNTER_CHUNKS;
    if let Some(&(kind, owner)) = active.lists.get(item) {
        return write_list(connection, kind, owner, active.frozen.tail.list(kind, owner));
    }
    let mut block = item - active.lists.len();
    for (run, keys) in active.runs() {
        let blocks = keys.len().div_ceil(ENTRIES_PER_BLOCK);
        if block < blocks {
            let start = block * ENTRIES_PER_BLOCK;
            write_block(connection, run, &keys[start..keys.len().min(start + ENTRIES_PER_BLOCK)])?;
            break;
        }
        block -= blocks;
    }
    Ok(1)
}

fn write_counters(connection: &Connection, frozen: &Frozen, chunk: usize, counted_from: u64) -> Result<usize, StoreError> {
    let mut rows = 0;
    for (counter, from) in [(Counter::DeliveriesOfEndpoint, counted_from), (Counter::ReceiptsOfSource, 0)] {
        let own = frozen.tail.counters(counter).iter().filter(|((owner, minute), _)| counter_chunk(*owner) == chunk && *minute >= from);
        let mut counters: Vec<_> = own.map(|(key, counts)| (*key, *counts)).collect();
        counters.sort_unstable_by_key(|(key, _)| *key);
        add_to_counters(connection, counter, &counters)?;
        rows += counters.len();
    }
    rows += usage::write(connection, &frozen.tail.usage, |application| counter_chunk(application) == chunk)?;
    Ok(rows)
}

/// By owner and minute.
pub(crate) fn add_to_counters(connection: &Connection, counter: Counter, counters: &[((u64, u64), Counts)]) -> Result<(), StoreError> {
    let sql = match counter {
        Counter::DeliveriesOfEndpoint => {
            "INSERT INTO counter (endpoint, minute, pending, sending, success, fail, canceled) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET pending = pending + ?3, sending = sending + ?4, success = success + ?5, fail = fail + ?6,
                 canceled = canceled + ?7"
        }
        Counter::ReceiptsOfSource => {
            "INSERT INTO receipt_counter (source, minute, accepted, duplicate, handshake, quarantined, rejected)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET accepted = accepted + ?3, duplicate = duplicate + ?4, handshake = handshake + ?5,
                 quarantined = quarantined + ?6, rejected = rejected + ?7"
        }
    };
    let mut upsert = connection.prepare_cached(sql)?;
    for ((owner, minute), Counts([first, second, third, fourth, fifth])) in counters {
        upsert.execute(params![*owner as i64, *minute as i64, first, second, third, fourth, fifth])?;
    }
    Ok(())
}

/// Entries that are higher than all that the list has.
pub(crate) fn write_list(connection: &Connection, kind: ListKind, owner: u64, mut entries: &[Entry]) -> Result<usize, StoreError> {
    let mut rows = 0;
    let last_block: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT first_id, ids FROM posting WHERE kind = ?1 AND owner = ?2 ORDER BY first_id DESC LIMIT 1")?
        .query_row(params![kind as i64, owner as i64], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((first_id, ids)) = last_block.filter(|(_, ids)| ids.len() < MERGE_BELOW_BYTES) {
        let mut block = decode_block(kind, first_id, &ids)?;
        let (taken, rest) = entries.split_at(entries.len().min(BLOCK_ENTRIES_MAX - block.len().min(BLOCK_ENTRIES_MAX)));
        block.extend(taken);
        entries = rest;
        connection.prepare_cached("UPDATE posting SET last_id = ?4, ids = ?5 WHERE kind = ?1 AND owner = ?2 AND first_id = ?3")?.execute(
            params![kind as i64, owner as i64, first_id, block.last().map_or(first_id, |entry| entry.0 as i64), encode_block(kind, &block)],
        )?;
        rows += 1;
    }
    let mut insert = connection.prepare_cached("INSERT INTO posting (kind, owner, first_id, last_id, ids) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for block in entries.chunks(BLOCK_ENTRIES_MAX) {
        insert.execute(params![
            kind as i64,
            owner as i64,
            block[0].0 as i64,
            block[block.len() - 1].0 as i64,
            encode_block(kind, block)
        ])?;
        rows += 1;
    }
    Ok(rows)
}
