//! What can go wrong, and how it is said.

use std::error::Error as _;

use hookpost_store::codec::Unreadable;
use hookpost_store::rows::RowError;
use hookpost_store::vault::WrongMasterKey;
use hookpost_store::{AcceptError, Unavailable, WriteError};
use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::connect::DatabaseUrl;

/// Why the store could not be opened; each says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the address of the database cannot be read: {why}. It looks like postgres://user:password@host:5432/database?sslmode=require")]
    Url { why: String },
    #[error("TLS to the database cannot be set up ({why}): see sslmode and sslrootcert in the address of the database")]
    Tls { why: String },
    #[error("PostgreSQL at {server} cannot be reached ({why}): is it running, does it listen there, and may this machine connect to it?")]
    Unreachable { server: String, why: String },
    #[error(
        "PostgreSQL at {server} does not let the user {user} in ({why}): check user and password in the address of the database, and pg_hba.conf"
    )]
    NotLetIn { server: String, user: String, why: String },
    #[error("PostgreSQL at {server} has no database {database}: create it with CREATE DATABASE \"{database}\" OWNER \"{user}\"")]
    UnknownDatabase { server: String, database: String, user: String },
    #[error(
        "PostgreSQL {found} at {server} is too old, {needed} or newer is needed: upgrade that server (pg_upgrade, or dump and restore), or name a newer one"
    )]
    TooOld { server: String, found: String, needed: i32 },
    #[error("the user {user} lacks a right in the database {database} ({why}): {remedy}")]
    MissingRights { user: String, database: String, why: String, remedy: String },
    #[error(
        "PostgreSQL at {server} has no connection left ({why}): raise its max_connections, or let each node open fewer with \
         HOOKPOST_DATABASE_CONNECTIONS_MAX"
    )]
    TooManyConnections { server: String, why: String },
    #[error(
        "PostgreSQL at {server} can only be read, as a standby can: name the primary, or several servers and target_session_attrs=read-write"
    )]
    ReadOnly { server: String },
    #[error(
        "the data was written by a newer version of Hookpost (schema {found}; this program knows up to {known}): start that version, or restore a backup \
         made with this one"
    )]
    NewerSchema { found: usize, known: usize },
    #[error(
        "the database {database} has half a move from {source_place}: run `hookpost move` again to finish it, or DROP SCHEMA hookpost CASCADE"
    )]
    HalfMoved { database: String, source_place: String },
    #[error("256 nodes are registered with this database, and no more can be told apart: stop some of them")]
    TooManyNodes,
    #[error(transparent)]
    WrongMasterKey(#[from] WrongMasterKey),
    #[error("the database cannot be read: {0}")]
    Damaged(String),
    #[error("the database answers: {0}")]
    Database(String),
}

impl OpenError {
    /// What an operator can act on.
    pub(crate) fn explain(error: StoreError, url: &DatabaseUrl) -> Self {
        let server = url.server();
        match error {
            StoreError::Postgres(error) => Self::explain_postgres(&error, url),
            StoreError::Away(why) => Self::Unreachable { server, why },
            StoreError::Row(RowError::WrongMasterKey(error)) => Self::WrongMasterKey(error),
            StoreError::Row(error) => Self::Damaged(error.to_string()),
            StoreError::TooManyNodes => Self::TooManyNodes,
            StoreError::HalfMoved { source_place } => Self::HalfMoved { database: url.database().to_owned(), source_place },
            other => Self::Database(other.to_string()),
        }
    }

    fn explain_postgres(error: &tokio_postgres::Error, url: &DatabaseUrl) -> Self {
        let (server, user, database) = (url.server(), url.user().to_owned(), url.database().to_owned());
        let why = sentence(error);
        match error.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => Self::NotLetIn { server, user, why },
            Some(&SqlState::INVALID_CATALOG_NAME) => Self::UnknownDatabase { server, database, user },
            Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::TooManyConnections { server, why },
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Self::ReadOnly { server },
            Some(&SqlState::CANNOT_CONNECT_NOW) => Self::Unreachable { server, why },
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                let remedy = format!("connect as the owner of the tables, or run GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\"");
                Self::MissingRights { user, database, why, remedy }
            }
            Some(_) => Self::Database(why),
            // The driver finds out by itself that a password is wanted and there is none.
            None if error.to_string().starts_with("invalid configuration") || error.to_string().starts_with("authentication error") => {
                Self::NotLetIn { server, user, why }
            }
            None if error.to_string().contains("TLS") => Self::Tls { why },
            None => Self::Unreachable { server, why },
        }
    }
}

/// Inside: anything that a statement or a row can answer.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("{}", sentence(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection within the time.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    /// Another node has taken over what this one held; its row is gone.
    #[error("this node was taken for dead")]
    NodeLost,
    #[error("256 nodes are registered: no more can be told apart")]
    TooManyNodes,
    /// Not all of the data is there yet.
    #[error("the database has half a move from {source_place}")]
    HalfMoved { source_place: String },
    #[error("the store is closed")]
    Closed,
    #[error(transparent)]
    Row(#[from] RowError),
}

impl StoreError {
    /// What the server said, as a code.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// The connection is of no use any more.
    pub(crate) fn is_connection_lost(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_closed() || error.code().is_none_or(|code| code.code().starts_with("57P")),
            Self::Away(_) => true,
            _ => false,
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

/// The driver's own texts say little ("db error"): the message of the server, or the cause.
pub(crate) fn sentence(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

pub(crate) fn closed() -> Unavailable {
    StoreError::Closed.into()
}
