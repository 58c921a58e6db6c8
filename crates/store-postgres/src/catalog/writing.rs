//! How a change of the catalogue is made: one transaction with a row for the other nodes, then our own memory, then the answer.

use std::sync::Arc;

use deadpool_postgres::{Object, Transaction};
use hookpost_domain::{ApplicationId, Invalid};
use hookpost_store::cache::Loading;
use hookpost_store::rows::RowError;
use hookpost_store::{ApplicationView, Unavailable, WriteError};
use tokio::sync::MutexGuard;
use tokio_postgres::error::SqlState;

use crate::changes::{Changed, record_change};
use crate::error::StoreError;
use crate::shared::Shared;

/// Why a change did not come about.
#[derive(Debug)]
pub(crate) enum Failed {
    Refused(WriteError),
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RowError> for Failed {
    fn from(error: RowError) -> Self {
        Self::Store(error.into())
    }
}

impl From<Invalid> for Failed {
    fn from(refusal: Invalid) -> Self {
        Self::Refused(WriteError::Refused(refusal))
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self::Refused(error)
    }
}

/// What the database itself keeps unique is refused by the name of the constraint.
impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let violated = error.as_db_error().filter(|answer| *answer.code() == SqlState::UNIQUE_VIOLATION);
        match violated.and_then(|answer| answer.constraint()) {
            Some(
                "application_org_uid_key"
                | "endpoint_application_uid_key"
                | "source_org_uid_key"
                | "document_pkey"
                | "document_kind_org_owner_name_key",
            ) => Self::Refused(WriteError::Conflict { field: "uid" }),
            Some("source_token_pkey") => Self::Refused(WriteError::Conflict { field: "token" }),
            Some("event_type_pkey") => Self::Refused(WriteError::Conflict { field: "name" }),
            _ => Self::Store(error.into()),
        }
    }
}

impl From<Failed> for WriteError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(error) => error,
            Failed::Store(error) => error.into(),
        }
    }
}

impl From<Failed> for Unavailable {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Store(error) => error.into(),
            Failed::Refused(WriteError::Unavailable(error)) => error,
            Failed::Refused(error) => Self(error.to_string()),
        }
    }
}

/// Carries a change through to its end, whatever becomes of whoever asked for it: what is in memory must follow what is in the database.
pub(super) async fn carry_through<T: Send + 'static>(
    shared: &Shared,
    change: impl Future<Output = Result<T, Failed>> + Send + 'static,
) -> Result<T, Failed> {
    match shared.changes.under_way.spawn(change).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}

/// The last steps of a change: the row for the others, and the commit. Whoever comes later finds what it says, also where the answer got lost.
pub(crate) async fn commit(shared: &Shared, transaction: Transaction<'_>, changed: &Changed) -> Result<(), Failed> {
    let id = record_change(&*transaction, changed).await?;
    if let Err(error) = transaction.commit().await {
        // It may have come about: better read again than be wrong.
        crate::changes::forget(shared, changed);
        return Err(error.into());
    }
    shared.changes.is_known(id);
    shared.hints.others_should_look();
    Ok(())
}

/// A change of one application, or of what belongs to it.
pub(super) struct ApplicationChange<'a> {
    pub(super) transaction: Transaction<'a>,
    ticket: Ticket<'a>,
    /// Kept until memory has followed.
    turn: MutexGuard<'a, ()>,
}

impl<'a> ApplicationChange<'a> {
    pub(super) async fn begin(shared: &'a Arc<Shared>, connection: &'a mut Object, id: ApplicationId) -> Result<Self, Failed> {
        let turn = shared.changes.turn(id).await;
        let ticket = Ticket { shared, id, number: Some(shared.catalog.begin(Loading::Application(id))) };
        Ok(Self { transaction: connection.transaction().await?, ticket, turn })
    }

    /// `patch` does to the view what was done to the rows; `None`: it is gone.
    pub(super) async fn commit(self, patch: impl FnOnce(&mut ApplicationView) -> Option<()>) -> Result<(), Failed> {
        let Self { transaction, mut ticket, turn } = self;
        let Ticket { shared, id, .. } = ticket;
        commit(shared, transaction, &Changed::Application(id)).await?;
        if let Some(number) = ticket.number.take() {
            shared.catalog.patch_application_since(number, id, patch);
        }
        drop(turn);
        Ok(())
    }
}

/// Shows whether anything else changed the application meanwhile.
struct Ticket<'a> {
    shared: &'a Shared,
    id: ApplicationId,
    number: Option<u64>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.catalog.end(number);
        }
    }
}
