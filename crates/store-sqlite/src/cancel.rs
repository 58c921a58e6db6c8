//! Ending what has not been tried, or waits to be tried again. A reading thread chooses, the writer ends those that nobody took meanwhile.

use std::collections::VecDeque;

use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, MessageId, Reason, RowId, Timestamp, Trigger};
use hookpost_store::Unavailable;
use hookpost_store::queue::CancelFilter;
use hookpost_store::usage::UsageCounts;
use rusqlite::{Connection, params};

use crate::claim::{delivery_state, manual_at};
use crate::command::{Failed, WriteContext, Written};
use crate::error::StoreError;
use crate::messages;
use crate::posting::{self, Span};
use crate::queue::{delete_due, delete_manual};
use crate::shared::Shared;
use crate::tail::{Counted, ListKind};
use hookpost_store::codec::{decode_delivery, encode_delivery, message_id};

/// Messages with due rows that are in memory at a time.
#[cfg(not(test))]
const DUE_MESSAGES_MAX: usize = 20_000;
#[cfg(test)]
const DUE_MESSAGES_MAX: usize = 2;
const CHUNK: usize = 512;

/// Up to `limit` deliveries that match, oldest message first, and whether there is one more.
pub(crate) fn choose(
    connection: &Connection,
    shared: &Shared,
    endpoint: EndpointId,
    which: &CancelFilter,
    limit: usize,
) -> Result<(Vec<MessageId>, bool), StoreError> {
    if shared.leases.lock().is_gone(endpoint) {
        return Ok((Vec::new(), false));
    }
    let mut chosen = Vec::new();
    let mut consider = |message: MessageId, waits: bool| -> Result<bool, StoreError> {
        let key = DeliveryKey { message, endpoint };
        let open = waits && !shared.leases.lock().is_leased(key);
        if open && messages::load_header(connection, message)?.is_some_and(|message| which.matches(&message)) {
            chosen.push(message);
        }
        Ok(chosen.len() <= limit)
    };
    let mut due = DueMessages { connection, endpoint, page: VecDeque::new(), after: -1, ended: false };
    let mut go_on = true;
    let mut from = shared.leases.lock().backlog_from(endpoint);
    while let Some(lowest) = from
        && go_on
    {
        let span = Span { lowest: lowest.row().raw(), ..Span::ALL };
        let kind = ListKind::MessagesOfEndpoint;
        let entries = posting::ascending(connection, &shared.tails, kind, endpoint.row().raw(), span, CHUNK)?;
        for &(raw, _) in &entries {
            let message = MessageId::from_row(RowId::from_raw(raw));
            while go_on && let Some(earlier) = due.next_if(|due| due < message)? {
                go_on = consider(earlier, true)?;
            }
            let is_due = due.next_if(|due| due == message)?.is_some();
            let waits = is_due
                || matches!(delivery_state(connection, DeliveryKey { message, endpoint })?, None | Some((DeliveryState::Pending, _)));
            go_on = go_on && consider(message, waits)?;
            if !go_on {
                break;
            }
        }
        from = entries.last().filter(|_| entries.len() == CHUNK).map(|last| MessageId::from_row(RowId::from_raw(last.0 + 1)));
    }
    while go_on && let Some(message) = due.next_if(|_| true)? {
        go_on = consider(message, true)?;
    }
    let more = chosen.len() > limit;
    chosen.truncate(limit);
    Ok((chosen, more))
}

/// The messages of an endpoint that have due rows, oldest first. The table is in the order of time: every page looks through all of it, and keeps
/// only what comes next.
struct DueMessages<'c> {
    connection: &'c Connection,
    endpoint: EndpointId,
    page: VecDeque<MessageId>,
    after: i64,
    ended: bool,
}

impl DueMessages<'_> {
    fn next_if(&mut self, wanted: impl Fn(MessageId) -> bool) -> Result<Option<MessageId>, StoreError> {
        if self.page.is_empty() && !self.ended {
            self.load()?;
        }
        let next = self.page.front().copied().filter(|message| wanted(*message));
        Ok(next.and_then(|_| self.page.pop_front()))
    }

    fn load(&mut self) -> Result<(), StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT message FROM due WHERE endpoint = ?1 AND message > ?2 ORDER BY message LIMIT ?3")?;
        let rows = statement.query_map(params![self.endpoint.row().as_i64(), self.after, DUE_MESSAGES_MAX as i64], |row| row.get(0))?;
        let raw: Vec<i64> = rows.collect::<Result<_, _>>()?;
        self.ended = raw.len() < DUE_MESSAGES_MAX;
        self.after = raw.last().copied().unwrap_or(self.after);
        self.page = raw.into_iter().map(message_id).collect();
        // One that waits for its retry and for an attempt by hand has two rows.
        let mut last = None;
        self.page.retain(|message| last.replace(*message) != Some(*message));
        Ok(())
    }
}

