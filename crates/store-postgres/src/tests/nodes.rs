//! Several nodes on one database: what is shared, what one of them serves, and how they learn of each other.

use std::collections::HashSet;
use std::time::Duration;

use hookpost_domain::health::{Circuit, Health};
use hookpost_domain::{Application, ApplicationId, DeliveryKey, DeliveryState, Endpoint, EndpointId, SinkId, SourceId, TaskId, Trigger};
use hookpost_store::conformance::fixture::door::{genuine, once, receive};
use hookpost_store::conformance::fixture::{
    NOW, accept, at, claim, ended, messages_of, new_application, new_endpoint, new_message, org, record_one, tried,
};
use hookpost_store::ledger::ProgressChange;
use hookpost_store::queue::{ClaimRequest, LaneState, News};
use hookpost_store::{Catalog, Claimed, History, LeasedDelivery, Ledger as _, ProgressKey, Queue, Record, Recorded, SharedStore, Store};
use tokio::task::JoinSet;

use super::harness::{Node, Opening};
use super::server::TestDatabase;

/// What must come at all comes within this.
const SOON: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

async fn open(database: &TestDatabase) -> Node {
    Opening { poll_every: POLL, ..Opening::of(database) }.open().await.expect("the store opens")
}

fn shared(node: &Node) -> SharedStore {
    node.store.clone()
}

/// An endpoint that any node may serve, changed.
async fn endpoint(node: &Node, change: impl FnOnce(&mut Endpoint)) -> (ApplicationId, EndpointId) {
    let store = shared(node);
    let application = Application { throttle_rate: None, ..new_application(&store, org('a')) };
    let id = application.id;
    store.create_application(application).await.unwrap();
    let mut endpoint = Endpoint { ordered: false, throttle_rate: None, concurrency: None, ..new_endpoint(&store, id) };
    change(&mut endpoint);
    let of = endpoint.id;
    store.create_endpoint(endpoint).await.unwrap();
    (id, of)
}

/// So many deliveries that wait in the database.
async fn backlog(node: &mut Node, application: ApplicationId, endpoint: EndpointId, count: usize) {
    let store = shared(node);
    let mut leases = Vec::new();
    for _ in 0..count {
        accept(&store, new_message(application, &[endpoint]), NOW).await;
        leases.extend(handed_over(node).await.iter().map(|one| (one.key, one.lease)));
    }
    store.release(leases).await.unwrap();
}

async fn handed_over(node: &mut Node) -> Vec<LeasedDelivery> {
    tokio::time::timeout(SOON, node.ready.recv()).await.expect("a group is handed over").expect("the store is open")
}

/// The first news that are it.
async fn hears<T>(node: &mut Node, wanted: impl Fn(&News) -> Option<T>) -> T {
    let news = async {
        loop {
            if let Some(found) = wanted(&node.news.recv().await.expect("the store is open")) {
                return found;
            }
        }
    };
    tokio::time::timeout(SOON, news).await.expect("the news come")
}

async fn hears_of(node: &mut Node, endpoint: EndpointId, wanted: impl Fn(&LaneState) -> bool) -> LaneState {
    hears(node, |news| match news {
        News::Lanes(lanes) => lanes.iter().find(|lane| lane.endpoint == endpoint && wanted(lane)).cloned(),
        _ => None,
    })
    .await
}

