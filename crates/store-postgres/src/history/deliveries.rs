//! Deliveries: those with a row, and those that are implied by their message.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use futures_util::future::try_join;
use hookpost_domain::{Delivery, DeliveryKey, DeliveryState, EndpointId, Message, MessageId, Progress};
use hookpost_store::codec::{StateColumns, endpoint_id, message_id};
use hookpost_store::history::{DeliveryFilter, ScannedPage};
use hookpost_store::page::Walk;
use hookpost_store::{Listed, PageRequest};
use tokio_postgres::Row;

use super::messages::{add_payloads, headers};
use super::scan::{Chunk, Rows, scan};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{query, query_opt};

/// Of a delivery without a row.
const PENDING: (DeliveryState, Progress) = (DeliveryState::Pending, Progress { attempts: 0, scheduled_attempts: 0 });

/// Five columns from `at` on: state, reason, due time, attempts, scheduled attempts. NULL where there is no row.
pub(crate) fn decode_state(row: &Row, at: usize) -> Result<(DeliveryState, Progress), StoreError> {
    let Some(state) = row.try_get(at)? else { return Ok(PENDING) };
    let state = StateColumns { state, reason: row.try_get(at + 1)?, due_at_ms: row.try_get(at + 2)? }.decode()?;
    let count = |index| row.try_get::<_, i32>(index).map(i32::cast_unsigned);
    Ok((state, Progress { attempts: count(at + 3)?, scheduled_attempts: count(at + 4)? }))
}

pub(super) async fn one(shared: &Shared, key: DeliveryKey) -> Result<Option<Delivery>, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "
        SELECT delivery.state, delivery.reason, delivery.due_at_ms, delivery.attempts, delivery.scheduled_attempts
        FROM hookpost.message LEFT JOIN hookpost.delivery ON delivery.message = $1 AND delivery.endpoint = $2
        WHERE message.id = $1 AND (delivery.state IS NOT NULL OR $2 = ANY (message.targets))";
    let row = query_opt(&connection, sql, &[&key.message.row().as_i64(), &key.endpoint.row().as_i64()]).await?;
    row.map(|row| decode_state(&row, 0).map(|(state, progress)| Delivery { key, state, progress })).transpose()
}

pub(super) async fn of_message(
    shared: &Shared,
    message: MessageId,
    page: &PageRequest<EndpointId>,
) -> Result<Listed<Delivery>, StoreError> {
    let connection = shared.connections.get().await?;
    let raw = message.row().as_i64();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&raw];
    // In this order: what gets its row in between is found by both.
    let (targets, rows) = try_join(
        query_opt(&connection, "SELECT targets FROM hookpost.message WHERE id = $1", &parameters),
        query(
            &connection,
            "SELECT endpoint, state, reason, due_at_ms, attempts, scheduled_attempts FROM hookpost.delivery WHERE message = $1",
            &parameters,
        ),
    )
    .await?;
    let Some(targets) = targets else { return Ok(Listed { items: Vec::new(), done: true }) };
    let targets: Vec<i64> = targets.try_get(0)?;
    let mut deliveries: BTreeMap<EndpointId, _> = targets.into_iter().map(|endpoint| (endpoint_id(endpoint), PENDING)).collect();
    for row in &rows {
        deliveries.insert(endpoint_id(row.try_get(0)?), decode_state(row, 1)?);
    }
    let deliveries = deliveries.into_iter();
    Ok(page.cut(deliveries.map(|(endpoint, (state, progress))| {
        let key = DeliveryKey { message, endpoint };
        (endpoint, Delivery { key, state, progress })
    })))
}

pub(super) async fn of_endpoint(
    shared: &Shared,
    endpoint: EndpointId,
    filter: &DeliveryFilter,
    page: &PageRequest<MessageId>,
) -> Result<ScannedPage<(Message, Delivery), MessageId>, StoreError> {
    let connection = shared.connections.get().await?;
    let mut found = scan(&OfEndpoint { connection: &connection, endpoint, filter }, page).await?;
    add_payloads(&connection, found.items.iter_mut().map(|(message, _)| message)).await?;
    Ok(found)
}

struct OfEndpoint<'a> {
    connection: &'a Object,
    endpoint: EndpointId,
    filter: &'a DeliveryFilter,
}

impl Rows for OfEndpoint<'_> {
    type Item = (Message, Delivery);

    /// One statement for both kinds, so that a delivery which gets its row meanwhile is found once. Only what was accepted since the oldest mark of a
    /// living node can be implied; the row is looked for by itself, lest the plan joins with all deliveries of the endpoint.
    async fn chunk(&self, walk: Walk<i64>) -> Result<Chunk<Self::Item>, StoreError> {
        let (comparison, order) = walk.comparison();
        let sql = format!(
            "SELECT * FROM (
                (SELECT message, state, reason, due_at_ms, attempts, scheduled_attempts FROM hookpost.delivery
                 WHERE endpoint = $1 AND message {comparison} $2 ORDER BY message {order} LIMIT $3)
                UNION ALL
                (SELECT id, NULL, NULL, NULL, 0, 0 FROM hookpost.message
                 WHERE application = (SELECT application FROM hookpost.endpoint WHERE id = $1) AND id {comparison} $2
                   AND id >= (SELECT min(implied_from) FROM hookpost.node) AND $1 = ANY (targets)
                   AND (SELECT state FROM hookpost.delivery WHERE delivery.message = message.id AND delivery.endpoint = $1) IS NULL
                 ORDER BY id {order} LIMIT $3)
            ) AS listed ORDER BY message {order} LIMIT $3"
        );
        let rows = query(self.connection, &sql, &[&self.endpoint.row().as_i64(), &walk.bound(), &(walk.count as i64)]).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let mut headers = headers(self.connection, &ids).await?;
        let mut chunk = Vec::with_capacity(rows.len());
        for (id, row) in ids.into_iter().zip(&rows) {
            let (state, progress) = decode_state(row, 1)?;
            let delivery = Delivery { key: DeliveryKey { message: message_id(id), endpoint: self.endpoint }, state, progress };
            let message = headers.remove(&id).filter(|message| self.filter.matches(message, &delivery));
            chunk.push((id, message.map(|message| (message, delivery))));
        }
        Ok(chunk)
    }
}
