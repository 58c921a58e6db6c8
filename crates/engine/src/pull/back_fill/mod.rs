//! Gap detection: asks the provider for its own list of events and takes in those that never arrived.
//!
//! How a provider lists ([`stripe`], [`github`]) and which stretch of time is looked at ([`progress`]) are decided over data; here it is carried out. An event
//! is known or missing by the same key as at the door, so one that arrives late makes no second message.

mod github;
mod progress;
mod stripe;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookpost_domain::receipt::Origin;
use hookpost_domain::source::{BackFill, BackFillTarget, DeduplicateBy};
use hookpost_domain::{Source, Timestamp, limits};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::sync::Semaphore;
use url::Url;

use super::Stop;
use super::failure::{Failure, asked_pause};
use super::job::Again;
use super::remembered::mark_of;
use super::take_in::{Intaker, Pulled, Taken};
use crate::engine::Engine;
use crate::transport::{Answer, OutgoingRequest};
use progress::{BackFillProgress, Toward, Window};

const KIND: &str = "back_fill";

/// The provider's list, and who we are to it.
#[derive(Debug)]
struct Provider {
    target: BackFillTarget,
    base_url: String,
    headers: HeaderMap,
}

/// One event as the list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    /// As the provider names it at the door.
    event_id: String,
    event_type: String,
    at: Timestamp,
    /// The provider says that it was delivered.
    is_delivered: bool,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Here(Bytes),
    /// To be asked for by this path.
    At(String),
}

/// Where in a list a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    toward: Toward,
    cursor: &'a str,
}

/// A page of the list, as far as it is to be looked at now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ListPage {
    /// Newest first.
    events: Vec<Listed>,
    /// `None`: it was the last within the window.
    next: Option<(Toward, String)>,
}

#[derive(Debug, Default)]
struct Looked {
    missing: usize,
    more: bool,
    pause: Option<Duration>,
}

impl Provider {
    fn new(back_fill: &BackFill, target: BackFillTarget, user_agent: &str) -> Result<Self, Failure> {
        let home = match target {
            BackFillTarget::Stripe { .. } => stripe::BASE_URL,
            BackFillTarget::Github { .. } => github::BASE_URL,
        };
        let base_url = back_fill.base_url.as_deref().unwrap_or(home).trim_end_matches('/').to_owned();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::of("The key of the API cannot stand in a header."));
        let mut authorization = value(&format!("Bearer {}", back_fill.api_key.as_str()))?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, authorization), (USER_AGENT, value(user_agent)?)]);
        let own: Vec<(HeaderName, String)> = match &target {
            BackFillTarget::Stripe { account } => stripe::headers(account.as_deref()),
            BackFillTarget::Github { .. } => github::headers(),
        };
        for (name, text) in own {
            headers.insert(name, value(&text)?);
        }
        Ok(Self { target, base_url, headers })
    }

    fn list(&self, window: Window, place: Option<Place<'_>>) -> String {
        match &self.target {
            BackFillTarget::Stripe { .. } => stripe::list(window, place),
            BackFillTarget::Github { hook } => github::list(hook, place),
        }
    }

    fn read_list(&self, answer: &Answer, place: Option<Place<'_>>, window: Window, now: Timestamp) -> Result<ListPage, Failure> {
        match &self.target {
            BackFillTarget::Stripe { .. } => stripe::read_list(answer, place, now),
            BackFillTarget::Github { hook } => github::read_list(hook, answer, window, now),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url)
    }

    fn request(&self, path: &str) -> Result<OutgoingRequest, Failure> {
        let url = Url::parse(&self.url(path)).map_err(|_| Failure::of("The address of the provider's list is no URL."))?;
        let uri: Uri = url.as_str().parse().map_err(|_| Failure::of("The address of the provider's list is no URL."))?;
        Ok(OutgoingRequest {
            method: Method::GET,
            uri,
            headers: self.headers.clone(),
            body: Bytes::new(),
            timeout: limits::PULL_REQUEST_TIMEOUT,
            body_bytes_kept: limits::PULL_ANSWER_BYTES_MAX,
        })
    }
}

impl Engine {
    pub(super) async fn look_after_gaps(
        &self,
        source: &Arc<Source>,
        type_name: &str,
        back_fill: &BackFill,
        room: &Semaphore,
    ) -> Result<Again, Stop> {
        if source.disabled {
            return Ok(Again::Never);
        }
        let mut progress: BackFillProgress = self.progress_of(source.id, KIND).await?;
        let due_at = progress.rhythm.due_at(source.updated_at);
        if due_at > self.clock.now() {
            return Ok(Again::At(due_at));
        }
        let _place = room.acquire().await.map_err(|_| Stop::Closing)?;
        let id = self.store.public_ids().encode(source.id);
        match self.fill_gaps(source, type_name, back_fill, &mut progress).await {
            Ok(looked) => {
                self.metrics.back_filled(looked.missing);
                if looked.missing > 0 {
                    tracing::info!(source_id = id, events = looked.missing, "events that never arrived were fetched from the provider");
                }
                progress.rhythm.answered(back_fill.every(), looked.more, looked.pause, self.moment(source));
            }
            Err(Stop::Failure(failure)) => {
                self.metrics.back_fill_failed();
                let keep = progress.rhythm.failed(back_fill.every(), &failure, self.moment(source));
                let failures = progress.rhythm.failures_in_a_row();
                tracing::warn!(
                    source_id = id,
                    status = failure.status_code,
                    failures,
                    problem = failure.detail,
                    "a look for missing events failed"
                );
                if keep {
                    let url = back_fill.base_url.clone().unwrap_or_default();
                    self.keep_failure(source, Origin::BackFill, url, &failure).await?;
                }
            }
            Err(stop) => return Err(stop),
        }
        self.keep_progress(source.id, KIND, &progress).await?;
        Ok(Again::At(progress.rhythm.due_at(source.updated_at)))
    }

