//! What can go wrong, and how it is said.

use std::path::{Path, PathBuf};

use hookpost_store::rows::RowError;
use hookpost_store::vault::WrongMasterKey;
use hookpost_store::{AcceptError, Unavailable, WriteError};
use rusqlite::ErrorCode;
use thiserror::Error;

use hookpost_store::codec::Unreadable;

/// Why the store could not be opened; each says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the data directory {} is in use by {holder}: stop it, or choose another with --data-dir", data_dir.display())]
    InUse { data_dir: PathBuf, holder: String },
    #[error("the data directory {} cannot be used: {why}", data_dir.display())]
    DataDir { data_dir: PathBuf, why: String },
    #[error(
        "the data was written by a newer version of Hookpost (schema {found}; this program knows up to {known}): start that version, or restore a backup \
         made with this one"
    )]
    NewerSchema { found: usize, known: usize },
    #[error(
        "the data directory {} has half a move from {source_place}: run `hookpost move` again to finish it, or remove the directory",
        data_dir.display()
    )]
    HalfMoved { data_dir: PathBuf, source_place: String },
    #[error("{0}")]
    WrongMasterKey(#[from] WrongMasterKey),
    #[error("the database cannot be read: {0}")]
    Damaged(String),
    #[error("the database cannot be opened: {}", sentence(.0))]
    Database(#[from] rusqlite::Error),
}

impl OpenError {
    /// Names the directory, whose operator may have several.
    pub(crate) fn in_directory(self, data_dir: &Path) -> Self {
        let why = match &self {
            Self::Database(error) => sentence(error),
            Self::Damaged(why) => why.clone(),
            _ => return self,
        };
        Self::DataDir { data_dir: data_dir.to_owned(), why }
    }
}

/// Inside: anything that a statement or a row can answer.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("{}", sentence(.0))]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Row(#[from] RowError),
}

impl StoreError {
    /// The disk or the file is at fault, not one operation: nothing would succeed now.
    pub(crate) fn is_environment(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::OutOfMemory
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::PermissionDenied
                        | ErrorCode::FileLockingProtocolFailed
                )
            ),
            Self::Row(_) => false,
        }
    }

    /// After these SQLite's own state may be wrong until the file is opened again.
    pub(crate) fn needs_new_connection(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::FileLockingProtocolFailed
                )
            ),
            Self::Row(_) => false,
        }
    }
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::Row(error.into())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Row(error.into())
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sqlite(error) => Self::Database(error),
            StoreError::Row(RowError::WrongMasterKey(error)) => Self::WrongMasterKey(error),
            other => Self::Damaged(other.to_string()),
        }
    }
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

/// What an operator can act on.
fn sentence(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the database file is read-only".to_owned(),
        Some(ErrorCode::SystemIoFailure) => format!("the disk reports an error ({error})"),
        Some(ErrorCode::CannotOpen) => format!("the database file cannot be opened ({error})"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("the database file is damaged ({error}): restore a backup")
        }
        _ => error.to_string(),
    }
}

pub(crate) fn closed() -> Unavailable {
    Unavailable("the store is closed".to_owned())
}

pub(crate) fn overloaded() -> Unavailable {
    Unavailable("more is waiting to be written than the disk keeps up with".to_owned())
}
