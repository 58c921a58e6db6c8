//! Messages in the order of their ids, so that whoever reads on from the last one misses none: no node may commit one with a lower id later.
//!
//! Each node knows a mark: every message that it will ever commit from now on has a greater id ([`Shared::settled_mark`]). With a group under way, or one whose
//! answer was lost, the mark stands before its first message; otherwise it is a new id, and all later ones are greater, whatever the clock does. A copy of
//! the mark stands in `node.settled_id`; it may be old, which is only careful. What is handed out lies up to the horizon: the least of the marks of all living
//! nodes, one's own from memory. Marks, nodes and messages are read in one statement, and so as they are at one moment S. Let M be a message that was seen at
//! S. That nothing below M comes later holds for
//!
//! - this node: its mark was taken before S, and is not below M;
//! - a node whose row is seen at S: what its mark covers was committed before the mark was written, and is seen at S as well;
//! - a node whose row is gone at S: who buries it waits for its transactions, and none can begin after that;
//! - a node whose row is not there yet at S: it takes its first id only after its row can be seen, and after a look at the messages that there are
//!   ([`go_on_after_what_is_there`]). That look comes after S, so that it finds M and the node goes on after it. (M cannot be forgotten by then, unless clocks
//!   differ by as much as messages are kept; the marks of the others are looked at as well.)
//! - a new life of a node that was taken for dead: the same, and its ids go on after those it had.
//!
//! A mark that stands still holds up all others. So nodes that have nothing to do move theirs as well, a few times a second, but only while somebody asks
//! (`hookpost.feed`) or may ask (there is a sink). They follow the furthest mark of all, not their clocks: one clock that is ahead carries the ids of all
//! along for as long as feeds are read, and nobody has to wait for the others' clocks to come there.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use hookpost_domain::{ApplicationId, Message, MessageId, RowId, Timestamp};
use hookpost_store::codec::{decode_message, message_id};
use hookpost_store::documents::DocumentKind;
use hookpost_store::{Feed, FeedLimits};
use tokio::time::Instant;
use tokio_postgres::{Client, Row};
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::history::add_payloads;
use crate::shared::Shared;
use crate::statements::{execute, query, query_one};

/// How often it is written that somebody asks; it is believed for a minute.
const ASKED_EVERY: Duration = Duration::from_secs(20);
/// At least; so long, and once more, others may wait for a node that has nothing to do.
const MARKED_EVERY: Duration = Duration::from_millis(500);

/// Marks, nodes and messages as they are at one moment: one statement.
const READ: &str = "
    SELECT found.id, found.header, found.bytes
    FROM (SELECT coalesce(min(settled_id), 9223372036854775807) AS settled FROM hookpost.node WHERE holder <> $1) AS others
    CROSS JOIN LATERAL (
        SELECT id, header, coalesce(octet_length(payload), 0)::bigint AS bytes FROM hookpost.message
        WHERE application = $2 AND id > $3 AND id <= others.settled ORDER BY id LIMIT $4
    ) AS found
    ORDER BY found.id";

const ASK: &str = "INSERT INTO hookpost.feed (asked_at) VALUES (clock_timestamp())
    ON CONFLICT (one) DO UPDATE SET asked_at = greatest(feed.asked_at, excluded.asked_at)";

/// 4: [`DocumentKind::Sink`].
const LOOK: &str = "SELECT max(settled_id), count(*) > 1 AND (
        EXISTS (SELECT 1 FROM hookpost.feed WHERE asked_at > clock_timestamp() - interval '1 minute')
        OR EXISTS (SELECT 1 FROM hookpost.document WHERE kind = 4))
    FROM hookpost.node";
const MARK: &str = "UPDATE hookpost.node SET settled_id = $2 WHERE holder = $1 AND settled_id < $2";
const _: () = assert!(DocumentKind::Sink as u8 == 4);

const FURTHEST: &str = "SELECT greatest((SELECT max(id) FROM hookpost.message), (SELECT max(settled_id) FROM hookpost.node), 0)
    WHERE EXISTS (SELECT 1 FROM hookpost.feed) OR EXISTS (SELECT 1 FROM hookpost.document WHERE kind = 4)";

impl Shared {
    /// Every message that this node commits from now on has a greater id.
    pub(crate) fn settled_mark(&self) -> RowId {
        let leases = self.leases.lock();
        match leases.unsettled() {
            Some(first) => RowId::from_raw(first.row().raw() - 1),
            None => self.new_row_id(Timestamp::ZERO),
        }
    }

