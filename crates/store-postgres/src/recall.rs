//! What was canceled while a node held it. The row of the queue names the node and the reason; the node is told like of everything that others do, keeps
//! in memory what it must not begin any more, and says in the row that it has heard. Whoever canceled waits for that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use hookpost_domain::{DeliveryKey, EndpointId};
use hookpost_store::codec::{endpoint_id, message_id};
use hookpost_store::queue::News;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::owners;
use crate::shared::Shared;
use crate::statements::{execute, query, query_one};

/// One that has not heard by then is about to be taken for dead, or will ask when it can.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
const HEARD_ASKED_EVERY: Duration = Duration::from_millis(10);
/// A delivery may come into the hands of this node a moment after it was called back.
const KEPT_UNHELD: Duration = Duration::from_secs(60);

const UNHEARD_OF_NODE: &str =
    "SELECT message, endpoint FROM hookpost.queue WHERE holder = $1 AND recalled IS NOT NULL AND NOT recall_heard";
const HEARD: &str = "
    UPDATE hookpost.queue SET recall_heard = true FROM unnest($1::bigint[], $2::bigint[]) AS heard (message, endpoint)
    WHERE queue.endpoint = heard.endpoint AND queue.message = heard.message AND queue.holder = $3 AND queue.recalled IS NOT NULL";
const IS_UNHEARD: &str = "
    SELECT EXISTS (
        SELECT FROM hookpost.queue JOIN hookpost.node USING (holder)
        WHERE queue.endpoint = $1 AND queue.recalled IS NOT NULL AND NOT queue.recall_heard
    )";

/// What this node must not begin any more, as far as it has heard.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// Asked before each attempt: mostly there is nothing.
    any: AtomicBool,
    keys: Mutex<HashMap<DeliveryKey, Instant>>,
}

impl Recalled {
    pub(crate) fn contains(&self, key: DeliveryKey) -> bool {
        self.any.load(Ordering::Acquire) && self.keys.lock().contains_key(&key)
    }

    fn extend(&self, recalled: impl Iterator<Item = DeliveryKey>) {
        let now = Instant::now();
        let mut keys = self.keys.lock();
        keys.extend(recalled.map(|key| (key, now)));
        self.any.store(!keys.is_empty(), Ordering::Release);
    }

    /// Their leases have ended, or new ones begin.
    pub(crate) fn forget(&self, ended: impl Iterator<Item = DeliveryKey>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut keys = self.keys.lock();
        for key in ended {
            keys.remove(&key);
        }
        self.any.store(!keys.is_empty(), Ordering::Release);
    }

    fn forget_old(&self, is_held: impl Fn(DeliveryKey) -> bool) {
        let mut keys = self.keys.lock();
        keys.retain(|key, since| since.elapsed() < KEPT_UNHELD || is_held(*key));
        self.any.store(!keys.is_empty(), Ordering::Release);
    }
}

/// Takes in what was called back from this node, says so, and tells the engine.
pub(crate) async fn hear(shared: &Shared, client: &Object) -> Result<(), StoreError> {
    let holder = shared.node.holder();
    let mut endpoints: BTreeMap<EndpointId, Vec<i64>> = BTreeMap::new();
    for row in query(client, UNHEARD_OF_NODE, &[&holder]).await? {
        endpoints.entry(endpoint_id(row.try_get(1)?)).or_default().push(row.try_get(0)?);
    }
    {
        let leases = shared.leases.lock();
        shared.recalled.forget_old(|key| leases.held(key).is_some());
    }
    let of_endpoint = |(endpoint, messages): (&EndpointId, &Vec<i64>)| -> Vec<DeliveryKey> {
        messages.iter().map(|message| DeliveryKey { message: message_id(*message), endpoint: *endpoint }).collect()
    };
    let keys: Vec<DeliveryKey> = endpoints.iter().flat_map(of_endpoint).collect();
    shared.recalled.extend(keys.iter().copied());
    if keys.is_empty() {
        return Ok(());
    }
    let (messages, rows) = crate::release::columns(keys.into_iter());
    execute(client, HEARD, &[&messages, &rows, &holder]).await?;
    owners::learn_applications(shared, client, &endpoints.keys().copied().collect::<HashSet<_>>()).await?;
    for endpoint in endpoints.into_keys() {
        let application = shared.owned.lock().application_of(endpoint);
        if let Some(application) = application {
            shared.hints.tell(shared, News::Recalled { application, endpoint });
        }
    }
    Ok(())
}

/// Until every living node knows what was called back from it.
pub(crate) async fn until_heard(shared: &Shared, client: &Object, endpoint: EndpointId) -> Result<(), StoreError> {
    let until = Instant::now() + HEARD_WITHIN.max(shared.poll_every * 2);
    loop {
        if !query_one(client, IS_UNHEARD, &[&endpoint.row().as_i64()]).await?.try_get::<_, bool>(0)? {
            return Ok(());
        }
        if Instant::now() >= until {
            let endpoint_id = shared.public_ids.encode(endpoint);
            tracing::warn!(endpoint_id, "a node has not heard yet that deliveries were canceled which it holds: it may begin some of them");
            return Ok(());
        }
        tokio::time::sleep(HEARD_ASKED_EVERY).await;
    }
}
