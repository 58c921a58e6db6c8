//! Moving from the embedded store to PostgreSQL and back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hookpost_domain::{DeliveryState, Entropy, RowId, SinkId, Timestamp};
use hookpost_store::conformance::fixture::{self, NOW, at, org};
use hookpost_store::conformance::{Harness, READY_GROUPS, model};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};
use hookpost_store::ledger::LogWindow;
use hookpost_store::queue::ReadyReceiver;
use hookpost_store::transfer::{Move, Moved, Transfer, TransferError, transfer};
use hookpost_store::usage::{COARSE_S, FINE_FOR_S, FINE_S, UsageCounts};
use hookpost_store::vault::Vault;
use hookpost_store::{History as _, LogEntry, LogName, Order, PageRequest, ProgressKey, SharedStore};
use hookpost_store_sqlite::{SqliteOptions, SqliteStore, SqliteTransfer};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::harness::{Counting, Node, Opening, WHOLE_HISTORY};
use super::server::TestDatabase;
use crate::{OpenError, PostgresTransfer};

fn vault() -> Vault {
    Vault::new(&[5; 32], Arc::new(Counting::default()))
}

fn directory_as_source(directory: &Path) -> SqliteTransfer {
    SqliteTransfer::source(directory, vault()).expect("a source")
}

fn directory_as_target(directory: &Path) -> SqliteTransfer {
    SqliteTransfer::target(directory, vault()).expect("a target")
}

async fn database_as_source(database: &TestDatabase) -> PostgresTransfer {
    PostgresTransfer::source(&database.url(), vault()).await.expect("a source")
}

async fn database_as_target(database: &TestDatabase) -> PostgresTransfer {
    PostgresTransfer::target(&database.url(), vault(), WHOLE_HISTORY).await.expect("a target")
}

async fn move_all(mut source: impl Transfer, mut target: impl Transfer) -> Result<Moved, TransferError> {
    transfer(&mut source, &mut target, &mut |_| {}).await
}

/// The embedded store in a directory of its own.
struct Embedded {
    directory: TempDir,
    shared: Option<SharedStore>,
    ready: ReadyReceiver,
}

impl Embedded {
    fn open_in(directory: TempDir) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
        let (ready, receiver) = mpsc::channel(READY_GROUPS);
        let vault = Vault::new(&[5; 32], Arc::clone(&entropy));
        let options = SqliteOptions { data_dir: directory.path().to_owned(), vault, ready: ready.into(), entropy, observer: None };
        let store = SqliteStore::open(options).expect("the store opens");
        Self { directory, shared: Some(store), ready: receiver }
    }

    fn open() -> Self {
        Self::open_in(tempfile::tempdir().expect("a directory"))
    }
}

/// Each reopening leads to PostgreSQL, and back into another directory.
struct ThereAndBack(Embedded);

#[async_trait]
impl Harness for ThereAndBack {
    fn store(&self) -> &SharedStore {
        self.0.shared.as_ref().expect("the store is open")
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        &mut self.0.ready
    }

    async fn reopen(&mut self) {
        self.0.shared = None;
        let (database, directory) = (TestDatabase::migrated().await, tempfile::tempdir().expect("a directory"));
        move_all(directory_as_source(self.0.directory.path()), database_as_target(&database).await).await.expect("moved there");
        move_all(database_as_source(&database).await, directory_as_target(directory.path())).await.expect("moved back");
        self.0 = Embedded::open_in(directory);
    }

    fn forgets_deleted_endpoints(&self) -> bool {
        true
    }
}

#[test]
fn an_embedded_store_that_was_moved_there_and_back_does_what_the_model_does() {
    model::check_against_model(300..308, async || ThereAndBack(Embedded::open()));
}

/// Each reopening leads to the embedded store, and back into another database.
struct BackAndThere {
    node: Option<Node>,
    shared: Option<SharedStore>,
    /// Last: dropped after those who use it.
    database: TestDatabase,
}

impl BackAndThere {
    async fn open() -> Self {
        let mut harness = Self { node: None, shared: None, database: TestDatabase::migrated().await };
        harness.start().await;
        harness
    }

    async fn start(&mut self) {
        let node = Opening::of(&self.database).open().await.expect("the store opens");
        self.shared = Some(node.store.clone());
        self.node = Some(node);
    }
}

#[async_trait]
impl Harness for BackAndThere {
    fn store(&self) -> &SharedStore {
        self.shared.as_ref().expect("the store is open")
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        &mut self.node.as_mut().expect("the store is open").ready
    }

    /// The node dies, and the time of its lease passes.
    async fn reopen(&mut self) {
        (self.shared, self.node) = (None, None);
        let client = self.database.connect().await;
        client.batch_execute("UPDATE hookpost.node SET alive_until = now() - interval '1 second'").await.expect("time passes");
        drop(client);
        let (database, directory) = (TestDatabase::migrated().await, tempfile::tempdir().expect("a directory"));
        move_all(database_as_source(&self.database).await, directory_as_target(directory.path())).await.expect("moved back");
        move_all(directory_as_source(directory.path()), database_as_target(&database).await).await.expect("moved there");
        self.database = database;
        self.start().await;
    }

