//! Work that goes through the applications of a tenant, in the order of their ids: how much each sent, what its endpoints ask for, and the same message for
//! each of them.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use futures_util::future::join_all;
use hookpost_domain::message::PayloadType;
use hookpost_domain::task::{BroadcastMessage, TaskProgress};
use hookpost_domain::{
    Application, ApplicationId, BackgroundTask, EventTypeName, MessageContent, OrgId, TaskId, Timestamp, limits, routing,
};
use hookpost_store::{AcceptError, Cursor, IdempotencyKey, NewMessage, Order, PageRequest, Unavailable};
use ring::digest;
use serde_json::json;

use super::result::{Found, Yield};
use super::{After, Page, Stop};
use crate::engine::Engine;

/// Applications in one step: a step that was interrupted is done again.
const APPLICATIONS_PER_PAGE: usize = 50;

/// Some applications, and where the next begin.
struct Portion {
    applications: Vec<Application>,
    after: After,
}

impl Engine {
    pub(super) async fn usage_page(
        &self,
        task: &BackgroundTask,
        wanted: Option<&[ApplicationId]>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Page, Stop> {
        let some = match wanted {
            Some(wanted) => self.some_of(&task.org, wanted, task.progress).await?,
            None => self.some_applications(&task.org, task.progress).await?,
        };
        let mut entries = Vec::with_capacity(some.applications.len());
        for application in &some.applications {
            let usage = self.store.usage(application.id, since, until).await?;
            let destinations: u64 = usage.iter().map(|usage| usage.counts.deliveries).sum();
            let id = self.store.public_ids().encode(application.id);
            let uid = application.uid.as_ref().map(|uid| uid.as_str());
            entries.push(json!({ "appId": id, "appUid": uid, "messageDestinations": destinations }));
        }
        let found = Found { list: "appStats", entries, listed_max: limits::TASK_STATISTICS_MAX, count: "appStatsCount" };
        Ok(some.page(0, vec![found]))
    }

    pub(super) async fn subscriptions_page(&self, task: &BackgroundTask) -> Result<Page, Stop> {
        let some = self.some_applications(&task.org, task.progress).await?;
        let mut known = None;
        let mut entries = Vec::with_capacity(some.applications.len());
        for application in &some.applications {
            let Some(view) = self.store.application_by_id(application.id).await? else { continue };
            let patterns: Vec<_> = view.endpoints.iter().filter_map(|endpoint| endpoint.event_types.as_ref()).flatten().collect();
            let mut names: BTreeSet<EventTypeName> = patterns.iter().filter_map(|pattern| pattern.exact()).collect();
            // A group stands for the event types that it means today.
            if patterns.iter().any(|pattern| pattern.exact().is_none()) {
                if known.is_none() {
                    known = Some(self.event_type_names(&task.org).await?);
                }
                let meant = known.iter().flatten().filter(|name| patterns.iter().any(|pattern| pattern.matches(name)));
                names.extend(meant.cloned());
            }
            entries.push(json!({
                "appId": self.store.public_ids().encode(application.id),
                "explicitlySubscribedEventTypes": names,
                "hasCatchAllEndpoint": view.endpoints.iter().any(|endpoint| endpoint.event_types.is_none()),
            }));
        }
        let found = Found { list: "event_types", entries, listed_max: limits::TASK_STATISTICS_MAX, count: "eventTypesCount" };
        Ok(some.page(0, vec![found]))
    }

    /// A message for each application but those that were made for sources: they are fed by their providers.
    pub(super) async fn broadcast_page(&self, task: &BackgroundTask, message: &BroadcastMessage) -> Result<Page, Stop> {
        let some = self.some_applications(&task.org, task.progress).await?;
        let of_sources = self.applications_of_sources(&task.org).await?;
        let wanted = some.applications.iter().filter(|application| !of_sources.contains(&application.id));
        let sent =
            join_all(wanted.map(|application| async move { (application.id, self.broadcast(task.id, application.id, message).await) }))
                .await;
        let (mut created, mut failed) = (Vec::new(), Vec::new());
        for (application, result) in sent {
            let app_id = self.store.public_ids().encode(application);
            match result {
                Ok(id) => created.push(json!({ "appId": app_id, "msgId": id })),
                Err(AcceptError::Unavailable(problem)) => return Err(problem.into()),
                Err(AcceptError::DuplicateEventId) => {
                    failed.push(json!({ "appId": app_id, "reason": "the application has a message with this eventId" }));
                }
                // It went while we came.
                Err(AcceptError::ApplicationNotFound) => {}
            }
        }
        let affected = created.len() as u64;
        let found = |list, entries, count| Found { list, entries, listed_max: limits::TASK_MESSAGES_LISTED_MAX, count };
        Ok(some.page(
            affected,
            vec![found("messagesCreated", created, "messagesCreatedCount"), found("messagesFailed", failed, "messagesFailedCount")],
        ))
    }

    /// The same however often it is asked for, within the idempotency window.
    async fn broadcast(&self, task: TaskId, application: ApplicationId, message: &BroadcastMessage) -> Result<String, AcceptError> {
        let view = self.store.application_by_id(application).await?.ok_or(AcceptError::ApplicationNotFound)?;
        let now = self.clock.now();
        let content = MessageContent {
            routing: routing::fan_out(&view.endpoints, &message.event_type, &message.channels),
            event_type: message.event_type.clone(),
            event_id: message.event_id.clone(),
            channels: message.channels.clone(),
            tags: Vec::new(),
            payload: Some(Bytes::copy_from_slice(message.payload.as_bytes())),
            content_type: PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: now + std::time::Duration::from_secs(message.payload_retention_s),
            deliver_at: None,
        };
        let idempotency_key = Some(key_of(task, application));
        let accepted = self.store.accept(NewMessage { application, content, idempotency_key }, now).await?;
        self.arrived(application);
        Ok(self.store.public_ids().encode(accepted.id))
    }

    async fn some_applications(&self, org: &OrgId, progress: TaskProgress) -> Result<Portion, Stop> {
        let cursor = progress.application.map(Cursor::After);
        let listed = self.store.applications(org, PageRequest { limit: APPLICATIONS_PER_PAGE, order: Order::Ascending, cursor }).await?;
        let last = listed.items.last().map(|application| application.id).filter(|_| !listed.done);
        Ok(Portion { after: last.map_or(After::Finished, After::GoOnPast), applications: listed.items })
    }

    /// Those that are named; another tenant's are none.
    async fn some_of(&self, org: &OrgId, wanted: &[ApplicationId], progress: TaskProgress) -> Result<Portion, Stop> {
        let left: BTreeSet<ApplicationId> = wanted.iter().copied().filter(|id| Some(*id) > progress.application).collect();
        let ids: Vec<_> = left.iter().copied().take(APPLICATIONS_PER_PAGE).collect();
        let last = ids.last().copied().filter(|_| ids.len() < left.len());
        let mut applications = Vec::with_capacity(ids.len());
        for id in ids {
            let view = self.store.application_by_id(id).await?.filter(|view| view.application.org == *org);
            applications.extend(view.map(|view| view.application.clone()));
        }
        Ok(Portion { after: last.map_or(After::Finished, After::GoOnPast), applications })
    }

    async fn applications_of_sources(&self, org: &OrgId) -> Result<HashSet<ApplicationId>, Unavailable> {
        let mut found = HashSet::new();
        let mut page = PageRequest::first(limits::PAGE_ITEMS_MAX, Order::Ascending);
        loop {
            let listed = self.store.sources(org, page).await?;
            found.extend(listed.items.iter().filter(|source| source.owns_application).map(|source| source.application));
            match listed.items.last() {
                Some(last) if !listed.done => {
                    page = PageRequest { limit: limits::PAGE_ITEMS_MAX, order: Order::Ascending, cursor: Some(Cursor::After(last.id)) };
                }
                _ => return Ok(found),
            }
        }
    }
}

impl Portion {
    fn page(self, affected: u64, found: Vec<Found>) -> Page {
        let looked_at = self.applications.len() as u64;
        Page { looked_at, affected, send: Vec::new(), after: self.after, found: Yield::Lists(found) }
    }
}

/// Never that of a request to the API, whose keys are hashes of something that begins otherwise.
fn key_of(task: TaskId, application: ApplicationId) -> IdempotencyKey {
    let mut text = b"a broadcast\0".to_vec();
    text.extend(task.row().raw().to_be_bytes());
    text.extend(application.row().raw().to_be_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&digest::digest(&digest::SHA256, &text).as_ref()[..16]);
    IdempotencyKey(key)
}
