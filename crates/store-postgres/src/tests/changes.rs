//! The catalogue of several nodes: what one changes, the others see.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::access::{Revocation, RevocationTarget};
use hookpost_domain::source::SourceToken;
use hookpost_domain::task::{TaskProgress, TaskStatus, TaskWork};
use hookpost_domain::{ApiKey, Application, ApplicationId, BackgroundTask, Endpoint, Source, TaskId};
use hookpost_store::conformance::fixture::door::new_source_with_application;
use hookpost_store::conformance::fixture::{NOW, at, new_api_key, new_application, new_endpoint, new_event_type, org, uid};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};
use hookpost_store::queue::News;
use hookpost_store::{Catalog as _, Documents as _, Named, SharedStore, Store as _, WriteError};
use tokio::task::JoinSet;

use super::harness::{Node, Opening, until, until_a_statement_waits};
use super::server::TestDatabase;

/// Without NOTIFY: by asking alone.
async fn two_nodes(database: &TestDatabase) -> (Node, Node) {
    let open = || Opening { poll_every: Duration::from_millis(50), notify: false, ..Opening::of(database) }.open();
    (open().await.unwrap(), open().await.unwrap())
}

#[tokio::test]
async fn every_change_is_seen_by_the_others() {
    let database = TestDatabase::migrated().await;
    let (one, other) = two_nodes(&database).await;
    let (one, other): (SharedStore, SharedStore) = (one.store, other.store);
    let application = new_application(&one, org('a'));
    let id = application.id;
    one.create_application(application).await.unwrap();
    let endpoint = new_endpoint(&one, id);
    one.create_endpoint(endpoint.clone()).await.unwrap();
    assert_eq!(other.application_by_id(id).await.unwrap(), one.application_by_id(id).await.unwrap());
    let same_view = || async { other.application_by_id(id).await.unwrap() == one.application_by_id(id).await.unwrap() };

    let version = other.version();
    let rename = |application: &mut Application| {
        application.name = "New".into();
        Ok(())
    };
    one.update_application(id, Box::new(rename)).await.unwrap();
    until("the application has its new name", same_view).await;
    until("the version says so", || async { other.version() != version }).await;
    let move_it = |endpoint: &mut Endpoint| {
        endpoint.url = "https://example.com/moved".into();
        Ok(())
    };
    one.update_endpoint(id, endpoint.id, Box::new(move_it)).await.unwrap();
    until("the endpoint has moved", same_view).await;
    one.create_endpoint(new_endpoint(&one, id)).await.unwrap();
    until("there are two endpoints", same_view).await;
    one.delete_endpoint(id, endpoint.id, NOW).await.unwrap();
    until("one of them is gone", same_view).await;
    one.delete_application(id, NOW).await.unwrap();
    until("the application is gone", || async { other.application_by_id(id).await.unwrap().is_none() }).await;

    assert!(other.event_type(&org('a'), "order.paid").await.unwrap().is_none());
    one.create_event_type(new_event_type(&one, org('a'), "order.paid")).await.unwrap();
    until("the event type is there", || async { other.event_type(&org('a'), "order.paid").await.unwrap().is_some() }).await;

    let key = new_api_key(&one, org('a'), 1);
    let hash = key.key_sha256;
    one.create_api_key(key.clone()).await.unwrap();
    assert_eq!(other.api_key_by_hash(hash).await.unwrap().as_deref(), Some(&key));
    let rename = |key: &mut ApiKey| {
        key.name = "New".into();
        Ok(())
    };
    one.update_api_key(&org('a'), key.id, Box::new(rename)).await.unwrap();
    until("the key has its new name", || async { other.api_key_by_hash(hash).await.unwrap().unwrap().name == "New" }).await;
    one.delete_api_key(None, key.id).await.unwrap();
    until("the key opens nothing any more", || async { other.api_key_by_hash(hash).await.unwrap().is_none() }).await;

    let (source, of_source) = new_source_with_application(&one, org('a'));
    let (id, token) = (source.id, source.tokens.current.clone());
    let by_token = |token: SourceToken| {
        let other = Arc::clone(&other);
        async move { other.source_by_token(&token).await.unwrap().map(Arc::unwrap_or_clone) }
    };
    assert_eq!(by_token(token.clone()).await, None);
    one.create_source(source.clone(), Some(of_source)).await.unwrap();
    assert_eq!(by_token(token.clone()).await.as_ref(), Some(&source), "a new one is known at once: its provider may call whichever node");
    let rotate = |source: &mut Source| {
        source.tokens.current = SourceToken("another".into());
        Ok(())
    };
    let rotated = one.update_source(id, Box::new(rotate)).await.unwrap();
    until("the old token opens nothing", || async { by_token(token.clone()).await.is_none() }).await;
    assert_eq!(by_token(rotated.tokens.current.clone()).await, Some(rotated.clone()));
    one.delete_source(id, NOW).await.unwrap();
    until("the source is gone", || async { by_token(rotated.tokens.current.clone()).await.is_none() }).await;

    let target = RevocationTarget::Token("t".into());
    one.revoke(Revocation { target: target.clone(), at: at(5), forget_at: at(99) }).await.unwrap();
    until("the token is revoked", || async { other.revoked_at(&target).await.unwrap() == Some(at(5)) }).await;
}

