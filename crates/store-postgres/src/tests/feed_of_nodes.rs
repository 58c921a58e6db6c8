//! Messages in their order, from several nodes: whoever reads on misses none.

use std::time::Duration;

use hookpost_domain::{ApplicationId, MessageId, RowId, Timestamp};
use hookpost_store::conformance::fixture::{NOW, accept, at, new_application, new_message, org};
use hookpost_store::documents::{DocumentKind, DocumentRow, Shelf};
use hookpost_store::{Catalog as _, Documents as _, FeedLimits, History as _, SharedStore, Store as _};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::harness::{DEADLINE, Node, Opening, until, until_a_statement_waits};
use super::server::TestDatabase;
use crate::feed::keep_up;

const POLL: Duration = Duration::from_millis(20);
const ALL: FeedLimits = FeedLimits { messages: 1000, payload_bytes: usize::MAX };

/// Whoever inserts waits for it.
const WAIT: &str = "
    CREATE FUNCTION wait_before() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END';
    SELECT pg_advisory_lock(1);";
const GO_ON: &str = "SELECT pg_advisory_unlock(1)";

async fn open_with(database: &TestDatabase, lease: Duration) -> Node {
    Opening { poll_every: POLL, lease, ..Opening::of(database) }.open().await.unwrap()
}

async fn open(database: &TestDatabase) -> Node {
    open_with(database, Duration::from_secs(30)).await
}

fn shared(node: &Node) -> SharedStore {
    node.store.clone()
}

async fn application(node: &Node) -> ApplicationId {
    let application = new_application(&shared(node), org('a'));
    let id = application.id;
    node.store.create_application(application).await.unwrap();
    id
}

async fn accept_at(node: &Node, application: ApplicationId, now: Timestamp) -> MessageId {
    accept(&shared(node), new_message(application, &[]), now).await.id
}

/// What can be read at this moment.
async fn now_read(node: &Node, application: ApplicationId, after: Option<MessageId>) -> Vec<MessageId> {
    let feed = node.store.feed(application, after, ALL).await.unwrap();
    feed.messages.iter().map(|message| message.id).collect()
}

async fn reads(node: &Node, application: ApplicationId, after: Option<MessageId>, expected: &[MessageId]) {
    until("the feed has them", || async {
        let read = now_read(node, application, after).await;
        assert!(expected.starts_with(&read), "{read:?}, and not {expected:?}");
        read == expected
    })
    .await;
}

