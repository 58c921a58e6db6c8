//! Attempts that somebody asks for by hand.
//!
//! A delivery that is still implied gets its row first, in the hands of the node that holds it: one that is not ours with the lease 0, because nobody but
//! that node knows its number ([`FOREIGN_LEASE`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use hookpost_domain::task::DeliveryStatus;
use hookpost_domain::{DeliveryKey, DeliveryState, MessageId, Reason, Timestamp};
use hookpost_store::LeaseId;
use hookpost_store::codec::{StateColumns, decode_created_at, endpoint_id, message_id};
use hookpost_store::rows::RowError;
use tokio_postgres::Row;

use crate::counts::CountChanges;
use crate::error::StoreError;
use crate::node;
use crate::release::columns;
use crate::shared::Shared;
use crate::statements::{execute, query};

/// In a row that another node wrote for the holder of an implied lease.
pub(crate) const FOREIGN_LEASE: i64 = 0;

/// So that they are not deleted before the transaction ends.
const ENDPOINTS: &str = "SELECT FROM hookpost.endpoint WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE";

/// 11: `codec::CREATED_AT_BYTES`.
const WANTED: &str = "
    SELECT wanted.message, wanted.endpoint, message.application, wanted.endpoint = ANY(message.targets), message.header
    FROM unnest($1::bigint[], $2::bigint[]) AS wanted (message, endpoint)
    CROSS JOIN LATERAL (
        SELECT application, targets, substring(header FOR 11) AS header FROM hookpost.message
        WHERE message.id = wanted.message AND payload IS NOT NULL OFFSET 0
    ) AS message
    JOIN hookpost.endpoint ON endpoint.id = wanted.endpoint AND endpoint.application = message.application";

/// Locked, so that nobody buries a node while a lease is written in its name.
const NODES: &str =
    "SELECT number, holder, implied_from FROM hookpost.node WHERE number = ANY($1::smallint[]) ORDER BY holder FOR KEY SHARE";

const CREATE: &str = "
    INSERT INTO hookpost.delivery (message, endpoint, state, reason, attempts, scheduled_attempts)
    SELECT message, endpoint, state, reason, 0, 0
    FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[]) AS new (message, endpoint, state, reason)
    ORDER BY message, endpoint
    ON CONFLICT DO NOTHING RETURNING message, endpoint";

/// What is under way with them ends first, so that the rows tell how many attempts there were.
const LOCK: &str = "
    SELECT FROM hookpost.queue JOIN unnest($1::bigint[], $2::bigint[]) AS wanted (message, endpoint)
        ON queue.endpoint = wanted.endpoint AND queue.message = wanted.message
    ORDER BY queue.endpoint, queue.message FOR UPDATE OF queue";

/// A second request before the first was claimed is the same one, and the earlier of the two counts.
const ASK: &str = "
    INSERT INTO hookpost.queue AS queue
        (endpoint, message, application, pending, manual_at_ms, next_at_ms, attempts, scheduled_attempts, holder, lease)
    SELECT wanted.endpoint, wanted.message, wanted.application, wanted.pending, $7, $7, delivery.attempts, delivery.scheduled_attempts,
        wanted.holder, wanted.lease
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[])
        AS wanted (message, endpoint, application, pending, holder, lease)
    CROSS JOIN LATERAL (
        SELECT attempts, scheduled_attempts FROM hookpost.delivery
        WHERE delivery.message = wanted.message AND delivery.endpoint = wanted.endpoint OFFSET 0
    ) AS delivery
    ORDER BY wanted.endpoint, wanted.message
    ON CONFLICT (endpoint, message) DO UPDATE SET
        manual_at_ms = least(queue.manual_at_ms, excluded.manual_at_ms),
        next_at_ms = least(queue.scheduled_at_ms, queue.manual_at_ms, excluded.manual_at_ms)";

/// A delivery that may be sent again.
#[derive(Debug)]
struct Wanted {
    key: DeliveryKey,
    application: i64,
    created_at: Timestamp,
    /// Else it was never meant to go there.
    routed: bool,
    holder: Option<i64>,
    lease: Option<i64>,
    /// It had no row.
    created: bool,
}