    /// Where nothing is under way the mark is beyond `furthest` afterwards.
    fn follow(&self, furthest: RowId) -> RowId {
        self.ids.lock().go_on_after(furthest);
        self.settled_mark()
    }
}

pub(crate) async fn read(
    shared: &Shared,
    application: ApplicationId,
    after: Option<MessageId>,
    limits: FeedLimits,
) -> Result<Feed, StoreError> {
    let connection = shared.connections.get().await?;
    say_that_it_is_asked(shared, &connection).await?;
    let mut mark = shared.settled_mark();
    let mut found = settled_by_others(shared, &connection, application, after, limits).await?;
    // What others wrote is not held up by a node that has nothing to write.
    if let Some((last, _)) = found.last()
        && last.id.row() > mark
    {
        let moved = shared.follow(last.id.row());
        if moved > mark {
            mark = moved;
            found = settled_by_others(shared, &connection, application, after, limits).await?;
        }
    }
    found.retain(|(message, _)| message.id.row() <= mark);
    let mut feed = cut(found, limits);
    add_payloads(&connection, feed.messages.iter_mut()).await?;
    Ok(feed)
}

/// Committed before anything is read, so that a node which begins later knows it.
async fn say_that_it_is_asked(shared: &Shared, connection: &Object) -> Result<(), StoreError> {
    let said = *shared.feed_asked_at.lock();
    if said.is_none_or(|at| at.elapsed() >= ASKED_EVERY) {
        let now = Instant::now();
        execute(connection, ASK, &[]).await?;
        *shared.feed_asked_at.lock() = Some(now);
    }
    Ok(())
}

/// Without payloads, each with the size of its own; one more than are wanted, if there are. What this node itself may yet write is not looked at: its mark is
/// to be taken before.
async fn settled_by_others(
    shared: &Shared,
    connection: &Object,
    application: ApplicationId,
    after: Option<MessageId>,
    limits: FeedLimits,
) -> Result<Vec<(Message, usize)>, StoreError> {
    let after = after.map_or(-1, |after| after.row().as_i64());
    let count = i64::try_from(limits.messages).unwrap_or(i64::MAX).saturating_add(1);
    let rows = query(connection, READ, &[&shared.node.holder(), &application.row().as_i64(), &after, &count]).await?;
    let message = |row: &Row| {
        let bytes = usize::try_from(row.try_get::<_, i64>(2)?).unwrap_or_default();
        Ok((decode_message(message_id(row.try_get(0)?), application, row.try_get(1)?, None)?, bytes))
    };
    rows.iter().map(message).collect()
}

fn cut(found: Vec<(Message, usize)>, limits: FeedLimits) -> Feed {
    let (mut feed, mut bytes) = (Feed::default(), 0_usize);
    for (message, size) in found {
        if feed.messages.len() >= limits.messages || (bytes >= limits.payload_bytes && !feed.messages.is_empty()) {
            feed.more = true;
            break;
        }
        bytes = bytes.saturating_add(size);
        feed.messages.push(message);
    }
    feed
}

/// Moves the mark of this node on, until the token is cancelled.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    let every = shared.poll_every.min(MARKED_EVERY);
    while token.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let marked = async {
            let connection = shared.connections.get().await?;
            keep_up(&shared, &connection).await
        };
        if let Err(error) = marked.await {
            tracing::debug!("this node cannot say what it has settled: {error}");
        }
    }
}

/// Moves the mark of this node on, if anybody may wait for it. Whether it was written.
pub(crate) async fn keep_up(shared: &Shared, connection: &Object) -> Result<bool, StoreError> {
    let row = query_one(connection, LOOK, &[]).await?;
    let (Some(furthest), true) = (row.try_get::<_, Option<i64>>(0)?, row.try_get(1)?) else { return Ok(false) };
    let (holder, mark) = (shared.node.holder(), shared.follow(RowId::from_i64(furthest)));
    Ok(execute(connection, MARK, &[&holder, &mark.as_i64()]).await? > 0)
}

/// For a node that begins, once its row can be seen: where its ids may begin. `None`: nobody ever read a feed.
pub(crate) async fn go_on_after_what_is_there(client: &Client) -> Result<Option<RowId>, StoreError> {
    let row = client.query_opt(FURTHEST, &[]).await?;
    Ok(row.map(|row| row.try_get(0).map(RowId::from_i64)).transpose()?)
}
