//! Ending deliveries: those that nobody holds, and all of an endpoint that goes.

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryState, EndpointId, Message, Reason, RowId, Timestamp};
use hookpost_store::codec::{StateColumns, decode_created_at, decode_message, endpoint_id, message_id};
use hookpost_store::queue::{CancelFilter, Canceled};
use hookpost_store::rows::RowError;
use hookpost_store::usage::UsageCounts;
use tokio_postgres::{GenericClient, Row};

use crate::claim::progress;
use crate::counts::CountChanges;
use crate::error::StoreError;
use crate::node;
use crate::shared::Shared;
use crate::statements::query;
use crate::usage::UsageChanges;

/// Deliveries that are looked at in one statement.
const LOOKED_AT: i64 = 1000;

/// $2: after this message; $3: only these, where not null.
const OPEN: &str = "
    SELECT open.message, message.application, message.header
    FROM (
        SELECT message FROM hookpost.queue
        WHERE endpoint = $1 AND holder IS NULL AND message > $2 AND ($3::bigint[] IS NULL OR message = ANY($3))
        ORDER BY message LIMIT $4
    ) AS open
    LEFT JOIN LATERAL (SELECT application, header FROM hookpost.message WHERE message.id = open.message OFFSET 0) AS message ON true
    ORDER BY open.message";

const END: &str = "DELETE FROM hookpost.queue WHERE endpoint = $1 AND message = ANY($2::bigint[]) AND holder IS NULL RETURNING message";

/// What had ended keeps its state.
const CANCEL: &str = "
    UPDATE hookpost.delivery SET state = 4, reason = $3, due_at_ms = NULL
    WHERE endpoint = $1 AND message = ANY($2::bigint[]) AND state < 2 RETURNING message, attempts";

pub(crate) async fn cancel(
    shared: &Shared,
    endpoint: EndpointId,
    which: &CancelFilter,
    reason: Reason,
    limit: usize,
    now: Timestamp,
) -> Result<Canceled, StoreError> {
    let mut client = shared.connections.get().await?;
    let (chosen, more) = choose(&client, endpoint, which, limit).await?;
    let transaction = node::begin(&mut client, shared.node.holder()).await?;
    let row = endpoint.row().as_i64();
    let messages: Vec<i64> = chosen.iter().map(|message| message.id.row().as_i64()).collect();
    let mut ended = Vec::with_capacity(messages.len());
    for gone in query(&transaction, END, &[&row, &messages]).await? {
        ended.push(gone.try_get::<_, i64>(0)?);
    }
    let reason = StateColumns::of(DeliveryState::Canceled { reason }).reason;
    let (mut counts, mut usage) = (CountChanges::default(), UsageChanges::default());
    let one = UsageCounts { canceled: 1, ..UsageCounts::default() };
    for canceled in query(&transaction, CANCEL, &[&row, &ended, &reason]).await? {
        let (message, attempts): (i64, i32) = (canceled.try_get(0)?, canceled.try_get(1)?);
        if let Ok(place) = chosen.binary_search_by_key(&message, |message| message.id.row().as_i64()) {
            let message = &chosen[place];
            counts.moved(endpoint, message.created_at, status_before(attempts), DeliveryStatus::Canceled);
            usage.add(message.application, &message.content.event_type, now, one);
        }
    }
    counts.insert(&*transaction).await?;
    usage.insert(&*transaction).await?;
    transaction.commit().await?;
    counts.committed(shared);
    Ok(Canceled { count: ended.len(), more })
}

/// Up to so many messages without their payloads, oldest first, and whether there are more.
async fn choose(
    client: &deadpool_postgres::Object,
    endpoint: EndpointId,
    which: &CancelFilter,
    limit: usize,
) -> Result<(Vec<Message>, bool), StoreError> {
    let only: Option<Vec<i64>> = which.messages.as_ref().map(|ids| ids.iter().map(|id| id.row().as_i64()).collect());
    let mut chosen = Vec::new();
    let mut after = -1_i64;
    loop {
        let rows = query(client, OPEN, &[&endpoint.row().as_i64(), &after, &only, &LOOKED_AT]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            let Some(message) = matching(row, which)? else { continue };
            if chosen.len() == limit {
                return Ok((chosen, true));
            }
            chosen.push(message);
        }
        if rows.len() < LOOKED_AT as usize {
            return Ok((chosen, false));
        }
    }
}

