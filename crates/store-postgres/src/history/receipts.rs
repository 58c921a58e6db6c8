//! Receipts. Lists are looked through without bodies; those are read where a text may be in them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use deadpool_postgres::Object;
use hookpost_domain::receipt::Verdict;
use hookpost_domain::{Receipt, ReceiptId, RowId, SourceId};
use hookpost_store::PageRequest;
use hookpost_store::codec::decode_receipt;
use hookpost_store::history::{ReceiptFilter, ScannedPage};
use hookpost_store::page::Walk;
use hookpost_store::receipt::with_body;

use super::scan::{Chunk, Rows, scan};
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::{query, query_opt};

/// Bodies that are read at a time while a text is looked for in them.
const BODIES_AT_ONCE: usize = 50;

/// Its own body, or the payload of the message that was made of it.
const BODY: &str = "coalesce(receipt.body, message.payload)
    FROM hookpost.receipt LEFT JOIN hookpost.message ON message.id = $3";

pub(super) async fn one(shared: &Shared, source: SourceId, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
    let connection = shared.connections.get().await?;
    let (raw, raw_source) = (id.row().as_i64(), source.row().as_i64());
    let sql = "SELECT data FROM hookpost.receipt WHERE id = $1 AND source = $2";
    let Some(row) = query_opt(&connection, sql, &[&raw, &raw_source]).await? else { return Ok(None) };
    let receipt = decode_receipt(id, source, row.try_get(0)?)?;
    let message = made_message(&receipt);
    let sql = format!("SELECT {BODY} WHERE receipt.id = $1 AND receipt.source = $2");
    let body = match query_opt(&connection, &sql, &[&raw, &raw_source, &message]).await? {
        Some(row) => row.try_get::<_, Option<&[u8]>>(0)?.map(Bytes::copy_from_slice),
        None => return Ok(None),
    };
    Ok(Some(with_body(receipt, body, None)))
}

/// Whose payload is its body, unless it has one of its own; no row has the id 0.
fn made_message(receipt: &Receipt) -> i64 {
    match receipt.verdict {
        Verdict::Accepted { message } => message.row().as_i64(),
        _ => 0,
    }
}

pub(super) async fn of_source(
    shared: &Shared,
    source: SourceId,
    filter: &ReceiptFilter,
    page: &PageRequest<ReceiptId>,
) -> Result<ScannedPage<Receipt, ReceiptId>, StoreError> {
    let connection = shared.connections.get().await?;
    scan(&OfSource { connection: &connection, source, filter }, page).await
}

struct OfSource<'a> {
    connection: &'a Object,
    source: SourceId,
    filter: &'a ReceiptFilter,
}

impl Rows for OfSource<'_> {
    type Item = Receipt;

    async fn chunk(&self, walk: Walk<i64>) -> Result<Chunk<Receipt>, StoreError> {
        let (comparison, order) = walk.comparison();
        let sql = format!("SELECT id, data FROM hookpost.receipt WHERE source = $1 AND id {comparison} $2 ORDER BY id {order} LIMIT $3");
        let rows = query(self.connection, &sql, &[&self.source.row().as_i64(), &walk.bound(), &(walk.count as i64)]).await?;
        let mut chunk = Vec::with_capacity(rows.len());
        for row in rows {
            let id: i64 = row.try_get(0)?;
            let receipt = decode_receipt(ReceiptId::from_row(RowId::from_i64(id)), self.source, row.try_get(1)?)?;
            chunk.push((id, Some(receipt).filter(|receipt| self.filter.matches(receipt))));
        }
        self.drop_without_text(&mut chunk).await?;
        Ok(chunk)
    }
}

impl OfSource<'_> {
    /// Those that may have the text in their bodies, and do not.
    async fn drop_without_text(&self, chunk: &mut Chunk<Receipt>) -> Result<(), StoreError> {
        let up_to_body = chunk.iter().filter_map(|(id, receipt)| {
            let receipt = receipt.as_ref().filter(|receipt| self.filter.is_up_to_body(receipt))?;
            Some((*id, made_message(receipt)))
        });
        let asked: HashMap<i64, i64> = up_to_body.collect();
        let mut with_text = HashSet::new();
        let all: Vec<(i64, i64)> = asked.iter().map(|(id, message)| (*id, *message)).collect();
        for some in all.chunks(BODIES_AT_ONCE) {
            let (ids, messages): (Vec<i64>, Vec<i64>) = some.iter().copied().unzip();
            let sql = "SELECT receipt.id, coalesce(receipt.body, message.payload)
                FROM unnest($1::bigint[], $2::bigint[]) AS asked (id, message)
                JOIN hookpost.receipt ON receipt.id = asked.id LEFT JOIN hookpost.message ON message.id = asked.message";
            for row in query(self.connection, sql, &[&ids, &messages]).await? {
                let body: Option<&[u8]> = row.try_get(1)?;
                if body.is_some_and(|body| self.filter.is_in(body)) {
                    with_text.insert(row.try_get::<_, i64>(0)?);
                }
            }
        }
        for (id, receipt) in chunk.iter_mut().filter(|(id, _)| asked.contains_key(id)) {
            if !with_text.contains(id) {
                *receipt = None;
            }
        }
        Ok(())
    }
}