async fn settled(client: &Client, node: &Node) -> i64 {
    let sql = "SELECT settled_id FROM hookpost.node WHERE holder = $1";
    client.query_one(sql, &[&node.store.shared.node.holder()]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_node_that_is_alone_waits_for_nothing() {
    let database = TestDatabase::migrated().await;
    let node = open(&database).await;
    let application = application(&node).await;
    let mut last = None;
    for seconds in [7200, 0, 3600] {
        let id = accept_at(&node, application, at(seconds)).await;
        assert_eq!(now_read(&node, application, last).await, [id]);
        last = Some(id);
    }
}

#[tokio::test]
async fn clocks_that_differ_hold_nobody_up() {
    let database = TestDatabase::migrated().await;
    let (ahead, behind) = (open(&database).await, open(&database).await);
    let application = application(&ahead).await;
    let late = accept_at(&ahead, application, at(3600)).await;
    let early = accept_at(&behind, application, NOW).await;
    assert!(early < late, "nobody has asked for a feed yet");
    for node in [&ahead, &behind] {
        reads(node, application, None, &[early, late]).await;
    }
    let mut last = Some(late);
    for _ in 0..5 {
        for (node, now, reader) in [(&behind, NOW, &ahead), (&ahead, at(3600), &behind), (&behind, NOW, &behind)] {
            let id = accept_at(node, application, now).await;
            reads(reader, application, last, &[id]).await;
            last = Some(id);
        }
    }
}

#[tokio::test]
async fn nothing_overtakes_a_node_that_is_slow_to_commit() {
    let database = TestDatabase::migrated().await;
    let (quick, slow) = (open(&database).await, open(&database).await);
    let application = application(&quick).await;
    reads(&quick, application, None, &[]).await;
    let (other, watcher) = (database.connect().await, database.connect().await);
    let number = slow.store.shared.node.number();
    let trigger = format!(
        "{WAIT} CREATE TRIGGER slow BEFORE INSERT ON hookpost.message FOR EACH ROW WHEN (NEW.id & 255 = {number}) EXECUTE FUNCTION wait_before()"
    );
    other.batch_execute(&trigger).await.unwrap();
    let mut accepting = JoinSet::new();
    let (store, new) = (shared(&slow), new_message(application, &[]));
    accepting.spawn(async move { accept(&store, new, NOW).await.id });
    until_a_statement_waits(&watcher).await;
    let overtaking = accept_at(&quick, application, at(60)).await;
    // Everybody else has settled it.
    until("the other knows", || async { settled(&watcher, &quick).await > overtaking.row().as_i64() }).await;
    let mark = slow.store.shared.settled_mark();
    for node in [&quick, &slow] {
        assert_eq!(now_read(node, application, None).await, []);
    }
    assert_eq!(slow.store.shared.settled_mark(), mark, "it stands before what is under way");
    other.batch_execute(GO_ON).await.unwrap();
    let overtaken = accepting.join_next().await.unwrap().unwrap();
    assert!(mark < overtaken.row() && overtaken < overtaking);
    for node in [&quick, &slow] {
        reads(node, application, None, &[overtaken, overtaking]).await;
    }
}

/// It takes its number while the others go on; what they hand out meanwhile lies behind it.
#[tokio::test]
async fn a_node_that_begins_goes_on_after_what_was_read() {
    let database = TestDatabase::migrated().await;
    let first = open(&database).await;
    let application = application(&first).await;
    let before = accept_at(&first, application, at(3600)).await;
    assert_eq!(now_read(&first, application, None).await, [before]);
    let (other, watcher) = (database.connect().await, database.connect().await);
    // Everything is said, and it only has to commit.
    let trigger = format!(
        "{WAIT} CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON hookpost.node DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_before()"
    );
    other.batch_execute(&trigger).await.unwrap();
    let opening = Opening { poll_every: POLL, ..Opening::of(&database) };
    let mut starting = JoinSet::new();
    starting.spawn(opening.open());
    until_a_statement_waits(&watcher).await;
    let meanwhile = accept_at(&first, application, at(7200)).await;
    assert_eq!(now_read(&first, application, Some(before)).await, [meanwhile]);
    other.batch_execute(GO_ON).await.unwrap();
    let second = starting.join_next().await.unwrap().unwrap().unwrap();
    let after = accept_at(&second, application, NOW).await;
    assert!(after > meanwhile);
    for node in [&first, &second] {
        reads(node, application, Some(meanwhile), &[after]).await;
    }
}

#[tokio::test]
async fn a_silent_node_holds_the_feed_up_until_it_is_buried() {
    let database = TestDatabase::migrated().await;
    let (node, client) = (open_with(&database, Duration::from_millis(500)).await, database.connect().await);
    let application = application(&node).await;
    // As an older program leaves it, which knows nothing of feeds, and goes on renewing.
    let old = "INSERT INTO hookpost.node (number, name, alive_until, implied_from, last_row_id)
        VALUES (77, 'old', now() + interval '1 hour', 0, 0)";
    client.execute(old, &[]).await.unwrap();
    let id = accept_at(&node, application, NOW).await;
    assert_eq!(now_read(&node, application, None).await, []);
    client.execute("UPDATE hookpost.node SET alive_until = now() WHERE number = 77", &[]).await.unwrap();
    reads(&node, application, None, &[id]).await;

    let killed = open_with(&database, Duration::from_millis(500)).await;
    let of_killed = accept_at(&killed, application, NOW).await;
    drop(killed);
    let after = accept_at(&node, application, at(60)).await;
    reads(&node, application, Some(id), &[of_killed, after]).await;
}

#[tokio::test]
async fn nobody_writes_marks_for_nobody() {
    let database = TestDatabase::migrated().await;
    let first = open(&database).await;
    let store = &first.store;
    let connection = store.shared.connections.get().await.unwrap();
    let marks = async || keep_up(&store.shared, &connection).await.unwrap();
    let shelf = Shelf { kind: DocumentKind::Sink, org: org('a'), owner: RowId::MIN };
    let sink = DocumentRow { shelf, id: store.new_row_id(NOW), name: None, data: Vec::new(), forget_at: None };
    store.create_document(sink.clone()).await.unwrap();
    assert!(!marks().await, "it is alone");
    let second = open(&database).await;
    assert!(marks().await, "there is a sink");
    store.delete_document(&sink.shelf, sink.id).await.unwrap();
    assert!(!marks().await, "nobody asks");
    now_read(&second, application(&second).await, None).await;
    assert!(marks().await, "somebody asks another node");
}

/// Nodes come and go, their clocks differ, and somebody reads on all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_on_misses_nothing_whatever_becomes_of_nodes() {
    const EACH: u64 = 25;
    let database = TestDatabase::migrated().await;
    let reader = open_with(&database, Duration::from_secs(1)).await;
    let application = application(&reader).await;
    let mut writing = JoinSet::new();
    for (number, skew) in [30, 0, 90, 5].into_iter().enumerate() {
        let opening = Opening { poll_every: POLL, lease: Duration::from_secs(1), ..Opening::of(&database) };
        let starts_after = reader.store.clone();
        writing.spawn(async move {
            // One after the other begins, while the feed is read.
            let behind = || async { starts_after.feed(application, None, ALL).await.unwrap().messages.len() >= number * 10 };
            until("others have written", behind).await;
            let node = opening.open().await.unwrap();
            let mut ids = Vec::new();
            for index in 0..EACH {
                ids.push(accept_at(&node, application, NOW + Duration::from_millis(skew * 1000 + index)).await);
            }
            // Half of them say that they leave.
            if number % 2 == 0 {
                node.store.close().await;
            }
            ids
        });
    }
    let reading = async {
        let mut read: Vec<MessageId> = Vec::new();
        while read.len() < 4 * EACH as usize {
            let limits = FeedLimits { messages: 7, ..ALL };
            let feed = reader.store.feed(application, read.last().copied(), limits).await.unwrap();
            read.extend(feed.messages.iter().map(|message| message.id));
            tokio::task::yield_now().await;
        }
        read
    };
    let read = tokio::time::timeout(DEADLINE, reading).await.expect("everything is read");
    let mut accepted = writing.join_all().await.concat();
    accepted.sort_unstable();
    assert_eq!(read, accepted);
}

/// Who wrote does not know what became of it; what is there in the end was read, each in its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_on_misses_nothing_where_connections_are_cut() {
    const EACH: usize = 40;
    let database = TestDatabase::migrated().await;
    let nodes = [open(&database).await, open(&database).await];
    let (application, client) = (application(&nodes[0]).await, database.connect().await);
    let mut writing = JoinSet::new();
    for number in 0..6 {
        let store = shared(&nodes[number % 2]);
        writing.spawn(async move {
            for _ in 0..EACH {
                // It may be there or not.
                drop(store.accept(new_message(application, &[]), at(number as u64)).await);
                tokio::task::yield_now().await;
            }
        });
    }
    // Of those that accept, the one that had the last word.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%INTO hookpost.message%' ORDER BY state_change DESC LIMIT 1";
    let all = "SELECT id FROM hookpost.message ORDER BY id";
    let reading = async {
        let (mut read, mut cuts) = (Vec::new(), 0);
        loop {
            let is_over = writing.is_empty();
            let last = read.last().copied();
            if let Ok(feed) = nodes[read.len() % 2].store.feed(application, last, FeedLimits { messages: 3, ..ALL }).await {
                read.extend(feed.messages.iter().map(|message| message.id));
            }
            if !is_over && read.len() > cuts * 10 {
                cuts += 1;
                client.query(cut, &[]).await.unwrap();
            }
            while writing.try_join_next().is_some() {}
            let ids = || read.iter().map(|id| id.row().as_i64());
            let there: Vec<i64> = client.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
            assert!(ids().eq(there.iter().copied().take(read.len())), "something came below what was read");
            if is_over && read.len() == there.len() {
                return cuts;
            }
        }
    };
    let cuts = tokio::time::timeout(DEADLINE, reading).await.expect("everything is read");
    assert!(cuts > 1);
}
