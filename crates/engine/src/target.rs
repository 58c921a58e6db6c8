//! An endpoint made ready for sending: what is the same for all its deliveries is worked out once per version of the catalogue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::request::PreparedHeaders;
use hookpost_domain::signature::Signer;
use hookpost_domain::throttle::Throttle;
use hookpost_domain::{Endpoint, EndpointId, EventTypeName, PublicIds, RetrySchedule, Timestamp};
use hookpost_store::ApplicationView;
use http::Uri;
use parking_lot::Mutex;

use crate::settings::EngineSettings;

const EVENT_TYPES_REMEMBERED_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Target {
    /// `None`: the application or the endpoint is gone.
    pub(crate) ready: Option<ReadyEndpoint>,
}

#[derive(Debug)]
pub(crate) struct ReadyEndpoint {
    pub(crate) view: Arc<ApplicationView>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// For the log.
    pub(crate) public_id: String,
    /// Or what is wrong with the URL, as a sentence.
    pub(crate) uri: Result<Uri, String>,
    pub(crate) signer: Signer,
    pub(crate) headers: PreparedHeaders,
    own_schedule: Option<Arc<RetrySchedule>>,
    /// Of the event types that were met, where the endpoint has none of its own.
    schedules: Mutex<Vec<(EventTypeName, Arc<RetrySchedule>)>>,
    application_bucket: Option<(u16, Arc<Mutex<ApplicationBucket>>)>,
}

impl Target {
    pub(crate) fn new(
        view: Option<Arc<ApplicationView>>,
        endpoint: EndpointId,
        settings: &EngineSettings,
        ids: &PublicIds,
        bucket: impl FnOnce() -> Arc<Mutex<ApplicationBucket>>,
    ) -> Self {
        let ready = view.and_then(|view| {
            let endpoint = Arc::clone(view.endpoint(endpoint)?);
            Some(ReadyEndpoint {
                uri: parse_url(&endpoint.url),
                public_id: ids.encode(endpoint.id),
                signer: Signer::new(&endpoint.secrets),
                headers: PreparedHeaders::new(&settings.user_agent, &endpoint.url, &endpoint.headers, settings.header_sets),
                own_schedule: endpoint.retry_schedule.clone().map(Arc::new),
                schedules: Mutex::new(Vec::new()),
                application_bucket: view.application.throttle_rate.map(|rate| (rate, bucket())),
                endpoint,
                view,
            })
        });
        Self { ready }
    }

    /// Gone or disabled.
    pub(crate) fn ends_untried(&self) -> bool {
        self.ready.as_ref().is_none_or(|ready| ready.endpoint.disabled.is_disabled())
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.endpoint.ordered)
    }

    pub(crate) fn concurrency(&self) -> Option<usize> {
        self.ready.as_ref()?.endpoint.concurrency.map(usize::from)
    }

    /// It leads elsewhere than before, or was enabled again: what was learnt about it does not count any more.
    pub(crate) fn begins_anew(&self, before: &Self) -> bool {
        let (Some(now), Some(before)) = (&self.ready, &before.ready) else { return false };
        now.endpoint.url != before.endpoint.url || (before.endpoint.disabled.is_disabled() && !now.endpoint.disabled.is_disabled())
    }

    /// Asks the rate limits of endpoint and application for one delivery: takes from both, or from none and says when to ask again.
    pub(crate) fn take_tokens(&self, id: EndpointId, own: &mut Throttle, now: Timestamp) -> Result<(), Timestamp> {
        let Some(ready) = self.ready.as_ref().filter(|ready| !ready.endpoint.disabled.is_disabled()) else { return Ok(()) };
        let mut taken = *own;
        if let Some(rate) = ready.endpoint.throttle_rate {
            taken.take(rate, now)?;
        }
        if let Some((rate, bucket)) = &ready.application_bucket {
            bucket.lock().take(id, *rate, now)?;
        }
        *own = taken;
        Ok(())
    }
}

impl ReadyEndpoint {
    /// The endpoint's own, else the event type's, else the default; as far as it is known already.
    pub(crate) fn schedule(&self, event_type: &EventTypeName) -> Option<Arc<RetrySchedule>> {
        self.own_schedule
            .clone()
            .or_else(|| self.schedules.lock().iter().find(|(name, _)| name == event_type).map(|(_, schedule)| Arc::clone(schedule)))
    }

    pub(crate) fn remember_schedule(&self, event_type: &EventTypeName, schedule: Arc<RetrySchedule>) {
        let mut schedules = self.schedules.lock();
        if schedules.len() < EVENT_TYPES_REMEMBERED_MAX {
            schedules.push((event_type.clone(), schedule));
        }
    }
}

pub(crate) fn parse_url(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|problem| format!("the URL of the endpoint cannot be read: {problem}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err("the URL of the endpoint must begin with `https://` or `http://` and name a host".to_owned()),
    }
}

/// The rate limit of an application, shared by its lanes in turn: who was refused first is served first.
#[derive(Debug, Default)]
pub(crate) struct ApplicationBucket {
    throttle: Throttle,
    waiting: VecDeque<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    endpoint: EndpointId,
    at: Timestamp,
}

/// A lane that does not come when it is its turn (it has nothing to send any more) loses it after this time.
const TURN_KEPT: Duration = Duration::from_millis(50);

impl ApplicationBucket {
    pub(crate) fn take(&mut self, endpoint: EndpointId, per_second: u16, now: Timestamp) -> Result<(), Timestamp> {
        while self.waiting.front().is_some_and(|turn| turn.at + TURN_KEPT < now) {
            self.waiting.pop_front();
        }
        let place = self.waiting.iter().position(|turn| turn.endpoint == endpoint);
        let ahead = place.unwrap_or(self.waiting.len());
        // Only the first in line takes; the others see when their turn will be.
        let token_at = match ahead {
            0 => match self.throttle.take(per_second, now) {
                Ok(()) => {
                    if place.is_some() {
                        self.waiting.pop_front();
                    }
                    return Ok(());
                }
                Err(at) => at,
            },
            _ => {
                let mut asked = self.throttle;
                let first = asked.take(per_second, now).err().unwrap_or(now);
                let interval_ms = 1000_u64.div_ceil(u64::from(per_second.max(1)));
                first + Duration::from_millis(interval_ms * ahead as u64)
            }
        };
        match place {
            Some(place) => self.waiting[place].at = token_at,
            None => self.waiting.push_back(Turn { endpoint, at: token_at }),
        }
        Err(token_at)
    }
}
