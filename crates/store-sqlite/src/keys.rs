//! Idempotency keys on disk: sorted runs, and filters in memory that say of nearly every new key that it is in none of them.
//!
//! Clients draw keys at random, so one table by key would touch a page for each, when it comes and when it goes. Instead every frozen tail writes
//! its keys as a run of blocks, and a run is removed as a whole when its youngest key is past the window; whoever finds a key asks for its time.
//! Several runs share a filter: they are a generation. A filter may know more than the tables (of a commit that failed, of a run that is gone),
//! never less.

use hookpost_domain::{MessageId, RowId, Timestamp, limits};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use hookpost_store::codec::Unreadable;

/// What is kept of a key.
pub(crate) type KeyEntry = ([u8; 16], (MessageId, Timestamp));

/// A generation with at least this many keys takes no further run.
const GENERATION_KEYS: usize = 1 << 18;
/// One key in a thousand that is not there is looked for in vain.
const FILTER_BITS_PER_KEY: usize = 16;
const BITS_PER_FILTERED_KEY: u32 = 7;
const WORDS_PER_LINE: usize = 8;
const FILTER_WORDS: usize = GENERATION_KEYS * FILTER_BITS_PER_KEY / 64;

const ENTRY_BYTES: usize = 32;
/// What SQLite keeps of a row within a page of such a table; four rows fill the page.
pub(crate) const ENTRIES_PER_BLOCK: usize = 30;
/// Runs that one call of [`KeyIndex::sweep`] removes: a page for every hundred keys or so.
const RUNS_SWEPT_MAX: usize = 2;

const _: () = assert!(FILTER_WORDS.is_multiple_of(WORDS_PER_LINE));

#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// Oldest first; the last takes the next run.
    generations: Vec<Generation>,
}

#[derive(Debug)]
struct Generation {
    id: i64,
    keys: usize,
    runs: Vec<Run>,
    filter: Vec<u64>,
}

#[derive(Debug)]
struct Run {
    id: i64,
    newest: Timestamp,
}

/// What a commit removed, to be taken over by [`KeyIndex::swept`].
#[derive(Debug)]
pub(crate) struct Swept {
    runs: Vec<i64>,
    pub(crate) more: bool,
}

