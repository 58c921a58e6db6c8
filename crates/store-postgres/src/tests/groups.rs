//! What becomes of a group whose answer never came.

use std::sync::Arc;

use hookpost_domain::{DeliveryState, Message, MessageId, RowId};
use hookpost_store::conformance::fixture::{NOW, Scene, accept, claim, content, delivery, messages_of, scene, state_of, tried};
use hookpost_store::queue::Recorded;
use hookpost_store::{AcceptError, Accepted, Catalog as _, FeedLimits, LeasedDelivery, NewMessage, Record, SharedStore, Unavailable};
use tokio::sync::oneshot;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::harness::{Node, Opening, until};
use super::server::TestDatabase;
use crate::accept::{AcceptCommand, Accepting, Reply};
use crate::batch::Group as _;
use crate::connect::Dedicated;
use crate::record::{RecordCommand, Recording};

/// Whoever inserts waits for it. A lock of the table would hold up those already who prepare their statements.
const BARRIER: &str = "
    CREATE FUNCTION wait_before() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
    CREATE TRIGGER barrier BEFORE INSERT ON hookpost.{table} FOR EACH STATEMENT EXECUTE FUNCTION wait_before();
    SELECT pg_advisory_lock(1)";
const OPEN_BARRIER: &str = "SELECT pg_advisory_unlock(1)";

/// A node, and a session of somebody else who gets in its way.
struct Stage {
    node: Node,
    store: SharedStore,
    scene: Scene,
    other: Client,
    watcher: Client,
    /// Last: dropped after those who use it.
    _database: TestDatabase,
}

impl Stage {
    async fn set() -> Self {
        let database = TestDatabase::migrated().await;
        let node = Opening::of(&database).open().await.unwrap();
        let store: SharedStore = node.store.clone();
        let scene = scene(&store, 1).await;
        let (other, watcher) = (database.connect().await, database.connect().await);
        // The store's own service settles what it finds under way when it connects: it must have done so before a test has something under way.
        accept(&store, NewMessage { content: content(&[]), ..scene.message() }, NOW).await;
        other.batch_execute("DELETE FROM hookpost.message; DELETE FROM hookpost.payload_expiry").await.unwrap();
        Self { node, store, scene, other, watcher, _database: database }
    }

    async fn connect(&self) -> Dedicated {
        self.node.store.shared.connections.dedicated().await.unwrap()
    }