/// Ends those of the chosen that nobody has in hand.
pub(crate) fn end(
    context: &mut WriteContext<'_>,
    endpoint: EndpointId,
    chosen: &[MessageId],
    reason: Reason,
    now: Timestamp,
) -> Result<Written<usize>, Failed<Unavailable>> {
    let keys: Vec<_> = {
        let mut leases = context.shared.leases.lock();
        let keys = chosen.iter().map(|message| DeliveryKey { message: *message, endpoint });
        keys.filter_map(|key| Some((key, leases.reserve_to_cancel(key)?))).collect()
    };
    let result = keys.iter().try_fold(0, |count, (key, _)| Ok::<_, StoreError>(count + usize::from(end_one(context, *key, reason, now)?)));
    // Ended: in nobody's hands. Not ended after all: as if given back, for a claim may have passed over them meanwhile.
    let again = keys.clone();
    let put_back = move |shared: &Shared| {
        let mut leases = shared.leases.lock();
        again.iter().for_each(|(key, lease)| leases.release(*key, *lease));
    };
    match result {
        Ok(count) => {
            let ended = move |shared: &Shared| {
                let mut leases = shared.leases.lock();
                keys.iter().for_each(|(key, lease)| leases.drop_reservation(*key, *lease));
            };
            Ok(Written { value: count, apply: Some(Box::new(ended)), undo: Some(Box::new(put_back)) })
        }
        Err(error) => {
            put_back(context.shared);
            Err(error.into())
        }
    }
}

fn end_one(context: &mut WriteContext<'_>, key: DeliveryKey, reason: Reason, now: Timestamp) -> Result<bool, StoreError> {
    let connection = context.connection;
    let (raw_message, raw_endpoint) = (key.message.row().as_i64(), key.endpoint.row().as_i64());
    let Some(message) = messages::load_header(connection, key.message)? else { return Ok(false) };
    let manual = manual_at(connection, key)?;
    if let Some(at) = manual {
        delete_due(connection, key, at, Trigger::Manual)?;
        delete_manual(connection, key)?;
    }
    let mut row = Vec::new();
    let old: Option<Vec<u8>> = rusqlite::OptionalExtension::optional(
        connection
            .prepare_cached("SELECT data FROM delivery WHERE message = ?1 AND endpoint = ?2")?
            .query_row(params![raw_message, raw_endpoint], |row| row.get(0)),
    )?;
    let state = DeliveryState::Canceled { reason };
    let (before, progress) = match old {
        None => {
            encode_delivery(state, Default::default(), None, &mut row);
            connection.prepare_cached("INSERT INTO delivery (message, endpoint, data) VALUES (?1, ?2, ?3)")?.execute(params![
                raw_message,
                raw_endpoint,
                row
            ])?;
            (DeliveryState::Pending, Default::default())
        }
        Some(old) => {
            let old = decode_delivery(&old)?;
            if old.state.is_final() {
                return Ok(manual.is_some());
            }
            if let DeliveryState::Waiting { at } = old.state {
                delete_due(connection, key, at, Trigger::Scheduled)?;
            }
            let last = old.last.as_ref().map(|(id, attempt)| (*id, attempt.as_slice()));
            encode_delivery(state, old.progress, last, &mut row);
            connection.prepare_cached("UPDATE delivery SET data = ?3 WHERE message = ?1 AND endpoint = ?2")?.execute(params![
                raw_message,
                raw_endpoint,
                row
            ])?;
            (old.state, old.progress)
        }
    };
    context.journal.transition(key, message.created_at, None, Counted::of(before, progress), Counted::Canceled);
    context.journal.usage(message.application, &message.content.event_type, now, UsageCounts { canceled: 1, ..UsageCounts::default() });
    Ok(true)
}
