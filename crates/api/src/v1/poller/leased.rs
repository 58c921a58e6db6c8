//! Consumers of several workers: what one was handed is lent to it for a while, and nobody else gets it, nor what follows, before it is committed or the time is
//! over. So the order holds, and one worker that dies delays the others and loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use hookpost_domain::sink::{SinkLoan, SinkProgress};
use hookpost_domain::{Message, MessageId, RowId, Sink, limits};
use hookpost_store::Reference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::consumer::{ConsumerPath, FIRST, begin_or_go_on, pass};
use super::{CONSUMER, PollingEndpointMessageOut, consumer_name};
use crate::auth::Caller;
use crate::extract::{Body, Json, NoContent, Path, Query};
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::feed::{self, Asked, Read};
use crate::v1::sink::refuse_unless_poller;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StartingPosition {
    /// With the oldest message that is kept.
    Earliest,
    /// With what is accepted from now on.
    Latest,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct LeasedPollQuery {
    /// How many messages are given at most.
    #[schemars(range(min = 1, max = 250))]
    limit: Option<u64>,
    /// How long nobody else gets what this answer has; 30000 if left out, 0: not at all.
    #[schemars(range(max = 3_600_000))]
    lease_duration_ms: Option<u64>,
    /// Where a consumer begins that polls for the first time. Left out: where the destination began.
    starting_position: Option<StartingPosition>,
    /// How many seconds to wait for a message where there is none. (Hookpost's own.)
    #[schemars(range(max = 30))]
    wait: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PollerV2PollOut {
    data: Vec<PollerV2MessageOut>,
    /// There was nothing more at the moment; also where it is lent to another worker.
    done: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PollerV2MessageOut {
    /// Commit that of the last message that was dealt with.
    offset: u64,
    #[serde(flatten)]
    message: PollingEndpointMessageOut,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PollerV2CommitIn {
    /// Of a message that was handed out: it and all before it do not come again.
    offset: u64,
}

pub(crate) async fn poll(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
    Query(query): Query<LeasedPollQuery>,
) -> Result<Json<PollerV2PollOut>, Problem> {
    let mut wrong = Wrong::in_query();
    let asked = Asked::parse(&mut wrong, query.limit, query.wait);
    let lease_ms = query.lease_duration_ms.unwrap_or(limits::POLL_LEASE_MS_DEFAULT);
    if lease_ms > limits::POLL_LEASE_MS_MAX {
        wrong.add("lease_duration_ms", format!("must be between 0 and {}", limits::POLL_LEASE_MS_MAX));
    }
    wrong.nothing()?;
    let sink = caller.poller_of_application(&api, &path.app_id, &path.sink_id, CONSUMER).await?;
    refuse_unless_poller(&sink)?;
    let consumer = consumer_name(&path.consumer_id)?;
    let begin = query.starting_position.map(|position| match position {
        StartingPosition::Earliest => FIRST,
        StartingPosition::Latest => MessageId::from_row(api.store.new_row_id(api.now())),
    });
    let after = begin_or_go_on(&api, &sink, consumer, begin).await?;
    if is_lent(&api, &api.store.sink_progress(sink.id, consumer).await?) {
        return Ok(Json(PollerV2PollOut { data: Vec::new(), done: true }));
    }
    let read = feed::read_or_wait(&api, sink.log, Some(after), &asked, &|message| sink.wants(message)).await?;
    let Some(last) = read.messages.last() else {
        if !read.done {
            pass(&api, &sink, consumer, after, read.place).await?;
        }
        return Ok(Json(PollerV2PollOut { data: Vec::new(), done: read.done }));
    };
    let taken = lease_ms == 0 || lend(&api, &sink, consumer, after, last.id, Duration::from_millis(lease_ms)).await?;
    // Another worker was faster.
    let read = if taken { read } else { Read { done: true, ..Read::default() } };
    let data = read.messages.iter().map(|message| PollerV2MessageOut::new(&api, message)).collect();
    Ok(Json(PollerV2PollOut { data, done: read.done }))
}

/// Everything up to this message was dealt with.
pub(crate) async fn commit(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
    Body(input): Body<PollerV2CommitIn>,
) -> Result<NoContent, Problem> {
    let sink = caller.poller_of_application(&api, &path.app_id, &path.sink_id, CONSUMER).await?;
    refuse_unless_poller(&sink)?;
    let consumer = consumer_name(&path.consumer_id)?;
    let offset = offset(&api, &sink, input.offset).await?;
    let committed = move |progress: &mut SinkProgress| {
        progress.after = progress.after.max(Some(offset));
        progress.last_taken = progress.last_taken.max(Some(offset));
        progress.lent = progress.lent.filter(|loan| loan.up_to > offset);
    };
    api.store.advance_sink(sink.id, consumer, committed, Vec::new()).await?;
    Ok(NoContent)
}

/// Clients that read numbers as floating point round offsets: one that is not exactly that of a message would confirm others than those that were meant.
async fn offset(api: &Api, sink: &Sink, offset: u64) -> Result<MessageId, Problem> {
    let id = MessageId::from_row(RowId::from_raw(offset));
    let is_there = offset <= RowId::MAX.raw() && api.store.message(sink.log, Reference::Id(id)).await?.is_some();
    if is_there { Ok(id) } else { Err(Problem::body("offset", "must be the `offset` of a message that was handed out, to the last digit")) }
}

fn is_lent(api: &Api, progress: &SinkProgress) -> bool {
    progress.lent.is_some_and(|loan| loan.until > api.now())
}

/// `false`: somebody else got it, or the consumer was moved.
async fn lend(api: &Api, sink: &Sink, consumer: &str, from: MessageId, up_to: MessageId, lease: Duration) -> Result<bool, Problem> {
    let now = api.now();
    let taken = Arc::new(AtomicBool::new(false));
    let is_ours = Arc::clone(&taken);
    let lend = move |progress: &mut SinkProgress| {
        if progress.after == Some(from) && progress.lent.is_none_or(|loan| loan.until <= now) {
            progress.lent = Some(SinkLoan { up_to, until: now + lease });
            is_ours.store(true, Ordering::Release);
        }
    };
    api.store.advance_sink(sink.id, consumer, lend, Vec::new()).await?;
    Ok(taken.load(Ordering::Acquire))
}

impl PollerV2MessageOut {
    fn new(api: &Api, message: &Message) -> Self {
        Self { offset: message.id.row().raw(), message: PollingEndpointMessageOut::new(api, message) }
    }
}
