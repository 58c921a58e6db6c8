//! History in partitions: what is listed across them, and what goes with one.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{DeliveryKey, DeliveryState, MessageContent, MessageId, RowId, Timestamp};
use hookpost_store::conformance::fixture::door::{genuine, receive, rejected, settled, source_of};
use hookpost_store::conformance::fixture::{
    NOW, Scene, accept, claim, content, delivery, messages_of, new_message, org, record_one, tried, uid,
};
use hookpost_store::history::{AttemptFilter, DeliveryFilter, EndpointCounts, Forgotten, MessageFilter, RetentionPolicy};
use hookpost_store::{LeasedDelivery, NewMessage, Order, PageRequest, Recorded, Reference, SharedStore};
use tokio_postgres::Client;

use super::harness::{Node, Opening, until};
use super::server::TestDatabase;

const DAY: Duration = Duration::from_secs(86_400);
const POLICY: RetentionPolicy = RetentionPolicy { rows: Duration::from_secs(30 * 86_400), receipts: Duration::from_secs(10 * 86_400) };

/// The n-th day, in its middle.
fn day(n: u32) -> Timestamp {
    let start = NOW.unix_ms() / 86_400_000 * 86_400_000;
    Timestamp::from_unix_ms(start) + DAY * n + DAY / 2
}

/// When the partition of that day is past its time.
fn end_of(n: u32) -> Timestamp {
    day(n) + DAY / 2 + POLICY.rows
}

async fn open(database: &TestDatabase) -> Node {
    Opening { partition: DAY, ..Opening::of(database) }.open().await.unwrap()
}

async fn accept_at(node: &mut Node, scene: &Scene, event_id: &str, now: Timestamp) -> LeasedDelivery {
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let content = MessageContent { event_id: uid(event_id), ..content(&scene.endpoints) };
    accept(&store, NewMessage { application: scene.application, content, idempotency_key: None }, now).await;
    node.ready.recv().await.unwrap().remove(0)
}

/// One delivered, one waiting for its retry, one in flight.
async fn three_of_a_day(node: &mut Node, scene: &Scene, n: u32) -> [DeliveryKey; 3] {
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let now = day(n);
    let delivered = accept_at(node, scene, &format!("{n}-delivered"), now).await;
    record_one(&store, tried(&delivered, 200, DeliveryState::Delivered, now), now).await;
    let retry = accept_at(node, scene, &format!("{n}-retry"), now).await;
    record_one(&store, tried(&retry, 500, DeliveryState::Waiting { at: now + DAY }, now), now).await;
    let in_flight = accept_at(node, scene, &format!("{n}-in-flight"), now).await;
    [delivered.key, retry.key, in_flight.key]
}

async fn forget_all(store: &SharedStore, now: Timestamp) {
    for _ in 0..1000 {
        let Forgotten { more, .. } = store.forget(POLICY, now).await.unwrap();
        if !more {
            return;
        }
    }
    panic!("forgetting comes to no end");
}

async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn tables_of(client: &Client, n: u32) -> i64 {
    let start_ms = RowId::first_at(day(n) - DAY / 2).created_at().unix_ms();
    count(client, &format!("SELECT count(*) FROM pg_tables WHERE schemaname = 'hookpost' AND tablename LIKE '%\\_p{start_ms}'")).await
}

#[tokio::test]
async fn a_partition_goes_whole_and_nothing_else() {
    let database = TestDatabase::empty().await;
    let (mut node, client) = (open(&database).await, database.connect().await);
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let scene = plain_scene(&store).await;
    let gone = three_of_a_day(&mut node, &scene, 0).await;
    let kept = three_of_a_day(&mut node, &scene, 1).await;

    forget_all(&store, end_of(0) - Duration::from_millis(2)).await;
    assert_eq!(tables_of(&client, 0).await, 3, "not before all of it is past its time");
    forget_all(&store, end_of(0)).await;
    assert_eq!((tables_of(&client, 0).await, tables_of(&client, 1).await), (0, 3));
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.message").await, 3);
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.event_id").await, 3);

    for key in gone {
        assert_eq!(store.message(scene.application, Reference::Id(key.message)).await.unwrap(), None);
        assert_eq!(store.delivery(key).await.unwrap(), None);
    }
    assert_eq!(store.message(scene.application, Reference::Uid("0-retry")).await.unwrap(), None);
    let listed = store.messages_of_endpoint(scene.endpoints[0], DeliveryFilter::default(), all()).await.unwrap();
    assert_eq!(listed.items.iter().map(|(message, _)| message.id).collect::<Vec<_>>(), kept.map(|key| key.message));
    let attempts = store.attempts_of_endpoint(scene.endpoints[0], AttemptFilter::default(), all()).await.unwrap();
    assert_eq!(attempts.items.iter().map(|attempt| attempt.key).collect::<Vec<_>>(), kept[..2]);
    let counts = store.endpoint_counts(scene.endpoints[0], day(1) - DAY / 2, Timestamp::MAX).await.unwrap();
    assert_eq!(counts, EndpointCounts { success: 1, sending: 1, pending: 1, ..EndpointCounts::default() });

    // What is left goes on; of what is gone nothing can be claimed.
    assert_eq!(messages_of(&claim(&store, scene.endpoints[0], end_of(0)).await), [kept[1].message]);
    assert_eq!(store.send_again(vec![gone[0]], end_of(0)).await, Ok(0));
    // And the day itself can begin anew.
    let again = accept_at(&mut node, &scene, "0-retry", day(0)).await;
    assert_eq!(delivery(&store, again.key.message, scene.endpoints[0]).await.state, DeliveryState::Pending);
}

