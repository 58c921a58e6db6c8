//! What happened: lists, states, counts. All of it is read on the reading threads.

mod feed;

use async_trait::async_trait;
use hookpost_domain::id::MessageKind;
use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::{
    ApplicationId, AttemptId, Delivery, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Progress, Reason, Receipt, ReceiptId,
    RowId, SourceId, Timestamp, limits,
};
use hookpost_store::history::{
    AttemptFilter, DeliveryFilter, EndpointCounts, Feed, FeedLimits, Forgotten, MessageFilter, ReceiptCounts, ReceiptFilter,
    RetentionPolicy, ScannedPage, StoredAttempt,
};
use hookpost_store::page::Walk;
use hookpost_store::usage::Usage;
use hookpost_store::{History, Listed, PageRequest, Reference, Unavailable};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::SqliteStore;
use crate::command::{Failed, Written};
use crate::error::StoreError;
use crate::posting::{self, Span};
use crate::shared::Shared;
use crate::tail::{Counter, Counts, Entry, ListKind, minute_of};
use crate::{counters, messages, receipts, retention, usage};
use hookpost_store::codec::{self, decode_attempt, decode_delivery, encode_delivery, endpoint_id, message_id};

/// Ids that are read from a list at a time.
const CHUNK: usize = 256;

#[async_trait]
impl History for SqliteStore {
    async fn feed(&self, application: ApplicationId, after: Option<MessageId>, limits: FeedLimits) -> Result<Feed, Unavailable> {
        self.read(move |connection, shared| feed::read(connection, shared, application, after, limits)).await
    }

    async fn usage(&self, application: ApplicationId, since: Timestamp, until: Timestamp) -> Result<Vec<Usage>, Unavailable> {
        self.read(move |connection, shared| usage::of_application(shared, connection, application, since, until)).await
    }

    async fn message(&self, application: ApplicationId, reference: Reference<'_, MessageKind>) -> Result<Option<Message>, Unavailable> {
        let event_id = match reference {
            Reference::Id(id) => Err(id),
            Reference::Uid(uid) => Ok(uid.to_owned()),
        };
        self.read(move |connection, _| {
            let id = match event_id {
                Err(id) => Some(id),
                Ok(event_id) => connection
                    .prepare_cached("SELECT message FROM event_id WHERE application = ?1 AND event_id = ?2")?
                    .query_row(params![application.row().as_i64(), event_id], |row| Ok(message_id(row.get(0)?)))
                    .optional()?,
            };
            let message = id.map(|id| messages::load(connection, id)).transpose()?.flatten();
            Ok(message.filter(|message| message.application == application))
        })
        .await
    }

