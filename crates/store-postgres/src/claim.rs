//! Claims: `FOR UPDATE SKIP LOCKED` over the queue of one endpoint, in its order. An ordered endpoint is served by one node, which waits for locks
//! instead: skipping would change the order.

use std::sync::Arc;

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryKey, DeliveryState, Progress, RowId, Timestamp, Trigger};
use hookpost_store::codec::{StateColumns, decode_message, message_id, time};
use hookpost_store::queue::ClaimRequest;
use hookpost_store::rows::RowError;
use hookpost_store::{Claimed, LeaseId, LeasedDelivery};
use tokio_postgres::Row;

use deadpool_postgres::Transaction;

use crate::error::StoreError;
use crate::node;
use crate::shared::Shared;

/// What can be claimed, as the queue has it.
#[derive(Debug)]
struct Candidate {
    message: i64,
    scheduled_at_ms: Option<i64>,
    manual_at_ms: Option<i64>,
    progress: Progress,
    /// `None`: the message is forgotten.
    payload_bytes: Option<i32>,
}

#[derive(Debug)]
struct Chosen {
    key: DeliveryKey,
    lease: LeaseId,
    trigger: Trigger,
    progress: Progress,
}

/// $1: the endpoint, $2: now, $3: how many at most.
const CANDIDATES: &str = "
    WITH due AS MATERIALIZED (
        SELECT message, scheduled_at_ms, manual_at_ms, attempts, scheduled_attempts FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND next_at_ms <= $2
        ORDER BY endpoint, next_at_ms, message LIMIT $3 FOR UPDATE SKIP LOCKED
    ), backlog AS MATERIALIZED (
        SELECT message, scheduled_at_ms, manual_at_ms, attempts, scheduled_attempts FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND pending AND (next_at_ms IS NULL OR next_at_ms > $2)
        ORDER BY endpoint, message LIMIT greatest($3 - (SELECT count(*) FROM due), 0) FOR UPDATE SKIP LOCKED
    ), candidate AS (SELECT * FROM due UNION ALL SELECT * FROM backlog)
    SELECT *, (SELECT coalesce(octet_length(payload), 0) FROM hookpost.message WHERE message.id = candidate.message) FROM candidate";

/// $4: nothing of the schedule from this message on.
const CANDIDATES_IN_ORDER: &str = "
    WITH by_hand AS MATERIALIZED (
        SELECT message, scheduled_at_ms, manual_at_ms, attempts, scheduled_attempts FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND next_at_ms <= $2 AND manual_at_ms <= $2
        ORDER BY manual_at_ms, message LIMIT $3 FOR UPDATE
    ), due AS MATERIALIZED (
        SELECT message, scheduled_at_ms, manual_at_ms, attempts, scheduled_attempts FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND next_at_ms <= $2 AND scheduled_at_ms <= $2
            AND (manual_at_ms IS NULL OR manual_at_ms > $2) AND message < $4
        ORDER BY message LIMIT $3 FOR UPDATE
    ), backlog AS MATERIALIZED (
        SELECT message, scheduled_at_ms, manual_at_ms, attempts, scheduled_attempts FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND pending AND (manual_at_ms IS NULL OR manual_at_ms > $2) AND message < $4
        ORDER BY endpoint, message LIMIT $3 FOR UPDATE
    ), candidate AS (SELECT * FROM by_hand UNION ALL SELECT * FROM due UNION ALL SELECT * FROM backlog)
    SELECT *, (SELECT coalesce(octet_length(payload), 0) FROM hookpost.message WHERE message.id = candidate.message) FROM candidate";

/// What keeps an ordered lane from going on: a message that was tried and waits for its retry.
const OLDEST_IN_RETRY: &str = "
    SELECT min(message) FROM hookpost.queue
    WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND scheduled_at_ms > $2 AND scheduled_attempts > 0";

const LEASE: &str = "
    UPDATE hookpost.queue SET holder = $2, lease = chosen.lease,
        leased_manual_at_ms = CASE WHEN chosen.manual THEN queue.manual_at_ms END,
        manual_at_ms = CASE WHEN chosen.manual THEN NULL ELSE queue.manual_at_ms END,
        next_at_ms = CASE WHEN chosen.manual THEN queue.scheduled_at_ms ELSE queue.next_at_ms END
    FROM unnest($3::bigint[], $4::bigint[], $5::boolean[]) AS chosen (message, lease, manual)
    WHERE queue.endpoint = $1 AND queue.message = chosen.message";

