//! Partitions, on a real server.

use std::time::Duration;

use hookpost_domain::{RowId, Timestamp};
use tokio::task::JoinSet;

use super::harness::{Node, Opening};
use super::server::TestDatabase;
use crate::partitions::HISTORY;

const DAY: Duration = Duration::from_secs(86_400);

fn first_of(time: Timestamp) -> RowId {
    RowId::first_at(time)
}

async fn open_with(database: &TestDatabase, partition: Duration) -> Node {
    Opening { partition, ..Opening::of(database) }.open().await.unwrap()
}

#[tokio::test]
async fn racing_nodes_make_each_piece_once() {
    let database = TestDatabase::empty().await;
    crate::migrate(&database.url()).await.unwrap();
    let mut nodes = JoinSet::new();
    // Not all have the same setting, as in the middle of a change.
    for days in [1, 1, 1, 2, 3] {
        let opening = Opening { partition: DAY * days, ..Opening::of(&database) };
        nodes.spawn(async move { opening.open().await.unwrap() });
    }
    let nodes = nodes.join_all().await;

    let client = database.connect().await;
    let pieces = client.query("SELECT from_id, until_id FROM hookpost.partition ORDER BY from_id", &[]).await.unwrap();
    for pair in pieces.windows(2) {
        assert!(pair[0].get::<_, i64>(1) <= pair[1].get::<_, i64>(0), "pieces overlap");
    }
    for table in HISTORY.tables {
        let attached = format!("SELECT 1 FROM pg_inherits WHERE inhparent = 'hookpost.{table}'::regclass");
        assert_eq!(client.query(&attached, &[]).await.unwrap().len(), pieces.len(), "{table}");
    }
    for Node { store, .. } in &nodes {
        let now = crate::schema::now(&client).await.unwrap();
        // Learnt by asking where another made it.
        for days in 0..=2 {
            store.shared.partitions.ensure(&store.shared, first_of(now + DAY * days)).await.unwrap();
            assert!(store.shared.partitions.covers(first_of(now + DAY * days)));
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_piece_that_nobody_expected_is_made_when_it_is_needed() {
    let database = TestDatabase::empty().await;
    let node = open_with(&database, DAY).await;
    let (shared, long_ago) = (&node.store.shared, first_of(Timestamp::from_unix_ms(86_400_000 * 3 + 7)));
    assert!(!shared.partitions.covers(long_ago));
    shared.partitions.ensure(shared, long_ago).await.unwrap();
    assert!(shared.partitions.covers(long_ago));
    let client = database.connect().await;
    let insert = "INSERT INTO hookpost.message (id, application, targets, header) VALUES ($1, 1, '{}', '')";
    client.execute(insert, &[&long_ago.as_i64()]).await.unwrap();
    let rows = client.query("SELECT 1 FROM hookpost.message_p259200000", &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "its name is its first millisecond");
    let storage =
        "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'hookpost.message_p259200000'::regclass AND attname = 'payload'";
    assert_eq!(client.query_one(storage, &[]).await.unwrap().get::<_, String>(0), "e", "payloads are kept as they are");
    node.store.close().await;
}