    fn forgets_deleted_endpoints(&self) -> bool {
        true
    }
}

#[test]
fn a_node_whose_data_was_moved_back_and_there_does_what_the_model_does() {
    model::check_against_model(400..406, BackAndThere::open);
}

/// Something in each section; one message is delivered, one is pending.
async fn filled() -> TempDir {
    let mut harness = ThereAndBack(Embedded::open());
    let store = harness.store().clone();
    store.create_event_type(fixture::new_event_type(&store, org('a'), "invoice.paid")).await.expect("created");
    store.create_api_key(fixture::new_api_key(&store, org('a'), 1)).await.expect("created");
    let scene = fixture::scene(&store, 2).await;
    let leased = fixture::accept_leased(&mut harness, scene.message(), NOW).await;
    let records = leased.iter().map(|one| fixture::tried(one, 200, DeliveryState::Delivered, at(1))).collect();
    fixture::record(&store, records, at(1)).await;
    let message = hookpost_store::NewMessage { idempotency_key: fixture::key(3), ..scene.message() };
    fixture::accept(&store, message, at(2)).await;
    let id = store.new_row_id(NOW);
    let shelf = Shelf { kind: DocumentKind::Sink, org: org('a'), owner: RowId::MIN };
    let settings = Shelf { kind: DocumentKind::EnvironmentSettings, ..shelf.clone() };
    for (shelf, id, name) in [(shelf, id, Some("s".to_owned())), (settings, RowId::MAX, None)] {
        store.create_document(DocumentRow { shelf, id, name, data: b"{}".to_vec(), forget_at: Some(at(3)) }).await.expect("created");
    }
    let entry = LogEntry { log: LogName::AttemptsOfSink(SinkId::from_row(id)), id: store.new_row_id(NOW), data: b"entry".to_vec() };
    let key = ProgressKey { of: id, name: "a\0consumer".to_owned() };
    store.advance(key, Box::new(|_| Some(b"far".to_vec())), vec![entry]).await.expect("advanced");
    drop(store);
    let Embedded { directory, shared, .. } = harness.0;
    drop(shared);
    directory
}

/// In as many processes as there are pieces: each moves one and is killed.
async fn move_in_pieces(directory: &Path, database: &TestDatabase) -> Moved {
    loop {
        let (mut source, mut target) = (directory_as_source(directory), database_as_target(database).await);
        let mut moving = Move::begin(&mut source, &mut target).await.expect("begun or gone on");
        if !moving.step().await.expect("a piece is moved") {
            return moving.finish(&mut |_| {}).await.expect("both are the same");
        }
    }
}

#[tokio::test]
async fn a_move_goes_on_wherever_it_was_cut_short() {
    let (directory, database) = (filled().await, TestDatabase::empty().await);
    let moved = move_in_pieces(directory.path(), &database).await;
    let expected = [
        ("applications", 1),
        ("endpoints", 2),
        ("event types", 1),
        ("API keys", 1),
        ("messages", 2),
        ("deliveries", 4),
        ("attempts", 2),
        ("idempotency keys", 1),
        ("documents", 2),
        ("states of sinks", 1),
        ("entries of logs", 1),
        ("counts of usage", 1),
    ];
    assert_eq!(moved.counts().collect::<Vec<_>>(), expected);
    let node = Opening::of(&database).open().await.expect("the store opens");
    let page = hookpost_store::PageRequest::first(10, hookpost_store::Order::Ascending);
    let store: SharedStore = node.store.clone();
    let applications = store.applications(&org('a'), page).await.expect("available").items;
    assert_eq!(applications.len(), 1);
    let sinks = store.documents_of_kind(DocumentKind::Sink).await.expect("available");
    assert_eq!((sinks.len(), sinks[0].name.as_deref(), sinks[0].data.as_slice()), (1, Some("s"), b"{}".as_slice()));
    let key = ProgressKey { of: sinks[0].id, name: "a\0consumer".to_owned() };
    assert_eq!(store.progress(&key).await, Ok(Some(b"far".to_vec())));
    let counts = store.usage(applications[0].id, NOW - Duration::from_secs(3600), at(3600)).await.expect("available");
    assert_eq!(counts[0].counts, UsageCounts { messages: 2, deliveries: 4, success: 2, failure: 0, canceled: 0 });
    // New ids come after all that were moved.
    let last = store.log(&LogName::AttemptsOfSink(SinkId::from_row(sinks[0].id)), LogWindow::default(), page_of_entries()).await;
    assert!(store.new_row_id(Timestamp::ZERO) > last.expect("available").items[0].id);
}

fn page_of_entries() -> PageRequest<RowId> {
    PageRequest::first(9, Order::Ascending)
}

