//! What is canceled on one node while another holds it.

use std::time::Duration;

use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, MessageId, Reason, Timestamp};
use hookpost_store::conformance::fixture::{
    NOW, Scene, accept, at, claim, delivery, messages_of, new_message, record_one, scene, state_of, tried,
};
use hookpost_store::queue::{CancelFilter, Canceled, News};
use hookpost_store::{LeasedDelivery, Recorded, SharedStore};
use tokio_postgres::Client;

use super::harness::{Node, Opening};
use super::server::TestDatabase;

const CANCELED: DeliveryState = DeliveryState::Canceled { reason: Reason::CanceledByUser };
const WAITING: DeliveryState = DeliveryState::Waiting { at: Timestamp::from_unix_ms(4_000_000_000_000) };

/// One node that cancels, and one that holds.
struct Stage {
    here: SharedStore,
    there: SharedStore,
    there_node: Node,
    scene: Scene,
    watcher: Client,
    _here_node: Node,
    /// Last: dropped after those who use it.
    database: TestDatabase,
}

impl Stage {
    async fn set(notify: bool) -> Self {
        let database = TestDatabase::migrated().await;
        let open = |name| Opening { name: Some(name), notify, poll_every: Duration::from_millis(50), ..Opening::of(&database) }.open();
        let (here, there) = (open("here").await.unwrap(), open("there").await.unwrap());
        let (store, other): (SharedStore, SharedStore) = (here.store.clone(), there.store.clone());
        let scene = scene(&store, 1).await;
        let watcher = database.connect().await;
        Self { here: store, there: other, there_node: there, scene, watcher, _here_node: here, database }
    }

    fn endpoint(&self) -> EndpointId {
        self.scene.endpoints[0]
    }

    fn key(&self, message: MessageId) -> DeliveryKey {
        DeliveryKey { message, endpoint: self.endpoint() }
    }

    /// In the memory of the other node, and nowhere else.
    async fn implied_there(&mut self) -> LeasedDelivery {
        accept(&self.there, new_message(self.scene.application, &self.scene.endpoints), NOW).await;
        let group = tokio::time::timeout(Duration::from_secs(20), self.there_node.ready.recv()).await;
        group.expect("it is handed over").unwrap().remove(0)
    }

    async fn cancel(&self) -> Canceled {
        self.here.cancel_everywhere(self.endpoint(), CancelFilter::default(), Reason::CanceledByUser, 99, at(1)).await.unwrap()
    }

    async fn queued(&self) -> i64 {
        self.watcher.query_one("SELECT count(*) FROM hookpost.queue", &[]).await.unwrap().get(0)
    }

    async fn counts(&self) -> [u64; 4] {
        let counts = self.here.endpoint_counts(self.endpoint(), Timestamp::ZERO, Timestamp::MAX).await.unwrap();
        [counts.pending, counts.sending, counts.success, counts.canceled]
    }
}

