//! The pieces in which history and receipts are kept: by the id of the message or receipt, and so by the time at which it came. Made ahead of time, and on
//! demand where one has an id that nobody expected.
//!
//! Their bounds stand in a table: whoever makes one holds the row of the schema's version, so that nodes with other lengths, or at the same
//! moment, make none that overlap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookpost_domain::{RowId, Timestamp};
use parking_lot::RwLock;
use tokio_postgres::{Client, Transaction};
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::schema;
use crate::shared::Shared;

/// Tables that are kept in the same pieces, and go together.
#[derive(Debug)]
pub(crate) struct Partitioned {
    /// In the order in which they go: what depends on the first is not shown without it.
    pub(crate) tables: &'static [&'static str],
    /// Where the bounds stand.
    pub(crate) bounds: &'static str,
}

pub(crate) const HISTORY: Partitioned = Partitioned { tables: &["message", "delivery", "attempt"], bounds: "hookpost.partition" };
pub(crate) const RECEIPTS: Partitioned = Partitioned { tables: &["receipt"], bounds: "hookpost.receipt_partition" };

/// Made before they are needed.
const AHEAD: u32 = 2;
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What this node knows of the pieces there are.
#[derive(Debug)]
pub(crate) struct Partitions {
    pub(crate) of: Partitioned,
    length: Duration,
    /// From the first id to the first that is beyond.
    known: RwLock<BTreeMap<i64, i64>>,
}

impl Partitions {
    pub(crate) fn new(of: Partitioned, length: Duration) -> Self {
        Self { of, length: length.max(Duration::from_millis(1)), known: RwLock::default() }
    }

    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    /// Whether a row with this id can be written.
    pub(crate) fn covers(&self, row: RowId) -> bool {
        let id = row.as_i64();
        self.known.read().range(..=id).next_back().is_some_and(|(_, until)| id < *until)
    }

    /// It was dropped.
    pub(crate) fn forget(&self, from: i64) {
        self.known.write().remove(&from);
    }

    /// Makes the piece for a row, unless it is there.
    pub(crate) async fn ensure(&self, shared: &Shared, row: RowId) -> Result<(), StoreError> {
        if self.covers(row) {
            return Ok(());
        }
        self.make(&mut shared.connections.dedicated().await?.client, &[row.created_at()]).await
    }

    /// Those of now and of the time to come.
    pub(crate) async fn make_ahead(&self, client: &mut Client) -> Result<(), StoreError> {
        let now = schema::now(client).await?;
        let times: Vec<_> = (0..=AHEAD).map(|ahead| now + self.length * ahead).filter(|time| *time <= Timestamp::MAX).collect();
        if times.iter().all(|time| self.covers(RowId::first_at(*time))) {
            return Ok(());
        }
        self.make(client, &times).await
    }

    /// Those of rows that come from elsewhere.
    pub(crate) async fn make_for(&self, client: &mut Client, rows: &[RowId]) -> Result<(), StoreError> {
        let times: Vec<_> = rows.iter().filter(|row| !self.covers(**row)).map(|row| row.created_at()).collect();
        if times.is_empty() { Ok(()) } else { self.make(client, &times).await }
    }

    async fn make(&self, client: &mut Client, times: &[Timestamp]) -> Result<(), StoreError> {
        let transaction = client.transaction().await?;
        schema::lock(&transaction).await?;
        let mut known = read(&transaction, &self.of).await?;
        for time in times {
            if let Some(piece) = piece_at(*time, self.length, &known) {
                create(&transaction, &self.of, &piece).await?;
                known.insert(piece.from, piece.until);
            }
        }
        transaction.commit().await?;
        *self.known.write() = known;
        Ok(())
    }
}

pub(crate) async fn serve(shared: Arc<Shared>, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        let made = async {
            let mut connection = shared.connections.dedicated().await?;
            shared.partitions.make_ahead(&mut connection.client).await?;
            shared.receipt_partitions.make_ahead(&mut connection.client).await
        };
        if let Err(error) = made.await {
            tracing::warn!("the next partitions could not be made: {error}");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Piece {
    start_ms: u64,
    from: i64,
    until: i64,
}

/// The piece to be made for a time, cut to what the others leave free; `None` if there is one.
fn piece_at(time: Timestamp, length: Duration, known: &BTreeMap<i64, i64>) -> Option<Piece> {
    let id = RowId::first_at(time).as_i64();
    let before = known.range(..=id).next_back().map(|(_, until)| *until);
    if before.is_some_and(|until| id < until) {
        return None;
    }
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let start = Timestamp::from_unix_ms(time.unix_ms() / length_ms * length_ms);
    let end = start + length;
    let end = if end > Timestamp::MAX { i64::MAX } else { RowId::first_at(end).as_i64() };
    let after = known.range(id..).next().map(|(from, _)| *from);
    let from = RowId::first_at(start).as_i64().max(before.unwrap_or_default());
    let until = end.min(after.unwrap_or(i64::MAX));
    Some(Piece { start_ms: RowId::from_i64(from).created_at().unix_ms(), from, until })
}

async fn read(transaction: &Transaction<'_>, of: &Partitioned) -> Result<BTreeMap<i64, i64>, StoreError> {
    let rows = transaction.query(&format!("SELECT from_id, until_id FROM {}", of.bounds), &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Attached rather than made in place: that does not wait for those who read and write the others.
async fn create(transaction: &Transaction<'_>, of: &Partitioned, piece: &Piece) -> Result<(), StoreError> {
    let Piece { start_ms, from, until } = piece;
    for table in of.tables {
        let partition = format!("hookpost.{table}_p{start_ms}");
        transaction
            .batch_execute(&format!(
                "CREATE TABLE {partition} (LIKE hookpost.{table} INCLUDING ALL);
                 ALTER TABLE hookpost.{table} ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({until})"
            ))
            .await?;
    }
    transaction.execute(&format!("INSERT INTO {} (from_id, until_id) VALUES ($1, $2)", of.bounds), &[from, until]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn id(ms: u64) -> i64 {
        RowId::first_at(Timestamp::from_unix_ms(ms)).as_i64()
    }

    #[test]
    fn pieces_meet_and_never_overlap() {
        let day_ms = 86_400_000;
        let at = |days: f64| Timestamp::from_unix_ms((days * day_ms as f64) as u64);
        let mut known = BTreeMap::new();
        let piece = piece_at(at(3.5), DAY, &known).unwrap();
        assert_eq!(piece, Piece { start_ms: 3 * day_ms, from: id(3 * day_ms), until: id(4 * day_ms) });
        known.insert(piece.from, piece.until);
        assert_eq!(piece_at(at(3.0), DAY, &known), None);
        assert_eq!(piece_at(at(3.9), DAY, &known), None);

        // Another length is cut to what is free.
        let before = piece_at(at(2.0), DAY * 10, &known).unwrap();
        assert_eq!((before.from, before.until), (0, id(3 * day_ms)));
        let after = piece_at(at(4.0), DAY * 10, &known).unwrap();
        assert_eq!((after.start_ms, after.from, after.until), (4 * day_ms, id(4 * day_ms), id(10 * day_ms)));
    }

    #[test]
    fn the_last_one_ends_with_the_ids() {
        let piece = piece_at(Timestamp::MAX, DAY, &BTreeMap::new()).unwrap();
        assert_eq!(piece.until, i64::MAX);
        let all = piece_at(Timestamp::ZERO, Duration::MAX, &BTreeMap::new()).unwrap();
        assert_eq!((all.from, all.until), (0, i64::MAX));
    }
}
