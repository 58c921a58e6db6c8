//! Pollers: receivers that cannot be called ask for their messages. What one asks for by hand-held iterators is read only; a consumer is told where it is by us.

mod consumer;
pub(crate) mod leased;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use axum::extract::State;
use hookpost_domain::{Channel, EventTypeName, Invalid, Message, MessageId, Sink, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{Caller, Right};
use crate::extract::{Json, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;
use crate::v1::feed::{self, Asked, EventStreamOut, Read};
use crate::v1::message::MessageOut;
use crate::v1::sink::{beginning, refuse_unless_poller};

pub(crate) use consumer::{poll as consumer_poll, seek};

/// What a consumer does, polling included, moves its place, which is no mere reading.
const CONSUMER: Right = Right::ManageEndpoint;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollerPath {
    /// The id or uid of the application.
    app_id: String,
    /// The id or uid of the destination.
    sink_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollerOfStreamPath {
    /// The id or uid of the stream.
    stream_id: String,
    /// The id or uid of the sink.
    sink_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollQuery {
    /// How many messages are given at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` of an earlier answer. Left out: from where the destination began.
    iterator: Option<String>,
    /// Only messages of this event type.
    event_type: Option<String>,
    /// Only messages that have this channel.
    channel: Option<String>,
    /// Where there is no iterator: only messages accepted after this time, from before the destination too.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// How many seconds to wait for a message where there is none. (Hookpost's own.)
    #[schemars(range(max = 30))]
    wait: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollOfStreamQuery {
    /// How many events are given at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` of an earlier answer. Left out: from where the sink began.
    iterator: Option<String>,
    /// Where there is no iterator: only events accepted after this time, from before the sink too.
    #[schemars(extend("format" = "date-time"))]
    after: Option<String>,
    /// How many seconds to wait for an event where there is none. (Hookpost's own.)
    #[schemars(range(max = 30))]
    wait: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PollingEndpointOut {
    data: Vec<PollingEndpointMessageOut>,
    /// Give it as `iterator` to go on from here, now or later.
    iterator: String,
    /// There was nothing more at the moment.
    done: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PollingEndpointMessageOut {
    #[serde(flatten)]
    message: MessageOut<'static>,
    /// Those it came with, where it came through a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
}

/// By iterators that the client keeps: nothing is written down.
pub(crate) async fn poll(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<PollerPath>,
    Query(query): Query<PollQuery>,
) -> Result<Json<PollingEndpointOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let event_type = wrong.optional("event_type", query.event_type, |text| EventTypeName::parse(&text));
    let channel = wrong.optional("channel", query.channel, |text| Channel::parse(&text));
    let asked = Asked::parse(&mut wrong, query.limit, query.wait);
    let since = wrong.optional("after", query.after, v1::time).map(feed::place_of_time);
    wrong.nothing()?;
    let sink = caller.poller_of_application(&api, &path.app_id, &path.sink_id, Right::Read).await?;
    refuse_unless_poller(&sink)?;
    let after = start(&api, &sink, query.iterator.as_deref(), since).await?;
    let wanted = |message: &Message| {
        sink.wants(message)
            && event_type.as_ref().is_none_or(|wanted| message.content.event_type == *wanted)
            && channel.as_ref().is_none_or(|wanted| message.content.channels.contains(wanted))
    };
    let read = feed::read_or_wait(&api, sink.log, after, &asked, &wanted).await?;
    Ok(Json(PollingEndpointOut::new(&api, &sink, &read)))
}

pub(crate) async fn poll_of_stream(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<PollerOfStreamPath>,
    Query(query): Query<PollOfStreamQuery>,
) -> Result<Json<EventStreamOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let asked = Asked::parse(&mut wrong, query.limit, query.wait);
    let since = wrong.optional("after", query.after, v1::time).map(feed::place_of_time);
    wrong.nothing()?;
    let sink = caller.poller_of_stream(&api, &path.stream_id, &path.sink_id, Right::Read).await?;
    refuse_unless_poller(&sink)?;
    let after = start(&api, &sink, query.iterator.as_deref(), since).await?;
    let read = feed::read_or_wait(&api, sink.log, after, &asked, &|message| sink.wants(message)).await?;
    Ok(Json(EventStreamOut::new(&api, &sink, &read)))
}

/// Where a poll goes on: at its iterator, or at the time it names, or at the place of the sink.
async fn start(api: &Api, sink: &Sink, iterator: Option<&str>, since: Option<MessageId>) -> Result<Option<MessageId>, Problem> {
    match (iterator, since) {
        (Some(iterator), _) => feed::place(&mut Wrong::in_query(), api, sink.id.row(), iterator),
        (None, Some(since)) => Ok(Some(since)),
        (None, None) => place_of_sink(api, sink).await.map(Some),
    }
}

async fn place_of_sink(api: &Api, sink: &Sink) -> Result<MessageId, Problem> {
    Ok(api.store.sink_progress(sink.id, "").await?.after.unwrap_or(beginning(sink.id)))
}

/// The name of a consumer, which the client chooses.
fn consumer_name(name: &str) -> Result<&str, Problem> {
    let max = limits::POLL_CONSUMER_CHARS_MAX;
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.:".contains(&c);
    let rule = match name {
        _ if name.is_empty() || name.len() > max => Invalid::new(format!("must be 1 to {max} characters long")),
        _ if !name.bytes().all(is_plain) => Invalid::new("must be made of letters, digits and `-` `_` `.` `:`"),
        _ => return Ok(name),
    };
    Err(Problem::path("consumer_id", rule.0))
}

impl PollingEndpointOut {
    fn new(api: &Api, sink: &Sink, read: &Read) -> Self {
        let data = read.messages.iter().map(|message| PollingEndpointMessageOut::new(api, message)).collect();
        Self { data, iterator: feed::place_text(api, sink.id.row(), read.place), done: read.done }
    }
}

impl PollingEndpointMessageOut {
    fn new(api: &Api, message: &Message) -> Self {
        let headers = message.content.headers.iter();
        let headers: BTreeMap<_, _> =
            headers.map(|header| (header.name.clone(), String::from_utf8_lossy(&header.value).into_owned())).collect();
        Self { message: MessageOut::new(api, message, true), headers: Some(headers).filter(|headers| !headers.is_empty()) }
    }
}