impl KeyIndex {
    pub(crate) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut generations: Vec<Generation> = Vec::new();
        let mut statement = connection.prepare("SELECT generation, run, newest_ms, keys FROM key_run ORDER BY generation, run")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if generations.last().is_none_or(|last| last.id != id) {
                generations.push(Generation::new(id));
            }
            let generation = generations.last_mut().expect("there is one");
            generation.runs.push(Run { id: row.get(1)?, newest: Timestamp::from_unix_ms(row.get::<_, i64>(2)? as u64) });
            generation.keys += row.get::<_, i64>(3)? as usize;
        }
        generations.iter_mut().try_for_each(|generation| generation.load_filter(connection))?;
        Ok(Self { generations })
    }

    /// The message that a key made last, if it is in a run.
    pub(crate) fn find(&self, connection: &Connection, key: &[u8; 16]) -> Result<Option<(MessageId, Timestamp)>, StoreError> {
        for generation in self.generations.iter().rev().filter(|generation| generation.may_have(key)) {
            for run in generation.runs.iter().rev() {
                let block: Option<Vec<u8>> = connection
                    .prepare_cached("SELECT entries FROM key_block WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1")?
                    .query_row(params![run.id, key], |row| row.get(0))
                    .optional()?;
                let entries: &[[u8; ENTRY_BYTES]] = block.as_deref().map_or(&[], |block| block.as_chunks().0);
                if let Ok(place) = entries.binary_search_by(|entry| entry[..16].cmp(key)) {
                    return Ok(Some(decode_entry(&entries[place]).1));
                }
            }
        }
        Ok(None)
    }

    /// All blocks of a run are written: says so in the table. For [`Self::find`] it is there from [`Self::take_up`] on.
    pub(crate) fn complete_run(&mut self, connection: &Connection, run: i64, keys: &[KeyEntry]) -> Result<(), StoreError> {
        let next = match self.generations.last() {
            Some(last) if !last.is_full() => None,
            last => Some(last.map_or(1, |last| last.id + 1)),
        };
        self.generations.extend(next.map(Generation::new));
        let generation = self.generations.last_mut().expect("there is one");
        keys.iter().for_each(|(key, _)| generation.insert(key));
        connection.prepare_cached("INSERT INTO key_run (run, generation, newest_ms, keys) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            run,
            generation.id,
            newest(keys).unix_ms() as i64,
            keys.len() as i64
        ])?;
        if generation.keys + keys.len() >= GENERATION_KEYS {
            let bits: Vec<u8> = generation.filter.iter().flat_map(|word| word.to_le_bytes()).collect();
            connection
                .prepare_cached("INSERT OR REPLACE INTO key_filter (generation, bits) VALUES (?1, ?2)")?
                .execute(params![generation.id, bits])?;
        }
        Ok(())
    }

    /// After the commit of what [`Self::complete_run`] wrote.
    pub(crate) fn take_up(&mut self, run: i64, keys: &[KeyEntry]) {
        let generation = self.generations.last_mut().expect("it was made when the run was completed");
        generation.keys += keys.len();
        generation.runs.push(Run { id: run, newest: newest(keys) });
    }

    /// Removes some of the runs that are past the window from the tables.
    pub(crate) fn sweep(&self, connection: &Connection, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept { runs: Vec::new(), more: false };
        for generation in &self.generations {
            let mut left = generation.runs.len();
            for run in generation.runs.iter().filter(|run| now.since(run.newest) >= limits::IDEMPOTENCY_WINDOW) {
                if swept.runs.len() == RUNS_SWEPT_MAX {
                    swept.more = true;
                    return Ok(swept);
                }
                connection.prepare_cached("DELETE FROM key_block WHERE run = ?1")?.execute([run.id])?;
                connection.prepare_cached("DELETE FROM key_run WHERE run = ?1")?.execute([run.id])?;
                swept.runs.push(run.id);
                left -= 1;
            }
            if left == 0 {
                connection.prepare_cached("DELETE FROM key_filter WHERE generation = ?1")?.execute([generation.id])?;
            }
        }
        Ok(swept)
    }

    /// After the commit of what [`Self::sweep`] removed.
    pub(crate) fn swept(&mut self, swept: &Swept) {
        for generation in &mut self.generations {
            generation.runs.retain(|run| !swept.runs.contains(&run.id));
        }
        self.generations.retain(|generation| !generation.runs.is_empty());
    }
}

impl Generation {
    fn new(id: i64) -> Self {
        Self { id, keys: 0, runs: Vec::new(), filter: vec![0; FILTER_WORDS] }
    }

    fn is_full(&self) -> bool {
        self.keys >= GENERATION_KEYS
    }

    fn load_filter(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let stored: Option<Vec<u8>> = connection
            .prepare_cached("SELECT bits FROM key_filter WHERE generation = ?1")?
            .query_row([self.id], |row| row.get(0))
            .optional()?;
        let Some(stored) = stored else { return self.runs.iter().try_for_each(|run| fill_filter(connection, run.id, &mut self.filter)) };
        if stored.len() != FILTER_WORDS * 8 {
            return Err(Unreadable { what: "filter of keys", why: "it has another length".to_owned() }.into());
        }
        self.filter = stored.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        // Some of its runs may be gone; it is full all the same.
        self.keys = self.keys.max(GENERATION_KEYS);
        Ok(())
    }

    fn insert(&mut self, key: &[u8; 16]) {
        insert(&mut self.filter, key);
    }

    fn may_have(&self, key: &[u8; 16]) -> bool {
        let (line, mut bits) = places(key);
        bits.all(|(word, bit)| self.filter[line + word] & bit != 0)
    }
}

fn fill_filter(connection: &Connection, run: i64, filter: &mut [u64]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT entries FROM key_block WHERE run = ?1")?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        for entry in row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?.as_chunks().0 {
            insert(filter, &decode_entry(entry).0);
        }
    }
    Ok(())
}

