//! What became of the batches that a sink was sent.

use std::time::Duration;

use hookpost_domain::id::SinkAttemptKind;
use hookpost_domain::sink::SinkAttempt;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{Sink, SinkAttemptId, limits};
use hookpost_store::history::ScannedPage;
use hookpost_store::ledger::LogWindow;
use hookpost_store::{LogEntry, LogName, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::page::{self, Page};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::Time;
use crate::v1::attempt::{self, schema_of_status_texts, schema_of_statuses};
use crate::v1::window::{self, Window};

/// An attempt gets its id when it is recorded.
const RECORDED_AFTER_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttemptsQuery {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// Only attempts that succeeded (0) or failed (2). An attempt is never in another state.
    #[schemars(schema_with = "schema_of_statuses")]
    status: Option<u8>,
    /// Only attempts before this time.
    #[schemars(extend("format" = "date-time"))]
    before: Option<String>,
    /// Only attempts after this time.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// Whether answers are shown. Default: true.
    #[serde(rename = "withContent")]
    with_content: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SinkAttemptOut {
    sink_id: String,
    first_event_id: String,
    last_event_id: String,
    #[serde(flatten)]
    tried: TriedOut,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DestinationAttemptOut {
    destination_id: String,
    first_msg_id: String,
    last_msg_id: String,
    #[serde(flatten)]
    tried: TriedOut,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TriedOut {
    id: String,
    #[schemars(schema_with = "schema_of_statuses")]
    status: u8,
    #[schemars(schema_with = "schema_of_status_texts")]
    status_text: &'static str,
    num_events: u32,
    response_duration_ms: u32,
    timestamp: Time,
    /// 0: there was no answer. (Hookpost's own.)
    response_status_code: u16,
    /// The beginning of what was answered, or why there was no answer. (Hookpost's own.)
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
}

/// A surface's way to show an attempt.
pub(crate) trait AttemptOut: Sized {
    fn new(api: &Api, attempt: &SinkAttempt, with_content: bool) -> Self;
}

impl AttemptOut for SinkAttemptOut {
    fn new(api: &Api, attempt: &SinkAttempt, with_content: bool) -> Self {
        Self {
            sink_id: api.public(attempt.sink),
            first_event_id: api.public(attempt.first),
            last_event_id: api.public(attempt.last),
            tried: TriedOut::new(api, attempt, with_content),
        }
    }
}

impl AttemptOut for DestinationAttemptOut {
    fn new(api: &Api, attempt: &SinkAttempt, with_content: bool) -> Self {
        Self {
            destination_id: api.public(attempt.sink),
            first_msg_id: api.public(attempt.first),
            last_msg_id: api.public(attempt.last),
            tried: TriedOut::new(api, attempt, with_content),
        }
    }
}

impl TriedOut {
    fn new(api: &Api, attempt: &SinkAttempt, with_content: bool) -> Self {
        let status = status_of(attempt);
        Self {
            id: api.public(attempt.id),
            status: status.code(),
            status_text: status.as_str(),
            num_events: attempt.events,
            response_duration_ms: attempt.duration_ms,
            timestamp: Time(attempt.at),
            response_status_code: attempt.status_code,
            response: with_content.then(|| attempt.response.clone()),
        }
    }
}

fn status_of(attempt: &SinkAttempt) -> DeliveryStatus {
    if attempt.success { DeliveryStatus::Success } else { DeliveryStatus::Fail }
}

/// Newest first.
pub(crate) async fn list<T: AttemptOut>(api: &Api, sink: &Sink, query: AttemptsQuery) -> Result<Page<T>, Problem> {
    let mut wrong = Wrong::in_query();
    let window = Window::parse(&mut wrong, query.before, query.after);
    let status = wrong.optional("status", query.status, attempt::status);
    wrong.nothing()?;
    let page = window.request::<SinkAttemptKind>(api, query.limit, query.iterator.as_deref(), RECORDED_AFTER_MAX)?;
    let Some(page) = page else { return Ok(Page::empty()) };
    let backwards = window::goes_backwards(&page);
    let in_window = LogWindow { after: window.after, before: None };
    let wanted = |attempt: &SinkAttempt| {
        status.is_none_or(|status| status == status_of(attempt))
            && window.before.is_none_or(|before| attempt.at < before)
            && window.after.is_none_or(|after| attempt.at > after)
    };
    let scanned = scan(api, sink, in_window, page, wanted).await?;
    let with_content = query.with_content.unwrap_or(true);
    Ok(window::answer(api, backwards, scanned, |attempt| (attempt.id, T::new(api, &attempt, with_content))))
}

pub(crate) async fn get<T: AttemptOut>(api: &Api, sink: &Sink, id: &str) -> Result<T, Problem> {
    let id: SinkAttemptId = api.store.public_ids().decode(id).ok_or(Problem::NOT_FOUND)?;
    let entry = api.store.log_entry(&LogName::AttemptsOfSink(sink.id), id.row()).await?.ok_or(Problem::NOT_FOUND)?;
    Ok(T::new(api, &read(&entry)?, true))
}

/// One page of the log as large as can be, of which is taken what is wanted.
async fn scan(
    api: &Api,
    sink: &Sink,
    window: LogWindow,
    page: PageRequest<SinkAttemptId>,
    wanted: impl Fn(&SinkAttempt) -> bool,
) -> Result<ScannedPage<SinkAttempt, SinkAttemptId>, Problem> {
    let backwards = window::goes_backwards(&page);
    let limit = page.limit;
    let rows = PageRequest { limit: limits::PAGE_ITEMS_MAX, ..page::by_row(page) };
    let listed = api.store.log(&LogName::AttemptsOfSink(sink.id), window, rows).await?;
    let mut attempts = listed.items.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    // From the cursor on, whichever way it goes.
    if backwards {
        attempts.reverse();
    }
    let last = attempts.last().map(|attempt| attempt.id);
    attempts.retain(wanted);
    let is_full = attempts.len() > limit;
    attempts.truncate(limit);
    let next = last.filter(|_| !is_full && !listed.done && attempts.len() < limit);
    if backwards {
        attempts.reverse();
    }
    Ok(ScannedPage { items: attempts, done: listed.done && !is_full, next })
}

fn read(entry: &LogEntry) -> Result<SinkAttempt, Problem> {
    entry.read().map_err(|error| {
        tracing::error!(target: "hookpost::store", %error, "an attempt at a sink cannot be read");
        Problem::Internal
    })
}
