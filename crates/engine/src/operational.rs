//! Operational webhooks: what the engine tells tenants about their own endpoints and messages.
//!
//! What is about an application that was made for a source is told of the source. An event becomes an ordinary message in the management tenant's application whose uid is the tenant's id, where there is one. It
//! never blocks delivery: events wait in a bounded queue, and are dropped (and counted) when that is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::operational::{AttemptFacts, AttemptLogEntry, AttemptNews, EndpointFacts, OperationalEvent, wants_attempt_log};
use hookpost_domain::{
    ApplicationId, AttemptId, Endpoint, EventTypeName, MessageContent, OrgId, SourceId, Timestamp, limits, message, routing,
};
use hookpost_store::{AcceptError, ApplicationView, Cursor, NewMessage, Order, PageRequest, Reference, SharedStore, Unavailable};
use tokio::sync::mpsc;

use crate::engine::Engine;

/// Events that wait to be made messages.
pub(crate) const EVENTS_WAITING_MAX: usize = 1024;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Waiting {
    org: OrgId,
    event: OperationalEvent,
}

/// All of an [`OperationalEvent`] about an attempt but the attempt's id, which only the store knows.
#[derive(Debug)]
pub(crate) struct AttemptStory {
    pub(crate) news: Option<AttemptNews>,
    /// Somebody wants to be told of it whether it is news or not.
    pub(crate) logged: bool,
    pub(crate) view: Arc<ApplicationView>,
    pub(crate) message: Arc<hookpost_domain::Message>,
    pub(crate) endpoint: hookpost_domain::EndpointId,
    pub(crate) number: u32,
    pub(crate) success: bool,
    pub(crate) response_status_code: u16,
    pub(crate) attempted_at: Timestamp,
    pub(crate) ended_at: Timestamp,
}

pub(crate) fn endpoint_facts(view: &ApplicationView, endpoint: &Endpoint) -> EndpointFacts {
    EndpointFacts {
        application: view.application.id,
        application_uid: view.application.uid.clone(),
        endpoint: endpoint.id,
        endpoint_uid: endpoint.uid.clone(),
    }
}

impl Engine {
    /// Tells the tenant through its operational application, if it has one. What happens to the management tenant's own endpoints is not told to
    /// anybody: it would be told to those endpoints.
    pub fn publish(&self, org: &OrgId, event: OperationalEvent) {
        if !self.settings.operational_webhooks || org.as_str() == OrgId::MANAGEMENT {
            return;
        }
        let name = event.name(false);
        match self.events.try_send(Waiting { org: org.clone(), event }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.metrics.operational_event_dropped();
                tracing::warn!(%org, event = name, "too many operational events at a time; this one is dropped");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => tracing::debug!(%org, event = name, "an operational event after the end"),
        }
    }

    pub(crate) fn tell(&self, story: &AttemptStory, attempt: AttemptId) {
        let application = &story.view.application;
        let (content, application_uid) = (&story.message.content, application.uid.clone());
        if story.logged {
            self.log_attempt(AttemptLogEntry {
                org: application.org.clone(),
                application: application.id,
                application_uid: application_uid.clone(),
                endpoint: story.endpoint,
                message: story.message.id,
                message_event_id: content.event_id.clone(),
                message_created_at: story.message.created_at,
                event_type: content.event_type.clone(),
                attempt,
                number: story.number,
                started_at: story.attempted_at,
                ended_at: story.ended_at,
                response_status_code: story.response_status_code,
                success: story.success,
            });
        }
        let Some(news) = story.news else { return };
        let facts = AttemptFacts {
            application: application.id,
            application_uid,
            endpoint: story.endpoint,
            message: story.message.id,
            message_event_id: content.event_id.clone(),
            attempt,
            response_status_code: story.response_status_code,
            attempted_at: story.attempted_at,
        };
        let event = match news {
            AttemptNews::Failing => OperationalEvent::AttemptFailing(facts),
            AttemptNews::Exhausted => OperationalEvent::AttemptExhausted(facts),
            AttemptNews::Recovered => OperationalEvent::AttemptRecovered(facts),
        };
        self.publish(&application.org, event);
    }

