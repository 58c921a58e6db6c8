//! What only one node may serve at a time: which scopes an endpoint needs, and which of them this node has.
//!
//! A scope belongs to the node that its row names, as long as that node lives. What is known in memory is only a hint: the row of a node that was taken
//! for dead is void with it, and such a node finds that out in the same transaction in which it claims or accepts.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::Object;
use hookpost_domain::health::Health;
use hookpost_domain::{ApplicationId, EndpointId, RowId, SinkId, SourceId, TaskId};
use hookpost_store::ApplicationView;
use hookpost_store::codec::endpoint_id;
use hookpost_store::queue::{LaneState, News};
use hookpost_store::rows::from_json;
use tokio::time::Instant;
use tokio_postgres::{GenericClient, Row};

use crate::error::StoreError;
use crate::shared::Shared;
use crate::{catalog, statements};

/// An endpoint with an order, a limit or an open circuit; an application with a rate; a task; a source that is asked; a sink that is called; or a chore. Row ids of all kinds are different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Endpoint(EndpointId),
    Application(ApplicationId),
    Task(TaskId),
    /// A source that nobody calls.
    Source(SourceId),
    /// A sink that is called.
    Sink(SinkId),
    /// Forgetting what is past its time.
    Retention,
}

impl Scope {
    /// No row has the id 0.
    pub(crate) fn row(self) -> i64 {
        match self {
            Self::Endpoint(id) => id.row().as_i64(),
            Self::Application(id) => id.row().as_i64(),
            Self::Task(id) => id.row().as_i64(),
            Self::Source(id) => id.row().as_i64(),
            Self::Sink(id) => id.row().as_i64(),
            Self::Retention => 0,
        }
    }
}

/// A scope that was not asked for in so long is given up, if nothing of it is held.
const KEPT_UNUSED: Duration = Duration::from_secs(60);
/// One that is not needed any more stays for as long as a transaction may take that relied on it.
const KEPT_NEEDLESS: Duration = Duration::from_secs(15);
const KNOWN_ENDPOINTS_MAX: usize = 100_000;

/// Scopes of this node, with the time at which each was last used, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    used: HashMap<Scope, Instant>,
    /// To which application an endpoint belongs: it never changes.
    applications: HashMap<EndpointId, ApplicationId>,
}

impl Owned {
    /// Asking counts as use: a scope that was asked for is not given up while a transaction can last.
    pub(crate) fn has(&mut self, scope: Scope) -> bool {
        self.used.get_mut(&scope).map(|used| *used = Instant::now()).is_some()
    }

    pub(crate) fn insert(&mut self, scope: Scope) {
        self.used.insert(scope, Instant::now());
    }

    pub(crate) fn remove(&mut self, scope: Scope) {
        self.used.remove(&scope);
    }

    /// This node was taken for dead.
    pub(crate) fn clear(&mut self) {
        self.used.clear();
    }

    pub(crate) fn forget_endpoint(&mut self, endpoint: EndpointId) {
        self.used.remove(&Scope::Endpoint(endpoint));
        self.applications.remove(&endpoint);
    }

    pub(crate) fn application_of(&self, endpoint: EndpointId) -> Option<ApplicationId> {
        self.applications.get(&endpoint).copied()
    }

    fn remember(&mut self, endpoint: EndpointId, application: ApplicationId) {
        if self.applications.len() >= KNOWN_ENDPOINTS_MAX {
            self.applications.clear();
        }
        self.applications.insert(endpoint, application);
    }

    fn unused_for(&self, time: Duration) -> Vec<Scope> {
        self.used.iter().filter(|(_, used)| used.elapsed() >= time).map(|(scope, _)| *scope).collect()
    }

    fn holds_something(&self, scope: Scope, held: &HashSet<EndpointId>) -> bool {
        match scope {
            Scope::Endpoint(id) => held.contains(&id),
            Scope::Application(id) => held.iter().any(|endpoint| self.application_of(*endpoint).is_none_or(|of| of == id)),
            // Between two looks at it there may be hours.
            Scope::Source(_) => true,
            // One that waits for a retry may go on elsewhere: what it came to is in the store.
            Scope::Task(_) | Scope::Sink(_) | Scope::Retention => false,
        }
    }

