//! What was sent, by application, event type and span of time: the table, and what the tail adds to it.
//!
//! Counts go the way of the other counters: each commit journals what it adds, added up over its messages, and the tail is written to the table in
//! runs. Old fine spans become hours: at once for whoever reads, and in the table piece by piece.

use std::collections::BTreeMap;
use std::time::Duration;

use hookpost_domain::{ApplicationId, EventTypeName, Timestamp};
use hookpost_store::codec::Unreadable;
use hookpost_store::usage::{COARSE_S, FINE_FOR_S, FINE_S, Usage, UsageCounts, span_of};
use rusqlite::{Connection, Row, params};

use crate::counters::of_one_moment;
use crate::error::StoreError;
use crate::schema::meta;
use crate::shared::Shared;
use crate::tail::{Tail, UsageByKey};

/// When a span begins, in seconds, and the event type.
type Spans = BTreeMap<(u64, EventTypeName), UsageCounts>;

pub(crate) fn of_application(
    shared: &Shared,
    connection: &Connection,
    application: ApplicationId,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Usage>, StoreError> {
    let raw = application.row().raw();
    // Whole hours: what is old is of an hour as a whole.
    let hours = hour_of(since.unix_seconds())..hour_of(until.unix_seconds()).saturating_add(COARSE_S);
    let in_tail = |tail: &Tail| -> Spans {
        let own = tail.usage.iter().filter(|((owner, span, _), _)| *owner == raw && hours.contains(&(span * FINE_S)));
        own.map(|((_, span, event_type), counts)| ((span * FINE_S, event_type.clone()), *counts)).collect()
    };
    let in_table = |connection: &Connection| -> Result<Spans, StoreError> {
        let mut statement = connection.prepare_cached(
            "SELECT application, at_s, event_type, messages, deliveries, success, failure, canceled FROM usage
             WHERE application = ?1 AND at_s >= ?2 AND at_s < ?3",
        )?;
        let mut rows = statement.query(params![raw as i64, hours.start as i64, hours.end as i64])?;
        let mut spans = Spans::new();
        while let Some(row) = rows.next()? {
            let StoredUsage { at_s, event_type, counts, .. } = stored(row)?;
            spans.insert((at_s, event_type), counts);
        }
        Ok(spans)
    };
    let found = of_one_moment(shared, connection, raw, in_tail, in_table, |spans, more| {
        more.into_iter().for_each(|(key, counts)| spans.entry(key).or_default().add(counts));
    })?;
    let bounds = Bounds::load(connection)?;
    let mut spans = Spans::new();
    for ((at_s, event_type), counts) in found {
        if let Some(at_s) = bounds.place(at_s) {
            spans.entry((at_s, event_type)).or_default().add(counts);
        }
    }
    let usage = spans.into_iter().map(|((at_s, event_type), counts)| Usage { at: at(at_s), event_type, counts });
    Ok(usage.filter(|usage| (since..until).contains(&usage.at)).collect())
}

/// What is kept, and what is told apart; both only ever rise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    kept_from_s: u64,
    fine_from_s: u64,
}

impl Bounds {
    pub(crate) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let load = |name| meta::number(connection, name).map(|number| number as u64);
        Ok(Self { kept_from_s: load(meta::USAGE_KEPT_FROM)?, fine_from_s: load(meta::USAGE_FINE_FROM)? })
    }

    /// The begin of the span that this counts for now; `None`: it is forgotten.
    pub(crate) fn place(self, at_s: u64) -> Option<u64> {
        let at_s = if at_s < self.fine_from_s { hour_of(at_s) } else { at_s };
        (at_s >= self.kept_from_s).then_some(at_s)
    }
}

