//! Keys of requests and of events on disk: sorted runs, and filters in memory that say of nearly every new key that it is in none of them.
//!
//! Clients draw keys at random, so one table by key would touch a page for each, when it comes and when it goes. Instead every frozen tail writes
//! its keys as a run of blocks, and a run is removed as a whole when its youngest key is past the window; whoever finds a key asks for its time.
//! Several runs share a filter: they are a generation. A filter may know more than the tables (of a commit that failed, of a run that is gone),
//! never less.
//!
//! Keys of events are told apart for up to 30 days, those of requests for twelve hours: each class has runs of its own, so that the latter still go by
//! the run. What it costs: 32 bytes on disk and 2 in memory for each key that may still be asked for. A server that gets 100 events a second, all day,
//! and tells them apart for a week holds 60 million keys: 2 GB on disk and 120 MB in memory.

use hookpost_domain::{MessageId, RowId, Timestamp, limits};
use hookpost_store::MadeOnce;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use hookpost_store::codec::Unreadable;

/// What is kept of a key.
pub(crate) type KeyEntry = ([u8; 16], MadeOnce);

/// How long keys live. The numbers are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeyClass {
    /// Of requests to the API: for the idempotency window.
    Request = 0,
    /// Of events at a source: for as long as that says.
    Event = 1,
}

impl KeyClass {
    pub(crate) const ALL: [Self; 2] = [Self::Request, Self::Event];

    fn from_number(number: i64) -> Result<Self, Unreadable> {
        let known = Self::ALL.into_iter().find(|class| *class as i64 == number);
        known.ok_or_else(|| Unreadable { what: "run of keys", why: format!("class {number} is not known") })
    }

    /// Runs are named after the tail that they were; those of events stand behind all others. Made ones ([`make_runs`]) have the numbers before.
    fn first_run(self) -> i64 {
        match self {
            Self::Request => 0,
            Self::Event => 1 << 62,
        }
    }

    pub(crate) fn run_of_tail(self, seq: i64) -> i64 {
        self.first_run() + seq
    }

    /// All numbers that its runs can have.
    pub(crate) fn runs(self) -> std::ops::Range<i64> {
        match self {
            Self::Request => i64::MIN..1 << 61,
            Self::Event => 1 << 61..i64::MAX,
        }
    }

    fn of_run(run: i64) -> Self {
        if Self::Event.runs().contains(&run) { Self::Event } else { Self::Request }
    }
}

pub(crate) const REQUEST_WINDOW_S: u32 = limits::IDEMPOTENCY_WINDOW.as_secs() as u32;
/// Behind the time of an event's key stands its window, in one number: 42 bits of milliseconds, as in row ids, and 22 of seconds.
const WINDOW_BITS: u32 = 22;
const _: () =
    assert!(limits::DEDUPLICATION_WINDOW_MAX.as_secs() < 1 << WINDOW_BITS && Timestamp::MAX.unix_ms().leading_zeros() == WINDOW_BITS);

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
    class: KeyClass,
    keys: usize,
    runs: Vec<Run>,
    filter: Vec<u64>,
}