#[tokio::test]
async fn what_another_node_holds_is_canceled_and_called_back() {
    for notify in [true, false] {
        let mut stage = Stage::set(notify).await;
        let released = stage.implied_there().await;
        stage.there.release(vec![(released.key, released.lease)]).await.unwrap();
        let claimed = claim(&stage.there, stage.endpoint(), NOW).await.deliveries.remove(0);
        let (implied, backlog) = (stage.implied_there().await, stage.implied_there().await);
        stage.there.release(vec![(backlog.key, backlog.lease)]).await.unwrap();

        assert_eq!(stage.cancel().await, Canceled { count: 3, more: false });
        for held in [&claimed, &implied] {
            assert!(stage.there.is_recalled(held.key), "known when whoever canceled is answered, with NOTIFY: {notify}");
        }
        for one in [&claimed, &backlog, &implied] {
            assert_eq!(state_of(&stage.here, one.key).await, CANCELED);
        }
        assert_eq!(stage.counts().await, [0, 0, 0, 3]);
        assert_eq!(stage.cancel().await, Canceled::default(), "nothing is left");
        stage.there.release(vec![(claimed.key, claimed.lease), (implied.key, implied.lease)]).await.unwrap();
        assert_eq!(stage.queued().await, 0);
        assert!(!stage.there.is_recalled(claimed.key));
        for store in [&stage.here, &stage.there] {
            assert!(claim(store, stage.endpoint(), Timestamp::MAX).await.deliveries.is_empty());
        }
        let told = async {
            loop {
                if let News::Recalled { application, endpoint } = stage.there_node.news.recv().await.unwrap() {
                    return (application, endpoint);
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
        assert_eq!(told, (stage.scene.application, stage.scene.endpoints[0]));
    }
}

#[tokio::test]
async fn what_was_under_way_is_kept_and_counts_if_it_was_a_success() {
    let mut stage = Stage::set(true).await;
    let (failed, delivered) = (stage.implied_there().await, stage.implied_there().await);
    assert_eq!(stage.cancel().await, Canceled { count: 2, more: false });
    let recorded = record_one(&stage.there, tried(&failed, 500, WAITING, at(2)), at(2)).await;
    assert!(matches!(recorded, Recorded::Recalled { attempt: Some(_) }), "{recorded:?}");
    let recorded = record_one(&stage.there, tried(&delivered, 200, DeliveryState::Delivered, at(2)), at(2)).await;
    assert!(matches!(recorded, Recorded::Done { attempt: Some(_) }), "{recorded:?}");
    for (one, state) in [(&failed, CANCELED), (&delivered, DeliveryState::Delivered)] {
        let delivery = delivery(&stage.here, one.key.message, one.key.endpoint).await;
        assert_eq!((delivery.state, delivery.progress.attempts), (state, 1));
    }
    assert_eq!((stage.counts().await, stage.queued().await), ([0, 0, 1, 1], 0));
    assert!(claim(&stage.there, stage.endpoint(), Timestamp::MAX).await.deliveries.is_empty());
}

#[tokio::test]
async fn what_was_called_back_can_be_asked_for_again() {
    for in_flight in [true, false] {
        let mut stage = Stage::set(true).await;
        let held = stage.implied_there().await;
        stage.cancel().await;
        assert_eq!(stage.here.send_again(vec![held.key], at(2)).await, Ok(1));
        match in_flight {
            true => drop(record_one(&stage.there, tried(&held, 500, WAITING, at(3)), at(3)).await),
            false => stage.there.release(vec![(held.key, held.lease)]).await.unwrap(),
        }
        assert_eq!(state_of(&stage.here, held.key).await, CANCELED);
        let again = claim(&stage.there, stage.endpoint(), at(4)).await;
        assert_eq!(messages_of(&again), [held.key.message], "in flight: {in_flight}");
        assert!(!stage.there.is_recalled(held.key), "another lease");
    }
}

#[tokio::test]
async fn what_was_called_back_ends_with_its_node() {
    let mut stage = Stage::set(true).await;
    let held = stage.implied_there().await;
    stage.cancel().await;
    let opening = Opening { name: Some("there"), ..Opening::of(&stage.database) };
    let successor = opening.open().await.unwrap();
    assert_eq!((stage.queued().await, state_of(&stage.here, stage.key(held.key.message)).await), (0, CANCELED));
    drop(successor);
}

/// In the hands of one that has no row any more: the rows were written when it was buried.
#[tokio::test]
async fn what_a_dead_node_held_is_canceled_as_backlog() {
    let mut stage = Stage::set(true).await;
    let held = stage.implied_there().await;
    let opening = Opening { name: Some("there"), ..Opening::of(&stage.database) };
    let successor = opening.open().await.unwrap();
    assert_eq!(stage.cancel().await, Canceled { count: 1, more: false });
    assert_eq!((stage.queued().await, state_of(&stage.here, held.key).await), (0, CANCELED));
    drop(successor);
}