/// Some were folded into sums of hours, some of five minutes, and some not at all.
#[tokio::test]
async fn what_was_counted_is_moved_wherever_it_stands() {
    let (database, embedded) = (TestDatabase::migrated().await, tempfile::tempdir().expect("a directory"));
    let node = Opening::of(&database).open().await.expect("the store opens");
    let store: SharedStore = node.store.clone();
    let application = fixture::scene(&store, 0).await.application;
    let late = NOW + Duration::from_secs(FINE_FOR_S + 2 * COARSE_S);
    for time in [NOW, NOW + Duration::from_secs(FINE_S), late, late] {
        fixture::accept(&store, fixture::new_message(application, &[]), time).await;
        fixture::forget_all(&store, Duration::from_secs(30 * 86_400), late).await;
    }
    fixture::accept(&store, fixture::new_message(application, &[]), late).await;
    let counted = store.usage(application, Timestamp::ZERO, Timestamp::MAX).await.expect("available");
    assert_eq!(counted.iter().map(|usage| usage.counts.messages).sum::<u64>(), 5);
    node.store.close().await;
    move_all(database_as_source(&database).await, directory_as_target(embedded.path())).await.expect("moved");
    let back = TestDatabase::migrated().await;
    move_all(directory_as_source(embedded.path()), database_as_target(&back).await).await.expect("moved back");
    let node = Opening::of(&back).open().await.expect("the store opens");
    assert_eq!(node.store.usage(application, Timestamp::ZERO, Timestamp::MAX).await.expect("available"), counted);
}

#[tokio::test]
async fn no_node_opens_half_a_move() {
    let (first, second, database) = (filled().await, filled().await, TestDatabase::migrated().await);
    {
        let (mut source, mut target) = (directory_as_source(first.path()), database_as_target(&database).await);
        assert!(Move::begin(&mut source, &mut target).await.expect("begun").step().await.expect("moved"));
    }
    let opened = Opening::of(&database).open().await.map(drop);
    assert!(matches!(opened, Err(OpenError::HalfMoved { .. })), "{opened:?}");
    let source = PostgresTransfer::source(&database.url(), vault()).await;
    assert!(matches!(source, Err(OpenError::HalfMoved { .. })), "{source:?}");
    let refused = move_all(directory_as_source(second.path()), database_as_target(&database).await).await.expect_err("refused");
    assert!(matches!(refused, TransferError::OfAnotherMove { .. }), "{refused}");
    move_in_pieces(first.path(), &database).await;
    Opening::of(&database).open().await.expect("the store opens");
}

#[tokio::test]
async fn nobody_moves_beside_a_node() {
    let (directory, database) = (filled().await, TestDatabase::migrated().await);
    let node = Opening { name: Some("web-1"), lease: Duration::from_secs(30), ..Opening::of(&database) }.open().await.expect("it opens");
    for refused in [
        move_all(directory_as_source(directory.path()), database_as_target(&database).await).await,
        move_all(database_as_source(&database).await, directory_as_target(tempfile::tempdir().expect("a directory").path())).await,
    ] {
        let TransferError::InUse { by, .. } = refused.expect_err("refused") else { panic!("another refusal") };
        assert!(by.contains("web-1"), "{by}");
    }
    node.store.close().await;
    move_all(directory_as_source(directory.path()), database_as_target(&database).await).await.expect("moved");
    let refused = move_all(directory_as_source(directory.path()), database_as_target(&database).await).await;
    assert!(matches!(refused, Err(TransferError::NotEmpty(_))), "{refused:?}");
}

#[tokio::test]
async fn the_master_key_must_be_that_of_the_database() {
    let (directory, database) = (filled().await, TestDatabase::migrated().await);
    let empty = move_all(database_as_source(&database).await, directory_as_target(tempfile::tempdir().expect("a directory").path())).await;
    assert!(matches!(empty, Err(TransferError::NoData(_))), "{empty:?}");
    move_all(directory_as_source(directory.path()), database_as_target(&database).await).await.expect("moved");
    let other = Vault::new(&[6; 32], Arc::new(Counting::default()));
    let refused = PostgresTransfer::source(&database.url(), other).await;
    assert!(matches!(refused, Err(OpenError::WrongMasterKey(_))), "{refused:?}");
}

#[tokio::test]
async fn of_two_moves_at_once_one_ends() {
    let (directory, other, database) = (filled().await, tempfile::tempdir().expect("a directory"), TestDatabase::migrated().await);
    let middle = TestDatabase::migrated().await;
    move_all(directory_as_source(directory.path()), database_as_target(&middle).await).await.expect("moved");
    drop(other);
    let (mut first_source, mut first_target) = (database_as_source(&middle).await, database_as_target(&database).await);
    let (mut second_source, mut second_target) = (database_as_source(&middle).await, database_as_target(&database).await);
    let mut first = Move::begin(&mut first_source, &mut first_target).await.expect("begun");
    let mut second = Move::begin(&mut second_source, &mut second_target).await.expect("gone on");
    assert!(first.step().await.expect("moved"));
    let refused = second.step().await.expect_err("refused").to_string();
    assert!(refused.contains("another move into it is under way"), "{refused}");
    while first.step().await.expect("moved") {}
    first.finish(&mut |_| {}).await.expect("both are the same");
}
