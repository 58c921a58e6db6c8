//! Ending deliveries: those that nobody holds, those that anybody holds ([`crate::recall`]), and all of an endpoint that goes.

use std::collections::{BTreeMap, HashSet};

use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{ApplicationId, DeliveryState, EndpointId, Message, Reason, RowId, Timestamp};
use hookpost_store::codec::{StateColumns, decode_created_at, decode_message, endpoint_id, message_id};
use hookpost_store::queue::{CancelFilter, Canceled};
use hookpost_store::rows::RowError;
use hookpost_store::usage::UsageCounts;
use tokio_postgres::{GenericClient, Row};

use crate::changes::{self, Changed};
use crate::claim::progress;
use crate::counts::CountChanges;
use crate::error::StoreError;
use crate::shared::Shared;
use crate::statements::query;
use crate::usage::UsageChanges;
use crate::{node, owners, recall};

/// Deliveries that are looked at in one statement.
const LOOKED_AT: i64 = 1000;

/// $2: after this message; $3: only these, where not null; $5: also those that are held, unless they are called back already.
const OPEN: &str = "
    SELECT open.message, message.application, message.header
    FROM (
        SELECT message FROM hookpost.queue
        WHERE endpoint = $1 AND (holder IS NULL OR $5 AND (recalled IS NULL OR manual_at_ms IS NOT NULL)) AND message > $2
            AND ($3::bigint[] IS NULL OR message = ANY($3))
        ORDER BY message LIMIT $4
    ) AS open
    LEFT JOIN LATERAL (SELECT application, header FROM hookpost.message WHERE message.id = open.message OFFSET 0) AS message ON true
    ORDER BY open.message";

/// What nodes hold and never wrote. $5: its application.
const IMPLIED: &str = "
    SELECT id, application, header FROM hookpost.message
    WHERE application = $5 AND id >= (SELECT min(implied_from) FROM hookpost.node) AND id > $2 AND targets @> ARRAY[$1::bigint]
        AND ($3::bigint[] IS NULL OR id = ANY($3))
        AND NOT EXISTS (SELECT FROM hookpost.delivery WHERE delivery.message = message.id AND delivery.endpoint = $1)
    ORDER BY id LIMIT $4";

/// So that nobody buries a node while something is called back from it.
const LOCK_NODES: &str = "
    SELECT FROM hookpost.node WHERE number IN (SELECT message & 255 FROM unnest($1::bigint[]) AS wanted (message)) ORDER BY holder FOR KEY SHARE";

/// The row that the record of its holder will meet; 0: `resend::FOREIGN_LEASE`. Who was faster has written what is true.
const END_IMPLIED_OF: &str = "
    WITH created AS (
        INSERT INTO hookpost.delivery (message, endpoint, state, reason, attempts, scheduled_attempts)
        SELECT message, $1, 4, $3, 0, 0 FROM unnest($2::bigint[]) AS wanted (message) ORDER BY message
        ON CONFLICT DO NOTHING RETURNING message
    ), recalled AS (
        INSERT INTO hookpost.queue (endpoint, message, application, pending, attempts, scheduled_attempts, holder, lease, recalled)
        SELECT $1, created.message, $4, false, 0, 0, node.holder, 0, $3
        FROM created JOIN hookpost.node ON node.number = (created.message & 255) AND created.message >= node.implied_from
    )
    SELECT message FROM created";

/// What is under way with them ends first.
const LOCK: &str = "SELECT FROM hookpost.queue WHERE endpoint = $1 AND message = ANY($2::bigint[]) ORDER BY endpoint, message FOR UPDATE";
/// Nothing is left to be done with it but to hear what became of its lease.
const RECALL: &str = "
    UPDATE hookpost.queue SET recalled = $3, recall_heard = false, pending = false, scheduled_at_ms = NULL, manual_at_ms = NULL,
        leased_manual_at_ms = NULL, next_at_ms = NULL
    WHERE endpoint = $1 AND message = ANY($2::bigint[]) AND holder IS NOT NULL RETURNING message";
const END: &str = "DELETE FROM hookpost.queue WHERE endpoint = $1 AND message = ANY($2::bigint[]) AND holder IS NULL RETURNING message";

/// What had ended keeps its state.
const CANCEL: &str = "
    UPDATE hookpost.delivery SET state = 4, reason = $3, due_at_ms = NULL
    WHERE endpoint = $1 AND message = ANY($2::bigint[]) AND state < 2 RETURNING message, attempts";

/// Up to so many that can be claimed, now or later.
pub(crate) async fn cancel(
    shared: &Shared,
    endpoint: EndpointId,
    which: &CancelFilter,
    reason: Reason,
    limit: usize,
    now: Timestamp,
) -> Result<Canceled, StoreError> {
    let mut client = shared.connections.get().await?;
    let mut chosen = Chosen::new(endpoint, which, limit);
    chosen.add(&client, Among::Unheld).await?;
    let row = endpoint.row().as_i64();
    let transaction = node::begin(&mut client, shared.node.holder()).await?;
    let ended = column(&query(&transaction, END, &[&row, &chosen.ids()]).await?)?;
    let counts = end(&transaction, &chosen, &ended, &[], reason, now).await?;
    transaction.commit().await?;
    counts.committed(shared);
    Ok(Canceled { count: ended.len(), more: chosen.more })
}

