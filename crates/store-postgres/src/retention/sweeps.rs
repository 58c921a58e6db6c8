//! Everything else that is past its time, some rows of each kind per call.

use deadpool_postgres::Object;
use hookpost_domain::{RowId, Timestamp, limits};
use hookpost_store::usage::{COARSE_S, FINE_S};

use super::{Piece, first_kept};
use crate::counts::{FIRST_VERDICT, minute_of};
use crate::error::StoreError;
use crate::statements::execute;
use crate::usage;

/// Rows of one kind that are deleted at a time.
const SWEPT_AT_ONCE: i64 = 2000;

/// What somebody is writing at this moment is passed over: nobody waits for anybody.
const SWEEPS: [(&str, Bound); 6] = [
    (
        "DELETE FROM hookpost.idempotency_key WHERE key IN (
            SELECT key FROM hookpost.idempotency_key WHERE kept_at_ms <= $1 ORDER BY kept_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::KeysUntil,
    ),
    (
        "DELETE FROM hookpost.kept_answer WHERE key IN (
            SELECT key FROM hookpost.kept_answer WHERE kept_at_ms <= $1 ORDER BY kept_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::KeysUntil,
    ),
    (
        "DELETE FROM hookpost.event_id WHERE (application, event_id) IN (
            SELECT application, event_id FROM hookpost.event_id WHERE message < $1 ORDER BY message LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::FirstMessage,
    ),
    (
        "DELETE FROM hookpost.event_key WHERE key IN (
            SELECT key FROM hookpost.event_key WHERE until_ms <= $1 ORDER BY until_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::Now,
    ),
    (
        "DELETE FROM hookpost.document WHERE (kind, org, id) IN (
            SELECT kind, org, id FROM hookpost.document WHERE forget_at_ms <= $1 ORDER BY forget_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::Now,
    ),
    (
        "DELETE FROM hookpost.log_entry WHERE (log, id) IN (
            SELECT log, id FROM hookpost.log_entry WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
        Bound::FirstEntry,
    ),
];

/// Rows that are forgotten one by one are taken off the sums as well, and a sum goes when it has come to nothing. Those of a partition go with it.
const SWEEP_SUMS: &str = "
    DELETE FROM hookpost.count_sum WHERE (endpoint, minute, status) IN (
        SELECT endpoint, minute, status FROM hookpost.count_sum
        WHERE minute < $1 AND status < 16 AND ($3 OR deliveries = 0) ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED)";
/// Nothing is ever taken off the sums of receipts.
const SWEEP_SUMS_OF_RECEIPTS: &str = "
    DELETE FROM hookpost.count_sum WHERE (endpoint, minute, status) IN (
        SELECT endpoint, minute, status FROM hookpost.count_sum
        WHERE minute < $1 AND status >= 16 ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED)";
const _: () = assert!(FIRST_VERDICT == 16);

const SWEEP_USAGE: &str = "
    DELETE FROM hookpost.usage_sum WHERE (application, resolution_s, begin_s, event_type) IN (
        SELECT application, resolution_s, begin_s, event_type FROM hookpost.usage_sum
        WHERE (resolution_s = 300 AND begin_s < $1) OR (resolution_s = 3600 AND begin_s < $2)
        LIMIT $3 FOR UPDATE SKIP LOCKED)";
const _: () = assert!(FINE_S == 300 && COARSE_S == 3600);

/// What the first parameter of a sweep is.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// Keys and answers from then on are kept.
    KeysUntil,
    /// Older messages are gone.
    FirstMessage,
    /// Of a log.
    FirstEntry,
    /// What has an end of its own.
    Now,
}

/// What is left: there is nothing older.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// To the moment; of messages older ones may be there.
    pub(super) oldest_kept: Timestamp,
    pub(super) first_message: RowId,
    /// Messages go by partitions.
    pub(super) by_partitions: bool,
    pub(super) first_receipt: RowId,
}

pub(super) async fn sweep(connection: &Object, left: Left, now: Timestamp) -> Result<Piece, StoreError> {
    let mut piece = Piece::default();
    let minutes = [left.first_message, left.first_receipt].map(|row| minute_of(row.created_at()));
    piece.add(execute(connection, SWEEP_SUMS, &[&minutes[0], &SWEPT_AT_ONCE, &left.by_partitions]).await?);
    piece.add(execute(connection, SWEEP_SUMS_OF_RECEIPTS, &[&minutes[1], &SWEPT_AT_ONCE]).await?);
    let [fine, coarse] = usage::first_kept_s(left.oldest_kept);
    piece.add(execute(connection, SWEEP_USAGE, &[&fine, &coarse, &SWEPT_AT_ONCE]).await?);
    for (sql, bound) in SWEEPS {
        let bound = match bound {
            Bound::KeysUntil => (now - limits::IDEMPOTENCY_WINDOW).unix_ms() as i64,
            Bound::FirstMessage => left.first_message.as_i64(),
            Bound::FirstEntry => first_kept(left.oldest_kept).as_i64(),
            Bound::Now => now.unix_ms() as i64,
        };
        piece.add(execute(connection, sql, &[&bound, &SWEPT_AT_ONCE]).await?);
    }
    // Few, and each node drops its own copy.
    execute(connection, "DELETE FROM hookpost.revocation WHERE forget_at_ms <= $1", &[&(now.unix_ms() as i64)]).await?;
    Ok(piece)
}

impl Piece {
    fn add(&mut self, swept: u64) {
        self.count += swept;
        self.more |= swept as i64 == SWEPT_AT_ONCE;
    }
}