/// Whole hours are forgotten and made one; what is of them still in the table goes with the sweep. Returns from when on usage is kept, in seconds.
pub(crate) fn raise_bounds(connection: &Connection, oldest_kept: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    let Bounds { kept_from_s, fine_from_s } = Bounds::load(connection)?;
    let raise = |name, before: u64, time: Timestamp| -> Result<u64, StoreError> {
        let after = hour_of(time.unix_seconds()).max(before);
        if after > before {
            meta::set(connection, name, after as i64)?;
        }
        Ok(after)
    };
    raise(meta::USAGE_FINE_FROM, fine_from_s, now - Duration::from_secs(FINE_FOR_S))?;
    raise(meta::USAGE_KEPT_FROM, kept_from_s, oldest_kept)
}

/// Makes hours of some old fine spans; `true`: there may be more.
pub(crate) fn fold(connection: &Connection, rows_max: i64) -> Result<bool, StoreError> {
    let Bounds { fine_from_s, .. } = Bounds::load(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT application, at_s, event_type, messages, deliveries, success, failure, canceled FROM usage
         WHERE at_s % 3600 <> 0 AND at_s < ?1 ORDER BY at_s LIMIT ?2",
    )?;
    let mut rows = statement.query(params![fine_from_s as i64, rows_max])?;
    let mut fine = Vec::new();
    while let Some(row) = rows.next()? {
        fine.push(stored(row)?);
    }
    let mut delete = connection.prepare_cached("DELETE FROM usage WHERE application = ?1 AND at_s = ?2 AND event_type = ?3")?;
    for one in &fine {
        delete.execute(params![one.application as i64, one.at_s as i64, one.event_type.as_str()])?;
        add(connection, one.application, hour_of(one.at_s), &one.event_type, one.counts)?;
    }
    Ok(fine.len() as i64 == rows_max)
}

/// What of the tail belongs to some applications, in the order of the table. Returns how many rows.
pub(crate) fn write(connection: &Connection, usage: &UsageByKey, wanted: impl Fn(u64) -> bool) -> Result<usize, StoreError> {
    let mut own: Vec<_> = usage.iter().filter(|((application, ..), _)| wanted(*application)).collect();
    own.sort_unstable_by_key(|(key, _)| *key);
    for ((application, span, event_type), counts) in &own {
        add(connection, *application, span * FINE_S, event_type, **counts)?;
    }
    Ok(own.len())
}

pub(crate) fn add(
    connection: &Connection,
    application: u64,
    at_s: u64,
    event_type: &EventTypeName,
    counts: UsageCounts,
) -> Result<(), StoreError> {
    let UsageCounts { messages, deliveries, success, failure, canceled } = counts;
    let [messages, deliveries, success, failure, canceled] = [messages, deliveries, success, failure, canceled].map(|count| count as i64);
    connection
        .prepare_cached(
            "INSERT INTO usage (application, at_s, event_type, messages, deliveries, success, failure, canceled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET messages = messages + ?4, deliveries = deliveries + ?5, success = success + ?6,
                 failure = failure + ?7, canceled = canceled + ?8",
        )?
        .execute(params![application as i64, at_s as i64, event_type.as_str(), messages, deliveries, success, failure, canceled])?;
    Ok(())
}

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct StoredUsage {
    pub(crate) application: u64,
    pub(crate) at_s: u64,
    pub(crate) event_type: EventTypeName,
    pub(crate) counts: UsageCounts,
}

/// All columns, in their order.
pub(crate) fn stored(row: &Row<'_>) -> Result<StoredUsage, StoreError> {
    let number = |index| row.get::<_, i64>(index).map(|number| number as u64);
    let name = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
    let event_type = EventTypeName::parse(name).map_err(|error| Unreadable { what: "usage", why: error.to_string() })?;
    let counts =
        UsageCounts { messages: number(3)?, deliveries: number(4)?, success: number(5)?, failure: number(6)?, canceled: number(7)? };
    Ok(StoredUsage { application: number(0)?, at_s: number(1)?, event_type, counts })
}

pub(crate) fn at(at_s: u64) -> Timestamp {
    Timestamp::from_unix_ms(at_s.saturating_mul(1000))
}

pub(crate) fn hour_of(at_s: u64) -> u64 {
    span_of(at(at_s), COARSE_S) * COARSE_S
}
