//! What lies beside the way of a message, as it is read and written in a move: documents, progress, logs, and what was counted.

use hookpost_domain::{ApplicationId, RowId, Timestamp};
use hookpost_store::ProgressKey;
use hookpost_store::codec::time;
use hookpost_store::rows::open_document;
use hookpost_store::transfer::{BATCH_ROWS_MAX, Key, MovedDocument, Row, key};
use hookpost_store::usage::{FINE_S, Usage};
use hookpost_store::vault::Vault;
use tokio_postgres::{Client, Transaction};

use crate::documents::shelf_of;
use crate::error::StoreError;
use crate::schema::damaged;
use crate::usage;

const LIMIT: i64 = BATCH_ROWS_MAX as i64;
const FOLDED_AT_ONCE: i64 = 1000;

type Rows = Vec<(Key, Option<Row>)>;

pub(super) async fn documents(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let (kind, org, id) = key::to_columns::<(i16, String, i64)>(after)?.unwrap_or_default();
    let sql = "SELECT kind, org, owner, id, name, data, forget_at_ms FROM hookpost.document
        WHERE (kind, org, id) > ($1, $2, $3) ORDER BY kind, org, id LIMIT $4";
    let document = |row: &tokio_postgres::Row| {
        let (shelf, id) = (shelf_of(row)?, RowId::from_i64(row.try_get(3)?));
        let key = key::of_columns(&(shelf.kind as i16, shelf.org.as_str(), id.as_i64()));
        let forget_at = row.try_get::<_, Option<i64>>(6)?.map(time);
        Ok((key, Some(Row::Document(MovedDocument { shelf, id, name: row.try_get(4)?, sealed: row.try_get(5)?, forget_at }))))
    };
    client.query(sql, &[&kind, &org, &id, &LIMIT]).await?.iter().map(document).collect()
}

/// A row without data is there to be locked.
pub(super) async fn progress(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let (of, name) = key::to_columns::<(i64, Vec<u8>)>(after)?.unwrap_or((-1, Vec::new()));
    let sql = "SELECT of, name, data FROM hookpost.progress WHERE (of, name) > ($1, $2) ORDER BY of, name LIMIT $3";
    let progress = |row: &tokio_postgres::Row| {
        let (of, name): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let place = key::of_columns(&(of, &name));
        let name = String::from_utf8(name).map_err(|_| damaged("the name of a consumer is no text"))?;
        let data = row.try_get::<_, Option<Vec<u8>>>(2)?;
        Ok((place, data.map(|data| Row::Progress { key: ProgressKey { of: RowId::from_i64(of), name }, data })))
    };
    client.query(sql, &[&of, &name, &LIMIT]).await?.iter().map(progress).collect()
}

pub(super) async fn logs(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    let (log, id) = key::to_columns::<(String, i64)>(after)?.unwrap_or_default();
    let sql = "SELECT log, id, data FROM hookpost.log_entry WHERE (log, id) > ($1, $2) ORDER BY log, id LIMIT $3";
    let entry = |row: &tokio_postgres::Row| {
        let (log, id): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let place = key::of_columns(&(&log, id));
        Ok((place, Some(Row::LogEntry { log, id: RowId::from_i64(id), data: row.try_get(2)? })))
    };
    client.query(sql, &[&log, &id, &LIMIT]).await?.iter().map(entry).collect()
}

/// A span has one row, also where the hour that it was added to begins with it.
pub(super) async fn usage(client: &Client, after: Option<&Key>) -> Result<Rows, StoreError> {
    if after.is_none() {
        while usage::fold(client, FOLDED_AT_ONCE).await? == FOLDED_AT_ONCE {}
    }
    let (application, begin_s, event_type) = key::to_columns::<(i64, i64, String)>(after)?.unwrap_or((-1, 0, String::new()));
    let sql = "SELECT begin_s, event_type, sum(messages)::bigint, sum(deliveries)::bigint, sum(success)::bigint, sum(failure)::bigint,
            sum(canceled)::bigint, application
        FROM hookpost.usage_sum WHERE (application, begin_s) >= ($1, $2) AND (application, begin_s, event_type) > ($1, $2, $3)
        GROUP BY application, begin_s, event_type ORDER BY application, begin_s, event_type LIMIT $4";
    let usage = |row: &tokio_postgres::Row| {
        let (application, usage): (i64, Usage) = (row.try_get(7)?, usage::decode(row)?);
        let place = key::of_columns(&(application, row.try_get::<_, i64>(0)?, usage.event_type.as_str()));
        Ok((place, Some(Row::Usage { application: ApplicationId::from_row(RowId::from_i64(application)), usage })))
    };
    client.query(sql, &[&application, &begin_s, &event_type, &LIMIT]).await?.iter().map(usage).collect()
}

