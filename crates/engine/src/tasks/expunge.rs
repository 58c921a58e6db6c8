//! Removing the payloads and the stored answers of all messages of an application.

use hookpost_domain::delivery::{AttemptOutcome, ResponseBody};
use hookpost_domain::task::TaskProgress;
use hookpost_domain::{ApplicationId, MessageId, RowId};
use hookpost_store::history::{AttemptFilter, MessageFilter};
use hookpost_store::{Cursor, Order, PageRequest};

use super::{After, PAGE_ITEMS, Page, Stop, next_cursor, page_request};
use crate::engine::Engine;
use crate::tasks::result::Yield;

impl Engine {
    pub(super) async fn expunge_page(&self, application: ApplicationId, progress: TaskProgress) -> Result<Page, Stop> {
        let from_the_first = MessageId::from_row(RowId::MIN);
        let found = self.store.messages(application, MessageFilter::default(), page_request(progress, from_the_first)).await?;
        let after = next_cursor(&found, |message| message.id, MessageId::from_row(RowId::MAX)).map_or(After::Finished, After::GoOnFrom);
        let mut affected = 0;
        for message in &found.items {
            if message.content.payload.is_some() && self.store.expunge_message(application, message.id).await? {
                affected += 1;
            }
            self.expunge_answers(message.id).await?;
        }
        Ok(Page { looked_at: found.items.len() as u64, affected, send: Vec::new(), after, found: Yield::Nothing })
    }

    async fn expunge_answers(&self, message: MessageId) -> Result<(), Stop> {
        let mut request = PageRequest::first(PAGE_ITEMS, Order::Ascending);
        loop {
            let page = self.store.attempts_of_message(message, AttemptFilter::default(), request.clone()).await?;
            for stored in &page.items {
                if matches!(&stored.attempt.outcome, AttemptOutcome::Response(response) if response.body != ResponseBody::Expunged) {
                    self.store.expunge_attempt(message, stored.id).await?;
                }
            }
            let next = page.next.max(page.items.last().map(|stored| stored.id));
            match next {
                Some(next) if !page.done => request.cursor = Some(Cursor::After(next)),
                _ => return Ok(()),
            }
        }
    }
}
