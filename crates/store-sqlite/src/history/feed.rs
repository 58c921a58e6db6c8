//! All messages of an application in their order.
//!
//! The writer gives ids and commits in one order, and a commit shows in the list as a whole: what stands behind the end of the list gets a higher id.

use hookpost_domain::{ApplicationId, MessageId, RowId};
use hookpost_store::history::{Feed, FeedLimits};
use rusqlite::Connection;

use super::{CHUNK, Ids};
use crate::error::StoreError;
use crate::messages;
use crate::posting::Span;
use crate::shared::Shared;
use crate::tail::ListKind;

pub(super) fn read(
    connection: &Connection,
    shared: &Shared,
    application: ApplicationId,
    after: Option<MessageId>,
    limits: FeedLimits,
) -> Result<Feed, StoreError> {
    let ids = Ids { connection, shared, kind: ListKind::MessagesOfApplication, owner: application.row() };
    let behind = after.map_or(0, |after| after.row().raw() + 1);
    // Lists name old messages for a while that are forgotten: there is no need to look for each.
    let oldest: Option<i64> = connection.prepare_cached("SELECT min(id) FROM message")?.query_row([], |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(Feed::default()) };
    let mut span = Span { lowest: behind.max(oldest as u64), ..Span::ALL };
    let (mut feed, mut bytes) = (Feed::default(), 0);
    loop {
        // One more, to know whether there is one.
        let count = (limits.messages - feed.messages.len()).saturating_add(1).min(CHUNK);
        let entries = ids.next(span, true, count)?;
        for &(id, _) in &entries {
            if feed.messages.len() >= limits.messages || (bytes >= limits.payload_bytes && !feed.messages.is_empty()) {
                feed.more = true;
                return Ok(feed);
            }
            if let Some(message) = messages::load(connection, MessageId::from_row(RowId::from_raw(id)))? {
                bytes += message.content.payload.as_ref().map_or(0, |payload| payload.len());
                feed.messages.push(message);
            }
            span.lowest = id + 1;
        }
        if entries.len() < count {
            return Ok(feed);
        }
    }
}