#[tokio::test]
async fn every_change_of_a_document_shows_in_the_version_of_the_others() {
    let database = TestDatabase::migrated().await;
    let (one, other) = two_nodes(&database).await;
    for node in [&one, &other] {
        until("the first look is over", || async { node.store.shared.changes.has_looked() }).await;
    }
    let shelf = Shelf { kind: DocumentKind::Sink, org: org('a'), owner: one.store.new_row_id(NOW) };
    let row = DocumentRow { shelf: shelf.clone(), id: one.store.new_row_id(NOW), name: None, data: b"first".to_vec(), forget_at: None };
    let version = other.store.version();
    one.store.create_document(row.clone()).await.unwrap();
    until("it is made", || async { other.store.version() != version }).await;
    assert_eq!(other.store.documents_of_kind(DocumentKind::Sink).await.unwrap(), std::slice::from_ref(&row));
    let version = other.store.version();
    let change = |row: &mut DocumentRow| {
        row.data = b"second".to_vec();
        Ok(())
    };
    let changed = one.store.update_document(&shelf, row.id, Box::new(change)).await.unwrap();
    until("it is changed", || async { other.store.version() != version }).await;
    assert_eq!(other.store.document(&shelf, Named::Id(row.id)).await.unwrap(), Some(changed));
    let version = other.store.version();
    one.store.delete_document(&shelf, row.id).await.unwrap();
    until("it is gone", || async { other.store.version() != version }).await;
    // What is sealed says nothing to whoever reads the table, and cannot be put under another name.
    one.store.create_document(row.clone()).await.unwrap();
    let client = database.connect().await;
    let data: Vec<u8> = client.query_one("SELECT data FROM hookpost.document", &[]).await.unwrap().get(0);
    assert!(!data.windows(5).any(|bytes| bytes == b"first"));
    client.execute("UPDATE hookpost.document SET id = id + 1", &[]).await.unwrap();
    assert!(other.store.documents_of_kind(DocumentKind::Sink).await.is_err());
}

#[tokio::test]
async fn revocations_are_known_from_the_start() {
    let database = TestDatabase::migrated().await;
    let target = RevocationTarget::Token("t".into());
    let first = Opening::of(&database).open().await.unwrap();
    first.store.revoke(Revocation { target: target.clone(), at: at(5), forget_at: at(99) }).await.unwrap();
    let second = Opening::of(&database).open().await.unwrap();
    assert_eq!(second.store.revoked_at(&target).await.unwrap(), Some(at(5)));
}

#[tokio::test]
async fn a_uid_is_given_once_whoever_gives_it() {
    let database = TestDatabase::migrated().await;
    let (one, other) = two_nodes(&database).await;
    let mut creating = JoinSet::new();
    for store in [&one.store, &other.store] {
        let store: SharedStore = Arc::clone(store) as SharedStore;
        creating
            .spawn(async move { store.create_application(Application { uid: uid("acme"), ..new_application(&store, org('a')) }).await });
    }
    let created = creating.join_all().await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 1);
    assert!(created.contains(&Err(WriteError::Conflict { field: "uid" })));
}

