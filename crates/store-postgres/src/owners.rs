//! What only one node may serve at a time: which scopes an endpoint needs, and which of them this node has.
//!
//! A scope belongs to the node that its row names, as long as that node lives. What is known in memory is only a hint: the row of a node that was taken
//! for dead is void with it, and such a node finds that out in the same transaction in which it claims or accepts.

use std::collections::HashMap;

use hookpost_domain::health::Health;
use hookpost_domain::{ApplicationId, EndpointId, TaskId};
use hookpost_store::ApplicationView;
use tokio::time::Instant;
use tokio_postgres::GenericClient;

use crate::error::StoreError;
use crate::shared::Shared;

/// An endpoint with an order, a limit or an open circuit; an application with a rate; a task; or a chore. Row ids of all kinds are different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Endpoint(EndpointId),
    Application(ApplicationId),
    Task(TaskId),
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
            Self::Retention => 0,
        }
    }
}

/// Scopes of this node, with the time at which each was last used, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    used: HashMap<Scope, Instant>,
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

/// Makes this node the one that has the scope, if no living node has it. Not to be called within a transaction: what was taken is remembered at once.
pub(crate) async fn own(shared: &Shared, client: &impl GenericClient, scope: Scope) -> Result<bool, StoreError> {
    if shared.owned.lock().has(scope) {
        return Ok(true);
    }
    let holder = shared.node.holder();
    let taken = client.query_opt(TAKE, &[&scope.row(), &holder]).await?.is_some();
    // Whoever was taken for dead meanwhile has nothing any more.
    if taken && shared.node.holder() == holder {
        shared.owned.lock().insert(scope);
    }
    Ok(taken)
}
