//! Opening: what is refused, and how it is said.

use hookpost_domain::{RowId, Timestamp};
use hookpost_store::conformance::Harness;
use hookpost_store::conformance::fixture::{self, NOW};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};
use hookpost_store::intake::{IdempotencyKey, KeptAnswer};
use hookpost_store::{FeedLimits, Intake as _, Named};
use rusqlite::Connection;

use super::harness::{SqliteHarness, open, open_with_key};
use crate::schema::{self, MIGRATIONS, SCHEMA_VERSION};
use crate::{DATABASE_FILE, OpenError};

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _ready) = open(directory.path());
    let refused = open_with_key(directory.path(), &[5; 32]).unwrap_err().to_string();
    let expected = format!(
        "the data directory {} is in use by process {}: stop it, or choose another with --data-dir",
        directory.path().display(),
        std::process::id()
    );
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn another_master_key_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    assert!(matches!(open_with_key(directory.path(), &[6; 32]), Err(OpenError::WrongMasterKey(_))));
    // And nothing was spoiled by trying.
    drop(open(directory.path()));
}

#[tokio::test]
async fn a_missing_directory_is_made_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("a/b");
    drop(open(&data_dir));
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&data_dir).unwrap().permissions()) & 0o777, 0o700);
}

#[tokio::test]
async fn what_is_no_directory_is_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = open_with_key(&file.join("data"), &[5; 32]).unwrap_err().to_string();
    assert!(refused.starts_with(&format!("the data directory {} cannot be used: ", file.join("data").display())), "{refused}");
}

/// The log is brought into the database while the store is written to, and is empty once it is closed.
#[tokio::test]
async fn the_log_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let log_bytes = || std::fs::metadata(directory.path().join(format!("{DATABASE_FILE}-wal"))).map_or(0, |file| file.len());
    let (store, _ready) = open(directory.path());
    let mut largest = 0;
    for number in 0..400_u128 {
        let answer = KeptAnswer { status: 201, body: vec![b'x'; 192_000] };
        store.keep_answer(IdempotencyKey(number.to_be_bytes()), answer, Timestamp::from_unix_ms(1)).await.unwrap();
        largest = largest.max(log_bytes());
    }
    assert!(largest > 0 && largest < 48 << 20, "the log grew to {largest} bytes");
    store.close().await;
    assert_eq!(log_bytes(), 0);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let connection = Connection::open(directory.path().join(DATABASE_FILE)).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    let refused = open_with_key(directory.path(), &[5; 32]).unwrap_err();
    assert!(matches!(refused, OpenError::NewerSchema { found: 999, known: SCHEMA_VERSION }), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(DATABASE_FILE), [7; 8192]).unwrap();
    let refused = open_with_key(directory.path(), &[5; 32]).unwrap_err().to_string();
    assert!(refused.contains("the database file is damaged"), "{refused}");
}

/// Future versions add scripts to the list: each is applied once, in order, with its version, or not at all.
#[test]
fn migrations_go_step_by_step() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    connection.execute("INSERT INTO meta (name, value) VALUES ('kept', 'yes')", []).unwrap();

    let longer = [MIGRATIONS, &["ALTER TABLE health ADD COLUMN note TEXT", "CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT"]].concat();
    schema::migrate_by(&mut connection, &longer).unwrap();
    schema::migrate_by(&mut connection, &longer).unwrap();
    assert_eq!(schema::schema_version(&connection).unwrap(), SCHEMA_VERSION + 2);
    let kept: String = connection.query_row("SELECT value FROM meta WHERE name = 'kept'", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "yes");

    let broken = [longer.as_slice(), &["CREATE TABLE half (id INTEGER PRIMARY KEY); SELECT nonsense"]].concat();
    assert!(schema::migrate_by(&mut connection, &broken).is_err());
    assert_eq!(schema::schema_version(&connection).unwrap(), SCHEMA_VERSION + 2);
    let halves: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |row| row.get(0)).unwrap();
    assert_eq!(halves, 0);
}

/// A data directory of the third version: what it has is there, usage begins to be counted, and documents can be kept.
#[tokio::test]
async fn what_the_third_version_left_is_taken_up() {
    let mut harness = SqliteHarness::open().await;
    let scene = fixture::scene(harness.store(), 1).await;
    let old = fixture::accept(harness.store(), scene.message(), NOW).await.id;
    // Nothing of this version in the journal of the tail.
    harness.sqlite().shared.limits.store_small();
    for _ in 0..100 {
        harness.in_writer(|_| Ok(())).await.unwrap();
    }
    harness.drop_store();
    let connection = Connection::open(harness.directory.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch("DROP TABLE document; DROP TABLE progress; DROP TABLE log_entry; DROP TABLE usage").unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    drop(connection);

    harness.reopen().await;
    let new = fixture::accept(harness.store(), scene.message(), NOW).await.id;
    let document = DocumentRow {
        shelf: Shelf { kind: DocumentKind::Stream, org: fixture::org('a'), owner: RowId::MIN },
        id: harness.store().new_row_id(NOW),
        name: None,
        data: vec![1],
        forget_at: None,
    };
    harness.store().create_document(document.clone()).await.unwrap();
    for _ in 0..2 {
        let store = harness.store();
        let feed = store.feed(scene.application, None, FeedLimits { messages: 9, payload_bytes: 99 }).await.unwrap();
        assert_eq!(feed.messages.iter().map(|message| message.id).collect::<Vec<_>>(), [old, new]);
        let usage = store.usage(scene.application, Timestamp::ZERO, Timestamp::MAX).await.unwrap();
        assert_eq!(usage.iter().map(|one| one.counts.messages).collect::<Vec<_>>(), [1]);
        assert_eq!(store.document(&document.shelf, Named::Id(document.id)).await.unwrap().as_ref(), Some(&document));
        harness.reopen().await;
    }
}