/// The same, whoever holds them.
pub(crate) async fn cancel_everywhere(
    shared: &Shared,
    endpoint: EndpointId,
    which: &CancelFilter,
    reason: Reason,
    limit: usize,
    now: Timestamp,
) -> Result<Canceled, StoreError> {
    let mut client = shared.connections.get().await?;
    owners::learn_applications(shared, &client, &HashSet::from([endpoint])).await?;
    let application = shared.owned.lock().application_of(endpoint);
    // An endpoint that is gone has nothing left.
    let Some(application) = application else { return Ok(Canceled::default()) };
    let (row, application) = (endpoint.row().as_i64(), application.row().as_i64());
    let mut chosen = Chosen::new(endpoint, which, limit);
    // In this order: what gets its row in between is found there.
    chosen.add(&client, Among::Implied { application }).await?;
    let implied = chosen.ids();
    chosen.add(&client, Among::Written).await?;
    let columns = StateColumns::of(DeliveryState::Canceled { reason }).reason;
    let transaction = node::begin(&mut client, shared.node.holder()).await?;
    query(&transaction, LOCK_NODES, &[&implied]).await?;
    let created = column(&query(&transaction, END_IMPLIED_OF, &[&row, &implied, &columns, &application]).await?)?;
    let written: Vec<i64> = chosen.ids().into_iter().filter(|id| !created.contains(id)).collect();
    query(&transaction, LOCK, &[&row, &written]).await?;
    let mut ended = column(&query(&transaction, END, &[&row, &written]).await?)?;
    let recalled = column(&query(&transaction, RECALL, &[&row, &written, &columns]).await?)?;
    let is_recalled = !(recalled.is_empty() && created.is_empty());
    ended.extend(recalled);
    let counts = end(&transaction, &chosen, &ended, &created, reason, now).await?;
    if is_recalled {
        changes::record_change(&*transaction, &Changed::Recall).await?;
    }
    transaction.commit().await?;
    counts.committed(shared);
    if is_recalled {
        shared.hints.others_should_look();
        recall::hear(shared, &client).await?;
        recall::until_heard(shared, &client, endpoint).await?;
    }
    Ok(Canceled { count: ended.len() + created.len(), more: chosen.more })
}

/// Gives those that have not ended yet their last state, and counts them, with those that have it already.
async fn end(
    transaction: &deadpool_postgres::Transaction<'_>,
    chosen: &Chosen<'_>,
    ended: &[i64],
    created: &[i64],
    reason: Reason,
    now: Timestamp,
) -> Result<CountChanges, StoreError> {
    let reason = StateColumns::of(DeliveryState::Canceled { reason }).reason;
    let mut canceled: Vec<(i64, i32)> = created.iter().map(|message| (*message, 0)).collect();
    for row in query(transaction, CANCEL, &[&chosen.endpoint.row().as_i64(), &ended, &reason]).await? {
        canceled.push((row.try_get(0)?, row.try_get(1)?));
    }
    let (mut counts, mut usage) = (CountChanges::default(), UsageChanges::default());
    let one = UsageCounts { canceled: 1, ..UsageCounts::default() };
    for (message, attempts) in canceled {
        if let Some(message) = chosen.messages.get(&message) {
            counts.moved(chosen.endpoint, message.created_at, status_before(attempts), DeliveryStatus::Canceled);
            usage.add(message.application, &message.content.event_type, now, one);
        }
    }
    counts.insert(&**transaction).await?;
    usage.insert(&**transaction).await?;
    Ok(counts)
}

fn column(rows: &[Row]) -> Result<Vec<i64>, StoreError> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Where deliveries are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Among {
    Unheld,
    /// All that have a row.
    Written,
    Implied {
        application: i64,
    },
}

/// Up to so many messages without their payloads, and whether there are more.
struct Chosen<'a> {
    endpoint: EndpointId,
    which: &'a CancelFilter,
    limit: usize,
    messages: BTreeMap<i64, Message>,
    more: bool,
}

impl<'a> Chosen<'a> {
    fn new(endpoint: EndpointId, which: &'a CancelFilter, limit: usize) -> Self {
        Self { endpoint, which, limit, messages: BTreeMap::new(), more: false }
    }

    fn ids(&self) -> Vec<i64> {
        self.messages.keys().copied().collect()
    }

    /// Oldest first.
    async fn add(&mut self, client: &deadpool_postgres::Object, among: Among) -> Result<(), StoreError> {
        let only: Option<Vec<i64>> = self.which.messages.as_ref().map(|ids| ids.iter().map(|id| id.row().as_i64()).collect());
        let endpoint = self.endpoint.row().as_i64();
        let mut after = -1_i64;
        while !self.more {
            let rows = match among {
                Among::Implied { application } => query(client, IMPLIED, &[&endpoint, &after, &only, &LOOKED_AT, &application]).await?,
                _ => query(client, OPEN, &[&endpoint, &after, &only, &LOOKED_AT, &(among == Among::Written)]).await?,
            };
            for row in &rows {
                after = row.try_get(0)?;
                let Some(message) = matching(row, self.which)? else { continue };
                if self.messages.len() == self.limit && !self.messages.contains_key(&after) {
                    self.more = true;
                    break;
                }
                self.messages.insert(after, message);
            }
            if rows.len() < LOOKED_AT as usize {
                break;
            }
        }
        Ok(())
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
