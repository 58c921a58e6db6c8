//! What a store keeps that runs for long and forgets: as much on one day as on another, in every table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{DeliveryState, MessageContent, Timestamp};
use hookpost_store::conformance::fixture::door::{genuine, once, receive, rejected, settled, source_of};
use hookpost_store::conformance::fixture::{NOW, Scene, accept, content, key, new_message, org, record_one, scene, tried, uid};
use hookpost_store::history::RetentionPolicy;
use hookpost_store::intake::KeptAnswer;
use hookpost_store::{IdempotencyKey, LogEntry, LogName, NewMessage, SharedStore};
use tokio_postgres::Client;

use super::harness::{Node, Opening};
use super::server::TestDatabase;
use crate::counts;

const DAY: Duration = Duration::from_secs(86_400);
const POLICY: RetentionPolicy = RetentionPolicy { rows: Duration::from_secs(6 * 86_400), receipts: Duration::from_secs(5 * 86_400) };
const MESSAGES_OF_A_DAY: u8 = 8;

fn day(n: u8) -> Timestamp {
    Timestamp::from_unix_ms(NOW.unix_ms() / 86_400_000 * 86_400_000) + DAY * u32::from(n) + DAY / 2
}

/// A bit of everything, at the time at which the oldest goes.
async fn load(node: &mut Node, scene: &Scene, source: hookpost_domain::SourceId, n: u8) {
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let now = day(n);
    for index in 0..MESSAGES_OF_A_DAY {
        let content =
            MessageContent { event_id: uid(&format!("{n}-{index}")), payload_expires_at: now + DAY * 3, ..content(&scene.endpoints) };
        let idempotency_key = Some(IdempotencyKey([[n; 8], [index; 8]].concat().try_into().unwrap()));
        accept(&store, NewMessage { application: scene.application, content, idempotency_key }, now).await;
        let leased = node.ready.recv().await.unwrap().remove(0);
        let (status, state) =
            if index % 2 == 0 { (200, DeliveryState::Delivered) } else { (500, DeliveryState::Waiting { at: now + DAY }) };
        record_one(&store, tried(&leased, status, state, now), now).await;
    }
    let mut received = new_message(scene.application, &[]);
    received.content.payload_expires_at = now + DAY * 3;
    receive(&store, genuine(source, received, once(n, DAY)), now).await;
    receive(&store, settled(source, rejected("expired"), b"x"), now).await;
    store.begin_answer(key(n).unwrap(), now).await.unwrap();
    store.keep_answer(key(n).unwrap(), KeptAnswer { status: 201, body: b"made".to_vec() }, now).await.unwrap();
    let entry = LogEntry { log: LogName::Audit(org('a')), id: store.new_row_id(now), data: b"{}".to_vec() };
    store.append(vec![entry]).await.unwrap();
}

async fn forget_all(store: &SharedStore, now: Timestamp) {
    while store.forget(POLICY, now).await.unwrap().more {}
}

/// Rows by table, and how many partitions there are.
async fn sizes(client: &Client) -> BTreeMap<String, i64> {
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'hookpost'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition";
    let mut sizes = BTreeMap::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let rows = client.query_one(&format!("SELECT count(*) FROM hookpost.{table}"), &[]).await.unwrap().get(0);
        sizes.insert(table, rows);
    }
    sizes.insert("partitions".to_owned(), client.query_one("SELECT count(*) FROM pg_inherits", &[]).await.unwrap().get(0));
    // Of a catalogue that changed a moment ago: these go by the clock of the database.
    sizes.remove("change");
    sizes
}

#[tokio::test]
async fn nothing_grows_for_ever_and_the_load_goes_on_while_partitions_are_dropped() {
    let database = TestDatabase::empty().await;
    let mut node = Opening { partition: DAY, ..Opening::of(&database) }.open().await.unwrap();
    let client = database.connect().await;
    let store: SharedStore = Arc::clone(&node.store) as SharedStore;
    let scene = scene(&store, 1).await;
    let source = source_of(&store, &scene).await.id;
    let mut seen = Vec::new();
    for n in 0..20 {
        // At the same time: whoever writes does not wait for what is dropped, nor the other way round.
        tokio::join!(load(&mut node, &scene, source, n), forget_all(&store, day(n)));
        if n == 12 || n == 19 {
            forget_all(&store, day(n)).await;
            counts::fold(&node.store.shared).await.unwrap();
            forget_all(&store, day(n)).await;
            seen.push(sizes(&client).await);
        }
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0]["message"] > 0 && seen[0]["partitions"] > 0, "{seen:?}");
}
