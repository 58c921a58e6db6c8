//! Lives of nodes: renewal, burial, numbers and ids.

use std::time::Duration;

use hookpost_domain::{DeliveryKey, EndpointId, MessageId, RowId, Timestamp};
use hookpost_store::Store as _;
use hookpost_store::queue::News;
use tokio::time::{Instant, timeout};

use super::harness::{DEADLINE, Node, Opening, until};
use super::server::TestDatabase;
use crate::error::StoreError;

const SHORT: Duration = Duration::from_millis(500);

async fn open(database: &TestDatabase, lease: Duration) -> Node {
    Opening { lease, ..Opening::of(database) }.open().await.unwrap()
}

async fn count(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// A message that the node holds without a row, and one with a row that it has leased for a request.
async fn give_work(client: &tokio_postgres::Client, node: &Node) -> i64 {
    let shared = &node.store.shared;
    let implied = shared.new_row_id(Timestamp::from_unix_ms(1));
    let key = DeliveryKey { message: MessageId::from_row(implied), endpoint: EndpointId::from_row(RowId::from_raw(11)) };
    shared.leases.lock().implied(key, Timestamp::from_unix_ms(1));
    let implied = implied.as_i64();
    let message = "INSERT INTO hookpost.message (id, application, targets, header) VALUES ($1, 7, '{11, 12}', '')";
    client.execute(message, &[&implied]).await.unwrap();
    let queued = "INSERT INTO hookpost.queue
        (endpoint, message, application, pending, manual_at_ms, next_at_ms, attempts, scheduled_attempts, holder, lease, leased_manual_at_ms)
        VALUES (11, 5, 7, false, 900, 900, 1, 1, $1, 3, 800)";
    client.execute(queued, &[&shared.node.holder()]).await.unwrap();
    client.execute("INSERT INTO hookpost.owner (scope, holder) VALUES (11, $1)", &[&shared.node.holder()]).await.unwrap();
    implied
}

async fn assert_taken_over(client: &tokio_postgres::Client, implied: i64) {
    let queue = "SELECT endpoint, message, pending, holder, manual_at_ms, next_at_ms FROM hookpost.queue ORDER BY message, endpoint";
    let rows = client.query(queue, &[]).await.unwrap();
    let numbers = |row: &tokio_postgres::Row| [3, 4, 5].map(|column| row.get::<_, Option<i64>>(column));
    let rows: Vec<_> = rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1), row.get(2), numbers(row))).collect();
    let none = [None; 3];
    assert_eq!(rows, [(11_i64, 5, false, [None, Some(800), Some(800)]), (11, implied, true, none), (12, implied, true, none)]);
    assert_eq!(count(client, "SELECT count(*) FROM hookpost.delivery WHERE state = 0").await, 2);
    assert_eq!(count(client, "SELECT count(*) FROM hookpost.owner").await, 0);
}

#[tokio::test]
async fn a_living_node_keeps_its_row() {
    let database = TestDatabase::migrated().await;
    let node = open(&database, SHORT).await;
    let (holder, client) = (node.store.shared.node.holder(), database.connect().await);
    let began = Instant::now();
    let renewed = "SELECT count(*) FROM hookpost.node WHERE alive_until > clock_timestamp()";
    until("several leases have passed", || async {
        assert_eq!(count(&client, renewed).await, 1);
        assert!(node.store.shared.node.holds());
        began.elapsed() > SHORT * 3
    })
    .await;
    assert_eq!(node.store.shared.node.holder(), holder);
    node.store.close().await;
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.node").await, 0);
    assert!(!node.store.shared.node.holds());
}

#[tokio::test]
async fn what_a_closed_node_held_is_given_back_at_once() {
    let database = TestDatabase::migrated().await;
    let (node, client) = (open(&database, DEADLINE).await, database.connect().await);
    let implied = give_work(&client, &node).await;
    node.store.close().await;
    assert_taken_over(&client, implied).await;
}

#[tokio::test]
async fn a_silent_node_is_buried_after_its_lease() {
    let database = TestDatabase::migrated().await;
    let (silent, client) = (open(&database, SHORT).await, database.connect().await);
    let implied = give_work(&client, &silent).await;
    let died_at = Instant::now();
    drop(silent);
    let other = open(&database, SHORT).await;
    let opened_at = Instant::now();
    until("the other takes over", || async { count(&client, "SELECT count(*) FROM hookpost.node").await == 1 }).await;
    assert!(
        opened_at.elapsed() >= SHORT - Duration::from_millis(100) && died_at.elapsed() >= SHORT,
        "not before its own contact was as long as a lease"
    );
    assert_taken_over(&client, implied).await;
    other.store.close().await;
}