    /// Without counting it as use.
    pub(crate) fn serves(&self, application: Option<ApplicationId>, endpoint: EndpointId) -> bool {
        let of_application = application.or_else(|| self.application_of(endpoint)).map(Scope::Application);
        self.used.contains_key(&Scope::Endpoint(endpoint)) || of_application.is_some_and(|scope| self.used.contains_key(&scope))
    }
}

/// Which scope a node must have to serve this endpoint; `None`: any node may, or nobody needs to.
pub(crate) fn needed(shared: &Shared, view: &ApplicationView, endpoint: EndpointId) -> Option<Scope> {
    if view.application.throttle_rate.is_some() {
        return Some(Scope::Application(view.application.id));
    }
    let limited = view.endpoint(endpoint).is_some_and(|own| own.ordered || own.throttle_rate.is_some() || own.concurrency.is_some());
    let unhealthy = || shared.unhealthy.read().get(&endpoint).is_some_and(|health| *health != Health::default());
    (limited || unhealthy()).then_some(Scope::Endpoint(endpoint))
}

const TAKE: &str = "
    INSERT INTO hookpost.owner AS owner (scope, holder) VALUES ($1, $2)
    ON CONFLICT (scope) DO UPDATE SET holder = $2
    WHERE owner.holder = $2 OR NOT EXISTS (SELECT FROM hookpost.node WHERE node.holder = owner.holder)
    RETURNING scope";

/// What came of wanting a scope.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A living node has it.
    Elsewhere,
    /// This node had it before.
    Before,
    /// From now on; with the endpoints of it that are not well.
    Now(Vec<(ApplicationId, EndpointId, Health)>),
}

/// Makes this node the one that has the scope, if no living node has it. Not to be called within a transaction: what was taken is remembered at once.
pub(crate) async fn take(shared: &Shared, client: &impl GenericClient, scope: Scope) -> Result<Taken, StoreError> {
    if shared.owned.lock().has(scope) {
        return Ok(Taken::Before);
    }
    let holder = shared.node.holder();
    if client.query_opt(TAKE, &[&scope.row(), &holder]).await?.is_none() {
        return Ok(Taken::Elsewhere);
    }
    let unwell = match scope {
        Scope::Endpoint(_) | Scope::Application(_) => unwell_of(client, scope).await?,
        Scope::Task(_) | Scope::Source(_) | Scope::Sink(_) | Scope::Retention => Vec::new(),
    };
    // Whoever was taken for dead meanwhile has nothing any more.
    if shared.node.holder() == holder {
        shared.owned.lock().insert(scope);
    }
    Ok(Taken::Now(unwell))
}

/// The same for those who only want to know. The engine is told of the health that another node left.
pub(crate) async fn own(shared: &Shared, client: &impl GenericClient, scope: Scope) -> Result<bool, StoreError> {
    match take(shared, client, scope).await? {
        Taken::Elsewhere => Ok(false),
        Taken::Before => Ok(true),
        Taken::Now(unwell) => {
            tell_health(shared, unwell);
            Ok(true)
        }
    }
}

/// The application or endpoint and what it has.
async fn unwell_of(client: &impl GenericClient, scope: Scope) -> Result<Vec<(ApplicationId, EndpointId, Health)>, StoreError> {
    let sql = match scope {
        Scope::Application(_) => "SELECT application, endpoint, data FROM hookpost.health WHERE application = $1",
        _ => "SELECT application, endpoint, data FROM hookpost.health WHERE endpoint = $1",
    };
    client.query(sql, &[&scope.row()]).await?.iter().map(health_of_row).collect()
}

