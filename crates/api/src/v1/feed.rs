//! Reading along: the messages of an application in the order in which they were accepted, from a place on. Everything that is polled reads through here.

use std::time::Duration;

use axum::extract::State;
use hookpost_domain::{ApplicationId, Channel, EventTypeName, Message, MessageId, OrgId, RowId, Sink, Timestamp, limits};
use hookpost_store::{FeedLimits, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::page;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::application::ApplicationPath;
use crate::v1::message::{self, MessageOut};
use crate::v1::{self, Time};

/// How soon one who waits notices what another node accepted.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// What was read, and where to go on from.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) messages: Vec<Message>,
    /// Everything up to here was looked at.
    pub(crate) place: Option<MessageId>,
    /// There was nothing more.
    pub(crate) done: bool,
}

pub(crate) type Wanted<'a> = dyn Fn(&Message) -> bool + Sync + 'a;

/// At most `limit` messages that are wanted. Where few are it looks at so many and no more, and has come further all the same.
pub(crate) async fn read(
    api: &Api,
    application: ApplicationId,
    after: Option<MessageId>,
    limit: usize,
    wanted: &Wanted<'_>,
) -> Result<Read, Problem> {
    let mut read = Read { place: after, ..Read::default() };
    let (mut rows, mut bytes) = (limits::POLL_ROWS_SCANNED_MAX, limits::POLL_BYTES_SCANNED_MAX);
    while rows > 0 && bytes > 0 {
        let at_once = FeedLimits { messages: rows.min(limits::PAGE_ITEMS_MAX), payload_bytes: bytes };
        let feed = api.store.feed(application, read.place, at_once).await?;
        for message in feed.messages {
            if read.messages.len() == limit {
                return Ok(read);
            }
            rows -= 1;
            bytes = bytes.saturating_sub(message.content.payload.as_ref().map_or(0, |payload| payload.len()));
            read.place = Some(message.id);
            if wanted(&message) {
                read.messages.push(message);
            }
        }
        if !feed.more {
            read.done = true;
            break;
        }
    }
    Ok(read)
}

/// The same, and where there is nothing, waits for something to come.
pub(crate) async fn read_or_wait(
    api: &Api,
    application: ApplicationId,
    after: Option<MessageId>,
    asked: &Asked,
    wanted: &Wanted<'_>,
) -> Result<Read, Problem> {
    if asked.wait.is_zero() {
        return read(api, application, after, asked.limit, wanted).await;
    }
    let deadline = Instant::now() + asked.wait;
    // Asked for before the first look: what comes after it is heard of.
    let mut arrival = api.engine.arrival(application);
    let mut after = after;
    loop {
        let read = read(api, application, after, asked.limit, wanted).await?;
        let now = Instant::now();
        if !read.messages.is_empty() || !read.done || now >= deadline || api.stopping.is_cancelled() {
            return Ok(read);
        }
        after = read.place;
        tokio::select! {
            () = arrival.next() => {}
            () = tokio::time::sleep_until(deadline.min(now + LOOKED_EVERY)) => {}
            () = api.stopping.cancelled() => {}
        }
    }
}

/// How much is read at once, and how long is waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) limit: usize,
    pub(crate) wait: Duration,
}

impl Asked {
    pub(crate) fn parse(wrong: &mut Wrong, limit: Option<u64>, wait: Option<u64>) -> Self {
        let limit = page::parse_limit(wrong, limit);
        if wait.is_some_and(|seconds| seconds > limits::POLL_WAIT_S_MAX) {
            wrong.add("wait", format!("must be between 0 and {}", limits::POLL_WAIT_S_MAX));
        }
        Self { limit, wait: Duration::from_secs(wait.unwrap_or_default()) }
    }
}

/// Reads an iterator of this reader.
pub(crate) fn place(wrong: &mut Wrong, api: &Api, reader: RowId, iterator: &str) -> Result<Option<MessageId>, Problem> {
    match api.store.public_ids().decode_place(reader, iterator) {
        Some(after) => Ok(Some(MessageId::from_row(after)).filter(|_| after > RowId::MIN)),
        None => {
            wrong.add("iterator", "must be an iterator that was given here: each is good where it came from and nowhere else");
            Err(std::mem::replace(wrong, Wrong::in_query()).problem())
        }
    }
}

