//! Forgetting what is past its time, in pieces small enough that nobody waits for them.
//!
//! Messages are in the order of time, so the old ones are a range of ids. Payloads are listed by the minute in which they may go. What stands
//! in lists and counters is swept now and then, some owners at a time: until then it names messages that are not found, and readers pass over them.

mod payloads;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, MessageId, RowId, Timestamp, Trigger, limits};
use hookpost_store::Unavailable;
use hookpost_store::history::{Forgotten, RetentionPolicy};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::SqliteStore;
use crate::claim;
use crate::command::{Failed, WriteContext, Written};
use crate::error::StoreError;
use crate::queue::{delete_due, delete_manual};
use crate::schema::meta;
use crate::shared::Shared;
use crate::tail::{Counted, ListKind, minute_of};
use crate::{documents, ledger, messages, usage};
use hookpost_store::codec::{CREATED_AT_BYTES, decode_created_at, decode_delivery_state, endpoint_id, message_id, time, trigger_of_number};

/// Rows of lists, counters, answers and the like that one call removes.
const SWEPT_ROWS_MAX: i64 = 500;

pub(crate) async fn forget(store: &SqliteStore, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable> {
    // Only what is in the table of lists can be taken off it. Expiries lie days ahead: this hardly ever happens.
    while has_expired_tail(&store.shared, now) {
        store.shared.flush_now.store(true, Ordering::Relaxed);
        store.shared.write(|_| -> Result<_, Failed<Unavailable>> { Ok(Written::new(())) }).await?;
    }
    let forgotten = store.shared.write(move |context| forget_piece(context, policy, now)).await?;
    if forgotten.messages > 0 {
        // A backlog may have lost what it began with.
        store
            .read(|connection, shared| {
                let backlogged: Vec<EndpointId> = shared.leases.lock().backlogged().collect();
                backlogged.into_iter().try_for_each(|endpoint| claim::settle_backlog(connection, shared, endpoint))
            })
            .await?;
    }
    Ok(forgotten)
}

fn has_expired_tail(shared: &Shared, now: Timestamp) -> bool {
    let tails = shared.tails.read();
    tails.parts().any(|tail| tail.lists.keys().any(|(kind, minute)| *kind == ListKind::PayloadsByExpiry && *minute <= minute_of(now)))
}

fn forget_piece(
    context: &mut WriteContext<'_>,
    policy: RetentionPolicy,
    now: Timestamp,
) -> Result<Written<Forgotten>, Failed<Unavailable>> {
    let kept = Kept { messages_from: now - policy.rows, receipts_from: now - policy.receipts };
    let messages = forget_messages(context, kept.messages_from)?;
    let payloads = payloads::forget(context.connection, now)?;
    let receipts = forget_receipts(context.connection, kept.receipts_from)?;
    let answers = forget_answers(context.connection, now)?;
    let entries = ledger::forget(context.connection, first_kept(kept.messages_from), limits::FORGOTTEN_AT_ONCE_MAX)?;
    let documents = documents::forget(context.connection, now, SWEPT_ROWS_MAX)?;
    let keys = context.shared.keys.lock().sweep(context.connection, now)?;
    let counted_from = count_from(context.connection, kept.messages_from)?;
    let usage_from_s = usage::raise_bounds(context.connection, kept.messages_from, now)?;
    sweep(context, kept, (counted_from, usage_from_s), now)?;
    let more = !old_messages(context.connection, kept.messages_from, 1)?.is_empty()
        || payloads.more
        || keys.more
        || receipts == limits::FORGOTTEN_AT_ONCE_MAX
        || entries == limits::FORGOTTEN_AT_ONCE_MAX
        || [answers, documents].contains(&(SWEPT_ROWS_MAX as usize));
    let forgotten = Forgotten { messages: messages.len() as u64, payloads: payloads.count, receipts: receipts as u64, more };
    // At once, for what is written of the tail in the same commit.
    let counted_before = context.shared.counted_from.fetch_max(counted_from, Ordering::Relaxed);
    let written = Written::and(forgotten, move |shared| {
        let mut leases = shared.leases.lock();
        messages.iter().for_each(|message| leases.forget_message(*message));
        drop(leases);
        shared.keys.lock().swept(&keys);
        shared.catalog.revocations.write().retain(|_, (_, forget_at)| *forget_at > now);
    });
    Ok(Written { undo: Some(Box::new(move |shared| shared.counted_from.store(counted_before, Ordering::Relaxed))), ..written })
}

/// From when on things are kept; what is of that very moment goes.
#[derive(Debug, Clone, Copy)]
struct Kept {
    messages_from: Timestamp,
    receipts_from: Timestamp,
}

/// Kept for exactly as long as the policy says: at its end a row goes.
fn first_kept(oldest_kept: Timestamp) -> RowId {
    RowId::first_at(Timestamp::from_unix_ms(oldest_kept.unix_ms() + 1))
}

fn old_messages(connection: &Connection, oldest_kept: Timestamp, limit: usize) -> Result<Vec<MessageId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM message WHERE id < ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![first_kept(oldest_kept).as_i64(), limit as i64], |row| Ok(message_id(row.get(0)?)))?
        .collect::<Result<_, _>>()?)
}

