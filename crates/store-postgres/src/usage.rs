//! What was sent, by application, event type and span of time: one row of changes per commit, folded into sums now and then, read as both. Spans of five
//! minutes that are old are added up to hours.

use std::collections::BTreeMap;

use hookpost_domain::{ApplicationId, EventTypeName, Message, Timestamp};
use hookpost_store::usage::{COARSE_S, FINE_FOR_S, FINE_S, Usage, UsageCounts, span_of};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};

use crate::error::StoreError;
use crate::schema::damaged;
use crate::shared::Shared;
use crate::statements::{query, query_one};

/// What one commit adds.
#[derive(Debug, Default)]
pub(crate) struct UsageChanges {
    counts: BTreeMap<(ApplicationId, i32, EventTypeName), UsageCounts>,
}

/// As the columns of a row of `usage_change`.
#[derive(Debug, Default)]
pub(crate) struct UsageColumns<'a> {
    applications: Vec<i64>,
    spans: Vec<i32>,
    event_types: Vec<&'a str>,
    messages: Vec<i32>,
    deliveries: Vec<i32>,
    success: Vec<i32>,
    failure: Vec<i32>,
    canceled: Vec<i32>,
}

const INSERT: &str = "
    INSERT INTO hookpost.usage_change (applications, spans, event_types, messages, deliveries, success, failure, canceled)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const TYPES: [Type; 8] = [
    Type::INT8_ARRAY,
    Type::INT4_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
    Type::INT4_ARRAY,
];

const ADD: &str = "
    ON CONFLICT (application, begin_s, resolution_s, event_type) DO UPDATE
    SET messages = old.messages + excluded.messages, deliveries = old.deliveries + excluded.deliveries,
        success = old.success + excluded.success, failure = old.failure + excluded.failure, canceled = old.canceled + excluded.canceled";

const ROLLED_AT_ONCE: i64 = 2000;

impl UsageChanges {
    pub(crate) fn add(&mut self, application: ApplicationId, event_type: &EventTypeName, at: Timestamp, counts: UsageCounts) {
        if !counts.is_nothing() {
            let span = i32::try_from(span_of(at, FINE_S)).unwrap_or(i32::MAX);
            self.counts.entry((application, span, event_type.clone())).or_default().add(counts);
        }
    }

    pub(crate) fn add_message(&mut self, message: &Message) {
        self.add(message.application, &message.content.event_type, message.created_at, UsageCounts::of_message(message));
    }

    pub(crate) fn columns(&self) -> UsageColumns<'_> {
        let mut columns = UsageColumns::default();
        let number = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
        for ((application, span, event_type), counts) in &self.counts {
            columns.applications.push(application.row().as_i64());
            columns.spans.push(*span);
            columns.event_types.push(event_type.as_str());
            columns.messages.push(number(counts.messages));
            columns.deliveries.push(number(counts.deliveries));
            columns.success.push(number(counts.success));
            columns.failure.push(number(counts.failure));
            columns.canceled.push(number(counts.canceled));
        }
        columns
    }

    /// In the transaction of what it counts.
    pub(crate) async fn insert(&self, transaction: &impl GenericClient) -> Result<(), StoreError> {
        if !self.counts.is_empty() {
            let columns = self.columns();
            let typed: Vec<_> = columns.parameters().into_iter().zip(TYPES).collect();
            transaction.query_typed(INSERT, &typed).await?;
        }
        Ok(())
    }
}

impl UsageColumns<'_> {
    /// In the order of the columns of `usage_change`.
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [&self.applications, &self.spans, &self.event_types, &self.messages, &self.deliveries, &self.success, &self.failure, &self.canceled]
    }
}

