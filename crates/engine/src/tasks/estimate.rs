//! How much a task will look at: from counters where they know it, else by counting the beginning and drawing the line on.

use hookpost_domain::task::{DeliveryStatus, ReplayFilter, TaskWork};
use hookpost_domain::{ApplicationId, BackgroundTask, EndpointId, MessageId, Timestamp};
use hookpost_store::history::{EndpointCounts, MessageFilter, ScannedPage};
use hookpost_store::{Cursor, Order, PageRequest};

use super::replay::Window;
use super::{Stop, next_cursor};
use crate::engine::Engine;

const PAGE_ITEMS: usize = hookpost_domain::limits::PAGE_ITEMS_MAX;
/// After so many pages the rest is estimated from the time that is left.
const PAGES_COUNTED_MAX: usize = 20;

impl Engine {
    pub(super) async fn estimate(&self, task: &BackgroundTask) -> Result<u64, Stop> {
        match &task.work {
            TaskWork::Recover { endpoint, since, until } => {
                let counts = self.store.endpoint_counts(*endpoint, *since, *until).await?;
                Ok(counts.fail + counts.canceled)
            }
            TaskWork::BulkReplay { endpoint, since, until, filter } if only_by_status(filter) => {
                Ok(of_status(self.store.endpoint_counts(*endpoint, *since, *until).await?, filter.status))
            }
            TaskWork::BulkReplay { endpoint, since, until, filter } => {
                self.count(Window { since: *since, until: *until }, List::Bulk(*endpoint, filter)).await
            }
            TaskWork::ReplayMissing { since, until, .. } => {
                let application = task.application.ok_or(Stop::Impossible("it names no application"))?;
                let window = Window { since: *since, until: *until };
                self.count(window, List::Messages(application, window.filter())).await
            }
            TaskWork::ExpungeAllContents { application } => {
                let window = Window { since: Timestamp::ZERO, until: self.clock.now() };
                self.count(window, List::Messages(*application, MessageFilter::default())).await
            }
            TaskWork::ApplicationUsage { .. } | TaskWork::EventTypeUsage | TaskWork::Broadcast { .. } | TaskWork::ExportEventTypes => Ok(0),
        }
    }

    async fn count(&self, window: Window, list: List<'_>) -> Result<u64, Stop> {
        let mut cursor = window.start();
        let (mut counted, mut first) = (0_u64, None);
        for _ in 0..PAGES_COUNTED_MAX {
            let request = PageRequest { limit: PAGE_ITEMS, order: Order::Ascending, cursor: Some(Cursor::After(cursor)) };
            let page = match &list {
                List::Messages(application, filter) => {
                    ids(&self.store.messages(*application, filter.clone(), request).await?, |message| message.id)
                }
                List::Bulk(endpoint, filter) => ids(&self.bulk_list(*endpoint, window, filter, request).await?, |(message, _)| message.id),
            };
            counted += page.items.len() as u64;
            first = first.or(page.items.first().copied());
            match next_cursor(&page, |id| *id, window.end()) {
                Some(next) => cursor = next,
                None => return Ok(counted),
            }
        }
        let begin = first.map_or(window.since, MessageId::created_at);
        Ok(drawn_on(counted, begin, cursor.created_at(), window.until))
    }
}

/// What is counted.
enum List<'a> {
    Messages(ApplicationId, MessageFilter),
    Bulk(EndpointId, &'a ReplayFilter),
}

fn ids<T>(page: &ScannedPage<T, MessageId>, id: impl Fn(&T) -> MessageId) -> ScannedPage<MessageId, MessageId> {
    ScannedPage { items: page.items.iter().map(id).collect(), done: page.done, next: page.next }
}

fn only_by_status(filter: &ReplayFilter) -> bool {
    filter.event_types.is_none() && filter.channel.is_none() && filter.tag.is_none()
}

fn of_status(counts: EndpointCounts, status: Option<DeliveryStatus>) -> u64 {
    match status {
        Some(DeliveryStatus::Success) => counts.success,
        Some(DeliveryStatus::Pending) => counts.pending,
        Some(DeliveryStatus::Fail) => counts.fail,
        Some(DeliveryStatus::Sending) => counts.sending,
        Some(DeliveryStatus::Canceled) => counts.canceled,
        None => counts.success + counts.pending + counts.fail + counts.sending + counts.canceled,
    }
}

fn drawn_on(counted: u64, begin: Timestamp, counted_until: Timestamp, end: Timestamp) -> u64 {
    let share = counted_until.since(begin).as_secs_f64() / end.since(begin).as_secs_f64().max(0.001);
    (counted as f64 / share.clamp(0.001, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_the_line_on() {
        let at = Timestamp::from_unix_ms;
        assert_eq!(drawn_on(5000, at(0), at(10_000), at(40_000)), 20_000);
        assert_eq!(drawn_on(5000, at(0), at(0), at(0)), 5_000_000, "bounded, also where all is in one moment");
    }
}
