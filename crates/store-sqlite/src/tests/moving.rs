//! Moving from one directory to another.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hookpost_domain::{DeliveryState, RowId};
use hookpost_store::conformance::fixture::door;
use hookpost_store::conformance::fixture::{self, NOW, accept, accept_leased, at, org};
use hookpost_store::conformance::{Harness, model};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};
use hookpost_store::ledger::LogWindow;
use hookpost_store::queue::ReadyReceiver;
use hookpost_store::transfer::{Kind, Move, Moved, TransferError, transfer};
use hookpost_store::vault::Vault;
use hookpost_store::{LogEntry, LogName, Named, Order, PageRequest, ProgressKey, Reference, SharedStore};
use tempfile::TempDir;

use super::harness::{Counting, SqliteHarness, open, open_with_key};
use crate::{OpenError, SqliteTransfer};

fn vault() -> Vault {
    Vault::new(&[5; 32], Arc::new(Counting::default()))
}

fn ends(source: &Path, target: &Path) -> (SqliteTransfer, SqliteTransfer) {
    (SqliteTransfer::source(source, vault()).expect("a source"), SqliteTransfer::target(target, vault()).expect("a target"))
}

/// In as many processes as there are pieces: each moves one and is killed.
pub(super) async fn move_in_pieces(source: &Path, target: &Path) -> Moved {
    loop {
        let (mut source, mut target) = ends(source, target);
        let mut moving = Move::begin(&mut source, &mut target).await.expect("begun or gone on");
        if !moving.step().await.expect("a piece is moved") {
            return moving.finish(&mut |_| {}).await.expect("both are the same");
        }
    }
}

/// A store that moves to another directory whenever it is reopened.
struct MovingHarness(SqliteHarness);

#[async_trait]
impl Harness for MovingHarness {
    fn store(&self) -> &SharedStore {
        self.0.store()
    }

    fn ready(&mut self) -> &mut ReadyReceiver {
        self.0.ready()
    }

    async fn reopen(&mut self) {
        self.0.drop_store();
        let directory = tempfile::tempdir().expect("a directory");
        move_in_pieces(self.0.directory.path(), directory.path()).await;
        self.0 = SqliteHarness::open_in(directory);
    }

    fn forgets_deleted_endpoints(&self) -> bool {
        true
    }
}

#[test]
fn a_moved_store_does_what_the_model_does() {
    model::check_against_model(200..225, async || MovingHarness(SqliteHarness::open().await));
}

/// A store with something in each section; three messages, of which one is delivered.
async fn filled() -> SqliteHarness {
    let mut harness = SqliteHarness::open().await;
    let store = harness.store().clone();
    store.create_event_type(fixture::new_event_type(&store, org('a'), "invoice.paid")).await.expect("created");
    store.create_api_key(fixture::new_api_key(&store, org('a'), 1)).await.expect("created");
    let scene = fixture::scene(&store, 2).await;
    let leased = accept_leased(&mut harness, scene.message(), NOW).await;
    let records = leased.iter().map(|one| fixture::tried(one, 200, DeliveryState::Delivered, at(1))).collect();
    fixture::record(&store, records, at(1)).await;
    accept(&store, hookpost_store::NewMessage { idempotency_key: fixture::key(3), ..scene.message() }, at(2)).await;
    let source = door::source_of(&store, &scene).await.id;
    store.set_source_state(source, vec![7]).await.expect("kept");
    let repeated = door::genuine(source, fixture::new_message(scene.application, &[]), door::once(3, fixture::DAY));
    door::receive(&store, repeated.clone(), at(3)).await;
    door::receive(&store, repeated, at(4)).await;
    let id = store.new_row_id(at(5));
    store.create_document(document()).await.expect("created");
    let log = LogName::Audit(org('a'));
    let entry = LogEntry { log, id, data: vec![8] };
    store.advance(ProgressKey { of: RowId::from_raw(7), name: "b".into() }, Box::new(|_| Some(vec![9])), vec![entry]).await.expect("kept");
    harness
}

/// Of which there is one, with an id that was never handed out.
fn document() -> DocumentRow {
    let shelf = Shelf { kind: DocumentKind::EnvironmentSettings, org: org('a'), owner: RowId::MIN };
    DocumentRow { shelf, id: RowId::MAX, name: Some("settings".into()), data: b"{}".to_vec(), forget_at: Some(at(99)) }
}

async fn refusal(source: &Path, target: &Path) -> TransferError {
    let (mut source, mut target) = ends(source, target);
    transfer(&mut source, &mut target, &mut |_| {}).await.expect_err("refused")
}