/// Adds so many rows of changes to the sums; returns how many there were. In one order everywhere, so that no two nodes wait for each other; rows that
/// another node is folding are left to it.
pub(crate) async fn fold(client: &impl GenericClient, rows_max: i64) -> Result<i64, StoreError> {
    let sql = format!(
        "WITH taken AS (
            DELETE FROM hookpost.usage_change
            WHERE id = ANY(ARRAY(SELECT id FROM hookpost.usage_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
            RETURNING applications, spans, event_types, messages, deliveries, success, failure, canceled
        ),
        folded AS (
            INSERT INTO hookpost.usage_sum AS old
                (application, resolution_s, begin_s, event_type, messages, deliveries, success, failure, canceled)
            SELECT application, {FINE_S}, span::bigint * {FINE_S}, event_type, sum(one.messages), sum(one.deliveries), sum(one.success),
                sum(one.failure), sum(one.canceled)
            FROM taken CROSS JOIN LATERAL
                unnest(applications, spans, event_types, taken.messages, taken.deliveries, taken.success, taken.failure, taken.canceled)
                AS one (application, span, event_type, messages, deliveries, success, failure, canceled)
            GROUP BY application, span, event_type ORDER BY application, span, event_type COLLATE \"C\"
            {ADD}
        )
        SELECT count(*) FROM taken"
    );
    Ok(client.query_one(&sql, &[&rows_max]).await?.try_get(0)?)
}

/// Makes hours of some of the spans that nobody has to tell apart any more; `true`: there may be more.
pub(crate) async fn roll_up(client: &deadpool_postgres::Object, now: Timestamp) -> Result<bool, StoreError> {
    let sql = format!(
        "WITH taken AS (
            DELETE FROM hookpost.usage_sum WHERE (application, resolution_s, begin_s, event_type) IN (
                SELECT application, resolution_s, begin_s, event_type FROM hookpost.usage_sum
                WHERE resolution_s = {FINE_S} AND begin_s < $1 ORDER BY begin_s LIMIT $2 FOR UPDATE SKIP LOCKED)
            RETURNING application, begin_s - begin_s % {COARSE_S} AS hour_s, event_type, messages, deliveries, success, failure, canceled
        ),
        rolled AS (
            INSERT INTO hookpost.usage_sum AS old
                (application, resolution_s, begin_s, event_type, messages, deliveries, success, failure, canceled)
            SELECT application, {COARSE_S}, hour_s, event_type, sum(messages), sum(deliveries), sum(success), sum(failure), sum(canceled)
            FROM taken GROUP BY application, hour_s, event_type ORDER BY application, hour_s, event_type COLLATE \"C\"
            {ADD}
        )
        SELECT count(*) FROM taken"
    );
    let old = now.unix_seconds().saturating_sub(FINE_FOR_S);
    let first_fine_s = (old - old % COARSE_S) as i64;
    let taken: i64 = query_one(client, &sql, &[&first_fine_s, &ROLLED_AT_ONCE]).await?.try_get(0)?;
    Ok(taken == ROLLED_AT_ONCE)
}

/// One statement: what is folded meanwhile is seen on one side or the other.
pub(crate) async fn of_application(
    shared: &Shared,
    application: ApplicationId,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Usage>, StoreError> {
    let sql = format!(
        "SELECT begin_s, event_type, sum(messages)::bigint, sum(deliveries)::bigint, sum(success)::bigint, sum(failure)::bigint,
            sum(canceled)::bigint
        FROM (
            SELECT begin_s, event_type, messages, deliveries, success, failure, canceled FROM hookpost.usage_sum WHERE application = $1
            UNION ALL
            SELECT one.span::bigint * {FINE_S}, one.event_type, one.messages, one.deliveries, one.success, one.failure, one.canceled
            FROM hookpost.usage_change AS change, unnest(applications, spans, event_types, change.messages, change.deliveries,
                change.success, change.failure, change.canceled)
                AS one (application, span, event_type, messages, deliveries, success, failure, canceled)
            WHERE one.application = $1
        ) AS counted
        WHERE begin_s >= $2 AND begin_s < $3 GROUP BY begin_s, event_type ORDER BY begin_s, event_type COLLATE \"C\""
    );
    let second = |time: Timestamp| i64::try_from(time.unix_ms().div_ceil(1000)).unwrap_or(i64::MAX);
    let connection = shared.connections.get().await?;
    let rows = query(&connection, &sql, &[&application.row().as_i64(), &second(since), &second(until)]).await?;
    rows.iter().map(decode).collect()
}

/// Begin, event type, and the counts.
pub(crate) fn decode(row: &Row) -> Result<Usage, StoreError> {
    let begin_s: i64 = row.try_get(0)?;
    let event_type = EventTypeName::parse(row.try_get(1)?).map_err(|_| damaged("what was sent has no event type"))?;
    let count = |column: usize| Ok::<_, StoreError>(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default());
    let counts = UsageCounts { messages: count(2)?, deliveries: count(3)?, success: count(4)?, failure: count(5)?, canceled: count(6)? };
    Ok(Usage { at: Timestamp::from_unix_ms(begin_s.unsigned_abs() * 1000), event_type, counts })
}

/// The first seconds that are kept of spans of five minutes and of hours, where messages from `oldest` on are.
pub(crate) fn first_kept_s(oldest: Timestamp) -> [i64; 2] {
    [FINE_S, COARSE_S].map(|length| (span_of(oldest, length) * length) as i64)
}