pub(crate) fn health_of_row(row: &Row) -> Result<(ApplicationId, EndpointId, Health), StoreError> {
    let application = ApplicationId::from_row(RowId::from_i64(row.try_get(0)?));
    Ok((application, endpoint_id(row.try_get(1)?), from_json(row.try_get(2)?)?))
}

pub(crate) fn tell_health(shared: &Shared, unwell: Vec<(ApplicationId, EndpointId, Health)>) {
    if unwell.is_empty() {
        return;
    }
    shared.unhealthy.write().extend(unwell.iter().map(|(_, endpoint, health)| (*endpoint, *health)));
    let lane =
        |(application, endpoint, health)| LaneState { application, endpoint, ready: false, next_due: None, health, elsewhere: false };
    shared.hints.tell(shared, News::Lanes(unwell.into_iter().map(lane).collect()));
}

/// What must be had to claim of an endpoint.
pub(crate) async fn scope_to_claim(shared: &Shared, endpoint: EndpointId) -> Result<Option<Scope>, StoreError> {
    if shared.owned.lock().application_of(endpoint).is_none() {
        let client = shared.connections.get().await?;
        learn_applications(shared, &client, &HashSet::from([endpoint])).await?;
    }
    // An endpoint that is gone has nothing to be claimed.
    let Some(application) = shared.owned.lock().application_of(endpoint) else { return Ok(None) };
    let view = catalog::application_by_id(shared, application).await?;
    Ok(view.and_then(|view| needed(shared, &view, endpoint)))
}

pub(crate) async fn learn_applications(shared: &Shared, client: &Object, endpoints: &HashSet<EndpointId>) -> Result<(), StoreError> {
    let unknown: Vec<i64> = {
        let owned = shared.owned.lock();
        endpoints.iter().filter(|id| owned.application_of(**id).is_none()).map(|id| id.row().as_i64()).collect()
    };
    if unknown.is_empty() {
        return Ok(());
    }
    let sql = "SELECT id, application FROM hookpost.endpoint WHERE id = ANY($1::bigint[])";
    for row in statements::query(client, sql, &[&unknown]).await? {
        let application = ApplicationId::from_row(RowId::from_i64(row.try_get(1)?));
        shared.owned.lock().remember(endpoint_id(row.try_get(0)?), application);
    }
    Ok(())
}

const GIVE_UP: &str = "DELETE FROM hookpost.owner WHERE scope = ANY($1::bigint[]) AND holder = $2";

/// Leaves to others what this node has not used for long and holds nothing of, and what is not needed any more.
pub(crate) async fn give_up_unused(shared: &Shared, client: &Object) -> Result<(), StoreError> {
    let held: HashSet<EndpointId> = shared.leases.lock().all().map(|(key, _)| key.endpoint).collect();
    let scopes: Vec<Scope> = {
        let mut owned = shared.owned.lock();
        let unused = owned.unused_for(KEPT_UNUSED).into_iter().filter(|scope| !owned.holds_something(*scope, &held));
        let needless = owned.unused_for(KEPT_NEEDLESS).into_iter().filter(|scope| is_needless(shared, &owned, *scope));
        let scopes: Vec<Scope> = unused.chain(needless).collect();
        // First here: whoever asks from now on takes it anew.
        scopes.iter().for_each(|scope| owned.remove(*scope));
        scopes
    };
    if scopes.is_empty() {
        return Ok(());
    }
    let rows: Vec<i64> = scopes.iter().map(|scope| scope.row()).collect();
    statements::execute(client, GIVE_UP, &[&rows, &shared.node.holder()]).await?;
    shared.hints.others_should_look();
    Ok(())
}

/// The endpoint is free, or another scope is needed for it; as far as is known in memory.
fn is_needless(shared: &Shared, owned: &Owned, scope: Scope) -> bool {
    let Scope::Endpoint(endpoint) = scope else { return false };
    let view = owned.application_of(endpoint).and_then(|application| shared.catalog.application(application));
    view.is_some_and(|view| needed(shared, &view, endpoint) != Some(scope))
}
