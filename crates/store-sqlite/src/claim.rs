//! Claiming what waits on disk: what is due, then the backlog.
//!
//! A claim runs on a reading thread and writes nothing. Candidates are leased first and looked at afterwards: whatever was recorded before the lease is
//! in the snapshot that is read after it, and nothing can be recorded while the lease holds. What then turns out to be done is dropped, what
//! does not fit is put back.

use std::collections::VecDeque;
use std::sync::Arc;

use hookpost_domain::{DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Progress, RowId, Timestamp, Trigger};
use hookpost_store::queue::ClaimRequest;
use hookpost_store::{Claimed, LeaseId, LeasedDelivery};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::leases::{Candidate, Confirmed, Origin};
use crate::messages;
use crate::posting::{self, Span};
use crate::shared::Shared;
use crate::tail::ListKind;
use hookpost_store::codec::{decode_delivery_state, message_id, time, trigger_number, trigger_of_number};

/// Candidates that are looked at together.
const CHUNK_CANDIDATES_MAX: usize = 256;
/// Enough to get past what is done already.
const CHUNK_CANDIDATES_MIN: usize = 16;
/// Due rows that an ordered claim takes into memory: in an ordered lane there is rarely more than one, but it may have become ordered only now.
#[cfg(not(test))]
const ORDERED_DUE_ROWS_MAX: usize = 20_000;
#[cfg(test)]
const ORDERED_DUE_ROWS_MAX: usize = 4;

pub(crate) fn claim(connection: &Connection, shared: &Shared, request: ClaimRequest, now: Timestamp) -> Result<Claimed, StoreError> {
    if shared.leases.lock().is_gone(request.endpoint) {
        return Ok(Claimed::default());
    }
    let mut claim = Claim { connection, shared, request, now, claimed: Claimed::default(), bytes: 0 };
    let outcome = if request.ordered { claim.ordered() } else { claim.unordered() };
    // What is left of the backlog may be none any more: attempted by hand, or put back unseen.
    let outcome = outcome.and_then(|()| settle_backlog(connection, shared, request.endpoint));
    let outcome = outcome.and_then(|()| next_due(connection, shared, request.endpoint, Some(now)));
    match outcome {
        Ok(next_due) => Ok(Claimed { next_due, ..claim.claimed }),
        Err(error) => {
            let mut leases = shared.leases.lock();
            for delivery in claim.claimed.deliveries {
                leases.release(delivery.key, delivery.lease);
            }
            Err(error)
        }
    }
}

struct Claim<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    request: ClaimRequest,
    now: Timestamp,
    claimed: Claimed,
    bytes: usize,
}

/// A piece of the backlog: candidates from a cursor on, and whether the list ends with them.
struct Piece {
    from: MessageId,
    candidates: Vec<Candidate>,
    ended: bool,
}

