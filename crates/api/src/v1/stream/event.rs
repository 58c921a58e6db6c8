//! Events of a stream: taken in order, and the latest of them.

use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use hookpost_domain::message::{PayloadType, Routing};
use hookpost_domain::{EventTypeName, MessageContent, Stream, limits};
use hookpost_store::history::MessageFilter;
use hookpost_store::{AcceptError, IdempotencyKey, NewMessage, Order, PageRequest, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StreamIn, StreamPath, create_from};
use crate::auth::{Caller, Right};
use crate::extract::{Accepted, Body, Json, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::tenant::{self, Wanted};
use crate::v1::feed::EventOut;
use crate::v1::message::create::OnceKey;

/// Of the events of one request; so many share the cost of a commit.
const ACCEPTED_AT_ONCE_MAX: usize = 256;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventIn {
    #[schemars(length(max = 256), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))]
    event_type: String,
    /// Any text; most write JSON into it.
    payload: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreateStreamEventsIn {
    /// They are taken in this order; at most 1000.
    #[schemars(length(max = 1000))]
    events: Vec<EventIn>,
    /// Creates the stream if it does not exist; its `uid` must be the one in the path.
    stream: Option<StreamIn>,
}

/// An object without fields.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CreateStreamEventsOut {}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct LatestQuery {
    /// How many events are given at most; 20 if left out.
    #[schemars(range(min = 1, max = 50))]
    limit: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LatestEventsOut {
    /// The newest first.
    data: Vec<EventOut>,
}

/// All of them are on disk before the answer, in their order. Where something breaks in the middle, a part may have been taken, as a rule the beginning; a
/// repetition with the same idempotency key takes the rest.
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    OnceKey(key): OnceKey,
    Body(input): Body<CreateStreamEventsIn>,
) -> Result<Accepted<CreateStreamEventsOut>, Problem> {
    let events = parse(input.events)?;
    let stream = match (caller.stream(&api, &path.stream_id, Right::Send).await, input.stream) {
        (Err(Problem::NotFound(_)), Some(given)) => create_of_path(&api, &caller, &path.stream_id, given).await?,
        (found, _) => found?,
    };
    accept(&api, &stream, events, key).await?;
    Ok(Accepted(CreateStreamEventsOut {}))
}

/// In their order, many on their way at a time, and none twice under the same key.
pub(super) async fn accept(
    api: &Api,
    stream: &Stream,
    events: Vec<(EventTypeName, Bytes)>,
    key: Option<IdempotencyKey>,
) -> Result<(), Problem> {
    let now = api.now();
    let largest = events.iter().map(|(_, payload)| payload).max_by_key(|payload| payload.len());
    let wanted = Wanted {
        payload: largest.map_or(&[], |payload| payload),
        fits: None,
        counted: events.len(),
        asked_hours: None,
        keep_until: now + api.settings.payload_retention,
    };
    let payload_expires_at = tenant::admit(api, &stream.org, now, wanted).await?;
    // The store gives ids in the order of the calls when it has the application ready.
    api.store.application_by_id(stream.log).await?.ok_or(Problem::NOT_FOUND)?;
    let accepts = events.into_iter().enumerate().map(|(index, (event_type, payload))| {
        let content = MessageContent {
            event_type,
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            payload: Some(payload),
            content_type: PayloadType::Json,
            headers: Vec::new(),
            ordering_key: None,
            payload_expires_at,
            deliver_at: None,
            routing: Routing::default(),
        };
        let idempotency_key = key.map(|key| key_of_event(key, index));
        api.store.accept(NewMessage { application: stream.log, content, idempotency_key }, now)
    });
    let mut accepted = futures_util::stream::iter(accepts).buffered(ACCEPTED_AT_ONCE_MAX);
    while let Some(event) = accepted.next().await {
        event.map_err(of_stream)?;
        api.engine.arrived(stream.log);
    }
    Ok(())
}

pub(crate) async fn latest(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<StreamPath>,
    Query(query): Query<LatestQuery>,
) -> Result<Json<LatestEventsOut>, Problem> {
    const LIMIT_MAX: u64 = 50;
    const LIMIT_DEFAULT: u64 = 20;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let mut wrong = Wrong::in_query();
        wrong.add("limit", format!("must be between 1 and {LIMIT_MAX}"));
        return Err(wrong.problem());
    }
    let stream = caller.stream(&api, &path.stream_id, Right::Read).await?;
    let page = PageRequest::first(usize::try_from(limit).unwrap_or_default(), Order::Descending);
    let scanned = api.store.messages(stream.log, MessageFilter::default(), page).await?;
    let now = api.now();
    Ok(Json(LatestEventsOut { data: scanned.items.iter().map(|message| EventOut::new(message, now)).collect() }))
}

fn parse(events: Vec<EventIn>) -> Result<Vec<(EventTypeName, Bytes)>, Problem> {
    let mut wrong = Wrong::in_body();
    if events.len() > limits::STREAM_EVENTS_AT_ONCE_MAX {
        wrong.add("events", format!("has {} items; at most {} are allowed", events.len(), limits::STREAM_EVENTS_AT_ONCE_MAX));
        return Err(wrong.problem());
    }
    let mut parsed = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        if let Some(event_type) = wrong.check(&format!("events.{index}.eventType"), EventTypeName::parse(&event.event_type)) {
            parsed.push((event_type, Bytes::from(event.payload)));
        }
    }
    wrong.nothing()?;
    Ok(parsed)
}

/// Another for each event of a request, and the same for each repetition of the request.
fn key_of_event(IdempotencyKey(request): IdempotencyKey, index: usize) -> IdempotencyKey {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(b"event of a stream");
    hash.update(&request);
    hash.update(&(index as u64).to_le_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finish().as_ref()[..16]);
    IdempotencyKey(short)
}

/// The stream was deleted meanwhile, and its log with it.
fn of_stream(error: AcceptError) -> Problem {
    match error {
        AcceptError::ApplicationNotFound => Problem::NOT_FOUND,
        error => error.into(),
    }
}

async fn create_of_path(api: &Api, caller: &Caller, reference: &str, given: StreamIn) -> Result<Stream, Problem> {
    let org = caller.org(Right::Manage)?;
    let fields = given.parse().map_err(|problem| problem.inside("stream"))?;
    if fields.uid.as_ref().is_none_or(|uid| uid.as_str() != reference) {
        let rule = "must be the uid in the path, where the stream is to be created";
        return Err(Problem::body("stream.uid", rule));
    }
    match create_from(api, org, fields).await {
        // Somebody else was faster, and the stream is there.
        Err(WriteError::Conflict { .. }) => caller.stream(api, reference, Right::Send).await,
        created => Ok(created?),
    }
}
