//! What lies beside the way of a message: documents, progress, logs, and what was counted.

use std::collections::BTreeMap;
use std::ops::Bound;

use hookpost_domain::{ApplicationId, EventTypeName, RowId};
use hookpost_store::ProgressKey;
use hookpost_store::documents::DocumentRow;
use hookpost_store::transfer::{BATCH_ROWS_MAX, Batch, Key, MovedDocument, Row, key};
use hookpost_store::usage::{Usage, UsageCounts};
use rusqlite::{Connection, params};

use super::{LIMIT, SqliteTransfer};
use crate::documents::sealed_row;
use crate::error::StoreError;
use crate::usage::{Bounds, StoredUsage, at, hour_of, stored};

pub(super) fn documents(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let (kind, org, id) = key::to_columns::<(u8, String, i64)>(after)?.unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT kind, org, id, owner, name, forget_at_ms, sealed FROM document WHERE (kind, org, id) > (?1, ?2, ?3)
         ORDER BY kind, org, id LIMIT ?4",
    )?;
    let mut found = statement.query(params![kind, org, id, LIMIT])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (DocumentRow { shelf, id, name, forget_at, .. }, sealed) = sealed_row(row)?;
        let key = key::of_columns(&(shelf.kind as u8, shelf.org.as_str(), id.as_i64()));
        rows.push((key, Some(Row::Document(MovedDocument { shelf, id, name, sealed, forget_at }))));
    }
    Ok(Batch::of(rows, BATCH_ROWS_MAX))
}

pub(super) fn progress(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let (owner, name) = key::to_columns::<(i64, String)>(after)?.unwrap_or((-1, String::new()));
    let mut statement =
        connection.prepare_cached("SELECT owner, name, data FROM progress WHERE (owner, name) > (?1, ?2) ORDER BY owner, name LIMIT ?3")?;
    let rows = statement.query_map(params![owner, name, LIMIT], |row| {
        let (owner, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let key = key::of_columns(&(owner, &name));
        Ok((key, Some(Row::Progress { key: ProgressKey { of: RowId::from_i64(owner), name }, data: row.get(2)? })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

pub(super) fn logs(connection: &Connection, after: Option<&Key>) -> Result<Batch, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, log, data FROM log_entry WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let rows = statement.query_map([key::to_id(after)?, LIMIT], |row| {
        let id = row.get(0)?;
        Ok((key::of_id(id), Some(Row::LogEntry { log: row.get(1)?, id: RowId::from_i64(id), data: row.get(2)? })))
    })?;
    Ok(Batch::of(rows.collect::<Result<_, _>>()?, BATCH_ROWS_MAX))
}

/// From an hour of an application to another: what is old is one row for each hour, wherever its parts are. The key is where the next piece begins.
pub(super) fn usage(end: &SqliteTransfer, after: Option<&Key>) -> Result<Batch, StoreError> {
    let begin = key::to_columns::<(u64, u64)>(after)?.unwrap_or_default();
    let bounds = Bounds::load(&end.connection)?;
    let mut statement = end.connection.prepare_cached(
        "SELECT application, at_s, event_type, messages, deliveries, success, failure, canceled FROM usage
         WHERE (application, at_s) >= (?1, ?2) ORDER BY application, at_s",
    )?;
    let mut found = statement.query(params![begin.0 as i64, begin.1 as i64])?;
    let (mut spans, mut last, mut next) = (BTreeMap::new(), begin, None);
    while let Some(row) = found.next()? {
        let StoredUsage { application, at_s, event_type, counts } = stored(row)?;
        let hour = (application, hour_of(at_s));
        if spans.len() >= BATCH_ROWS_MAX && hour != last {
            next = Some(hour);
            break;
        }
        last = hour;
        if let Some(at_s) = bounds.place(at_s) {
            add(&mut spans, (application, at_s), event_type, counts);
        }
    }
    let until = next.map_or(Bound::Unbounded, Bound::Excluded);
    for (span, by_type) in end.tail_usage.range((Bound::Included(begin), until)) {
        by_type.iter().for_each(|(event_type, counts)| add(&mut spans, *span, event_type.clone(), *counts));
    }
    let rows = spans.into_iter().map(|((application, at_s, event_type), counts)| Row::Usage {
        application: ApplicationId::from_row(RowId::from_raw(application)),
        usage: Usage { at: at(at_s), event_type, counts },
    });
    Ok(Batch { rows: rows.collect(), next: next.map(|next| key::of_columns(&next)) })
}

type Spans = BTreeMap<(u64, u64, EventTypeName), UsageCounts>;

fn add(spans: &mut Spans, (application, at_s): (u64, u64), event_type: EventTypeName, counts: UsageCounts) {
    spans.entry((application, at_s, event_type)).or_default().add(counts);
}