fn matching(row: &Row, which: &CancelFilter) -> Result<Option<Message>, StoreError> {
    // Without one the message is forgotten.
    let Some(application) = row.try_get::<_, Option<i64>>(1)? else { return Ok(None) };
    let application = ApplicationId::from_row(RowId::from_i64(application));
    let message = decode_message(message_id(row.try_get(0)?), application, row.try_get(2)?, None).map_err(RowError::from)?;
    Ok(Some(message).filter(|message| which.matches(message)))
}

fn status_before(attempts: i32) -> DeliveryStatus {
    DeliveryStatus::of(DeliveryState::Pending, progress(attempts, 0))
}

/// What went with endpoints; to be told to this node once it is committed.
#[derive(Debug)]
#[must_use]
pub(crate) struct EndedWithEndpoints {
    endpoints: Vec<EndpointId>,
    counts: CountChanges,
}

/// 4: canceled; 6: `EndpointDeleted`; 11: `codec::CREATED_AT_BYTES`. What is finished keeps its state, only the request to send it again goes.
const END_ROWS: &str = "
    WITH gone AS (DELETE FROM hookpost.queue WHERE endpoint = ANY($1) RETURNING message, endpoint)
    UPDATE hookpost.delivery SET state = 4, reason = 6, due_at_ms = NULL FROM gone
    WHERE delivery.message = gone.message AND delivery.endpoint = gone.endpoint AND delivery.state < 2
    RETURNING delivery.endpoint, delivery.attempts,
        (SELECT substring(header FOR 11) FROM hookpost.message WHERE message.id = delivery.message)";

/// What nodes hold in memory gets the row that its record will meet.
const END_IMPLIED: &str = "
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, attempts, scheduled_attempts)
    SELECT message.id, target.endpoint, 4, 6, 0, 0
    FROM hookpost.message CROSS JOIN LATERAL unnest(message.targets) AS target (endpoint)
    WHERE message.application = $1 AND message.id >= (SELECT min(implied_from) FROM hookpost.node) AND target.endpoint = ANY($2)
    ON CONFLICT DO NOTHING
    RETURNING delivery.endpoint, delivery.attempts,
        (SELECT substring(header FOR 11) FROM hookpost.message WHERE message.id = delivery.message)";

/// Ends all unfinished deliveries of these endpoints as canceled, whoever holds them: to be called in the transaction that takes the endpoints away, with
/// [`EndedWithEndpoints::committed`] after it.
pub(crate) async fn end_with_endpoints(
    _shared: &Shared,
    transaction: &impl GenericClient,
    application: ApplicationId,
    endpoints: Vec<EndpointId>,
) -> Result<EndedWithEndpoints, StoreError> {
    let rows: Vec<i64> = endpoints.iter().map(|id| id.row().as_i64()).collect();
    let mut ended = transaction.query(END_ROWS, &[&rows]).await?;
    ended.extend(transaction.query(END_IMPLIED, &[&application.row().as_i64(), &rows]).await?);
    let mut counts = CountChanges::default();
    for row in &ended {
        // Without one the message is forgotten, and its counts with it.
        let Some(header) = row.try_get::<_, Option<&[u8]>>(2)? else { continue };
        let created_at = decode_created_at(header).map_err(RowError::from)?;
        counts.moved(endpoint_id(row.try_get(0)?), created_at, status_before(row.try_get(1)?), DeliveryStatus::Canceled);
    }
    counts.insert(transaction).await?;
    transaction.execute("DELETE FROM hookpost.health WHERE endpoint = ANY($1)", &[&rows]).await?;
    transaction.execute("DELETE FROM hookpost.owner WHERE scope = ANY($1)", &[&rows]).await?;
    Ok(EndedWithEndpoints { endpoints, counts })
}

impl EndedWithEndpoints {
    pub(crate) fn committed(self, shared: &Shared) {
        self.counts.committed(shared);
        let mut leases = shared.leases.lock();
        self.endpoints.iter().for_each(|endpoint| leases.end_endpoint(*endpoint));
        drop(leases);
        let mut owned = shared.owned.lock();
        self.endpoints.iter().for_each(|endpoint| owned.forget_endpoint(*endpoint));
        drop(owned);
        let mut unhealthy = shared.unhealthy.write();
        unhealthy.retain(|endpoint, _| !self.endpoints.contains(endpoint));
    }
}
