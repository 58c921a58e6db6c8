//! Where a sink stands in what it is sent, and how it is moved by hand.

use hookpost_domain::{MessageId, Sink};
use hookpost_store::Reference;
use schemars::JsonSchema;
use serde::Deserialize;

use super::beginning;
use crate::problem::{Problem, Wrong};
use crate::state::Api;
use crate::v1::feed::{self, EventOut};

/// Looks at the feed for the next event of a sink that wants few.
const LOOKS_MAX: usize = 25;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SkipQuery {
    /// As in the body.
    iterator: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct SkipParams {
    /// Everything up to here counts as taken. Left out: the next event alone.
    iterator: Option<String>,
}

/// Tries the batch that waits for a retry at once.
pub(crate) async fn force_retry(api: &Api, sink: &Sink) -> Result<(), Problem> {
    Ok(api.engine.force_sink(sink.id).await?)
}

pub(crate) async fn skip(api: &Api, sink: &Sink, query: SkipQuery, input: SkipParams) -> Result<(), Problem> {
    let target = match (&input.iterator, &query.iterator) {
        (Some(iterator), _) => feed::place(&mut Wrong::in_body(), api, sink.id.row(), iterator)?,
        (None, Some(iterator)) => feed::place(&mut Wrong::in_query(), api, sink.id.row(), iterator)?,
        (None, None) => Some(next(api, sink).await?.ok_or(NOTHING_NEXT)?.id),
    };
    if let Some(target) = target {
        let now = api.now();
        api.store.advance_sink(sink.id, "", move |progress| progress.skip_to(target, now), Vec::new()).await?;
        api.engine.wake_sink(sink.id);
    }
    Ok(())
}

pub(crate) async fn last_acked(api: &Api, sink: &Sink) -> Result<EventOut, Problem> {
    const NOTHING: Problem = Problem::NotFound("Nothing was taken yet.");
    let last = api.store.sink_progress(sink.id, "").await?.last_taken.ok_or(NOTHING)?;
    let message = api.store.message(sink.log, Reference::Id(last)).await?;
    let message = message.ok_or(Problem::NotFound("What was taken last is past its retention."))?;
    Ok(EventOut::new(&message, api.now()))
}

pub(crate) async fn next_event(api: &Api, sink: &Sink) -> Result<EventOut, Problem> {
    let message = next(api, sink).await?.ok_or(NOTHING_NEXT)?;
    Ok(EventOut::new(&message, api.now()))
}

const NOTHING_NEXT: Problem = Problem::NotFound("There is no event that was not taken.");

async fn next(api: &Api, sink: &Sink) -> Result<Option<hookpost_domain::Message>, Problem> {
    let progress = api.store.sink_progress(sink.id, "").await?;
    // What is being tried, where it is not simply what follows.
    if let Some(first) = progress.batch_to_retry().and_then(|batch| batch.messages.first()) {
        return Ok(api.store.message(sink.log, Reference::Id(*first)).await?);
    }
    let mut after: Option<MessageId> = progress.after.or(Some(beginning(sink.id)));
    for _ in 0..LOOKS_MAX {
        let mut read = feed::read(api, sink.log, after, 1, &|message| sink.wants(message)).await?;
        if read.done || !read.messages.is_empty() {
            return Ok(read.messages.pop());
        }
        after = read.place;
    }
    Ok(None)
}
