//! What can go wrong, and how it is said.

use hookpost_store::rows::RowError;
use hookpost_store::vault::WrongMasterKey;
use hookpost_store::{AcceptError, Unavailable, WriteError};
use thiserror::Error;

/// Why the store could not be opened; each says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("not written yet")]
    Unfinished,
    #[error("{0}")]
    WrongMasterKey(#[from] WrongMasterKey),
}

/// Inside: anything that a statement or a row can answer.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("{0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection within the time.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    /// Another node has taken over what this one held; its row is gone.
    #[error("this node was taken for dead")]
    NodeLost,
    #[error(transparent)]
    Row(#[from] RowError),
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<StoreError> for AcceptError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

pub(crate) fn closed() -> Unavailable {
    Unavailable("the store is closed".to_owned())
}

pub(crate) fn unfinished() -> Unavailable {
    Unavailable("not written yet".to_owned())
}