#[tokio::test]
async fn a_new_start_under_the_same_name_waits_for_nothing() {
    let database = TestDatabase::migrated().await;
    let named = |name| Opening { name: Some(name), lease: DEADLINE, ..Opening::of(&database) }.open();
    let (first, client) = (named("a").await.unwrap(), database.connect().await);
    let implied = give_work(&client, &first).await;
    drop(first);
    let other = named("b").await.unwrap();
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.node").await, 2);
    let second = named("a").await.unwrap();
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.node").await, 2);
    assert_taken_over(&client, implied).await;
    other.store.close().await;
    second.store.close().await;
}

#[tokio::test]
async fn a_buried_node_finds_out_and_goes_on_as_a_new_one() {
    let database = TestDatabase::migrated().await;
    let (mut node, client) = (open(&database, SHORT).await, database.connect().await);
    let shared = std::sync::Arc::clone(&node.store.shared);
    let (holder, last) = (shared.node.holder(), shared.new_row_id(Timestamp::from_unix_ms(1)));
    let number = shared.node.number();
    // As another would; what it writes next in the old name is refused.
    let mut connection = shared.connections.dedicated().await.unwrap();
    let transaction = connection.client.transaction().await.unwrap();
    assert!(crate::node::bury(&transaction, holder).await.unwrap());
    transaction.commit().await.unwrap();
    let lost = timeout(DEADLINE, async {
        loop {
            match shared.node.guard(&connection.client).await {
                // Found out already, and begun anew.
                Ok(()) => assert_ne!(shared.node.holder(), holder),
                Err(StoreError::NodeLost) => {}
                Err(error) => panic!("{error}"),
            }
            // Its first look at the tasks is news as well.
            if let Some(news) = node.news.recv().await.filter(|news| *news != News::Tasks) {
                return news;
            }
        }
    });
    assert_eq!(lost.await.unwrap(), News::LeasesLost);
    until("it has begun a new life", || async { shared.node.holder() != 0 && shared.node.holds() }).await;
    assert_ne!(shared.node.holder(), holder);
    assert_ne!(shared.node.number(), number, "its number was used just now");
    assert!(shared.new_row_id(Timestamp::from_unix_ms(1)) > last);
    assert!(shared.node.guard(&connection.client).await.is_ok());
    assert_eq!(count(&client, "SELECT count(*) FROM hookpost.node").await, 1);
    node.store.close().await;
}

#[tokio::test]
async fn numbers_come_again_when_all_were_used_and_ids_never() {
    let database = TestDatabase::migrated().await;
    let client = database.connect().await;
    // All but two were used lately; of these, 9 was free for the longest.
    let used = "INSERT INTO hookpost.node_number SELECT n, 1000, now() - (CASE n WHEN 9 THEN 50 ELSE 20 END) * interval '1 minute'
        FROM generate_series(0, 255) n WHERE n NOT IN (3, 200)";
    client.batch_execute(used).await.unwrap();
    let mut nodes = Vec::new();
    for expected in [3, 200, 9] {
        let node = open(&database, DEADLINE).await;
        assert_eq!(node.store.shared.node.number(), expected);
        nodes.push(node);
    }
    let now = crate::schema::now(&client).await.unwrap();
    let id = nodes[2].store.new_row_id(Timestamp::ZERO);
    assert!(id > RowId::first_at(now - Duration::from_secs(60)), "after all that the life before can have made");
    for node in &nodes {
        node.store.close().await;
    }
}

#[tokio::test]
async fn a_node_that_is_alone_goes_on_after_the_last_id() {
    let database = TestDatabase::migrated().await;
    let first = open(&database, DEADLINE).await;
    let far = Timestamp::from_unix_ms(1 << 41);
    let last = first.store.new_row_id(far);
    first.store.close().await;
    let second = open(&database, DEADLINE).await;
    let id = second.store.new_row_id(Timestamp::ZERO);
    assert!(id > last);
    // Others are told apart by their numbers: one clock that is ahead does not carry everybody along.
    let third = open(&database, DEADLINE).await;
    assert!(third.store.new_row_id(Timestamp::ZERO) < last);
    second.store.close().await;
    third.store.close().await;
}
