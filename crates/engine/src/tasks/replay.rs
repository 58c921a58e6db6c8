//! The pages of recovery and replays: which deliveries are sent again.

use hookpost_domain::task::{DeliveryStatus, ReplayFilter, TaskProgress};
use hookpost_domain::{
    ApplicationId, Delivery, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Reason, RowId, Timestamp, routing,
};
use hookpost_store::history::{AttemptFilter, DeliveryFilter, MessageFilter, ScannedPage};
use hookpost_store::{Order, PageRequest};

use super::{After, Page, Stop, next_cursor, page_request};
use crate::engine::Engine;
use crate::tasks::result::Yield;

/// A window of time as the lists take it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Window {
    /// The last id before it.
    pub(super) fn start(self) -> MessageId {
        MessageId::from_row(RowId::from_raw(RowId::first_at(self.since).raw().saturating_sub(1)))
    }

    /// The first id that could be after it.
    pub(super) fn end(self) -> MessageId {
        MessageId::from_row(RowId::first_at(self.until + std::time::Duration::from_millis(1)))
    }

    pub(super) fn filter(self) -> MessageFilter {
        // The bounds of the filter are exclusive, those of the window are not.
        let ms = std::time::Duration::from_millis(1);
        MessageFilter {
            after: (self.since > Timestamp::ZERO).then(|| self.since - ms),
            before: Some(self.until + ms),
            ..MessageFilter::default()
        }
    }
}

impl Engine {
    /// First what failed, then what ended because the endpoint was disabled.
    pub(super) async fn recover_page(
        &self,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
        progress: TaskProgress,
    ) -> Result<Page, Stop> {
        let window = Window { since, until };
        let is_second_pass = progress.passes > 0;
        let status = if is_second_pass { DeliveryStatus::Canceled } else { DeliveryStatus::Fail };
        let filter = DeliveryFilter { message: window.filter(), status: Some(status), attempted: false };
        let found = self.store.messages_of_endpoint(endpoint, filter, page_request(progress, window.start())).await?;
        let after = match next_cursor(&found, |(message, _)| message.id, window.end()) {
            Some(next) => After::GoOnFrom(next),
            None if is_second_pass => After::Finished,
            None => After::NextPass,
        };
        let is_wanted = |state| match state {
            DeliveryState::Dead { .. } => true,
            DeliveryState::Canceled { reason } => reason == Reason::EndpointDisabled,
            _ => false,
        };
        let looked_at = found.items.len() as u64;
        let send = found.items.into_iter().filter(|(_, delivery)| is_wanted(delivery.state)).map(|(_, delivery)| delivery.key).collect();
        Ok(Page { looked_at, affected: 0, send, after, found: Yield::Nothing })
    }

    /// Messages that the endpoint would get today and was never sent. What was for another alone is none of them.
    pub(super) async fn missing_page(
        &self,
        application: ApplicationId,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
        progress: TaskProgress,
    ) -> Result<Page, Stop> {
        let window = Window { since, until };
        let view = self.store.application_by_id(application).await?;
        let wants = view.as_ref().and_then(|view| view.endpoint(endpoint)).ok_or(Stop::Impossible("the endpoint is gone"))?;
        let found = self.store.messages(application, window.filter(), page_request(progress, window.start())).await?;
        let after = next_cursor(&found, |message| message.id, window.end()).map_or(After::Finished, After::GoOnFrom);
        let looked_at = found.items.len() as u64;
        let mut send = Vec::new();
        for message in found.items {
            let content = &message.content;
            if content.payload.is_none()
                || content.routing.is_trial()
                || routing::reason_to_skip(wants, &content.event_type, &content.channels).is_some()
            {
                continue;
            }
            let key = DeliveryKey { message: message.id, endpoint };
            if self.store.delivery(key).await?.is_none_or(|delivery| was_never_sent(&delivery)) {
                send.push(key);
            }
        }
        Ok(Page { looked_at, affected: 0, send, after, found: Yield::Nothing })
    }

    pub(super) async fn bulk_page(
        &self,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
        filter: &ReplayFilter,
        progress: TaskProgress,
    ) -> Result<Page, Stop> {
        let window = Window { since, until };
        let found = self.bulk_list(endpoint, window, filter, page_request(progress, window.start())).await?;
        let after = next_cursor(&found, |(message, _)| message.id, window.end()).map_or(After::Finished, After::GoOnFrom);
        let looked_at = found.items.len() as u64;
        let mut send = Vec::new();
        for (_, delivery) in found.items {
            let wanted = match filter.status_code_class {
                Some(class) => self.last_answer_was(delivery.key, class).await?,
                None => true,
            };
            if wanted {
                send.push(delivery.key);
            }
        }
        Ok(Page { looked_at, affected: 0, send, after, found: Yield::Nothing })
    }

    pub(super) async fn bulk_list(
        &self,
        endpoint: EndpointId,
        window: Window,
        filter: &ReplayFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Stop> {
        let message = MessageFilter {
            event_types: filter.event_types.clone(),
            channel: filter.channel.clone(),
            tag: filter.tag.clone(),
            ..window.filter()
        };
        Ok(self.store.messages_of_endpoint(endpoint, DeliveryFilter { message, status: filter.status, attempted: false }, page).await?)
    }

    async fn last_answer_was(&self, key: DeliveryKey, class: u16) -> Result<bool, Stop> {
        let filter = AttemptFilter { endpoint: Some(key.endpoint), ..AttemptFilter::default() };
        let last = self.store.attempts_of_message(key.message, filter, PageRequest::first(1, Order::Descending)).await?;
        Ok(last.items.first().is_some_and(|stored| stored.attempt.outcome.status_code() / 100 * 100 == class))
    }
}

/// Neither tried nor about to be.
fn was_never_sent(delivery: &Delivery) -> bool {
    delivery.progress.attempts == 0
        && matches!(delivery.state, DeliveryState::Canceled { reason } if !matches!(reason, Reason::CanceledByUser | Reason::PayloadExpunged))
}
