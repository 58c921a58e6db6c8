//! Consumers whose place is kept here: each answer begins after the last iterator that the consumer sent back. What it did not confirm comes again.

use axum::extract::State;
use hookpost_domain::sink::SinkProgress;
use hookpost_domain::{MessageId, RowId, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CONSUMER, PollingEndpointOut, consumer_name, place_of_sink};
use crate::auth::Caller;
use crate::extract::{Body, Json, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1;
use crate::v1::feed::{self, Asked};
use crate::v1::sink::refuse_unless_poller;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConsumerPath {
    /// The id or uid of the application.
    pub(super) app_id: String,
    /// The id or uid of the destination.
    pub(super) sink_id: String,
    /// A name that you choose: each has a place of its own.
    pub(super) consumer_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ConsumerPollQuery {
    /// How many messages are given at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// The `iterator` of the answer that was dealt with: it does not come again. Left out: nothing is confirmed.
    iterator: Option<String>,
    /// How many seconds to wait for a message where there is none. (Hookpost's own.)
    #[schemars(range(max = 30))]
    wait: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollingEndpointConsumerSeekIn {
    /// The next answer begins with what was accepted after this time.
    #[schemars(extend("format" = "date-time"))]
    after: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PollingEndpointConsumerSeekOut {
    /// The new place.
    iterator: String,
}

pub(crate) async fn poll(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
    Query(query): Query<ConsumerPollQuery>,
) -> Result<Json<PollingEndpointOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let asked = Asked::parse(&mut wrong, query.limit, query.wait);
    wrong.nothing()?;
    let sink = caller.poller_of_application(&api, &path.app_id, &path.sink_id, CONSUMER).await?;
    refuse_unless_poller(&sink)?;
    let consumer = consumer_name(&path.consumer_id)?;
    let after = match &query.iterator {
        Some(iterator) => confirm(&api, &sink, consumer, iterator).await?,
        None => begin_or_go_on(&api, &sink, consumer, None).await?,
    };
    let read = feed::read_or_wait(&api, sink.log, Some(after), &asked, &|message| sink.wants(message)).await?;
    if read.messages.is_empty() && !read.done {
        // Nothing that anybody has to confirm: the next look goes on behind it, iterator or not.
        pass(&api, &sink, consumer, after, read.place).await?;
    }
    Ok(Json(PollingEndpointOut::new(&api, &sink, &read)))
}

pub(crate) async fn seek(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
    Body(input): Body<PollingEndpointConsumerSeekIn>,
) -> Result<Json<PollingEndpointConsumerSeekOut>, Problem> {
    let mut wrong = Wrong::in_body();
    let after = wrong.check("after", v1::time(&input.after));
    let Some(after) = after.map(feed::place_of_time) else { return Err(wrong.problem()) };
    let sink = caller.poller_of_application(&api, &path.app_id, &path.sink_id, CONSUMER).await?;
    refuse_unless_poller(&sink)?;
    let consumer = consumer_name(&path.consumer_id)?;
    api.store.advance_sink(sink.id, consumer, move |progress| progress.seek(Some(after)), Vec::new()).await?;
    Ok(Json(PollingEndpointConsumerSeekOut { iterator: feed::place_text(&api, sink.id.row(), Some(after)) }))
}

/// The consumer says where it is; also further back than it was.
async fn confirm(api: &Api, sink: &Sink, consumer: &str, iterator: &str) -> Result<MessageId, Problem> {
    let place = feed::place(&mut Wrong::in_query(), api, sink.id.row(), iterator)?.unwrap_or(FIRST);
    let confirmed = move |progress: &mut SinkProgress| progress.after = Some(place);
    api.store.advance_sink(sink.id, consumer, confirmed, Vec::new()).await?;
    Ok(place)
}

/// Before every message.
pub(super) const FIRST: MessageId = MessageId::from_row(RowId::MIN);

/// Where the consumer is. One that nobody knew begins where it is told to, or with its sink, and from then on has a place.
pub(super) async fn begin_or_go_on(api: &Api, sink: &Sink, consumer: &str, begin: Option<MessageId>) -> Result<MessageId, Problem> {
    if let Some(place) = api.store.sink_progress(sink.id, consumer).await?.after {
        return Ok(place);
    }
    let begin = match begin {
        Some(begin) => begin,
        None => place_of_sink(api, sink).await?,
    };
    let first = move |progress: &mut SinkProgress| progress.after = progress.after.or(Some(begin));
    let progress = api.store.advance_sink(sink.id, consumer, first, Vec::new()).await?;
    Ok(progress.after.unwrap_or(begin))
}

/// Goes past what nobody wanted, unless the consumer was moved meanwhile.
pub(super) async fn pass(api: &Api, sink: &Sink, consumer: &str, from: MessageId, to: Option<MessageId>) -> Result<(), Problem> {
    let further = move |progress: &mut SinkProgress| {
        if progress.after == Some(from) {
            progress.after = to;
        }
    };
    api.store.advance_sink(sink.id, consumer, further, Vec::new()).await?;
    Ok(())
}
