//! Sources with their tokens, and receipts, as they are written in a move.

use std::pin::pin;

use hookpost_domain::{Source, SourceId};
use hookpost_store::codec::received_at_and_kind;
use hookpost_store::rows::{decode_source, token_hash};
use hookpost_store::transfer::ReceiptRow;
use hookpost_store::vault::Vault;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::history::copy_into;
use crate::counts::CountChanges;
use crate::error::StoreError;

/// A source as it comes, and what its row says beside that.
pub(super) struct SourceRow {
    source: Source,
    data: Vec<u8>,
    sealed: Vec<u8>,
}

impl SourceRow {
    /// Opened, so that a secret which the master key does not open is found now.
    pub(super) fn open(vault: &Vault, id: SourceId, data: Vec<u8>, sealed: Vec<u8>) -> Result<Self, StoreError> {
        Ok(Self { source: decode_source(vault, id, &data, &sealed)?, data, sealed })
    }
}

/// Receipts whose partitions are there.
pub(super) async fn import(transaction: &Transaction<'_>, sources: &[SourceRow], receipts: &[ReceiptRow]) -> Result<(), StoreError> {
    for SourceRow { source, data, sealed } in sources {
        let insert = "INSERT INTO hookpost.source (id, org, uid, pulled, data, sealed) VALUES ($1, $2, $3, $4, $5, $6)";
        let (id, uid) = (source.id.row().as_i64(), source.uid.as_ref().map(|uid| uid.as_str()));
        transaction.execute(insert, &[&id, &source.org.as_str(), &uid, &source.is_pulled(), data, sealed]).await?;
        let insert = "INSERT INTO hookpost.source_token (sha256, source) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for token in source.tokens.all() {
            transaction.execute(insert, &[&token_hash(token).as_slice(), &id]).await?;
        }
    }
    if receipts.is_empty() {
        return Ok(());
    }
    let mut counts = CountChanges::default();
    let types = [Type::INT8, Type::INT8, Type::BYTEA, Type::BYTEA];
    let mut writer = pin!(copy_into(transaction, "hookpost.receipt (id, source, data, body)", &types).await?);
    for row in receipts {
        let (received_at, verdict) = received_at_and_kind(&row.data)?;
        counts.add_receipt(row.source, received_at, verdict);
        let columns: [&(dyn ToSql + Sync); 4] = [&row.id.row().as_i64(), &row.source.row().as_i64(), &row.data, &row.body];
        writer.as_mut().write(&columns).await?;
    }
    writer.finish().await?;
    counts.insert(transaction).await
}