/// Any node may serve it.
async fn plain_scene(store: &SharedStore) -> Scene {
    use hookpost_domain::{Application, Endpoint};
    use hookpost_store::conformance::fixture::{new_application, new_endpoint};
    let application = Application { throttle_rate: None, ..new_application(store, org('a')) };
    let endpoint = Endpoint { ordered: false, throttle_rate: None, concurrency: None, ..new_endpoint(store, application.id) };
    let scene = Scene { application: application.id, endpoints: vec![endpoint.id] };
    store.create_application(application).await.unwrap();
    store.create_endpoint(endpoint).await.unwrap();
    scene
}

fn all<C>() -> PageRequest<C> {
    PageRequest::first(99, Order::Ascending)
}

/// Receipts are kept for another time than messages, and go by partitions of their own.
#[tokio::test]
async fn receipts_go_by_the_day() {
    let database = TestDatabase::empty().await;
    let (node, client) = (open(&database).await, database.connect().await);
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let scene = plain_scene(&store).await;
    let source = source_of(&store, &scene).await.id;
    let message = new_message(scene.application, &[]);
    let old = receive(&store, genuine(source, message.clone(), None), day(0)).await;
    receive(&store, settled(source, rejected("expired"), b"x"), day(0)).await;
    let young = receive(&store, settled(source, rejected("expired"), b"x"), day(1)).await;

    let end = day(0) + DAY / 2 + POLICY.receipts;
    forget_all(&store, end - Duration::from_millis(2)).await;
    assert_eq!(tables_of(&client, 0).await, 4, "not before all of it is past its time");
    forget_all(&store, end).await;
    assert_eq!((tables_of(&client, 0).await, tables_of(&client, 1).await), (3, 1), "of the second day there is only a receipt");
    assert_eq!(store.receipt(source, old.receipt).await.unwrap(), None);
    let listed = store.receipts(source, Default::default(), all()).await.unwrap();
    assert_eq!(listed.items.iter().map(|receipt| receipt.id).collect::<Vec<_>>(), [young.receipt]);
    assert_eq!(store.receipt_counts(source, day(1) - DAY / 2, Timestamp::MAX).await.unwrap().rejected, 1);
    until("what is past its time counts no more", || async {
        store.forget(POLICY, end).await.unwrap();
        store.receipt_counts(source, Timestamp::ZERO, day(1) - DAY / 2).await.unwrap() == Default::default()
    })
    .await;
    let id = old.message.unwrap().id;
    assert!(store.message(scene.application, Reference::Id(id)).await.unwrap().is_some(), "the message has its own time");
    // The day can begin anew.
    receive(&store, genuine(source, message, None), day(0)).await;
}

#[tokio::test]
async fn leases_on_what_is_forgotten_are_lost() {
    let database = TestDatabase::empty().await;
    let mut node = open(&database).await;
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let scene = plain_scene(&store).await;
    let implied = accept_at(&mut node, &scene, "implied", day(0)).await;
    let released = accept_at(&mut node, &scene, "explicit", day(0)).await;
    store.release(vec![(released.key, released.lease)]).await.unwrap();
    let explicit = claim(&store, scene.endpoints[0], day(0)).await.deliveries.remove(0);
    forget_all(&store, end_of(0)).await;
    for leased in [implied, explicit] {
        let late = tried(&leased, 200, DeliveryState::Delivered, end_of(0));
        assert_eq!(record_one(&store, late, end_of(0)).await, Recorded::LeaseLost);
    }
}

