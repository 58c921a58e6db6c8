//! The versions of the schema, and how a database is brought to the newest: one step per transaction, one node at a time, however many start at once.

use crate::connect::DatabaseUrl;
use crate::error::OpenError;

/// `SCHEMA[n]` leads from version n to n + 1. What was released is never changed.
pub(crate) const SCHEMA: [&str; 1] = [include_str!("schema/1.sql")];

/// What was found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// 0: the database was empty.
    pub from: usize,
    pub to: usize,
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(_url: &DatabaseUrl) -> Result<Migration, OpenError> {
    Err(OpenError::Unfinished)
}