fn insert(filter: &mut [u64], key: &[u8; 16]) {
    let (line, bits) = places(key);
    for (word, bit) in bits {
        filter[line + word] |= bit;
    }
}

/// Keys are hashes already: their first half chooses a cache line, the second the bits in it.
fn places(key: &[u8; 16]) -> (usize, impl Iterator<Item = (usize, u64)>) {
    let [line, bits] = [0, 8].map(|start| u64::from_le_bytes(key[start..start + 8].try_into().expect("eight bytes")));
    let lines = (FILTER_WORDS / WORDS_PER_LINE) as u64;
    let line = ((u128::from(line) * u128::from(lines)) >> 64) as usize * WORDS_PER_LINE;
    let bits = (0..BITS_PER_FILTERED_KEY).map(move |n| bits >> (9 * n)).map(|bits| ((bits >> 6 & 7) as usize, 1 << (bits & 63)));
    (line, bits)
}

fn newest(keys: &[KeyEntry]) -> Timestamp {
    keys.iter().map(|(_, (_, at))| *at).max().unwrap_or_default()
}

/// A block as it is read in the order of the table.
pub(crate) struct Block {
    pub(crate) run: i64,
    pub(crate) first: Vec<u8>,
    pub(crate) entries: Vec<KeyEntry>,
}

/// Blocks of all runs, also of one that is not complete.
pub(crate) fn blocks_after(connection: &Connection, run: i64, first: &[u8], limit: usize) -> Result<Vec<Block>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT run, first, entries FROM key_block WHERE (run, first) > (?1, ?2) ORDER BY run, first LIMIT ?3")?;
    let rows = statement.query_map(params![run, first, limit as i64], |row| {
        let entries = row.get_ref(2)?.as_blob()?.as_chunks().0.iter().map(decode_entry).collect();
        Ok(Block { run: row.get(0)?, first: row.get(1)?, entries })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes runs of what is in the table `moving_key`, which is empty afterwards. Like the runs of the migration they have negative numbers.
pub(crate) fn make_runs(connection: &Connection) -> Result<(), StoreError> {
    let numbered = "(SELECT key, message, at_ms, row_number() OVER (ORDER BY key) - 1 AS n FROM moving_key)";
    connection.execute_batch(&format!(
        "INSERT INTO key_block (run, first, entries)
             SELECT -1 - n / {GENERATION_KEYS}, min(key),
                    unhex(group_concat(hex(key) || printf('%016X%016X', message, at_ms), '' ORDER BY n))
             FROM {numbered} GROUP BY n / {GENERATION_KEYS}, n % {GENERATION_KEYS} / {ENTRIES_PER_BLOCK};
         INSERT INTO key_run (run, generation, newest_ms, keys)
             SELECT -1 - n / {GENERATION_KEYS}, 1 + n / {GENERATION_KEYS}, max(at_ms), count(*)
             FROM {numbered} GROUP BY n / {GENERATION_KEYS};
         DELETE FROM moving_key"
    ))?;
    Ok(())
}

/// One block of a run.
pub(crate) fn write_block(connection: &Connection, run: i64, keys: &[KeyEntry]) -> Result<(), StoreError> {
    let mut block = Vec::with_capacity(keys.len() * ENTRY_BYTES);
    for (key, (message, at)) in keys {
        block.extend(key);
        block.extend(message.row().raw().to_be_bytes());
        block.extend(at.unix_ms().to_be_bytes());
    }
    connection
        .prepare_cached("INSERT INTO key_block (run, first, entries) VALUES (?1, ?2, ?3)")?
        .execute(params![run, keys[0].0, block])?;
    Ok(())
}

fn decode_entry(entry: &[u8; ENTRY_BYTES]) -> KeyEntry {
    let number = |start: usize| u64::from_be_bytes(entry[start..start + 8].try_into().expect("eight bytes"));
    let key = entry[..16].try_into().expect("sixteen bytes");
    (key, (MessageId::from_row(RowId::from_raw(number(16))), Timestamp::from_unix_ms(number(24))))
}

#[cfg(test)]
mod tests;