/// Changes overtake each other on their way from the database to memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_memory_is_what_was_written_last() {
    let database = TestDatabase::migrated().await;
    let (one, other) = two_nodes(&database).await;
    let (one, other): (SharedStore, SharedStore) = (one.store, other.store);
    let application = new_application(&one, org('a'));
    let id = application.id;
    one.create_application(application).await.unwrap();
    let endpoint = Endpoint { version: 0, ..new_endpoint(&one, id) };
    one.create_endpoint(endpoint.clone()).await.unwrap();
    let mut changing = JoinSet::new();
    for number in 0..40 {
        let store = if number % 3 == 0 { Arc::clone(&other) } else { Arc::clone(&one) };
        changing.spawn(async move {
            let count = |endpoint: &mut Endpoint| {
                endpoint.version += 1;
                Ok(())
            };
            store.application_by_id(id).await.unwrap();
            store.update_endpoint(id, endpoint.id, Box::new(count)).await.unwrap();
        });
    }
    changing.join_all().await;
    let version = |store: SharedStore| async move { store.application_by_id(id).await.unwrap().unwrap().endpoints[0].version };
    until("both know the last one", || async { version(Arc::clone(&one)).await == 40 && version(Arc::clone(&other)).await == 40 }).await;
}

#[tokio::test]
async fn a_change_goes_on_without_whoever_asked_for_it() {
    let database = TestDatabase::migrated().await;
    let node = Opening::of(&database).open().await.unwrap();
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let application = new_application(&store, org('a'));
    let id = application.id;
    store.create_application(application).await.unwrap();
    assert_eq!(store.application_by_id(id).await.unwrap().unwrap().application.throttle_rate, Some(7));
    let (other, watcher) = (database.connect().await, database.connect().await);
    let hold = "BEGIN; SELECT 1 FROM hookpost.application FOR UPDATE";
    other.batch_execute(hold).await.unwrap();
    let change = |application: &mut Application| {
        application.throttle_rate = None;
        Ok(())
    };
    tokio::select! {
        _ = store.update_application(id, Box::new(change)) => panic!("somebody else holds the row"),
        () = until_a_statement_waits(&watcher) => {}
    }
    other.batch_execute("COMMIT").await.unwrap();
    until("it is written and known", || async { store.application_by_id(id).await.unwrap().unwrap().application.throttle_rate.is_none() })
        .await;
    // Whoever closes the store waits for what is under way.
    let change = |application: &mut Application| {
        application.throttle_rate = Some(9);
        Ok(())
    };
    other.batch_execute(hold).await.unwrap();
    tokio::select! {
        _ = store.update_application(id, Box::new(change)) => panic!("somebody else holds the row"),
        () = until_a_statement_waits(&watcher) => {}
    }
    let (released, ()) = tokio::join!(other.batch_execute("COMMIT"), node.store.close());
    released.unwrap();
    let reopened = Opening::of(&database).open().await.unwrap();
    assert_eq!(reopened.store.application_by_id(id).await.unwrap().unwrap().application.throttle_rate, Some(9));
}

#[tokio::test]
async fn whoever_missed_changes_forgets_everything() {
    let database = TestDatabase::migrated().await;
    let (one, other) = two_nodes(&database).await;
    let store: SharedStore = Arc::clone(&one.store) as SharedStore;
    let application = new_application(&store, org('a'));
    let id = application.id;
    store.create_application(application).await.unwrap();
    until("the first look is over", || async { other.store.shared.changes.has_looked() }).await;
    assert!(other.store.application_by_id(id).await.unwrap().is_some());
    // As if it had been away for longer than changes are kept: this one leaves no trace.
    let client = database.connect().await;
    client.execute("DELETE FROM hookpost.application", &[]).await.unwrap();
    assert!(other.store.application_by_id(id).await.unwrap().is_some(), "from memory");
    other.store.shared.changes.forget_when_it_looked();
    until("it asks the database", || async { other.store.application_by_id(id).await.unwrap().is_none() }).await;
}

#[tokio::test]
async fn engines_hear_of_tasks() {
    let database = TestDatabase::migrated().await;
    let (one, mut other) = two_nodes(&database).await;
    let store: SharedStore = Arc::clone(&one.store) as SharedStore;
    let application = ApplicationId::from_row(store.new_row_id(NOW));
    let task = BackgroundTask {
        id: TaskId::from_row(store.new_row_id(NOW)),
        org: org('a'),
        application: Some(application),
        work: TaskWork::ExpungeAllContents { application },
        status: TaskStatus::Running,
        result: None,
        progress: TaskProgress::default(),
        created_at: NOW,
        updated_at: NOW,
    };
    store.create_task(task).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if other.news.recv().await.expect("the store is open") == News::Tasks {
                return;
            }
        }
    });
    heard.await.expect("it is told of the task");
}
