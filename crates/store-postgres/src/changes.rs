//! Keeps the memory of the catalogue true to what other nodes changed: each change leaves a row, which the others find when they ask.
//!
//! A row gets its time before its transaction is committed, so rows turn up late: each look goes back over some seconds, and what was seen is remembered.

use std::collections::HashMap;

use hookpost_domain::{ApplicationId, EndpointId, OrgId, RowId};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::error::StoreError;

/// What a change was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    Application(ApplicationId),
    EventTypes(OrgId),
    ApiKey([u8; 32]),
    /// Any: they are few, and read again as a whole.
    Revocation,
    Health(EndpointId),
    /// Any: who works on tasks looks at all of them.
    Task,
}

/// Names a row of `change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChangeId(i64);

/// Rows that need not be acted upon again: seen before, or our own.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    known: Mutex<HashMap<ChangeId, Instant>>,
}

impl Changed {
    fn to_columns(&self) -> (i16, Vec<u8>) {
        match self {
            Self::Application(id) => (0, id.row().raw().to_be_bytes().to_vec()),
            Self::EventTypes(org) => (1, org.as_str().as_bytes().to_vec()),
            Self::ApiKey(hash) => (2, hash.to_vec()),
            Self::Revocation => (3, Vec::new()),
            Self::Health(id) => (4, id.row().raw().to_be_bytes().to_vec()),
            Self::Task => (5, Vec::new()),
        }
    }

    /// `None`: of a newer version of this program, which keeps things that this one knows nothing of.
    fn of_columns(kind: i16, key: &[u8]) -> Option<Self> {
        let row = || Some(RowId::from_raw(u64::from_be_bytes(key.try_into().ok()?)));
        match kind {
            0 => Some(Self::Application(ApplicationId::from_row(row()?))),
            1 => Some(Self::EventTypes(OrgId::parse(std::str::from_utf8(key).ok()?).ok()?)),
            2 => Some(Self::ApiKey(key.try_into().ok()?)),
            3 => Some(Self::Revocation),
            4 => Some(Self::Health(EndpointId::from_row(row()?))),
            5 => Some(Self::Task),
            _ => None,
        }
    }
}

/// Tells the other nodes, once the transaction is committed. The last statement of a transaction, so that the row is not old when it can be seen.
pub(crate) async fn record_change(transaction: &impl GenericClient, changed: &Changed) -> Result<ChangeId, StoreError> {
    let (kind, key) = changed.to_columns();
    let rows = transaction
        .query_typed("INSERT INTO hookpost.change (kind, key) VALUES ($1, $2) RETURNING id", &[(&kind, Type::INT2), (&key, Type::BYTEA)])
        .await?;
    Ok(ChangeId(rows[0].try_get(0)?))
}