/// `OFFSET 0`: each message is looked up by its id, whatever the planner believes of the tables. One that was forgotten at this very moment is an error,
/// and the claim is made again.
const MESSAGES: &str = "
    SELECT message.application, message.header, message.payload, delivery.state, delivery.reason, delivery.due_at_ms
    FROM unnest($2::bigint[]) WITH ORDINALITY AS chosen (message, place)
    LEFT JOIN LATERAL (SELECT application, header, payload FROM hookpost.message WHERE message.id = chosen.message OFFSET 0) AS message ON true
    LEFT JOIN LATERAL (
        SELECT state, reason, due_at_ms FROM hookpost.delivery
        WHERE delivery.message = chosen.message AND delivery.endpoint = $1 OFFSET 0
    ) AS delivery ON true
    ORDER BY chosen.place";

/// Whether more could be claimed now, and when the next will be due. Of what is due already but has a later time as well, only the first are
/// looked at: the claim that comes to the others finds them.
const REST: &str = "
    SELECT
        EXISTS (
            SELECT FROM hookpost.queue WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND next_at_ms <= $2
                AND (manual_at_ms <= $2 OR (scheduled_at_ms <= $2 AND message < $3))
        ) OR EXISTS (SELECT FROM hookpost.queue WHERE endpoint = $1 AND holder IS NULL AND pending AND message < $3),
        least(
            (SELECT min(next_at_ms) FROM hookpost.queue WHERE endpoint = $1 AND holder IS NULL AND next_at_ms > $2),
            (SELECT min(later_at_ms) FROM (
                SELECT greatest(scheduled_at_ms, manual_at_ms) AS later_at_ms FROM hookpost.queue
                WHERE endpoint = $1 AND holder IS NULL AND next_at_ms IS NOT NULL AND next_at_ms <= $2
                ORDER BY endpoint, next_at_ms, message LIMIT 1000
            ) AS due WHERE later_at_ms > $2)
        )";

pub(crate) async fn claim(shared: &Shared, request: ClaimRequest, now: Timestamp) -> Result<Claimed, StoreError> {
    let (endpoint, now_ms) = (request.endpoint.row().as_i64(), now.unix_ms() as i64);
    let holder = shared.node.holder();
    let mut client = shared.connections.get().await?;
    let transaction = node::begin(&mut client, holder).await?;
    let held_by = if request.ordered { oldest_in_retry(&transaction, endpoint, now_ms).await? } else { None };
    let bound = held_by.unwrap_or(i64::MAX);
    let candidates = candidates(&transaction, &request, bound, now_ms).await?;
    forget_orphans(&transaction, endpoint, &candidates).await?;
    let chosen = choose(shared, candidates, &request, now_ms);

    let lease = transaction.prepare_cached(LEASE).await?;
    let messages = transaction.prepare_cached(MESSAGES).await?;
    let rest = transaction.prepare_cached(REST).await?;
    let ids: Vec<i64> = chosen.iter().map(|one| one.key.message.row().as_i64()).collect();
    let leases: Vec<i64> = chosen.iter().map(|one| one.lease.0 as i64).collect();
    let manual: Vec<bool> = chosen.iter().map(|one| one.trigger == Trigger::Manual).collect();
    let (leased, rows, rest) = tokio::join!(
        biased;
        async { transaction.execute(&lease, &[&endpoint, &holder, &ids, &leases, &manual]).await },
        async { transaction.query(&messages, &[&endpoint, &ids]).await },
        async { transaction.query_one(&rest, &[&endpoint, &now_ms, &bound]).await },
    );
    leased?;
    let (rows, rest) = (rows?, rest?);
    let mut deliveries = Vec::with_capacity(chosen.len());
    for (chosen, row) in chosen.iter().zip(&rows) {
        deliveries.push(leased_delivery(chosen, row)?);
    }
    transaction.commit().await?;
    hold(shared, holder, &deliveries)?;
    Ok(Claimed {
        deliveries,
        more: rest.try_get(0)?,
        next_due: rest.try_get::<_, Option<i64>>(1)?.map(time),
        held_by: held_by.map(message_id),
        taken_over: None,
    })
}

async fn oldest_in_retry(transaction: &Transaction<'_>, endpoint: i64, now_ms: i64) -> Result<Option<i64>, StoreError> {
    let statement = transaction.prepare_cached(OLDEST_IN_RETRY).await?;
    Ok(transaction.query_one(&statement, &[&endpoint, &now_ms]).await?.try_get(0)?)
}

/// In the order in which they are handed out.
async fn candidates(transaction: &Transaction<'_>, request: &ClaimRequest, bound: i64, now_ms: i64) -> Result<Vec<Candidate>, StoreError> {
    let endpoint = request.endpoint.row().as_i64();
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let rows = if request.ordered {
        let statement = transaction.prepare_cached(CANDIDATES_IN_ORDER).await?;
        transaction.query(&statement, &[&endpoint, &now_ms, &limit, &bound]).await?
    } else {
        let statement = transaction.prepare_cached(CANDIDATES).await?;
        transaction.query(&statement, &[&endpoint, &now_ms, &limit]).await?
    };
    let mut candidates = rows.iter().map(Candidate::of_row).collect::<Result<Vec<_>, StoreError>>()?;
    // A row that was changed while it was waited for may stand elsewhere now.
    candidates.sort_by_key(|one| if request.ordered { one.rank_in_order(now_ms) } else { one.rank(now_ms) });
    Ok(candidates)
}