    async fn fill_gaps(
        &self,
        source: &Arc<Source>,
        type_name: &str,
        back_fill: &BackFill,
        progress: &mut BackFillProgress,
    ) -> Result<Looked, Stop> {
        let target = back_fill.check(type_name, &source.rules.deduplicate).map_err(Failure::from)?;
        let provider = Provider::new(back_fill, target, &self.settings.user_agent)?;
        let intaker = Intaker::by_rules(self, Arc::clone(source)).await?;
        let mut looked = Looked::default();
        let Some(window) = progress.window(back_fill, source, self.clock.now()) else { return Ok(looked) };
        let mut settled = HashSet::new();
        let mut details_left = limits::BACK_FILL_DETAILS_MAX;
        for _ in 0..limits::BACK_FILL_PAGES_MAX {
            let path = provider.list(window, progress.place());
            let answer = self.fetch(provider.request(&path)?).await?;
            let now = self.clock.now();
            looked.pause = asked_pause(&answer, now);
            let page = provider.read_list(&answer, progress.place(), window, now);
            if page.is_err() && progress.place().is_some() && matches!(answer.status_code, 200 | 400 | 404 | 422) {
                // The place in the list is not good any more.
                progress.gave_up_walk();
            }
            let page = page?;
            let mut missing = missing(page.events, back_fill, window, &mut settled);
            let set_apart = progress.set_apart.known();
            missing.retain(|event| !set_apart.contains(&mark_of(&event.event_id)));
            let missing = self.not_arrived(&intaker, &provider, missing).await?;
            let details = missing.iter().filter(|event| matches!(event.content, Content::At(_))).count();
            let is_cut = details > details_left;
            // The oldest of them: the next look finds the others on the same page.
            let count = if is_cut { details_left } else { missing.len() };
            let taken = self.take_in_events(&intaker, &provider, missing, count).await?;
            looked.missing += taken.messages;
            progress.set_apart.add(taken.set_apart.into_iter());
            details_left = details_left.saturating_sub(details);
            if is_cut {
                looked.more = true;
                return Ok(looked);
            }
            progress.read(window, page.next);
            looked.more = progress.place().is_some();
            if !looked.more || looked.pause.is_some() {
                return Ok(looked);
            }
            self.keep_progress(source.id, KIND, progress).await?;
            self.take_source(source).await?;
        }
        Ok(looked)
    }

    /// Those of which nothing is known here.
    async fn not_arrived(&self, intaker: &Intaker, provider: &Provider, listed: Vec<Listed>) -> Result<Vec<Listed>, Stop> {
        // Told apart by fields that only the whole event has: it has to be fetched to be known.
        let by_fields = matches!(intaker.source.rules.deduplicate.by, DeduplicateBy::Fields(_));
        if by_fields && listed.iter().any(|event| matches!(event.content, Content::At(_))) {
            return Ok(listed);
        }
        let stubs = listed.iter().map(|event| provider.pulled(event, HeaderMap::new(), event.body())).collect();
        let new: HashSet<String> = self.unknown(intaker, stubs).await?.into_iter().filter_map(|pulled| pulled.event_id).collect();
        Ok(listed.into_iter().filter(|event| new.contains(&event.event_id)).collect())
    }

    /// The `count` oldest of them, oldest first: order is all that can be kept of when they should have come.
    async fn take_in_events(&self, intaker: &Intaker, provider: &Provider, listed: Vec<Listed>, count: usize) -> Result<Taken, Stop> {
        let mut pulled = Vec::new();
        for event in listed.into_iter().rev().take(count) {
            let (headers, body) = match &event.content {
                Content::Here(body) => (stripe::headers_of_event(), body.clone()),
                Content::At(path) => {
                    let answer = self.fetch(provider.request(path)?).await?;
                    match github::read_detail(&answer, self.clock.now())? {
                        Some(detail) => detail,
                        None => continue,
                    }
                }
            };
            pulled.push(provider.pulled(&event, headers, body));
        }
        let pulled = self.unknown(intaker, pulled).await?;
        self.take_in(intaker, pulled).await
    }
}

impl Provider {
    fn pulled(&self, event: &Listed, headers: HeaderMap, body: Bytes) -> Pulled {
        let url = match &event.content {
            Content::Here(_) => self.url(&stripe::place(&event.event_id)),
            Content::At(path) => self.url(path),
        };
        Pulled {
            origin: Origin::BackFill,
            url,
            status_code: 200,
            headers,
            body,
            key: Some(event.event_id.clone()),
            event_id: Some(event.event_id.clone()),
            event_type: Some(event.event_type.clone()),
            replay_of: None,
        }
    }
}

impl Listed {
    /// As far as it is at hand.
    fn body(&self) -> Bytes {
        match &self.content {
            Content::Here(body) => body.clone(),
            Content::At(_) => Bytes::from_static(b"{}"),
        }
    }
}

/// Of a page, newest first, those that should have come by now and did not, as far as the provider knows. `settled`: what was said of already.
fn missing(events: Vec<Listed>, back_fill: &BackFill, window: Window, settled: &mut HashSet<String>) -> Vec<Listed> {
    let mut missing = Vec::new();
    for event in events {
        if event.is_delivered {
            settled.insert(event.event_id);
        } else if window.contains(event.at) && back_fill.wants(&event.event_type) && settled.insert(event.event_id.clone()) {
            missing.push(event);
        }
    }
    missing
}