#[derive(Debug)]
struct Run {
    id: i64,
    /// From then on none of its keys is asked for.
    until: Timestamp,
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
        let mut statement = connection.prepare("SELECT generation, class, run, until_ms, keys FROM key_run ORDER BY generation, run")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if generations.last().is_none_or(|last| last.id != id) {
                generations.push(Generation::new(id, KeyClass::from_number(row.get(1)?)?));
            }
            let generation = generations.last_mut().expect("there is one");
            generation.runs.push(Run { id: row.get(2)?, until: Timestamp::from_unix_ms(row.get::<_, i64>(3)? as u64) });
            generation.keys += row.get::<_, i64>(4)? as usize;
        }
        generations.iter_mut().try_for_each(|generation| generation.load_filter(connection))?;
        Ok(Self { generations })
    }

    /// The message that a key made last, if it is in a run.
    pub(crate) fn find(&self, connection: &Connection, class: KeyClass, key: &[u8; 16]) -> Result<Option<MadeOnce>, StoreError> {
        for generation in self.generations.iter().rev().filter(|generation| generation.class == class && generation.may_have(key)) {
            for run in generation.runs.iter().rev() {
                let block: Option<Vec<u8>> = connection
                    .prepare_cached("SELECT entries FROM key_block WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1")?
                    .query_row(params![run.id, key], |row| row.get(0))
                    .optional()?;
                let entries: &[[u8; ENTRY_BYTES]] = block.as_deref().map_or(&[], |block| block.as_chunks().0);
                if let Ok(place) = entries.binary_search_by(|entry| entry[..16].cmp(key)) {
                    return Ok(Some(decode_entry(class, &entries[place]).1));
                }
            }
        }
        Ok(None)
    }

    /// All blocks of a run are written: says so in the table. For [`Self::find`] it is there from [`Self::take_up`] on.
    pub(crate) fn complete_run(&mut self, connection: &Connection, run: i64, keys: &[KeyEntry]) -> Result<(), StoreError> {
        let class = KeyClass::of_run(run);
        if self.open(class).is_none() {
            let next = self.generations.last().map_or(1, |last| last.id + 1);
            self.generations.push(Generation::new(next, class));
        }
        let generation = self.open(class).expect("there is one");
        keys.iter().for_each(|(key, _)| generation.insert(key));
        connection
            .prepare_cached("INSERT INTO key_run (run, class, generation, until_ms, keys) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![run, class as i64, generation.id, until(keys).unix_ms() as i64, keys.len() as i64])?;
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
        let generation = self.open(KeyClass::of_run(run)).expect("it was made when the run was completed");
        generation.keys += keys.len();
        generation.runs.push(Run { id: run, until: until(keys) });
    }

    /// The generation that takes the next run.
    fn open(&mut self, class: KeyClass) -> Option<&mut Generation> {
        self.generations.iter_mut().rev().find(|generation| generation.class == class).filter(|generation| !generation.is_full())
    }

    /// Removes some of the runs that are past the window from the tables.
    pub(crate) fn sweep(&self, connection: &Connection, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept { runs: Vec::new(), more: false };
        for generation in &self.generations {
            let mut left = generation.runs.len();
            for run in generation.runs.iter().filter(|run| run.until <= now) {
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
    fn new(id: i64, class: KeyClass) -> Self {
        Self { id, class, keys: 0, runs: Vec::new(), filter: vec![0; FILTER_WORDS] }
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
            insert(filter, &decode_entry(KeyClass::of_run(run), entry).0);
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

fn until(keys: &[KeyEntry]) -> Timestamp {
    keys.iter().map(|(_, made)| made.until()).max().unwrap_or_default()
}

/// A block as it is read in the order of the table.
pub(crate) struct Block {
    pub(crate) run: i64,
    pub(crate) first: Vec<u8>,
    pub(crate) entries: Vec<KeyEntry>,
}

/// Blocks of all runs of a class, also of one that is not complete.
pub(crate) fn blocks_after(
    connection: &Connection,
    class: KeyClass,
    run: i64,
    first: &[u8],
    limit: usize,
) -> Result<Vec<Block>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT run, first, entries FROM key_block WHERE (run, first) > (?1, ?2) AND run < ?3 ORDER BY run, first LIMIT ?4",
    )?;
    let rows = statement.query_map(params![run, first, class.runs().end, limit as i64], |row| {
        let entries = row.get_ref(2)?.as_blob()?.as_chunks().0.iter().map(|entry| decode_entry(class, entry)).collect();
        Ok(Block { run: row.get(0)?, first: row.get(1)?, entries })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes runs of what is in the table `moving_key`, which is empty afterwards. Like the runs of the migration they have numbers before those of tails.
pub(crate) fn make_runs(connection: &Connection, class: KeyClass) -> Result<(), StoreError> {
    let numbered = format!(
        "(SELECT key, message, at_ms, window_s, row_number() OVER (ORDER BY key) - 1 AS n FROM moving_key WHERE class = {})",
        class as i64
    );
    let first_run = class.first_run();
    let time = match class {
        KeyClass::Request => "at_ms".to_owned(),
        KeyClass::Event => format!("(at_ms << {WINDOW_BITS}) + window_s"),
    };
    connection.execute_batch(&format!(
        "INSERT INTO key_block (run, first, entries)
             SELECT {first_run} - 1 - n / {GENERATION_KEYS}, min(key),
                    unhex(group_concat(hex(key) || printf('%016X%016X', message, {time}), '' ORDER BY n))
             FROM {numbered} GROUP BY n / {GENERATION_KEYS}, n % {GENERATION_KEYS} / {ENTRIES_PER_BLOCK};
         INSERT INTO key_run (run, class, generation, until_ms, keys)
             SELECT {first_run} - 1 - n / {GENERATION_KEYS}, {class},
                 (SELECT coalesce(max(generation), 0) FROM key_run) + 1 + n / {GENERATION_KEYS}, max(at_ms + window_s * 1000), count(*)
             FROM {numbered} GROUP BY n / {GENERATION_KEYS};
         DELETE FROM moving_key WHERE class = {class}",
        class = class as i64
    ))?;
    Ok(())
}

/// One block of a run.
pub(crate) fn write_block(connection: &Connection, run: i64, keys: &[KeyEntry]) -> Result<(), StoreError> {
    let mut block = Vec::with_capacity(keys.len() * ENTRY_BYTES);
    for (key, made) in keys {
        let at_ms = made.created_at.unix_ms();
        let time = match KeyClass::of_run(run) {
            KeyClass::Request => at_ms,
            KeyClass::Event => at_ms << WINDOW_BITS | u64::from(made.window_s),
        };
        block.extend(key);
        block.extend(made.message.row().raw().to_be_bytes());
        block.extend(time.to_be_bytes());
    }
    connection
        .prepare_cached("INSERT INTO key_block (run, first, entries) VALUES (?1, ?2, ?3)")?
        .execute(params![run, keys[0].0, block])?;
    Ok(())
}

fn decode_entry(class: KeyClass, entry: &[u8; ENTRY_BYTES]) -> KeyEntry {
    let number = |start: usize| u64::from_be_bytes(entry[start..start + 8].try_into().expect("eight bytes"));
    let (at_ms, window_s) = match class {
        KeyClass::Request => (number(24), REQUEST_WINDOW_S),
        KeyClass::Event => (number(24) >> WINDOW_BITS, (number(24) & ((1 << WINDOW_BITS) - 1)) as u32),
    };
    let key = entry[..16].try_into().expect("sixteen bytes");
    let message = MessageId::from_row(RowId::from_raw(number(16)));
    (key, MadeOnce { message, created_at: Timestamp::from_unix_ms(at_ms), window_s })
}

#[cfg(test)]
mod tests;