    async fn until_it_waits(&self, client: i32) {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
        until("the statement waits for a lock", || async {
            self.watcher.query_one(waits, &[&client]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
    }

    async fn command(&self) -> (AcceptCommand, oneshot::Receiver<Result<Accepted, AcceptError>>) {
        let NewMessage { application, content, .. } = self.scene.message();
        let message = Arc::new(Message { id: MessageId::from_row(RowId::MIN), application, content, created_at: NOW });
        let view = self.node.store.application_by_id(application).await.unwrap();
        let (reply, answer) = oneshot::channel();
        (AcceptCommand { message: Some(message), view, key: None, reply: Reply::Accept(reply) }, answer)
    }

    /// Sends a message, and gives up waiting while the statement waits for what `other` has locked. The connection lives on.
    async fn accept_and_lose(&self, accepting: &mut Accepting, lock: &str) -> Dedicated {
        let lost = self.connect().await;
        accepting.connected(&lost.client).await.unwrap();
        let (command, _) = self.command().await;
        let mut commands = vec![command];
        // Takes what its endpoint needs.
        accepting.write(&lost.client, &mut commands).await.unwrap();
        let (command, _) = self.command().await;
        commands.push(command);
        let pid = pid(&lost.client).await;
        self.other.batch_execute(lock).await.unwrap();
        tokio::select! {
            _ = accepting.write(&lost.client, &mut commands) => panic!("nothing was in the way"),
            () = self.until_it_waits(pid) => {}
        }
        lost
    }

    async fn messages(&self) -> Vec<i64> {
        let rows = self.watcher.query("SELECT id FROM hookpost.message ORDER BY id", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Every message but the first, which was handed over, can be claimed.
    async fn assert_all_can_be_claimed(&self) {
        let claimed = claim(&self.store, self.scene.endpoints[0], NOW).await;
        let claimed: Vec<i64> = messages_of(&claimed).iter().map(|id| id.row().as_i64()).collect();
        assert_eq!(claimed, self.messages().await[1..]);
    }
}

async fn pid(client: &Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_a_lost_connection_commits_late_becomes_backlog() {
    let stage = Stage::set().await;
    let mut accepting = Accepting::new(&stage.node.store.shared);
    let _lost = stage.accept_and_lose(&mut accepting, &BARRIER.replace("{table}", "payload_expiry")).await;
    let next = stage.connect().await;
    let next_pid = pid(&next.client).await;
    let (connected, ()) = tokio::join!(accepting.connected(&next.client), async {
        stage.until_it_waits(next_pid).await;
        stage.other.batch_execute(OPEN_BARRIER).await.unwrap();
    });
    connected.unwrap();
    assert_eq!(stage.messages().await.len(), 2);
    stage.assert_all_can_be_claimed().await;
}

#[tokio::test]
async fn what_a_lost_connection_did_not_commit_leaves_nothing() {
    let stage = Stage::set().await;
    let mut accepting = Accepting::new(&stage.node.store.shared);
    let lost = stage.accept_and_lose(&mut accepting, &BARRIER.replace("{table}", "payload_expiry")).await;
    let end = "SELECT pg_terminate_backend($1)";
    stage.watcher.execute(end, &[&pid_of_waiting(&stage.watcher).await]).await.unwrap();
    stage.other.batch_execute(OPEN_BARRIER).await.unwrap();
    accepting.connected(&stage.connect().await.client).await.unwrap();
    drop(lost);
    assert_eq!(stage.messages().await.len(), 1);
    stage.assert_all_can_be_claimed().await;
}

async fn pid_of_waiting(watcher: &Client) -> i32 {
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    watcher.query_one(waiting, &[]).await.unwrap().get(0)
}

/// Whether it comes before or after the end of its epoch: what it writes is found, or it writes nothing.
#[tokio::test]
async fn what_a_lost_connection_has_not_begun_is_not_missed() {
    let stage = Stage::set().await;
    let mut accepting = Accepting::new(&stage.node.store.shared);
    let lost = stage.accept_and_lose(&mut accepting, "BEGIN; SELECT 1 FROM hookpost.node FOR UPDATE").await;
    let next = stage.connect().await;
    let next_pid = pid(&next.client).await;
    let (connected, ()) = tokio::join!(accepting.connected(&next.client), async {
        stage.until_it_waits(next_pid).await;
        stage.other.batch_execute("COMMIT").await.unwrap();
    });
    connected.unwrap();
    // Answers come in order: its statement has ended when it says who it is.
    pid(&lost.client).await;
    stage.assert_all_can_be_claimed().await;
}

async fn leased(stage: &mut Stage) -> LeasedDelivery {
    accept(&stage.store, stage.scene.message(), NOW).await;
    stage.node.ready.recv().await.unwrap().remove(0)
}

/// An outcome that a connection was writing when it was lost.
struct Unheard {
    stage: Stage,
    leased: LeasedDelivery,
    records: Arc<Vec<Record>>,
    recording: Recording,
    _lost: Dedicated,
}

impl Unheard {
    /// The lost connection waits before it writes into this table.
    async fn before(table: &str) -> Self {
        let mut stage = Stage::set().await;
        let leased = leased(&mut stage).await;
        let records = Arc::new(vec![tried(&leased, 200, DeliveryState::Delivered, NOW)]);
        let mut recording = Recording::new(&stage.node.store.shared);
        let lost = stage.connect().await;
        recording.connected(&lost.client).await.unwrap();
        stage.other.batch_execute(&BARRIER.replace("{table}", table)).await.unwrap();
        let lost_pid = pid(&lost.client).await;
        let (mut commands, _) = command(&records);
        tokio::select! {
            _ = recording.write(&lost.client, &mut commands) => panic!("nothing was in the way"),
            () = stage.until_it_waits(lost_pid) => {}
        }
        Self { stage, leased, records, recording, _lost: lost }
    }

    async fn assert_recorded_once(&self, answer: oneshot::Receiver<Result<Vec<Recorded>, Unavailable>>) {
        let answers = answer.await.unwrap().unwrap();
        let [Recorded::Done { attempt: Some(attempt) }] = answers[..] else { panic!("not recorded: {answers:?}") };
        let Self { stage, leased, .. } = self;
        let rows = stage.watcher.query("SELECT id FROM hookpost.attempt", &[]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [attempt.row().as_i64()]);
        assert_eq!(state_of(&stage.store, leased.key).await, DeliveryState::Delivered);
        assert_eq!(delivery(&stage.store, leased.key.message, leased.key.endpoint).await.progress.attempts, 1);
        assert_eq!(stage.node.store.shared.leases.lock().held(leased.key), None);
    }
}

fn command(records: &Arc<Vec<Record>>) -> (Vec<RecordCommand>, oneshot::Receiver<Result<Vec<Recorded>, Unavailable>>) {
    let (reply, answer) = oneshot::channel();
    (vec![RecordCommand { records: Arc::clone(records), now: NOW, reply }], answer)
}

#[tokio::test]
async fn outcomes_that_were_written_unheard_are_not_written_twice() {
    for table in ["attempt", "count_change"] {
        let mut unheard = Unheard::before(table).await;
        let Unheard { stage, recording, records, .. } = &mut unheard;
        let next = stage.connect().await;
        recording.connected(&next.client).await.unwrap();
        let (mut commands, answer) = command(records);
        let next_pid = pid(&next.client).await;
        let (written, ()) = tokio::join!(recording.write(&next.client, &mut commands), async {
            stage.until_it_waits(next_pid).await;
            stage.other.batch_execute(OPEN_BARRIER).await.unwrap();
        });
        written.unwrap();
        unheard.assert_recorded_once(answer).await;
    }
}

/// What the new connection is refused says nothing about what the lost one has under way.
#[tokio::test]
async fn a_refusal_says_why_and_leaves_the_doubt() {
    let mut unheard = Unheard::before("attempt").await;
    let Unheard { stage, recording, records, .. } = &mut unheard;
    let next = stage.connect().await;
    recording.connected(&next.client).await.unwrap();
    next.client.batch_execute("SET lock_timeout = '50ms'").await.unwrap();
    for _ in 0..5 {
        let (mut commands, _) = command(records);
        let refused = recording.write(&next.client, &mut commands).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::LOCK_NOT_AVAILABLE), "{refused}");
    }
    stage.other.batch_execute(OPEN_BARRIER).await.unwrap();
    next.client.batch_execute("SET lock_timeout = '5s'").await.unwrap();
    let (mut commands, answer) = command(records);
    recording.write(&next.client, &mut commands).await.unwrap();
    unheard.assert_recorded_once(answer).await;
}

/// Also where nobody waits for its deliveries.
#[tokio::test]
async fn what_a_lost_connection_may_commit_is_not_settled() {
    let mut stage = Stage::set().await;
    stage.scene.endpoints.clear();
    let shared = Arc::clone(&stage.node.store.shared);
    let mut accepting = Accepting::new(&shared);
    let _lost = stage.accept_and_lose(&mut accepting, &BARRIER.replace("{table}", "payload_expiry")).await;
    let mark = shared.settled_mark();
    assert_eq!(shared.settled_mark(), mark, "it stands before what may come");
    let first = stage.messages().await;
    let limits = FeedLimits { messages: 9, payload_bytes: 9999 };
    let fed = async || -> Vec<i64> {
        let feed = stage.store.feed(stage.scene.application, None, limits).await.unwrap();
        feed.messages.iter().map(|message| message.id.row().as_i64()).collect()
    };
    assert_eq!(fed().await, first);
    let next = stage.connect().await;
    let next_pid = pid(&next.client).await;
    let (connected, ()) = tokio::join!(accepting.connected(&next.client), async {
        stage.until_it_waits(next_pid).await;
        assert_eq!(shared.settled_mark(), mark);
        stage.other.batch_execute(OPEN_BARRIER).await.unwrap();
    });
    connected.unwrap();
    let both = stage.messages().await;
    assert_eq!((both.len(), fed().await), (2, both.clone()));
    assert!(mark.as_i64() < both[1]);
}