/// Wherever the node that dropped it was stopped.
#[tokio::test]
async fn what_was_dropped_half_way_is_dropped_in_the_end() {
    let database = TestDatabase::empty().await;
    let (mut node, client) = (open(&database).await, database.connect().await);
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let scene = plain_scene(&store).await;
    three_of_a_day(&mut node, &scene, 0).await;
    let start_ms = (day(0) - DAY / 2).unix_ms();

    // One detached and not dropped, one dropped, and one in between: somebody reads, and the detaching is given up.
    client.batch_execute(&format!("ALTER TABLE hookpost.message DETACH PARTITION hookpost.message_p{start_ms}")).await.unwrap();
    client.batch_execute(&format!("DROP TABLE hookpost.attempt_p{start_ms}")).await.unwrap();
    let mut reader = database.connect().await;
    let reading = reader.transaction().await.unwrap();
    reading.query("SELECT FROM hookpost.delivery", &[]).await.unwrap();
    client.batch_execute("SET statement_timeout = '100ms'").await.unwrap();
    let detaching = format!("ALTER TABLE hookpost.delivery DETACH PARTITION hookpost.delivery_p{start_ms} CONCURRENTLY");
    client.batch_execute(&detaching).await.expect_err("it waits for the reader");
    assert_eq!(count(&client, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending").await, 1);
    reading.commit().await.unwrap();

    forget_all(&store, end_of(0)).await;
    assert_eq!(tables_of(&client, 0).await, 0);
    let start = RowId::first_at(day(0) - DAY / 2).as_i64();
    assert_eq!(count(&client, &format!("SELECT count(*) FROM hookpost.partition WHERE from_id = {start}")).await, 0);
}

#[tokio::test]
async fn one_node_forgets_for_all() {
    let database = TestDatabase::empty().await;
    let (mut one, other) = (open(&database).await, open(&database).await);
    let stores: [SharedStore; 2] = [Arc::clone(&one.store) as SharedStore, Arc::clone(&other.store) as SharedStore];
    let scene = plain_scene(&stores[0]).await;
    stores[1].forget(POLICY, day(0)).await.unwrap();
    accept_at(&mut one, &scene, "old", day(0)).await;
    forget_all(&stores[0], end_of(0)).await;
    let client = database.connect().await;
    assert_eq!(tables_of(&client, 0).await, 3, "the other is at it");
    other.store.close().await;
    until("it is taken over", || async {
        stores[0].forget(POLICY, end_of(0)).await.unwrap();
        tables_of(&client, 0).await == 0
    })
    .await;
}

/// What another node holds without a row is listed as what it is.
#[tokio::test]
async fn lists_show_what_other_nodes_hold() {
    let database = TestDatabase::empty().await;
    let (mut one, other) = (open(&database).await, open(&database).await);
    let store: SharedStore = Arc::clone(&one.store) as SharedStore;
    let scene = plain_scene(&store).await;
    let mut expected = Vec::new();
    for n in [0, 1, 2, 1] {
        expected.push(accept_at(&mut one, &scene, &format!("held-{}", expected.len()), day(n)).await);
    }
    record_one(&store, tried(&expected[1], 200, DeliveryState::Delivered, day(2)), day(2)).await;
    let expected: Vec<(MessageId, DeliveryState)> = expected
        .iter()
        .enumerate()
        .map(|(index, leased)| (leased.key.message, if index == 1 { DeliveryState::Delivered } else { DeliveryState::Pending }))
        .collect();
    let mut ordered = expected.clone();
    ordered.sort_unstable_by_key(|(message, _)| *message);
    let other: SharedStore = other.store;
    let listed = other.messages_of_endpoint(scene.endpoints[0], DeliveryFilter::default(), all()).await.unwrap();
    assert!(listed.done);
    let listed: Vec<_> = listed.items.iter().map(|(message, delivery)| (message.id, delivery.state)).collect();
    assert_eq!(listed, ordered);
    let newest = PageRequest::first(2, Order::Descending);
    let page = other.messages_of_endpoint(scene.endpoints[0], DeliveryFilter::default(), newest.clone()).await.unwrap();
    let page: Vec<_> = page.items.iter().map(|(message, _)| message.id).collect();
    assert_eq!(page, ordered.iter().rev().take(2).map(|(message, _)| *message).collect::<Vec<_>>());
    let messages = other.messages(scene.application, MessageFilter::default(), newest).await.unwrap();
    assert_eq!(messages.items.iter().map(|message| message.id).collect::<Vec<_>>(), page);
    assert!(messages.items.iter().all(|message| message.content.payload.is_some()));
}