fn forget_messages(context: &mut WriteContext<'_>, oldest_kept: Timestamp) -> Result<Vec<MessageId>, StoreError> {
    let connection = context.connection;
    let old = old_messages(connection, oldest_kept, limits::FORGOTTEN_AT_ONCE_MAX)?;
    let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(old) };
    // What each delivery counts for; those without a row are pending.
    let mut deliveries: BTreeMap<DeliveryKey, (Counted, Timestamp)> = BTreeMap::new();
    let mut created_at = HashMap::new();
    for id in &old {
        let Some(message) = messages::load_header(connection, *id)? else { continue };
        if let Some(event_id) = &message.content.event_id {
            connection
                .prepare_cached("DELETE FROM event_id WHERE application = ?1 AND event_id = ?2")?
                .execute(params![message.application.row().as_i64(), event_id.as_str()])?;
        }
        created_at.insert(*id, message.created_at);
        let keys = message.content.routing.targets.iter().map(|endpoint| DeliveryKey { message: *id, endpoint: *endpoint });
        deliveries.extend(keys.map(|key| (key, (Counted::Pending, message.created_at))));
    }
    let range = params![first.row().as_i64(), last.row().as_i64()];
    let mut timed = Vec::new();
    {
        let mut statement = connection.prepare_cached("SELECT message, endpoint, data FROM delivery WHERE message BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query(range)?;
        while let Some(row) = rows.next()? {
            let key = DeliveryKey { message: message_id(row.get(0)?), endpoint: endpoint_id(row.get(1)?) };
            let (state, progress) = decode_delivery_state(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
            if let DeliveryState::Waiting { at } = state {
                timed.push((key, at, Trigger::Scheduled));
            }
            let accepted_at = created_at.get(&key.message).copied().unwrap_or(key.message.created_at());
            deliveries.insert(key, (Counted::of(state, progress), accepted_at));
        }
        let mut statement = connection.prepare_cached("SELECT message, endpoint, at_ms FROM manual WHERE message BETWEEN ?1 AND ?2")?;
        let mut rows = statement.query(range)?;
        while let Some(row) = rows.next()? {
            let key = DeliveryKey { message: message_id(row.get(0)?), endpoint: endpoint_id(row.get(1)?) };
            timed.push((key, time(row.get(2)?), Trigger::Manual));
        }
    }
    for (key, at, trigger) in timed {
        delete_due(connection, key, at, trigger)?;
    }
    for (key, (counted, accepted_at)) in deliveries {
        context.journal.transition(key, accepted_at, None, counted, Counted::Nothing);
        // What a deleted endpoint left open was taken off the number of open deliveries then.
        if matches!(counted, Counted::Pending | Counted::Sending) && context.shared.leases.lock().is_gone(key.endpoint) {
            context.journal.unfinished += 1;
        }
    }
    for table in ["message WHERE id", "delivery WHERE message", "attempt WHERE message", "manual WHERE message", "held WHERE message"] {
        connection.prepare_cached(&format!("DELETE FROM {table} BETWEEN ?1 AND ?2"))?.execute(range)?;
    }
    Ok(old)
}

/// Returns how many. What they counted for stays until its minute is swept.
fn forget_receipts(connection: &Connection, oldest_kept: Timestamp) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached("DELETE FROM receipt WHERE id IN (SELECT id FROM receipt WHERE id < ?1 ORDER BY id LIMIT ?2)")?
        .execute(params![first_kept(oldest_kept).as_i64(), limits::FORGOTTEN_AT_ONCE_MAX as i64])?)
}

