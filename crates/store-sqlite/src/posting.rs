//! Lists of ids by owner, read from both the tail and the table.
//!
//! Ids of one owner are added in growing order only, so blocks do not overlap and everything in memory is younger than everything
//! in the table, but for what `flush` moved in between; that is seen twice here, never missed, because memory is looked at first.

use parking_lot::RwLock;
use rusqlite::Connection;

use crate::StoreError;
use crate::tail::{Entry, ListKind, Tails};
use hookpost_store::codec::{Unreadable, put_varint, take_varint};

/// Enough for short keys and few rows, little enough to decode for a page of fifty.
pub(crate) const BLOCK_ENTRIES_MAX: usize = 512;

/// Which part of a list is wanted: ids within inclusive bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) lowest: u64,
    pub(crate) highest: u64,
}

impl Span {
    pub(crate) const ALL: Self = Self { lowest: 0, highest: i64::MAX as u64 };

    fn contains(self, id: u64) -> bool {
        self.lowest <= id && id <= self.highest
    }
}

/// The first `count` entries of the span, in ascending order.
pub(crate) fn ascending(
    connection: &Connection,
    tails: &RwLock<Tails>,
    kind: ListKind,
    owner: u64,
    span: Span,
    count: usize,
) -> Result<Vec<Entry>, StoreError> {
    let in_memory = {
        let tails = tails.read();
        let mut found: Vec<Entry> = Vec::new();
        for tail in tails.parts() {
            let list = tail.list(kind, owner);
            let start = list.partition_point(|entry| entry.0 < span.lowest);
            found.extend(list[start..].iter().take_while(|entry| entry.0 <= span.highest).take(count - found.len()));
        }
        found
    };
    let mut entries = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT first_id, ids FROM posting
         WHERE kind = ?1 AND owner = ?2 AND first_id <= ?4 AND first_id >= coalesce(
             (SELECT first_id FROM posting WHERE kind = ?1 AND owner = ?2 AND first_id <= ?3 ORDER BY first_id DESC LIMIT 1), ?3)
         ORDER BY first_id",
    )?;
    let mut rows = statement.query((kind as i64, owner as i64, span.lowest as i64, span.highest as i64))?;
    while entries.len() < count
        && let Some(row) = rows.next()?
    {
        let block = decode_block(kind, row.get(0)?, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        entries.extend(block.into_iter().filter(|entry| span.contains(entry.0)));
    }
    let last = entries.last().map(|entry| entry.0);
    entries.extend(in_memory.into_iter().filter(|entry| last.is_none_or(|last| entry.0 > last)));
    entries.truncate(count);
    Ok(entries)
}

/// The last `count` entries of the span, in descending order.
pub(crate) fn descending(
    connection: &Connection,
    tails: &RwLock<Tails>,
    kind: ListKind,
    owner: u64,
    mut span: Span,
    count: usize,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    {
        let tails = tails.read();
        for tail in tails.parts().rev() {
            let list = tail.list(kind, owner);
            let end = list.partition_point(|entry| entry.0 <= span.highest);
            entries.extend(list[..end].iter().rev().take_while(|entry| entry.0 >= span.lowest).take(count - entries.len()));
        }
    }
    if let Some(lowest) = entries.last() {
        span.highest = lowest.0 - 1;
    }
    if entries.len() >= count {
        return Ok(entries);
    }
    let mut statement = connection
        .prepare_cached("SELECT first_id, ids FROM posting WHERE kind = ?1 AND owner = ?2 AND first_id <= ?3 ORDER BY first_id DESC")?;
    let mut rows = statement.query((kind as i64, owner as i64, span.highest as i64))?;
    while entries.len() < count
        && let Some(row) = rows.next()?
    {
        let first_id: i64 = row.get(0)?;
        let block = decode_block(kind, first_id, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        entries.extend(block.into_iter().rev().filter(|entry| span.contains(entry.0)));
        if (first_id as u64) < span.lowest {
            break;
        }
    }
    entries.truncate(count);
    Ok(entries)
}

/// The ids after the first as differences; with each attempt how far its message lies back.
pub(crate) fn encode_block(kind: ListKind, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 4);
    let mut previous = entries.first().map_or(0, |entry| entry.0);
    for (index, &(id, message)) in entries.iter().enumerate() {
        if index > 0 {
            put_varint(&mut bytes, id - previous);
            previous = id;
        }
        if kind == ListKind::AttemptsOfEndpoint {
            put_varint(&mut bytes, id.wrapping_sub(message));
        }
    }
    bytes
}

pub(crate) fn decode_block(kind: ListKind, first_id: i64, mut bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    let ends_early = || Unreadable { what: "list", why: "it ends early".to_owned() };
    let mut id = first_id as u64;
    let mut entries = Vec::new();
    let with_message = kind == ListKind::AttemptsOfEndpoint;
    let message = |id: u64, bytes: &mut &[u8]| {
        if with_message { take_varint(bytes).map(|back| id.wrapping_sub(back)).ok_or_else(ends_early) } else { Ok(0) }
    };
    entries.push((id, message(id, &mut bytes)?));
    while !bytes.is_empty() {
        id = id.wrapping_add(take_varint(&mut bytes).ok_or_else(ends_early)?);
        entries.push((id, message(id, &mut bytes)?));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        for (kind, entries) in [
            (ListKind::MessagesOfEndpoint, vec![(7, 0)]),
            (ListKind::MessagesOfApplication, vec![(7, 0), (8, 0), (u64::MAX >> 1, 0)]),
            (ListKind::AttemptsOfEndpoint, vec![(700, 3), (701, 690), (9000, 2)]),
        ] {
            let bytes = encode_block(kind, &entries);
            assert_eq!(decode_block(kind, entries[0].0 as i64, &bytes), Ok(entries));
        }
    }
}