    async fn messages(
        &self,
        application: ApplicationId,
        filter: MessageFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<Message, MessageId>, Unavailable> {
        self.read(move |connection, shared| {
            let ids = Ids { connection, shared, kind: ListKind::MessagesOfApplication, owner: application.row() };
            scan(&page, (MessageId::row, MessageId::from_row), ids, |(id, _)| {
                let id = MessageId::from_row(RowId::from_raw(id));
                let Some(header) = messages::load_header(connection, id)? else { return Ok(None) };
                if filter.matches(&header) { messages::load(connection, id) } else { Ok(None) }
            })
        })
        .await
    }

    async fn delivery(&self, key: DeliveryKey) -> Result<Option<Delivery>, Unavailable> {
        self.read(move |connection, shared| {
            let row = crate::claim::delivery_state(connection, key)?;
            let is_routed = row.is_some()
                || messages::load_header(connection, key.message)?
                    .is_some_and(|message| message.content.routing.targets.contains(&key.endpoint));
            Ok(is_routed.then(|| as_seen(shared, key, row)))
        })
        .await
    }

    async fn deliveries_of_message(&self, message: MessageId, page: PageRequest<EndpointId>) -> Result<Listed<Delivery>, Unavailable> {
        self.read(move |connection, shared| {
            let snapshot = connection.unchecked_transaction()?;
            let mut rows = std::collections::BTreeMap::new();
            if let Some(header) = messages::load_header(&snapshot, message)? {
                rows.extend(header.content.routing.targets.iter().map(|endpoint| (*endpoint, None)));
            }
            let mut statement = snapshot.prepare_cached("SELECT endpoint, data FROM delivery WHERE message = ?1")?;
            let mut found = statement.query([message.row().as_i64()])?;
            while let Some(row) = found.next()? {
                let state = hookpost_store::codec::decode_delivery_state(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
                rows.insert(endpoint_id(row.get(0)?), Some(state));
            }
            let rows = rows.into_iter().map(|(endpoint, row)| (endpoint, as_seen(shared, DeliveryKey { message, endpoint }, row)));
            Ok(page.cut(rows))
        })
        .await
    }

    async fn messages_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: DeliveryFilter,
        page: PageRequest<MessageId>,
    ) -> Result<ScannedPage<(Message, Delivery), MessageId>, Unavailable> {
        self.read(move |connection, shared| {
            let ids = Ids { connection, shared, kind: ListKind::MessagesOfEndpoint, owner: endpoint.row() };
            scan(&page, (MessageId::row, MessageId::from_row), ids, |(id, _)| {
                let id = MessageId::from_row(RowId::from_raw(id));
                let key = DeliveryKey { message: id, endpoint };
                let Some(header) = messages::load_header(connection, id)? else { return Ok(None) };
                let delivery = as_seen(shared, key, crate::claim::delivery_state(connection, key)?);
                if !filter.matches(&header, &delivery) {
                    return Ok(None);
                }
                Ok(messages::load(connection, id)?.map(|message| (message, delivery)))
            })
        })
        .await
    }

    async fn attempt(&self, message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, Unavailable> {
        self.read(move |connection, _| Ok(attempts_of(connection, message, None)?.into_iter().find(|attempt| attempt.id == id))).await
    }

    async fn attempts_of_message(
        &self,
        message: MessageId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        self.read(move |connection, _| {
            let Some(header) = messages::load_header(connection, message)? else {
                return Ok(ScannedPage { items: Vec::new(), done: true, next: None });
            };
            let attempts = attempts_of(connection, message, filter.endpoint)?;
            let rows = attempts.into_iter().map(|attempt| (attempt.id, attempt));
            Ok(page.scan(rows, limits::PAGE_ROWS_SCANNED_MAX, |attempt| filter.matches(&header, attempt)))
        })
        .await
    }

    async fn attempts_of_endpoint(
        &self,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: PageRequest<AttemptId>,
    ) -> Result<ScannedPage<StoredAttempt, AttemptId>, Unavailable> {
        self.read(move |connection, shared| {
            let ids = Ids { connection, shared, kind: ListKind::AttemptsOfEndpoint, owner: endpoint.row() };
            scan(&page, (AttemptId::row, AttemptId::from_row), ids, |(id, message)| {
                let (id, message) = (AttemptId::from_row(RowId::from_raw(id)), MessageId::from_row(RowId::from_raw(message)));
                let Some(header) = messages::load_header(connection, message)? else { return Ok(None) };
                let attempt = one_attempt(connection, DeliveryKey { message, endpoint }, id)?;
                Ok(attempt.filter(|attempt| filter.matches(&header, attempt)))
            })
        })
        .await
    }

    async fn endpoint_counts(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Result<EndpointCounts, Unavailable> {
        self.read(move |connection, shared| {
            let until_minute = until.unix_ms().div_ceil(60_000);
            let Counts(counts) =
                counters::of_owner(shared, connection, Counter::DeliveriesOfEndpoint, endpoint.row(), minute_of(since)..until_minute)?;
            let [pending, sending, success, fail, canceled] = counts.map(|count| u64::try_from(count).unwrap_or_default());
            // What a deleted endpoint left open has ended with it.
            Ok(if shared.leases.lock().is_gone(endpoint) {
                EndpointCounts { success, pending: 0, sending: 0, fail, canceled: canceled + pending + sending }
            } else {
                EndpointCounts { success, pending, sending, fail, canceled }
            })
        })
        .await
    }

    async fn receipt(&self, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, Unavailable> {
        self.read(move |connection, _| receipts::load(connection, source, id)).await
    }

    async fn receipts(
        &self,
        source: SourceId,
        filter: ReceiptFilter,
        page: PageRequest<ReceiptId>,
    ) -> Result<ScannedPage<Receipt, ReceiptId>, Unavailable> {
        self.read(move |connection, shared| receipts::list(connection, shared, source, &filter, &page)).await
    }

    async fn receipt_counts(&self, source: SourceId, since: Timestamp, until: Timestamp) -> Result<ReceiptCounts, Unavailable> {
        self.read(move |connection, shared| {
            let minutes = minute_of(since)..until.unix_ms().div_ceil(60_000);
            let Counts(counts) = counters::of_owner(shared, connection, Counter::ReceiptsOfSource, source.row(), minutes)?;
            let mut found = ReceiptCounts::default();
            for verdict in VerdictKind::ALL {
                *found.of_mut(verdict) = u64::try_from(counts[usize::from(codec::verdict_number(verdict))]).unwrap_or_default();
            }
            Ok(found)
        })
        .await
    }

    async fn expunge_message(&self, application: ApplicationId, message: MessageId) -> Result<bool, Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> {
                let changed = context
                    .connection
                    .prepare_cached("UPDATE message SET payload = NULL WHERE id = ?1 AND application = ?2")?
                    .execute(params![message.row().as_i64(), application.row().as_i64()])?;
                Ok(Written::new(changed > 0))
            })
            .await
    }

    async fn expunge_attempt(&self, message: MessageId, id: AttemptId) -> Result<bool, Unavailable> {
        self.shared
            .write(move |context| -> Result<_, Failed<Unavailable>> { Ok(Written::new(expunge_attempt(context.connection, message, id)?)) })
            .await
    }

    async fn forget(&self, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, Unavailable> {
        retention::forget(self, policy, now).await
    }
}

/// A delivery as it is shown: without a row it is pending, and what a deleted endpoint left open has ended.
fn as_seen(shared: &Shared, key: DeliveryKey, row: Option<(DeliveryState, Progress)>) -> Delivery {
    let (mut state, progress) = row.unwrap_or((DeliveryState::Pending, Progress::default()));
    if !state.is_final() && shared.leases.lock().is_gone(key.endpoint) {
        state = DeliveryState::Canceled { reason: Reason::EndpointDeleted };
    }
    Delivery { key, state, progress }
}

/// A list of ids, in pieces.
#[derive(Clone, Copy)]
pub(crate) struct Ids<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) shared: &'a Shared,
    pub(crate) kind: ListKind,
    pub(crate) owner: RowId,
}

impl Ids<'_> {
    fn next(&self, span: Span, ascending: bool, count: usize) -> Result<Vec<Entry>, StoreError> {
        let read = if ascending { posting::ascending } else { posting::descending };
        let mut entries = read(self.connection, &self.shared.tails, self.kind, self.owner.raw(), span, count)?;
        if self.kind == ListKind::MessagesOfEndpoint {
            // The few that were sent there later, out of the order in which they came.
            let sql = if ascending {
                "SELECT message FROM added_target WHERE endpoint = ?1 AND message >= ?2 AND message <= ?3 ORDER BY message LIMIT ?4"
            } else {
                "SELECT message FROM added_target WHERE endpoint = ?1 AND message >= ?2 AND message <= ?3 ORDER BY message DESC LIMIT ?4"
            };
            let mut statement = self.connection.prepare_cached(sql)?;
            let bounds = params![self.owner.as_i64(), span.lowest as i64, span.highest as i64, count as i64];
            let added: Vec<Entry> = statement.query_map(bounds, |row| Ok((row.get::<_, i64>(0)? as u64, 0)))?.collect::<Result<_, _>>()?;
            if !added.is_empty() {
                entries.extend(added);
                entries.sort_unstable();
                if !ascending {
                    entries.reverse();
                }
                entries.truncate(count);
            }
        }
        Ok(entries)
    }
}

