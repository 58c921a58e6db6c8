//! How the tables come into being.

use hookpost_domain::{PublicIds, Timestamp};
use hookpost_store::conformance::fixture::{NOW, accept, at, scene};
use hookpost_store::{FeedLimits, SharedStore, Store as _};
use tokio::task::JoinSet;

use super::harness::Opening;
use super::server::TestDatabase;
use crate::connect::connect_first;
use crate::schema::{self, SCHEMA};
use crate::{Migration, OpenError, counts, migrate};

#[tokio::test]
async fn ten_at_once_on_an_empty_database_all_succeed() {
    let database = TestDatabase::empty().await;
    let mut nodes = JoinSet::new();
    for _ in 0..10 {
        let url = database.url();
        nodes.spawn(async move { migrate(&url).await });
    }
    let done: Vec<Migration> = nodes.join_all().await.into_iter().map(|migration| migration.unwrap()).collect();
    assert!(done.iter().all(|migration| migration.to == SCHEMA.len()), "{done:?}");
    assert_eq!(done.iter().filter(|migration| migration.from == 0).count(), 1, "one does each step: {done:?}");
    assert_eq!(migrate(&database.url()).await.unwrap(), Migration { from: SCHEMA.len(), to: SCHEMA.len() });
}

#[tokio::test]
async fn ten_nodes_start_at_once_on_an_empty_database() {
    let database = TestDatabase::empty().await;
    let mut opening = JoinSet::new();
    for _ in 0..10 {
        let one = Opening::of(&database);
        opening.spawn(async move { one.open().await });
    }
    let nodes: Vec<_> = opening.join_all().await.into_iter().map(|node| node.unwrap()).collect();
    let mut numbers: Vec<u8> = nodes.iter().map(|node| node.store.shared.node.number()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
    let sample = |ids: &PublicIds| ids.encode(hookpost_domain::MessageId::from_row(hookpost_domain::RowId::from_raw(1)));
    let first = sample(nodes[0].store.public_ids());
    assert!(nodes.iter().all(|node| sample(node.store.public_ids()) == first), "all have the key that one drew");
    for node in &nodes {
        node.store.close().await;
    }
}

/// Future versions add scripts to the list: each is applied once, in order, with its version, or not at all.
#[tokio::test]
async fn migrations_go_step_by_step() {
    let database = TestDatabase::migrated().await;
    let url = database.url();
    let mut first = connect_first(&url).await.unwrap();
    let client = &mut first.client;
    client.execute("INSERT INTO hookpost.meta (name, value) VALUES ('kept', 'yes')", &[]).await.unwrap();

    let known = SCHEMA.len();
    let longer =
        [SCHEMA.as_slice(), &["ALTER TABLE hookpost.health ADD COLUMN note text", "CREATE TABLE hookpost.extra (id bigint)"]].concat();
    let done = schema::migrate_by(client, &url, &longer).await.unwrap();
    assert_eq!(done, Migration { from: known, to: known + 2 });
    assert_eq!(schema::migrate_by(client, &url, &longer).await.unwrap(), Migration { from: known + 2, to: known + 2 });

    let broken = [longer.as_slice(), &["CREATE TABLE hookpost.half (id bigint); SELECT nonsense"]].concat();
    assert!(matches!(schema::migrate_by(client, &url, &broken).await, Err(OpenError::Database(_))));
    let halves = client.query("SELECT 1 FROM pg_tables WHERE tablename = 'half'", &[]).await.unwrap();
    assert!(halves.is_empty());
    let kept: Vec<u8> = client.query_one("SELECT value FROM hookpost.meta WHERE name = 'kept'", &[]).await.unwrap().get(0);
    assert_eq!(kept, b"yes");

    // What this program knows is less than what is there by now.
    assert!(
        matches!(migrate(&url).await, Err(OpenError::NewerSchema { found, known }) if (found, known) == (SCHEMA.len() + 2, SCHEMA.len()))
    );
}

/// A database as version 2 of the tables left it: with a catalogue, messages, and a node that lives.
#[tokio::test]
async fn what_version_2_left_is_there_in_version_3() {
    let database = TestDatabase::migrated().await;
    let node = Opening::of(&database).open().await.unwrap();
    let store: SharedStore = node.store.clone();
    let scene = scene(&store, 1).await;
    let message = accept(&store, scene.message(), NOW).await.id;
    counts::fold(&node.store.shared).await.unwrap();
    node.store.close().await;
    let client = database.connect().await;
    let back =
        "DROP TABLE hookpost.document, hookpost.progress, hookpost.log_entry, hookpost.usage_change, hookpost.usage_sum, hookpost.feed;
        ALTER TABLE hookpost.node DROP COLUMN settled_id;
        ALTER TABLE hookpost.queue DROP COLUMN recalled, DROP COLUMN recall_heard;
        UPDATE hookpost.schema_version SET version = 2;
        INSERT INTO hookpost.node (number, name, alive_until, implied_from, last_row_id)
            VALUES (77, 'old', now() + interval '1 hour', 9223372036854775807, 0)";
    client.batch_execute(back).await.unwrap();
    assert_eq!(crate::check(&database.url()).await.unwrap(), Migration { from: 2, to: SCHEMA.len() });

    let node = Opening::of(&database).open().await.unwrap();
    let store: SharedStore = node.store.clone();
    assert_eq!(store.application_by_id(scene.application).await.unwrap().unwrap().endpoints.len(), 1);
    assert_eq!(store.endpoint_counts(scene.endpoints[0], NOW, at(60)).await.unwrap().pending, 1);
    assert_eq!(store.usage(scene.application, Timestamp::ZERO, Timestamp::MAX).await.unwrap(), [], "it was not counted then");
    let limits = FeedLimits { messages: 9, payload_bytes: 9999 };
    let fed = async || store.feed(scene.application, None, limits).await.unwrap().messages;
    assert!(fed().await.is_empty(), "the old node may give any id");
    // It goes on until it is replaced.
    client.batch_execute("UPDATE hookpost.node SET last_row_id = 1 WHERE number = 77").await.unwrap();
    client.batch_execute("DELETE FROM hookpost.node WHERE number = 77").await.unwrap();
    let fed = fed().await;
    assert_eq!(fed.iter().map(|message| message.id).collect::<Vec<_>>(), [message]);
    let new = accept(&store, scene.message(), NOW).await.id;
    assert!(new > message);
    assert_eq!(store.usage(scene.application, Timestamp::ZERO, Timestamp::MAX).await.unwrap().len(), 1);
}
