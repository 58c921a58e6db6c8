//! How the tables come into being.

use hookpost_domain::PublicIds;
use hookpost_store::Store as _;
use tokio::task::JoinSet;

use super::harness::Opening;
use super::server::TestDatabase;
use crate::connect::connect_first;
use crate::schema::{self, SCHEMA};
use crate::{Migration, OpenError, migrate};

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
