//! Attempts.

use deadpool_postgres::Object;
use hookpost_domain::{AttemptId, DeliveryKey, EndpointId, Message, MessageId, RowId};
use hookpost_store::PageRequest;
use hookpost_store::codec::{decode_attempt, endpoint_id, expunge_attempt, message_id};
use hookpost_store::history::{AttemptFilter, ScannedPage, StoredAttempt};
use hookpost_store::page::Walk;
use tokio_postgres::Row;

use super::messages::headers;
use super::scan::{Chunk, Rows, scan};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{execute, query, query_opt};

fn attempt_id(raw: i64) -> AttemptId {
    AttemptId::from_row(RowId::from_i64(raw))
}

/// Columns: id, message, endpoint, data.
fn decode(row: &Row) -> Result<StoredAttempt, StoreError> {
    let key = DeliveryKey { message: message_id(row.try_get(1)?), endpoint: endpoint_id(row.try_get(2)?) };
    Ok(StoredAttempt { id: attempt_id(row.try_get(0)?), key, attempt: decode_attempt(row.try_get(3)?)? })
}

pub(super) async fn one(shared: &Shared, message: MessageId, id: AttemptId) -> Result<Option<StoredAttempt>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "SELECT id, message, endpoint, data FROM hookpost.attempt WHERE message = $1 AND id = $2";
    let row = query_opt(&connection, sql, &[&message.row().as_i64(), &id.row().as_i64()]).await?;
    row.map(|row| decode(&row)).transpose()
}

pub(super) async fn of_message(
    shared: &Shared,
    message: MessageId,
    filter: &AttemptFilter,
    page: &PageRequest<AttemptId>,
) -> Result<ScannedPage<StoredAttempt, AttemptId>, StoreError> {
    let connection = shared.connections.get().await?;
    let raw = message.row().as_i64();
    let Some(header) = headers(&connection, &[raw]).await?.remove(&raw) else {
        return Ok(ScannedPage { items: Vec::new(), done: true, next: None });
    };
    scan(&OfMessage { connection: &connection, header: &header, filter }, page).await
}

pub(super) async fn of_endpoint(
    shared: &Shared,
    endpoint: EndpointId,
    filter: &AttemptFilter,
    page: &PageRequest<AttemptId>,
) -> Result<ScannedPage<StoredAttempt, AttemptId>, StoreError> {
    let connection = shared.connections.get().await?;
    scan(&OfEndpoint { connection: &connection, endpoint, filter }, page).await
}

struct OfMessage<'a> {
    connection: &'a Object,
    header: &'a Message,
    filter: &'a AttemptFilter,
}

impl Rows for OfMessage<'_> {
    type Item = StoredAttempt;

    async fn chunk(&self, walk: Walk<i64>) -> Result<Chunk<StoredAttempt>, StoreError> {
        let (comparison, order) = walk.comparison();
        let sql = format!(
            "SELECT id, message, endpoint, data FROM hookpost.attempt
             WHERE message = $1 AND id {comparison} $2 AND ($4::bigint IS NULL OR endpoint = $4) ORDER BY id {order} LIMIT $3"
        );
        let endpoint = self.filter.endpoint.map(|endpoint| endpoint.row().as_i64());
        let rows = query(self.connection, &sql, &[&self.header.id.row().as_i64(), &walk.bound(), &(walk.count as i64), &endpoint]).await?;
        let mut chunk = Vec::with_capacity(rows.len());
        for row in &rows {
            let attempt = Some(decode(row)?).filter(|attempt| self.filter.matches(self.header, attempt));
            chunk.push((row.try_get(0)?, attempt));
        }
        Ok(chunk)
    }
}

struct OfEndpoint<'a> {
    connection: &'a Object,
    endpoint: EndpointId,
    filter: &'a AttemptFilter,
}

impl Rows for OfEndpoint<'_> {
    type Item = StoredAttempt;

    /// The partitions go by the message, so that the next attempt can be in any: they are merged, each by its index.
    async fn chunk(&self, walk: Walk<i64>) -> Result<Chunk<StoredAttempt>, StoreError> {
        let (comparison, order) = walk.comparison();
        let sql = format!(
            "SELECT id, message, endpoint, data FROM hookpost.attempt
             WHERE endpoint = $1 AND id {comparison} $2 ORDER BY id {order} LIMIT $3"
        );
        let rows = query(self.connection, &sql, &[&self.endpoint.row().as_i64(), &walk.bound(), &(walk.count as i64)]).await?;
        let messages = rows.iter().map(|row| row.try_get(1)).collect::<Result<Vec<i64>, _>>()?;
        let headers = headers(self.connection, &messages).await?;
        let mut chunk = Vec::with_capacity(rows.len());
        for (row, message) in rows.iter().zip(&messages) {
            let attempt = decode(row)?;
            let wanted = headers.get(message).is_some_and(|header| self.filter.matches(header, &attempt));
            chunk.push((row.try_get(0)?, wanted.then_some(attempt)));
        }
        Ok(chunk)
    }
}

pub(super) async fn expunge(shared: &Shared, message: MessageId, id: AttemptId) -> Result<bool, StoreError> {
    let mut connection = shared.connections.get().await?;
    let transaction = connection.transaction().await?;
    let raw = [message.row().as_i64(), id.row().as_i64()];
    let sql = "SELECT data FROM hookpost.attempt WHERE message = $1 AND id = $2 FOR NO KEY UPDATE";
    let Some(row) = query_opt(&transaction, sql, &[&raw[0], &raw[1]]).await? else { return Ok(false) };
    let data = expunge_attempt(row.try_get(0)?)?;
    execute(&transaction, "UPDATE hookpost.attempt SET data = $3 WHERE message = $1 AND id = $2", &[&raw[0], &raw[1], &data]).await?;
    transaction.commit().await?;
    Ok(true)
}
