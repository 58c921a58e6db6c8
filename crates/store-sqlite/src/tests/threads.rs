//! Where what became ready is handed over, among several threads.

use std::sync::Arc;

use hookpost_domain::{ApplicationId, Endpoint, EndpointId, Entropy};
use hookpost_store::conformance::fixture::*;
use hookpost_store::queue::{ReadyReceiver, ready_channels};
use hookpost_store::vault::Vault;
use hookpost_store::{NewMessage, SharedStore};
use hookpost_threads::{PerThread, RunningThreads, ThreadId, Threads};
use tokio::runtime::{Builder, Handle};

use super::harness::Counting;
use crate::{SqliteOptions, SqliteStore};

const THREADS: usize = 3;

fn on_threads<F: Future>(test: impl FnOnce(SharedStore, PerThread<ReadyReceiver>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = || Builder::new_current_thread().enable_all().build();
    RunningThreads::start(THREADS, "test-io", runtime).unwrap().run(async {
        let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
        let (ready, receivers) = ready_channels(8);
        let vault = Vault::new(&[5; 32], Arc::clone(&entropy));
        let options = SqliteOptions { data_dir: directory.path().to_owned(), vault, ready, entropy, observer: None };
        test(SqliteStore::open(options).unwrap(), receivers).await;
    });
}

async fn accept_on(thread: &Handle, store: &SharedStore, message: NewMessage) {
    let store = Arc::clone(store);
    let accepted = thread.spawn(async move { accept(&store, message, NOW).await });
    accepted.await.unwrap();
}

/// One more endpoint, in strict order or not; the application is in memory again.
async fn endpoint(store: &SharedStore, application: ApplicationId, ordered: bool) -> EndpointId {
    let endpoint = Endpoint { ordered, ..new_endpoint(store, application) };
    let id = endpoint.id;
    store.create_endpoint(endpoint).await.unwrap();
    store.application_by_id(application).await.unwrap();
    id
}

/// The threads to which something was handed over since the last time.
fn handed_over(ready: &mut PerThread<ReadyReceiver>) -> Vec<ThreadId> {
    let threads = Threads::current();
    threads.iter().map(|(thread, _)| thread).filter(|thread| ready.get_mut(*thread).try_recv().is_ok()).collect()
}

#[test]
fn a_message_is_handed_over_where_it_came_in() {
    on_threads(async |store, mut ready| {
        let application = scene(&store, 0).await.application;
        let endpoint = endpoint(&store, application, false).await;
        for (thread, handle) in Threads::current().iter() {
            accept_on(handle, &store, new_message(application, &[endpoint])).await;
            assert_eq!(handed_over(&mut ready), [thread]);
        }
    });
}

#[test]
fn all_that_an_endpoint_in_strict_order_gets_goes_the_same_way() {
    on_threads(async |store, mut ready| {
        let application = scene(&store, 0).await.application;
        let free = endpoint(&store, application, false).await;
        let ordered = endpoint(&store, application, true).await;
        for (thread, handle) in Threads::current().iter() {
            accept_on(handle, &store, new_message(application, &[free, ordered])).await;
            assert_eq!(handed_over(&mut ready), [ThreadId::default()]);
            accept_on(handle, &store, new_message(application, &[free])).await;
            assert_eq!(handed_over(&mut ready), [thread], "others go where they came in");
        }
    });
}

#[test]
fn what_is_not_known_may_be_in_strict_order() {
    on_threads(async |store, mut ready| {
        // Nobody has asked for the application yet.
        let scene = scene(&store, 0).await;
        let endpoint = Endpoint { ordered: false, ..new_endpoint(&store, scene.application) };
        let to = [endpoint.id];
        store.create_endpoint(endpoint).await.unwrap();
        for (_, handle) in Threads::current().iter() {
            accept_on(handle, &store, new_message(scene.application, &to)).await;
            assert_eq!(handed_over(&mut ready), [ThreadId::default()]);
        }
    });
}
