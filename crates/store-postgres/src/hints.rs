//! What other nodes did: asked for once in a while, and sooner after a NOTIFY. Notifications are sent by a task of their own, never in the transaction they
//! are about: a NOTIFY at commit makes all commits of the database wait for each other.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use hookpost_domain::EndpointId;
use hookpost_domain::health::Health;
use hookpost_store::queue::{LaneState, News};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::changes::{self, Changed};
use crate::connect::Dedicated;
use crate::error::StoreError;
use crate::owners::{self, Scope, health_of_row, needed};
use crate::shared::Shared;
use crate::{lanes, recall, statements};

/// However often we are woken.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// One notification says that of everything that was to be told within this time.
const TOLD_TOGETHER: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_secs(1);
const GIVE_UP_EVERY: Duration = Duration::from_secs(5);
/// Endpoints with something to do that one look takes in; the next goes on from there.
const LANES_AT_ONCE: i64 = 1000;
/// News that the engine had no room for; beyond this it learns of by the next look.
const UNSENT_MAX: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Hints {
    notify: bool,
    for_others: Notify,
    for_us: Arc<Notify>,
    unsent: Mutex<VecDeque<News>>,
}

impl Hints {
    pub(crate) fn new(notify: bool) -> Self {
        Self { notify, ..Self::default() }
    }

    /// After a commit that other nodes should know of: backlog that is not ours to serve, changes of the catalogue, tasks. Cheap: many are told as one.
    pub(crate) fn others_should_look(&self) {
        self.for_others.notify_one();
    }

    /// Asks the database what others did, without waiting for the next time.
    pub(crate) fn look_now(&self) {
        self.for_us.notify_one();
    }

    /// Tells the engine, now or when it has room.
    pub(crate) fn tell(&self, shared: &Shared, news: News) {
        let mut unsent = self.unsent.lock();
        if unsent.len() < UNSENT_MAX {
            unsent.push_back(news);
        }
        while let Some(first) = unsent.pop_front() {
            if let Err(refused) = shared.news.try_send(first) {
                unsent.push_front(refused.into_inner());
                break;
            }
        }
    }
}

