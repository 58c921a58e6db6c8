//! Keeps the memory of the catalogue true to what other nodes changed: each change leaves a row, which the others find when they ask.
//!
//! A row gets its time before its transaction is committed, so rows turn up late: each look goes back over some seconds, and what was seen is remembered.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{ApplicationId, EndpointId, OrgId, RowId, SourceId};
use parking_lot::Mutex;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog;
use crate::error::StoreError;
use crate::shared::Shared;

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
    Source(SourceId),
    /// Any: nobody keeps them without asking for the version.
    Document,
    /// Any: the rows of the queue say what was called back from whom.
    Recall,
}

/// Names a row of `change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChangeId(i64);

/// How far back each look goes: how long a transaction may take from its row to its end.
const LATE_MS: f64 = 15_000.0;
/// Rows are kept for so long; a node that did not look for nearly that long knows nothing any more.
const KEPT_MS: f64 = 60_000.0;
const MISSED_AFTER_MS: f64 = 40_000.0;
/// Enough for applications that have nothing to do with each other to seldom wait for each other.
const TURNS: usize = 32;
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// What this node knows of changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Rows that need not be acted upon again, with when they became known: seen before, or our own.
    known: Mutex<HashMap<ChangeId, Instant>>,
    /// When the last look was, by the clock of the database, in milliseconds.
    looked_at_ms: Mutex<Option<f64>>,
    /// Changes that this node is making.
    pub(crate) under_way: TaskTracker,
    turns: Turns,
}

/// One at a time for each application, in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Turns([tokio::sync::Mutex<()>; TURNS]);

impl Turns {
    pub(crate) async fn of(&self, id: ApplicationId) -> MutexGuard<'_, ()> {
        let hash = foldhash::fast::FixedState::default().hash_one(id);
        self.0[hash as usize % TURNS].lock().await
    }
}

impl Changes {
    pub(crate) fn is_known(&self, id: ChangeId) {
        self.known.lock().insert(id, Instant::now());
    }

    #[cfg(test)]
    pub(crate) fn has_looked(&self) -> bool {
        self.looked_at_ms.lock().is_some()
    }

    /// As if it were long ago.
    #[cfg(test)]
    pub(crate) fn forget_when_it_looked(&self) {
        *self.looked_at_ms.lock() = Some(0.0);
    }

    /// The changes of one application are made one after the other. In the database they would wait for each other anyway; and where two overlap, neither
    /// knows what the application has become, so that its endpoints, of which there may be thousands, had to be read again after each.
    ///
    /// To be asked for with a connection in hand: whoever has the turn must not have to wait for one.
    pub(crate) async fn turn(&self, id: ApplicationId) -> MutexGuard<'_, ()> {
        self.turns.of(id).await
    }

    /// Waits for what is being changed; nothing may be begun any more.
    pub(crate) async fn finish(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
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
            Self::Source(id) => (6, id.row().raw().to_be_bytes().to_vec()),
            Self::Document => (7, Vec::new()),
            Self::Recall => (8, Vec::new()),
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
            6 => Some(Self::Source(SourceId::from_row(row()?))),
            7 => Some(Self::Document),
            8 => Some(Self::Recall),
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

/// Drops from memory what has changed, so that whoever asks next reads it again.
pub(crate) fn forget(shared: &Shared, changed: &Changed) {
    match changed {
        Changed::Application(id) => {
            shared.catalog.forget_application(*id);
            shared.catalog.drop_application(*id);
        }
        Changed::EventTypes(org) => shared.catalog.drop_event_types(org),
        Changed::ApiKey(hash) => shared.catalog.forget_api_key(*hash),
        Changed::Source(id) => shared.catalog.patch_source(*id, None),
        Changed::Document => shared.catalog.changed(),
        // Kept elsewhere, or read again as a whole.
        Changed::Revocation | Changed::Health(_) | Changed::Task | Changed::Recall => {}
    }
}

/// Looks at what the others changed since the last time, and drops it from memory. Returns what is not about the catalogue.
pub(crate) async fn follow(shared: &Shared, client: &impl GenericClient) -> Result<Vec<Changed>, StoreError> {
    let last = *shared.changes.looked_at_ms.lock();
    // The clock is read before the rows: what is committed in between is seen twice rather than never.
    let now: f64 = client.query_one("SELECT extract(epoch FROM clock_timestamp())::float8 * 1000", &[]).await?.try_get(0)?;
    let Some(last) = last.filter(|last| (*last..*last + MISSED_AFTER_MS).contains(&now)) else {
        // The first look, or the first after a long time.
        catalog::remember(shared, catalog::load_revocations(client).await?);
        shared.catalog.drop_all();
        *shared.changes.looked_at_ms.lock() = Some(now);
        return Ok(vec![Changed::Task, Changed::Recall]);
    };
    let since = now.min(last) - LATE_MS;
    let rows = client
        .query_typed("SELECT id, kind, key FROM hookpost.change WHERE at > to_timestamp($1 / 1000)", &[(&since, Type::FLOAT8)])
        .await?;
    let mut changes = Vec::new();
    for row in &rows {
        let id = ChangeId(row.try_get(0)?);
        if shared.changes.known.lock().insert(id, Instant::now()).is_none() {
            changes.extend(Changed::of_columns(row.try_get(1)?, row.try_get(2)?));
        }
    }
    if changes.contains(&Changed::Revocation) {
        catalog::remember(shared, catalog::load_revocations(client).await?);
    }
    changes.iter().for_each(|changed| forget(shared, changed));
    *shared.changes.looked_at_ms.lock() = Some(now);
    changes.retain(|changed| matches!(changed, Changed::Health(_) | Changed::Task | Changed::Recall));
    Ok(changes)
}

/// Takes away what everybody has seen.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(TIDY_EVERY)).await.is_some() {
        if let Err(error) = tidy(&shared).await {
            tracing::debug!("old changes stay a little longer: {error}");
        }
    }
}

async fn tidy(shared: &Shared) -> Result<(), StoreError> {
    let kept = Duration::from_millis(KEPT_MS as u64);
    shared.changes.known.lock().retain(|_, since| since.elapsed() < kept);
    let connection = shared.connections.get().await?;
    let sql = "DELETE FROM hookpost.change WHERE id IN (
        SELECT id FROM hookpost.change WHERE at < clock_timestamp() - $1 * interval '1 millisecond' LIMIT 10000 FOR UPDATE SKIP LOCKED)";
    connection.query_typed(sql, &[(&KEPT_MS, Type::FLOAT8)]).await?;
    Ok(())
}