pub(crate) async fn send_again(shared: &Shared, keys: Vec<DeliveryKey>, now: Timestamp) -> Result<usize, StoreError> {
    let unique: BTreeSet<DeliveryKey> = keys.iter().copied().collect();
    let (messages, endpoints) = columns(unique.into_iter());
    let holder = shared.node.holder();
    let mut client = shared.connections.get().await?;
    let transaction = node::begin(&mut client, holder).await?;
    query(&transaction, ENDPOINTS, &[&endpoints]).await?;
    let rows = query(&transaction, WANTED, &[&messages, &endpoints]).await?;
    let mut wanted = rows.iter().map(Wanted::of_row).collect::<Result<Vec<_>, _>>()?;
    find_holders(&transaction, &mut wanted).await?;
    create(&transaction, &mut wanted).await?;
    let own_leases = name_own_leases(shared, holder, &mut wanted);
    ask(&transaction, &wanted, now).await?;
    let mut counts = CountChanges::default();
    for one in wanted.iter().filter(|one| one.created && !one.routed) {
        counts.add(one.key.endpoint, one.created_at, DeliveryStatus::Canceled, 1);
    }
    counts.insert(&*transaction).await?;
    transaction.commit().await?;

    counts.committed(shared);
    let mut leases = shared.leases.lock();
    own_leases.into_iter().for_each(|(key, lease)| leases.make_explicit(key, lease));
    drop(leases);
    shared.hints.others_should_look();
    let found: BTreeSet<DeliveryKey> = wanted.iter().map(|one| one.key).collect();
    Ok(keys.iter().filter(|key| found.contains(key)).count())
}

impl Wanted {
    fn of_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) },
            application: row.try_get(2)?,
            routed: row.try_get(3)?,
            created_at: decode_created_at(row.try_get(4)?).map_err(RowError::from)?,
            holder: None,
            lease: None,
            created: false,
        })
    }
}

/// Who would have the deliveries in its memory that have no row.
async fn find_holders(transaction: &Transaction<'_>, wanted: &mut [Wanted]) -> Result<(), StoreError> {
    let number_of = |message: MessageId| (message.row().raw() & 255) as i16;
    let numbers: Vec<i16> = wanted.iter().filter(|one| one.routed).map(|one| number_of(one.key.message)).collect();
    let mut nodes: HashMap<i16, (i64, i64)> = HashMap::new();
    for row in query(transaction, NODES, &[&numbers]).await? {
        nodes.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    for one in wanted.iter_mut().filter(|one| one.routed) {
        let node = nodes.get(&number_of(one.key.message)).filter(|(_, implied_from)| one.key.message.row().as_i64() >= *implied_from);
        one.holder = node.map(|(holder, _)| *holder);
    }
    Ok(())
}

/// Rows for those that have none.
async fn create(transaction: &Transaction<'_>, wanted: &mut [Wanted]) -> Result<(), StoreError> {
    let (messages, endpoints) = columns(wanted.iter().map(|one| one.key));
    let states: Vec<StateColumns> = wanted
        .iter()
        .map(|one| {
            StateColumns::of(if one.routed { DeliveryState::Pending } else { DeliveryState::Canceled { reason: Reason::NotRouted } })
        })
        .collect();
    let (states, reasons): (Vec<i16>, Vec<Option<i16>>) = states.iter().map(|one| (one.state, one.reason)).unzip();
    let mut created = BTreeSet::new();
    for row in query(transaction, CREATE, &[&messages, &endpoints, &states, &reasons]).await? {
        created.insert(DeliveryKey { message: message_id(row.try_get(0)?), endpoint: endpoint_id(row.try_get(1)?) });
    }
    wanted.iter_mut().for_each(|one| one.created = created.contains(&one.key));
    Ok(())
}

/// Returns the leases of this node that get a row.
fn name_own_leases(shared: &Shared, own_holder: i64, wanted: &mut [Wanted]) -> BTreeMap<DeliveryKey, LeaseId> {
    let leases = shared.leases.lock();
    let mut own = BTreeMap::new();
    for one in wanted.iter_mut() {
        match one.holder.filter(|_| one.created) {
            Some(holder) if holder == own_holder => {
                let held = leases.held(one.key);
                own.extend(held.map(|lease| (one.key, lease.id)));
                one.lease = Some(held.map_or(FOREIGN_LEASE, |lease| lease.id.0 as i64));
            }
            Some(_) => one.lease = Some(FOREIGN_LEASE),
            None => one.holder = None,
        }
    }
    own
}

async fn ask(transaction: &Transaction<'_>, wanted: &[Wanted], now: Timestamp) -> Result<(), StoreError> {
    let (messages, endpoints) = columns(wanted.iter().map(|one| one.key));
    let applications: Vec<i64> = wanted.iter().map(|one| one.application).collect();
    let pending: Vec<bool> = wanted.iter().map(|one| one.created && one.routed).collect();
    let holders: Vec<Option<i64>> = wanted.iter().map(|one| one.holder).collect();
    let leases: Vec<Option<i64>> = wanted.iter().map(|one| one.lease).collect();
    let now_ms = now.unix_ms() as i64;
    query(transaction, LOCK, &[&messages, &endpoints]).await?;
    execute(transaction, ASK, &[&messages, &endpoints, &applications, &pending, &holders, &leases, &now_ms]).await?;
    Ok(())
}
