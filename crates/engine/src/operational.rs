//! Operational webhooks: what the engine tells tenants about their own endpoints and messages.
//!
//! An event becomes an ordinary message in the management tenant's application whose uid is the tenant's id, where there is one. It
//! never blocks delivery: events wait in a bounded queue, and are dropped (and counted) when that is full.

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::operational::{AttemptFacts, AttemptNews, EndpointFacts, OperationalEvent};
use hookpost_domain::{AttemptId, Endpoint, EventTypeName, MessageContent, OrgId, Timestamp, limits, message, routing};
use hookpost_store::{AcceptError, ApplicationView, NewMessage, Reference, Unavailable};
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
    pub(crate) news: AttemptNews,
    pub(crate) view: Arc<ApplicationView>,
    pub(crate) message: Arc<hookpost_domain::Message>,
    pub(crate) endpoint: hookpost_domain::EndpointId,
    pub(crate) response_status_code: u16,
    pub(crate) attempted_at: Timestamp,
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
        let name = event.name();
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
        let facts = AttemptFacts {
            application: story.view.application.id,
            application_uid: story.view.application.uid.clone(),
            endpoint: story.endpoint,
            message: story.message.id,
            message_event_id: story.message.content.event_id.clone(),
            attempt,
            response_status_code: story.response_status_code,
            attempted_at: story.attempted_at,
        };
        let event = match story.news {
            AttemptNews::Failing => OperationalEvent::AttemptFailing(facts),
            AttemptNews::Exhausted => OperationalEvent::AttemptExhausted(facts),
            AttemptNews::Recovered => OperationalEvent::AttemptRecovered(facts),
        };
        self.publish(&story.view.application.org, event);
    }

    /// Makes messages of events until the engine has closed and none is left.
    pub(crate) async fn serve_publisher(self: Arc<Self>, mut waiting: mpsc::Receiver<Waiting>) {
        loop {
            let event = tokio::select! {
                biased;
                event = waiting.recv() => event,
                () = self.closing.cancelled() => return,
            };
            let Some(Waiting { org, event }) = event else { return };
            let mut retry = RETRY_FIRST;
            while let Err(problem) = self.make_message(&org, &event).await {
                if self.closing.is_cancelled() {
                    tracing::warn!(%org, event = event.name(), %problem, "an operational event is lost: the store is away, and the server stops");
                    return;
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }

    async fn make_message(&self, org: &OrgId, event: &OperationalEvent) -> Result<(), Unavailable> {
        let Some(view) = self.store.application(&OrgId::management(), Reference::Uid(org.as_str())).await? else { return Ok(()) };
        let event_type = EventTypeName::parse(event.name()).expect("event names are made of letters, dots and underscores");
        let now = self.clock.now();
        let content = MessageContent {
            routing: routing::fan_out(&view.endpoints, &event_type, &[]),
            event_type,
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            payload: Some(event.payload(self.store.public_ids()).into()),
            content_type: message::PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at: now + limits::PAYLOAD_RETENTION_DEFAULT,
            deliver_at: None,
        };
        match self.store.accept(NewMessage { application: view.application.id, content, idempotency_key: None }, now).await {
            Ok(_) | Err(AcceptError::ApplicationNotFound | AcceptError::DuplicateEventId) => Ok(()),
            Err(AcceptError::Unavailable(problem)) => Err(problem),
        }
    }
}