/// Looks through a list from the cursor on, until the page is full or so many were looked at that it is better to answer.
pub(crate) fn scan<T, C: Clone>(
    page: &PageRequest<C>,
    (row, cursor_of): (impl Fn(C) -> RowId, impl Fn(RowId) -> C),
    ids: Ids<'_>,
    mut load_matching: impl FnMut(Entry) -> Result<Option<T>, StoreError>,
) -> Result<ScannedPage<T, C>, StoreError> {
    let Walk { from, ascending, count: page_and_one } = page.walk();
    let mut span = Span::ALL;
    if let Some(from) = from {
        let from = row(from).raw();
        if ascending { span.lowest = from.saturating_add(1) } else { span.highest = from.saturating_sub(1) }
    }
    let mut found = page.begin_scan(limits::PAGE_ROWS_SCANNED_MAX);
    // One more than the page, to know whether it is the last: often all that is needed.
    let mut count = page_and_one.min(CHUNK);
    loop {
        let entries = ids.next(span, ascending, count)?;
        for &entry in &entries {
            if ascending {
                span.lowest = entry.0 + 1;
            } else {
                span.highest = entry.0.saturating_sub(1);
            }
            if found.look(cursor_of(RowId::from_raw(entry.0)), || load_matching(entry))?.is_break() {
                return Ok(found.end(false));
            }
        }
        if entries.len() < count {
            return Ok(found.end(true));
        }
        count = CHUNK;
    }
}