/// As columns of tables.
#[derive(Default)]
pub(super) struct BesideRows {
    documents: Vec<MovedDocument>,
    progress: (Vec<i64>, Vec<Vec<u8>>, Vec<Vec<u8>>),
    logs: (Vec<String>, Vec<i64>, Vec<Vec<u8>>),
    usage: Vec<(ApplicationId, Usage)>,
}

impl BesideRows {
    /// Opened, so that what the master key does not open is found now.
    pub(super) fn push_document(&mut self, vault: &Vault, document: MovedDocument) -> Result<(), StoreError> {
        open_document(vault, &document.shelf, document.id, &document.sealed)?;
        self.documents.push(document);
        Ok(())
    }

    pub(super) fn push_progress(&mut self, key: ProgressKey, data: Vec<u8>) {
        let (of, names, values) = &mut self.progress;
        of.push(key.of.as_i64());
        names.push(key.name.into_bytes());
        values.push(data);
    }

    pub(super) fn push_log_entry(&mut self, log: String, id: RowId, data: Vec<u8>) {
        let (logs, ids, values) = &mut self.logs;
        logs.push(log);
        ids.push(id.as_i64());
        values.push(data);
    }

    pub(super) fn push_usage(&mut self, application: ApplicationId, usage: Usage) {
        self.usage.push((application, usage));
    }

    pub(super) async fn insert(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let insert = "INSERT INTO hookpost.document (kind, org, owner, id, name, data, forget_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for MovedDocument { shelf, id, name, sealed, forget_at } in &self.documents {
            let (kind, owner, forget_at) = (shelf.kind as i16, shelf.owner.as_i64(), forget_at.map(Timestamp::unix_ms).map(|at| at as i64));
            transaction.execute(insert, &[&kind, &shelf.org.as_str(), &owner, &id.as_i64(), name, sealed, &forget_at]).await?;
        }
        let (of, names, data) = &self.progress;
        if !of.is_empty() {
            let insert = "INSERT INTO hookpost.progress (of, name, data) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])";
            transaction.execute(insert, &[of, names, data]).await?;
        }
        let (logs, ids, data) = &self.logs;
        if !ids.is_empty() {
            let insert = "INSERT INTO hookpost.log_entry (log, id, data) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])";
            transaction.execute(insert, &[logs, ids, data]).await?;
        }
        self.insert_usage(transaction).await
    }

    /// Whether a span is one of five minutes or an hour does not show: old ones are made hours again.
    async fn insert_usage(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.usage.is_empty() {
            return Ok(());
        }
        let column = |number: fn(&Usage) -> u64| self.usage.iter().map(|(_, usage)| number(usage) as i64).collect::<Vec<i64>>();
        let applications: Vec<i64> = self.usage.iter().map(|(application, _)| application.row().as_i64()).collect();
        let event_types: Vec<&str> = self.usage.iter().map(|(_, usage)| usage.event_type.as_str()).collect();
        let insert = format!(
            "INSERT INTO hookpost.usage_sum
                (application, resolution_s, begin_s, event_type, messages, deliveries, success, failure, canceled)
            SELECT application, {FINE_S}, begin_s, event_type, messages, deliveries, success, failure, canceled
            FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
                AS moved (application, begin_s, event_type, messages, deliveries, success, failure, canceled)"
        );
        transaction
            .execute(
                &insert,
                &[
                    &applications,
                    &column(|usage| usage.at.unix_seconds()),
                    &event_types,
                    &column(|usage| usage.counts.messages),
                    &column(|usage| usage.counts.deliveries),
                    &column(|usage| usage.counts.success),
                    &column(|usage| usage.counts.failure),
                    &column(|usage| usage.counts.canceled),
                ],
            )
            .await?;
        Ok(())
    }
}