#[tokio::test]
async fn ids_and_counts_stay() {
    let mut harness = filled().await;
    let ids = harness.store().public_ids().clone();
    harness.drop_store();
    let target = tempfile::tempdir().expect("a directory");
    let moved = move_in_pieces(harness.directory.path(), target.path()).await;
    let counts: Vec<_> = moved.counts().collect();
    assert_eq!(
        counts,
        [
            ("applications", 1),
            ("endpoints", 2),
            ("event types", 1),
            ("API keys", 1),
            ("messages", 3),
            ("deliveries", 4),
            ("attempts", 2),
            ("idempotency keys", 1),
            ("sources", 1),
            ("states of sources", 1),
            ("receipts", 2),
            ("keys of events", 1),
            ("documents", 1),
            ("states of sinks", 1),
            ("entries of logs", 1),
            ("counts of usage", 1)
        ]
    );
    assert_eq!(moved.tally.count(Kind::Deliveries), 4);
    let (store, _ready) = open(target.path());
    let store: SharedStore = store;
    let moved = store.document(&document().shelf, Named::Name("settings")).await.expect("available");
    assert_eq!(moved, Some(document()));
    let progress = store.progress(&ProgressKey { of: RowId::from_raw(7), name: "b".into() }).await;
    assert_eq!(progress, Ok(Some(vec![9])));
    let log = store.log(&LogName::Audit(org('a')), LogWindow::default(), PageRequest::first(9, Order::Ascending)).await;
    assert_eq!(log.expect("available").items.iter().map(|entry| entry.data.as_slice()).collect::<Vec<_>>(), [[8]]);
    let id = hookpost_domain::MessageId::from_row(store.new_row_id(NOW));
    assert_eq!(store.public_ids().encode(id), ids.encode(id));
    let Reference::Id(_) = Reference::<hookpost_domain::id::MessageKind>::parse(store.public_ids(), &ids.encode(id)) else {
        panic!("the new store does not know the ids of the old one")
    };
}

#[tokio::test]
async fn half_a_move_is_not_opened_and_belongs_to_its_source() {
    let (mut first, mut second) = (filled().await, filled().await);
    first.drop_store();
    second.drop_store();
    let target = tempfile::tempdir().expect("a directory");
    {
        let (mut source, mut target) = ends(first.directory.path(), target.path());
        assert!(Move::begin(&mut source, &mut target).await.expect("begun").step().await.expect("moved"));
    }
    let opened = open_with_key(target.path(), &[5; 32]);
    assert!(matches!(opened, Err(OpenError::HalfMoved { .. })), "{opened:?}");
    assert!(matches!(SqliteTransfer::source(target.path(), vault()), Err(OpenError::HalfMoved { .. })));
    let refused = refusal(second.directory.path(), target.path()).await;
    assert!(matches!(refused, TransferError::OfAnotherMove { .. }), "{refused}");
    move_in_pieces(first.directory.path(), target.path()).await;
    drop(open(target.path()));
}

#[tokio::test]
async fn what_has_data_is_no_target_and_what_has_none_no_source() {
    let (mut first, mut second) = (filled().await, filled().await);
    first.drop_store();
    second.drop_store();
    let refused = refusal(first.directory.path(), second.directory.path()).await;
    assert!(matches!(refused, TransferError::NotEmpty(_)), "{refused}");

    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(SqliteTransfer::source(empty.path(), vault()), Err(OpenError::DataDir { .. })));
    // One that was opened and never used is as good as none.
    drop(open(empty.path()));
    move_in_pieces(first.directory.path(), empty.path()).await;
}

#[tokio::test]
async fn the_master_key_must_be_that_of_the_source() {
    let mut harness = filled().await;
    let running = SqliteTransfer::source(harness.directory.path(), vault());
    assert!(matches!(running, Err(OpenError::InUse { .. })), "{running:?}");
    harness.drop_store();
    let other = Vault::new(&[6; 32], Arc::new(Counting::default()));
    let refused = SqliteTransfer::source(harness.directory.path(), other);
    assert!(matches!(refused, Err(OpenError::WrongMasterKey(_))), "{refused:?}");
}

#[tokio::test]
async fn a_source_that_was_changed_meanwhile_is_found_out() {
    let mut harness = filled().await;
    harness.drop_store();
    let target = tempfile::tempdir().expect("a directory");
    loop {
        let (mut source, mut target) = ends(harness.directory.path(), target.path());
        let mut moving = Move::begin(&mut source, &mut target).await.expect("begun or gone on");
        if !moving.step().await.expect("a piece is moved") {
            break;
        }
    }
    reopen_and_add(&harness.directory).await;
    let refused = refusal(harness.directory.path(), target.path()).await;
    let TransferError::Different { kind: "endpoints", differ: (3, 2), .. } = refused else { panic!("{refused}") };
    // It stays half a move.
    assert!(matches!(open_with_key(target.path(), &[5; 32]), Err(OpenError::HalfMoved { .. })));
}

async fn reopen_and_add(directory: &TempDir) {
    let (store, _ready) = open(directory.path());
    let store: SharedStore = store;
    let page = PageRequest::first(1, Order::Ascending);
    let application = store.applications(&org('a'), page).await.expect("available").items.remove(0);
    store.create_endpoint(fixture::new_endpoint(&store, application.id)).await.expect("created");
}
