//! Deliveries by status and receipts by verdict, per owner and minute: the table, and what the tail adds to it.

use std::ops::Range;
use std::sync::atomic::Ordering;

use hookpost_domain::RowId;
use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::flush::counter_chunk;
use crate::schema::meta;
use crate::shared::Shared;
use crate::tail::{Counter, Counts, Tail};

/// The sum over the minutes. Counters in memory are differences to the table, so both must be of one moment: the table says how much of
/// the frozen tail is in it, and where that does not fit what was copied from memory, it is looked at again.
pub(crate) fn of_owner(
    shared: &Shared,
    connection: &Connection,
    counter: Counter,
    owner: RowId,
    mut minutes: Range<u64>,
) -> Result<Counts, StoreError> {
    let raw = owner.raw();
    if counter == Counter::DeliveriesOfEndpoint {
        minutes.start = minutes.start.max(shared.counted_from.load(Ordering::Relaxed));
    }
    let in_tail = |tail: &Tail| in_tail(tail, counter, raw, &minutes);
    of_one_moment(shared, connection, raw, in_tail, |connection| in_table(connection, counter, raw, &minutes), Counts::add)
}

/// What is counted of an owner in memory and in the table, added up.
pub(crate) fn of_one_moment<T>(
    shared: &Shared,
    connection: &Connection,
    owner: u64,
    in_tail: impl Fn(&Tail) -> T,
    in_table: impl Fn(&Connection) -> Result<T, StoreError>,
    add: impl Fn(&mut T, T),
) -> Result<T, StoreError> {
    loop {
        let (mut counts, frozen, last_frozen_seq) = {
            let tails = shared.tails.read();
            let frozen = tails.frozen.as_ref().map(|frozen| (frozen.seq, in_tail(&frozen.tail)));
            (in_tail(&tails.live), frozen, tails.last_frozen_seq)
        };
        let (frozen_seq, frozen_done, stored) = in_one_snapshot(connection, |connection| {
            let frozen_seq = meta::number(connection, meta::FROZEN_SEQ)?;
            Ok((frozen_seq, meta::number(connection, meta::FROZEN_DONE)?, in_table(connection)?))
        })?;
        if frozen_seq > last_frozen_seq {
            continue;
        }
        if let Some((seq, frozen)) = frozen {
            let is_stored = frozen_seq == seq && counter_chunk(owner) < frozen_done as usize;
            if !is_stored {
                add(&mut counts, frozen);
            }
        }
        add(&mut counts, stored);
        return Ok(counts);
    }
}

/// The writer is within a transaction already.
fn in_one_snapshot<T>(connection: &Connection, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    if !connection.is_autocommit() {
        return read(connection);
    }
    let snapshot = connection.unchecked_transaction()?;
    read(&snapshot)
}

fn in_tail(tail: &Tail, counter: Counter, own: u64, minutes: &Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for ((owner, minute), change) in tail.counters(counter) {
        if *owner == own && minutes.contains(minute) {
            counts.add(*change);
        }
    }
    counts
}

fn in_table(connection: &Connection, counter: Counter, owner: u64, minutes: &Range<u64>) -> Result<Counts, StoreError> {
    let sql = match counter {
        Counter::DeliveriesOfEndpoint => {
            "SELECT coalesce(sum(pending), 0), coalesce(sum(sending), 0), coalesce(sum(success), 0), coalesce(sum(fail), 0),
                 coalesce(sum(canceled), 0)
             FROM counter WHERE endpoint = ?1 AND minute >= ?2 AND minute < ?3"
        }
        Counter::ReceiptsOfSource => {
            "SELECT coalesce(sum(accepted), 0), coalesce(sum(duplicate), 0), coalesce(sum(handshake), 0), coalesce(sum(quarantined), 0),
                 coalesce(sum(rejected), 0)
             FROM receipt_counter WHERE source = ?1 AND minute >= ?2 AND minute < ?3"
        }
    };
    Ok(connection.prepare_cached(sql)?.query_row(params![owner as i64, minutes.start as i64, minutes.end as i64], |row| {
        Ok(Counts([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))
    })?)
}
