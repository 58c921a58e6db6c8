//! Deliveries by status, endpoint and minute, and receipts by verdict, source and minute: one row of changes per commit, folded into sums now and then, read as both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookpost_domain::receipt::VerdictKind;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{EndpointId, RowId, SourceId, Timestamp};
use hookpost_store::codec::verdict_number;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::shared::Shared;
use crate::usage;

/// What one commit changes.
#[derive(Debug, Default)]
pub(crate) struct CountChanges {
    /// By the row of the endpoint or source.
    changes: BTreeMap<(RowId, i32, u8), i32>,
}

/// As the columns of a row of `count_change`.
#[derive(Debug, Default)]
pub(crate) struct CountColumns {
    pub(crate) endpoints: Vec<i64>,
    pub(crate) minutes: Vec<i32>,
    pub(crate) statuses: Vec<i16>,
    pub(crate) changes: Vec<i32>,
}

const INSERT: &str = "INSERT INTO hookpost.count_change (endpoints, minutes, statuses, changes) VALUES ($1, $2, $3, $4)";

const FOLD_EVERY: Duration = Duration::from_secs(2);
pub(crate) const FOLDED_AT_ONCE: i64 = 1000;
/// In one order everywhere, so that no two nodes wait for each other. Rows that another node is folding are left to it.
const FOLD: &str = "
    WITH taken AS (
        DELETE FROM hookpost.count_change
        WHERE id = ANY(ARRAY(SELECT id FROM hookpost.count_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
        RETURNING endpoints, minutes, statuses, changes
    ),
    folded AS (
        INSERT INTO hookpost.count_sum AS old (endpoint, minute, status, deliveries)
        SELECT endpoint, minute, status, sum(change)
        FROM taken CROSS JOIN LATERAL unnest(endpoints, minutes, statuses, changes) AS one (endpoint, minute, status, change)
        GROUP BY endpoint, minute, status HAVING sum(change) <> 0
        ORDER BY endpoint, minute, status
        ON CONFLICT (endpoint, minute, status) DO UPDATE SET deliveries = old.deliveries + excluded.deliveries
    )
    SELECT count(*) FROM taken";

/// Minutes since 1970.
pub(crate) fn minute_of(time: Timestamp) -> i32 {
    (time.unix_seconds() / 60) as i32
}

/// Where the statuses of receipts begin.
pub(crate) const FIRST_VERDICT: u8 = 16;

pub(crate) fn status_of_verdict(verdict: VerdictKind) -> u8 {
    FIRST_VERDICT + verdict_number(verdict)
}

impl CountChanges {
    /// `created_at`: of the message.
    pub(crate) fn add(&mut self, endpoint: EndpointId, created_at: Timestamp, status: DeliveryStatus, change: i32) {
        *self.changes.entry((endpoint.row(), minute_of(created_at), status.code())).or_default() += change;
    }

    pub(crate) fn add_receipt(&mut self, source: SourceId, received_at: Timestamp, verdict: VerdictKind) {
        *self.changes.entry((source.row(), minute_of(received_at), status_of_verdict(verdict))).or_default() += 1;
    }

    pub(crate) fn moved(&mut self, endpoint: EndpointId, created_at: Timestamp, from: DeliveryStatus, to: DeliveryStatus) {
        if from != to {
            self.add(endpoint, created_at, from, -1);
            self.add(endpoint, created_at, to, 1);
        }
    }

    pub(crate) fn columns(&self) -> CountColumns {
        let mut columns = CountColumns::default();
        for (&(owner, minute, status), &change) in self.changes.iter().filter(|(_, change)| **change != 0) {
            columns.endpoints.push(owner.as_i64());
            columns.minutes.push(minute);
            columns.statuses.push(status.into());
            columns.changes.push(change);
        }
        columns
    }

    /// In the transaction of what it counts.
    pub(crate) async fn insert(&self, transaction: &impl GenericClient) -> Result<(), StoreError> {
        let columns = self.columns();
        if columns.endpoints.is_empty() {
            return Ok(());
        }
        let CountColumns { endpoints, minutes, statuses, changes } = columns;
        transaction
            .query_typed(
                INSERT,
                &[
                    (&endpoints, Type::INT8_ARRAY),
                    (&minutes, Type::INT4_ARRAY),
                    (&statuses, Type::INT2_ARRAY),
                    (&changes, Type::INT4_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }

    /// After the commit.
    pub(crate) fn committed(&self, shared: &Shared) {
        let is_unfinished = |status: u8| [DeliveryStatus::Pending, DeliveryStatus::Sending].iter().any(|one| one.code() == status);
        let change: i64 =
            self.changes.iter().filter(|((.., status), _)| is_unfinished(*status)).map(|(_, change)| i64::from(*change)).sum();
        shared.unfinished.fetch_add(change, Ordering::Relaxed);
    }
}

/// Folds now and then, until the token is cancelled.
pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(FOLD_EVERY)).await.is_some() {
        if let Err(error) = fold(&shared).await {
            tracing::warn!("what was counted could not be folded: {error}");
        }
    }
}

/// Adds the changes that there are to the sums, those of usage too.
pub(crate) async fn fold(shared: &Shared) -> Result<(), StoreError> {
    let client = shared.connections.get().await?;
    let statement = client.prepare_cached(FOLD).await?;
    while client.query_one(&statement, &[&FOLDED_AT_ONCE]).await?.try_get::<_, i64>(0)? == FOLDED_AT_ONCE {}
    while usage::fold(&**client, FOLDED_AT_ONCE).await? == FOLDED_AT_ONCE {}
    Ok(())
}
