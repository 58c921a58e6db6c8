//! Forgetting: whole partitions where retention is long, rows in pieces where it is short; payloads, keys, answers and revocations by their age.
//!
//! One node forgets for all. A partition goes when all of it is past its time, so that messages may stay longer than they must, by one partition at most;
//! where that would be much of the time for which they are kept, rows are deleted to the moment.

mod partitions;
mod payloads;
mod rows;
mod sweeps;

use std::time::Duration;

use hookpost_domain::{RowId, Timestamp};
use hookpost_store::history::{Forgotten, RetentionPolicy};

use crate::counts::FOLDED_AT_ONCE;
use crate::error::StoreError;
use crate::owners::{Scope, own};
use crate::partitions::Partitions;
use crate::shared::Shared;
use crate::usage;

/// Of the length of a partition: what is kept for at least so many is forgotten by partitions.
const PARTITIONS_MIN: u32 = 4;

pub(crate) async fn forget(shared: &Shared, policy: RetentionPolicy, now: Timestamp) -> Result<Forgotten, StoreError> {
    shared.catalog.revocations.write().retain(|_, (_, forget_at)| *forget_at > now);
    let mut connection = shared.connections.get().await?;
    if !own(shared, &**connection, Scope::Retention).await? {
        return Ok(Forgotten::default());
    }
    let oldest_kept = now - policy.rows;
    let by_partitions = goes_by_partitions(&shared.partitions, policy.rows);
    let (messages, first_left) = if by_partitions {
        partitions::forget_history(shared, &connection, first_kept(oldest_kept)).await?
    } else {
        (rows::forget(shared, &mut connection, first_kept(oldest_kept)).await?, RowId::first_at(oldest_kept))
    };
    let payloads = payloads::forget(&mut connection, now).await?;
    let oldest_receipt = first_kept(now - policy.receipts);
    let receipts = if goes_by_partitions(&shared.receipt_partitions, policy.receipts) {
        partitions::forget_oldest(shared, &connection, &shared.receipt_partitions, oldest_receipt).await?
    } else {
        rows::forget_receipts(&connection, oldest_receipt).await?
    };
    // What is not in the sums yet would come to them after they were swept.
    let folded = usage::fold(&**connection, FOLDED_AT_ONCE).await? == FOLDED_AT_ONCE;
    let left = sweeps::Left { oldest_kept, first_message: first_left, by_partitions, first_receipt: oldest_receipt };
    let swept = sweeps::sweep(&connection, left, now).await?;
    let rolled = usage::roll_up(&connection, now).await?;
    let more = messages.more || payloads.more || receipts.more || swept.more || folded || rolled;
    Ok(Forgotten { messages: messages.count, payloads: payloads.count, receipts: receipts.count, more })
}

/// Kept for exactly as long as the policy says: at its end a row goes.
pub(super) fn first_kept(oldest_kept: Timestamp) -> RowId {
    RowId::first_at(Timestamp::from_unix_ms(oldest_kept.unix_ms().saturating_add(1)))
}

fn goes_by_partitions(partitions: &Partitions, kept_for: Duration) -> bool {
    kept_for >= partitions.length().saturating_mul(PARTITIONS_MIN)
}

/// What one call took away of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    count: u64,
    /// There is more, or may be.
    more: bool,
}
