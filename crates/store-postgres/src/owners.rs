//! What only one node may serve at a time: which scopes an endpoint needs, and which of them this node has.

use std::collections::HashSet;

use hookpost_domain::{ApplicationId, EndpointId, TaskId};

/// An endpoint with an order, a limit or an open circuit; an application with a rate; a task; or a chore. Row ids of all kinds are different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    Endpoint(EndpointId),
    Application(ApplicationId),
    Task(TaskId),
    /// Forgetting what is past its time.
    Retention,
}

/// Scopes of this node, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    pub(crate) scopes: HashSet<Scope>,
}