impl Claim<'_> {
    fn unordered(&mut self) -> Result<(), StoreError> {
        let mut after = (0, 0, 0);
        while !self.claimed.more {
            let due = self.due_rows(&mut after)?;
            if due.is_empty() {
                break;
            }
            self.take(due, None)?;
        }
        while !self.claimed.more {
            let Some(piece) = self.backlog_piece()? else { break };
            let last = piece.candidates.last().map(|candidate| candidate.message);
            let passed = last.map(|last| (piece.from, last));
            if self.take(piece.candidates, passed)? && piece.ended && !self.claimed.more {
                let from = last.map_or(piece.from, |last| MessageId::from_row(RowId::from_raw(last.row().raw() + 1)));
                self.shared.leases.lock().close_backlog(self.request.endpoint, from);
            }
        }
        Ok(())
    }

    /// Attempts by hand when they are due; then due and backlog in the order of the messages, up to the one that holds the lane up.
    fn ordered(&mut self) -> Result<(), StoreError> {
        let by_hand = self.ordered_due_rows(Trigger::Manual, "at_ms, message")?;
        let mut scheduled = self.ordered_due_rows(Trigger::Scheduled, "message")?;
        // Nothing behind the last of them may go before those that are not among them.
        let cut_off = scheduled.len() == ORDERED_DUE_ROWS_MAX;
        self.claimed.held_by = self.oldest_in_retry()?;
        let allowed = |message: MessageId, held_by: Option<MessageId>| held_by.is_none_or(|older| message < older);
        scheduled.retain(|candidate| allowed(candidate.message, self.claimed.held_by));

        for chunk in by_hand.chunks(CHUNK_CANDIDATES_MAX) {
            if self.claimed.more {
                return Ok(());
            }
            self.take(chunk.to_vec(), None)?;
        }
        let mut scheduled = VecDeque::from(scheduled);
        while !self.claimed.more {
            if cut_off && scheduled.is_empty() {
                self.claimed.more = true;
                return Ok(());
            }
            let piece = self.backlog_piece()?;
            let from = piece.as_ref().map(|piece| piece.from);
            let ended = piece.as_ref().is_none_or(|piece| piece.ended);
            let waiting = piece.map(|piece| piece.candidates).unwrap_or_default();
            let held = waiting.iter().any(|candidate| !allowed(candidate.message, self.claimed.held_by));
            let mut waiting: VecDeque<_> =
                waiting.into_iter().filter(|candidate| allowed(candidate.message, self.claimed.held_by)).collect();
            let end_of_piece = waiting.back().map(|candidate| candidate.message);
            let mut merged = Vec::new();
            loop {
                // Behind the end of the piece there may be older backlog than what is due next.
                let due_next = scheduled.front().filter(|due| ended || held || end_of_piece.is_some_and(|end| due.message < end));
                match (due_next, waiting.front()) {
                    (Some(due), Some(backlog)) if due.message <= backlog.message => merged.extend(scheduled.pop_front()),
                    (_, Some(_)) => merged.extend(waiting.pop_front()),
                    (Some(_), None) => merged.extend(scheduled.pop_front()),
                    (None, None) => break,
                }
            }
            if merged.is_empty() {
                if ended
                    && !held
                    && let Some(from) = from
                {
                    self.shared.leases.lock().close_backlog(self.request.endpoint, from);
                }
                return Ok(());
            }
            let again: Vec<_> = merged.iter().filter(|candidate| candidate.origin != Origin::Backlog).copied().collect();
            if !self.take(merged, from.zip(end_of_piece))? {
                again.into_iter().rev().for_each(|candidate| scheduled.push_front(candidate));
            }
        }
        Ok(())
    }

    fn ordered_due_rows(&self, trigger: Trigger, order: &str) -> Result<Vec<Candidate>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT at_ms, message, trigger FROM due WHERE endpoint = ?1 AND at_ms <= ?2 AND trigger = ?3 ORDER BY {order} LIMIT ?4"
        ))?;
        let (endpoint, now_ms) = (self.request.endpoint.row().as_i64(), self.now.unix_ms() as i64);
        let rows = statement.query_map(params![endpoint, now_ms, trigger_number(trigger), ORDERED_DUE_ROWS_MAX as i64], due_candidate)?;
        rows.collect::<Result<Result<Vec<_>, _>, _>>()?
    }

    /// The next due rows after a place in their order.
    fn due_rows(&self, after: &mut (i64, i64, u8)) -> Result<Vec<Candidate>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT at_ms, message, trigger FROM due
             WHERE endpoint = ?1 AND at_ms <= ?2 AND (at_ms, message, trigger) > (?3, ?4, ?5) ORDER BY at_ms, message, trigger LIMIT ?6",
        )?;
        let rows = statement.query_map(
            params![
                self.request.endpoint.row().as_i64(),
                self.now.unix_ms() as i64,
                after.0,
                after.1,
                after.2,
                self.request.limit.saturating_add(1).clamp(CHUNK_CANDIDATES_MIN, CHUNK_CANDIDATES_MAX) as i64
            ],
            due_candidate,
        )?;
        let candidates = rows.collect::<Result<Result<Vec<_>, _>, _>>()??;
        if let Some(Candidate { message, origin: Origin::Due { at }, trigger }) = candidates.last() {
            *after = (at.unix_ms() as i64, message.row().as_i64(), trigger_number(*trigger));
        }
        Ok(candidates)
    }

    /// `None`: there is no backlog.
    fn backlog_piece(&self) -> Result<Option<Piece>, StoreError> {
        let Some(from) = self.shared.leases.lock().backlog_from(self.request.endpoint) else { return Ok(None) };
        let count =
            (self.request.limit - self.claimed.deliveries.len()).saturating_add(1).clamp(CHUNK_CANDIDATES_MIN, CHUNK_CANDIDATES_MAX);
        let span = Span { lowest: from.row().raw(), ..Span::ALL };
        let kind = ListKind::MessagesOfEndpoint;
        let entries = posting::ascending(self.connection, &self.shared.tails, kind, self.request.endpoint.row().raw(), span, count)?;
        let ended = entries.len() < count;
        let candidate = |entry: (u64, u64)| Candidate {
            message: MessageId::from_row(RowId::from_raw(entry.0)),
            origin: Origin::Backlog,
            trigger: Trigger::Scheduled,
        };
        Ok(Some(Piece { from, candidates: entries.into_iter().map(candidate).collect(), ended }))
    }

    /// Leases those of the candidates that may be attempted, until the claim is full; then looks for one more. `false`: the backlog was lowered, and nothing
    /// was taken.
    fn take(&mut self, candidates: Vec<Candidate>, passed: Option<(MessageId, MessageId)>) -> Result<bool, StoreError> {
        let endpoint = self.request.endpoint;
        let Some(reserved) = self.shared.leases.lock().reserve(endpoint, candidates, passed) else { return Ok(false) };
        let looked_at = self.look_at_reserved(&reserved);
        let (seen, outcome) = match &looked_at {
            Ok(seen) => (seen.as_slice(), Ok(true)),
            Err(_) => (&[] as &[Seen], looked_at.map(|_| true)),
        };
        let mut leases = self.shared.leases.lock();
        for (index, &(candidate, lease)) in reserved.iter().enumerate() {
            let key = DeliveryKey { message: candidate.message, endpoint };
            match seen.get(index) {
                Some(Seen::Taken(confirmed)) => leases.confirm(key, lease, *confirmed),
                Some(Seen::Done) => leases.drop_reservation(key, lease),
                // As they were before. What is due stands in its table; what waits for its first attempt must be found again.
                Some(Seen::NotTaken { waits: false }) => leases.drop_reservation(key, lease),
                Some(Seen::NotTaken { waits: true }) => leases.release(key, lease),
                None if candidate.origin == Origin::Backlog || candidate.trigger == Trigger::Manual => leases.release(key, lease),
                None => leases.drop_reservation(key, lease),
            }
        }
        outcome
    }

    /// In the order of the candidates.
    fn look_at_reserved(&mut self, reserved: &[(Candidate, LeaseId)]) -> Result<Vec<Seen>, StoreError> {
        let snapshot = self.connection.unchecked_transaction()?;
        let mut seen = Vec::with_capacity(reserved.len());
        for &(candidate, lease) in reserved {
            let key = DeliveryKey { message: candidate.message, endpoint: self.request.endpoint };
            if self.claimed.more {
                let waits = match candidate.origin {
                    Origin::Backlog => true,
                    _ => candidate.trigger == Trigger::Manual && is_pending(delivery_state(&snapshot, key)?),
                };
                seen.push(Seen::NotTaken { waits });
                continue;
            }
            let Some((message, state, progress, has_row)) = look_at(&snapshot, candidate, key)? else {
                seen.push(Seen::Done);
                continue;
            };
            if self.is_full() {
                self.claimed.more = true;
                seen.push(Seen::NotTaken { waits: state == DeliveryState::Pending });
                continue;
            }
            let (application, created_at) = (message.application, message.created_at);
            seen.push(Seen::Taken(Confirmed { created_at, state, progress, has_row }));
            self.bytes += message.content.payload.as_ref().map_or(0, |payload| payload.len());
            let trigger = candidate.trigger;
            self.claimed.deliveries.push(LeasedDelivery { key, lease, application, message, state, progress, trigger });
        }
        Ok(seen)
    }

    fn is_full(&self) -> bool {
        let count = self.claimed.deliveries.len();
        count >= self.request.limit || count > 0 && self.bytes >= self.request.bytes_max
    }

    fn oldest_in_retry(&self) -> Result<Option<MessageId>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.message, d.data FROM due JOIN delivery d ON d.message = due.message AND d.endpoint = due.endpoint
             WHERE due.endpoint = ?1 AND due.at_ms > ?2 AND due.trigger = 0 ORDER BY due.message",
        )?;
        let mut rows = statement.query(params![self.request.endpoint.row().as_i64(), self.now.unix_ms() as i64])?;
        while let Some(row) = rows.next()? {
            let message = message_id(row.get(0)?);
            let (_, progress) = decode_delivery_state(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let is_leased = || self.shared.leases.lock().is_leased(DeliveryKey { message, endpoint: self.request.endpoint });
            if progress.scheduled_attempts > 0 && !is_leased() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

/// What became of a reserved candidate.
enum Seen {
    Taken(Confirmed),
    /// Not to be attempted (any more).
    Done,
    /// The claim was full. `waits`: for its first attempt.
    NotTaken {
        waits: bool,
    },
}

fn is_pending(row: Option<(DeliveryState, Progress)>) -> bool {
    matches!(row, None | Some((DeliveryState::Pending, _)))
}

type LookedAt = (Arc<Message>, DeliveryState, Progress, bool);

/// What a reserved candidate is now; `None` if it is not to be attempted (any more).
fn look_at(connection: &Connection, candidate: Candidate, key: DeliveryKey) -> Result<Option<LookedAt>, StoreError> {
    let row = delivery_state(connection, key)?;
    let wanted = match (candidate.origin, candidate.trigger) {
        (Origin::Due { at }, Trigger::Manual) => manual_at(connection, key)? == Some(at),
        (Origin::Due { at }, Trigger::Scheduled) => matches!(row, Some((DeliveryState::Waiting { at: own }, _)) if own == at),
        _ => is_pending(row),
    };
    if !wanted {
        return Ok(None);
    }
    let Some(message) = messages::load(connection, key.message)? else { return Ok(None) };
    let (state, progress) = row.unwrap_or((DeliveryState::Pending, Progress::default()));
    Ok(Some((Arc::new(message), state, progress, row.is_some())))
}

pub(crate) fn delivery_state(connection: &Connection, key: DeliveryKey) -> Result<Option<(DeliveryState, Progress)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM delivery WHERE message = ?1 AND endpoint = ?2")?;
    let mut rows = statement.query(params![key.message.row().as_i64(), key.endpoint.row().as_i64()])?;
    match rows.next()? {
        Some(row) => Ok(Some(decode_delivery_state(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?)),
        None => Ok(None),
    }
}

/// When an attempt by hand is asked for.
pub(crate) fn manual_at(connection: &Connection, key: DeliveryKey) -> Result<Option<Timestamp>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT at_ms FROM manual WHERE message = ?1 AND endpoint = ?2")?
        .query_row(params![key.message.row().as_i64(), key.endpoint.row().as_i64()], |row| Ok(time(row.get(0)?)))
        .optional()?)
}