/// The place after everything that was accepted until then.
pub(crate) fn place_of_time(time: Timestamp) -> MessageId {
    let next_ms = RowId::first_at((time + Duration::from_millis(1)).min(Timestamp::MAX));
    MessageId::from_row(RowId::from_raw(next_ms.raw().saturating_sub(1)))
}

/// An event as it was given: its payload is text.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventOut {
    event_type: String,
    /// As it was given; empty where it is past its retention.
    payload: String,
    timestamp: Time,
}

impl EventOut {
    pub(crate) fn new(message: &Message, now: Timestamp) -> Self {
        let payload = message::live_payload(&message.content, now);
        Self {
            event_type: message.content.event_type.to_string(),
            payload: payload.map(|payload| String::from_utf8_lossy(payload).into_owned()).unwrap_or_default(),
            timestamp: Time(message.created_at),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventStreamOut {
    data: Vec<EventOut>,
    /// Give it as `iterator` to go on from here, now or later.
    iterator: String,
    /// There was nothing more at the moment.
    done: bool,
}

impl EventStreamOut {
    pub(crate) fn new(api: &Api, sink: &Sink, read: &Read) -> Self {
        let now = api.now();
        let data = read.messages.iter().map(|message| EventOut::new(message, now)).collect();
        Self { data, iterator: place_text(api, sink.id.row(), read.place), done: read.done }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MessageEventsOut {
    data: Vec<MessageOut<'static>>,
    /// Give it as `iterator` to go on from here, now or later.
    iterator: String,
    /// There was nothing more at the moment.
    done: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EventsQuery {
    /// How many messages are given at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` of an earlier answer. Left out: from the oldest message that is kept.
    iterator: Option<String>,
    /// Only messages of these event types.
    #[serde(default)]
    event_types: Vec<String>,
    /// Only messages that have one of these channels.
    #[serde(default)]
    channels: Vec<String>,
    /// Where there is no iterator: only messages accepted after this time.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// How many seconds to wait for a message where there is none. (Hookpost's own.)
    #[schemars(range(max = 30))]
    wait: Option<u64>,
}

/// The messages of an application as they were accepted, whatever became of them.
pub(crate) async fn of_application(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ApplicationPath>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<MessageEventsOut>, Problem> {
    let view = caller.application(&api, &path.app_id, Right::Read).await?;
    let application = view.application.id;
    events(&api, application.row(), Some(application), query).await.map(Json)
}

/// The operational events of the tenant, where it has somebody who is told of them.
pub(crate) async fn of_environment(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
) -> Result<Json<MessageEventsOut>, Problem> {
    let org = caller.org(Right::Read)?;
    let view = api.store.application(&OrgId::management(), Reference::Uid(org.as_str())).await?;
    events(&api, RowId::MIN, view.map(|view| view.application.id), query).await.map(Json)
}

async fn events(api: &Api, reader: RowId, application: Option<ApplicationId>, query: EventsQuery) -> Result<MessageEventsOut, Problem> {
    let mut wrong = Wrong::in_query();
    let asked = Asked::parse(&mut wrong, query.limit, query.wait);
    let event_types = wrong.each("event_types", &query.event_types, |text| EventTypeName::parse(text));
    let channels = wrong.each("channels", &query.channels, |text| Channel::parse(text));
    let since = wrong.optional("after", query.after, v1::time).map(place_of_time);
    let after = match &query.iterator {
        Some(iterator) => place(&mut wrong, api, reader, iterator)?,
        None => since,
    };
    wrong.nothing()?;
    let wanted = |message: &Message| {
        (event_types.is_empty() || event_types.contains(&message.content.event_type))
            && (channels.is_empty() || channels.iter().any(|channel| message.content.channels.contains(channel)))
    };
    let read = match application {
        Some(application) => read_or_wait(api, application, after, &asked, &wanted).await?,
        None => Read { place: after, done: true, ..Read::default() },
    };
    let data = read.messages.iter().map(|message| MessageOut::new(api, message, true)).collect();
    Ok(MessageEventsOut { data, iterator: place_text(api, reader, read.place), done: read.done })
}

/// A place as clients carry it along.
pub(crate) fn place_text(api: &Api, reader: RowId, after: Option<MessageId>) -> String {
    api.store.public_ids().encode_place(reader, after.map_or(RowId::MIN, MessageId::row))
}
