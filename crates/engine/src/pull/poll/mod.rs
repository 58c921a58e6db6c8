//! Polls: asks an address for its items, page by page, and takes in each item once.
//!
//! What to ask ([`ask`]), what the answer means ([`answer`]) and how far we are ([`progress`]) are decided over data; here it is carried out. Progress is kept
//! after the items of its page are on disk.

mod answer;
mod ask;
mod progress;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::Source;
use hookpost_domain::receipt::Origin;
use hookpost_domain::source::Poll;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use url::Url;

use super::Stop;
use super::failure::{Failure, asked_pause};
use super::job::Again;
use super::take_in::{Intaker, Pulled, shown_url};
use crate::engine::Engine;
use answer::{Page, Read};
use ask::Asked;
use progress::PollProgress;

pub(super) use answer::key_of;
pub(crate) use settings::PreparedPoll;

const KIND: &str = "poll";
/// Where no rule says what it is.
const EVENT_TYPE: &str = "poll.item";

/// How one look ended that did not fail.
#[derive(Debug, Default)]
struct Looked {
    made: usize,
    /// There are pages left.
    more: bool,
    /// The address wants to be left alone for so long.
    pause: Option<Duration>,
}

impl Engine {
    pub(super) async fn look_after_poll(&self, source: &Arc<Source>, poll: &Poll, room: &Semaphore) -> Result<Again, Stop> {
        if source.disabled {
            return Ok(Again::Never);
        }
        let mut progress: PollProgress = self.progress_of(source.id, KIND).await?;
        let due_at = progress.rhythm.due_at(source.updated_at);
        if due_at > self.clock.now() {
            return Ok(Again::At(due_at));
        }
        let _place = room.acquire().await.map_err(|_| Stop::Closing)?;
        let id = self.store.public_ids().encode(source.id);
        match self.poll(source, poll, &mut progress).await {
            Ok(looked) => {
                self.metrics.polled(looked.made);
                tracing::debug!(source_id = id, items = looked.made, more = looked.more, "polled");
                progress.rhythm.answered(poll.every(), looked.more && looked.made > 0, looked.pause, self.moment(source));
            }
            Err(Stop::Failure(failure)) => {
                self.metrics.poll_failed();
                let keep = progress.rhythm.failed(poll.every(), &failure, self.moment(source));
                let failures = progress.rhythm.failures_in_a_row();
                tracing::warn!(source_id = id, status = failure.status_code, failures, problem = failure.detail, "a poll failed");
                if keep {
                    let url = Url::parse(&poll.url).map(|url| shown_url(&url)).unwrap_or_default();
                    self.keep_failure(source, Origin::Poll, url, &failure).await?;
                }
            }
            Err(stop) => return Err(stop),
        }
        self.keep_progress(source.id, KIND, &progress).await?;
        Ok(Again::At(progress.rhythm.due_at(source.updated_at)))
    }

    async fn poll(&self, source: &Arc<Source>, poll: &Poll, progress: &mut PollProgress) -> Result<Looked, Stop> {
        let poll = PreparedPoll::new(poll).map_err(Failure::from)?;
        let intaker = Intaker::by_key(self, Arc::clone(source)).await?;
        progress.of_list(&poll);
        let mut looked = Looked::default();
        for _ in 0..poll.pages_max {
            let asked = poll.ask(progress, &self.settings.user_agent)?;
            let answer = self.fetch(asked.request.clone()).await?;
            let now = self.clock.now();
            let read = poll.read(&asked, &answer, now);
            if read.is_err() && asked.next.is_some() && (400..500).contains(&answer.status_code) {
                // The place in the list is perhaps not good any more.
                progress.gave_up_walk();
            }
            looked.pause = asked_pause(&answer, now);
            let Read::Page(page) = read? else { return Ok(looked) };
            looked.made += self.take_in_page(&intaker, &asked, answer.status_code, &page, progress).await?;
            let goes_on = progress.took(&poll, &page, asked.validators_of(&answer));
            if !goes_on || looked.pause.is_some() {
                looked.more = goes_on;
                return Ok(looked);
            }
            self.keep_progress(source.id, KIND, progress).await?;
            self.take_source(source).await?;
        }
        looked.more = progress.paused(&poll);
        Ok(looked)
    }

    /// The items that are new, in the order of the page. Returns how many messages were made.
    async fn take_in_page(
        &self,
        intaker: &Intaker,
        asked: &Asked,
        status_code: u16,
        page: &Page,
        progress: &PollProgress,
    ) -> Result<usize, Stop> {
        let mut known = progress.remembered.known();
        let mut headers = HeaderMap::new();
        if let Ok(content_type) = HeaderValue::from_str(&page.content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let url = shown_url(&asked.url);
        let new = page.items.iter().filter(|item| known.insert(item.mark)).map(|item| Pulled {
            origin: Origin::Poll,
            url: url.clone(),
            status_code,
            headers: headers.clone(),
            body: item.body.clone(),
            key: Some(item.key.clone()),
            event_id: item.id.clone(),
            event_type: Some(EVENT_TYPE.to_owned()),
            replay_of: None,
        });
        let new = self.unknown(intaker, new.collect()).await?;
        Ok(self.take_in(intaker, new).await?.messages)
    }
}