fn due_candidate(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Candidate, StoreError>> {
    let (at, message) = (time(row.get(0)?), message_id(row.get(1)?));
    let trigger = trigger_of_number(row.get(2)?).map_err(StoreError::from);
    Ok(trigger.map(|trigger| Candidate { message, origin: Origin::Due { at }, trigger }))
}

/// When the first unleased delivery of an endpoint is due, after `later_than` or at all.
pub(crate) fn next_due(
    connection: &Connection,
    shared: &Shared,
    endpoint: EndpointId,
    later_than: Option<Timestamp>,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT at_ms, message FROM due WHERE endpoint = ?1 AND at_ms > ?2 ORDER BY at_ms, message")?;
    let bound = later_than.map_or(-1, |time| time.unix_ms() as i64);
    let mut rows = statement.query(params![endpoint.row().as_i64(), bound])?;
    while let Some(row) = rows.next()? {
        let key = DeliveryKey { message: message_id(row.get(1)?), endpoint };
        if !shared.leases.lock().is_leased(key) {
            return Ok(Some(time(row.get(0)?)));
        }
    }
    Ok(None)
}

/// Brings the cursor of a backlog to the first message that really waits, or ends the backlog.
pub(crate) fn settle_backlog(connection: &Connection, shared: &Shared, endpoint: EndpointId) -> Result<(), StoreError> {
    // Mostly the first that stands there waits.
    let mut count = CHUNK_CANDIDATES_MIN;
    loop {
        let Some(from) = shared.leases.lock().backlog_from(endpoint) else { return Ok(()) };
        let span = Span { lowest: from.row().raw(), ..Span::ALL };
        let kind = ListKind::MessagesOfEndpoint;
        let entries = posting::ascending(connection, &shared.tails, kind, endpoint.row().raw(), span, count)?;
        let snapshot = connection.unchecked_transaction()?;
        let mut rows = Vec::new();
        for &(raw, _) in &entries {
            let message = MessageId::from_row(RowId::from_raw(raw));
            let key = DeliveryKey { message, endpoint };
            let waits = match delivery_state(&snapshot, key)? {
                None => messages::exists(&snapshot, message)?,
                Some((state, _)) => state == DeliveryState::Pending,
            };
            rows.push((message, !waits));
            if waits && !shared.leases.lock().is_leased(key) {
                break;
            }
        }
        drop(snapshot);
        if !shared.leases.lock().pass_over(endpoint, from, &rows) {
            return Ok(());
        }
        if entries.len() < count && rows.len() == entries.len() {
            let behind = rows.last().map_or(from, |(last, _)| MessageId::from_row(RowId::from_raw(last.row().raw() + 1)));
            shared.leases.lock().close_backlog(endpoint, behind);
            return Ok(());
        }
        count = CHUNK_CANDIDATES_MAX;
    }
}