/// Claims until something comes.
async fn claims(node: &Node, endpoint: EndpointId) -> Claimed {
    let claiming = async {
        loop {
            let claimed = claim(&shared(node), endpoint, at(1)).await;
            if !claimed.deliveries.is_empty() {
                return claimed;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, claiming).await.expect("something can be claimed")
}

#[tokio::test]
async fn the_backlog_of_a_free_endpoint_is_shared() {
    let database = TestDatabase::migrated().await;
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(open(&database).await);
    }
    let (application, endpoint) = endpoint(&nodes[0], |_| {}).await;
    backlog(&mut nodes[0], application, endpoint, 100).await;
    let mut claims = JoinSet::new();
    for node in &nodes {
        let store = shared(node);
        claims.spawn(async move {
            let mut keys = Vec::new();
            loop {
                let request = ClaimRequest { endpoint, limit: 7, bytes_max: usize::MAX, ordered: false };
                let claimed = store.claim(request, NOW).await.unwrap();
                if claimed.deliveries.is_empty() && !claimed.more {
                    return keys;
                }
                keys.extend(claimed.deliveries.iter().map(|one| one.key));
            }
        });
    }
    let keys: Vec<DeliveryKey> = claims.join_all().await.concat();
    assert_eq!((keys.len(), keys.iter().collect::<HashSet<_>>().len()), (100, 100));
}

#[tokio::test]
async fn one_node_serves_an_endpoint_with_an_order_until_it_leaves() {
    let database = TestDatabase::migrated().await;
    let (mut first, mut second) = (open(&database).await, open(&database).await);
    let (application, endpoint) = endpoint(&first, |endpoint| endpoint.ordered = true).await;
    backlog(&mut first, application, endpoint, 3).await;
    assert!(claim(&shared(&second), endpoint, NOW).await.deliveries.is_empty());
    // What it accepts is left to the one that serves it.
    let message = accept(&shared(&second), new_message(application, &[endpoint]), NOW).await.id;
    let claimed = claim(&shared(&first), endpoint, NOW).await;
    assert_eq!((claimed.deliveries.len(), claimed.taken_over), (4, None));
    assert!(messages_of(&claimed).contains(&message));
    assert!(second.ready.try_recv().is_err());

    first.store.close().await;
    hears_of(&mut second, endpoint, |lane| lane.ready && !lane.elsewhere).await;
    let claimed = claim(&shared(&second), endpoint, NOW).await;
    assert_eq!((claimed.deliveries.len(), claimed.taken_over), (4, Some(Health::default())));
}

#[tokio::test]
async fn what_a_dead_node_served_goes_to_another() {
    let database = TestDatabase::migrated().await;
    let lease = Duration::from_millis(500);
    let opening = || Opening { lease, poll_every: POLL, ..Opening::of(&database) };
    let mut first = opening().open().await.unwrap();
    let second = opening().open().await.unwrap();
    let (application, endpoint) = endpoint(&first, |endpoint| endpoint.concurrency = Some(2)).await;
    accept(&shared(&first), new_message(application, &[endpoint]), NOW).await;
    assert_eq!(handed_over(&mut first).await.len(), 1);
    drop(first);
    let claimed = claims(&second, endpoint).await;
    assert_eq!((claimed.deliveries.len(), claimed.taken_over), (1, Some(Health::default())));
}

#[tokio::test]
async fn an_unhealthy_endpoint_is_served_by_one_node_and_its_health_goes_with_it() {
    let database = TestDatabase::migrated().await;
    let (mut first, mut second) = (open(&database).await, open(&database).await);
    let (application, endpoint) = endpoint(&first, |_| {}).await;
    accept(&shared(&first), new_message(application, &[endpoint]), NOW).await;
    accept(&shared(&second), new_message(application, &[endpoint]), NOW).await;
    let (of_first, of_second) = (handed_over(&mut first).await.remove(0), handed_over(&mut second).await.remove(0));
    let circuit = Circuit::Open { until: at(60), cool_down_ms: 5000 };
    let health = Health { failing_since: Some(NOW), consecutive_failures: 30, warned: false, circuit };
    let failed = Record { health: Some(health), ..tried(&of_first, 500, DeliveryState::Waiting { at: at(1) }, NOW) };
    assert!(matches!(record_one(&shared(&first), failed, NOW).await, Recorded::Done { .. }));
    // Who holds something of it is told, gives it back, and gets nothing any more.
    let lane = hears_of(&mut second, endpoint, |lane| lane.elsewhere && lane.health == health).await;
    assert_eq!(lane.application, application);
    second.store.release(vec![(of_second.key, of_second.lease)]).await.unwrap();
    assert!(claim(&shared(&second), endpoint, at(1)).await.deliveries.is_empty());
    assert_eq!(claim(&shared(&first), endpoint, at(1)).await.deliveries.len(), 2);

    first.store.close().await;
    let claimed = claims(&second, endpoint).await;
    assert_eq!((claimed.deliveries.len(), claimed.taken_over), (2, Some(health)));
    // A success there ends it.
    let well = Record { health: Some(Health::default()), ..tried(&claimed.deliveries[0], 200, DeliveryState::Delivered, at(1)) };
    record_one(&shared(&second), well, at(1)).await;
    assert_eq!(second.store.lanes().await.unwrap(), []);
}

#[tokio::test]
async fn nodes_hear_of_work_by_asking_and_sooner_when_they_are_told() {
    let database = TestDatabase::migrated().await;
    let long = Duration::from_secs(3600);
    for (notify, poll_every) in [(false, POLL), (true, long)] {
        let opening = || Opening { notify, poll_every, ..Opening::of(&database) };
        let mut first = opening().open().await.unwrap();
        let mut second = opening().open().await.unwrap();
        let (application, endpoint) = endpoint(&first, |_| {}).await;
        let message = accept(&shared(&first), new_message(application, &[endpoint]), NOW).await.id;
        let leased = handed_over(&mut first).await.remove(0);
        record_one(&shared(&first), ended(&leased, DeliveryState::Delivered), NOW).await;
        // Listening begins in the background: asked for again until it is heard.
        let asked = async {
            loop {
                first.store.send_again(vec![DeliveryKey { message, endpoint }], NOW).await.unwrap();
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            () = asked => {}
            lane = hears_of(&mut second, endpoint, |lane| !lane.elsewhere) => assert_eq!(lane.next_due, Some(NOW), "notify: {notify}"),
        }
        let claimed = claim(&shared(&second), endpoint, NOW).await;
        assert_eq!(claimed.deliveries.iter().map(|one| one.trigger).collect::<Vec<_>>(), [Trigger::Manual]);
    }
}

#[tokio::test]
async fn one_node_works_on_a_task() {
    let database = TestDatabase::migrated().await;
    let (first, second) = (open(&database).await, open(&database).await);
    let task = TaskId::from_row(first.store.new_row_id(NOW));
    assert_eq!((first.store.take_task(task).await, second.store.take_task(task).await), (Ok(true), Ok(false)));
    assert_eq!(first.store.take_task(task).await, Ok(true));
    first.store.close().await;
    assert_eq!(second.store.take_task(task).await, Ok(true));
}

#[tokio::test]
async fn one_node_asks_a_source_and_calls_a_sink_until_it_ends() {
    let database = TestDatabase::migrated().await;
    let lease = Duration::from_millis(500);
    let opening = || Opening { lease, poll_every: POLL, ..Opening::of(&database) };
    let (first, second) = (opening().open().await.unwrap(), opening().open().await.unwrap());
    let source = SourceId::from_row(first.store.new_row_id(NOW));
    assert_eq!((first.store.take_source(source).await, second.store.take_source(source).await), (Ok(true), Ok(false)));
    assert_eq!(first.store.take_source(source).await, Ok(true));
    let sink = SinkId::from_row(first.store.new_row_id(NOW));
    assert_eq!((second.store.take_sink(sink).await, first.store.take_sink(sink).await), (Ok(true), Ok(false)));
    // Killed, not closed.
    drop(first);
    let taken_over = async {
        while second.store.take_source(source).await != Ok(true) {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(SOON, taken_over).await.expect("it is taken over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_two_nodes_get_at_the_same_moment_makes_one_message() {
    let database = TestDatabase::migrated().await;
    let nodes = [open(&database).await, open(&database).await];
    let (application, _) = endpoint(&nodes[0], |_| {}).await;
    let source = SourceId::from_row(nodes[0].store.new_row_id(NOW));
    let mut receiving = JoinSet::new();
    for number in 0..40 {
        let store = shared(&nodes[number % 2]);
        let new = genuine(source, new_message(application, &[]), once((number / 8) as u8, Duration::from_secs(60)));
        receiving.spawn(async move { receive(&store, new, NOW).await });
    }
    let received = receiving.join_all().await;
    let made = received.iter().filter_map(|one| one.message).filter(|message| !message.repeated);
    assert_eq!((made.count(), received.iter().filter_map(|one| one.message).map(|one| one.id).collect::<HashSet<_>>().len()), (5, 5));
    for node in &nodes {
        let counts = node.store.receipt_counts(source, NOW, at(60)).await.unwrap();
        assert_eq!((counts.accepted, counts.duplicate), (5, 35));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_made_by_one_node_after_the_other_and_by_none_that_was_taken_for_dead() {
    let database = TestDatabase::migrated().await;
    let nodes = [open(&database).await, open(&database).await];
    let key = ProgressKey { of: nodes[0].store.new_row_id(NOW), name: "\0".to_owned() };
    let append = || -> ProgressChange { Box::new(|before| Some([before.unwrap_or_default(), b"."].concat())) };
    let mut advancing = JoinSet::new();
    for number in 0..40 {
        let (store, key) = (shared(&nodes[number % 2]), key.clone());
        advancing.spawn(async move { store.advance(key, append(), vec![]).await.map(drop) });
    }
    assert!(advancing.join_all().await.into_iter().all(|advanced| advanced == Ok(())));
    assert_eq!(nodes[1].store.progress(&key).await, Ok(Some(vec![b'.'; 40])));

    let client = database.connect().await;
    client.execute("DELETE FROM hookpost.node WHERE holder = $1", &[&nodes[0].store.shared.node.holder()]).await.unwrap();
    assert!(nodes[0].store.advance(key.clone(), append(), vec![]).await.is_err());
    assert_eq!(nodes[1].store.progress(&key).await, Ok(Some(vec![b'.'; 40])));
}

#[tokio::test]
async fn what_another_node_holds_in_memory_can_be_asked_for_again() {
    let database = TestDatabase::migrated().await;
    let (mut first, second) = (open(&database).await, open(&database).await);
    let (application, endpoint) = endpoint(&first, |_| {}).await;
    for gives_back in [false, true] {
        accept(&shared(&first), new_message(application, &[endpoint]), NOW).await;
        let leased = handed_over(&mut first).await.remove(0);
        assert_eq!(second.store.send_again(vec![leased.key], NOW).await, Ok(1));
        assert!(claim(&shared(&second), endpoint, NOW).await.deliveries.is_empty(), "its lease holds");
        if gives_back {
            first.store.release(vec![(leased.key, leased.lease)]).await.unwrap();
        } else {
            let delivered = tried(&leased, 200, DeliveryState::Delivered, NOW);
            assert!(matches!(record_one(&shared(&first), delivered, NOW).await, Recorded::Done { attempt: Some(_) }));
        }
        let claimed = claim(&shared(&second), endpoint, NOW).await;
        assert_eq!(claimed.deliveries.len(), 1);
        assert_eq!((claimed.deliveries[0].trigger, claimed.deliveries[0].progress.attempts), (Trigger::Manual, u32::from(!gives_back)));
        record_one(&shared(&second), tried(&claimed.deliveries[0], 200, DeliveryState::Delivered, NOW), NOW).await;
        assert!(claim(&shared(&first), endpoint, at(9)).await.deliveries.is_empty());
    }
}

#[tokio::test]
async fn deliveries_end_with_their_endpoint_whoever_holds_them() {
    let database = TestDatabase::migrated().await;
    let (mut first, second) = (open(&database).await, open(&database).await);
    let (application, endpoint) = endpoint(&first, |_| {}).await;
    accept(&shared(&first), new_message(application, &[endpoint]), NOW).await;
    let leased = handed_over(&mut first).await.remove(0);
    second.store.delete_endpoint(application, endpoint, NOW).await.unwrap();
    assert_eq!(record_one(&shared(&first), tried(&leased, 200, DeliveryState::Delivered, NOW), NOW).await, Recorded::LeaseLost);
    let state = hookpost_store::conformance::fixture::state_of(&shared(&second), leased.key).await;
    assert_eq!(state, DeliveryState::Canceled { reason: hookpost_domain::Reason::EndpointDeleted });
}
