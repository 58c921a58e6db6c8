//! Receipts as they are read.

use hookpost_domain::receipt::Verdict;
use hookpost_domain::{Receipt, ReceiptId, RowId, SourceId};
use hookpost_store::PageRequest;
use hookpost_store::codec::decode_receipt;
use hookpost_store::history::{ReceiptFilter, ScannedPage};
use hookpost_store::receipt::with_body;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::history::{Ids, scan};
use crate::messages;
use crate::shared::Shared;
use crate::tail::ListKind;

/// With its body, wherever that is.
pub(crate) fn load(connection: &Connection, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
    // One snapshot: its message may lose its payload meanwhile.
    let snapshot = connection.unchecked_transaction()?;
    let Some(receipt) = load_head(&snapshot, source, id)? else { return Ok(None) };
    let body = body(&snapshot, &receipt)?;
    Ok(Some(with_body(receipt, body.map(Into::into), None)))
}

fn load_head(connection: &Connection, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM receipt WHERE id = ?1 AND source = ?2")?;
    let mut rows = statement.query(params![id.row().as_i64(), source.row().as_i64()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(decode_receipt(id, source, row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?))
}

fn body(connection: &Connection, receipt: &Receipt) -> Result<Option<Vec<u8>>, StoreError> {
    let own: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM receipt WHERE id = ?1")?
        .query_row([receipt.id.row().as_i64()], |row| row.get(0))
        .optional()?
        .flatten();
    match (own, &receipt.verdict) {
        (None, Verdict::Accepted { message }) => messages::load_payload(connection, *message),
        (own, _) => Ok(own),
    }
}

pub(crate) fn list(
    connection: &Connection,
    shared: &Shared,
    source: SourceId,
    filter: &ReceiptFilter,
    page: &PageRequest<ReceiptId>,
) -> Result<ScannedPage<Receipt, ReceiptId>, StoreError> {
    let ids = Ids { connection, shared, kind: ListKind::ReceiptsOfSource, owner: source.row() };
    scan(page, (ReceiptId::row, ReceiptId::from_row), ids, |(id, _)| {
        let Some(receipt) = load_head(connection, source, ReceiptId::from_row(RowId::from_raw(id)))? else { return Ok(None) };
        if !filter.matches(&receipt) {
            return Ok(None);
        }
        let has_text = !filter.is_up_to_body(&receipt) || body(connection, &receipt)?.is_some_and(|body| filter.is_in(&body));
        Ok(has_text.then_some(receipt))
    })
}