/// The first minute in which deliveries still count: there are no older messages. What memory still has to say of earlier ones must not be written, nor
/// read: the rows that it would be taken off are swept.
fn count_from(connection: &Connection, oldest_kept: Timestamp) -> Result<u64, StoreError> {
    let oldest: Option<Vec<u8>> = connection
        .prepare_cached("SELECT substr(header, 1, ?1) FROM message ORDER BY id LIMIT 1")?
        .query_row([CREATED_AT_BYTES as i64], |row| row.get(0))
        .optional()?;
    let oldest = oldest.map(|header| decode_created_at(&header)).transpose()?;
    let from = minute_of(oldest.map_or(oldest_kept, |oldest| oldest.min(oldest_kept)));
    if from as i64 > meta::number(connection, meta::COUNTED_FROM)? {
        meta::set(connection, meta::COUNTED_FROM, from as i64)?;
    }
    Ok(from)
}

/// Returns how many.
fn forget_answers(connection: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let until = now - limits::IDEMPOTENCY_WINDOW;
    Ok(connection
        .prepare_cached("DELETE FROM kept_answer WHERE key IN (SELECT key FROM kept_answer WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2)")?
        .execute(params![until.unix_ms() as i64, SWEPT_ROWS_MAX])?)
}

/// How far the sweep of the lists has come; one pass after the other, with a pause.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    list: (i64, i64),
    counter: i64,
    receipt_counter: i64,
    added_target: i64,
    usage: i64,
    gone: i64,
    pause_until: Timestamp,
}

const SWEEP_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Some rows of everything else that is past its time.
fn sweep(context: &mut WriteContext<'_>, kept: Kept, (counted_from, usage_from_s): (u64, u64), now: Timestamp) -> Result<(), StoreError> {
    let connection = context.connection;
    connection.prepare_cached("DELETE FROM revocation WHERE forget_at_ms <= ?1")?.execute([now.unix_ms() as i64])?;

    let mut sweep = context.shared.sweep.lock();
    if now < sweep.pause_until {
        return Ok(());
    }
    let bound = RowId::first_at(kept.messages_from).as_i64();
    let lists_left = sweep_lists(connection, &mut sweep.list, bound, RowId::first_at(kept.receipts_from).as_i64())?;
    let counters_left = sweep_owners(connection, ("counter", "endpoint", "minute"), &mut sweep.counter, counted_from as i64)?;
    let minute = minute_of(kept.receipts_from) as i64;
    let receipts_left = sweep_owners(connection, ("receipt_counter", "source", "minute"), &mut sweep.receipt_counter, minute)?;
    let gone_left = sweep_gone(connection, &mut sweep.gone)?;
    let targets_left = sweep_owners(connection, ("added_target", "endpoint", "message"), &mut sweep.added_target, bound)?;
    let usage_left = sweep_owners(connection, ("usage", "application", "at_s"), &mut sweep.usage, usage_from_s as i64)?;
    let fine_left = usage::fold(connection, SWEPT_ROWS_MAX)?;
    if !(lists_left || counters_left || receipts_left || targets_left || gone_left || usage_left || fine_left) {
        *sweep = Sweep { pause_until: now + SWEEP_PAUSE, ..Sweep::default() };
    }
    Ok(())
}