/// Asks what others did, until the token is cancelled.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    let mut poll = Poll::default();
    loop {
        let looked_at = Instant::now();
        match poll.look(&shared).await {
            Ok(()) => {}
            Err(StoreError::NodeLost) => {}
            Err(error) => tracing::debug!("cannot ask what other nodes did: {error}"),
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(shared.poll_every) => {}
            () = shared.hints.for_us.notified() => {
                let pause = tokio::time::sleep_until(looked_at + LOOK_AT_MOST_EVERY);
                if token.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Poll {
    /// Where the walk over endpoints with something to do goes on.
    after: Option<i64>,
    /// Endpoints that the engine believes to be served elsewhere, and to have this health.
    told_elsewhere: HashMap<EndpointId, Health>,
    gave_up_at: Option<Instant>,
}

impl Poll {
    async fn look(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let client = shared.connections.get().await?;
        let changed = changes::follow(shared, &**client).await?;
        // At the start the engine looks at all tasks by itself.
        if self.after.is_some() && changed.contains(&Changed::Task) {
            shared.hints.tell(shared, News::Tasks);
        }
        if changed.contains(&Changed::Recall) {
            recall::hear(shared, &client).await?;
        }
        load_health(shared, &client).await?;
        let mut news: BTreeMap<EndpointId, LaneState> = BTreeMap::new();
        let (ready, after) = lanes::ready_lanes(shared, &client, self.after.unwrap_or(-1), LANES_AT_ONCE).await?;
        self.after = Some(after);
        news.extend(ready.into_iter().map(|lane| (lane.endpoint, lane)));
        for lane in self.moved(shared, &client).await? {
            news.entry(lane.endpoint).and_modify(|known| known.elsewhere = lane.elsewhere).or_insert(lane);
        }
        if !news.is_empty() {
            shared.hints.tell(shared, News::Lanes(news.into_values().collect()));
        }
        if self.gave_up_at.is_none_or(|at| at.elapsed() >= GIVE_UP_EVERY) {
            self.gave_up_at = Some(Instant::now());
            owners::give_up_unused(shared, &client).await?;
        }
        Ok(())
    }

    /// Lanes of which this node holds something and that another serves by now, and those that nobody else serves any more.
    async fn moved(&mut self, shared: &Shared, client: &Object) -> Result<Vec<LaneState>, StoreError> {
        let held: HashSet<EndpointId> = shared.leases.lock().all().map(|(key, _)| key.endpoint).collect();
        let asked: HashSet<EndpointId> = held.into_iter().chain(self.told_elsewhere.keys().copied()).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        owners::learn_applications(shared, client, &asked).await?;
        let scopes: HashMap<EndpointId, Vec<i64>> = asked.iter().map(|endpoint| (*endpoint, scopes_of(shared, *endpoint))).collect();
        let rows: Vec<i64> = scopes.values().flatten().copied().collect();
        let sql = "SELECT scope FROM hookpost.owner JOIN hookpost.node USING (holder) WHERE scope = ANY($1::bigint[]) AND holder <> $2";
        let mut elsewhere = HashSet::new();
        for row in statements::query(client, sql, &[&rows, &shared.node.holder()]).await? {
            elsewhere.insert(row.try_get::<_, i64>(0)?);
        }
        let mut moved = Vec::new();
        for (endpoint, scopes) in scopes {
            let is_elsewhere = scopes.iter().any(|scope| elsewhere.contains(scope));
            let health = shared.unhealthy.read().get(&endpoint).copied().unwrap_or_default();
            let changed = match is_elsewhere {
                true => self.told_elsewhere.insert(endpoint, health) != Some(health),
                false => self.told_elsewhere.remove(&endpoint).is_some(),
            };
            let application = shared.owned.lock().application_of(endpoint);
            if let Some(application) = application.filter(|_| changed) {
                moved.push(LaneState { application, endpoint, ready: !is_elsewhere, next_due: None, health, elsewhere: is_elsewhere });
            }
        }
        Ok(moved)
    }
}

/// The scope that is needed to serve an endpoint; where its application is not in memory, all that may be.
fn scopes_of(shared: &Shared, endpoint: EndpointId) -> Vec<i64> {
    let application = shared.owned.lock().application_of(endpoint);
    let Some(application) = application else { return Vec::new() };
    match shared.catalog.application(application) {
        Some(view) => needed(shared, &view, endpoint).map(Scope::row).into_iter().collect(),
        None => vec![Scope::Endpoint(endpoint).row(), Scope::Application(application).row()],
    }
}

/// What this node serves itself it knows better.
async fn load_health(shared: &Shared, client: &Object) -> Result<(), StoreError> {
    let mut unhealthy: HashMap<EndpointId, Health> = HashMap::new();
    let rows = statements::query(client, "SELECT application, endpoint, data FROM hookpost.health", &[]).await?;
    let owned = shared.owned.lock();
    for row in &rows {
        let (application, endpoint, health) = health_of_row(row)?;
        if !owned.serves(Some(application), endpoint) {
            unhealthy.insert(endpoint, health);
        }
    }
    let mut known = shared.unhealthy.write();
    unhealthy.extend(known.iter().filter(|(endpoint, _)| owned.serves(None, **endpoint)).map(|(endpoint, health)| (*endpoint, *health)));
    *known = unhealthy;
    Ok(())
}

/// Wakes the poll when another node has something to say, until the token is cancelled.
pub(crate) async fn listen(shared: Arc<Shared>, token: CancellationToken) {
    if !shared.hints.notify {
        return;
    }
    loop {
        match listening(&shared).await {
            Ok(connection) => {
                // What was said before is not heard.
                shared.hints.look_now();
                while !connection.client.is_closed() {
                    if token.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                        return;
                    }
                }
            }
            Err(error) => tracing::debug!("cannot listen to what other nodes say: {error}"),
        }
        if token.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
            return;
        }
    }
}

async fn listening(shared: &Shared) -> Result<Dedicated, StoreError> {
    let connection = shared.connections.listening(Arc::clone(&shared.hints.for_us)).await?;
    connection.client.batch_execute("LISTEN hookpost").await?;
    Ok(connection)
}

/// Tells the others, until the token is cancelled.
pub(crate) async fn notify(shared: Arc<Shared>, token: CancellationToken) {
    let mut connection: Option<Dedicated> = None;
    while shared.hints.notify && token.run_until_cancelled(shared.hints.for_others.notified()).await.is_some() {
        if let Err(error) = tell_others(&shared, &mut connection).await {
            // They look by themselves.
            tracing::debug!("cannot tell other nodes to look: {error}");
            connection = None;
        }
        tokio::time::sleep(TOLD_TOGETHER).await;
    }
}

async fn tell_others(shared: &Shared, connection: &mut Option<Dedicated>) -> Result<(), StoreError> {
    if connection.is_none() {
        *connection = Some(shared.connections.dedicated().await?);
    }
    if let Some(connection) = connection {
        connection.client.batch_execute("NOTIFY hookpost").await?;
    }
    Ok(())
}