impl Candidate {
    fn of_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            message: row.try_get(0)?,
            scheduled_at_ms: row.try_get(1)?,
            manual_at_ms: row.try_get(2)?,
            progress: progress(row.try_get(3)?, row.try_get(4)?),
            payload_bytes: row.try_get(5)?,
        })
    }

    /// By hand if that request is due and older than the schedule.
    fn trigger(&self, ordered: bool, now_ms: i64) -> Trigger {
        let is_asked_for = self.manual_at_ms.is_some_and(|at| at <= now_ms);
        let comes_first = ordered || self.scheduled_at_ms.is_none_or(|scheduled| self.manual_at_ms.is_some_and(|at| at < scheduled));
        if is_asked_for && comes_first { Trigger::Manual } else { Trigger::Scheduled }
    }

    /// What is due, by its time; then the backlog, by age.
    fn rank(&self, now_ms: i64) -> (bool, i64, i64) {
        match self.scheduled_at_ms.into_iter().chain(self.manual_at_ms).min().filter(|at| *at <= now_ms) {
            Some(at) => (false, at, self.message),
            None => (true, self.message, 0),
        }
    }

    /// What was asked for by hand, by its time; then everything, by age.
    fn rank_in_order(&self, now_ms: i64) -> (bool, i64, i64) {
        match self.manual_at_ms.filter(|at| *at <= now_ms) {
            Some(at) => (false, at, self.message),
            None => (true, self.message, 0),
        }
    }
}

pub(crate) fn progress(attempts: i32, scheduled_attempts: i32) -> Progress {
    let count = |value| u32::try_from(value).unwrap_or_default();
    Progress { attempts: count(attempts), scheduled_attempts: count(scheduled_attempts) }
}

/// Rows whose message is forgotten would be found again and again.
async fn forget_orphans(transaction: &Transaction<'_>, endpoint: i64, candidates: &[Candidate]) -> Result<(), StoreError> {
    let orphans: Vec<i64> = candidates.iter().filter(|one| one.payload_bytes.is_none()).map(|one| one.message).collect();
    if !orphans.is_empty() {
        transaction.execute("DELETE FROM hookpost.queue WHERE endpoint = $1 AND message = ANY($2)", &[&endpoint, &orphans]).await?;
    }
    Ok(())
}

fn choose(shared: &Shared, candidates: Vec<Candidate>, request: &ClaimRequest, now_ms: i64) -> Vec<Chosen> {
    let mut chosen = Vec::new();
    let mut bytes = 0;
    let mut leases = shared.leases.lock();
    for candidate in candidates {
        let Some(payload_bytes) = candidate.payload_bytes else { continue };
        if chosen.len() >= request.limit || (bytes >= request.bytes_max && !chosen.is_empty()) {
            break;
        }
        bytes += usize::try_from(payload_bytes).unwrap_or_default();
        chosen.push(Chosen {
            key: DeliveryKey { message: message_id(candidate.message), endpoint: request.endpoint },
            lease: leases.next_id(),
            trigger: candidate.trigger(request.ordered, now_ms),
            progress: candidate.progress,
        });
    }
    chosen
}

fn leased_delivery(chosen: &Chosen, row: &Row) -> Result<LeasedDelivery, StoreError> {
    let application = ApplicationId::from_row(RowId::from_i64(row.try_get(0)?));
    let message = decode_message(chosen.key.message, application, row.try_get(1)?, row.try_get(2)?).map_err(RowError::from)?;
    let state: DeliveryState =
        StateColumns { state: row.try_get(3)?, reason: row.try_get(4)?, due_at_ms: row.try_get(5)? }.decode().map_err(RowError::from)?;
    let Chosen { key, lease, trigger, progress } = *chosen;
    Ok(LeasedDelivery { key, lease, application, message: Arc::new(message), state, progress, trigger })
}

/// What a life that has ended meanwhile has claimed is not ours: others have it by now.
fn hold(shared: &Shared, holder: i64, deliveries: &[LeasedDelivery]) -> Result<(), StoreError> {
    let mut leases = shared.leases.lock();
    if shared.node.holder() != holder {
        return Err(StoreError::NodeLost);
    }
    shared.recalled.forget(deliveries.iter().map(|one| one.key));
    for one in deliveries {
        leases.explicit(one.key, one.lease, one.trigger, DeliveryStatus::of(one.state, one.progress), one.message.created_at);
    }
    Ok(())
}