    /// Makes messages of events until the engine has closed and none is left.
    pub(crate) async fn serve_publisher(self: Arc<Self>, mut waiting: mpsc::Receiver<Waiting>) {
        let mut sources = SourceApplications::default();
        loop {
            let event = tokio::select! {
                biased;
                event = waiting.recv() => event,
                () = self.closing.cancelled() => return,
            };
            let Some(Waiting { org, event }) = event else { return };
            let mut retry = RETRY_FIRST;
            while let Err(problem) = self.make_message(&org, &event, &mut sources).await {
                if self.closing.is_cancelled() {
                    tracing::warn!(%org, event = event.name(false), %problem, "an operational event is lost: the store is away, and the server stops");
                    return;
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }

    async fn make_message(&self, org: &OrgId, event: &OperationalEvent, sources: &mut SourceApplications) -> Result<(), Unavailable> {
        let Some(view) = self.store.application(&OrgId::management(), Reference::Uid(org.as_str())).await? else { return Ok(()) };
        let source = match event.application() {
            Some(application) => sources.find(&self.store, org, application).await?,
            None => None,
        };
        let event_type = EventTypeName::parse(event.name(source.is_some())).expect("event names are made of letters, dots and underscores");
        let routing = if let OperationalEvent::AttemptLog(_) = event {
            let wanting: Vec<_> = view.endpoints.iter().filter(|endpoint| wants_attempt_log(endpoint)).cloned().collect();
            routing::fan_out(&wanting, &event_type, &[])
        } else {
            routing::fan_out(&view.endpoints, &event_type, &[])
        };
        if routing.targets.is_empty() && matches!(event, OperationalEvent::AttemptLog(_)) {
            return Ok(());
        }
        let now = self.clock.now();
        let content = MessageContent {
            routing,
            event_type,
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            payload: Some(event.payload(self.store.public_ids(), source).into()),
            content_type: message::PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: now + limits::PAYLOAD_RETENTION_DEFAULT,
            deliver_at: None,
        };
        let application = view.application.id;
        match self.store.accept(NewMessage { application, content, idempotency_key: None }, now).await {
            Ok(_) | Err(AcceptError::ApplicationNotFound | AcceptError::DuplicateEventId) => {
                self.arrived(application);
                Ok(())
            }
            Err(AcceptError::Unavailable(problem)) => Err(problem),
        }
    }
}

/// Which applications were made for which sources: as of one version of the catalogue, for the tenants that were asked for.
#[derive(Debug, Default)]
struct SourceApplications {
    version: Option<u64>,
    of: HashMap<OrgId, HashMap<ApplicationId, SourceId>>,
}

impl SourceApplications {
    async fn find(&mut self, store: &SharedStore, org: &OrgId, application: ApplicationId) -> Result<Option<SourceId>, Unavailable> {
        let version = Some(store.version());
        if self.version != version {
            self.of.clear();
            self.version = version;
        }
        if let Some(known) = self.of.get(org) {
            return Ok(known.get(&application).copied());
        }
        let made = sources_with_applications(store, org).await?;
        let found = made.get(&application).copied();
        self.of.insert(org.clone(), made);
        Ok(found)
    }
}

/// The applications of a tenant that were made for a source, and go with it.
pub(crate) async fn sources_with_applications(store: &SharedStore, org: &OrgId) -> Result<HashMap<ApplicationId, SourceId>, Unavailable> {
    let mut found = HashMap::new();
    let mut cursor = None;
    loop {
        let listed = store.sources(org, PageRequest { limit: limits::PAGE_ITEMS_MAX, order: Order::Ascending, cursor }).await?;
        found.extend(listed.items.iter().filter(|source| source.owns_application).map(|source| (source.application, source.id)));
        match listed.items.last() {
            Some(last) if !listed.done => cursor = Some(Cursor::After(last.id)),
            _ => return Ok(found),
        }
    }
}