/// Each returns whether the pass goes on.
fn sweep_lists(connection: &Connection, cursor: &mut (i64, i64), messages: i64, receipts: i64) -> Result<bool, StoreError> {
    let mut next =
        connection.prepare_cached("SELECT kind, owner FROM posting WHERE (kind, owner) > (?1, ?2) ORDER BY kind, owner LIMIT 1")?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM posting WHERE kind = ?1 AND owner = ?2 AND first_id IN (
             SELECT first_id FROM posting WHERE kind = ?1 AND owner = ?2 AND first_id < ?3 AND last_id < ?3 ORDER BY first_id LIMIT ?4)",
    )?;
    let mut left = SWEPT_ROWS_MAX;
    for _ in 0..SWEPT_ROWS_MAX {
        let Some(owner): Option<(i64, i64)> = next.query_row(*cursor, |row| Ok((row.get(0)?, row.get(1)?))).optional()? else {
            return Ok(false);
        };
        let bound = if owner.0 == ListKind::ReceiptsOfSource as i64 { receipts } else { messages };
        left -= delete.execute(params![owner.0, owner.1, bound, left])? as i64;
        if left == 0 {
            // This owner may have more.
            break;
        }
        *cursor = owner;
    }
    Ok(true)
}

/// What deleted endpoints left in the order of time. That they are deleted is remembered for ever: a few bytes each.
fn sweep_gone(connection: &Connection, cursor: &mut i64) -> Result<bool, StoreError> {
    let mut next = connection.prepare_cached("SELECT endpoint FROM endpoint_gone WHERE endpoint > ?1 ORDER BY endpoint LIMIT 1")?;
    let mut due = connection.prepare_cached("SELECT at_ms, message, trigger FROM due WHERE endpoint = ?1 LIMIT ?2")?;
    for _ in 0..SWEPT_ROWS_MAX {
        let Some(raw): Option<i64> = next.query_row([*cursor], |row| row.get(0)).optional()? else { return Ok(false) };
        let rows: Vec<(i64, i64, u8)> =
            due.query_map([raw, SWEPT_ROWS_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
        for &(at_ms, message, trigger) in &rows {
            let key = DeliveryKey { message: message_id(message), endpoint: endpoint_id(raw) };
            delete_due(connection, key, time(at_ms), trigger_of_number(trigger)?)?;
            delete_manual(connection, key)?;
        }
        if !rows.is_empty() {
            return Ok(true);
        }
        *cursor = raw;
    }
    Ok(true)
}

fn sweep_owners(
    connection: &Connection,
    (table, owner, column): (&str, &str, &str),
    cursor: &mut i64,
    bound: i64,
) -> Result<bool, StoreError> {
    let mut next = connection.prepare_cached(&format!("SELECT {owner} FROM {table} WHERE {owner} > ?1 ORDER BY {owner} LIMIT 1"))?;
    let mut delete = connection.prepare_cached(&format!(
        "DELETE FROM {table} WHERE {owner} = ?1 AND {column} IN (
             SELECT {column} FROM {table} WHERE {owner} = ?1 AND {column} < ?2 ORDER BY {column} LIMIT ?3)"
    ))?;
    let mut left = SWEPT_ROWS_MAX;
    for _ in 0..SWEPT_ROWS_MAX {
        let Some(raw) = next.query_row([*cursor], |row| row.get(0)).optional()? else { return Ok(false) };
        left -= delete.execute(params![raw, bound, left])? as i64;
        // Of one span and several event types all go at once.
        if left <= 0 {
            // This owner may have more.
            break;
        }
        *cursor = raw;
    }
    Ok(true)
}
