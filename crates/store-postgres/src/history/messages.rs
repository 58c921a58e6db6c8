//! Messages. Lists are looked through without payloads, which are read for what is on the page.

use std::collections::HashMap;

use bytes::Bytes;
use deadpool_postgres::Object;
use hookpost_domain::id::MessageKind;
use hookpost_domain::{ApplicationId, Message, MessageId, RowId};
use hookpost_store::codec::{decode_message, message_id};
use hookpost_store::history::{MessageFilter, ScannedPage};
use hookpost_store::page::Walk;
use hookpost_store::{PageRequest, Reference};

use super::scan::{Chunk, Rows, scan};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{can_be_text, execute, query, query_opt};

pub(super) async fn one(
    shared: &Shared,
    application: ApplicationId,
    reference: Reference<'_, MessageKind>,
) -> Result<Option<Message>, StoreError> {
    let connection = shared.connections.get().await?;
    let raw_application = application.row().as_i64();
    let id = match reference {
        Reference::Id(id) => id,
        Reference::Uid(event_id) if !can_be_text(event_id) => return Ok(None),
        Reference::Uid(event_id) => {
            let sql = "SELECT message FROM hookpost.event_id WHERE application = $1 AND event_id = $2";
            match query_opt(&connection, sql, &[&raw_application, &event_id]).await? {
                Some(row) => message_id(row.try_get(0)?),
                None => return Ok(None),
            }
        }
    };
    let sql = "SELECT header, payload FROM hookpost.message WHERE id = $1 AND application = $2";
    let row = query_opt(&connection, sql, &[&id.row().as_i64(), &raw_application]).await?;
    row.map(|row| Ok(decode_message(id, application, row.try_get(0)?, row.try_get(1)?)?)).transpose()
}

pub(super) async fn of_application(
    shared: &Shared,
    application: ApplicationId,
    filter: &MessageFilter,
    page: &PageRequest<MessageId>,
) -> Result<ScannedPage<Message, MessageId>, StoreError> {
    let connection = shared.connections.get().await?;
    let mut found = scan(&OfApplication { connection: &connection, application, filter }, page).await?;
    add_payloads(&connection, found.items.iter_mut()).await?;
    Ok(found)
}

struct OfApplication<'a> {
    connection: &'a Object,
    application: ApplicationId,
    filter: &'a MessageFilter,
}

impl Rows for OfApplication<'_> {
    type Item = Message;

    /// The partitions are in the order of the ids, so that only as many are read as it takes.
    async fn chunk(&self, walk: Walk<i64>) -> Result<Chunk<Message>, StoreError> {
        let (comparison, order) = walk.comparison();
        let sql =
            format!("SELECT id, header FROM hookpost.message WHERE application = $1 AND id {comparison} $2 ORDER BY id {order} LIMIT $3");
        let rows = query(self.connection, &sql, &[&self.application.row().as_i64(), &walk.bound(), &(walk.count as i64)]).await?;
        let mut chunk = Vec::with_capacity(rows.len());
        for row in rows {
            let id: i64 = row.try_get(0)?;
            let message = decode_message(message_id(id), self.application, row.try_get(1)?, None)?;
            chunk.push((id, Some(message).filter(|message| self.filter.matches(message))));
        }
        Ok(chunk)
    }
}

/// Without payloads, by id; those that are gone are left out.
pub(super) async fn headers(connection: &Object, ids: &[i64]) -> Result<HashMap<i64, Message>, StoreError> {
    let Some((first, last)) = bounds(ids) else { return Ok(HashMap::new()) };
    let sql = "SELECT id, application, header FROM hookpost.message WHERE id = ANY($1) AND id BETWEEN $2 AND $3";
    let mut headers = HashMap::with_capacity(ids.len());
    for row in query(connection, sql, &[&ids, &first, &last]).await? {
        let (id, application) = (row.try_get(0)?, ApplicationId::from_row(RowId::from_i64(row.try_get(1)?)));
        headers.insert(id, decode_message(message_id(id), application, row.try_get(2)?, None)?);
    }
    Ok(headers)
}

pub(crate) async fn add_payloads(connection: &Object, messages: impl Iterator<Item = &mut Message>) -> Result<(), StoreError> {
    let mut messages: HashMap<i64, &mut Message> = messages.map(|message| (message.id.row().as_i64(), message)).collect();
    let ids: Vec<i64> = messages.keys().copied().collect();
    let Some((first, last)) = bounds(&ids) else { return Ok(()) };
    let sql = "SELECT id, payload FROM hookpost.message WHERE id = ANY($1) AND id BETWEEN $2 AND $3";
    for row in query(connection, sql, &[&ids, &first, &last]).await? {
        if let Some(message) = messages.get_mut(&row.try_get(0)?) {
            message.content.payload = row.try_get::<_, Option<&[u8]>>(1)?.map(Bytes::copy_from_slice);
        }
    }
    Ok(())
}

/// A range of ids tells which partitions are needed also where the plan was made before the ids were known.
fn bounds(ids: &[i64]) -> Option<(i64, i64)> {
    Some((*ids.iter().min()?, *ids.iter().max()?))
}

pub(super) async fn expunge(shared: &Shared, application: ApplicationId, message: MessageId) -> Result<bool, StoreError> {
    let connection = shared.connections.get().await?;
    let sql = "UPDATE hookpost.message SET payload = NULL WHERE id = $1 AND application = $2";
    Ok(execute(&connection, sql, &[&message.row().as_i64(), &application.row().as_i64()]).await? > 0)
}
