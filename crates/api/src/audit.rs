//! The audit log: who changed what through the API. Written in one place, `front.rs`, for every operation that changes something and is named in the
//! route table, after its answer is known; also where somebody was refused for want of a right.
//!
//! Traffic is no change: messages, events and polls are counted elsewhere. A failure to write an entry is logged and fails nothing.

use std::collections::HashMap;
use std::sync::Arc;

use hookpost_domain::access::{Actor, AuditEntry};
use hookpost_domain::{ApiKeyId, OrgId, Principal};
use hookpost_store::{LogEntry, Unavailable};
use http::{Method, StatusCode};

use crate::state::Api;

/// Operations that are no change although their method could be one's: traffic, and questions.
const NO_CHANGE: [&str; 11] = [
    "v1.message.create",
    "v1.message.precheck",
    "v1.message.search",
    "v1.message.poller.consumer-seek",
    "v1.message.pollerv2.consumer-commit",
    "v1.streaming.events.create",
    "v1.environment.export",
    "v1.event-type.export-openapi",
    "v1.statistics.aggregate-app-stats",
    "v1.statistics.aggregate-event-types",
    "v1.authentication.exchange-one-time-token",
];

/// The operation of each row of the route table, by method and path with its parameters' names.
#[derive(Debug, Default)]
pub(crate) struct Operations(HashMap<(Method, String), &'static str>);

impl Operations {
    pub(crate) fn add(&mut self, method: Method, path: String, id: &'static str) {
        self.0.insert((method, path), id);
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Method, &str, &'static str)> {
        self.0.iter().map(|((method, path), id)| (method, path.as_str(), *id))
    }

    fn name(&self, method: &Method, path: &str) -> String {
        let known = self.0.get(&(method.clone(), path.to_owned()));
        // Older spellings of a path have no name of their own.
        known.map_or_else(|| format!("{method} {path}"), |id| (*id).to_owned())
    }
}

/// What a request that may have changed something came to.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// The path of the route, if there is one.
    pub(crate) route: Option<&'a str>,
    /// Who asked, if that is known.
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) status: StatusCode,
}

/// Writes the entry, where there is to be one.
pub(crate) async fn note(api: &Api, operations: &Operations, done: Done<'_>) {
    let (Some(route), Some(principal)) = (done.route, &done.principal) else { return };
    if !done.status.is_success() && done.status != StatusCode::FORBIDDEN {
        return;
    }
    let operation = operations.name(done.method, route);
    if NO_CHANGE.contains(&operation.as_str()) {
        return;
    }
    if let Err(error) = write(api, principal, &operation, &done).await {
        tracing::error!(target: "hookpost::store", %error, operation, path = done.path, "an entry of the audit log could not be written");
    }
}

async fn write(api: &Api, principal: &Principal, operation: &str, done: &Done<'_>) -> Result<(), Unavailable> {
    let now = api.now();
    let entry = AuditEntry {
        id: api.new_id(now),
        org: principal.org().clone(),
        at: now,
        actor: actor(api, principal).await?,
        operation: operation.to_owned(),
        path: done.path.to_owned(),
        status: done.status.as_u16(),
    };
    let entry = LogEntry::of_audit(&entry).map_err(|error| Unavailable(error.to_string()))?;
    api.store.append(vec![entry]).await
}

async fn actor(api: &Api, principal: &Principal) -> Result<Actor, Unavailable> {
    Ok(match principal {
        Principal::Org { key: None, .. } => Actor::Token,
        Principal::Org { org, key: Some(key), .. } | Principal::Sender { org, key, .. } | Principal::Poller { org, key, .. } => {
            of_key(api, org, *key).await?
        }
        Principal::Application { org, application, session } => match session.key {
            Some(key) => of_key(api, org, key).await?,
            None => Actor::Portal { application: *application, session_id: session.session_id.clone() },
        },
        Principal::Stream { stream, session, .. } => Actor::StreamPortal { stream: *stream, session_id: session.session_id.clone() },
    })
}

async fn of_key(api: &Api, org: &OrgId, id: ApiKeyId) -> Result<Actor, Unavailable> {
    // A key that has just ended itself has no name any more.
    let name = api.store.api_key(org, id).await?.map(|key| key.name).unwrap_or_default();
    Ok(Actor::Key { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_operation_that_is_no_change_is_there() {
        let operations = routes::operations();
        let names: Vec<_> = operations.iter().filter(|(method, _, _)| **method != Method::GET).map(|(_, _, id)| id).collect();
        for id in NO_CHANGE {
            assert!(names.contains(&id), "{id} is no operation");
        }
    }
}
