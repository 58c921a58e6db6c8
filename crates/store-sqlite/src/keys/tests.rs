use super::*;
use crate::schema::{self, MIGRATIONS};

const PER_RUN: u64 = GENERATION_KEYS as u64 / 2;

fn key(n: u64) -> [u8; 16] {
    u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn made(n: u64) -> MadeOnce {
    MadeOnce { message: MessageId::from_row(RowId::from_raw(n)), created_at: at(n), window_s: REQUEST_WINDOW_S }
}

fn write(connection: &Connection, index: &mut KeyIndex, run: i64, keys: std::ops::Range<u64>) {
    let mut keys: Vec<KeyEntry> = keys.map(|n| (key(n), made(n))).collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    for block in keys.chunks(ENTRIES_PER_BLOCK) {
        write_block(connection, run, block).unwrap();
    }
    index.complete_run(connection, run, &keys).unwrap();
    index.take_up(run, &keys);
}

fn sweep(connection: &Connection, index: &mut KeyIndex, now: Timestamp) -> bool {
    let swept = index.sweep(connection, now).unwrap();
    index.swept(&swept);
    swept.more
}

fn count(connection: &Connection, of: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
}

/// Five half generations.
fn filled() -> (Connection, KeyIndex) {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    let mut index = KeyIndex::load(&connection).unwrap();
    for run in 0..5 {
        write(&connection, &mut index, run as i64, run * PER_RUN..(run + 1) * PER_RUN);
    }
    (connection, index)
}

#[test]
fn every_key_is_found_before_and_after_a_restart() {
    let (connection, index) = filled();
    for index in [&index, &KeyIndex::load(&connection).unwrap()] {
        assert_eq!(index.generations.iter().map(|one| one.runs.len()).collect::<Vec<_>>(), [2, 2, 1]);
        for n in (0..5 * PER_RUN).step_by(10_007) {
            assert_eq!(index.find(&connection, KeyClass::Request, &key(n)).unwrap(), Some(made(n)));
        }
        assert_eq!(index.find(&connection, KeyClass::Request, &key(5 * PER_RUN)).unwrap(), None);
        let new_keys = 5 * PER_RUN..5 * PER_RUN + 10_000;
        let in_vain = new_keys.filter(|n| index.generations.iter().any(|one| one.may_have(&key(*n)))).count();
        assert!(in_vain < 60, "{in_vain} of 10,000 new keys pass one of three filters");
    }
}

#[test]
fn a_key_that_came_again_after_its_window_is_found_as_the_newer() {
    let (connection, mut index) = filled();
    let again = made(99 * PER_RUN);
    index.complete_run(&connection, 9, &[(key(1), again)]).unwrap();
    write_block(&connection, 9, &[(key(1), again)]).unwrap();
    index.take_up(9, &[(key(1), again)]);
    assert_eq!(index.find(&connection, KeyClass::Request, &key(1)).unwrap(), Some(again));
}

/// No row is touched for a key: runs go as they are, two at a time.
#[test]
fn runs_go_when_their_youngest_key_is_past_its_window() {
    let (connection, mut index) = filled();
    let end = at(3 * PER_RUN - 1) + limits::IDEMPOTENCY_WINDOW;
    assert!(sweep(&connection, &mut index, end), "a third run is past its window");
    assert_eq!((count(&connection, "key_run"), count(&connection, "key_filter")), (3, 1));
    assert!(!sweep(&connection, &mut index, end));
    // The generation that lost one of its runs takes no other instead, also after a restart.
    for index in [&mut index, &mut KeyIndex::load(&connection).unwrap()] {
        assert_eq!(
            index.generations.iter().map(|one| (one.id, one.runs.len(), one.is_full())).collect::<Vec<_>>(),
            [(2, 1, true), (3, 1, false)]
        );
        assert_eq!(index.find(&connection, KeyClass::Request, &key(3 * PER_RUN - 1)).unwrap(), None);
        assert_eq!(index.find(&connection, KeyClass::Request, &key(3 * PER_RUN)).unwrap(), Some(made(3 * PER_RUN)));
    }
    let later = end + limits::IDEMPOTENCY_WINDOW;
    assert!(!sweep(&connection, &mut index, later));
    assert!(index.generations.is_empty());
    assert_eq!(["key_run", "key_block", "key_filter"].map(|table| count(&connection, table)), [0; 3]);
    write(&connection, &mut index, 10, 0..10);
    assert_eq!(index.find(&connection, KeyClass::Request, &key(3)).unwrap(), Some(made(3)));
}

/// A data directory of the first version: its live keys are kept, those past their window are left behind.
#[test]
fn the_table_of_keys_becomes_runs() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate_by(&mut connection, &MIGRATIONS[..1]).unwrap();
    let window = limits::IDEMPOTENCY_WINDOW.as_millis() as u64;
    let live = window..window + GENERATION_KEYS as u64 + 1000;
    connection.execute_batch("BEGIN").unwrap();
    for n in (0..100).chain(live.clone()) {
        connection
            .prepare_cached("INSERT INTO idempotency (key, message, at_ms) VALUES (?1, ?2, ?3)")
            .unwrap()
            .execute(params![key(n), n as i64, n as i64])
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    schema::migrate(&mut connection).unwrap();

    let mut index = KeyIndex::load(&connection).unwrap();
    assert_eq!(index.generations.iter().map(|one| one.keys).collect::<Vec<_>>(), [GENERATION_KEYS, 1000]);
    for n in live.clone().step_by(331).chain([live.end - 1]) {
        assert_eq!(index.find(&connection, KeyClass::Request, &key(n)).unwrap(), Some(made(n)));
    }
    assert_eq!(index.find(&connection, KeyClass::Request, &key(99)).unwrap(), None);
    write(&connection, &mut index, 1, live.end..live.end + 10);
    assert_eq!(index.find(&connection, KeyClass::Request, &key(live.end)).unwrap(), Some(made(live.end)));
    assert!(!sweep(&connection, &mut index, at(live.end - 1) + limits::IDEMPOTENCY_WINDOW));
    assert_eq!(count(&connection, "key_run"), 1);
}

/// Events have windows of their own, and runs that those of requests do not wait for.
#[test]
fn events_outlive_requests_each_for_its_window() {
    let (connection, mut index) = filled();
    let event = |n: u64, window_s| (key(n), MadeOnce { window_s, ..made(n) });
    let month_s = limits::DEDUPLICATION_WINDOW_MAX.as_secs() as u32;
    for (seq, window_s) in [(1, 60), (2, month_s)] {
        let mut events: Vec<KeyEntry> = (0..100).map(|n| event(n, window_s)).collect();
        events.sort_unstable_by_key(|(key, _)| *key);
        let run = KeyClass::Event.run_of_tail(seq);
        events.chunks(ENTRIES_PER_BLOCK).for_each(|block| write_block(&connection, run, block).unwrap());
        index.complete_run(&connection, run, &events).unwrap();
        index.take_up(run, &events);
    }
    for index in [&index, &KeyIndex::load(&connection).unwrap()] {
        assert_eq!(index.find(&connection, KeyClass::Event, &key(7)).unwrap(), Some(event(7, month_s).1));
        assert_eq!(index.find(&connection, KeyClass::Request, &key(7)).unwrap(), Some(made(7)));
        assert_eq!(index.find(&connection, KeyClass::Event, &key(100)).unwrap(), None);
    }
    let later = at(5 * PER_RUN) + limits::IDEMPOTENCY_WINDOW;
    while sweep(&connection, &mut index, later) {}
    let classes: Vec<_> = index.generations.iter().map(|one| (one.class, one.runs.len())).collect();
    assert_eq!(classes, [(KeyClass::Event, 1)], "the run of the short window went by itself");
    assert_eq!(index.find(&connection, KeyClass::Event, &key(7)).unwrap(), Some(event(7, month_s).1));
    while sweep(&connection, &mut index, at(99) + limits::DEDUPLICATION_WINDOW_MAX) {}
    assert!(index.generations.is_empty());
}

#[test]
fn runs_of_the_second_version_are_those_of_requests() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate_by(&mut connection, &MIGRATIONS[..2]).unwrap();
    let (seq, generation) = (5, 3);
    connection.execute("INSERT INTO key_run (run, generation, newest_ms, keys) VALUES (?1, ?2, 1000, 1)", [seq, generation]).unwrap();
    write_block(&connection, seq, &[(key(1), made(1000))]).unwrap();
    schema::migrate(&mut connection).unwrap();
    let mut index = KeyIndex::load(&connection).unwrap();
    assert_eq!(index.find(&connection, KeyClass::Request, &key(1)).unwrap(), Some(made(1000)));
    assert_eq!(index.find(&connection, KeyClass::Event, &key(1)).unwrap(), None);
    sweep(&connection, &mut index, at(999) + limits::IDEMPOTENCY_WINDOW);
    assert_eq!(index.generations.len(), 1);
    sweep(&connection, &mut index, at(1000) + limits::IDEMPOTENCY_WINDOW);
    assert!(index.generations.is_empty());
}