/// All attempts of a message (at one endpoint, where it is given), oldest first.
fn attempts_of(connection: &Connection, message: MessageId, endpoint: Option<EndpointId>) -> Result<Vec<StoredAttempt>, StoreError> {
    let raw_message = message.row().as_i64();
    let [first, last] = endpoint.map_or([0, i64::MAX], |endpoint| [endpoint.row().as_i64(); 2]);
    let snapshot = connection.unchecked_transaction()?;
    let mut attempts = Vec::new();
    {
        let mut statement =
            snapshot.prepare_cached("SELECT endpoint, data FROM delivery WHERE message = ?1 AND endpoint BETWEEN ?2 AND ?3")?;
        let mut rows = statement.query(params![raw_message, first, last])?;
        while let Some(row) = rows.next()? {
            let key = DeliveryKey { message, endpoint: endpoint_id(row.get(0)?) };
            if let Some((id, attempt)) = decode_delivery(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?.last {
                attempts.push(StoredAttempt { id, key, attempt: decode_attempt(&attempt)? });
            }
        }
        let mut statement =
            snapshot.prepare_cached("SELECT endpoint, id, data FROM attempt WHERE message = ?1 AND endpoint BETWEEN ?2 AND ?3")?;
        let mut rows = statement.query(params![raw_message, first, last])?;
        while let Some(row) = rows.next()? {
            let key = DeliveryKey { message, endpoint: endpoint_id(row.get(0)?) };
            let id = AttemptId::from_row(RowId::from_i64(row.get(1)?));
            let attempt = decode_attempt(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
            attempts.push(StoredAttempt { id, key, attempt });
        }
    }
    attempts.sort_unstable_by_key(|attempt| attempt.id);
    Ok(attempts)
}

fn one_attempt(connection: &Connection, key: DeliveryKey, id: AttemptId) -> Result<Option<StoredAttempt>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let (raw_message, raw_endpoint) = (key.message.row().as_i64(), key.endpoint.row().as_i64());
    let delivery: Option<Vec<u8>> = snapshot
        .prepare_cached("SELECT data FROM delivery WHERE message = ?1 AND endpoint = ?2")?
        .query_row(params![raw_message, raw_endpoint], |row| row.get(0))
        .optional()?;
    let last = delivery.map(|row| decode_delivery(&row)).transpose()?.and_then(|row| row.last);
    let data = match last {
        Some((last_id, data)) if last_id == id => Some(data),
        _ => snapshot
            .prepare_cached("SELECT data FROM attempt WHERE message = ?1 AND endpoint = ?2 AND id = ?3")?
            .query_row(params![raw_message, raw_endpoint, id.row().as_i64()], |row| row.get(0))
            .optional()?,
    };
    data.map(|data| Ok(StoredAttempt { id, key, attempt: decode_attempt(&data)? })).transpose()
}

fn expunge_attempt(connection: &Connection, message: MessageId, id: AttemptId) -> Result<bool, StoreError> {
    let raw_message = message.row().as_i64();
    let deliveries: Vec<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT endpoint, data FROM delivery WHERE message = ?1")?
        .query_map([raw_message], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (raw_endpoint, data) in deliveries {
        let row = decode_delivery(&data)?;
        if let Some((last, attempt)) = row.last.filter(|(last, _)| *last == id) {
            let mut data = Vec::new();
            encode_delivery(row.state, row.progress, Some((last, &codec::expunge_attempt(&attempt)?)), &mut data);
            connection.prepare_cached("UPDATE delivery SET data = ?3 WHERE message = ?1 AND endpoint = ?2")?.execute(params![
                raw_message,
                raw_endpoint,
                data
            ])?;
            return Ok(true);
        }
    }
    let earlier: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT endpoint, data FROM attempt WHERE message = ?1 AND id = ?2")?
        .query_row(params![raw_message, id.row().as_i64()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((raw_endpoint, attempt)) = earlier else { return Ok(false) };
    connection.prepare_cached("UPDATE attempt SET data = ?4 WHERE message = ?1 AND endpoint = ?2 AND id = ?3")?.execute(params![
        raw_message,
        raw_endpoint,
        id.row().as_i64(),
        codec::expunge_attempt(&attempt)?
    ])?;
    Ok(true)
}
